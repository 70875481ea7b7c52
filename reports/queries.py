"""What the blocks of one page can read: the views, the page's named queries, and the tables of its named charts."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from reports.block import Block
from reports.loaded import Loaded
from reports.page import words
from reports.published import Column, Published
from reports.sandbox import QueryError, check, explain
from reports.warehouse import VIEWS, describe, literal, quote

__all__ = ["Queries", "Row", "identifiers", "near"]

# So many columns of a query are kept in memory.
NARROW = 12
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SQL = {"text": "VARCHAR", "boolean": "BOOLEAN", "time": "TIMESTAMP", "share": "DOUBLE"}


@dataclass(frozen=True)
class _Query:
    """A named query; `unit` says what its rows are, "" if they are not people's."""

    sql: str
    unit: str


@dataclass(frozen=True)
class Row:
    """What a page that is made of a template is about: its columns as (name, SQL type), and a value for each.

    Without values it is what a template is checked with while no page is made of it.
    """

    columns: tuple[tuple[str, str], ...]
    values: tuple[Any, ...] | None


class Queries:
    """The relations of one page, by lower-case name, on a cursor of its own: its views are temporary.

    `application` narrows the views to one application; `row` becomes the table `page`; `loaded` is what was
    read of the views before.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        application: str | None = None,
        row: Row | None = None,
        loaded: Loaded | None = None,
    ) -> None:
        self.cursor, self.application, self.row, self.loaded = cursor, application, row, loaded
        self.named: dict[str, _Query] = {}
        self.tables: dict[str, Published] = {}
        if application is not None:
            for view in VIEWS:
                if view != "pipeline":
                    self._narrow(view, application)
        if row is not None:
            # Bound, never written into SQL: whoever sends sessions chose the words.
            given = {f"c{number}": value for number, value in enumerate(row.values or (None,) * len(row.columns))}
            columns = [f"$c{n}::{kind} AS {quote(name)}" for n, (name, kind) in enumerate(row.columns)]
            none = "" if row.values else " WHERE false"
            self.cursor.execute(f"CREATE TEMP TABLE page AS SELECT {', '.join(columns)}{none}", given)

    @property
    def relations(self) -> dict[str, str]:
        """Name -> what its rows are: "runs", "events", "spans", "rows" of people, or "" if not people's."""
        tables = dict.fromkeys([*self.tables, *(["page"] if self.row else [])], "")
        return VIEWS | {name: query.unit for name, query in self.named.items()} | tables

    def add(self, given: str, content: str) -> None:
        """A named query becomes a table that later blocks of the page can read. Raises `QueryError`.

        Not a view: a page has several charts of one query, and what joins or groups would be made anew for each. One of
        many columns, such as SELECT *, stays a view: of all that it has, each chart reads two or three.
        """
        name = self._free(given, "query")
        # Blank lines before it stay, so that lines count from the fence.
        sql = content.rstrip().rstrip(";")
        try:
            unit = check(self.cursor, sql, self.relations)
            self.cursor.execute(f"CREATE TEMP VIEW {quote(name)} AS {sql}")
            if len(describe(self.cursor, quote(name))) <= NARROW:
                self.cursor.execute(f"DROP VIEW {quote(name)}")
                with self._reading(sql):
                    self.cursor.execute(f"CREATE TEMP TABLE {quote(name)} AS {sql}")
        except duckdb.Error as error:
            raise explain(error, sql, values=False) from None
        self.named[name] = _Query(sql, unit)

    def _narrow(self, view: str, application: str) -> None:
        self.cursor.execute(
            f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT * FROM memory.main.{view} "
            f"WHERE application = {literal(application)}"
        )

    @contextmanager
    def _reading(self, sql: str) -> Iterator[None]:
        """Puts what is loaded in the place of the views that a query reads."""
        views = {view: self.rows(view) for view in self.loaded.read_by(sql)} if self.loaded else {}
        views = {view: rows for view, rows in views.items() if rows}
        for view, rows in views.items():
            self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS FROM {rows}")
        try:
            yield
        finally:
            for view in views:
                if self.application is None:
                    self.cursor.execute(f"DROP VIEW temp.{view}")
                else:
                    self._narrow(view, self.application)

    def rows(self, data: str, columns: Collection[str] = ()) -> str | None:
        """SQL of a view's rows with these columns, if they are loaded."""
        if self.loaded is None or not VIEWS.get(data):
            return None
        return self.loaded.relation(data, self.application, columns)

    def publish(self, given: str, published: Published, block: Block | None = None) -> None:
        """The published cells of a named chart become a table, of time only the periods that are over.

        One without a cell has the columns that it will have: a page must not fail before there is data.
        """
        name = self._free(given, "chart")
        if published.empty and block:
            published = _promised(block, published)
        columns, values = [], {}
        for number, (column, called) in enumerate(zip(published.columns, identifiers(published), strict=True)):
            given_values = [row[number] for row in published.whole]
            whole = all(value is None or isinstance(value, int) for value in given_values)
            kind = SQL.get(column.kind, "BIGINT" if whole and given_values else "DOUBLE")
            columns.append(f"unnest($c{number}::{kind}[]) AS {quote(called)}")
            values[f"c{number}"] = given_values
        self.cursor.execute(f"CREATE TEMP TABLE {quote(name)} AS SELECT {', '.join(columns)}", values)
        self.tables[name] = published

    def _free(self, given: str, what: str) -> str:
        name = given.lower()
        if not NAME.fullmatch(name):
            raise QueryError(f'"{given}" cannot name a {what}; use letters, digits and underscores')
        if name in self.relations:
            raise QueryError(f'there is a view, query or chart named "{given}" already; choose another name')
        # DuckDB's own tables are not views of ours.
        if self.cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = $1", [name]).fetchall() != [
            (0,)
        ]:
            raise QueryError(f'"{given}" is a table of the build; choose another name')
        return name

    def behind(self, data: str) -> list[str]:
        """The named queries that a block's numbers come from, in the order in which they were written."""
        needed = {data} & self.named.keys()
        for name in reversed(list(self.named)):
            if name in needed:
                needed |= words(self.named[name].sql) & self.named.keys()
        return [name for name in self.named if name in needed]


def _promised(block: Block, published: Published) -> Published:
    """An empty chart with all columns of its kind."""
    dimensions, measures = published.dimensions, published.measures
    if block.type == "retention":
        dimensions = (Column("first used", "time"), Column(f"{block.grain or 'month'}s since", "number"))
        measures = (Column("people", "number"), Column("share", "share"), Column("of people", "number"))
    elif block.type == "funnel":
        dimensions = (Column("step", "text"),)
        measures = (*measures, Column("of the first", "share"), Column("of the step before", "share"))
    elif block.type == "histogram":
        dimensions = (Column("from", "number"), Column("to", "number"))
    if block.interval:
        measures = (*measures, *(Column(f"{measures[0].name} {end}", measures[0].kind) for end in ("from", "to")))
    return replace(published, dimensions=dimensions, measures=measures)


def near(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not there."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), names, 1)
    return f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names)}"


def _identifier(name: str) -> str:
    """A published column's name where SQL and text read it: `share(failed)` is `share_failed`."""
    return re.sub(r"\W+", "_", name).strip("_") or "value"


def identifiers(published: Published) -> list[str]:
    """Names for all columns of a named chart's table; a number makes two of one name differ."""
    return list(_distinct(_identifier(column.name) for column in published.columns))


def _distinct(names: Iterable[str]) -> Iterable[str]:
    taken: set[str] = set()
    for name in names:
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(free.lower())
        yield free
