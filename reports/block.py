"""A chart block: what may be written in it, and what is wrong with what was."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import yaml

from reports.expect import Expectation
from reports.expect import read as read_expectation

__all__ = ["GRAINS", "Block", "BlockError", "Measure", "parse"]

TYPES = ("line", "area", "bar", "table", "number")
# Grains of time from fine to coarse, with their usual length in days.
GRAINS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "quarter": 91.3, "year": 365.25}
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
ADD_UP = ("count", "sum")
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
    expect: tuple[Expectation, ...] = ()
    lines: dict[str, int] = field(default_factory=dict, compare=False)


def parse(text: str) -> Block:
    """Reads a block. Raises `BlockError` with every fault at once."""
    values, lines, faults = _load(text)
    for key in values.keys() - READERS.keys():
        near = difflib.get_close_matches(key, READERS, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(READERS)}"
        faults.append((lines[key], f'unknown option "{key}"; {hint}'))
    read: dict[str, Any] = {}
    for key, reader in READERS.items():
        if key in values:
            try:
                read[key] = reader(values[key])
            except ValueError as error:
                faults.append((lines[key], f"{key}: {error}"))
    faults += _together(read, values.keys(), lines)
    if faults:
        raise BlockError(sorted(faults))
    people = read.get("people", True)
    read["y"] = tuple(_measure(text, people) for text in read.pop("y", ()))
    return Block(**read, lines=lines)


def _load(text: str) -> tuple[dict[str, Any], dict[str, int], list[tuple[int, str]]]:
    """Options as they are written (`yes` and `1.10` are texts), and their lines."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else 0
        raise BlockError(
            [(line, f"not valid YAML: {getattr(error, 'problem', None) or error}; write `option: value`")]
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise BlockError([(0, "a chart block has lines `option: value`; begin with type, data and y")])
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    for key, value in node.value:
        name = str(key.value)
        if name in lines:
            faults.append((key.start_mark.line, f'option "{name}" is given twice; keep one'))
        values[name], lines[name] = _plain(value), key.start_mark.line
    return values, lines, faults


def _plain(node: yaml.Node) -> str | list[str | None] | None:
    """A text, a list of texts, or None for what no option can be."""
    if isinstance(node, yaml.SequenceNode):
        return [str(item.value) if isinstance(item, yaml.ScalarNode) else None for item in node.value]
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"must be a name of letters, digits and underscores, got {_shown(value)}")
    return value


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
    "expect": _expected,
}


def _together(read: dict[str, Any], given: Collection[str], lines: dict[str, int]) -> list[tuple[int, str]]:
    """Faults of options that are sound alone."""
    faults: list[tuple[int, str]] = []

    def fault(option: str, message: str) -> None:
        faults.append((lines.get(option, 0), message))

    kind, people = read.get("type"), read.get("people", True)
    for key in ("type", "data", "y"):
        if key not in given and not (key == "y" and kind == "table" and not people):
            fault(key, f"{key} is missing; add `{key}: …`")
    measures: list[Measure] = []
    for text in read.get("y", ()):
        try:
            measures.append(_measure(text, people))
        except ValueError as error:
            fault("y", f"y: {error}")
    for measure in sorted({measure for measure in measures if measures.count(measure) > 1}, key=str):
        fault("y", f"y: {measure} is given twice; keep one")
    bare_share = Measure("share") in measures
    if kind in ("line", "area", "bar"):
        if "x" not in given:
            fault("type", f"a {kind} needs x; add `x: column`")
        if len(read.get("y", ())) > 1:
            fault("y", f"a {kind} draws one measure; keep one, or use type: table")
    if (
        kind == "area"
        and "color" in given
        and people
        and measures
        and measures[0].name not in ADD_UP
        and not bare_share
    ):
        fault("y", "an area stacks what adds up: count, share or sum(c); use type: line")
    if kind == "number":
        for key in ("x", "color", "grain", "limit"):
            if key in given:
                fault(key, f"a number has no {key}; remove it, or use type: table")
        if len(read.get("y", ())) > 1:
            fault("y", "a number shows one measure; keep one, or use type: table")
        if bare_share:
            fault("y", "a number has no groups to be a share of; use share(c), of a true or false column c")
    elif "color" in given and "x" not in given and kind == "table":
        fault("color", "color needs x; call it x")
    if "color" in read and read["color"].lower() == str(read.get("x")).lower():
        fault("color", "color is x again; remove it")
    if not people:
        for key in ("grain", "limit"):
            if key in given:
                fault(key, f"{key} is for rows that are counted, and `people: none` shows them as they are; remove it")
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
