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
from reports.page import Fault, Fence, body_line, fences, replace
from reports.publish import publish, statement
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
    text: str


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
        # A cursor of its own: a page's queries are its own temporary views.
        with self.connection.cursor() as cursor:
            for fence in fences(markdown):
                placeholder = ""
                try:
                    if fence.kind == "sql":
                        self._query(cursor, fence, queries)
                    else:
                        placeholder = f"abaculus-{self._token}-{len(page.pieces)}"
                        page.pieces[placeholder] = self._block(cursor, fence, queries, page, name, root, ids)
                except BlockError as error:
                    self.faults += [Fault(file, first + fence.start + 1 + line, text) for line, text in error.faults]
                except QueryError as error:
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
        sql = fence.content.strip().rstrip(";")
        lead = fence.content[: len(fence.content) - len(fence.content.lstrip())].count("\n")
        try:
            unit = check(cursor, sql, self._relations(queries))
            cursor.execute(f"CREATE TEMP VIEW {quote(name)} AS {sql}")
            cursor.execute(f"SELECT * FROM {quote(name)} LIMIT 0").fetchall()
        except duckdb.Error as error:
            found = explain(error, sql)
            raise QueryError(found.message, None if found.line is None else found.line + lead) from None
        queries[name] = _Query(sql, unit, fence.content.strip())

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
            raise BlockError([(_line(block, error), error.message)]) from None
        except duckdb.Error as error:
            raise BlockError([(block.lines["data"], explain(error, block.data).message)]) from None
        path = f"data/{name}/{id}"
        if not published.empty:
            page.files[f"{path}.csv"] = download.csv_text(published).encode()
            page.files[f"{path}.parquet"] = download.parquet(published)
        plot = charts.figure(block, published) if block.type in charts.CHARTS and not published.empty else None
        named = f"-- {data}\n{queries[data].text}\n\n-- what is counted\n" if data in queries else ""
        return html.figure(block, published, plot, id, named + statement(block, published), f"{root}{path}")


def _id(block: Block, unit: str, taken: set[str]) -> str:
    """A block's anchor: its name or title, in the way of headings; numbered where it is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", (block.name or html.title(block, unit)).lower()).strip("-") or "block"
    id, number = base, 1
    while id in taken:
        number += 1
        id = f"{base}-{number}"
    taken.add(id)
    return id


def _line(block: Block, error: QueryError) -> int:
    """On which of the block's lines the option stands that an error speaks of."""
    for key in ("x", "color", "y", "grain"):
        given = block.y and ", ".join(str(measure) for measure in block.y) if key == "y" else getattr(block, key)
        if given and key in block.lines:
            names = [measure.column for measure in block.y if measure.column] if key == "y" else [str(given)]
            if any(f'"{name}"' in error.message for name in names) or error.message.startswith(f"{key}"):
                return block.lines[key]
    return block.lines.get("data", 0)
