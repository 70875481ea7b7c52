"""The SQL of the gate: rows into cells, and how many distinct people stand in each.

Nothing here decides what may be shown; reports/gate.py does. Names with a space in them are ours: no query can be
called so.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from reports.block import Block
from reports.by_person import by_person, percentiles
from reports.conceal import Key
from reports.kinds import PERCENTILES, Measure
from reports.published import UNKNOWN, Column, Published, Value
from reports.warehouse import literal, quote, quote_if_needed

__all__ = ["Axis", "Cell", "Counted", "conditions", "statement", "text_of"]


@dataclass(frozen=True)
class Axis:
    """What a chart groups by: periods of a time, categories, or bins of a number.

    `labels` are the categories that are kept, as texts in the order of their size. In a cell's key they are 1, 2, …;
    every other value is 0. `edges` are those of the bins: 0 is what is below the first, and their number what is not
    below the last.
    """

    column: Column
    kind: str
    labels: tuple[str, ...] | None = None
    grain: str | None = None
    edges: tuple[float, ...] | None = None

    def sql(self, number: int) -> str:
        """The key of a row; its labels are the parameter `labels0`, `labels1` and so on."""
        name = quote(self.column.name)
        if self.edges is not None:
            return f"CASE WHEN {name} IS NULL OR isnan({name}::DOUBLE) THEN NULL ELSE {_bin(name, self.edges, 0)} END"
        if self.labels is None:
            return f"date_trunc('{self.grain}', {name})::TIMESTAMP"
        return f"coalesce(list_position($labels{number}::VARCHAR[], {text_of(self.column.name)}), 0)"

    @property
    def type(self) -> str:
        """The SQL type of its keys."""
        return "TIMESTAMP" if self.labels is None and self.edges is None else "INTEGER"


def _bin(name: str, edges: tuple[float, ...], first: int) -> str:
    """Which bin a number is in, by halving: few comparisons for many rows."""
    if not edges:
        return str(first)
    middle = len(edges) // 2
    return (
        f"CASE WHEN {name} < {edges[middle]!r}::DOUBLE THEN {_bin(name, edges[:middle], first)} "
        f"ELSE {_bin(name, edges[middle + 1 :], first + middle + 1)} END"
    )


def text_of(name: str) -> str:
    """A category as text: null is one like any other."""
    return f"coalesce({quote(name)}::VARCHAR, {literal(UNKNOWN)})"


@dataclass(frozen=True)
class Cell:
    """A cell before the gate: its rows, its distinct people, and each measure's value with the people behind it.

    `parts` are the rows and the people of each of the measures' conditions.
    """

    key: Key
    rows: int
    people: int
    values: tuple[tuple[Value, int], ...]
    parts: tuple[tuple[int, int], ...] = ()


def conditions(measures: Sequence[Measure]) -> list[tuple[int, str]]:
    """Of which rows a measure's value would give away the number: (its place, a condition).

    From a share and a count follows how many rows are true, and how many are not; from a sum, what the few add that
    have anything to add.
    """
    found: list[tuple[int, str]] = []
    for place, measure in enumerate(measures):
        column = f"c{place}"
        if measure.name == "share" and measure.column:
            found += [(place, column), (place, f"NOT {column}")]
        elif measure.name in ("sum", "mean"):
            found.append((place, f"{column} <> 0"))
    return found


class Counted:
    """One way to cut a relation of people's rows into cells.

    The cells of `fold` join the "Other" of their place: the last part of their key, which may be shorter than that of
    a cell, becomes 0 before anything is counted.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        axes: Sequence[Axis],
        measures: Sequence[Measure],
        fold: Collection[Key] = (),
    ) -> None:
        self.connection, self.measures = connection, measures
        self.keys = [f"k{number}" for number in range(len(axes))]
        self.axes = axes
        self.labels: dict[str, Any] = {
            f"labels{n}": list(axis.labels) for n, axis in enumerate(axes) if axis.labels is not None
        }
        wanted = [f"{axis.sql(number)} AS k{number}" for number, axis in enumerate(axes)]
        wanted += [f"{quote(of.column)} AS c{number}" for number, of in enumerate(measures) if of.column]
        self.rows = f"SELECT {', '.join([*wanted, 'user_id'])} FROM {source}"
        if fold:
            last = self.keys[len(next(iter(fold))) - 1]
            among, self.labels = self._among(fold)
            self.rows = f"SELECT * REPLACE (CASE WHEN {among} THEN 0 ELSE {last} END AS {last}) FROM ({self.rows})"

    def _among(self, keys: Collection[Key]) -> tuple[str, dict[str, Any]]:
        """A condition that a row is in one of these cells, and the parameters with what it needs."""
        start = sum(name.startswith("among") for name in self.labels)
        axes = self.axes[: len(next(iter(keys)))]
        names = [f"among{start + number}" for number in range(len(axes))]
        lists = [f"unnest(${name}::{axis.type}[]) AS {name}" for name, axis in zip(names, axes, strict=True)]
        # IS NOT DISTINCT FROM would be slow, and a key that is null is never asked for.
        given = {name: [key[number] for key in keys] for number, name in enumerate(names)}
        wanted = ", ".join(self.keys[: len(axes)])
        among = f"({wanted}) IN (SELECT ({', '.join(names)}) FROM (SELECT {', '.join(lists)}))"
        return among, {**self.labels, **given}

    def _ask(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, self.labels if parameters is None else parameters).fetchall()

    def cells(self) -> list[Cell]:
        """Every cell, in the order of their keys.

        What is held back depends on it where several choices are as good. It must be the same in each build: two that
        hold back different cells would together tell both.
        """
        wanted = [condition for _, condition in conditions(self.measures)]
        depth, values = len(self.keys), 2 * len(self.measures)
        tails: dict[Key, Iterator[Any]] = {}
        if sql := percentiles(self.rows, self.keys, self.measures):
            tails = {row[:depth]: iter(row[depth:]) for row in self._ask(sql)}
        made: list[Cell] = []
        for row in self._ask(by_person(self.rows, self.keys, self.measures, wanted)):
            key, (rows, people), rest = row[:depth], row[depth : depth + 2], row[depth + 2 :]
            if rows:
                measured = tuple(
                    (next(tails[key]) if measure.name in PERCENTILES else value, number)
                    for measure, (value, number) in zip(self.measures, _pairs(rest[:values]), strict=True)
                )
                made.append(Cell(key, rows, people, measured, _pairs(rest[values:])))
        return sorted(made, key=lambda cell: [(part is None, 0 if part is None else part) for part in cell.key])

    def persons(self, keys: Collection[Key], condition: str = "true") -> dict[Key, set[int]]:
        """Who stands in these cells, of which each has few people."""
        found: dict[Key, set[int]] = defaultdict(set)
        if not self.keys or not keys:
            return found
        there = f"user_id IS NOT NULL AND {condition}"
        sql = f"SELECT DISTINCT {', '.join(self.keys)}, user_id FROM ({self.rows}) WHERE {there}"
        whole = [key for key in keys if None not in key]
        for number in range(len(self.keys)):
            # Few cells have a null in their key; they are found apart.
            missing = [key for key in keys if key[number] is None]
            if missing:
                for *key, user in self._ask(f"{sql} AND {self.keys[number]} IS NULL"):
                    if tuple(key) in missing:
                        found[tuple(key)].add(user)
        if whole:
            among, parameters = self._among(whole)
            for *key, user in self._ask(f"{sql} AND {among}", parameters):
                found[tuple(key)].add(user)
        return found

    def people(self, keys: Collection[Key] | None = None) -> int:
        """Distinct people in these cells; in all without."""
        if not self.keys or keys is None:
            return int(self._ask(f"SELECT count(DISTINCT user_id) FROM ({self.rows})")[0][0])
        if not keys:
            return 0
        among, parameters = self._among(keys)
        return int(self._ask(f"SELECT count(DISTINCT user_id) FROM ({self.rows}) WHERE {among}", parameters)[0][0])

    def people_by_last(self, keys: Collection[Key]) -> dict[Any, int]:
        """Distinct people in these cells, by the last part of their key."""
        if not keys:
            return {}
        among, parameters = self._among(keys)
        last = self.keys[-1]
        sql = f"SELECT {last}, count(DISTINCT user_id) FROM ({self.rows}) WHERE {among} GROUP BY {last}"
        return dict(self._ask(sql, parameters))

    def spread(self) -> dict[Key, tuple[float, int]]:
        """Of the first measure, a share or mean: each cell's variance and the number of its people.

        Runs of one person resemble each other, so it is people who are drawn at random, not runs: the usual estimate
        for a ratio of totals. A run of CI is a draw of its own.
        """
        keys = "".join(f"{key}, " for key in self.keys)
        by = f"GROUP BY {', '.join(self.keys)}" if self.keys else ""
        alone = "CASE WHEN user_id IS NULL THEN"
        found = self._ask(f"""
            WITH "by person" AS (
                SELECT {keys}user_id, count(c0)::DOUBLE AS n, sum(c0::DOUBLE) AS s,
                    {alone} sum(c0::DOUBLE * c0::DOUBLE) ELSE sum(c0::DOUBLE) * sum(c0::DOUBLE) END AS ss,
                    {alone} sum(c0::DOUBLE) ELSE count(c0) * sum(c0::DOUBLE) END AS sn,
                    {alone} count(c0)::DOUBLE ELSE count(c0)::DOUBLE * count(c0) END AS nn,
                    {alone} count(c0) ELSE 1 END AS m
                FROM ({self.rows}) WHERE c0 IS NOT NULL GROUP BY {keys}user_id
            )
            SELECT {keys}sum(s), sum(n), sum(ss), sum(sn), sum(nn), sum(m) FROM "by person" {by}
        """)
        made: dict[Key, tuple[float, int]] = {}
        depth = len(self.keys)
        for row in found:
            s, n, ss, sn, nn, m = row[depth:]
            if n and m > 1:
                ratio = s / n
                made[row[:depth]] = (max(0.0, (ss - 2 * ratio * sn + ratio * ratio * nn) / n**2 * m / (m - 1)), int(m))
        return made


def _pairs(values: tuple[Any, ...]) -> tuple[tuple[Any, Any], ...]:
    return tuple(zip(values[::2], values[1::2], strict=True))


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
    if published.sql:
        return published.sql
    names = [quote_if_needed(column.name) for column in published.dimensions]
    if not block.people:
        names += [quote_if_needed(column.name) for column in published.measures]
        return f"SELECT {', '.join(names)} FROM {block.data}"
    keys, columns = list(names), list(names)
    if published.grain and keys:
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
