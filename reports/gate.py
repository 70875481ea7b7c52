"""The gate itself: counts one relation of people's rows for one block, and lets through only what may be shown.

What is not shown is chosen by reports/conceal.py; here it is folded into "Other" where a chart has such a group, or
left blank.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from reports import cuts
from reports.block import Block
from reports.cells import Axis, Cell, Counted, conditions
from reports.columns import dimension, finite, measured
from reports.conceal import Key, conceal, sums
from reports.kinds import Measure
from reports.labels import dimension_of, labelled, rank
from reports.measured import intervals, shares, tail
from reports.published import Column, Published, Value
from reports.relation import Relation
from reports.rounding import summed
from reports.sandbox import QueryError
from reports.warehouse import quote

__all__ = ["MOST_CELLS", "Gate", "Held", "View", "unfolded"]

MOST_CELLS = 5_000
# Into how many bins a heatmap cuts a number.
HEATMAP_BINS = 12
# So many different numbers have a row or column of a heatmap each.
MOST_NUMBERS = 24

# Cells that were counted, and the keys of those that are not shown.
View = tuple[Counted, Mapping[Key, Cell], Collection[Key]]


@dataclass(frozen=True)
class Held:
    """Cells, and which of them are not shown: `left_out` for another reason than the gate's, `hidden` all.

    `fold` are the cells that joined an "Other" before these were counted, and `before` all cells before that.
    """

    counted: Counted
    cells: dict[Key, Cell]
    left_out: set[Key]
    hidden: set[Key]
    fold: set[Key]
    before: tuple[Counted, Mapping[Key, Cell]]


def unfolded(counted: Counted, cells: Mapping[Key, Cell], fold: Collection[Key], shown: Collection[Key]) -> View:
    """Cells before some joined an "Other": a label's total is known, whichever of its cells are shown there.

    `fold` are keys on the first of their axes.
    """
    depth = len(next(iter(fold)))
    joined = {*fold, *((*key[:-1], 0) for key in fold)}
    return counted, cells, {key for key in cells if key[:depth] in joined or key not in shown}


class Gate:
    """One block over one relation of people's rows, which it fits."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        block: Block,
        relation: Relation,
        unit: str,
        minimum: int,
        now: datetime,
        step: int = 0,
    ) -> None:
        self.connection, self.block, self.relation = connection, block, relation
        self.columns = columns = relation.columns
        self.unit, self.minimum, self.now, self.step = unit, minimum, now, step
        self.source = quote(block.data)
        self.measures = tuple(measured(measure, columns) for measure in block.y)
        self.x = dimension(block.x, columns, "x") if block.x else None
        others = [(block.color, "color"), *((name, "x") for name in block.more)]
        self.others = [dimension(name, columns, option) for name, option in others if name]
        # What was counted for the figure that is drawn: its axes, and as far as time goes.
        self.drawn: tuple[list[Axis], datetime | None] | None = None

    def start(self, grain: str) -> datetime:
        """When the current period began."""
        sql = f"SELECT date_trunc('{grain}', $1::TIMESTAMP)::TIMESTAMP"
        began = self.connection.execute(sql, [self.now]).fetchall()[0][0]
        assert isinstance(began, datetime)
        return began

    def axes(self, grain: str | None = None) -> list[Axis]:
        """What the block groups by; a time is cut into this grain."""
        found = [one for one in (self.x, *self.others) if one is not None]
        return [self._axis(name, kind, grain) for name, kind in found]

    def _axis(self, name: str, kind: str, grain: str | None) -> Axis:
        if kind == "time":
            return Axis(Column(name, "time"), "time", grain=grain)
        if kind == "number" and self.block.type == "heatmap":
            many = cuts.distinct(self.connection, self.source, name) > max(self.block.limit, MOST_NUMBERS)
            binned = self.binned(name, HEATMAP_BINS)[0] if many else None
            if binned:
                return binned
        return self._category(name, kind)

    def _category(self, name: str, kind: str) -> Axis:
        known, limit = self.relation.labels, self.block.limit
        if (name, limit) not in known:
            known[name, limit] = cuts.labels(
                self.connection, self.source, name, limit=limit, minimum=self.minimum, step=self.step
            )
        # Whatever a category was, its label is a text.
        return Axis(Column(name, "text"), kind, known[name, limit])

    def binned(self, name: str, count: int) -> tuple[Axis | None, bool]:
        """An axis of about so many bins of a number, and whether they are even on a logarithmic scale."""
        kind = self.columns[name]
        return cuts.binned(self.connection, self.source, name, kind, count=count, minimum=self.minimum)

    def category(self, name: str, option: str) -> Axis:
        """An axis of the categories of a column."""
        return self._category(*dimension(name, self.columns, option))

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
        views: list[View] = [(held.counted, held.cells, held.hidden)]
        if held.fold:
            views.append(unfolded(*held.before, held.fold, shown))
        values = self.values(views, sums([axis.grain for axis in axes]), axes)
        shares(self.block.y, values, list(held.cells.values()), held.left_out, len(axes))
        people = held.counted.people(shown) if held.hidden else self.people(held.counted)
        published = self.laid_out(held, values, axes, people, grain)
        if self.block.interval:
            published = intervals(published, held.counted.spread(), shown, axes)
        told = sum(held.cells[key].rows for key in shown if any(value is not None for value in values[key]))
        return published, told / sum(cell.rows for cell in inside)

    def people(self, counted: Counted) -> int:
        """Distinct people in all rows."""
        if self.relation.people is None:
            self.relation.people = counted.people()
        return self.relation.people

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
        before = counted, cells
        hidden = self._hidden(counted, cells, left_out, sums([axis.grain for axis in axes]), axes)
        fold = hidden - left_out if self._folds(axes) else set()
        if fold:
            counted = Counted(self.connection, self.source, axes, self.block.y, fold=fold)
            cells = {cell.key: cell for cell in counted.cells()}
            hidden = self._places(cells, left_out, axes) | {key for key in cells if cells[key].people < self.minimum}
        return Held(counted, cells, left_out, hidden, fold, before)

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

    def values(
        self,
        views: Sequence[View],
        totals: Sequence[Callable[[Key], Any]],
        axes: Sequence[Axis],
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
                kept = conceal(people, people.keys() & set(gone), persons, totals, self.minimum, rank)
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
