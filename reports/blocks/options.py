"""The options of a chart block: parses and checks each value."""

import difflib
import math
import re
from typing import Any

from reports.blocks.expect import Expectation
from reports.blocks.expect import read as read_expectation
from reports.blocks.kinds import GRAINS, MEASURE, MEASURES, MOST_STEPS, OF_COLUMN, PLAIN, TYPES, Measure

__all__ = ["READERS", "read_filter", "read_measure"]

# Before a true-or-false column of a filter: what is shown first are the rows in which it is not true.
NOT = "not "


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"must be a name of letters, digits and underscores, got {_shown(value)}")
    return value


def _column(value: Any) -> str:
    if isinstance(value, str) and (dotted := re.fullmatch(r"[A-Za-z_][\w.]*\.([A-Za-z_]\w*)", value)):
        raise ValueError(
            f'must be a column of `data`, and "{value:.60}" has a table in front; name the column alone, or '
            f"write a query above with SELECT user_id, {value:.60} AS {dotted[1]:.60}, and name the query in data"
        )
    return _name(value)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and not value:
        raise ValueError("an empty list groups by nothing; name a column")
    return tuple(_column(one) for one in (value if isinstance(value, list) else [value]))


def _steps(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, tuple):
        raise ValueError("must be a list of lines `Label: column`, in the order of the steps")
    steps = tuple((_text(label), _column(column)) for label, column in value[0])
    if not 2 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"a funnel has from 2 to {MOST_STEPS} steps, got {len(steps)}")
    if len({label for label, _ in steps}) < len(steps):
        raise ValueError("two steps have the same label; give each its own")
    return steps


def _true(value: Any) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f"must be true or false, got {_shown(value)}")
    return bool(value == "true")


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"must be a number, as in 0.1 for 10 % or 1500 for 1.5 s, got {_shown(value)}")
    return number


def _choice(options: tuple[str, ...]) -> Any:
    def read(value: Any) -> str:
        if value not in options:
            near = difflib.get_close_matches(str(value), options, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(options)}"
            raise ValueError(f"{_shown(value)} is not known; {hint}")
        return str(value)

    return read


def _order(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_text(one) for one in value)
    if value not in ("value", "label", "query"):
        raise ValueError(
            f"must be value, label, query, or a list of categories such as [small, large], got {_shown(value)}"
        )
    return str(value)


def _shown(value: Any) -> str:
    return f'"{value:.60}"' if isinstance(value, str) else "a list" if isinstance(value, list) else "a mapping"


def _measures(value: Any) -> tuple[str, ...]:
    if isinstance(value, tuple):
        pairs = ", ".join(
            f"{name}({column})" if name in OF_COLUMN else f"{name}, {column}" for name, column in value[0]
        )
        raise ValueError(f"must be a list and not a mapping; write y: [{pairs}]")
    texts = tuple(_text(text) for text in (value if isinstance(value, list) else [value]))
    if not texts:
        raise ValueError(f"an empty list counts nothing; use one of {MEASURES}")
    return texts


def _limit(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{1,2}", value) or not 1 <= int(value) <= 50:
        raise ValueError(f"must be a whole number from 1 to 50, got {_shown(value)}")
    return int(value)


def _expected(value: Any) -> tuple[Expectation, ...]:
    return tuple(read_expectation(_text(text)) for text in (value if isinstance(value, list) else [value]))


def _people(value: Any) -> bool:
    if value != "none":
        raise ValueError(f"must be none, for queries that read no people's rows, got {_shown(value)}")
    return False


def read_filter(given: Any) -> tuple[tuple[str, ...], str | None]:
    """The columns of a `filter`, and the one after `not`. Raises `ValueError`."""
    texts = given if isinstance(given, list) else [given]
    without = [text.removeprefix(NOT) for text in texts if isinstance(text, str) and text.startswith(NOT)]
    if len(without) > 1:
        raise ValueError(f"{' and '.join(without)} follow `not`; keep one")
    names = [text.removeprefix(NOT) if isinstance(text, str) else text for text in texts]
    return _names(names), without[0] if without else None


def read_measure(text: str, people: bool = True) -> Measure:
    """The measure that a text under `y` names, or with `people: none` the column. Raises `ValueError`."""
    if not people:
        return Measure("column", _column(text))
    match = MEASURE.fullmatch(text)
    name, column = match.groups() if match else (text, None)
    if (column is None and name in PLAIN) or (column is not None and name in OF_COLUMN):
        return Measure(name, column)
    if column is None and name in OF_COLUMN:
        raise ValueError(f'"{name}" needs a column, as in {name}(duration_ms)')
    if dotted := re.fullmatch(r"\w+\((.*\..*)\)", text):
        _column(dotted[1].strip())
    near = difflib.get_close_matches(name, [*PLAIN, *OF_COLUMN], 1)
    hint = f'did you mean "{near[0]}"?' if near else f"use one of {MEASURES}"
    raise ValueError(f'"{text}" is not a measure; {hint}')


READERS: dict[str, Any] = {
    "type": _choice(TYPES),
    "data": _name,
    "x": _names,
    "y": _measures,
    "color": _column,
    "rows": _column,
    "steps": _steps,
    "bars": _choice(("stacked", "grouped")),
    "panels": _true,
    "middle": _number,
    "trend": _column,
    "interval": _true,
    "grain": _choice(tuple(GRAINS)),
    "title": _text,
    "name": _name,
    "limit": _limit,
    "people": _people,
    "expect": _expected,
    "annotate": _name,
    "order": _order,
    "filter": read_filter,
}
