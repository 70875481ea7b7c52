"""What pages read of people's views, as tables: a view would be made from the files again for every chart.

Only the columns that pages name are loaded, and DuckDB packs them: eighteen columns of ten million sessions take a
quarter of a gigabyte.
"""

import re
from collections.abc import Collection, Mapping

import duckdb

from reports.page import fences, front_matter, words
from reports.sandbox import parse, tables, walk
from reports.warehouse import LOADED, VIEWS, describe, literal, quote

__all__ = ["Loaded"]

# The columns of its run, as one, in each row of events and spans.
RUN = "session"


class Loaded:
    """Tables with the columns that pages read of the views, each made when it is first asked for."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        # Besides what a page names: whose row it is.
        self._words = {view: {"user_id"} for view, unit in VIEWS.items() if unit}
        self._parts: set[str] = set()
        self._views: dict[str, Mapping[str, str]] = {}
        # What is to be loaded, until a page names more.
        self._wanted: dict[str, Mapping[str, str]] = {}
        self._tables: dict[str, Mapping[str, str]] = {}

    def want(self, source: str) -> None:
        """Takes note of what a page's blocks and its front matter may read."""
        self._wanted.clear()
        for_all = words(str(front_matter(source)[0]))
        for text in (fence.content for fence in fences(source)):
            read = words(text)
            for view in self._words.keys() & read:
                self._words[view] |= read | for_all
            self._parts.update(re.findall(rf'\b{RUN}"?\s*\.\s*"?(\w+)', text.lower()))

    def relation(self, view: str, application: str | None, columns: Collection[str] = ()) -> str | None:
        """SQL of a view's rows, narrowed to an application; None if one of these columns is not loaded."""
        wanted = self._wanted[view] = self._wanted.get(view) or self._columns(view)
        # A page that is narrowed names it in its front matter, and so loads the column.
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
        """The views that a query reads; none if what it gives may depend on columns that it does not name."""
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
            parts = [f"{quote(name)} := {RUN}.{quote(name)}" for name in there if name.lower() in self._parts]
            wanted |= {RUN: f"struct_pack({', '.join(parts)})"}
            if not parts:
                del wanted[RUN]
        return wanted


def _reads_all(node: Mapping[str, object]) -> bool:
    """Whether a part of a query stands for columns without their names."""
    whole = node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).lower() == RUN  # type: ignore[index]
    return (
        whole or node.get("class") == "STAR" or node.get("ref_type") == "NATURAL" or bool(node.get("column_name_alias"))
    )
