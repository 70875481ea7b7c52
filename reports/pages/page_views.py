"""The views of one page: limited to its application, and read from loaded tables."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from reports.query.column_cache import Loaded
from reports.query.quoting import literal, quote
from reports.query.views import VIEWS

__all__ = ["PageViews", "Row"]


@dataclass(frozen=True)
class Row:
    """The row of a page that a template generates: its columns as (name, SQL type), and a value for each. Without
    values, it is used to check a template that generates no page yet.
    """

    columns: tuple[tuple[str, str], ...]
    values: tuple[Any, ...] | None


class PageViews:
    """The views on the page's own cursor. Changes there are temporary.

    `application` limits them to one application, `row` becomes the table `page`, and `loaded` has the tables that were
    read before.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, application: str | None, row: Row | None, loaded: Loaded | None
    ) -> None:
        self.cursor, self.application, self.loaded = cursor, application, loaded
        for view in VIEWS if application is not None else ():
            if view != "pipeline":
                self._reset(view)
        if row is not None:
            # Bound, never written into SQL, because the sender of a session chose the text.
            given = {f"c{number}": value for number, value in enumerate(row.values or (None,) * len(row.columns))}
            columns = [f"$c{n}::{kind} AS {quote(name)}" for n, (name, kind) in enumerate(row.columns)]
            none = "" if row.values else " WHERE false"
            self.cursor.execute(f"CREATE TEMP TABLE page AS SELECT {', '.join(columns)}{none}", given)

    def _reset(self, view: str) -> None:
        if self.application is None:
            self.cursor.execute(f"DROP VIEW temp.{view}")
            return
        self.cursor.execute(
            f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT * FROM memory.main.{view} "
            f"WHERE application = {literal(self.application)}"
        )

    @contextmanager
    def loaded_for(self, sql: str) -> Iterator[None]:
        """Replaces the views that a query reads with loaded tables."""
        views = {view: self.rows(view) for view in self.loaded.read_by(sql)} if self.loaded else {}
        views = {view: rows for view, rows in views.items() if rows}
        for view, rows in views.items():
            self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS FROM {rows}")
        try:
            yield
        finally:
            for view in views:
                self._reset(view)

    def rows(self, data: str, columns: Collection[str] = ()) -> str | None:
        """SQL of a view's rows with these columns, if they are loaded."""
        if self.loaded is None or not VIEWS.get(data):
            return None
        return self.loaded.relation(data, self.application, columns)
