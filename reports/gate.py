"""The gate itself: counts one relation of people's rows for one block, and lets through only what may be shown.

What is not shown is chosen by reports/conceal.py; here it is folded into "Other" where a chart has such a group, or
left blank.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb

from reports import bins
from reports.block import GRAINS, Block, Measure
from reports.cells import Axis, Cell, Counted, conditions, text_of
from reports.columns import INTEGERS, check_x, find, finite, unit_of
from reports.conceal import Key, conceal, sums
from reports.format import inert
from reports.labels import dimension_of, labelled, rank
from reports.measured import intervals, shares, tail
from reports.published import OTHER, Column, Published, Value
from reports.rounding import summed
from reports.sandbox import QueryError
from reports.warehouse import quote

__all__ = ["ENOUGH_SHOWN", "MOST_CELLS", "MOST_ROWS", "Gate", "Held"]

# A grain must show this share of the rows that it was given, or a coarser one is tried.
ENOUGH_SHOWN = 0.8
# No axis is cut finer than this many periods, unless the author asks for it.
MOST_PERIODS = 80
MOST_ROWS = 1_000
MOST_CELLS = 5_000
# Into how many bins a heatmap cuts a number.
HEATMAP_BINS = 12


# Cells that were counted, and the keys of those that are not shown.
View = tuple[Counted, Mapping[Key, Cell], Collection[Key]]


@dataclass(frozen=True)
class Held:
    """Cells, and which of them are not shown: `left_out` for another reason than the gate's, `hidden` all.

    `fold` are the cells that joined an "Other" before these were counted.
    """

    counted: Counted
    cells: dict[Key, Cell]
    left_out: set[Key]
    hidden: set[Key]
    fold: set[Key]


class Gate:
    """One block over one relation of people's rows."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        block: Block,
        columns: Mapping[str, str],
        unit: str,
        minimum: int,
        now: datetime,
        step: int = 0,
    ) -> None:
        self.connection, self.block, self.columns = connection, block, columns
        self.unit, self.minimum, self.now, self.step = unit, minimum, now, step
        self.source = quote(block.data)
        self.measures = tuple(self._measure(measure) for measure in block.y)
        self.x = self._dimension(block.x, "x")
        others = [self._dimension(name, "color" if name == block.color else "x") for name in (block.color, *block.more)]
        self.others = [other for other in others if other is not None]
        for name, kind in self.others:
            if kind == "time":
                raise QueryError(
                    f'color: "{name}" is a time, which has no few groups; put it on x, and first', option="color"
                )
        if block.grain and (self.x is None or self.x[1] != "time"):
            raise QueryError("grain is for a time on x; remove it", option="grain")
        if block.type == "number" and self.x is not None and self.x[1] != "time":
            raise QueryError(f'a number has a time on x, "{self.x[0]}" is not one; remove it', option="x")
        check_x(block, self.x)
        # What was counted for the figure that is drawn: its axes, and as far as time goes.
        self.drawn: tuple[list[Axis], datetime | None] | None = None

    def _dimension(self, name: str | None, option: str) -> tuple[str, str] | None:
        if name is None:
            return None
        if name.lower() == "user_id":
            raise QueryError("user_id is never published; count it with y: people", option=option)
        return find(name, self.columns, option)

    def _measure(self, measure: Measure) -> Column:
        """Checks that a measure fits its column, and says of which kind its values are."""
        if measure.column is None:
            return Column(str(measure), "share" if measure.name == "share" else "number")
        if measure.column.lower() == "user_id":
            raise QueryError(f"{measure} is never published; count people with y: people", option="y")
        name, kind = find(measure.column, self.columns, "y")
        wanted = "boolean" if measure.name == "share" else "number"
        if kind != wanted:
            wants = "a true or false column" if wanted == "boolean" else "a number"
            raise QueryError(
                f'{measure.name} needs {wants}, "{name}" is {self.columns[name]}; select an expression of it',
                option="y",
            )
        return Column(str(measure), "share" if measure.name == "share" else unit_of(name, kind))

    def run(self) -> Published:
        """What may be shown of the block."""
        if self.x is None or self.x[1] != "time":
            self.drawn = self._axes(), None
            return self.cut(self.drawn[0])[0]
        time = quote(self.x[0])
        first, last = self.connection.execute(f"SELECT min({time}), max({time}) FROM {self.source}").fetchall()[0]
        if first is None:
            return self.empty("no data", self._axes("year"))
        best, most = None, -1.0
        for grain in self._grains(first, last):
            published, shown, drawn = self.over_time(grain, last)
            if shown > most:
                best, most, self.drawn = published, shown, drawn
            if shown >= ENOUGH_SHOWN:
                break
        assert best is not None
        return best

    def over_time(self, grain: str, last: Any) -> tuple[Published, float, tuple[list[Axis], datetime | None]]:
        """The periods, with the one that is not over if enough people are in it: it is drawn as such.

        A card compares whole periods, so it leaves that one out, unless no other can be shown.
        """
        current = self.start(grain)
        axes = self._axes(grain)
        if _before(last, current):
            return *self.cut(axes, grain=grain), (axes, None)
        all_of_it, shown = self.cut(axes, grain=grain)
        reaches = not all_of_it.empty and not _before(all_of_it.rows[-1][0], current)
        if reaches and self.block.type != "number":
            return replace(all_of_it, partial=True), shown, (axes, None)
        whole, shown_whole = self.cut(axes, grain=grain, until=current)
        if whole.empty and reaches:
            return replace(all_of_it, partial=True), shown, (axes, None)
        return whole, shown_whole, (axes, current)

    def _grains(self, first: Any, last: Any) -> Sequence[str]:
        """The grain that was asked for, else those to try, from fine to coarse."""
        days = (last - first).days
        if self.block.grain:
            periods = days / GRAINS[self.block.grain]
            if periods > MOST_ROWS:
                raise QueryError(
                    f"grain: {self.block.grain} makes {periods:,.0f} periods; take a coarser one, or fewer days",
                    option="grain",
                )
            return (self.block.grain,)
        fine = [grain for grain, length in GRAINS.items() if grain != "hour" and days / length <= MOST_PERIODS]
        return fine or ["year"]

    def start(self, grain: str) -> datetime:
        """When the current period began."""
        sql = f"SELECT date_trunc('{grain}', $1::TIMESTAMP)::TIMESTAMP"
        began = self.connection.execute(sql, [self.now]).fetchall()[0][0]
        assert isinstance(began, datetime)
        return began

    def _axes(self, grain: str | None = None) -> list[Axis]:
        # Whatever a category was, its label is a text; a time stays one.
        found = [one for one in (self.x, *self.others) if one is not None]
        return [
            Axis(Column(name, "time"), "time", grain=grain)
            if kind == "time"
            else self._bins(name)
            if kind == "number" and self.block.type == "heatmap" and self._many(name)
            else Axis(Column(name, "text"), kind, self._labels(name))
            for name, kind in found
        ]

    def category(self, name: str, option: str) -> Axis:
        """An axis of the categories of a column."""
        found = self._dimension(name, option)
        assert found is not None
        if found[1] == "time":
            raise QueryError(
                f'{option}: "{found[0]}" is a time, which has no few values; name a category', option=option
            )
        return Axis(Column(found[0], "text"), found[1], self._labels(found[0]))

    def _many(self, name: str) -> bool:
        sql = f"SELECT count(DISTINCT {quote(name)}) FROM {self.source}"
        return int(self.connection.execute(sql).fetchall()[0][0]) > max(self.block.limit, 24)

    def _bins(self, name: str) -> Axis:
        axis, _ = self.binned(name, HEATMAP_BINS)
        return axis or Axis(Column(name, "text"), "number", self._labels(name))

    def binned(self, name: str, count: int) -> tuple[Axis | None, bool]:
        """An axis of about so many bins of a number, and whether they are even on a logarithmic scale.

        Its ends are percentiles that enough people lie beyond, made round: not the smallest and largest values.
        """
        value = f"{quote(name)}::DOUBLE"
        where = f"FROM {self.source} WHERE isfinite({value})"
        people = self.connection.execute(f"SELECT count(DISTINCT user_id) {where}").fetchall()[0][0]
        beyond = next((part for part in (0.005, 0.01, 0.02, 0.05, 0.1, 0.25) if people * part >= self.minimum), 0.25)
        sql = f"SELECT quantile_cont({value}, [{beyond}, 0.5, {1 - beyond}]) {where}"
        ends = self.connection.execute(sql).fetchall()[0][0]
        if people < self.minimum or ends is None:
            return None, False
        low, middle, high = ends
        kind = unit_of(name, "number")
        edges, logarithmic = bins.edges(
            low, middle, high, count, whole=self.columns[name] in INTEGERS, time=kind == "milliseconds"
        )
        return Axis(Column(name, kind), "bins", edges=edges), logarithmic

    def _labels(self, name: str) -> tuple[str, ...]:
        """The groups with most people, of those with enough; the rest is folded."""
        people = "count(DISTINCT user_id)"
        found = self.connection.execute(
            f"SELECT {text_of(name)} AS label FROM {self.source} GROUP BY ALL HAVING {people} >= {self.minimum} "
            # The order would tell more than numbers that are rounded.
            f"ORDER BY round({people} / {max(self.step, 1)}) DESC, label LIMIT {self.block.limit}"
        ).fetchall()
        # Two that look the same when shown would be drawn as one and counted as two, as would a group's own "Other".
        shown = {OTHER: OTHER}
        for (label,) in found:
            shown.setdefault(inert(label), label)
        return tuple(label for label in shown.values() if label != OTHER)

    def cut(
        self,
        axes: Sequence[Axis],
        *,
        grain: str | None = None,
        until: datetime | None = None,
    ) -> tuple[Published, float]:
        """What may be shown of these cells, and which share of the rows that is. Time goes as far as `until`."""
        held = self.hold(axes, until)
        inside = [cell for key, cell in held.cells.items() if key not in held.left_out]
        shown = held.cells.keys() - held.hidden
        if not shown:
            return self.empty("too few people" if inside else "no data", axes, grain), 0.0
        views = [(held.counted, held.cells, held.hidden), *self.unfolded(axes, held.fold, shown)]
        values = self.values(views, sums([axis.grain for axis in axes]), axes)
        shares(self.block.y, values, list(held.cells.values()), held.left_out, len(axes))
        people = held.counted.people(shown if held.hidden else None)
        published = self.laid_out(held, values, axes, people, grain)
        if self.block.interval:
            published = intervals(published, held.counted.spread(), shown, axes)
        told = sum(held.cells[key].rows for key in shown if any(value is not None for value in values[key]))
        return published, told / sum(cell.rows for cell in inside)

    def laid_out(
        self, held: Held, values: Mapping[Key, list[Value]], axes: Sequence[Axis], people: int, grain: str | None
    ) -> Published:
        """The cells that are shown as rows, in the order in which they are drawn."""
        rows = [(*labelled(key, axes), *values[key]) for key in held.cells if key not in held.hidden]
        rows.sort(key=lambda row: [rank(axis, label) for axis, label in zip(axes, row, strict=False)])
        groups = sorted({row[1] for row in rows}, key=lambda label: rank(axes[1], label)) if axes[1:] else ()
        back = [held.cells[key].people for key in held.hidden - held.left_out]
        return Published(
            dimensions=tuple(dimension_of(axis) for axis in axes),
            measures=self.measures,
            rows=tuple(rows),
            people=people,
            groups=tuple(groups),
            withheld=sum(number < self.minimum for number in back),
            withheld_more=sum(number >= self.minimum for number in back),
            withheld_measures=sum(row[len(axes) :].count(None) for row in rows),
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
        )

    def hold(self, axes: Sequence[Axis], until: datetime | None) -> "Held":
        """Counts these cells, and says which may not be shown."""
        counted = Counted(self.connection, self.source, axes, self.block.y)
        cells = {cell.key: cell for cell in counted.cells()}
        left_out = {key for key in cells if _left_out(key, until)}
        if len(cells) - len(left_out) > MOST_CELLS:
            raise QueryError(
                f"this makes {len(cells) - len(left_out):,} cells; take a coarser grain or a smaller limit",
                option="grain",
            )
        hidden = self._hidden(counted, cells, left_out, sums([axis.grain for axis in axes]), axes)
        fold = hidden - left_out if self._folds(axes) else set()
        if fold:
            counted = Counted(self.connection, self.source, axes, self.block.y, fold=fold)
            cells = {cell.key: cell for cell in counted.cells()}
            hidden = self._places(cells, left_out, axes) | {key for key in cells if cells[key].people < self.minimum}
        return Held(counted, cells, left_out, hidden, fold)

    def _hidden(
        self,
        counted: Counted,
        cells: Mapping[Key, Cell],
        left_out: Collection[Key],
        totals: Sequence[Callable[[Key], Any]],
        axes: Sequence[Axis],
    ) -> set[Key]:
        people = {key: cell.people for key, cell in cells.items()}
        return conceal(people, left_out, counted.persons, totals, self.minimum, self.rank_hidden(axes))

    def rank_hidden(self, axes: Sequence[Axis], folds: int = -1) -> Callable[[Key, Collection[Key]], Any]:
        """Which cell of a total goes first: "Other", which says least; beside the period that is not over, the last.

        `folds` is the axis whose "Other" is meant.
        """
        grain = axes[0].grain if axes else None
        current = self.start(grain) if grain else None

        def rank(key: Key, gone: Collection[Key]) -> Any:
            folded = len(axes) >= -folds and axes[folds].labels is not None and key[folds] == 0
            late = current is not None and key[0] is not None and any(not one[0] or one[0] >= current for one in gone)
            return not folded, -key[0].timestamp() if late else 0

        return rank

    def _places(self, cells: Mapping[Key, Cell], left_out: Collection[Key], axes: Sequence[Axis]) -> set[Key]:
        """The cells of places that are held back: of a stack, all is shown or nothing."""
        if len(axes) == 1:
            return set(left_out)
        counted = Counted(self.connection, self.source, axes[:1], ())
        places = {cell.key: cell for cell in counted.cells()}
        outside = {key[:1] for key in left_out}
        hidden = self._hidden(counted, places, outside, sums([axes[0].grain]), axes[:1])
        return {key for key in cells if key[:1] in hidden}

    def _folds(self, axes: Sequence[Axis]) -> bool:
        """Whether what is held back joins an "Other": in one list of categories, and in what is stacked."""
        if not axes or axes[-1].labels is None:
            return False
        return len(axes) == 1 or (len(axes) == 2 and (self.block.type in ("area", "share", "bar")))

    def unfolded(self, axes: Sequence[Axis], fold: Collection[Key], shown: Collection[Key]) -> list[View]:
        """The cells before some joined an "Other": a label's total is known, whichever of its cells are shown there.

        None where nothing was folded. `fold` are keys on the first of the axes.
        """
        if not fold:
            return []
        counted = Counted(self.connection, self.source, axes, self.block.y)
        cells = {cell.key: cell for cell in counted.cells()}
        depth = len(next(iter(fold)))
        joined = {*fold, *((*key[:-1], 0) for key in fold)}
        return [(counted, cells, {key for key in cells if key[:depth] in joined or key not in shown})]

    def values(
        self,
        views: Sequence[View],
        totals: Sequence[Callable[[Key], Any]],
        axes: Sequence[Axis],
        keep: Callable[..., set[Key]] = conceal,
        folds: int = -1,
    ) -> dict[Key, list[Value]]:
        """The measures of the cells that are shown; none where too few people stand behind a value.

        Those are who have one, who are in its tail, or who alone make it differ from nothing or from all. The first of
        the views is shown; from what is held back in each of them, nothing may follow.
        """
        closed: list[set[Key]] = [set() for _ in self.block.y]
        for counted, there, gone in views:
            for number, (place, condition) in enumerate(conditions(self.block.y)):
                people = {key: cell.parts[number][1] for key, cell in there.items() if cell.parts[number][0]}

                def persons(
                    keys: list[Key], counted: Counted = counted, condition: str = condition
                ) -> Mapping[Key, set[int]]:
                    return counted.persons(keys, condition)

                rank = self.rank_hidden(axes, folds)
                kept = keep(people, people.keys() & set(gone), persons, totals, self.minimum, rank)
                closed[place] |= kept - set(gone)
        _, cells, hidden = views[0]
        return {
            key: [
                self._told(measure, value, number)
                if number * tail(measure) >= self.minimum and key not in closed[place]
                else None
                for place, (measure, (value, number)) in enumerate(zip(self.block.y, cell.values, strict=True))
            ]
            for key, cell in cells.items()
            if key not in hidden
        }

    def _told(self, measure: Measure, value: Any, people: int) -> Value:
        given: Value = finite(value)
        if self.step and measure.name == "sum" and isinstance(given, int | float):
            return summed(given, people, self.step)
        return given

    def empty(self, why: str, axes: Sequence[Axis] = (), grain: str | None = None) -> Published:
        """Nothing, and why."""
        return Published(
            dimensions=tuple(dimension_of(axis) for axis in axes),
            measures=self.measures,
            rows=(),
            people=0,
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
            empty=why,
        )


def _left_out(key: Key, until: datetime | None) -> bool:
    """Rows without a time or a number, and those of the period that is not over."""
    return None in key or (until is not None and not key[0] < until)


def _before(one: Any, other: datetime) -> bool:
    """Whether a date or time is before another."""
    return bool((one if isinstance(one, datetime) else datetime(one.year, one.month, one.day)) < other)
