"""Pages into published blocks: finds the fences of a page, runs them in the sandbox, gates and draws them.

Knows nothing of MkDocs: text in, text and files out.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from reports import charts, choices, download, entities, format, html, marks, missing, text
from reports.block import ONLY, Block, BlockError, parse
from reports.cells import statement
from reports.expect import fails
from reports.page import Fault, Fence, body_line, fences, front_matter, key_line, names, replace
from reports.publish import publish
from reports.published import Published
from reports.queries import Queries, Row, near
from reports.sandbox import QueryError, check, explain
from reports.warehouse import PROBE, Snapshot, connect, describe, quote

__all__ = ["CLOSED", "MINIMUM_USERS", "Page", "Series", "Site"]

MINIMUM_USERS = 10
# After which time new sessions can be let into the pages, all at once.
CLOSED = ("day", "week", "month")
WAITS = '<p class="ab-empty">This is made from a chart of the page that waits for the registry.</p>'


@dataclass
class Page:
    """A page on its way: Markdown with placeholders, the HTML for each, and the files that it links to.

    `meta` has its title and description as HTML, where they name values; `named` the cells of its named charts.
    """

    name: str
    markdown: str
    pieces: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    series: list["Series"] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    named: dict[str, Published] = field(default_factory=dict)

    def finish(self, content: str) -> str:
        """The page's HTML with each placeholder replaced. The Markdown converter never saw what comes from data."""
        for placeholder, piece in self.pieces.items():
            content = content.replace(f"<p>{placeholder}</p>", piece).replace(placeholder, piece)
        return content


@dataclass(frozen=True)
class Series:
    """What a block published, and where: `page` is its name without ending, `sql` all that its numbers come from.

    `queries` are the named queries that it read, each by itself.
    """

    page: str
    file: str
    line: int
    id: str
    title: str
    sql: str
    queries: tuple[str, ...]
    block: Block
    published: Published
    application: str | None = None


