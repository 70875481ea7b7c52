"""The publish gate: counts a query's rows for a chart and lets through only cells with enough people.

The site is public. A cell with fewer than `minimum_users` distinct people is held back, whatever the author wrote;
small groups are folded into "Other", which is counted anew and must pass itself. All that a page shows of people's rows
(figure, table, downloads, captions) is made from the `Published` that comes out here. CI runs have no `user_id`: they
count as runs, never as people.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from reports.block import GRAINS, PERCENTILES, Block, Measure
from reports.sandbox import QueryError
from reports.warehouse import describe, quote, quote_if_needed

__all__ = ["Column", "Published", "Value", "publish", "statement"]

Value = str | int | float | bool | datetime | None
# A grain must show this share of the rows that it was given, or a coarser one is tried.
ENOUGH_SHOWN = 0.8
# No axis is cut finer than this many periods.
MOST_PERIODS = 80
MOST_ROWS = 1_000
OTHER = "Other"
UNKNOWN = "not known"
VERSION = re.compile(r"\d+(\.\d+)+")
KINDS = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "time", "DOUBLE": "number", "FLOAT": "number"}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


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
    the number of cells that are not shown. `empty` says why there are no rows: "no data" or "too few people".
    """

    dimensions: tuple[Column, ...]
    measures: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    people: int | None
    groups: tuple[Value, ...] = ()
    withheld: int = 0
    withheld_measures: int = 0
    minimum_users: int = 0
    unit: str = ""
    grain: str | None = None
    partial: bool = False
    empty: str | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, dimensions first."""
        return self.dimensions + self.measures


def publish(
    connection: duckdb.DuckDBPyConnection, block: Block, *, unit: str, minimum_users: int, now: datetime
) -> Published:
    """Aggregates the relation that `block.data` names; `unit` says what its rows are, "" if not people's.

    Raises `QueryError` when the block does not fit the relation.
    """
    columns = describe(connection, quote(block.data))
    if not block.people:
        if unit:
            raise QueryError(f'"{block.data}" reads people\'s rows; remove `people: none`, and let the chart count')
        return _plain(connection, block, columns)
    if not unit:
        raise QueryError(f'"{block.data}" reads no people\'s rows; add `people: none` and name its columns in x and y')
    names = {name.lower(): name for name in columns}
    if "user_id" not in names:
        raise QueryError(
            f'"{block.data}" reads people\'s rows and loses user_id; add user_id to its SELECT and leave counting to y'
        )
    return _Gate(connection, block, columns, unit, minimum_users, now).run()


def _find(name: str, columns: Mapping[str, str]) -> tuple[str, str]:
    """A column's name as it is spelt in the relation, and its kind."""
    for there, kind in columns.items():
        if there.lower() == name.lower():
            return there, _kind(there, kind)
    near = difflib.get_close_matches(name, list(columns), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(columns)}"
    raise QueryError(f'column "{name}" not found; {hint}')


def _kind(name: str, sql_type: str) -> str:
    if sql_type.startswith("TIMESTAMP"):
        return "time"
    if sql_type in INTEGERS or sql_type.startswith("DECIMAL"):
        return "number"
    if sql_type.startswith("ENUM"):
        return "text"
    if sql_type in KINDS:
        return KINDS[sql_type]
    raise QueryError(f'column "{name}" is {sql_type}, which is never published; select one of its parts')


def _unit(name: str, kind: str) -> str:
    return "milliseconds" if kind == "number" and name.lower().endswith("_ms") else kind


def _plain(connection: duckdb.DuckDBPyConnection, block: Block, columns: Mapping[str, str]) -> Published:
    """Rows that are not people's (releases, the pipeline), as they are."""
    wanted = [name for name in (block.x, block.color) if name]
    measured = [str(measure) for measure in block.y]
    if not wanted and not measured:
        measured = list(columns)
    found = [_find(name, columns) for name in [*wanted, *measured]]
    selected = ", ".join(quote(name) for name, _ in found)
    # One more than is shown, to know whether rows were cut off.
    rows = connection.execute(f"SELECT {selected} FROM {quote(block.data)} LIMIT {MOST_ROWS + 1}").fetchall()
    if len(rows) > MOST_ROWS:
        raise QueryError(f'"{block.data}" has more than {MOST_ROWS:,} rows; add a LIMIT to its SQL')
    shown = tuple(Column(name, _unit(name, kind)) for name, kind in found)
    return Published(
        dimensions=shown[: len(wanted)],
        measures=shown[len(wanted) :],
        rows=tuple(rows),
        people=None,
        empty=None if rows else "no data",
    )


