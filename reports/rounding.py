"""Rounds what may be shown, so that pages of two days do not tell that one person came, or what one person did.

Numbers of rows and people become multiples of the least number of people that is shown; shares whole percents;
every other measure two digits. Then whatever two builds show fits as well with nobody having come, or with enough.
"""

import math
from dataclasses import replace

from reports.published import Column, Published, Value

__all__ = ["rounded", "summed"]

DIGITS = 2


def rounded(published: Published, step: int) -> Published:
    """The same with every measure rounded, and the number of people; dimensions stay as they are."""
    depth = len(published.dimensions)
    rows = tuple(
        (
            *row[:depth],
            *(_value(column, value, step) for column, value in zip(published.measures, row[depth:], strict=True)),
        )
        for row in published.rows
    )
    column = published.dimensions[0] if published.dimensions else Column("", "number")
    return replace(
        published,
        rows=rows,
        people=None if published.people is None else _whole(published.people, step),
        marks=tuple((name, _value(column, value, 0)) for name, value in published.marks),
        filters=tuple(
            replace(one, series=tuple((label, rounded(shown, step)) for label, shown in one.series))
            for one in published.filters
        ),
        rounded=step,
    )


def summed(value: float, people: int, step: int) -> float:
    """A sum of so many people's values, from what each adds and how many they are, both rounded.

    Two digits of the sum itself would show one person more in a hundred.
    """
    return _digits(value / people) * _whole(people, step)


def _value(column: Column, value: Value, step: int) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if column.kind == "share":
        return math.floor(value * 100 + 0.5) / 100
    if isinstance(value, int) and step:
        return _whole(value, step)
    return _digits(value)


def _whole(value: int, step: int) -> int:
    """To the nearest multiple, a half up: each stands for as many numbers."""
    return (value + step // 2) // step * step


def _digits(value: float) -> float:
    if not value:
        return value
    power = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return float(f"{math.floor(value / power + 0.5) * power:.12g}")
