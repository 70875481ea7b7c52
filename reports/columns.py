"""Columns of a relation as the gate reads them: how they are spelt, of which kind, and values that can be shown."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from reports.block import Block, Measure
from reports.format import inert
from reports.published import Column
from reports.sandbox import QueryError

__all__ = ["INTEGERS", "check_x", "dimension", "find", "finite", "measured", "unit_of"]

KINDS = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "time", "DOUBLE": "number", "FLOAT": "number"}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


def find(name: str, columns: Mapping[str, str], option: str) -> tuple[str, str]:
    """A column's name as it is spelt in the relation, and its kind."""
    for there, kind in columns.items():
        if there.lower() == name.lower():
            return there, _kind_of(there, kind, option)
    near = difflib.get_close_matches(name, list(columns), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(columns)}"
    raise QueryError(f'column "{name}" not found; {hint}', option=option)


def _kind_of(name: str, sql_type: str, option: str) -> str:
    if sql_type.startswith("TIMESTAMP"):
        return "time"
    if sql_type in INTEGERS or sql_type.startswith("DECIMAL"):
        return "number"
    if sql_type.startswith("ENUM"):
        return "text"
    if sql_type in KINDS:
        return KINDS[sql_type]
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
    """Checks that a measure fits its column, and says of which kind its values are."""
    if measure.column is None:
        return Column(str(measure), "share" if measure.name == "share" else "number")
    if measure.column.lower() == "user_id":
        raise QueryError(f"{measure} is never published; count people with y: people", option="y")
    name, kind = find(measure.column, columns, "y")
    wanted = "boolean" if measure.name == "share" else "number"
    if kind != wanted:
        wants = "a true or false column" if wanted == "boolean" else "a number"
        raise QueryError(
            f'{measure.name} needs {wants}, "{name}" is {columns[name]}; select an expression of it', option="y"
        )
    return Column(str(measure), "share" if measure.name == "share" else unit_of(name, kind))


def check_x(block: Block, x: tuple[str, str] | None) -> None:
    """Refuses an x that is not what the kind of chart needs."""
    if block.type in ("line", "area", "share", "band", "retention") and x is not None and x[1] != "time":
        raise QueryError(f'a {block.type} needs a time on x, "{x[0]}" is not one; use type: bar', option="x")


def finite(value: Any) -> Any:
    """Infinity and NaN, which JSON and axes do not have, as nothing; text as inert as a label."""
    if isinstance(value, str):
        return inert(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
