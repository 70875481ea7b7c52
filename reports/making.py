"""One page while it is made: queries and blocks in order, the values in its words, and each fault with its line."""

import re
import secrets
from collections.abc import Mapping

from ingest.registry import Application
from reports import format, html, text
from reports.block import BlockError
from reports.figures import Figures
from reports.made import Page
from reports.page import Fault, Fence, body_line, fences, front_matter, key_line, names, replace, words
from reports.page_filter import PageFilter
from reports.queries import Queries
from reports.sandbox import QueryError
from reports.shared import Shared

__all__ = ["Making"]

WAITS = '<p class="ab-empty">This is made from a chart of the page that waits for the registry.</p>'


class Making:
    """A page as `Site.page` is given it; `page` makes it, and `faults` and `warnings` are what was found."""

    def __init__(
        self,
        queries: Queries,
        shared: Shared,
        registry: Mapping[str, Application],
        markdown: str,
        *,
        file: str,
        source: str,
        name: str,
        root: str,
    ) -> None:
        self.queries, self.markdown, self.file, self.source = queries, markdown, file, source
        self.lines = markdown.split("\n")
        self.first = body_line(source, markdown) + 1
        self.front = front_matter(source)[0]
        self.made = Page(name, markdown)
        self.faults: list[Fault] = []
        try:
            self.filter = PageFilter(self.front.get("filter"))
        except ValueError as error:
            self.filter = PageFilter(None)
            self.front_fault("filter", f"filter: {error}")
        # What stops no build.
        self.warnings: list[Fault] = []
        self.figures = Figures(self.made, queries, shared, registry, self.filter, file, self.first, root, self.warnings)
        self.token = secrets.token_hex(8)
        # Names that stand for nothing, for their query failed: what reads one would only repeat its fault.
        self.broken: set[str] = set()
        # Names of charts that wait for the registry: what reads one waits, too.
        self.absent: set[str] = set()

    def page(self) -> Page:
        """Runs the blocks in order and puts a placeholder in the place of each."""
        pieces: list[tuple[Fence, str]] = []
        for fence in fences(self.markdown):
            if not fence.closed:
                self.fault(fence.start, "this block is not closed; add a line of as many marks as it begins with")
                break
            if self.broken & _reads(fence):
                self.broken |= names(fence)
                continue
            pieces.append((fence, self.placeholder(fence)))
        if not self.broken:
            for message in self.filter.unused():
                self.front_fault("filter", f"filter: {message}")
        self.made.markdown = replace(self.words(), pieces)
        self.made.meta = self.heads()
        self.made.named = self.queries.tables
        return self.made

    def placeholder(self, fence: Fence) -> str:
        """Runs one fence. Gives what stands in its place: nothing for a query, or for what is at fault."""
        try:
            if self.absent & _reads(fence):
                self.absent |= names(fence)
                return self.put(WAITS) if fence.kind == "chart" else ""
            if fence.kind == "sql":
                self.queries.add(fence.name, fence.content)
                return ""
            piece, waits = self.figures.figure(fence)
            self.absent |= names(fence) if waits else set()
            return self.put(piece)
        except BlockError as error:
            self.broken |= names(fence)
            for line, message in error.faults:
                self.fault(fence.start + 1 + line, message, self.quoted(fence.start + 1 + line, message))
        except QueryError as error:
            self.broken.add(fence.name.lower())
            inside = 0 if error.line is None else error.line + 1
            column = None if error.column is None else len(fence.indent) + error.column
            self.fault(fence.start + inside, error.message, column)
        return ""

    def put(self, piece: str) -> str:
        """Keeps a piece of HTML, and gives the placeholder for it."""
        # It ends in a letter: that of block 1 is no part of that of block 10.
        placeholder = f"abaculus-{self.token}-{len(self.made.pieces)}x"
        self.made.pieces[placeholder] = piece
        return placeholder

    def words(self) -> str:
        """The page's text with the values that it names."""
        given = []
        for value in text.values(self.markdown):
            try:
                if value.wrong:
                    raise QueryError(value.wrong)
                said = self.value(value)
                if said is None and (why := self.no_row(value.name.lower())):
                    place = (self.first + value.line, f"{value}: {why}", value.place + 1)
                    self.warnings.append(Fault(self.file, *place))
                given.append((value, said or format.NOTHING))
            except QueryError as error:
                self.fault(value.line, f"{value}: {error.message}", value.place)
        return text.insert(self.markdown, given)

    def heads(self) -> dict[str, str]:
        """The page's title and description with the values that they name, as HTML: themes write them as they are."""
        made = {}
        for key in ("title", "description"):
            given = self.front.get(key)
            given = given if isinstance(given, str) else ""
            for value in reversed(list(text.values(given))):
                try:
                    said = html.text(format.inert(self.value(value) or format.NOTHING))
                except QueryError as error:
                    self.front_fault(key, f"{key}: {value}: {error.message}")
                    said = ""
                given = made[key] = given[: value.start] + said + given[value.end :]
        return made

    def value(self, value: text.Value) -> str | None:
        """What is written in the place of a value, None where there is none. Raises `QueryError`."""
        name = value.name.lower()
        return format.NOTHING if name in self.broken | self.absent else text.read(self.queries, name, value.column)

    def no_row(self, name: str) -> str | None:
        """What to say of a result that has no row. Nothing where that has a cause that is said already, or no data."""
        queries = self.queries
        used = {name, *(word for one in queries.behind(name) for word in words(queries.named[one].sql))}
        said = any(queries.tables[one].empty for one in used & queries.tables.keys())
        template = queries.row is not None and queries.row.values is None
        if said or template or not queries.cursor.execute("SELECT 1 FROM sessions LIMIT 1").fetchall():
            return None
        return f'"{name}" finds no row, so that a dash is written; see with `abaculus sql` what its WHERE leaves'

    def fault(self, line: int, message: str, column: int | None = None) -> None:
        """Keeps a fault; line and column count from 0 in the page's text. Without a column, where the line begins."""
        if column is None:
            written = self.lines[line] if line < len(self.lines) else ""
            column = len(written) - len(written.lstrip())
        self.faults.append(Fault(self.file, self.first + line, message, column + 1))

    def front_fault(self, key: str, message: str) -> None:
        """Keeps a fault of the front matter."""
        self.faults.append(Fault(self.file, key_line(self.source, key), message, 1))

    def quoted(self, line: int, message: str) -> int | None:
        """Where on a line the word stands that a message begins to quote."""
        word = re.search(r'"([^"]+)"', message)
        if word is None or line >= len(self.lines):
            return None
        found = re.search(rf"(?<!\w){re.escape(word[1])}(?!\w)", self.lines[line])
        return found.start() if found else None


def _reads(fence: Fence) -> set[str]:
    """Names that a fence may read: what stands behind FROM, JOIN or a comma, or behind `data:`."""
    pattern = (
        r"^(?:data|annotate):\s*[\"']?(\w+)" if fence.kind == "chart" else r"(?:\bfrom|\bjoin|\btable|,)[\s(\"]+(\w+)"
    )
    return {name.lower() for name in re.findall(pattern, fence.content, re.MULTILINE | re.IGNORECASE)}
