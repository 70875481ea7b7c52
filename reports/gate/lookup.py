"""Looks up what a plan needs before it counts people's rows: categories, times, and the range of a number. Blocks over
the same rows share the results.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import duckdb

from reports.blocks.format import inert
from reports.blocks.kinds import Measure
from reports.blocks.published import OTHER, UNKNOWN
from reports.gate.cells import Cell, Counted, Cut, Key, Part
from reports.gate.count import MOST_CELLS, count, text_of
from reports.gate.rules import Rules
from reports.query.quoting import literal, quote
from reports.query.relation import Relation

__all__ = ["BEYOND", "Ends", "Rows"]

Found = TypeVar("Found")
# The part of all rows that may lie beyond each end of the bins.
BEYOND = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
# A chart names at most this many categories of a column.
MOST_LABELS = 200


@dataclass(frozen=True)
class Ends:
    """The range of a number: how many people have one, and its percentiles at `BEYOND`, the median, and 1 - `BEYOND`.
    At least the minimum number of people have a value up to `low`, and the same from `high` on.
    """

    people: int
    parts: list[float]
    low: float
    high: float


@dataclass(frozen=True)
class Rows:
    """People's rows. `source` is their SQL, and `relation` has what is known about them. `also` are the measures of
    other blocks with the same groups.
    """

    connection: duckdb.DuckDBPyConnection
    source: str
    relation: Relation
    rules: Rules
    now: datetime
    also: frozenset[Measure] = frozenset()

    def known(self, key: Any, find: Callable[[], Found]) -> Found:
        """The cached result of this key, or a new one."""
        known = self.relation.known
        if (self.source, key) not in known:
            known[self.source, key] = find()
        found: Found = known[self.source, key]
        return found

    def _ask(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def labels(self, name: str, limit: int) -> tuple[str, ...]:
        """The named categories: of those that may be shown, the ones with most people, by rounded numbers."""
        return tuple(self._categories(name)[0])[:limit]

    def _categories(self, name: str) -> tuple[dict[str, Cell], int]:
        """The categories that may be shown, in the order of their size, and the number of all rows."""
        return self.known(("categories", name), lambda: self._sized(name))

    def _sized(self, name: str) -> tuple[dict[str, Cell], int]:
        step, value = self.rules.step, quote(name)
        # By the column as it is, and only then as text: DuckDB groups a stored text by its number in a dictionary. Null
        # and the text of its label are one category.
        if self.relation.columns[name] == "VARCHAR":
            value = f"nullif({value}, {literal(UNKNOWN)})"
        people = f"SELECT {value} AS value, user_id, count(*) AS n FROM {self.source} GROUP BY ALL"
        values = (
            "SELECT value, count(user_id) AS people, sum(n) AS n, sum(n) FILTER (user_id IS NOT NULL) AS own, "
            f"sum(sum(n)) OVER () AS whole FROM ({people}) GROUP BY value"
        )
        # The exact order would tell more than rounded numbers. Categories without people are last, by their runs.
        size = f"(2 * {{}} + {step}) // {2 * step} DESC"
        found = self._ask(
            f"SELECT {text_of('value')} AS label, n, people, own, whole FROM ({values}) "
            f"WHERE {self._shows('people', 'n')} ORDER BY {size.format('people')}, "
            f"{size.format('CASE WHEN people = 0 THEN n ELSE 0 END')}, label LIMIT {MOST_LABELS}"
        )
        # Two categories that look the same would be drawn as one and counted as two. The same holds for a category
        # called "Other".
        seen, cells = {OTHER}, {}
        for label, rows, people, own, _ in found:
            if inert(label) not in seen:
                seen.add(inert(label))
                cells[label] = Cell(rows, people, own or 0, ())
        return cells, found[0][-1] if found else 0

    def in_order(self, name: str, labels: tuple[str, ...]) -> list[str]:
        """Those of these categories whose rows are together in the order of the query. An order by single rows would
        tell when one person ran the tool, or for how long.
        """
        found = self._ask(
            "SELECT label FROM (SELECT label, row_number() OVER () AS n FROM "
            f"(SELECT {text_of(name)} AS label FROM {self.source}) WHERE list_contains($labels::VARCHAR[], label)) "
            "GROUP BY label HAVING 1 + max(n) - min(n) = count(*) ORDER BY min(n)",
            {"labels": list(labels)},
        )
        return [label for (label,) in found]

    def _shows(self, people: str, rows: str) -> str:
        """The rule that decides which cells are shown, as SQL."""
        return f"({people} >= {self.rules.minimum} OR ({people} = 0 AND {rows} >= {10 * self.rules.minimum}))"

    def counted(self, cut: Cut) -> Counted:
        """The cells of a cut. Cuts with the same axes in any order share what is counted of all rows."""
        axes = tuple(sorted(cut.axes, key=repr))
        measures = tuple(sorted({one for one in (*cut.measures, *cut.also) if one.column}, key=str))
        wanted = Cut(cut.source, axes, measures, interval=cut.interval)
        found = self.known(wanted, lambda: self._cells(wanted))
        self.known(Cut(cut.source, axes), lambda: found)
        places = [axes.index(axis) for axis in cut.axes]
        parts = [measures.index(one) if one.column else None for one in cut.measures]
        cells = {
            tuple(key[place] for place in places): replace(
                cell, parts=tuple(Part() if part is None else cell.parts[part] for part in parts)
            )
            for key, cell in found.items()
        }
        return Counted(cells, cut.measures, cut.places, cut.interval)

    def _cells(self, cut: Cut) -> dict[Key, Cell]:
        """Counts a cut, unless finding the categories of its only axis has counted all of it: nothing is "Other"."""
        if len(cut.axes) == 1 and cut.axes[0].labels and not cut.measures and cut.source == self.source:
            cells, whole = self._categories(cut.axes[0].column.name)
            named = {(number,): cells[label] for number, label in enumerate(cut.axes[0].labels, 1)}
            if sum(cell.rows for cell in named.values()) == whole:
                return named
        return count(self.connection, cut)

    def named(self, cut: Cut) -> float:
        """Which part of the rows that have a name on every axis is in shown cells."""
        cells = self.counted(cut).cells
        if len(cells) > MOST_CELLS:
            return 0.0
        nameless = [None if axis.labels is None else 0 for axis in cut.axes]
        return self.shown(
            cell for key, cell in cells.items() if all(a != b for a, b in zip(key, nameless, strict=True))
        )

    def shown(self, cells: Iterable[Cell]) -> float:
        """Which part of the rows of these cells is in shown ones."""
        found = [(cell.rows, self.rules.shows(cell.people, cell.rows)) for cell in cells]
        whole = sum(rows for rows, _ in found)
        return sum(rows for rows, shown in found if shown) / whole if whole else 0.0

    def span(self, name: str) -> tuple[Any, Any]:
        """The first and the last time for an axis. Times of too few people do not count."""
        return self.known(("span", name), lambda: self._span(quote(name)))

    def _span(self, time: str) -> tuple[Any, Any]:
        least = max(self.rules.minimum, 1)
        runs = max(10 * self.rules.minimum, 1)  # without a person
        people = f"SELECT min({time}) AS low, max({time}) AS high FROM {self.source} WHERE user_id IS NOT NULL"
        ends = [
            (least, f"SELECT min(low, {least}), max(high, {least}) FROM ({people} GROUP BY user_id)"),
            (runs, f"SELECT min({time}, {runs}), max({time}, {runs}) FROM {self.source} WHERE user_id IS NULL"),
        ]
        found = [(count, *self._ask(sql)[0]) for count, sql in ends]
        enough = [(firsts[-1], lasts[-1]) for count, firsts, lasts in found if firsts and len(firsts) >= count]
        if not enough:
            return None, None
        return min(first for first, _ in enough), max(last for _, last in enough)

    def begins_within(self, name: str, grain: str) -> datetime | None:
        """The first period, if its rows begin only after a tenth of it. It would look like a rise."""
        low, _ = self.span(name)
        if low is None:
            return None
        began = f"date_trunc('{grain}', $1::TIMESTAMP)"
        later = f"$1::TIMESTAMP > {began} + ({began} + INTERVAL 1 {grain} - {began}) / 10"
        sql = f"SELECT CASE WHEN {later} THEN {began}::TIMESTAMP END"
        found: datetime | None = self.known(("begins", low, grain), lambda: self._ask(sql, [low])[0][0])
        return found

    def distinct(self, name: str) -> int:
        """How many values a column has."""
        sql = f"SELECT count(DISTINCT {quote(name)}) FROM {self.source}"
        return int(self.known(("distinct", name), lambda: self._ask(sql)[0][0]))

    def ends(self, name: str) -> Ends | None:
        """The range of a number. None if too few people have a value."""
        return self.known(("ends", name), lambda: self._ends(name))

    def _ends(self, name: str) -> Ends | None:
        value, least = f"{quote(name)}::DOUBLE", max(self.rules.minimum, 1)
        parts = [*BEYOND, 0.5, *(1 - part for part in BEYOND)]
        where = f"FROM {self.source} WHERE isfinite({value})"
        people, lows, highs, found = self._ask(
            f"SELECT count(user_id), min(low, {least}), max(high, {least}), "
            f"(SELECT quantile_cont({value}, {parts}) {where}) FROM (SELECT user_id, min({value}) AS low, "
            f"max({value}) AS high {where} AND user_id IS NOT NULL GROUP BY user_id)"
        )[0]
        return None if people < least else Ends(people, found, lows[-1], highs[-1])

    def start(self, grain: str) -> datetime:
        """When the current period began."""
        sql = f"SELECT date_trunc('{grain}', $1::TIMESTAMP)::TIMESTAMP"
        began = self.known(("start", grain), lambda: self._ask(sql, [self.now])[0][0])
        assert isinstance(began, datetime)
        return began
