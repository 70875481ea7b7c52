"""Published cells: the only form in which data about people leaves the gate (reports/gate/publish.py)."""

from dataclasses import dataclass, replace
from datetime import datetime

from reports.blocks.names import distinct

__all__ = ["OTHER", "UNKNOWN", "Column", "Filter", "Published", "Share", "Value"]

Value = str | int | float | bool | datetime | None
# The names of groups that the gate makes: for small or too many categories, and for null.
OTHER = "Other"
UNKNOWN = "not known"


@dataclass(frozen=True)
class Column:
    """A published column: `kind` is text, boolean, time, number, share (0 to 1) or milliseconds."""

    name: str
    kind: str


class Share(float):
    """A share of rounded numbers, and how far the rounding may have moved it. Zero reads "under" that."""

    rounding: float

    def __new__(cls, value: float, rounding: float = 0.0) -> "Share":
        """The share with its rounding."""
        made = super().__new__(cls, value)
        made.rounding = rounding
        return made


@dataclass(frozen=True)
class Published:
    """Cells that may be shown. The columns of `rows` are `dimensions`, then `measures`, in the order in which they are
    drawn.

    `unit` names the counted rows ("runs", "events", "spans", "rows"). `people` is the number of distinct people in all
    cells, shown or not. None for data without people, 0 for too few. `groups` are the values of the second dimension,
    in order. Those of a heat map, and `across` of its first dimension, include bins and numbers between others of which
    no cell is shown. `partial` says that the last period is not over. `begun` is the first period, if it is not whole.
    `empty` says why there are no rows: "no data" or "too few people". `marks` are percentiles of the whole, by name.
    `logarithmic` says that bins are even on such a scale. `compared` is the number of groups that a scan compared with
    all others. With `interval`, the first measure is followed by the ends of its 95 % confidence interval and, if there
    are groups, by whether it differs significantly from the others. Numbers of rows and people are multiples of
    `rounded`, which is 0 if they are exact. `trend` has the first measure of a table over time. `filters` have the same
    cells for each value of a column, by column.
    """

    dimensions: tuple[Column, ...]
    measures: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    people: int | None
    groups: tuple[Value, ...] = ()
    across: tuple[Value, ...] = ()
    minimum_users: int = 0
    unit: str = ""
    grain: str | None = None
    partial: bool = False
    begun: datetime | None = None
    empty: str | None = None
    marks: tuple[tuple[str, Value], ...] = ()
    logarithmic: bool = False
    compared: int = 0
    interval: bool = False
    rounded: int = 0
    filters: tuple["Filter", ...] = ()
    trend: "Published | None" = None

    @property
    def unfinished(self) -> Value:
        """The last period, if it is not over."""
        return self.rows[-1][0] if self.partial and self.rows else None

    @property
    def whole(self) -> tuple[tuple[Value, ...], ...]:
        """The rows of whole periods, or all rows if no whole period is shown."""
        if not self.partial and self.begun is None:
            return self.rows
        cut = [one for one in (self.unfinished, self.begun) if one is not None]
        over = tuple(row for row in self.rows if row[0] not in cut)
        return over or self.rows

    @property
    def drawn(self) -> "Published":
        """Without periods that are not whole, which would look like a rise or a fall; unchanged if there are no
        others.
        """
        if self.whole == self.rows:
            return self
        gone = {row[1] for row in self.rows} - {row[1] for row in self.whole} if self.groups else set()
        groups = tuple(group for group in self.groups if group not in gone)
        return replace(self, rows=self.whole, groups=groups, partial=False, begun=None)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, dimensions first."""
        return self.dimensions + self.measures

    @property
    def names(self) -> list[str]:
        """A unique name for each column, because an attribute may be called `people` too."""
        return distinct((column.name for column in self.columns), between=" ")


@dataclass(frozen=True)
class Filter:
    """The published cells of a block for each value of a filter column. The value with most people is first.

    With `windows`, the column is a time, and each value is a number of last weeks.
    """

    column: str
    series: tuple[tuple[str, Published], ...]
    windows: bool = False
