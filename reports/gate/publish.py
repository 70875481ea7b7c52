"""The publish gate: plan, count, protect, show.

The site is public. Everything that a page shows about people's rows (figure, table, downloads, captions) is made from
the `Published` that this returns. Each step is a function of the one before, and nothing flows back:

- plan: the groups and the measures (reports/gate/plan.py)
- count: people, rows, sums and the largest person of each cell (reports/gate/count.py)
- protect: which of these numbers may be published (reports/gate/protect.py)
- show: their names and their order (reports/gate/show.py)

CI runs have no `user_id`: they count as runs, never as people.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime

import duckdb

from reports.blocks.block import Block
from reports.blocks.kinds import Measure
from reports.blocks.published import Column, Filter, Published
from reports.gate.cells import Counted, Cut
from reports.gate.columns import INTEGERS, dimension, find, finite, measured, unit_of
from reports.gate.count import MOST_CELLS
from reports.gate.fit import misfits
from reports.gate.lookup import Rows
from reports.gate.plan import plan
from reports.gate.protect import Protected, protect, stand_out, unprotected
from reports.gate.rules import Rules
from reports.gate.show import show, unchanged, with_choices, with_trend
from reports.query.quoting import quote
from reports.query.relation import Relation, look
from reports.query.sandbox import QueryError
from reports.query.views import VIEWS

__all__ = ["columns_of", "publish"]

# For rows that are not people's.
MOST_ROWS = 1_000
# What a reader can choose if a block is filtered by a time.
WEEKS = (4, 12, 26)


def publish(
    connection: duckdb.DuckDBPyConnection,
    block: Block,
    *,
    unit: str,
    rules: Rules,
    now: datetime,
    relation: Relation | None = None,
    source: str | None = None,
    also: Collection[Measure] = (),
) -> Published:
    """Aggregates the relation that `block.data` names. `unit` says what its rows are, "" if they are not people's.

    `relation` has what earlier blocks over the same rows have found, under the same rules. `source` is SQL for these
    rows that is fast to read repeatedly, if there is any; `also` are measures that later blocks with the same groups
    ask for. Raises `QueryError` if the block does not fit the relation.
    """
    relation = relation or look(connection, block.data)
    columns = relation.columns
    for error in misfits(block, columns, unit):
        raise error
    if not block.people:
        return _plain(connection, block, columns)
    whose = next(kind for name, kind in columns.items() if name.lower() == "user_id")
    if block.data.lower() not in VIEWS and whose != relation.user_id:
        raise QueryError(f'user_id of "{block.data}" is {whose}; it must be the unchanged column of a view')
    with nullcontext(source) if source else _read_once(connection, block, columns) as read:
        fit = frozenset(one for one in also if source and _fits(one, columns))
        rows = Rows(connection, read, relation, rules, now, fit)
        made = _shown(rows, block, unit)
        if block.trend and not made.empty:
            more = (block.color, *block.more) if block.color else ()
            by_time = replace(block, type="line", x=block.trend, color=block.x, more=more, y=block.y[:1], trend=None)
            by_time = replace(by_time, interval=False)
            made = with_trend(made, _shown(replace(rows, also=frozenset()), by_time, unit))
    return made


def _fits(measure: Measure, columns: Mapping[str, str]) -> bool:
    try:
        measured(measure, columns)
    except QueryError:
        return False
    return True


def _shown(rows: Rows, block: Block, unit: str) -> Published:
    """The block, with what each choice of its filters shows of it."""
    if block.without is None:
        return _chosen(rows, block, unit)
    name = quote(find(block.without, rows.relation.columns, "filter")[0])
    filter = tuple(one for one in block.filter if one != block.without)
    made = _chosen(_where(rows, f"{name} IS NOT TRUE"), replace(block, filter=filter), unit)
    if filter == block.filter or made.empty:
        return made
    others = _chosen(_where(rows, name), replace(block, filter=()), unit)
    return with_choices(made, Filter(block.without, () if others.empty else (("yes", others),)))


def _chosen(rows: Rows, block: Block, unit: str) -> Published:
    planned = plan(rows, block, unit)
    if block.type == "scan":
        searched = [_counted(rows, cut) for cut in (planned.cut, *planned.beside)]
        return show(planned, stand_out(searched, rows.rules), _protected(rows, planned.whole))
    shown, *filters = [(_protected(rows, one.cut), _protected(rows, one.whole)) for one in (planned, *planned.filtered)]
    made = show(planned, *shown, filters)
    times = [dimension(name, rows.relation.columns, "filter") for name in block.filter]
    alone = replace(block, filter=())
    for name in [name for name, kind in times if kind == "time"] if not made.empty else ():
        recent = [
            (f"last {weeks} weeks", _chosen(_where(rows, f"last_days({quote(name)}, {7 * weeks})"), alone, unit))
            for weeks in WEEKS
        ]
        made = with_choices(made, Filter(name, tuple(one for one in recent if not one[1].empty), windows=True))
    return made


def _where(rows: Rows, condition: str) -> Rows:
    """Some of the rows."""
    return replace(rows, source=f"(SELECT * FROM {rows.source} WHERE {condition})")


def _protected(rows: Rows, cut: Cut) -> Protected:
    """The numbers of a cut that may be published."""
    return protect(_counted(rows, cut), rows.rules)


def _counted(rows: Rows, cut: Cut) -> Counted:
    """The cells of a cut. Raises `QueryError` if there are too many."""
    counted = rows.counted(cut)
    if len(counted.cells) > MOST_CELLS:
        raise QueryError(
            f"this makes more than {MOST_CELLS:,} cells; use a coarser grain or a smaller limit", option="grain"
        )
    return counted


@contextmanager
def _read_once(connection: duckdb.DuckDBPyConnection, block: Block, columns: Iterable[str]) -> Iterator[str]:
    """The columns of a block as a table while it is counted. A view would read the files in every pass."""
    wanted = columns_of(block)
    selected = ", ".join(quote(name) for name in columns if name.lower() in wanted)
    # No query can have this name.
    connection.execute(f'CREATE TEMP TABLE "its rows" AS SELECT {selected} FROM {quote(block.data)}')
    try:
        yield '"its rows"'
    finally:
        connection.execute('DROP TABLE "its rows"')


def columns_of(block: Block) -> set[str]:
    """The columns that a block of people's rows reads, in lower case."""
    named = [
        block.x,
        block.color,
        *block.more,
        block.trend,
        *block.filter,
        block.without,
        *(column for _, column in block.steps),
    ]
    named += [measure.column for measure in block.y]
    return {name.lower() for name in named if name} | {"user_id"}


# Rows that are not people's (releases, the pipeline) are shown unchanged.
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
    # One more than is shown, to know whether there are more.
    rows = connection.execute(f"SELECT {selected} FROM {quote(block.data)} LIMIT {MOST_ROWS + 1}").fetchall()
    if len(rows) > MOST_ROWS:
        raise QueryError(f'"{block.data}" has more than {MOST_ROWS:,} rows; add a LIMIT to its SQL')
    if block.type == "number" and len(rows) > 1:
        raise QueryError(f'a number shows one row, "{block.data}" has {len(rows)}; add LIMIT 1, or use type: table')
    made = [Column(name, unit_of(name, kind)) for name, kind in found]
    return unchanged(made, len(shown), unprotected([tuple(finite(value) for value in row) for row in rows]))
