"""Runs one page: its queries and blocks in the order written, and its values. Each mistake has its line."""

import re
import time
from collections.abc import Mapping
from functools import partial

from ingest.function.registry import Application
from reports.blocks import format
from reports.blocks.block import BlockError
from reports.blocks.fault import Fault
from reports.blocks.names import words
from reports.blocks.options import READERS
from reports.blocks.page_filter import PageFilter
from reports.charts import html
from reports.pages import values
from reports.pages.build_cache import Shared
from reports.pages.figures import Figures
from reports.pages.markdown_blocks import VALUE
from reports.pages.page_result import Figure, Page
from reports.pages.queries import Queries
from reports.pages.source import Found, Source, Value
from reports.query.sandbox import QueryError

__all__ = ["run"]

# A value may be a whole sentence that a query has put together. The gate has cut texts that come from data.
LONGEST = 500
WAITS = '<p class="ab-empty">This depends on a chart of the page that waits for the registry.</p>'


def run(source: Source, name: str, queries: Queries, shared: Shared, registry: Mapping[str, Application]) -> Page:
    """The page with everything that it publishes, and its mistakes."""
    began = time.monotonic()
    page = Page(name, source, queries.row, faults=list(source.faults), warnings=list(source.warnings))
    run = _Run(page, queries)
    try:
        filter = PageFilter(source.front.meta.get("filter"))
    except ValueError as error:
        filter = PageFilter(None)
        run.front_fault("filter", f"filter: {error}")
    figures = Figures(page, queries, shared, registry, filter)
    page.figures = [run.block(figures, one) if one.kind and one.shown else None for one in source.found]
    if not run.broken:
        for message in filter.unused():
            run.front_fault("filter", f"filter: {message}")
    run.words()
    run.heads()
    page.named = queries.tables
    page.seconds = round(time.monotonic() - began, 3)
    return page


class _Run:
    """The state of a page while it runs."""

    def __init__(self, page: Page, queries: Queries) -> None:
        self.page, self.queries, self.source = page, queries, page.source
        self.lines = page.source.front.body.split("\n")
        # Names of failed queries. Whatever reads them would only repeat the fault.
        self.broken: set[str] = set()
        # Names of charts that wait for the registry. Whatever reads them waits too.
        self.absent: set[str] = set()

    def block(self, figures: Figures, one: Found) -> Figure | None:
        """Runs one block. Returns nothing for a query or a faulty block."""
        reads = _reads(one)
        if self.broken & reads:
            self.broken |= one.names()
            return None
        start = one.start or 0
        try:
            if self.absent & reads:
                self.absent |= one.names()
                return (lambda root: WAITS) if one.kind == "chart" else None
            if one.kind == "sql":
                self.queries.add(one.name, one.text)
                return None
            figure, waits = figures.figure(one)
            self.absent |= one.names() if waits else set()
            return figure
        except BlockError as error:
            self.broken |= one.names()
            for line, message in error.faults:
                at = start + 1 + line
                self.fault(at, message, self.quoted(at, message), f"chart-{self.option(at)}")
        except QueryError as error:
            self.broken.add(one.name.lower())
            inside = 0 if error.line is None else error.line + 1
            column = None if error.column is None else one.column + error.column
            self.fault(start + inside, error.message, column, "query")
        return None

    def words(self) -> None:
        """Reads the values in the page's text."""
        for value in self.source.values:
            try:
                if value.wrong:
                    raise QueryError(value.wrong)
                said = self.value(value)
                if said is None and (why := self.no_row(value.name.lower())):
                    line = self.source.front.first + value.line
                    self.page.warnings.append(
                        Fault(self.source.file, line, f"{value}: {why}", value.place + 1, "no-row")
                    )
                self.page.said[value.name, value.column] = format.unbroken(
                    format.inert(said or format.NOTHING, LONGEST)
                )
            except QueryError as error:
                self.fault(value.line, f"{value}: {error.message}", value.place, "value")

    def heads(self) -> None:
        """The page's title and description with their values, as HTML, because themes write them unchanged."""
        for key in ("title", "description"):
            given = self.source.front.meta.get(key)
            if isinstance(given, str) and re.search(VALUE, given):
                self.page.meta[key] = re.sub(VALUE, partial(self.head, key), given)

    def head(self, key: str, found: re.Match[str]) -> str:
        """A value in the title or the description."""
        value = Value(found[1], found[2])
        try:
            return html.text(format.inert(self.value(value) or format.NOTHING, LONGEST))
        except QueryError as error:
            self.front_fault(key, f"{key}: {value}: {error.message}")
            return ""

    def value(self, value: Value) -> str | None:
        """The text for a value, None if there is none. Raises `QueryError`."""
        name = value.name.lower()
        return format.NOTHING if name in self.broken | self.absent else values.read(self.queries, name, value.column)

    def no_row(self, name: str) -> str | None:
        """The message for a result without a row. Nothing if the cause was reported already, or if there is no data."""
        queries = self.queries
        used = {name, *(word for one in queries.behind(name) for word in words(queries.named[one].sql))}
        read = [queries.tables[one] for one in used & queries.tables.keys()]
        template = queries.row is not None and queries.row.values is None
        said = any(one.empty for one in read)
        if said or template or not queries.cursor.execute("SELECT 1 FROM sessions LIMIT 1").fetchall():
            return None
        # Whether a group is hidden or not there must not be public.
        minimum = max((one.minimum_users for one in read if one.people is not None), default=0)
        why = f"published numbers have no group of fewer than {minimum} people; wait, or " if minimum else ""
        how = " with `abaculus serve --private`" if minimum else "" if read else " with `abaculus sql`"
        return f'"{name}" finds no row, so a dash is shown; {why}check its WHERE{how}'

    def fault(self, line: int, message: str, column: int | None, code: str) -> None:
        """Notes a fault. Line and column count from 0 in the page's text. The default column is the beginning of the
        line.
        """
        if column is None:
            written = self.lines[line] if line < len(self.lines) else ""
            column = len(written) - len(written.lstrip())
        self.page.faults.append(Fault(self.source.file, self.source.front.first + line, message, column + 1, code))

    def option(self, line: int) -> str:
        """The option on a line of a block, for the code of a fault. "block" if there is none."""
        known = re.match(r"[\s>]*(\w+)\s*:", self.lines[line]) if line < len(self.lines) else None
        return known[1] if known and known[1] in READERS else "block"

    def front_fault(self, key: str, message: str) -> None:
        """Notes a fault of the front matter."""
        self.page.faults.append(Fault(self.source.file, self.source.front.line(key), message, 1, f"page-{key}"))

    def quoted(self, line: int, message: str) -> int | None:
        """The column of the word that a message quotes first."""
        word = re.search(r'"([^"]+)"', message)
        if word is None or line >= len(self.lines):
            return None
        found = re.search(rf"(?<!\w){re.escape(word[1])}(?!\w)", self.lines[line])
        return found.start() if found else None


def _reads(one: Found) -> set[str]:
    """Names that a fence may read: after FROM, JOIN or a comma, after `data:`, or in a title."""
    pattern = (
        r"^(?:data|annotate):\s*[\"']?(\w+)" if one.kind == "chart" else r"(?:\bfrom|\bjoin|\btable|,)[\s(\"]+(\w+)"
    )
    found = re.findall(pattern, one.text, re.MULTILINE | re.IGNORECASE)
    titled = [name for name, _ in re.findall(VALUE, one.text)] if one.kind == "chart" else []
    return {name.lower() for name in (*found, *titled)}
