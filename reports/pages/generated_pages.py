"""`for: SELECT …` in a page's front matter: one page for each row of a published result.

The query reads only releases, applications, and the named charts of other pages, which have passed the gate. A row
reaches its page as a table `page` with one row. Its values are bound and never part of SQL.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from reports.blocks import format
from reports.blocks.fault import Fault
from reports.blocks.names import near, words
from reports.blocks.published import OTHER, UNKNOWN, Published
from reports.gate.columns import find
from reports.pages import values
from reports.pages.page_views import Row
from reports.pages.queries import Queries
from reports.pages.source import Source
from reports.query.quoting import describe
from reports.query.sandbox import QueryError, explain

__all__ = ["MOST", "Made", "addresses", "listed", "make", "slugs", "templates"]

# More rows than this need a search, not pages.
MOST = 200
LONGEST = 60
# Reserved names of file systems, and the names that MkDocs uses for a directory's first page.
TAKEN = frozenset(["index", "readme", "con", "prn", "aux", "nul"])


@dataclass(frozen=True)
class Made:
    """A page that a template generates. `name` is its path without ending, beside the template."""

    name: str
    row: Row


def templates(sources: Mapping[str, Source]) -> list[str]:
    """Which of these pages, by path, have a `for:`."""
    return [path for path, source in sources.items() if "for" in source.front.meta]


def make(
    cursor: duckdb.DuckDBPyConnection,
    path: str,
    sources: Mapping[str, Source],
    published: Callable[[str, str], Published | None],
) -> tuple[list[Made], Row | None, Fault | None]:
    """The pages of a template, or its mistakes. Without any page, a row without values to check the template.

    `sources` are all pages by path. `published` returns a named chart's cells, by a page's path and the name. It
    returns None if that chart waits for something, or has a mistake.
    """
    source = sources[path]
    try:
        columns, rows = _rows(cursor, path, source.front.meta["for"], sources, published)
    except QueryError as error:
        return [], None, Fault(source.file, source.front.line("for"), f"for: {error.message}", 1, "page-for")
    base = path.removesuffix(".md")
    # A label must not stop the build because it looks like another page's name: anybody can send labels.
    taken = {other.removeprefix(f"{base}-").removesuffix(".md").lower() for other in sources}
    called = [f"{base}-{slug}" for slug in slugs([row[0] for row in rows], taken)]
    pages = [Made(name, Row(columns, row)) for name, row in zip(called, rows, strict=True)]
    return pages, None if pages or not columns else Row(columns, None), None


def _rows(
    cursor: duckdb.DuckDBPyConnection,
    path: str,
    given: Any,
    sources: Mapping[str, Source],
    published: Callable[[str, str], Published | None],
) -> tuple[tuple[tuple[str, str], ...], list[tuple[Any, ...]]]:
    if not isinstance(given, str):
        raise QueryError("must be one SELECT; write it in quotes, or behind | on lines of its own")
    queries = Queries(cursor)
    charts = _charts(path, sources)
    for name in sorted(words(given) & charts.keys()):
        if len(charts[name]) > 1:
            raise QueryError(f'charts of {" and ".join(charts[name])} are named "{name}"; give one another name')
        cells = published(charts[name][0], name)
        if cells is None:
            return (), []
        queries.publish(name, cells)
    try:
        queries.add("page", given)
    except QueryError as error:
        absent = re.match('table "(.*)" not found', error.message)
        there = ["releases", "applications", *charts]
        raise QueryError(f"{absent[0]}; {near(absent[1], there)}" if absent else error.message) from None
    if queries.relations["page"]:
        raise QueryError("reads people's rows; give a chart that counts them a `name:`, and read that here")
    columns = describe(cursor, "page")
    for name in columns:
        find(name, columns, "for")
    try:
        found = cursor.execute(f"SELECT * FROM page LIMIT {10 * MOST}").fetchall()
    except duckdb.Error as error:
        raise QueryError(explain(error, given, values=False).message) from None
    # The gate's own groups, "Other" and "not known", have no page.
    rows = [row for row in found if row[0] not in (None, OTHER, UNKNOWN)]
    if len(rows) > MOST:
        raise QueryError(f"makes more than {MOST} pages; add ORDER BY and LIMIT, or a WHERE")
    seen: set[Any] = set()
    for row in rows:
        if row[0] in seen:
            first = next(iter(columns))
            raise QueryError(f'its first column names the pages, and "{first}" has a value twice; use GROUP BY')
        seen.add(row[0])
    return tuple(columns.items()), rows


def _charts(path: str, sources: Mapping[str, Source]) -> dict[str, list[str]]:
    """Name -> the pages with a chart of that name. A template has one for each of its pages."""
    found: dict[str, list[str]] = {}
    apart = {path, *templates(sources)}
    for other, source in sources.items():
        for block in source.blocks if other not in apart else ():
            for name in block.names() if block.kind == "chart" else ():
                found.setdefault(name, []).append(other)
    return found


def slugs(values: Sequence[Any], taken: Collection[str] = ()) -> list[str]:
    """A unique file name for each value: lower-case letters, digits, dots and hyphens. If two values would have the
    same name, or a name would lose too much, the digest of the value is added.
    """
    plain = [_plain(value) for value in values]
    made = []
    for value, slug in zip(values, plain, strict=True):
        itself = str(value) == slug
        if not slug or slug in TAKEN or slug in taken or (not itself and plain.count(slug) > 1):
            slug = f"{slug or 'page'}-{hashlib.sha256(str(value).encode()).hexdigest()[:10]}"
        made.append(slug)
    if len(set(made)) < len(made):  # a value that looks like another's name with its digest
        return [f"{slug}-{number}" for number, slug in enumerate(made, 1)]
    return made


def _plain(value: Any) -> str:
    return re.sub(r"\.{2,}", ".", re.sub(r"[^a-z0-9.]+", "-", str(value).lower()))[:LONGEST].strip("-.")


def addresses(made: Mapping[str, Sequence[Made]], sources: Mapping[str, Source]) -> dict[tuple[str, str, str], str]:
    """The page for a value: (application of its template, column, value as text) -> its name. If several templates have
    a page for a value, the first template by path is used.
    """
    found: dict[tuple[str, str, str], str] = {}
    for path in sorted(made):
        application = str(sources[path].front.meta.get("application"))
        for one in made[path]:
            if one.row.values:
                found.setdefault((application, one.row.columns[0][0].lower(), str(one.row.values[0])), one.name)
    return found


def listed(pages: Sequence[Made]) -> str:
    """The page at a template's own address: a table of its pages, as Markdown."""
    if not pages:
        return "Nothing to list yet.\n"
    columns = pages[0].row.columns
    lines = [
        "".join(f"| {values.escaped(format.sentence(format.words(name)))} " for name, _ in columns) + "|",
        "|---" * len(columns) + "|",
    ]
    for page in pages:
        assert page.row.values is not None
        cells = [
            values.escaped(values.shown(name, kind, value, None))
            for (name, kind), value in zip(columns, page.row.values, strict=True)
        ]
        cells[0] = f"[{cells[0]}]({page.name.rpartition('/')[2]}.md)"
        lines.append("".join(f"| {cell} " for cell in cells) + "|")
    return "\n".join(lines) + "\n"
