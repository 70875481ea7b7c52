"""What is made of the cells that are shown: parts of a whole, and how sure a share or a mean is."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from reports.cells import Axis, Cell
from reports.conceal import Key
from reports.kinds import PERCENTILES, Measure
from reports.labels import labelled
from reports.published import Column, Published, Value

__all__ = ["intervals", "shares", "tail"]

SURE = NormalDist().inv_cdf(0.975)


def tail(measure: Measure) -> float:
    """Which part of a measure's people must reach the minimum.

    A percentile is close to one person's value unless half the minimum lies beyond it: p95 needs ten times as many.
    """
    part = PERCENTILES.get(measure.name, 0.5)
    return round(2 * min(part, 1 - part), 6)


def shares(
    y: Sequence[Measure],
    values: Mapping[Key, list[Value]],
    cells: Sequence[Cell],
    left_out: Collection[Key],
    depth: int,
) -> None:
    """Bare `share`: each cell's part of all, for each place on x where there is a color."""
    by = 1 if depth > 1 else 0
    totals: dict[Key, int] = {}
    for cell in cells:
        if cell.key not in left_out:
            totals[cell.key[:by]] = totals.get(cell.key[:by], 0) + cell.rows
    for place, measure in enumerate(y):
        if measure == Measure("share"):
            for key, row in values.items():
                counted = row[place]
                row[place] = counted / totals[key[:by]] if isinstance(counted, int) else None


def intervals(
    published: Published, spread: Mapping[Key, tuple[float, int]], keys: Collection[Key], axes: Sequence[Axis]
) -> Published:
    """With the ends of the first measure's 95 % interval as two more columns."""
    measure, depth, wanted = published.measures[0], len(axes), set(keys)
    spread = {tuple(labelled(key, axes)): one for key, one in spread.items() if key in wanted}
    rows = [(*row, *_interval(measure, row[depth], spread.get(row[:depth]))) for row in published.rows]
    ends = tuple(Column(f"{measure.name} {end}", measure.kind) for end in ("from", "to"))
    return replace(published, measures=(*published.measures, *ends), rows=tuple(rows), interval=True)


def _interval(measure: Column, value: Value, spread: tuple[float, int] | None) -> tuple[Value, Value]:
    """Wilson's for a share, with as many draws as would spread so much by themselves; the usual one for a mean."""
    if spread is None or not isinstance(value, int | float):
        return None, None
    variance, people = spread
    if measure.kind != "share":
        half = SURE * math.sqrt(variance)
        return value - half, value + half
    draws = value * (1 - value) / variance if variance else people
    middle = (value + SURE**2 / (2 * draws)) / (1 + SURE**2 / draws)
    half = SURE * math.sqrt(value * (1 - value) / draws + SURE**2 / (4 * draws**2)) / (1 + SURE**2 / draws)
    return max(0.0, middle - half), min(1.0, middle + half)
