"""What tests of the site share: a project in a directory of its own, over a bucket with sessions in its table."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.bucket import open_bucket
from ingest.registry import Application
from reports.compact import compact
from tests import buckets

__all__ = ["APPLICATION", "MONDAY", "NOW", "fill", "project", "runs"]

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
"""


def runs(
    first: int, last: int, *, start: datetime = MONDAY - timedelta(days=3), **attributes: Any
) -> list[dict[str, Any]]:
    """A run each of the people from `first` to `last`."""
    return [{"user": number, "start": start, "attributes": attributes} for number in range(first, last + 1)]


def fill(bucket: Path, sessions: Iterable[Mapping[str, Any]], known: Mapping[str, Application] | None = None) -> None:
    """Puts sessions into the bucket's table: those that `runs` made, or as a client sends them."""
    known = known or buckets.registry(APPLICATION)
    store = open_bucket(str(bucket))
    made = [
        dict(one) if "sessionId" in one else buckets.session(number, **one)
        for number, one in enumerate(sessions, 1 + len(buckets.keys(store)) * 100_000)
    ]
    for at in range(0, len(made), 1_000):
        buckets.batch(store, *made[at : at + 1_000], known=known, ingested=datetime.now(UTC))
    compact(store, str(bucket), known)


def project(directory: Path, pages: Mapping[str, str], *, minimum: int = 10, application: str = APPLICATION) -> Path:
    """A maintainer's own project: mkdocs.yml, the registry and the pages."""
    (directory / "applications").mkdir(parents=True)
    (directory / "applications" / "notes.toml").write_text(application)
    (directory / "mkdocs.yml").write_text(MKDOCS.format(minimum=minimum))
    for name, text in pages.items():
        page = directory / "site" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(text.encode())
    return directory
