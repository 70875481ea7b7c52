"""The values that pass between the steps of the gate: the cells to count, and their counts."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from reports.blocks.kinds import Measure
from reports.blocks.published import Column

__all__ = ["Axis", "Cell", "Counted", "Cut", "Key", "Part", "Spread"]

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of a chart: periods of a time, categories, or bins of a number.

    `labels` are the named categories as texts, in the order of their size, or `in_order` of the query. In a cell's key
    they are 1, 2, …, and every other value is 0. `edges` are the edges of bins. In a key, 0 is below the first edge,
    and the number of edges is from the last edge on.
    """

    column: Column
    kind: str
    labels: tuple[str, ...] | None = None
    grain: str | None = None
    edges: tuple[float, ...] | None = None
    in_order: bool = False


@dataclass(frozen=True)
class Cut:
    """One way to divide rows into cells, and the measures of each cell.

    `source` is SQL of people's rows. The parts of a key at `places` name the whole of which a bare `share` is a part.
    `interval` asks for the spread of the measures. `also` are measures of other blocks, to count at the same time.
    """

    source: str
    axes: tuple[Axis, ...] = ()
    measures: tuple[Measure, ...] = ()
    places: tuple[int, ...] = ()
    interval: bool = False
    also: frozenset[Measure] = frozenset()


@dataclass(frozen=True)
class Spread:
    """Sums over people and CI runs that give the variance of a ratio of totals: of values (`s`), of their numbers
    (`n`), of squares and products of both, and the number of draws.
    """

    s: float = 0
    n: float = 0
    ss: float = 0
    sn: float = 0
    nn: float = 0
    draws: float = 0

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Spread") -> "Spread":
        return Spread(*(one - two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Part:
    """The result of a measure in a cell: how many people and rows have a value, and the value.

    `value` is the sum for `sum` and `mean`, and for a share of a column how many rows are true. `size` is the quantity
    of which one person may have most, and `largest` the amount of the person with most. `below` and `above` are the
    people with a value at most, and at least, the percentile.
    """

    people: int = 0
    rows: int = 0
    value: float | None = None
    size: float = 0
    largest: float = 0
    below: int = 0
    above: int = 0
    spread: Spread | None = None


@dataclass(frozen=True)
class Cell:
    """A cell before it is protected: rows, distinct people, rows of people without CI, and a part for each measure."""

    rows: int
    people: int
    own: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Counted:
    """All cells of one cut."""

    cells: Mapping[Key, Cell]
    measures: tuple[Measure, ...]
    places: tuple[int, ...]
    interval: bool

    def place(self, key: Key) -> Key:
        """The whole to which a cell belongs."""
        return tuple(key[number] for number in self.places)
