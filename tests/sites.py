"""What tests of the site share: a project in a directory of its own, over a bucket with sessions in its table."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import markdown
from markdown.extensions import Extension

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.pages.insert_results import Renderer
from reports.pages.markdown_blocks import Blocks
from reports.pages.page_result import Page
from reports.pages.site import Site
from reports.pages.source import Source, read
from reports.query.snapshot import Snapshot, fetch
from reports.writers.compact import compact
from tests import buckets

__all__ = [
    "APPLICATION",
    "EXTENSIONS",
    "MONDAY",
    "NOW",
    "converted",
    "figures",
    "fill",
    "project",
    "runs",
    "site_of",
    "snapshot_of",
    "source",
    "written",
]

# What decides how a page is read. The extensions of a maintainer's site may be others.
EXTENSIONS = (
    "toc", "tables", "attr_list", "admonition", "def_list", "footnotes", "md_in_html", "pymdownx.details",
    "pymdownx.superfences", "pymdownx.tabbed",
)  # fmt: skip

NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
MONDAY = datetime(2026, 3, 16, tzinfo=UTC)

# Shells may be anything here, and are published: what a page must survive.
APPLICATION = """
id = "notes"
name = "Notes"

[attributes.shellName]
type = "string"
publish = true
role = "shell"
why = "Which shells to support"

[attributes.osName]
type = "string"
values = ["Linux", "macOS"]
role = "os"
why = "Which systems to support"

[attributes.inCi]
type = "boolean"
role = "ci"
why = "Build servers are not people"

[attributes.exitCode]
type = "integer"
role = "exit_code"
why = "How often do runs fail?"

[attributes.comment]
type = "string"
why = "Free text"

[events.Opened]
why = "Is it used?"

[spans.Save]
why = "Is saving fast?"
"""

MKDOCS = """
site_name: Notes
docs_dir: site
site_dir: out
use_directory_urls: false
theme: {{name: material, font: false}}
plugins:
  - search
  - abaculus: {{minimum_users: {minimum}}}
markdown_extensions: [admonition, tables, pymdownx.superfences, {{pymdownx.tabbed: {{alternate_style: true}}}}]
validation: {{anchors: warn}}
"""


def runs(
    first: int, last: int, *, start: datetime = MONDAY - timedelta(days=3), **attributes: Any
) -> list[dict[str, Any]]:
    """A run each of the people from `first` to `last`."""
    return [{"user": number, "start": start, "attributes": attributes} for number in range(first, last + 1)]


def fill(bucket: Path, sessions: Iterable[Mapping[str, Any]], known: Mapping[str, Application] | None = None) -> None:
    """Puts sessions into the bucket's table: those that `runs` made, or as a client sends them.

    All come in when the last of them ends.
    """
    known = known or buckets.registry(APPLICATION)
    store = open_bucket(str(bucket))
    made = [
        dict(one) if "sessionId" in one else buckets.session(number, **one)
        for number, one in enumerate(sessions, 1 + len(buckets.keys(store)) * 100_000)
    ]
    last = max((datetime.fromisoformat(one["sessionEndTime"]) for one in made), default=datetime.now(UTC))
    for at in range(0, len(made), 1_000):
        buckets.batch(store, *made[at : at + 1_000], known=known, ingested=last)
    compact(store, str(bucket), known)


def snapshot_of(bucket: Path | str, known: Mapping[str, Application] | None = None) -> Snapshot:
    """A bucket as a build finds it."""
    known = buckets.registry(APPLICATION) if known is None else known
    return fetch(open_bucket(str(bucket)), str(bucket), known)


@contextmanager
def site_of(
    bucket: Path | str,
    known: Mapping[str, Application] | None = None,
    *,
    now: datetime = NOW,
    private: bool = False,
) -> Iterator[Site]:
    """A site without MkDocs, over a bucket."""
    site = Site(snapshot_of(bucket, known), now=now, private=private)
    with site.connection:
        yield site


def project(directory: Path, pages: Mapping[str, str], *, minimum: int = 10, application: str = APPLICATION) -> Path:
    """A maintainer's own project: mkdocs.yml, the registry and the pages."""
    (directory / "applications").mkdir(parents=True)
    (directory / "applications" / "notes.toml").write_text(application, encoding="utf-8")
    (directory / "bucket").mkdir(exist_ok=True)
    (directory / "mkdocs.yml").write_text(MKDOCS.format(minimum=minimum), encoding="utf-8")
    for name, text in pages.items():
        page = directory / "site" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(text.encode())
    return directory


def converted(text: str, extension: Extension) -> str:
    """A page's text as HTML."""
    return markdown.markdown(text, extensions=[*EXTENSIONS, extension])


def source(text: str, *, path: str = "a.md") -> Source:
    """A page of a site without MkDocs."""
    return read(path, f"site/{path}", text, converted)


def written(page: Page, *, root: str = "./") -> str:
    """A page that was run, as HTML."""
    renderer = Renderer()
    renderer.read, renderer.root = page, root
    # Of what a site generates from its registry there is none here.
    renderer.parts = dict.fromkeys(("fields", "privacy", "pipeline"), lambda: "")
    html = converted(page.source.front.body, Blocks(renderer.open))
    assert renderer.faults == []
    return html


def figures(page: Page, *, root: str = "./") -> list[str]:
    """The blocks of a page that was run, as HTML."""
    return [figure(root) for figure in page.figures if figure is not None]
