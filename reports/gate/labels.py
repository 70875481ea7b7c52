"""The names and the order of shown cells: periods, categories, bins."""

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from reports.blocks import format
from reports.blocks.format import inert
from reports.blocks.published import OTHER, UNKNOWN, Column, Value
from reports.gate.cells import Axis, Key
from reports.gate.order import ordered

__all__ = ["BOOLEANS", "bin_names", "dimension_of", "ends", "labelled", "rank", "without_gaps"]

EMPTY = "(empty)"
WHOLE = re.compile(r"-?\d+")
# An axis of more whole numbers than these would be mostly empty.
MOST_BETWEEN = 60
BOOLEANS = {"true": "yes", "false": "no"}


def dimension_of(axis: Axis) -> Column:
    """An axis as it is shown: bins are texts."""
    return Column(axis.column.name, "text") if axis.edges is not None else axis.column


def labelled(key: Key, axes: Sequence[Axis]) -> list[Value]:
    """The key with labels instead of their numbers."""
    made: list[Value] = []
    for part, axis in zip(key, axes, strict=True):
        if axis.edges is not None:
            made.append(bin_names(axis)[part])
        elif axis.labels is None:
            made.append(part)
        else:
            label = axis.labels[part - 1] if part else OTHER
            made.append(BOOLEANS.get(label, label) if axis.kind == "boolean" else _shown(label))
    return made


@cache
def bin_names(axis: Axis) -> list[str]:
    """The names of an axis's bins, in order. They must differ, because bins are found by these names."""
    bins = [ends(axis, number) for number in range(len(axis.edges or ()) + 1)]
    names = [format.between(axis.column, *one) for one in bins]
    if len(set(names)) < len(names):
        names = [format.between(axis.column, *one, exact=True) for one in bins]
    return names


def without_gaps(axis: Axis, shown: Collection[Value]) -> list[Value]:
    """The shown values of an axis in order, with the bins and whole numbers between them, so that it is even."""
    every = set(shown)
    if axis.edges is not None:
        places = [place for place, name in enumerate(bin_names(axis)) if name in shown]
        every |= set(bin_names(axis)[min(places) : max(places) + 1])
    elif axis.kind == "number":
        numbers = [int(label) for label in map(str, shown) if WHOLE.fullmatch(label)]
        if numbers and max(numbers) - min(numbers) < MOST_BETWEEN:
            every |= set(map(str, range(min(numbers), max(numbers) + 1)))
    return sorted(every, key=lambda one: rank(axis, one))


def ends(axis: Axis, number: int) -> tuple[float | None, float | None]:
    """The start and end of a bin. None for an open end."""
    assert axis.edges is not None
    return axis.edges[number - 1] if number else None, axis.edges[number] if number < len(axis.edges) else None


def _shown(label: str) -> str:
    """A category as it is shown. An empty text has a name too."""
    return inert(label) or EMPTY


def rank(axis: Axis, label: Any, order: str | tuple[str, ...] | None = None) -> Any:
    """Times and numbers rise. Categories are in the order of the block or of their names (gate/order.py), or by size.
    "not known" and "Other" are last.
    """
    if axis.edges is not None:
        return bin_names(axis).index(label)
    if axis.labels is None:
        return label
    if label in (OTHER, UNKNOWN):
        return (1, label == OTHER)
    if axis.kind == "boolean":
        return (0, label == "no")
    if order == "query":
        order = "value" if axis.in_order else None
    if axis.kind == "number" and order is None:
        return (0, float(label))
    return (0, _places(axis.labels, order)[label])


@cache
def _places(labels: tuple[str, ...], order: str | tuple[str, ...] | None) -> dict[str, int]:
    shown = [_shown(label) for label in labels if label != UNKNOWN]
    return {label: place for place, label in enumerate(ordered(shown, order))}
