"""Reads a block in its page, applies the page's filter, and checks its columns."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter

import duckdb

from reports.blocks.block import Block, BlockError, read
from reports.blocks.kinds import MOST_DIMENSIONS
from reports.blocks.names import words
from reports.blocks.page_filter import PageFilter
from reports.gate.fit import dimensions, misfits
from reports.pages.build_cache import Shared
from reports.pages.queries import Queries
from reports.query.quoting import quote
from reports.query.sandbox import QueryError, check, explain
from reports.query.views import VIEWS
from reports.query.windows import windowed

__all__ = ["at_its_line", "read_block"]


def read_block(text: str, queries: Queries, shared: Shared, filter: PageFilter, below: Collection[str] = ()) -> Block:
    """The block. Raises `BlockError` with every fault of the block and its columns."""

    def instead(data: str, name: str) -> str | None:
        return _instead(queries, shared, data, name)

    block, faults = read(text, instead)
    if block is None:
        raise BlockError(faults)
    if block.data.lower() not in queries.relations:
        with at_its_line(block, "data", faults):
            if block.data.lower() in below:
                raise QueryError(f'"{block.data}" is defined further down on this page; move it above this chart')
            check(queries.cursor, f"FROM {quote(block.data)}", queries.relations)
    columns = shared.columns(queries, block.data)
    windowed = _windowed(queries, shared, block.data)
    # Rows of a fixed period leave no choice of weeks.
    free = [name for name, kind in columns.items() if not (windowed and kind.startswith(("TIMESTAMP", "DATE")))]
    block = filter.of(block, free, len(dimensions(block, columns, windowed)) < MOST_DIMENSIONS)
    seen = {line for line, _ in faults}
    unit, used = queries.relations[block.data.lower()], _words(queries, block.data)
    behind = {view: shared.columns(queries, view) for view, kind in VIEWS.items() if kind and view in used}
    for error in misfits(block, columns, unit, behind, windowed=windowed):
        line = block.lines.get(error.option or "data", block.lines["data"])
        # The message about y is enough.
        if line not in seen and not (error.option is None and block.lines.get("y") in seen):
            faults.append((line, error.message))
    if block.order == "query" and not queries.orders(block.data):
        message = f'order: "{block.data}" is not a query with an ORDER BY; add one to it, or list the categories here'
        faults.append((block.lines["order"], message))
    if faults:
        raise BlockError(sorted(faults, key=itemgetter(0)))
    return block


def _words(queries: Queries, data: str) -> set[str]:
    """All words of the queries behind a relation, in lower case."""
    return set[str]().union(*(words(queries.named[name].sql) for name in queries.behind(data.lower())))


def _windowed(queries: Queries, shared: Shared, data: str) -> bool:
    """Whether one of the queries behind a relation has only the rows of some period."""
    named = queries.behind(data.lower())
    kinds = [shared.columns(queries, one) for one in (*named, *(VIEWS.keys() & _words(queries, data)))]
    times = {name.lower() for one in kinds for name, kind in one.items() if kind.startswith(("TIMESTAMP", "DATE"))}
    return any(windowed(queries.cursor, queries.named[one].sql, times) for one in named)


def _instead(queries: Queries, shared: Shared, data: str, name: str) -> str | None:
    """A hint if the text under `y` is a column: a chart counts rows and shows no values."""
    unit = queries.relations.get(data.lower())
    columns: Mapping[str, str] = {} if unit is None else shared.columns(queries, data)
    kind = next((kind for there, kind in columns.items() if there.lower() == name.lower()), None)
    if kind is None:
        return None
    if not unit:
        return f'"{name}" is a column of "{data}", which has no people\'s rows; add `people: none` to show it'
    if "user_id" not in {there.lower() for there in columns}:
        return (
            f'"{name}" is counted by "{data}" already, and a chart counts people\'s rows itself; there SELECT '
            "user_id and what to count by, without GROUP BY, and here say y: count or y: people"
        )
    ways = f"share({name})" if kind == "BOOLEAN" else f"sum({name}), mean({name}) or p50({name})"
    return f'"{name}" is a column, but y needs a measure; write {ways}'


@contextmanager
def at_its_line(block: Block, option: str = "data", before: Sequence[tuple[int, str]] = ()) -> Iterator[None]:
    """Turns a query's mistake into a fault of the block, at the option that it names, or else at this one. Adds it to
    the faults found `before`.
    """
    try:
        yield
    except QueryError as error:
        line = block.lines.get(error.option or option, block.lines["data"])
        raise BlockError(sorted([*before, (line, error.message)], key=itemgetter(0))) from None
    except duckdb.Error as error:
        relation = block.annotate if option == "annotate" else block.data
        message = explain(error, relation or "", values=False).message
        raise BlockError([(block.lines.get(option, block.lines["data"]), message)]) from None