class Site:
    """One build, or one after the other: a snapshot of the data, and the faults found so far.

    A page that is asked for again as it was is not run again. A private site shows everything to whoever opens it:
    single people's runs, free text, no gate. It is for `abaculus serve --private` on this machine and for nothing else.

    `rounded` rounds all numbers of people's rows; `closed` leaves out what came in during the day, week or month that
    is not over. Both are for what sites of two days give away together.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        minimum_users: int = MINIMUM_USERS,
        rounded: bool = False,
        closed: str | None = None,
        now: datetime | None = None,
        private: bool = False,
    ) -> None:
        self.snapshot = snapshot
        self.private = private
        self.minimum_users = 0 if private else minimum_users
        self.now = (now or datetime.now(UTC)).replace(tzinfo=None)
        self.rounded = rounded and not private
        self.until = None if private or closed is None else _began(closed, self.now)
        self.connection = connect(snapshot, private=private, until=self.until)
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.counted: dict[tuple[Any, ...], Published] = {}
        self._made: dict[str, tuple[tuple[Any, ...], Page, list[Fault]]] = {}

    @property
    def updated(self) -> datetime | None:
        """When the last compaction run that succeeded began, or until when is shown; None before the first."""
        runs = [entry["started"] for entry in self.snapshot.ledger if entry.get("error") is None]
        last = datetime.fromisoformat(max(runs)) if runs else None
        return last if last is None or self.until is None else min(last, self.until.replace(tzinfo=UTC))

    @property
    def sample(self) -> list[str]:
        """Names of applications that have data and whose sessions are generated."""
        registry = self.snapshot.registry
        return [registry[id].name for id, files in self.snapshot.files.items() if files and registry[id].sample]

    def page(self, markdown: str, *, file: str, source: str, name: str, root: str, row: Row | None = None) -> Page:
        """Runs a page's blocks. Faults are collected, not raised, so that a build shows all of them.

        `file` is its path for messages, `source` the file's whole text, `name` its name without ending, `root` the
        relative URL of the site's root, and `row` what it is about, if it is made of a template.
        """
        given = (markdown, file, source, root, row)
        before = self._made.get(name)
        if before is None or before[0] != given:
            with self.connection.cursor() as cursor:
                application, wrong = self._application(file, source)
                running = _Run(self, Queries(cursor, application, row), markdown, file, source, name, root)
                before = self._made[name] = (given, running.page(), wrong + running.faults)
        _, page, faults = before
        # The pages of a template share its mistakes.
        self.faults += [fault for fault in faults if fault not in self.faults]
        return page

    def made(
        self, sources: Mapping[str, str], file: Callable[[str], str], run: Callable[[str], Page]
    ) -> dict[str, list[entities.Made]]:
        """The pages that each template among these makes. `sources` are all pages' texts by path in the site.

        `file` gives a page's path for messages, `run` the page itself, made.
        """

        def published(path: str, name: str) -> Published | None:
            return run(path).named.get(name)

        found: dict[str, list[entities.Made]] = {}
        for path in entities.templates(sources):
            with self.connection.cursor() as cursor:
                pages, without, fault = entities.make(cursor, path, file(path), sources, published)
            self.faults += [] if fault is None else [fault]
            if without:
                # Its mistakes are named before there is anybody's data.
                name, body = path.removesuffix(".md"), front_matter(sources[path])[1]
                self.page(body, file=file(path), source=sources[path], name=name, root="./", row=without)
            found[path] = pages
        return found

    def _application(self, file: str, source: str) -> tuple[str | None, list[Fault]]:
        """The application that a page's front matter narrows it to, or what is wrong with it."""
        given = front_matter(source)[0].get("application")
        if given is None:
            return None, []
        known = [id for id in self.snapshot.registry if id != PROBE]
        if given in known:
            return str(given), []
        message = f'no application "{given}" in the registry; {near(str(given), known)}'
        return None, [Fault(file, key_line(source, "application"), message)]


