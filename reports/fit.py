"""Whether a block fits the relation that it reads: every mistake at once, each with the option at fault."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from reports.block import Block
from reports.columns import dimension, find, measured
from reports.sandbox import QueryError

__all__ = ["misfits"]

OVER_TIME = ("line", "area", "share", "band", "retention")


def misfits(
    block: Block, columns: Mapping[str, str], unit: str, behind: Mapping[str, Collection[str]] | None = None
) -> list[QueryError]:
    """What is wrong. `columns` are those of the relation, and `unit` says what its rows are, "" if not people's.

    `behind` are the views that the relation is a query of, with their columns: what it could select.
    """
    found: list[QueryError] = []
    there = {name.lower() for name in columns}
    for option, name, check in _checks(block, columns, unit):
        has = [view for view, names in (behind or {}).items() if name.lower() in {one.lower() for one in names}]
        try:
            if has and name.lower() not in there:
                message = f'column "{name}" is in "{has[0]}", but "{block.data}" does not SELECT it; add it there'
                raise QueryError(message, option=option)
            check()
        except QueryError as error:
            found.append(error)
    return found


def _checks(block: Block, columns: Mapping[str, str], unit: str) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Each check with the option and the column that it looks at, "" for none."""
    yield "data", "", partial(_people, block, columns, unit)
    if block.x:
        yield "x", block.x, partial(_x, block, columns)
    elif block.grain:
        yield "grain", "", partial(_grain, None)
    others = [(block.color, "color"), *((name, "x") for name in block.more)]
    for name, option in others:
        if name:
            yield option, name, partial(_group if block.people else find, name, columns, option)
    for measure in block.y:
        check = partial(measured, measure, columns) if block.people else partial(find, str(measure), columns, "y")
        yield "y", measure.column or "", check
    for label, name in block.steps:
        yield "steps", name, partial(_step, label, name, columns)
    for name in block.filter:
        yield "filter", name, partial(_category, name, columns)


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


def _x(block: Block, columns: Mapping[str, str]) -> None:
    name, kind = (dimension if block.people else find)(block.x or "", columns, "x")
    if block.grain:
        _grain(kind)
    if block.people and block.type == "number" and kind != "time":
        raise QueryError(f'a number has a time on x, "{name}" is not one; remove it', option="x")
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
        raise QueryError(f'color: "{name}" is a time, which has no few groups; put it on x, and first', option="color")


def _step(label: str, given: str, columns: Mapping[str, str]) -> None:
    name, kind = find(given, columns, "steps", "boolean")
    if kind != "boolean":
        raise QueryError(
            f'steps: "{label}" needs a true or false column, "{name}" is {columns[name]}; select an expression of it',
            option="steps",
        )


def _category(given: str, columns: Mapping[str, str]) -> None:
    name, kind = dimension(given, columns, "filter")
    if kind == "time":
        raise QueryError(f'filter: "{name}" is a time, which has no few values; name a category', option="filter")
