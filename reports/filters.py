"""`filter:` on a block: the same figure again for each value of a column alone, through the gate with the first.

A reader has the figure of everything beside those of single values. So the value is one more axis of the same cells,
and what could be worked out by taking some of them from others is held back like any other. Two columns at once would
be cells of few people, each in many sums at a time; so each column is offered on its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from reports.cells import Axis, Counted, conditions
from reports.conceal import Key, conceal, sums
from reports.gate import MOST_CELLS, Gate, Held, View, unfolded
from reports.grains import ENOUGH_SHOWN, over_time
from reports.histogram import BINS, ended, widened
from reports.kinds import GRAINS
from reports.labels import labelled
from reports.measured import intervals, shares
from reports.published import Filter, Published
from reports.sandbox import QueryError

__all__ = ["filtered"]


def filtered(gate: Gate, published: Published) -> Published:
    """What is published, and the same for each value of the columns that the block is filtered by."""
    axes = [gate.category(name, "filter") for name in gate.block.filter]
    if published.empty or gate.drawn is None:
        return published
    return replace(published, filters=tuple(_filter(gate, published, axis) for axis in axes))


def _filter(gate: Gate, published: Published, axis: Axis) -> Filter:
    best: Filter | None = None
    most = -1.0
    for (axes, until), base in _ways(gate, published):
        made, shown = _split(gate, base, axes, until, axis)
        if shown > most:
            best, most = made, shown
        if shown >= ENOUGH_SHOWN:
            break
    assert best is not None
    return best


def _ways(gate: Gate, published: Published) -> Iterator[tuple[tuple[list[Axis], datetime | None], Published]]:
    """How the figure is drawn; then with ever fewer bins, or longer periods where nobody asked for a grain."""
    assert gate.drawn is not None
    yield gate.drawn, published
    if gate.block.type == "histogram":
        fewer = gate.drawn[0][0]
        for count in BINS:
            axis, logarithmic = gate.binned(fewer.column.name, count)
            if axis is not None and len(axis.edges or ()) < len(fewer.edges or ()):
                fewer = widened(gate, axis)
                yield ([fewer], None), replace(published, logarithmic=logarithmic)
    if published.grain is None or gate.block.grain is not None:
        return
    last = published.rows[-1][0]
    for grain in list(GRAINS)[list(GRAINS).index(published.grain) + 1 :]:
        longer, _, drawn = over_time(gate, grain, last)
        if len({row[0] for row in longer.rows}) < 2:
            return
        yield drawn, longer


def _split(
    gate: Gate, published: Published, axes: Sequence[Axis], until: datetime | None, axis: Axis
) -> tuple[Filter, float]:
    """The figure for each value, and which share of the rows that have one of them is shown."""
    base = gate.hold(axes, until)
    every = [*axes, axis]
    counted = Counted(gate.connection, gate.source, every, gate.block.y, fold=base.fold)
    cells = {cell.key: cell for cell in counted.cells()}
    if len(cells) > MOST_CELLS:
        raise QueryError(
            f"filter: {axis.column.name} makes {len(cells):,} cells; take a coarser grain or a smaller limit",
            option="filter",
        )
    # What the figure itself does not show is not split, and a value without a name is not offered.
    outside = {key for key in cells if key[:-1] in base.left_out}
    left_out = outside | {key for key in cells if key[:-1] in base.hidden or key[-1] == 0}
    totals = sums([axis.grain for axis in every])
    people = {key: cell.people for key, cell in cells.items()}
    rank = gate.rank_hidden(every, -2)
    hidden = conceal(people, left_out, counted.persons, totals, gate.minimum, rank)
    shown = cells.keys() - hidden
    views: list[View] = [(counted, cells, hidden)]
    if base.fold and conditions(gate.block.y):
        whole = Counted(gate.connection, gate.source, every, gate.block.y)
        views.append(unfolded(whole, {cell.key: cell for cell in whole.cells()}, base.fold, shown))
    values = gate.values(views, totals, every, -2)
    numbers = counted.people_by_last(shown)
    spread = counted.spread() if gate.block.interval and shown else {}
    series: list[tuple[str, Published]] = []
    told = rows = 0
    for value, _ in enumerate(axis.labels or (), 1):

        def of(keys: Any, value: int = value) -> set[Key]:
            return {key[:-1] for key in keys if key[-1] == value}

        own_keys = [key for key in cells if key[-1] == value and key not in outside]
        there = {key[:-1]: replace(cells[key], key=key[:-1]) for key in own_keys}
        if not there:
            continue
        held = Held(counted, there, of(left_out - outside), of(hidden - outside), set(), (counted, there))
        own = {key[:-1]: given for key, given in values.items() if key[-1] == value}
        (label,) = labelled((value,), [axis])
        rows += sum(cell.rows for cell in there.values())
        if not own:
            continue
        shares(gate.block.y, own, list(held.cells.values()), (), len(axes))
        made = gate.laid_out(held, own, axes, numbers[value], published.grain)
        if gate.block.interval:
            made = intervals(made, {key[:-1]: one for key, one in spread.items() if key[-1] == value}, own, axes)
        told += sum(there[key].rows for key in own if any(given is not None for given in own[key]))
        reaches = made.rows[-1][0] == published.unfinished
        made = replace(made, partial=published.partial and reaches, logarithmic=published.logarithmic)
        if gate.block.type == "histogram":
            only = f"{axis.sql(0)} = $value"
            made = ended(gate, axes[0], made, only, {"labels0": list(axis.labels or ()), "value": value})
        series.append((str(label), made))
    return Filter(axis.column.name, tuple(series)), told / rows if rows else 0.0
