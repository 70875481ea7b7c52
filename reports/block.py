"""A chart block: what may be written in it, and what is wrong with what was."""

import difflib
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from reports.expect import Expectation
from reports.expect import read as read_expectation

__all__ = ["GRAINS", "Block", "BlockError", "Measure", "parse", "read"]

TYPES = (
    "line", "area", "share", "bar", "histogram", "heatmap", "band", "funnel", "retention", "table", "number",
)  # fmt: skip
# Grains of time from fine to coarse, with their usual length in days.
GRAINS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "quarter": 91.3, "year": 365.25}
PERCENTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
ADD_UP = ("count", "sum")
PLAIN = ("count", "people", "per_person", "share")
OF_COLUMN = ("sum", "mean", "share", *PERCENTILES)
MEASURE = re.compile(r"([a-z][a-z0-9_]*)(?:\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*\))?")
MEASURES = f"count, people, per_person, share, {', '.join(f'{name}(c)' for name in OF_COLUMN)}"
# What a kind counts where the block does not say.
USUAL = {"share": "share", "histogram": "count", "funnel": "people", "retention": "people"}
NEEDS = {
    "x": ("line", "area", "share", "bar", "histogram", "heatmap", "band", "retention"),
    "color": ("share",),
    "rows": ("heatmap",),
    "steps": ("funnel",),
}
# Options that only some kinds have.
ONLY = {
    "x": tuple(kind for kind in TYPES if kind != "funnel"),
    "color": ("line", "area", "share", "bar", "table"),
    "grain": tuple(kind for kind in TYPES if kind not in ("histogram", "funnel")),
    "limit": ("line", "area", "share", "bar", "heatmap", "table"),
    "people": ("line", "area", "bar", "heatmap", "table", "number"),
    "rows": ("heatmap",),
    "steps": ("funnel",),
    "bars": ("bar",),
    "interval": ("line", "bar", "table", "number"),
    "annotate": ("line", "area", "share", "bar", "band"),
    "filter": tuple(kind for kind in TYPES if kind not in ("funnel", "retention")),
}
SEVERAL = ("table", "band")
MOST_STEPS = 12
MOST_DIMENSIONS = 4


# What to write in place of a word under `y`, by the name of the data and the word; None where nothing is known of it.
Instead = Callable[[str, str], str | None]


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
    """A chart block, read. `lines` says on which line an option stands.

    `color` is the second column to group by: also `rows` of a heatmap, and the second `x` of a table, whose others are
    in `more`. `steps` are a funnel's labels and columns.
    """

    type: str
    data: str
    y: tuple[Measure, ...]
    x: str | None = None
    color: str | None = None
    more: tuple[str, ...] = ()
    grain: str | None = None
    title: str | None = None
    name: str | None = None
    limit: int = 8
    people: bool = True
    steps: tuple[tuple[str, str], ...] = ()
    bars: str | None = None
    interval: bool = False
    expect: tuple[Expectation, ...] = ()
    annotate: str | None = None
    filter: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict, compare=False)


def parse(text: str) -> Block:
    """Reads a block. Raises `BlockError` with every fault at once."""
    block, faults = read(text)
    if block is None or faults:
        raise BlockError(faults)
    return block


def read(text: str, instead: Instead = lambda data, name: None) -> tuple[Block | None, list[tuple[int, str]]]:
    """A block with its faults: what of it can be understood, so that its columns can be looked for all the same.

    `instead` is asked what to write where `y` is the name of something else.
    """
    values, lines, faults = _load(text)
    for key in values.keys() - READERS.keys():
        near = difflib.get_close_matches(key, READERS, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(READERS)}"
        faults.append((lines[key], f'unknown option "{key}"; {hint}'))
    known: dict[str, Any] = {}
    for key, reader in READERS.items():
        if key in values:
            try:
                known[key] = reader(values[key])
            except ValueError as error:
                faults.append((lines[key], f"{key}: {error}"))
    faults += _together(known, values.keys(), lines, instead)
    block = Block(**_settled(known), lines=lines | ({"color": lines["rows"]} if "rows" in lines else {}))
    return block if "data" in known else None, sorted(faults)


def _settled(read: dict[str, Any]) -> dict[str, Any]:
    """The fields of a block from options that are sound alone."""
    made = {"type": "", "data": ""} | read
    people = made.get("people", True)
    texts = made.pop("y", None) or ((USUAL[made["type"]],) if made["type"] in USUAL else ())
    y: tuple[Measure, ...] = ()
    for text in texts:
        with suppress(ValueError):
            y += (_measure(text, people),)
    if made["type"] == "band" and len(y) == 1:
        y = tuple(Measure(name, y[0].column) for name in ("p25", "p50", "p75"))
    if "x" in made:
        made["x"], *more = made["x"]
        if more:
            made["color"], *rest = more
            made["more"] = tuple(rest)
    if "rows" in made:
        made["color"] = made.pop("rows")
    return made | {"y": y}


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


def _plain(node: yaml.Node) -> Any:
    """A text, a list or mapping of texts; None for what no option can be."""
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return [(_scalar(key), _scalar(value)) for key, value in node.value], "mapping"
    return _scalar(node)


