"""What may be shown: the only form in which people's data leaves the gate (reports/publish.py)."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["OTHER", "UNKNOWN", "Column", "Filter", "Published", "Value"]

Value = str | int | float | bool | datetime | None
# What the groups are called that the gate makes: of all that is too small or too many, and of null.
OTHER = "Other"
UNKNOWN = "not known"


@dataclass(frozen=True)
class Column:
    """A published column: `kind` is text, boolean, time, number, share (0 to 1) or milliseconds."""

    name: str
    kind: str


@dataclass(frozen=True)
class Published:
    """What may be shown: `dimensions` then `measures` are the columns of `rows`, in the order in which they are drawn.

    `unit` says what was counted ("runs", "events", "spans", "rows"), `people` how many distinct people are in these
    rows; None where they are not people's. `groups` are the values of the second dimension, in order. `withheld` is
    the number of cells that are not shown, `withheld_more` that of those which are not because a total less them would
    give one away, `withheld_measures` that of single values in cells that are. `partial` says that the last period is
    not over. `empty` says why there are no rows: "no data" or "too few people". `marks` are percentiles of the whole,
    by name. `logarithmic` says that bins are even on such a scale. `interval` says that the last two measures are the
    ends of the first one's 95 % confidence interval. `sql` says how it was counted, where that is not one aggregate.
    `rounded` says of what numbers of rows and people are multiples, 0 if they are exact.
    `filters` have the same of the rows with one value of a column, by column.
    """

    dimensions: tuple[Column, ...]
    measures: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    people: int | None
    groups: tuple[Value, ...] = ()
    withheld: int = 0
    withheld_more: int = 0
    withheld_measures: int = 0
    minimum_users: int = 0
    unit: str = ""
    grain: str | None = None
    partial: bool = False
    empty: str | None = None
    marks: tuple[tuple[str, Value], ...] = ()
    logarithmic: bool = False
    interval: bool = False
    sql: str | None = None
    rounded: int = 0
    filters: tuple["Filter", ...] = ()

    @property
    def unfinished(self) -> Value:
        """The last period, if it is not over."""
        return self.rows[-1][0] if self.partial and self.rows else None

    @property
    def whole(self) -> tuple[tuple[Value, ...], ...]:
        """The rows of periods that are over, or all, where no other is shown: what can be compared."""
        over = tuple(row for row in self.rows if row[0] != self.unfinished) if self.partial else ()
        return over or self.rows

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, dimensions first."""
        return self.dimensions + self.measures


@dataclass(frozen=True)
class Filter:
    """What may be shown of a block for each value of a column alone, the value with most people first."""

    column: str
    series: tuple[tuple[str, Published], ...]
