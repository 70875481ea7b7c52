"""The publish gate: counts a query's rows for a chart and lets through only cells with enough people.

The site is public. A cell with fewer than `minimum_users` distinct people is held back, whatever the author wrote;
small groups are folded into "Other", which is counted anew and must pass itself. All that a page shows of people's rows
(figure, table, downloads, captions) is made from the `Published` that comes out here. CI runs have no `user_id`: they
count as runs, never as people.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from reports.block import GRAINS, PERCENTILES, Block, Measure
from reports.cells import Axis, Cell, Counted, text_of
from reports.format import inert
from reports.published import OTHER, UNKNOWN, Column, Published, Value
from reports.sandbox import QueryError
from reports.warehouse import VIEWS, describe, quote

__all__ = ["publish"]

# A grain must show this share of the rows that it was given, or a coarser one is tried.
ENOUGH_SHOWN = 0.8
# No axis is cut finer than this many periods, unless the author asks for it.
MOST_PERIODS = 80
MOST_ROWS = 1_000
MOST_CELLS = 5_000
VERSION = re.compile(r"\d+(\.\d+)+")
KINDS = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "time", "DOUBLE": "number", "FLOAT": "number"}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
BOOLEANS = {"true": "yes", "false": "no"}


def publish(
    connection: duckdb.DuckDBPyConnection, block: Block, *, unit: str, minimum_users: int, now: datetime
) -> Published:
    """Aggregates the relation that `block.data` names; `unit` says what its rows are, "" if not people's.

    Raises `QueryError` when the block does not fit the relation.
    """
    columns = describe(connection, quote(block.data))
    if not block.people:
        if unit:
            raise QueryError(
                f'"{block.data}" reads people\'s rows; remove `people: none`, and let the chart count', option="people"
            )
        return _plain(connection, block, columns)
    if not unit:
        raise QueryError(f'"{block.data}" reads no people\'s rows; add `people: none` and name its columns in x and y')
    whose = next((kind for name, kind in columns.items() if name.lower() == "user_id"), None)
    if whose is None:
        raise QueryError(
            f'"{block.data}" reads people\'s rows and loses user_id; add user_id to its SELECT and leave counting to y'
        )
    if block.data.lower() not in VIEWS and whose != describe(connection, "sessions")["user_id"]:
        raise QueryError(f'user_id of "{block.data}" is {whose}; it must be the column of a view as it is')
    return _Gate(connection, block, columns, unit, minimum_users, now).run()


def _find(name: str, columns: Mapping[str, str], option: str) -> tuple[str, str]:
    """A column's name as it is spelt in the relation, and its kind."""
    for there, kind in columns.items():
        if there.lower() == name.lower():
            return there, _kind(there, kind, option)
    near = difflib.get_close_matches(name, list(columns), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(columns)}"
    raise QueryError(f'column "{name}" not found; {hint}', option=option)


def _kind(name: str, sql_type: str, option: str) -> str:
    if sql_type.startswith("TIMESTAMP"):
        return "time"
    if sql_type in INTEGERS or sql_type.startswith("DECIMAL"):
        return "number"
    if sql_type.startswith("ENUM"):
        return "text"
    if sql_type in KINDS:
        return KINDS[sql_type]
    raise QueryError(f'column "{name}" is {sql_type}, which is never published; select one of its parts', option=option)


def _unit(name: str, kind: str) -> str:
    return "milliseconds" if kind == "number" and name.lower().endswith("_ms") else kind


def _check_x(block: Block, x: tuple[str, str] | None) -> None:
    if block.type in ("line", "area") and x is not None and x[1] != "time":
        raise QueryError(f'a {block.type} needs a time on x, "{x[0]}" is not one; use type: bar', option="x")


# What is not people's (releases, the pipeline) is shown as it is.

AS_IS = {"time": "TIMESTAMP", "text": "VARCHAR", "boolean": "BOOLEAN", "number": "DOUBLE"}


def _plain(connection: duckdb.DuckDBPyConnection, block: Block, columns: Mapping[str, str]) -> Published:
    wanted = [(name, option) for option, name in (("x", block.x), ("color", block.color)) if name]
    measured = [(str(measure), "y") for measure in block.y]
    if not wanted and not measured:
        measured = [(name, "data") for name in columns]
    found = [_find(name, columns, option) for name, option in [*wanted, *measured]]
    _check_x(block, found[0] if block.x else None)
    shown, measures = found[: len(wanted)], found[len(wanted) :]
    if block.type not in ("table", "number") and measures[0][1] != "number":
        raise QueryError(f'a {block.type} draws numbers, "{measures[0][0]}" is not one; use type: table', option="y")
    selected = ", ".join(
        quote(name) if columns[name] in INTEGERS[:4] else f"{quote(name)}::{AS_IS[kind]}" for name, kind in found
    )
    # One more than is shown, to know whether rows were cut off.
    rows = connection.execute(f"SELECT {selected} FROM {quote(block.data)} LIMIT {MOST_ROWS + 1}").fetchall()
    if len(rows) > MOST_ROWS:
        raise QueryError(f'"{block.data}" has more than {MOST_ROWS:,} rows; add a LIMIT to its SQL')
    if block.type == "number" and len(rows) > 1:
        raise QueryError(f'a number shows one row, "{block.data}" has {len(rows)}; add LIMIT 1, or use type: table')
    made = [Column(name, _unit(name, kind)) for name, kind in found]
    return Published(
        dimensions=tuple(made[: len(shown)]),
        measures=tuple(made[len(shown) :]),
        rows=tuple(tuple(_finite(value) for value in row) for row in rows),
        people=None,
        groups=tuple(dict.fromkeys(row[1] for row in rows)) if len(shown) > 1 else (),
        empty=None if rows else "no data",
    )


