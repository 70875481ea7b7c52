"""The bins of a number, and how many rows and people are in each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reports.cells import Axis, Counted
from reports.columns import finite
from reports.gate import Gate
from reports.labels import bin_names, ends
from reports.published import Column, Published, Value
from reports.warehouse import quote, quote_if_needed

__all__ = ["BINS", "ended", "histogram", "widened"]

# From fine to coarse: the first whose bins all have enough people is taken.
BINS = (36, 24, 16, 10, 6, 4, 2, 1)


def histogram(gate: Gate) -> Published:
    """Bins of a number. What lies beyond the outermost bins with enough people is part of these."""
    assert gate.x is not None
    name, _ = gate.x
    best, most = gate.empty("no data"), -1.0
    for count in BINS:
        axis, logarithmic = gate.binned(name, count)
        if axis is None:
            there = gate.connection.execute(f"SELECT count({quote(name)}) FROM {gate.source}").fetchall()[0][0]
            return gate.empty("too few people" if there else "no data")
        axis = widened(gate, axis)
        made, shown = gate.cut([axis])
        if made.empty:
            best = made if best.empty else best
            continue
        if shown > most:
            best, most, gate.drawn = _bins(gate, axis, made, logarithmic), shown, ([axis], None)
        if not made.withheld and not made.withheld_more:
            break
    return best


def widened(gate: Gate, axis: Axis) -> Axis:
    """The axis with its first and last bins so wide, to the outside, that they have enough people."""
    edges = axis.edges or ()
    counted = Counted(gate.connection, gate.source, [axis], ())
    people = {cell.key: cell.people for cell in counted.cells() if cell.key != (None,)}
    known = counted.persons([key for key, number in people.items() if number < gate.minimum])

    def outermost(numbers: list[int]) -> int:
        seen: set[int] = set()
        for number in numbers:
            seen |= known.get((number,), set())
            if people.get((number,), 0) >= gate.minimum or len(seen) >= gate.minimum:
                return number
        return numbers[-1]

    # Bin n lies between the edges n - 1 and n.
    first, last = outermost(list(range(len(edges) + 1))), outermost(list(range(len(edges), -1, -1)))
    kept = edges[first:last]
    return replace(axis, edges=kept or edges[len(edges) // 2 : len(edges) // 2 + 1])


def _bins(gate: Gate, axis: Axis, made: Published, logarithmic: bool) -> Published:
    """The bins as where they begin and end, with the median and the 95th percentile of all values."""
    shown = quote_if_needed(axis.column.name)
    sql = (
        f"-- {shown} in bins from the column from up to, not including, to\n"
        f"SELECT {shown}, count(*), count(DISTINCT user_id)\nFROM {gate.block.data}\nGROUP BY bin of {shown}\n"
        f"HAVING count(DISTINCT user_id) >= {gate.minimum}"
    )
    return replace(ended(gate, axis, made), logarithmic=logarithmic, sql=sql)


def ended(
    gate: Gate, axis: Axis, made: Published, only: str = "true", given: Mapping[str, Any] | None = None
) -> Published:
    """Cells of bins as where each begins and ends, and the percentiles of their values; `only` says of which rows."""
    column = axis.column
    names = {label: number for number, label in enumerate(bin_names(axis))}
    rows: list[tuple[Value, ...]] = []
    for label, *values in made.rows:
        number = names[str(label)]
        rows.append((*ends(axis, number), *values))
    value = f"{quote(column.name)}::DOUBLE"
    median, high, people = gate.connection.execute(
        f"SELECT quantile_cont({value}, 0.5), quantile_cont({value}, 0.95), count(DISTINCT user_id) "
        f"FROM {gate.source} WHERE isfinite({value}) AND {only}",
        dict(given or {}),
    ).fetchall()[0]
    # As for any percentile: half the minimum must lie beyond it.
    marks = [("p50", finite(median))] if people >= gate.minimum else []
    if people * 0.1 >= gate.minimum:
        marks.append(("p95", finite(high)))
    return replace(
        made,
        dimensions=(Column("from", column.kind), Column("to", column.kind)),
        rows=tuple(rows),
        groups=(),
        marks=tuple(marks),
    )
