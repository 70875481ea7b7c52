"""The SQL of the gate: rows into cells, and how many distinct people stand in each.

Nothing here decides what may be shown; reports/publish.py does. Names with a space in them are ours: no query can be
called so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from reports.block import PERCENTILES, Block, Measure
from reports.published import UNKNOWN, Column, Published, Value
from reports.warehouse import literal, quote, quote_if_needed

__all__ = ["Axis", "Cell", "Counted", "statement", "text_of"]


@dataclass(frozen=True)
class Axis:
    """What a chart groups by: periods of a time, or categories.

    `labels` are the categories that are kept, as texts in the order of their size. In a cell's key they are 1, 2, …;
    every other value is 0.
    """

    column: Column
    kind: str
    labels: tuple[str, ...] | None = None
    grain: str | None = None

    def sql(self, number: int) -> str:
        """The key of a row; its labels are the parameter `labels0` or `labels1`."""
        if self.labels is None:
            return f"date_trunc('{self.grain}', {quote(self.column.name)})::TIMESTAMP"
        return f"coalesce(list_position($labels{number}::VARCHAR[], {text_of(self.column.name)}), 0)"


def text_of(name: str) -> str:
    """A category as text: null is one like any other."""
    return f"coalesce({quote(name)}::VARCHAR, {literal(UNKNOWN)})"


@dataclass(frozen=True)
class Cell:
    """A cell before the gate: its rows, its distinct people, and each measure's value with the people behind it."""

    key: tuple[Any, ...]
    rows: int
    people: int
    values: tuple[tuple[Value, int], ...]


class Counted:
    """One way to cut a relation of people's rows into cells.

    With `fold`, a category of the second axis with fewer people than that in one place of the first joins the "Other"
    of that place before anything is counted.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        axes: Sequence[Axis],
        measures: Sequence[Measure],
        where: str,
        fold: int | None,
    ) -> None:
        self.connection, self.measures = connection, measures
        self.keys = [f"k{number}" for number in range(len(axes))]
        self.labels = {f"labels{n}": list(axis.labels) for n, axis in enumerate(axes) if axis.labels is not None}
        wanted = [f"{axis.sql(number)} AS k{number}" for number, axis in enumerate(axes)]
        wanted += [f"{quote(of.column)} AS c{number}" for number, of in enumerate(measures) if of.column]
        self.rows = f"SELECT {', '.join([*wanted, 'user_id'])} FROM {source} WHERE {where}"
        if fold is not None:
            self.rows = f"""
                WITH "all rows" AS ({self.rows}), "too small" AS (
                    SELECT k0, k1 FROM "all rows" WHERE k1 <> 0 GROUP BY ALL HAVING count(DISTINCT user_id) < {fold}
                )
                SELECT * REPLACE (CASE WHEN (k0, k1) IN (FROM "too small") THEN 0 ELSE k1 END AS k1) FROM "all rows"
            """

    def cells(self) -> list[Cell]:
        """Every cell, in one pass over the relation (two with `fold`)."""
        counted = ["count(*)", "count(DISTINCT user_id)"]
        for number, measure in enumerate(self.measures):
            column = f"c{number}"
            there = f" FILTER ({column} IS NOT NULL)" if measure.column else ""
            counted += [_aggregate(measure, column), f"count(DISTINCT user_id){there}"]
        sql = f"SELECT {', '.join([*self.keys, *counted])} FROM ({self.rows})"
        depth = len(self.keys)
        found = self.connection.execute(sql + (" GROUP BY ALL" if self.keys else ""), self.labels).fetchall()
        return [
            Cell(
                row[:depth],
                row[depth],
                row[depth + 1],
                tuple(zip(row[depth + 2 :: 2], row[depth + 3 :: 2], strict=True)),
            )
            for row in found
            if row[depth]
        ]

    def people(self, minimum: int, *, all_pass: bool) -> int:
        """Distinct people in the cells that have at least `minimum` of them."""
        where = ""
        if self.keys and not all_pass:
            key = f"({', '.join(self.keys)})"
            enough = f"SELECT {key} FROM ({self.rows}) GROUP BY {', '.join(self.keys)}"
            where = f" WHERE {key} IN ({enough} HAVING count(DISTINCT user_id) >= {minimum})"
        sql = f"SELECT count(DISTINCT user_id) FROM ({self.rows}){where}"
        return int(self.connection.execute(sql, self.labels).fetchall()[0][0])


def _aggregate(measure: Measure, column: str) -> str:
    """A measure over a cell. A bare `share` is counted here and divided when it is known what is shown."""
    if measure.name in PERCENTILES:
        return f"quantile_cont({column}::DOUBLE, {PERCENTILES[measure.name]})"
    if measure.name == "share" and measure.column:
        return f"avg({column}::INTEGER)"
    return {
        "count": "count(*)",
        "share": "count(*)",
        "people": "count(DISTINCT user_id)",
        "per_person": "count(user_id) / count(DISTINCT user_id)",
        "sum": f"sum({column})::DOUBLE",
        "mean": f"avg({column})::DOUBLE",
    }[measure.name]


def statement(block: Block, published: Published) -> str:
    """What the gate counts, as SQL that a reader can follow and a maintainer can run (folding left out)."""
    names = [quote_if_needed(column.name) for column in published.dimensions]
    if not block.people:
        names += [quote_if_needed(column.name) for column in published.measures]
        return f"SELECT {', '.join(names)} FROM {block.data}"
    keys, columns = list(names), list(names)
    if published.grain:
        keys[0] = f"date_trunc('{published.grain}', {names[0]})"
        columns[0] = f"{keys[0]} AS {names[0]}"
    for measure in block.y:
        counted = _aggregate(measure, quote_if_needed(measure.column or ""))
        if measure.name == "share" and measure.column is None:
            counted = f"count(*) / sum(count(*)) OVER ({f'PARTITION BY {keys[0]}' if keys[1:] else ''})"
        columns.append(f"{counted} AS {quote_if_needed(str(measure))}")
    return (
        f"SELECT {', '.join(columns)}\nFROM {block.data}\n"
        + (f"GROUP BY {', '.join(keys)}\n" if keys else "")
        + f"HAVING count(DISTINCT user_id) >= {published.minimum_users}"
    )
