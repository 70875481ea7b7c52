"""Pages into published blocks: finds the fences of a page, runs them in the sandbox, gates and draws them.

Knows nothing of MkDocs: text in, text and files out.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb

from reports import charts, download, html
from reports.block import Block, BlockError, parse
from reports.cells import statement
from reports.page import Fault, Fence, body_line, fences, replace
from reports.publish import publish
from reports.sandbox import QueryError, check, explain
from reports.warehouse import VIEWS, Snapshot, connect, quote

__all__ = ["Page", "Site"]

MINIMUM_USERS = 10
QUERY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Page:
    """A page on its way: Markdown with placeholders, the HTML for each, and the files that it links to."""

    markdown: str
    pieces: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def finish(self, content: str) -> str:
        """The page's HTML with each placeholder replaced. The Markdown converter never saw what comes from data."""
        for placeholder, piece in self.pieces.items():
            content = content.replace(f"<p>{placeholder}</p>", piece).replace(placeholder, piece)
        return content


@dataclass(frozen=True)
class _Query:
    sql: str
    unit: str


class Site:
    """One build: a snapshot of the data, the faults found so far, and the blocks published so far."""

    def __init__(self, snapshot: Snapshot, *, minimum_users: int = MINIMUM_USERS, now: datetime | None = None) -> None:
        self.snapshot = snapshot
        self.minimum_users = minimum_users
        self.now = (now or datetime.now(UTC)).replace(tzinfo=None)
        self.connection = connect(snapshot)
        self.faults: list[Fault] = []
        self._token = secrets.token_hex(8)

    @property
    def updated(self) -> datetime | None:
        """When the last compaction run that succeeded began; None before the first."""
        runs = [entry["started"] for entry in self.snapshot.ledger if entry.get("error") is None]
        return datetime.fromisoformat(max(runs)) if runs else None

    @property
    def sample(self) -> list[str]:
        """Names of applications that have data and whose sessions are generated."""
        registry = self.snapshot.registry
        return [registry[id].name for id, files in self.snapshot.files.items() if files and registry[id].sample]

    def page(self, markdown: str, *, file: str, source: str, name: str, root: str) -> Page:
        """Runs a page's blocks. Faults are collected, not raised, so that a build shows all of them.

        `file` is its path for messages, `source` the file's whole text, `name` its name without ending, and `root` the
        relative URL of the site's root.
        """
        first = body_line(source, markdown) + 1
        page = Page(markdown)
        pieces: list[tuple[Fence, str]] = []
        queries: dict[str, _Query] = {}
        ids: set[str] = set()
        broken: set[str] = set()
        # A cursor of its own: a page's queries are its own temporary views.
        with self.connection.cursor() as cursor:
            for fence in fences(markdown):
                placeholder = ""
                if not fence.closed:
                    mark = "add a line of as many marks as it begins with"
                    self.faults.append(Fault(file, first + fence.start, f"this block is not closed; {mark}"))
                    break
                # What reads a query that failed would only repeat its fault.
                if broken & _words(fence.content):
                    broken.add(fence.name.lower())
                    continue
                try:
                    if fence.kind == "sql":
                        self._query(cursor, fence, queries)
                    else:
                        # It ends in a letter: that of block 1 is no part of that of block 10.
                        placeholder = f"abaculus-{self._token}-{len(page.pieces)}x"
                        page.pieces[placeholder] = self._block(cursor, fence, queries, page, name, root, ids)
                except BlockError as error:
                    self.faults += [Fault(file, first + fence.start + 1 + line, text) for line, text in error.faults]
                except QueryError as error:
                    broken.add(fence.name.lower())
                    inside = 0 if error.line is None else error.line + 1
                    self.faults.append(Fault(file, first + fence.start + inside, error.message))
                pieces.append((fence, placeholder))
        page.markdown = replace(markdown, pieces)
        return page

    def _relations(self, queries: Mapping[str, _Query]) -> dict[str, str]:
        return VIEWS | {name: query.unit for name, query in queries.items()}

    def _query(self, cursor: duckdb.DuckDBPyConnection, fence: Fence, queries: dict[str, _Query]) -> None:
        """A named query becomes a view that later blocks of the page can read."""
        name = fence.name.lower()
        if not QUERY_NAME.fullmatch(name):
            raise QueryError(f'"{fence.name}" cannot name a query; use letters, digits and underscores')
        if name in VIEWS or name in queries:
            raise QueryError(f'there is a view or query named "{fence.name}" already; choose another name')
        # Blank lines before it stay, so that lines count from the fence; DuckDB's own tables are not views of ours.
        sql = fence.content.rstrip().rstrip(";")
        if cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = $1", [name]).fetchall() != [(0,)]:
            raise QueryError(f'"{fence.name}" is a table of the build; choose another name')
        try:
            unit = check(cursor, sql, self._relations(queries))
            cursor.execute(f"CREATE TEMP VIEW {quote(name)} AS {sql}")
            cursor.execute(f"SELECT * FROM {quote(name)} LIMIT 0").fetchall()
        except duckdb.Error as error:
            raise explain(error, sql, values=False) from None
        queries[name] = _Query(sql, unit)

    def _block(
        self,
        cursor: duckdb.DuckDBPyConnection,
        fence: Fence,
        queries: Mapping[str, _Query],
        page: Page,
        name: str,
        root: str,
        ids: set[str],
    ) -> str:
        block = parse(fence.content)
        relations = self._relations(queries)
        data = block.data.lower()
        id = _id(block, relations.get(data, ""), ids)
        try:
            if data not in relations:
                check(cursor, f"FROM {quote(block.data)}", relations)
            published = publish(cursor, block, unit=relations[data], minimum_users=self.minimum_users, now=self.now)
        except QueryError as error:
            raise BlockError([(block.lines.get(error.option or "data", block.lines["data"]), error.message)]) from None
        except duckdb.Error as error:
            raise BlockError([(block.lines["data"], explain(error, block.data, values=False).message)]) from None
        path = f"data/{name}/{id}"
        if not published.empty:
            page.files[f"{path}.csv"] = download.csv_text(published).encode()
            page.files[f"{path}.parquet"] = download.parquet(published)
        plot = charts.figure(block, published) if block.type in charts.CHARTS and not published.empty else None
        sql = "".join(f"-- {used}\n{queries[used].sql.strip()}\n\n" for used in _behind(data, queries))
        sql += ("-- what is counted\n" if sql else "") + statement(block, published)
        return html.figure(block, published, plot, f"chart-{id}", sql, f"{root}{path}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _behind(data: str, queries: Mapping[str, _Query]) -> list[str]:
    """The named queries that a block's numbers come from, in the order in which they were written."""
    needed = {data} & queries.keys()
    for name in reversed(list(queries)):
        if name in needed:
            needed |= _words(queries[name].sql) & queries.keys()
    return [name for name in queries if name in needed]


def _id(block: Block, unit: str, taken: set[str]) -> str:
    """A block's name in addresses: its name or title, in the way of headings; numbered where it is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", (block.name or html.title(block, unit)).lower()).strip("-") or "block"
    id, number = base, 1
    while id in taken:
        number += 1
        id = f"{base}-{number}"
    taken.add(id)
    return id