def _scalar(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


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


def _together(
    read: dict[str, Any], given: Collection[str], lines: dict[str, int], instead: Instead
) -> list[tuple[int, str]]:
    """Faults of options that are sound alone."""
    faults: list[tuple[int, str]] = []

    def fault(option: str, message: str) -> None:
        faults.append((lines.get(option, 0), message))

    kind, people = str(read.get("type")), read.get("people", True)
    for key in ("type", "data", "y"):
        if key not in given and not (key == "y" and (kind in USUAL or (kind == "table" and not people))):
            fault(key, f"{key} is missing; add `{key}: …`")
    if kind in TYPES:
        for key, kinds in NEEDS.items():
            if kind in kinds and key not in given:
                fault("type", f"a {kind} needs {key}; add `{key}: {'' if key == 'steps' else 'column'}`")
        for key, kinds in ONLY.items():
            if key in given and kind not in kinds:
                remedy = "call it rows" if (kind, key) == ("heatmap", "color") else "remove it, or use type: table"
                fault(key, f"a {kind} has no {key}; {remedy}")
    x = read.get("x", ())
    if len(x) > 1 and kind != "table":
        fault("x", f"a {kind} has one x; keep one, or use type: table")
    elif len(x) > MOST_DIMENSIONS or (len(x) > 1 and "color" in given):
        fault("x", f"a table groups by up to {MOST_DIMENSIONS} columns, all named in x; remove the others")
    if "color" in given and "x" not in given and kind == "table":
        fault("color", "color needs x; call it x")
    for key in ("color", "rows"):
        if key in read and read[key].lower() in [name.lower() for name in x]:
            fault(key, f"{key} is x again; remove it")
    if len({name.lower() for name in x}) < len(x):
        fault("x", "x names a column twice; keep one")
    measures: list[Measure] = []
    for text in read.get("y", ()):
        try:
            measures.append(_measure(text, people))
        except ValueError as error:
            fault("y", f"y: {instead(read.get('data', ''), text) or error}")
    for measure in sorted({measure for measure in measures if measures.count(measure) > 1}, key=str):
        fault("y", f"y: {measure} is given twice; keep one")
    if len(read.get("y", ())) > 1 and kind in TYPES and kind not in SEVERAL:
        verb = "shows" if kind in ("number", "funnel", "retention") else "draws"
        fault("y", f"a {kind} {verb} one measure; keep one, or use type: table")
    filters = [name.lower() for name in read.get("filter", ())]
    for name in sorted({name for name in filters if filters.count(name) > 1}):
        fault("filter", f"filter names {name} twice; keep one")
    shown = [name.lower() for name in (*x, read.get("color", ""), read.get("rows", ""))]
    for name in [name for name in filters if name in shown]:
        fault("filter", f"{name} is shown already, each value by itself; remove it from filter")
    if people:
        _measured(kind, read, measures, fault)
    else:
        for key in ("grain", "limit", "interval", "filter"):
            if key in given:
                fault(key, f"{key} is for rows that are counted, and `people: none` shows them as they are; remove it")
        if kind == "number" and "x" in given:
            fault("x", "a number of `people: none` has no x; remove it, or use type: table")
    return faults


def _measured(kind: str, read: dict[str, Any], measures: list[Measure], fault: Callable[[str, str], None]) -> None:
    """Faults of what is counted, for the kind that shows it."""
    bare_share = Measure("share") in measures
    adds_up = all(measure.name in ADD_UP or measure == Measure("share") for measure in measures)
    if kind == "area" and "color" in read and not adds_up:
        fault("y", "an area stacks what adds up: count, share or sum(c); use type: line")
    if read.get("bars") == "stacked" and not adds_up:
        fault("bars", "bars are stacked of what adds up: count, share or sum(c); remove it")
    if kind == "share" and measures not in ([], [Measure("share")]):
        fault("y", "a share draws each group's part of all rows; remove y")
    if kind == "histogram" and any(str(measure) not in ("count", "people", "share") for measure in measures):
        fault("y", "a histogram counts count, people or share; use one of them")
    if kind == "funnel" and any(str(measure) not in ("count", "people") for measure in measures):
        fault("y", "a funnel counts people, or with `y: count` rows; use one of them")
    if kind == "retention" and any(str(measure) != "people" for measure in measures):
        fault("y", "retention counts people; remove y")
    if kind == "band" and measures:
        parts = [PERCENTILES.get(measure.name, 0) for measure in measures]
        if {measure.name for measure in measures} - PERCENTILES.keys() or len({one.column for one in measures}) > 1:
            fault("y", "a band draws percentiles of one column; use y: p50(c), or y: [p10(c), p50(c), p90(c)]")
        elif len(parts) not in (1, 3) or parts != sorted(parts) or (len(parts) == 1 and parts != [0.5]):
            fault("y", "a band has a lower edge, a middle and an upper edge, as in y: [p10(c), p50(c), p90(c)]")
    if kind in ("number", "heatmap") and bare_share:
        fault("y", f"a {kind} has no groups to be a share of; use share(c), of a true or false column c")
    if read.get("interval") and not (len(measures) == 1 and measures[0].name in ("share", "mean") and not bare_share):
        fault("interval", "an interval is for one share(c) or mean(c); remove it")


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