def _finite(value: Any) -> Any:
    """Infinity and NaN, which JSON and axes do not have, as nothing; text as inert as a label."""
    if isinstance(value, str):
        return inert(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Gate:
    """One block over one relation of people's rows."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        block: Block,
        columns: Mapping[str, str],
        unit: str,
        minimum: int,
        now: datetime,
    ) -> None:
        self.connection, self.block, self.columns = connection, block, columns
        self.unit, self.minimum, self.now = unit, minimum, now
        self.source = quote(block.data)
        self.measures = tuple(self._measure(measure) for measure in block.y)
        self.x = self._dimension(block.x, "x")
        self.color = self._dimension(block.color, "color")
        if self.color and self.color[1] == "time":
            raise QueryError(f'color: "{block.color}" is a time, which has no few groups; put it on x', option="color")
        if block.grain and (self.x is None or self.x[1] != "time"):
            raise QueryError("grain is for a time on x; remove it", option="grain")
        _check_x(block, self.x)

    def _dimension(self, name: str | None, option: str) -> tuple[str, str] | None:
        if name is None:
            return None
        if name.lower() == "user_id":
            raise QueryError("user_id is never published; count it with y: people", option=option)
        return _find(name, self.columns, option)

    def _measure(self, measure: Measure) -> Column:
        """Checks that a measure fits its column, and says of which kind its values are."""
        if measure.column is None:
            return Column(str(measure), "share" if measure.name == "share" else "number")
        if measure.column.lower() == "user_id":
            raise QueryError(f"{measure} is never published; count people with y: people", option="y")
        name, kind = _find(measure.column, self.columns, "y")
        wanted = "boolean" if measure.name == "share" else "number"
        if kind != wanted:
            wants = "a true or false column" if wanted == "boolean" else "a number"
            raise QueryError(
                f'{measure.name} needs {wants}, "{name}" is {self.columns[name]}; select an expression of it',
                option="y",
            )
        return Column(str(measure), "share" if measure.name == "share" else _unit(name, kind))

    def run(self) -> Published:
        if self.x is None or self.x[1] != "time":
            return self._cut(self._axes(), "true")[0]
        time = quote(self.x[0])
        first, last = self.connection.execute(f"SELECT min({time}), max({time}) FROM {self.source}").fetchall()[0]
        axes = self._axes()
        if first is None:
            return self._empty("no data", axes)
        best, most = None, -1.0
        for grain in self._grains(first, last):
            current = self._start(grain)
            cut = [Axis(axes[0].column, "time", grain=grain), *axes[1:]]
            # The current period is not over and would look like a fall: it is left out, unless no other can be shown.
            published, shown = self._cut(cut, f"{time} < TIMESTAMP '{current:%Y-%m-%d %H:%M:%S}'", grain)
            if published.empty and not _before(last, current):
                published, shown = self._cut(cut, f"{time} IS NOT NULL", grain, partial=True)
            if shown > most:
                best, most = published, shown
            if shown >= ENOUGH_SHOWN:
                break
        assert best is not None
        return best

    def _grains(self, first: Any, last: Any) -> Sequence[str]:
        """The grain that was asked for, else those to try, from fine to coarse."""
        days = (last - first).days
        if self.block.grain:
            periods = days / GRAINS[self.block.grain]
            if periods > MOST_ROWS:
                raise QueryError(
                    f"grain: {self.block.grain} makes {periods:,.0f} periods; take a coarser one, or fewer days",
                    option="grain",
                )
            return (self.block.grain,)
        fine = [grain for grain, length in GRAINS.items() if grain != "hour" and days / length <= MOST_PERIODS]
        return fine or ["year"]

    def _start(self, grain: str) -> datetime:
        """When the current period began."""
        sql = f"SELECT date_trunc('{grain}', $1::TIMESTAMP)::TIMESTAMP"
        began = self.connection.execute(sql, [self.now]).fetchall()[0][0]
        assert isinstance(began, datetime)
        return began

    def _axes(self) -> list[Axis]:
        # Whatever a category was, its label is a text; a time stays one.
        return [
            Axis(Column(name, "time"), "time")
            if kind == "time"
            else Axis(Column(name, "text"), kind, self._labels(name))
            for name, kind in filter(None, (self.x, self.color))
        ]

    def _labels(self, name: str) -> tuple[str, ...]:
        """The groups with most people, of those with enough; the rest is folded."""
        people = "count(DISTINCT user_id)"
        found = self.connection.execute(
            f"SELECT {text_of(name)} AS label FROM {self.source} GROUP BY ALL HAVING {people} >= {self.minimum} "
            f"ORDER BY {people} DESC, label LIMIT {self.block.limit}"
        ).fetchall()
        # Two that look the same when shown would be drawn as one and counted as two, as would a group's own "Other".
        shown = {OTHER: OTHER}
        for (label,) in found:
            shown.setdefault(inert(label), label)
        return tuple(label for label in shown.values() if label != OTHER)

    def _cut(
        self, axes: list[Axis], where: str, grain: str | None = None, partial: bool = False
    ) -> tuple[Published, float]:
        """What may be shown of these cells, and which share of the rows that is."""
        stacked = self.block.type in ("area", "bar") and len(axes) == 2
        counted = Counted(self.connection, self.source, axes, self.block.y, where, self.minimum if stacked else None)
        cells = counted.cells()
        if len(cells) > MOST_CELLS:
            raise QueryError(
                f"this makes {len(cells):,} cells; take a coarser grain or a smaller limit", option="grain"
            )
        passed = [cell for cell in cells if cell.people >= self.minimum]
        if not passed:
            return self._empty("too few people" if cells else "no data", axes, grain), 0.0
        rows = self._shares([(*_labelled(cell, axes), *self._values(cell)) for cell in passed], len(axes))
        rows.sort(key=lambda row: [_rank(axis, label) for axis, label in zip(axes, row, strict=False)])
        groups = sorted({row[1] for row in rows}, key=lambda label: _rank(axes[1], label)) if axes[1:] else ()
        published = Published(
            dimensions=tuple(axis.column for axis in axes),
            measures=self.measures,
            rows=tuple(rows),
            people=counted.people(self.minimum, all_pass=len(passed) == len(cells)),
            groups=tuple(groups),
            withheld=len(cells) - len(passed),
            withheld_measures=sum(row[len(axes) :].count(None) for row in rows),
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
            partial=partial,
        )
        return published, sum(cell.rows for cell in passed) / sum(cell.rows for cell in cells)

    def _values(self, cell: Cell) -> list[Value]:
        """A cell's measures; none where too few people stand behind it: those with a value, or those in its tail."""
        return [
            _finite(value) if people * _tail(measure) >= self.minimum else None
            for measure, (value, people) in zip(self.block.y, cell.values, strict=True)
        ]

    def _shares(self, rows: list[tuple[Any, ...]], depth: int) -> list[tuple[Any, ...]]:
        """Bare `share`: each cell's part of what is shown, for each place on x where there is a color."""
        by = 1 if depth == 2 else 0
        for number, measure in enumerate(self.block.y, depth):
            if measure.name == "share" and measure.column is None:
                totals: dict[tuple[Any, ...], int] = {}
                for row in rows:
                    totals[row[:by]] = totals.get(row[:by], 0) + row[number]
                rows = [(*row[:number], row[number] / totals[row[:by]], *row[number + 1 :]) for row in rows]
        return rows

    def _empty(self, why: str, axes: Sequence[Axis], grain: str | None = None) -> Published:
        return Published(
            dimensions=tuple(axis.column for axis in axes),
            measures=self.measures,
            rows=(),
            people=0,
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
            empty=why,
        )


def _before(one: Any, other: datetime) -> bool:
    """Whether a date or time is before another."""
    return bool((one if isinstance(one, datetime) else datetime(one.year, one.month, one.day)) < other)


def _labelled(cell: Cell, axes: Sequence[Axis]) -> list[Value]:
    """The cell's key with labels in place of their numbers."""
    made: list[Value] = []
    for key, axis in zip(cell.key, axes, strict=True):
        if axis.labels is None:
            made.append(key)
        else:
            label = axis.labels[key - 1] if key else OTHER
            made.append(BOOLEANS.get(label, label) if axis.kind == "boolean" else inert(label))
    return made


def _rank(axis: Axis, label: Any) -> Any:
    """Time goes by; numbers and versions rise; other categories by size, "not known" and "Other" last."""
    if axis.labels is None:
        return label
    if label in (OTHER, UNKNOWN):
        return (1, label == OTHER)
    if axis.kind == "boolean":
        return (0, label == "no")
    if axis.kind == "number":
        return (0, float(label))
    if all(VERSION.match(other) for other in axis.labels if other != UNKNOWN):
        numbers = VERSION.match(label)
        assert numbers is not None
        # 1.6.0-rc1 comes before 1.6.0.
        return (0, [int(part) for part in numbers[0].split(".")], label == numbers[0], label)
    return (0, [inert(other) for other in axis.labels].index(label))


def _tail(measure: Measure) -> float:
    """Which part of a measure's people must reach the minimum.

    A percentile is close to one person's value unless half the minimum lies beyond it: p95 needs ten times as many.
    """
    part = PERCENTILES.get(measure.name, 0.5)
    return round(2 * min(part, 1 - part), 6)
