"""Caches the columns that pages read in tables, because a view would read the files again for every chart. It loads
only the columns that pages name, and DuckDB compresses them: eighteen columns of ten million sessions take a quarter of
a gigabyte.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import duckdb

from reports.blocks.names import words
from reports.query.quoting import describe, literal, quote
from reports.query.sandbox import parse, tables, walk
from reports.query.views import LOADED, VIEWS

__all__ = ["Loaded"]

# The columns of its run, as one, in each row of events and spans.
RUN = "session"


class Loaded:
    """Tables with the columns of the views that pages read. Each is created at its first use."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        # The person is loaded in addition to the columns that a page names.
        self._words = {view: {"user_id"} for view, unit in VIEWS.items() if unit}
        # The members of RUN that a page names.
        self._parts = {view: set[str]() for view in self._words}
        self._views: dict[str, Mapping[str, str]] = {}
        # The columns to load, until a page names more.
        self._wanted: dict[str, Mapping[str, str]] = {}
        self._tables: dict[str, Mapping[str, str]] = {}

    def want(self, blocks: Iterable[str], for_all: Collection[str] = ()) -> None:
        """Collects the columns that blocks of a page may read; `for_all` are column names for each."""
        self._wanted.clear()
        for text in blocks:
            read, parts = words(text), re.findall(rf'\b{RUN}"?\s*\.\s*"?(\w+)', text.lower())
            for view in self._words.keys() & read:
                self._words[view] |= read.union(for_all)
                self._parts[view].update(parts)

    def relation(self, view: str, application: str | None, columns: Collection[str] = ()) -> str | None:
        """SQL for the rows of a view, limited to an application. None if one of these columns is not loaded."""
        wanted = self._wanted[view] = self._wanted.get(view) or self._columns(view)
        # A page that is limited to an application names it in its front matter, and so loads the column.
        needed = {*columns, *(["application"] if application else [])}
        if not {column.lower() for column in needed} <= {name.lower() for name in wanted}:
            return None
        if self._tables.get(view) != wanted:
            selected = ", ".join(f"{sql} AS {quote(name)}" for name, sql in wanted.items())
            sql = f"CREATE OR REPLACE TABLE {LOADED}.{view} AS SELECT {selected} FROM memory.main.{view}"
            self.connection.execute(sql)
            self._tables[view] = wanted
        narrowed = "" if application is None else f" WHERE application = {literal(application)}"
        return f"(SELECT * FROM {LOADED}.{view}{narrowed})"

    def read_by(self, sql: str) -> list[str]:
        """The views that a query reads. Empty if its result may depend on columns that it does not name."""
        nodes = list(walk(parse(self.connection, sql)))
        if any(_reads_all(node) for node in nodes):
            return []
        read = tables(nodes)
        return [view for view, unit in VIEWS.items() if unit and view in read]

    def _columns(self, view: str) -> Mapping[str, str]:
        """The columns to load, with the SQL of each."""
        if view not in self._views:
            self._views[view] = describe(self.connection, f"memory.main.{view}")
        wanted = {name: quote(name) for name in self._views[view] if name.lower() in self._words[view]}
        if RUN in wanted:
            there = describe(self.connection, f"SELECT unnest({RUN}) FROM memory.main.{view}")
            parts = [f"{quote(name)} := {RUN}.{quote(name)}" for name in there if name.lower() in self._parts[view]]
            wanted |= {RUN: f"struct_pack({', '.join(parts)})"}
            if not parts:
                del wanted[RUN]
        return wanted


def _reads_all(node: Mapping[str, object]) -> bool:
    """Whether a part of a query reads columns without naming them."""
    whole = node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).lower() == RUN  # type: ignore[index]
    return (
        whole or node.get("class") == "STAR" or node.get("ref_type") == "NATURAL" or bool(node.get("column_name_alias"))
    )
