"""Columns of a relation as the gate reads them: their spelling, their kind, and values that can be shown."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from reports.blocks.format import inert
from reports.blocks.kinds import Measure
from reports.blocks.published import Column
from reports.query.sandbox import NO_SESSION_ID, QueryError

__all__ = ["INTEGERS", "dimension", "find", "finite", "measured", "unit_of"]

KINDS = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "time", "DOUBLE": "number", "FLOAT": "number"}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
# If there are more columns than this, the error names only similar ones.
MOST_NAMED = 12
OF_KIND = {"": "", "number": "of numbers ", "boolean": "of a true-or-false column ", "time": "of times "}


def find(name: str, columns: Mapping[str, str], option: str, wanted: str = "") -> tuple[str, str]:
    """A column's name as the relation spells it, and its kind. If it is missing, the error names the `wanted`
    columns.
    """
    for there, kind in columns.items():
        if there.lower() == name.lower():
            return there, _kind_of(there, kind, option)
    if name.lower() == "session_id":
        raise QueryError(NO_SESSION_ID, option=option)
    near = difflib.get_close_matches(name, list(columns), 1)
    if near:
        raise QueryError(f'column "{name}" not found; did you mean "{near[0]}"?', option=option)
    fit = [there for there, kind in columns.items() if not wanted or _simple(kind) == wanted]
    listed = fit if len(fit) <= MOST_NAMED else difflib.get_close_matches(name, fit, MOST_NAMED, 0)
    more = f" and {len(fit) - len(listed)} more" if len(fit) > len(listed) else ""
    there_are = f"{OF_KIND[wanted]}there are {', '.join(listed)}{more}; " if fit else ""
    raise QueryError(f'column "{name}" not found; {there_are}name one, or SELECT it in a query', option=option)


def _simple(sql_type: str) -> str | None:
    """A type's kind. None for types that are never published."""
    if sql_type.startswith("TIMESTAMP"):
        return "time"
    if sql_type in INTEGERS or sql_type.startswith("DECIMAL"):
        return "number"
    return "text" if sql_type.startswith("ENUM") else KINDS.get(sql_type)


def _kind_of(name: str, sql_type: str, option: str) -> str:
    if kind := _simple(sql_type):
        return kind
    raise QueryError(f'column "{name}" is {sql_type}, which is never published; select one of its parts', option=option)


def unit_of(name: str, kind: str) -> str:
    """The kind of a column's values, durations apart from other numbers."""
    return "milliseconds" if kind == "number" and name.lower().endswith("_ms") else kind


def dimension(name: str, columns: Mapping[str, str], option: str) -> tuple[str, str]:
    """A column to group by, and its kind."""
    if name.lower() == "user_id":
        raise QueryError("user_id is never published; count it with y: people", option=option)
    return find(name, columns, option)


def measured(measure: Measure, columns: Mapping[str, str]) -> Column:
    """Checks that a measure fits its column, and returns the kind of its values."""
    if measure.column is None:
        return Column(str(measure), "share" if measure.name == "share" else "number")
    if measure.column.lower() == "user_id":
        raise QueryError(f"{measure} is never published; count people with y: people", option="y")
    wanted = "boolean" if measure.name == "share" else "number"
    name, kind = find(measure.column, columns, "y", wanted)
    if kind != wanted:
        wants = "a true or false column" if wanted == "boolean" else "a number"
        fit = [
            there for there, sql_type in columns.items() if _simple(sql_type) == wanted and there.lower() != "user_id"
        ]
        such = f" such as {', '.join(fit[:MOST_NAMED])}" if fit else ""
        raise QueryError(
            f'{measure.name} needs {wants}{such}, and "{name}" is {columns[name]}; name another, or SELECT an '
            "expression of it in a query",
            option="y",
        )
    return Column(str(measure), "share" if measure.name == "share" else unit_of(name, kind))


def finite(value: Any) -> Any:
    """A value for JSON and axes: infinity and NaN become None, and text becomes harmless, like a label."""
    if isinstance(value, str):
        return inert(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
