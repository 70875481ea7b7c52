"""What cells are called when they are shown, and in which order: periods, categories, bins."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from reports import format
from reports.cells import Axis
from reports.conceal import Key
from reports.format import inert
from reports.macros import version_key
from reports.published import OTHER, UNKNOWN, Column, Value

__all__ = ["BOOLEANS", "bin_names", "dimension_of", "ends", "labelled", "rank"]

VERSION = re.compile(r"\d+(\.\d+)+")
BOOLEANS = {"true": "yes", "false": "no"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def dimension_of(axis: Axis) -> Column:
    """What an axis is when it is shown: bins are texts."""
    return Column(axis.column.name, "text") if axis.edges is not None else axis.column


def labelled(key: Key, axes: Sequence[Axis]) -> list[Value]:
    """The key with labels in place of their numbers."""
    made: list[Value] = []
    for part, axis in zip(key, axes, strict=True):
        if axis.edges is not None:
            made.append(bin_names(axis)[part])
        elif axis.labels is None:
            made.append(part)
        else:
            label = axis.labels[part - 1] if part else OTHER
            made.append(BOOLEANS.get(label, label) if axis.kind == "boolean" else inert(label))
    return made


@cache
def bin_names(axis: Axis) -> list[str]:
    """What the bins of an axis are called, in order; no two alike, for they are found again by these names."""
    bins = [ends(axis, number) for number in range(len(axis.edges or ()) + 1)]
    names = [format.between(axis.column, *one) for one in bins]
    if len(set(names)) < len(names):
        names = [format.between(axis.column, *one, exact=True) for one in bins]
    return names


def ends(axis: Axis, number: int) -> tuple[float | None, float | None]:
    """Where a bin begins and ends; None where it has no end."""
    assert axis.edges is not None
    return axis.edges[number - 1] if number else None, axis.edges[number] if number < len(axis.edges) else None


def rank(axis: Axis, label: Any) -> Any:
    """Time goes by; numbers and versions rise; other categories by size, "not known" and "Other" last."""
    if axis.edges is not None:
        return bin_names(axis).index(label)
    if axis.labels is None:
        return label
    if label in (OTHER, UNKNOWN):
        return (1, label == OTHER)
    if axis.kind == "boolean":
        return (0, label == "no")
    if axis.kind == "number":
        return (0, float(label))
    if label in WEEKDAYS and set(axis.labels) <= {*WEEKDAYS, UNKNOWN}:
        return (0, WEEKDAYS.index(label))
    if all(VERSION.match(other) for other in axis.labels if other != UNKNOWN):
        return (0, version_key(label), label)
    return (0, [inert(other) for other in axis.labels].index(label))
