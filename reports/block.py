"""A chart block: what may be written in it, and what is wrong with what was."""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

__all__ = ["GRAINS", "Block", "BlockError", "Measure", "parse"]

TYPES = ("line", "area", "bar", "table", "number")
# Grains of time from fine to coarse, with their usual length in days.
GRAINS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "quarter": 91.3, "year": 365.25}
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
PLAIN = ("count", "people", "per_person", "share")
OF_COLUMN = ("sum", "mean", "share", *PERCENTILES)
MEASURE = re.compile(r"([a-z][a-z0-9_]*)(?:\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*\))?")
MEASURES = "count, people, per_person, share, sum(c), mean(c), share(c), p50(c), p90(c), p95(c), p99(c)"


class BlockError(Exception):
    """Faults of a block as (line, message); lines count from 0 inside the block."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        super().__init__("\n".join(message for _, message in faults))
        self.faults = faults


@dataclass(frozen=True)
class Measure:
    """What `y` counts: `name` one of the measures, `column` what it is of. `name` is "column" under `people: none`."""

    name: str
    column: str | None = None

    def __str__(self) -> str:
        return (
            self.name
            if self.column is None
            else self.column
            if self.name == "column"
            else f"{self.name}({self.column})"
        )


@dataclass(frozen=True)
class Block:
    """A chart block, read. `lines` says on which line an option stands."""

    type: str
    data: str
    y: tuple[Measure, ...]
    x: str | None = None
    color: str | None = None
    grain: str | None = None
    title: str | None = None
    name: str | None = None
    limit: int = 8
    people: bool = True
    lines: dict[str, int] = field(default_factory=dict, compare=False)


def parse(text: str) -> Block:
    """Reads a block. Raises `BlockError` with every fault at once."""
    values, lines, faults = _load(text)
    known = tuple(READERS)
    for key in values.keys() - READERS.keys():
        near = difflib.get_close_matches(str(key), known, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
        faults.append((lines[key], f'unknown option "{key}"; {hint}'))
    read: dict[str, Any] = {}
    for key, reader in READERS.items():
        if key in values:
            try:
                read[key] = reader(values[key])
            except ValueError as error:
                faults.append((lines[key], f"{key}: {error}"))
    if not faults:
        faults += _together(read, lines)
    if faults:
        raise BlockError(sorted(faults))
    people = read.get("people", True)
    read["y"] = tuple(_measure(text, people) for text in read.pop("y", ()))
    return Block(**read, lines=lines)


def _load(text: str) -> tuple[dict[str, Any], dict[str, int], list[tuple[int, str]]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else 0
        raise BlockError(
            [(line, f"not valid YAML: {getattr(error, 'problem', error)}; write `option: value`")]
        ) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise BlockError([(0, "a chart block has lines `option: value`; begin with type, data and y")])
    lines: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    for key, _ in node.value:
        if key.value in lines:
            faults.append((key.start_mark.line, f'option "{key.value}" is given twice; keep one'))
        lines[key.value] = key.start_mark.line
    return {str(key): value for key, value in values.items()}, lines, faults


def _text(value: Any) -> str:
    if isinstance(value, dict | list) or value is None:
        raise ValueError(f"must be a text, got {value!r}")
    return str(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"must be a name of letters, digits and underscores, got {value!r}")
    return value


def _choice(options: tuple[str, ...]) -> Any:
    def read(value: Any) -> str:
        if value not in options:
            near = difflib.get_close_matches(str(value), options, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(options)}"
            raise ValueError(f'"{value}" is not known; {hint}')
        return str(value)

    return read


def _measures(value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    return tuple(_text(text).strip() for text in texts)


def _limit(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 50:
        raise ValueError(f"must be a whole number from 1 to 50, got {value!r}")
    return value


def _people(value: Any) -> bool:
    if value != "none":
        raise ValueError(f'only "none" can be said, for queries that read no people\'s rows; got {value!r}')
    return False


READERS: dict[str, Any] = {
    "type": _choice(TYPES),
    "data": _name,
    "x": _name,
    "y": _measures,
    "color": _name,
    "grain": _choice(tuple(GRAINS)),
    "title": _text,
    "name": _name,
    "limit": _limit,
    "people": _people,
}


def _together(read: dict[str, Any], lines: dict[str, int]) -> list[tuple[int, str]]:
    """Faults of options that are sound alone."""
    faults: list[tuple[int, str]] = []
    for key in ("type", "data", "y"):
        if key not in read and not (key == "y" and read.get("type") == "table" and not read.get("people", True)):
            faults.append((0, f"{key} is missing; add `{key}: …`"))
    kind = read.get("type")
    for text in read.get("y", ()):
        try:
            _measure(text, read.get("people", True))
        except ValueError as error:
            faults.append((lines["y"], f"y: {error}"))
    if kind in ("line", "area", "bar"):
        if "x" not in read:
            faults.append((lines["type"], f"a {kind} needs x; add `x: column`"))
        if len(read.get("y", ())) > 1:
            faults.append((lines["y"], f"a {kind} draws one measure; keep one, or use type: table"))
    if kind == "number":
        for key in ("x", "color", "grain"):
            if key in read:
                faults.append((lines[key], f"a number has no {key}; remove it, or use type: table"))
    return faults


def _measure(text: str, people: bool = True) -> Measure:
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
