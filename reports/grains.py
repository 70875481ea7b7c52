"""The usual block, one aggregate by columns: over time in the grain that shows most of the data."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from reports.cells import Axis
from reports.gate import Gate
from reports.kinds import GRAINS
from reports.published import Published
from reports.sandbox import QueryError
from reports.warehouse import quote

__all__ = ["ENOUGH_SHOWN", "aggregate", "over_time"]

# A grain must show this share of the rows that it was given, or a coarser one is tried.
ENOUGH_SHOWN = 0.8
# No axis is cut finer than this many periods, unless the author asks for it.
MOST_PERIODS = 80
# Nor finer than this if they do.
MOST_ASKED_FOR = 1_000


def aggregate(gate: Gate) -> Published:
    """What may be shown of a block whose cells are one aggregate by columns."""
    if gate.x is None or gate.x[1] != "time":
        gate.drawn = gate.axes(), None
        return gate.cut(gate.drawn[0])[0]
    time = quote(gate.x[0])
    first, last = gate.connection.execute(f"SELECT min({time}), max({time}) FROM {gate.source}").fetchall()[0]
    if first is None:
        return gate.empty("no data", gate.axes("year"))
    best, most = None, -1.0
    for grain in _grains(gate.block.grain, (last - first).days):
        published, shown, drawn = over_time(gate, grain, last)
        if shown > most:
            best, most, gate.drawn = published, shown, drawn
        if shown >= ENOUGH_SHOWN:
            break
    assert best is not None
    return best


def over_time(gate: Gate, grain: str, last: Any) -> tuple[Published, float, tuple[list[Axis], datetime | None]]:
    """The periods, with the one that is not over if enough people are in it: it is drawn as such.

    A card compares whole periods, so it leaves that one out, unless no other can be shown.
    """
    current = gate.start(grain)
    axes = gate.axes(grain)
    if _before(last, current):
        return *gate.cut(axes, grain=grain), (axes, None)
    all_of_it, shown = gate.cut(axes, grain=grain)
    reaches = not all_of_it.empty and not _before(all_of_it.rows[-1][0], current)
    if reaches and gate.block.type != "number":
        return replace(all_of_it, partial=True), shown, (axes, None)
    whole, shown_whole = gate.cut(axes, grain=grain, until=current)
    if whole.empty and reaches:
        return replace(all_of_it, partial=True), shown, (axes, None)
    return whole, shown_whole, (axes, current)


def _grains(asked: str | None, days: int) -> Sequence[str]:
    """The grain that was asked for, else those to try, from fine to coarse."""
    if asked:
        periods = days / GRAINS[asked]
        if periods > MOST_ASKED_FOR:
            raise QueryError(
                f"grain: {asked} makes {periods:,.0f} periods; take a coarser one, or fewer days", option="grain"
            )
        return (asked,)
    fine = [grain for grain, length in GRAINS.items() if grain != "hour" and days / length <= MOST_PERIODS]
    return fine or ["year"]


def _before(one: Any, other: datetime) -> bool:
    """Whether a date or time is before another."""
    return bool((one if isinstance(one, datetime) else datetime(one.year, one.month, one.day)) < other)
