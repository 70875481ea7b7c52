"""The tables that blocks of one page can read: views, named queries, and published tables of named charts."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from reports.blocks.names import distinct, words
from reports.blocks.published import Published
from reports.pages.page_views import PageViews, Row
from reports.query.column_cache import Loaded
from reports.query.quoting import describe, quote
from reports.query.sandbox import QueryError, check, explain, parse
from reports.query.views import VIEWS

__all__ = ["Queries", "identifiers"]

# How many columns of a query are kept in memory.
NARROW = 12
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The column types of published cells, by their kind.
SQL = {"text": "VARCHAR", "boolean": "BOOLEAN", "time": "TIMESTAMP", "share": "DOUBLE"}


@dataclass(frozen=True)
class _Query:
    """A named query. `unit` says what its rows are, "" if they are not people's, and `kept` whether it is a table."""

    sql: str
    unit: str
    kept: bool


class Queries:
    """The relations of one page, by lower-case name, on its own cursor. `PageViews` has the views."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        application: str | None = None,
        row: Row | None = None,
        loaded: Loaded | None = None,
    ) -> None:
        self.cursor, self.application, self.row = cursor, application, row
        self.views = PageViews(cursor, application, row, loaded)
        self.named: dict[str, _Query] = {}
        self.tables: dict[str, Published] = {}
        # The columns of named queries, with their types.
        self.columns: dict[str, dict[str, str]] = {}
        self._others: set[str] | None = None

    @property
    def relations(self) -> dict[str, str]:
        """Name -> what its rows are: "runs", "events", "spans", "rows" of people, or "" if not people's."""
        tables = dict.fromkeys([*self.tables, *(["page"] if self.row else [])], "")
        return VIEWS | {name: query.unit for name, query in self.named.items()} | tables

    def add(self, given: str, content: str) -> None:
        """A named query becomes a table that later blocks of the page can read. Raises `QueryError`.

        Not a view, because several charts of a page may read the query, and a view would compute its joins and groups
        for each. One of many columns, such as SELECT *, stays a view: of all that it has, each chart reads two or
        three.
        """
        name = self._free(given, "query")
        # Blank lines before the query stay, so that lines count from the fence.
        sql = content.rstrip().rstrip(";")
        try:
            unit = check(self.cursor, sql, self.relations)
            # Of the views themselves: a hint about a misspelt column needs all columns.
            kept = len(describe(self.cursor, sql)) <= NARROW
            if kept:
                with self.views.loaded_for(sql):
                    self.cursor.execute(f"CREATE TEMP TABLE {quote(name)} AS {sql}")
            else:
                self.cursor.execute(f"CREATE TEMP VIEW {quote(name)} AS {sql}")
            self.columns[name] = describe(self.cursor, quote(name))
        except duckdb.Error as error:
            raise explain(error, sql, values=False) from None
        self.named[name] = _Query(sql, unit, kept)

    def rows(self, data: str, columns: Collection[str]) -> str | None:
        """SQL for the rows of a view or query that is fast to read repeatedly, if there is any."""
        query = self.named.get(data)
        return self.views.rows(data, columns) if query is None else quote(data) if query.kept else None

    def orders(self, name: str) -> bool:
        """Whether a name is a query with an ORDER BY."""
        query = self.named.get(name.lower())
        (statement,) = parse(self.cursor, query.sql)["statements"] if query else ({},)
        return any(one["type"] == "ORDER_MODIFIER" for one in statement.get("node", {}).get("modifiers", ()))

    def publish(self, given: str, published: Published) -> None:
        """The published cells of a named chart become a table. Raises `QueryError` if its name is taken."""
        name = self._free(given, "chart")
        _create(self.cursor, name, published)
        self.tables[name] = published

    def _free(self, given: str, what: str) -> str:
        name = given.lower()
        if not NAME.fullmatch(name):
            raise QueryError(f'"{given}" cannot name a {what}; use letters, digits and underscores')
        if name in self.relations:
            raise QueryError(f'there is a view, query or chart named "{given}" already; choose another name')
        # DuckDB's own tables are not views of ours. They are read once, because this takes longer than some queries.
        if self._others is None:
            self._others = {row[0] for row in self.cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if name in self._others:
            raise QueryError(f'"{given}" is a table of the build; choose another name')
        return name

    def behind(self, data: str) -> list[str]:
        """The named queries behind a block's numbers, in the order in which they were written."""
        needed = {data} & self.named.keys()
        for name in reversed(list(self.named)):
            if name in needed:
                needed |= words(self.named[name].sql) & self.named.keys()
        return [name for name in self.named if name in needed]


def _create(cursor: duckdb.DuckDBPyConnection, name: str, published: Published) -> None:
    """Creates a table of published cells, without the current period. Without cells, it has the columns that it has
    later, so that a page does not fail before there is data.
    """
    columns, values = [], {}
    for number, (column, called) in enumerate(zip(published.columns, identifiers(published), strict=True)):
        given = [row[number] for row in published.whole]
        whole = all(value is None or isinstance(value, int) for value in given)
        kind = SQL.get(column.kind, "BIGINT" if whole and given else "DOUBLE")
        columns.append(f"unnest($c{number}::{kind}[]) AS {quote(called)}")
        values[f"c{number}"] = given
    cursor.execute(f"CREATE TEMP TABLE {quote(name)} AS SELECT {', '.join(columns)}", values)


def identifiers(published: Published) -> list[str]:
    """Names of all columns for SQL and text: `share(failed)` is `share_failed`."""
    return distinct(re.sub(r"\W+", "_", column.name).strip("_") or "value" for column in published.columns)
