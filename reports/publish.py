"""The publish gate: counts a query's rows for a chart and lets through only cells with enough people.

The site is public. A cell with fewer than `minimum_users` distinct people is held back, whatever the author wrote;
small groups are folded into "Other", which is counted anew and must pass itself; and where a total less what is shown
would give a small cell away, one more is held back. All that a page shows of people's rows (figure, table, downloads,
captions) is made from the `Published` that comes out here. CI runs have no `user_id`: they count as runs, never as
people.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime

import duckdb

from reports.block import Block
from reports.columns import INTEGERS, find, finite, unit_of
from reports.filters import filtered
from reports.fit import misfits
from reports.funnel import funnel
from reports.gate import Gate
from reports.grains import aggregate
from reports.histogram import histogram
from reports.published import Column, Published
from reports.relation import Relation, look
from reports.retention import retention
from reports.rounding import rounded
from reports.sandbox import QueryError
from reports.warehouse import VIEWS, quote

__all__ = ["columns_of", "publish"]

# Kinds whose cells are not one aggregate by columns, and what counts each.
SHAPES = {"histogram": histogram, "funnel": funnel, "retention": retention}
# Of what is not people's.
MOST_ROWS = 1_000


def publish(
    connection: duckdb.DuckDBPyConnection,
    block: Block,
    *,
    unit: str,
    minimum_users: int,
    now: datetime,
    rounding: bool = False,
    relation: Relation | None = None,
    source: str | None = None,
) -> Published:
    """Aggregates the relation that `block.data` names; `unit` says what its rows are, "" if not people's.

    `relation` is what earlier blocks over the same rows, under the same rules, have found out of it; `source` is
    SQL of these rows that is quick to read again and again, where there is such.
    Raises `QueryError` when the block does not fit the relation.
    """
    relation = relation or look(connection, block.data)
    columns = relation.columns
    for error in misfits(block, columns, unit):
        raise error
    if not block.people:
        return _plain(connection, block, columns)
    whose = next(kind for name, kind in columns.items() if name.lower() == "user_id")
    if block.data.lower() not in VIEWS and whose != relation.user_id:
        raise QueryError(f'user_id of "{block.data}" is {whose}; it must be the column of a view as it is')
    step = minimum_users if rounding else 0
    gate = Gate(connection, block, relation, unit, minimum_users, now, step)
    with nullcontext(source) if source else _read_once(connection, block, columns) as gate.source:
        made = filtered(gate, SHAPES.get(block.type, aggregate)(gate))
    return rounded(made, step) if step else made


@contextmanager
def _read_once(connection: duckdb.DuckDBPyConnection, block: Block, columns: Mapping[str, str]) -> Iterator[str]:
    """The columns of a block as a table, while it is counted: a view would be made from files in every pass."""
    sql = "SELECT count(*) FROM duckdb_views() WHERE view_name = $1"
    if connection.execute(sql, [block.data.lower()]).fetchall() == [(0,)]:
        yield quote(block.data)
        return
    wanted = columns_of(block)
    selected = ", ".join(quote(name) for name in columns if name.lower() in wanted)
    # No query can be called so.
    connection.execute(f'CREATE TEMP TABLE "its rows" AS SELECT {selected} FROM {quote(block.data)}')
    try:
        yield '"its rows"'
    finally:
        connection.execute('DROP TABLE "its rows"')


def columns_of(block: Block) -> set[str]:
    """The columns that a block of people's rows reads, in small letters."""
    named = [block.x, block.color, *block.more, *block.filter, *(column for _, column in block.steps)]
    named += [measure.column for measure in block.y]
    return {name.lower() for name in named if name} | {"user_id"}


# What is not people's (releases, the pipeline) is shown as it is.

AS_IS = {"time": "TIMESTAMP", "text": "VARCHAR", "boolean": "BOOLEAN", "number": "DOUBLE"}


def _plain(connection: duckdb.DuckDBPyConnection, block: Block, columns: Mapping[str, str]) -> Published:
    wanted = [(name, option) for option, name in (("x", block.x), ("color", block.color)) if name]
    wanted += [(name, "x") for name in block.more]
    measured = [(str(measure), "y") for measure in block.y]
    if not wanted and not measured:
        measured = [(name, "data") for name in columns]
    found = [find(name, columns, option) for name, option in [*wanted, *measured]]
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
    made = [Column(name, unit_of(name, kind)) for name, kind in found]
    return Published(
        dimensions=tuple(made[: len(shown)]),
        measures=tuple(made[len(shown) :]),
        rows=tuple(tuple(finite(value) for value in row) for row in rows),
        people=None,
        groups=tuple(dict.fromkeys(row[1] for row in rows)) if len(shown) > 1 else (),
        empty=None if rows else "no data",
    )
