"""A chart block, from its text."""

import difflib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from reports.blocks.combinations import Instead, together
from reports.blocks.expect import Expectation
from reports.blocks.kinds import USUAL, Measure
from reports.blocks.options import READERS, read_measure
from reports.blocks.yaml_text import explain

__all__ = ["Block", "BlockError", "parse", "read"]


class BlockError(Exception):
    """Faults of a block as (line, message); lines count from 0 inside the block."""

    def __init__(self, faults: list[tuple[int, str]]) -> None:
        super().__init__("\n".join(message for _, message in faults))
        self.faults = faults


@dataclass(frozen=True)
class Block:
    """A chart block, read. `lines` has the line of each option.

    `color` is the second column to group by: also the `rows` of a heatmap and the second `x` of a table. The other `x`
    are in `more`. `steps` are a funnel's labels and columns. `middle` is in the unit of the measure: 0.1 for 10 %.
    `without` is the column behind `not` in `filter`: of the rows in which it is true there is a choice only.
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
    panels: bool = False
    middle: float | None = None
    trend: str | None = None
    interval: bool = False
    expect: tuple[Expectation, ...] = ()
    annotate: str | None = None
    filter: tuple[str, ...] = ()
    without: str | None = None
    order: str | tuple[str, ...] | None = None
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def groups(self) -> tuple[Any, ...]:
        """What its rows are grouped by. Blocks with the same groups differ in what they measure."""
        return self.type, self.data.lower(), self.x, self.color, self.more, self.grain, self.limit, self.interval


def parse(text: str) -> Block:
    """Reads a block. Raises `BlockError` with every fault at once."""
    block, faults = read(text)
    if block is None or faults:
        raise BlockError(faults)
    return block


def read(text: str, instead: Instead = lambda data, name: None) -> tuple[Block | None, list[tuple[int, str]]]:
    """A block with its faults. It has what can be understood, so that its columns can be checked too.

    `instead` returns a hint for a `y` that is not a measure.
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
    """The fields of a block, from options that are valid by themselves."""
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
    if "filter" in made:
        made["filter"], made["without"] = made["filter"]
    if "rows" in made:
        made["color"] = made.pop("rows")
    return made | {"y": y}


def _load(text: str) -> tuple[dict[str, Any], dict[str, int], list[tuple[int, str]]]:
    """Options as the author wrote them (`yes` and `1.10` are texts), and their lines."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        line, _, message = explain(error, text)
        raise BlockError([(line, message)]) from None
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
    """A text, or a list or mapping of texts. None for anything that no option can be."""
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return [(_scalar(key), _scalar(value)) for key, value in node.value], "mapping"
    return _scalar(node)


def _scalar(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None