@dataclass(frozen=True)
class _Axis:
    """A dimension: an expression, and for categories the labels that are kept (others are 0, "Other")."""

    column: Column
    expression: str
    labels: tuple[Value, ...] | None = None
    boolean: bool = False


class _Gate:
    """One block over one relation of people's rows."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        block: Block,
        columns: Mapping[str, str],
        unit: str,
        minimum_users: int,
        now: datetime,
    ) -> None:
        self.connection, self.block, self.columns = connection, block, columns
        self.unit, self.minimum, self.now = unit, minimum_users, now
        self.source = quote(block.data)
        self.measures = [self._measure(measure) for measure in block.y]
        self.x = self._dimension(block.x)
        self.color = self._dimension(block.color)
        if self.color and self.color[1] == "time":
            raise QueryError(f'color: "{block.color}" is a time, which has no few groups; put it on x')
        if block.grain and (self.x is None or self.x[1] != "time"):
            raise QueryError("grain is for a time on x; remove it")
        if block.type in ("line", "area") and self.x is not None and self.x[1] != "time":
            raise QueryError(f'a {block.type} needs a time on x, "{block.x}" is not one; use type: bar')

    def _dimension(self, name: str | None) -> tuple[str, str] | None:
        if name is None:
            return None
        if name.lower() == "user_id":
            raise QueryError("user_id is never published; count it with y: people")
        return _find(name, self.columns)

    def _measure(self, measure: Measure) -> Column:
        """Checks that a measure fits its column, and says of which kind its values are."""
        if measure.column is None:
            return Column(str(measure), "share" if measure.name == "share" else "number")
        if measure.column.lower() == "user_id":
            raise QueryError(f"{measure} is never published; count people with y: people")
        name, kind = _find(measure.column, self.columns)
        wanted = "boolean" if measure.name == "share" else "number"
        if kind != wanted:
            wants = "a true or false column" if wanted == "boolean" else "a number"
            raise QueryError(
                f'{measure.name} needs {wants}, "{name}" is {self.columns[name]}; select an expression of it'
            )
        return Column(str(measure), "share" if measure.name == "share" else _unit(name, kind))

    def run(self) -> Published:
        total = self.connection.execute(f"SELECT count(*) FROM {self.source}").fetchall()[0][0]
        if total == 0:
            return self._empty("no data", ())
        if self.x is None or self.x[1] != "time":
            return self._publish(self._axes(None), None)
        best: Published | None = None
        for grain in self._grains():
            shown = self._publish(self._axes(grain), grain)
            if best is None or len(shown.rows) > 0:
                best = shown
            if self._shown >= ENOUGH_SHOWN:
                break
        assert best is not None
        return best

    def _grains(self) -> Sequence[str]:
        """The grain that was asked for, else those to try, from fine to coarse."""
        assert self.x is not None
        if self.block.grain:
            return (self.block.grain,)
        time = quote(self.x[0])
        days = self.connection.execute(
            f"SELECT date_diff('hour', min({time}), max({time})) / 24 FROM {self.source}"
        ).fetchall()[0][0]
        fine = [grain for grain, length in GRAINS.items() if grain != "hour" and (days or 0) / length <= MOST_PERIODS]
        return fine or ["year"]

    def _axes(self, grain: str | None) -> list[_Axis]:
        axes: list[_Axis] = []
        for found in (self.x, self.color):
            if found is None:
                continue
            name, kind = found
            # Whatever a category was, its label is a text; a time stays one.
            column = Column(name, "time" if kind == "time" else "text")
            if kind == "time":
                axes.append(_Axis(column, f"date_trunc('{grain or 'day'}', {quote(name)})::TIMESTAMP"))
            else:
                axes.append(self._categories(column, name, kind == "boolean"))
        return axes

    def _categories(self, column: Column, name: str, boolean: bool) -> _Axis:
        """The groups with most people, of those with enough; the rest is folded."""
        # A null group is one like any other, under a text that no declared value can be.
        label = f"coalesce({quote(name)}::VARCHAR, chr(1))"
        groups = self.connection.execute(
            f"""
            SELECT {label} AS label FROM {self.source} GROUP BY ALL
            HAVING count(DISTINCT user_id) >= {self.minimum}
            ORDER BY count(DISTINCT user_id) DESC, label LIMIT {self.block.limit}
            """
        ).fetchall()
        labels = tuple(group for (group,) in groups)
        listed = "[" + ", ".join("'" + str(label).replace("'", "''") + "'" for label in labels) + "]::VARCHAR[]"
        return _Axis(column, f"coalesce(list_position({listed}, {label}), 0)", labels, boolean)

    def _publish(self, axes: list[_Axis], grain: str | None) -> Published:
        """One pass of the gate at one grain."""
        where, partial = self._finished(grain)
        self._make_cells(axes, where)
        if self.block.type in ("area", "bar") and len(axes) == 2:
            self._fold_cells()
        shown = self._cells(axes)
        rows_all, rows_shown, withheld, people = shown[1]
        self._shown = rows_shown / rows_all if rows_all else 0.0
        if not shown[0]:
            return self._empty("too few people" if rows_all else "no data", axes, grain)
        rows = self._ordered(axes, self._shares(shown[0], axes))
        return Published(
            dimensions=tuple(axis.column for axis in axes),
            measures=tuple(self.measures),
            rows=rows,
            people=people,
            groups=tuple(sorted({row[1] for row in rows}, key=lambda label: _rank(axes[1], label))) if axes[1:] else (),
            withheld=withheld,
            withheld_measures=sum(row[len(axes) :].count(None) for row in rows),
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
            partial=partial,
        )

    def _finished(self, grain: str | None) -> tuple[str, bool]:
        """Leaves out the current period, which is not over and would look like a fall, unless there is no other."""
        if grain is None:
            return "true", False
        assert self.x is not None
        time = quote(self.x[0])
        now = f"date_trunc('{grain}', TIMESTAMP '{self.now:%Y-%m-%d %H:%M:%S}')"
        before, after = self.connection.execute(
            f"SELECT count(*) FILTER ({time} < {now}), count(*) FILTER ({time} >= {now}) FROM {self.source}"
        ).fetchall()[0]
        if not before:
            return f"{time} IS NOT NULL", after > 0
        return f"{time} < {now}", False

    def _make_cells(self, axes: list[_Axis], where: str) -> None:
        """Every row of the relation with the cell that it belongs to, as a view; `_axis0`, `_axis1` are the cell."""
        keys = "".join(f"{axis.expression} AS _axis{number}, " for number, axis in enumerate(axes))
        self.keys = [f"_axis{number}" for number in range(len(axes))]
        self.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW celled AS SELECT {keys} * FROM {self.source} WHERE {where}"
        )
        self.celled = "celled"

    def _fold_cells(self) -> None:
        """In a stack, a group that is too small in one period joins that period's "Other", which is counted anew."""
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE small AS SELECT _axis0, _axis1 FROM celled GROUP BY ALL
            HAVING count(DISTINCT user_id) < {self.minimum} AND _axis1 <> 0
            """
        )
        self.connection.execute(
            """
            CREATE OR REPLACE TEMP VIEW folded AS
            SELECT * REPLACE (
                CASE WHEN (_axis0, _axis1) IN (SELECT (_axis0, _axis1) FROM small) THEN 0 ELSE _axis1 END AS _axis1
            )
            FROM celled
            """
        )
        self.celled = "folded"

    def _cells(self, axes: list[_Axis]) -> tuple[list[tuple[Value, ...]], tuple[int, int, int, int]]:
        """Cells that pass, and (rows, rows in them, cells that do not pass, people in those that do)."""
        keys = "".join(f"{key}, " for key in self.keys)
        selected = ", ".join(_sql(measure, number) for number, measure in enumerate(self.block.y))
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE cells AS
            SELECT {keys} count(*) AS n, count(DISTINCT user_id) AS people, {selected} FROM {self.celled} GROUP BY ALL
            """
        )
        passes = f"people >= {self.minimum}"
        totals = self.connection.execute(
            f"SELECT coalesce(sum(n), 0)::BIGINT, coalesce(sum(n) FILTER ({passes}), 0)::BIGINT, "
            f"count(*) FILTER (NOT {passes}) FROM cells"
        ).fetchall()[0]
        names = ", ".join(
            f"CASE WHEN s{number} * {_tail(measure)} >= {self.minimum} THEN m{number} END"
            for number, measure in enumerate(self.block.y)
        )
        rows = self.connection.execute(f"SELECT {keys} {names} FROM cells WHERE {passes}").fetchall()
        match = f"({', '.join(self.keys)}) IN (SELECT ({', '.join(self.keys)}) FROM cells WHERE {passes})"
        people = self.connection.execute(
            f"SELECT count(DISTINCT user_id) FROM {self.celled} WHERE {match if self.keys else 'true'}"
        ).fetchall()[0][0]
        return [self._labelled(row, axes) for row in rows], (*totals, people)

    def _labelled(self, row: tuple[Value, ...], axes: list[_Axis]) -> tuple[Value, ...]:
        """The cell's numbers replaced by its labels."""
        labels: list[Value] = []
        for value, axis in zip(row, axes, strict=False):
            if axis.labels is None:
                labels.append(value)
            else:
                assert isinstance(value, int)
                label = OTHER if value == 0 else axis.labels[value - 1]
                if label == chr(1):
                    label = UNKNOWN
                elif axis.boolean and value:
                    label = "yes" if label == "true" else "no"
                labels.append(label)
        return (*labels, *row[len(axes) :])

    def _shares(self, rows: list[tuple[Value, ...]], axes: list[_Axis]) -> list[tuple[Value, ...]]:
        """Bare `share`: each cell's part of the published rows, of its period where the axis is one of time."""
        by = 1 if axes and (len(axes) == 2) else 0
        for number, measure in enumerate(self.block.y, len(axes)):
            if measure.name == "share" and measure.column is None:
                totals: dict[tuple[Value, ...], float] = {}
                for row in rows:
                    value = row[number]
                    assert isinstance(value, int | float)
                    totals[row[:by]] = totals.get(row[:by], 0) + value
                rows = [
                    (*row[:number], row[number] / totals[row[:by]], *row[number + 1 :])  # type: ignore[operator]
                    for row in rows
                ]
        return rows

    def _ordered(self, axes: list[_Axis], rows: list[tuple[Value, ...]]) -> tuple[tuple[Value, ...], ...]:
        def rank(row: tuple[Value, ...]) -> list[Any]:
            return [_rank(axis, label) for axis, label in zip(axes, row, strict=False)]

        return tuple(sorted(rows, key=rank))

    def _empty(self, why: str, axes: Sequence[_Axis], grain: str | None = None) -> Published:
        return Published(
            dimensions=tuple(axis.column for axis in axes),
            measures=tuple(self.measures),
            rows=(),
            people=0,
            minimum_users=self.minimum,
            unit=self.unit,
            grain=grain,
            empty=why,
        )


