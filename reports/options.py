"""The options of a chart block, each alone: what may be written, as a value."""

import difflib
import re
from typing import Any

from reports.expect import Expectation
from reports.expect import read as read_expectation
from reports.kinds import GRAINS, MEASURE, MEASURES, MOST_STEPS, OF_COLUMN, PLAIN, TYPES, Measure

__all__ = ["READERS", "read_measure"]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"must be a name of letters, digits and underscores, got {_shown(value)}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and not value:
        raise ValueError("an empty list groups by nothing; name a column")
    return tuple(_name(one) for one in (value if isinstance(value, list) else [value]))


def _steps(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, tuple):
        raise ValueError("must be a list of lines `Label: column`, in the order in which they are taken")
    steps = tuple((_text(label), _name(column)) for label, column in value[0])
    if not 2 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"a funnel has from 2 to {MOST_STEPS} steps, got {len(steps)}")
    if len({label for label, _ in steps}) < len(steps):
        raise ValueError("two steps have one label; name each differently")
    return steps


def _true(value: Any) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f"must be true or false, got {_shown(value)}")
    return bool(value == "true")


def _choice(options: tuple[str, ...]) -> Any:
    def read(value: Any) -> str:
        if value not in options:
            near = difflib.get_close_matches(str(value), options, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(options)}"
            raise ValueError(f"{_shown(value)} is not known; {hint}")
        return str(value)

    return read


def _shown(value: Any) -> str:
    return f'"{value:.60}"' if isinstance(value, str) else "a list" if isinstance(value, list) else "a mapping"


def _measures(value: Any) -> tuple[str, ...]:
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
        raise ValueError(f'only "none" can be said, for queries that read no people\'s rows; got {_shown(value)}')
    return False


def read_measure(text: str, people: bool = True) -> Measure:
    """What a text under `y` counts, or under `people: none` the column that it names. Raises `ValueError`."""
    if not people:
        return Measure("column", _name(text))
    match = MEASURE.fullmatch(text)
    name, column = match.groups() if match else (text, None)
    if (column is None and name in PLAIN) or (column is not None and name in OF_COLUMN):
        return Measure(name, column)
    if column is None and name in OF_COLUMN:
        raise ValueError(f'"{name}" needs a column, as in {name}(duration_ms)')
    near = difflib.get_close_matches(name, [*PLAIN, *OF_COLUMN], 1)
    hint = f'did you mean "{near[0]}"?' if near else f"use one of {MEASURES}"
    raise ValueError(f'"{text}" is not a measure; {hint}')


READERS: dict[str, Any] = {
    "type": _choice(TYPES),
    "data": _name,
    "x": _names,
    "y": _measures,
    "color": _name,
    "rows": _name,
    "steps": _steps,
    "bars": _choice(("stacked", "grouped")),
    "interval": _true,
    "grain": _choice(tuple(GRAINS)),
    "title": _text,
    "name": _name,
    "limit": _limit,
    "people": _people,
    "expect": _expected,
    "annotate": _name,
    "filter": _names,
}