def _began(period: str, now: datetime) -> datetime:
    """When the day, week or month began."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if period == "month" else day - timedelta(days=day.weekday() * (period == "week"))


class _Run:
    """One page while it is made."""

    def __init__(
        self, site: Site, queries: Queries, markdown: str, file: str, source: str, name: str, root: str
    ) -> None:
        self.site, self.queries = site, queries
        self.markdown, self.file, self.source, self.name, self.root = markdown, file, source, name, root
        self.lines = markdown.split("\n")
        self.first = body_line(source, markdown) + 1
        self.made = Page(name, markdown)
        self.faults: list[Fault] = []
        self.token = secrets.token_hex(8)
        self.ids: set[str] = set()
        # Columns that the page is filtered by, as a whole, and those of them that some block has.
        self.filter = self.columns(front_matter(source)[0].get("filter"))
        self.filtered: set[str] = set()
        # Names that stand for nothing, for their query failed: what reads one would only repeat its fault.
        self.broken: set[str] = set()
        # Names of charts that wait for the registry: what reads one waits, too.
        self.absent: set[str] = set()

    def page(self) -> Page:
        """Runs the blocks in order and puts a placeholder in the place of each."""
        pieces: list[tuple[Fence, str]] = []
        for fence in fences(self.markdown):
            placeholder = ""
            if not fence.closed:
                self.fault(fence.start, "this block is not closed; add a line of as many marks as it begins with")
                break
            if self.broken & _reads(fence):
                self.broken |= names(fence)
                continue
            try:
                if self.absent & _reads(fence):
                    self.absent |= names(fence)
                    if fence.kind == "chart":
                        placeholder = self.put(WAITS)
                elif fence.kind == "sql":
                    self.queries.add(fence.name, fence.content)
                else:
                    placeholder = self.put(self.block(fence))
            except BlockError as error:
                self.broken |= names(fence)
                for line, message in error.faults:
                    self.fault(fence.start + 1 + line, message, self.quoted(fence.start + 1 + line, message))
            except QueryError as error:
                self.broken.add(fence.name.lower())
                inside = 0 if error.line is None else error.line + 1
                column = None if error.column is None else len(fence.indent) + error.column
                self.fault(fence.start + inside, error.message, column)
            pieces.append((fence, placeholder))
        for name in self.filter:
            if name not in self.filtered and not self.broken:
                message = (
                    f'filter: no chart of this page has a column "{name}" to be filtered by; remove it, or SELECT it'
                )
                self.faults.append(Fault(self.file, key_line(self.source, "filter"), message))
        self.made.markdown = replace(self.words(), pieces)
        self.made.meta = self.heads()
        self.made.named = self.queries.tables
        return self.made

    def columns(self, given: Any) -> tuple[str, ...]:
        """The columns that the front matter filters the whole page by."""
        names = [given] if isinstance(given, str) else [] if given is None else given
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(dict.fromkeys(name.lower() for name in names))
        message = "filter: must be a column, or a list of columns, as in `filter: [os, application_version]`"
        self.faults.append(Fault(self.file, key_line(self.source, "filter"), message))
        return ()

    def heads(self) -> dict[str, str]:
        """The page's title and description with the values that they name, as HTML: themes write them as they are."""
        made = {}
        for key in ("title", "description"):
            given = front_matter(self.source)[0].get(key)
            given = given if isinstance(given, str) else ""
            for value in reversed(list(text.values(given))):
                try:
                    said = html.text(format.inert(self.value(value.name.lower(), value.column)))
                except QueryError as error:
                    where = f"{key}: {{{{ {value.name}.{value.column} }}}}"
                    self.faults.append(Fault(self.file, key_line(self.source, key), f"{where}: {error.message}"))
                    said = ""
                given = made[key] = given[: value.start] + said + given[value.end :]
        return made

    def words(self) -> str:
        """The page's text with the values that it names."""
        given = []
        for value in text.values(self.markdown):
            try:
                if value.wrong:
                    raise QueryError(value.wrong)
                given.append((value, self.value(value.name.lower(), value.column)))
            except QueryError as error:
                self.fault(value.line, f"{{{{ {value.name}.{value.column} }}}}: {error.message}", value.place)
        return text.insert(self.markdown, given)

    def value(self, name: str, given: str) -> str:
        """One value of a result that is not people's. Raises `QueryError`."""
        if name in self.broken | self.absent:
            return format.NOTHING
        relations = self.queries.relations
        if name not in relations:
            known = [one for one in relations if not relations[one]]
            raise QueryError(f'nothing is named "{name}"; {near(name, known)}')
        if relations[name]:
            raise QueryError(f'"{name}" is people\'s rows; give a chart that counts them a `name:`, and say that here')
        columns = describe(self.queries.cursor, quote(name))
        column = next((one for one in columns if one.lower() == given.lower()), None)
        if column is None:
            raise QueryError(f'"{name}" has no column "{given}"; {near(given, columns)}')
        try:
            found = self.queries.cursor.execute(f"SELECT {quote(column)} FROM {quote(name)} LIMIT 2").fetchall()
        except duckdb.Error as error:
            raise explain(error, name, values=False) from None
        if len(found) > 1:
            raise QueryError(f'"{name}" has more than one row; name a query of it that has one, with LIMIT 1 or max(…)')
        try:
            value = found[0][0] if found else None
            return text.shown(column, columns[column], value, self.queries.tables.get(name))
        except ValueError as error:
            raise QueryError(str(error)) from None

    def put(self, piece: str) -> str:
        """Keeps a piece of HTML, and gives the placeholder for it."""
        # It ends in a letter: that of block 1 is no part of that of block 10.
        placeholder = f"abaculus-{self.token}-{len(self.made.pieces)}x"
        self.made.pieces[placeholder] = piece
        return placeholder

    def fault(self, line: int, message: str, column: int | None = None) -> None:
        """Keeps a fault; line and column count from 0 in the page's text."""
        self.faults.append(Fault(self.file, self.first + line, message, None if column is None else column + 1))

    def quoted(self, line: int, message: str) -> int | None:
        """Where on a line the word stands that a message begins to quote."""
        word = re.search(r'"([^"]+)"', message)
        if word is None or line >= len(self.lines):
            return None
        found = re.search(rf"(?<!\w){re.escape(word[1])}(?!\w)", self.lines[line])
        return found.start() if found else None

    def block(self, fence: Fence) -> str:
        """A chart block as HTML; its downloads are put among the page's files."""
        relations = self.queries.relations
        block = self.with_filter(parse(fence.content))
        data = block.data.lower()
        id = self.id(block, relations.get(data, ""))
        try:
            if data not in relations:
                check(self.queries.cursor, f"FROM {quote(block.data)}", relations)
            if lacking := self.lacking(block, relations[data]):
                self.absent |= names(fence)
                return missing.figure(block, lacking, relations[data], f"chart-{id}")
            published = self.published(block, relations[data])
        except QueryError as error:
            raise BlockError([(block.lines.get(error.option or "data", block.lines["data"]), error.message)]) from None
        except duckdb.Error as error:
            raise BlockError([(block.lines["data"], explain(error, block.data, values=False).message)]) from None
        self.expected(block, published)
        if block.name:
            try:
                self.queries.publish(block.name, published, block)
            except QueryError as error:
                raise BlockError([(block.lines["name"], error.message)]) from None
        path = f"data/{self.name}/{id}"
        if not published.empty:
            self.made.files[f"{path}.csv"] = download.csv_text(published).encode()
            self.made.files[f"{path}.parquet"] = download.parquet(published)
        plot, marked = self.drawn(block, published)
        others = self.choices(block, published, fence)
        behind = self.queries.behind(data)
        only = self.queries.application
        sql = f"-- of the application {only}\n\n" if only else ""
        sql += self.about()
        sql += "".join(f"-- {used}\n{self.queries.named[used].sql.strip()}\n\n" for used in behind)
        sql += ("-- what is counted\n" if sql else "") + statement(block, published)
        named = tuple(self.queries.named[used].sql for used in behind)
        title = html.title(block, published.unit)
        line = self.first + fence.start
        self.made.series.append(
            Series(self.name, self.file, line, id, title, sql, named, block, published, self.queries.application)
        )
        return html.figure(block, published, plot, f"chart-{id}", sql, f"{self.root}{path}", marked, others)

    def drawn(self, block: Block, published: Published) -> tuple[dict[str, Any] | None, str]:
        """The figure, for kinds that are drawn, and what it is annotated with in words."""
        plot = charts.figure(block, published) if block.type in charts.CHARTS and not published.empty else None
        return plot, self.marked(block, published, plot)

    def choices(self, block: Block, published: Published, fence: Fence) -> str:
        """What its filters show, as HTML. Says so where it is too much."""
        made, wrong = choices.templates(
            published, lambda shown: html.parts(block, shown, *self.drawn(block, shown)), self.filter
        )
        if wrong:
            line = fence.start + 1 + block.lines["filter"] if "filter" in block.lines else fence.start
            self.site.warnings.append(Fault(self.file, self.first + line, wrong))
        return made

    def with_filter(self, block: Block) -> Block:
        """The block, filtered by the columns that its page is, as far as it has them and shows none of them already."""
        if not (
            self.filter
            and block.people
            and block.type in ONLY["filter"]
            and block.data.lower() in self.queries.relations
        ):
            return block
        there = {name.lower() for name in describe(self.queries.cursor, quote(block.data))}
        mine = {name.lower() for name in (block.x, block.color, *block.more, *block.filter) if name}
        wanted = tuple(name for name in self.filter if name in there - mine)
        self.filtered |= {*wanted, *mine & set(self.filter)}
        return replaced(block, filter=(*block.filter, *wanted))

    def about(self) -> str:
        """What `page` is, as a comment above the SQL of a page that is made of a template."""
        row = self.queries.row
        if row is None or row.values is None:
            return ""
        pairs = zip(row.columns, row.values, strict=True)
        return f"-- page: {', '.join(f'{name} = {format.inert(str(value))}' for (name, _), value in pairs)}\n\n"

    def marked(self, block: Block, published: Published, plot: dict[str, Any] | None) -> str:
        """Draws what the block is annotated with across its figure, and says it in words."""
        if block.annotate is None:
            return ""
        try:
            found = marks.read(self.queries.cursor, block.annotate, self.queries.relations)
            if plot is None:
                return ""
            found = marks.shown(found, published)
            marks.draw(plot, found)
        except QueryError as error:
            raise BlockError([(block.lines["annotate"], error.message)]) from None
        except duckdb.Error as error:
            message = explain(error, block.annotate, values=False).message
            raise BlockError([(block.lines["annotate"], message)]) from None
        return marks.note(found)

    def published(self, block: Block, unit: str) -> Published:
        """What of a block may be shown. One that was counted before, over the same queries, is not counted again."""
        behind = self.queries.behind(block.data.lower())
        sql = tuple((name, self.queries.named[name].sql) for name in behind)
        given = (replaced(block, title=None, name=None), self.queries.application, self.queries.row, sql)
        # What is not people's takes no time, and may be made from charts.
        found = self.site.counted.get(given) if unit else None
        if found is None:
            found = publish(
                self.queries.cursor,
                block,
                unit=unit,
                minimum_users=self.site.minimum_users,
                now=self.site.now,
                rounding=self.site.rounded,
            )
            self.site.counted[given] = found
        return found

    def lacking(self, block: Block, unit: str) -> list[str]:
        """Roles that no attribute has, if the block reads one of people and there is nothing in its place."""
        if not unit:
            return []
        columns = describe(self.queries.cursor, quote(block.data))
        lacking = missing.roles(block, self.site.snapshot.registry)
        there = [role for role in lacking if role in {name.lower() for name in columns}]
        sql = f"SELECT {', '.join(f'count({quote(role)})' for role in there)} FROM {quote(block.data)}"
        # A query may have made a column of that name from something else.
        counted = self.queries.cursor.execute(sql).fetchall()[0] if there else ()
        return [role for role, number in zip(there, counted, strict=True) if number == 0]

    def expected(self, block: Block, published: Published) -> None:
        """Raises `BlockError` with every `expect` that does not hold."""
        if self.queries.row and self.queries.row.values is None:
            return
        wrong: list[str | None] = []
        for expected in block.expect:
            try:
                wrong.append(fails(expected, published))
            except ValueError as error:
                wrong.append(str(error))
        if faults := [(block.lines["expect"], message) for message in wrong if message]:
            raise BlockError(faults)

    def id(self, block: Block, unit: str) -> str:
        """A block's name in addresses: its name or title, in the way of headings; numbered where it is taken."""
        base = re.sub(r"[^a-z0-9]+", "-", (block.name or html.title(block, unit)).lower()).strip("-") or "block"
        id, number = base, 1
        while id in self.ids:
            number += 1
            id = f"{base}-{number}"
        self.ids.add(id)
        return id


def _reads(fence: Fence) -> set[str]:
    """Names that a fence may read: what stands behind FROM, JOIN or a comma, or behind `data:`."""
    pattern = (
        r"^(?:data|annotate):\s*[\"']?(\w+)" if fence.kind == "chart" else r"(?:\bfrom|\bjoin|\btable|,)[\s(\"]+(\w+)"
    )
    return {name.lower() for name in re.findall(pattern, fence.content, re.MULTILINE | re.IGNORECASE)}