def _rank(axis: _Axis, label: Value) -> Any:
    """Time goes by; versions rise; other categories by size, "not known" and "Other" last."""
    if axis.labels is None:
        return label
    if label in (OTHER, UNKNOWN):
        return (1, label == OTHER)
    if all(VERSION.match(str(other)) for other in axis.labels):
        return (0, [int(part) for part in re.findall(r"\d+", str(label))], str(label))
    if axis.boolean:
        return (0, label == "no")
    return (0, axis.labels.index(label))


def _sql(measure: Measure, number: int) -> str:
    """The measure over a cell, as m0, m1, …, and the people behind it, as s0, s1, …"""
    if measure.column is None:
        plain = {
            "count": "count(*)",
            "share": "count(*)",
            "people": "count(DISTINCT user_id)",
            "per_person": "count(user_id) / count(DISTINCT user_id)",
        }
        return f"{plain[measure.name]} AS m{number}, count(DISTINCT user_id) AS s{number}"
    column = quote(measure.column)
    if measure.name in PERCENTILES:
        value = f"quantile_cont({column}::DOUBLE, {PERCENTILES[measure.name]})"
    else:
        value = {
            "sum": f"sum({column})::DOUBLE",
            "mean": f"avg({column})",
            "share": f"avg({column}::INTEGER)",
        }[measure.name]
    return f"{value} AS m{number}, count(DISTINCT user_id) FILTER ({column} IS NOT NULL) AS s{number}"


def _tail(measure: Measure) -> float:
    """Which part of a measure's people must reach the minimum.

    A percentile is close to one person's value unless half the minimum lies beyond it: p95 needs ten times as many.
    """
    part = PERCENTILES.get(measure.name, 0.5)
    return 2 * min(part, 1 - part)


def statement(block: Block, published: Published) -> str:
    """What the gate counts, as SQL that a reader can follow and a maintainer can run (folding left out)."""
    columns = []
    for column in published.dimensions:
        name = quote_if_needed(column.name)
        columns.append(
            f"date_trunc('{published.grain}', {name}) AS {name}" if published.grain and column.kind == "time" else name
        )
    if not block.people:
        return f"SELECT {', '.join([*columns, *(column.name for column in published.measures)])} FROM {block.data}"
    for number, measure in enumerate(block.y):
        expression = _sql(measure, number).split(f" AS m{number}")[0]
        if measure.name == "share" and measure.column is None:
            expression = "count(*) / sum(count(*)) OVER ()"
        columns.append(f"{expression} AS {measure.name}")
    return (
        f"SELECT {', '.join(columns)}\nFROM {block.data}\nGROUP BY ALL\n"
        f"HAVING count(DISTINCT user_id) >= {published.minimum_users}"
    )
