"""`abaculus check`: every mistake of every page at once, without building the site."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reports import entities, links, overlap
from reports.engine import ENGINES
from reports.index import INDEX
from reports.machine import documents
from reports.page import Fault, body_line, front_matter
from reports.queries import Row
from reports.site import CLOSED, MINIMUM_USERS, Page, Series, Site

__all__ = ["Checked", "Project", "ProjectError", "annotations", "check", "project", "summary"]


class ProjectError(Exception):
    """A directory that has no site to check, and what to do."""


@dataclass(frozen=True)
class Project:
    """What mkdocs.yml says of the pages: their directory, the names in `nav` with their lines, and the gate's rules."""

    docs: Path
    nav: dict[str, int] = field(default_factory=dict)
    minimum_users: int = MINIMUM_USERS
    rounded: bool = False
    closed: str | None = None
    engine: str | None = None


@dataclass(frozen=True)
class Checked:
    """What was found: faults stop a build, warnings do not."""

    pages: int
    blocks: int
    faults: list[Fault]
    warnings: list[Fault]


class _Loader(yaml.SafeLoader):
    """Reads past the tags that MkDocs knows: what they stand for says nothing of pages."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def project(directory: Path) -> Project:
    """Reads mkdocs.yml of a directory. Raises `ProjectError`."""
    path = directory / "mkdocs.yml"
    if not path.is_file():
        raise ProjectError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    text = path.read_text(encoding="utf-8")
    try:
        settings = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, and what it does not know is None
    except yaml.YAMLError as error:
        raise ProjectError(f"mkdocs.yml is not valid YAML: {error}") from None
    settings = settings if isinstance(settings, dict) else {}
    plugin: dict[str, Any] = {}
    for one in settings.get("plugins") or ():
        if isinstance(one, dict) and isinstance(one.get("abaculus"), dict):
            plugin = one["abaculus"]
    lines = text.split("\n")
    named = {name: _line(lines, name) for name in _names(settings.get("nav"))}
    docs = directory / str(settings.get("docs_dir") or "docs")
    closed = plugin.get("closed")
    if closed not in (None, *CLOSED):
        raise ProjectError(f"mkdocs.yml: closed is one of {', '.join(CLOSED)}, not {closed!r}")
    engine = plugin.get("engine")
    if engine not in (None, *ENGINES):
        raise ProjectError(f"mkdocs.yml: engine is one of {', '.join(ENGINES)}, not {engine!r}")
    minimum = int(plugin.get("minimum_users", MINIMUM_USERS))
    return Project(docs, named, minimum, plugin.get("rounded") is True, closed, engine)


def _names(nav: Any) -> Iterator[str]:
    """The files that `nav` names, however deep."""
    if isinstance(nav, str):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//|/", nav):
            yield nav
    elif isinstance(nav, list | dict):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _names(part)


def _line(lines: Sequence[str], name: str) -> int:
    named = re.compile(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])")
    return next((number for number, line in enumerate(lines, 1) if named.search(line)), 1)


def check(site: Site, pages: Project, shown: Path) -> Checked:
    """Runs every page, follows every link, and weighs what the blocks give away together.

    `shown` is the directory that paths in messages are relative to.
    """
    sources = {
        path.relative_to(pages.docs).as_posix(): path.read_bytes().decode("utf-8-sig")
        for path in sorted(pages.docs.rglob("*.md"))
    }
    site.want(sources.values())
    done: dict[str, Page] = {}
    linked: dict[str, links.Linked] = {}

    def file(path: str) -> str:
        return (pages.docs / path).relative_to(shown).as_posix()

    def run(path: str, template: str | None = None, row: Row | None = None) -> Page:
        if path not in done:
            where, source = file(template or path), sources[template or path]
            body = front_matter(source)[1]
            name = path.removesuffix(".md")
            page = done[path] = site.page(body, file=where, source=source, name=name, root="./", row=row)
            first, found = body_line(source, body) + 1, links.ids(page.markdown, page.pieces)
            linked[path] = links.Linked(path, where, first, body, found)
        return done[path]

    templates = entities.templates(sources)
    for path in sources:
        if path not in templates:
            run(path)
    for path, made in site.made(sources, file, run).items():
        linked[path] = links.Linked(path, file(path), 1, "", frozenset())
        for one in made:
            run(f"{one.name}.md", path, one.row)
    all_series = [series for page in done.values() for series in page.series]
    files = {*documents(), INDEX, *(name for page in done.values() for name in page.files)}
    others = {path.relative_to(pages.docs).as_posix() for path in pages.docs.rglob("*") if path.is_file()}
    faults = [*site.faults, *links.broken(linked, frozenset(files | others - linked.keys()))]
    for name, line in pages.nav.items():
        if name not in linked and name not in others:
            remedy = f"run `abaculus new {name.removesuffix('.md')}`, or remove it"
            faults.append(Fault("mkdocs.yml", line, f'nav names "{name}", which is not there; {remedy}'))
    warnings = [*site.warnings, *overlap.overlaps(site.connection, all_series, site.minimum_users), *_empty(all_series)]
    if pages.nav:
        warnings += [
            Fault(one.file, 1, f"no reader finds this page; add it to nav in mkdocs.yml: `- {_title(path)}: {path}`")
            for path, one in linked.items()
            if path in sources and path not in pages.nav
        ]
    return Checked(len(linked), len(all_series), _sorted(faults), _sorted(warnings))


def _title(path: str) -> str:
    return Path(path).stem.replace("-", " ").capitalize()


def _sorted(found: Sequence[Fault]) -> list[Fault]:
    # The pages of a template share its mistakes.
    return sorted(set(found), key=lambda fault: (fault.file, fault.line, fault.column or 0, fault.message))


def _empty(all_series: Sequence[Series]) -> Iterator[Fault]:
    """Blocks that will say "too few people" although there is data."""
    for one in all_series:
        if one.published.empty == "too few people":
            yield Fault(
                one.file,
                one.line,
                f'nothing of "{one.title}" passes the gate today: no group has {one.published.minimum_users} people; '
                "count more coarsely, or wait for more of them",
            )


def annotations(found: Checked, title: str = "abaculus check") -> Iterator[str]:
    """Workflow commands that put each fault beside its line in a pull request."""
    for kind, faults in (("error", found.faults), ("warning", found.warnings)):
        for fault in faults:
            place = {"file": fault.file, "line": fault.line, "col": fault.column, "title": title}
            marks = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in place.items() if value is not None)
            yield f"::{kind} {marks}::{_escaped(fault.message)}"


def _escaped(text: str, more: str = "") -> str:
    """Nothing in a text can end the command, or begin another."""
    return "".join(f"%{ord(one):02X}" if one in "%\r\n" + more else one for one in text)


def summary(found: Checked) -> str:
    """The same as Markdown, for the page of a workflow run."""
    counted = f"{found.pages} pages, {found.blocks} blocks"
    if not found.faults and not found.warnings:
        return f"### abaculus check\n\n{counted}: nothing to mend.\n"
    rows = "".join(
        f"| {kind} | {_cell(f'{fault.file}:{fault.line}')} | {_cell(fault.message)} |\n"
        for kind, faults in (("error", found.faults), ("warning", found.warnings))
        for fault in faults
    )
    return f"### abaculus check\n\n{counted}.\n\n| | where | what |\n|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table: every sign that could mean something stands as its number."""
    return re.sub(r"[^\w\s.,:;/()?-]", lambda one: f"&#{ord(one[0])};", " ".join(text.split()))


def as_json(found: Checked) -> str:
    """For programs: counts, and each fault with file, line, column (or null) and message."""

    def packed(faults: Sequence[Fault]) -> list[Mapping[str, Any]]:
        return [asdict(fault) for fault in faults]

    said = {"pages": found.pages, "blocks": found.blocks}
    return json.dumps(said | {"errors": packed(found.faults), "warnings": packed(found.warnings)}, indent=1)
