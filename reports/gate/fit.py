"""Whether a block fits the relation that it reads: every mistake at once, each with the option at fault."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from reports.blocks.block import Block
from reports.blocks.kinds import MOST_DIMENSIONS
from reports.gate.columns import dimension, find, measured
from reports.query.sandbox import QueryError

__all__ = ["dimensions", "misfits"]

OVER_TIME = ("line", "area", "share", "band", "retention")


def misfits(
    block: Block,
    columns: Mapping[str, str],
    unit: str,
    behind: Mapping[str, Collection[str]] | None = None,
    *,
    windowed: bool = False,
) -> list[QueryError]:
    """What is wrong. `columns` are the columns of the relation. `unit` says what its rows are, "" if they are not
    people's. `behind` are the views that the relation queries, with the columns that it could select. `windowed` says
    that it has only the rows of some last days.
    """
    found: list[QueryError] = []
    there = {name.lower() for name in columns}
    for option, name, check in _checks(block, columns, unit, windowed):
        has = [view for view, names in (behind or {}).items() if name.lower() in {one.lower() for one in names}]
        try:
            if has and name.lower() not in there:
                message = f'column "{name}" is in "{has[0]}", but "{block.data}" does not SELECT it; add it there'
                raise QueryError(message, option=option)
            check()
        except QueryError as error:
            found.append(error)
    return found


def _checks(
    block: Block, columns: Mapping[str, str], unit: str, windowed: bool
) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Each check with its option and its column, "" for none."""
    yield "data", "", partial(_people, block, columns, unit)
    if block.people:
        yield "x", "", partial(_few, block, columns, windowed)
    if block.x:
        yield "x", block.x, partial(_x, block, columns)
    elif block.grain and not block.trend:
        yield "grain", "", partial(_grain, None)
    others = [(block.color, "color"), *((name, "x") for name in block.more)]
    for name, option in others:
        if name:
            yield option, name, partial(_group if block.people else find, name, columns, option)
    for measure in block.y:
        check = partial(measured, measure, columns) if block.people else partial(find, str(measure), columns, "y")
        yield "y", measure.column or "", check
    if block.trend:
        yield "trend", block.trend, partial(_trend, block, columns)
    for label, name in block.steps:
        yield "steps", name, partial(_step, label, name, columns)
    for name in block.filter:
        yield "filter", name, partial(dimension, name, columns, "filter")
    if block.without:
        yield "filter", block.without, partial(_without, block.without, columns)


def _people(block: Block, columns: Mapping[str, str], unit: str) -> None:
    if unit and not block.people:
        raise QueryError(
            f'"{block.data}" reads people\'s rows; remove `people: none`, and let the chart count', option="people"
        )
    if not unit and block.people:
        raise QueryError(f'"{block.data}" reads no people\'s rows; add `people: none` and name its columns in x and y')
    if unit and "user_id" not in {name.lower() for name in columns}:
        raise QueryError(
            f'"{block.data}" reads people\'s rows and loses user_id; add user_id to its SELECT and leave counting to y'
        )


def _few(block: Block, columns: Mapping[str, str], windowed: bool) -> None:
    """Tables of more dimensions reveal too much in combination."""
    parts = [*dimensions(block, columns, windowed), *(["the filter"] if block.filter else [])]
    if len(parts) > MOST_DIMENSIONS:
        raise QueryError(
            f"{', '.join(parts)} are {len(parts)} dimensions, and a block has at most {MOST_DIMENSIONS}; leave one out",
            option="x",
        )


def dimensions(block: Block, columns: Mapping[str, str], windowed: bool) -> list[str]:
    """The axes of a block, and the window of its query. With a time on x, the window is part of the axis."""
    axes = [name for name in (block.x, block.color, *block.more, block.trend) if name]
    axes = axes[:1] if block.type == "scan" else axes
    times = {name.lower() for name, kind in columns.items() if kind.startswith(("TIMESTAMP", "DATE"))}
    timed = any(name.lower() in times for name in axes)
    return [*axes, *(["the time in SQL"] if windowed and not timed else [])]


def _x(block: Block, columns: Mapping[str, str]) -> None:
    name, kind = (dimension if block.people else find)(block.x or "", columns, "x")
    if block.type == "scan" and kind == "time":
        raise QueryError(f'a scan compares groups, and "{name}" is a time; name a category', option="x")
    if block.grain and not block.trend:
        _grain(kind)
    if block.people and block.type == "number" and kind != "time":
        raise QueryError(f'x of a number must be a time, but "{name}" is not one; remove it', option="x")
    if block.type in OVER_TIME and kind != "time":
        raise QueryError(f'a {block.type} needs a time on x, "{name}" is not one; use type: bar', option="x")
    if block.type == "histogram" and kind != "number":
        raise QueryError(f'a histogram needs a number on x, "{name}" is {columns[name]}; use type: bar', option="x")


def _grain(kind: str | None) -> None:
    if kind != "time":
        raise QueryError("grain is for a time on x; remove it", option="grain")


def _group(given: str, columns: Mapping[str, str], option: str) -> None:
    name, kind = dimension(given, columns, option)
    if kind == "time":
        raise QueryError(
            f'color: "{name}" is a time, which has too many groups; make it the first column of x', option="color"
        )


def _trend(block: Block, columns: Mapping[str, str]) -> None:
    name, kind = dimension(block.trend or "", columns, "trend")
    if kind != "time":
        raise QueryError(f'trend: "{name}" is not a time; name a column of times', option="trend")
    if find(block.x or "", columns, "x")[1] == "time":
        raise QueryError("trend: x is a time already; remove one of the two", option="trend")


def _without(given: str, columns: Mapping[str, str]) -> None:
    name, kind = find(given, columns, "filter", "boolean")
    if kind != "boolean":
        raise QueryError(f'filter: `not` is for a true or false column, "{name}" is {columns[name]}', option="filter")


def _step(label: str, given: str, columns: Mapping[str, str]) -> None:
    name, kind = find(given, columns, "steps", "boolean")
    if kind != "boolean":
        raise QueryError(
            f'steps: "{label}" needs a true or false column, "{name}" is {columns[name]}; select an expression of it',
            option="steps",
        )
