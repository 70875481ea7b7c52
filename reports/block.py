"""A chart block, from its text."""

import difflib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from reports.expect import Expectation
from reports.kinds import USUAL, Measure
from reports.options import READERS, read_measure
from reports.together import Instead, together

__all__ = ["Block", "BlockError", "parse", "read"]


class BlockError(Exception):
    """Faults of a block as (line, message); lines count from 0 inside the block."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        super().__init__("\n".join(message for _, message in faults))
        self.faults = faults


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
    faults += together(known, values.keys(), lines, instead)
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
            y += (read_measure(text, people),)
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
