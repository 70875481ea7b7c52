"""Warns where one published number less another is about a few people, which no gate over single blocks can see.

Who stands between two blocks is counted: people who have more rows in a cell of the one than in that of the other. Runs
of CI are nobody's, and two blocks that differ by them alone tell of nobody.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import duckdb

from reports.cells import Axis, Counted
from reports.conceal import Key
from reports.labels import BOOLEANS, labelled
from reports.page import Fault
from reports.published import OTHER, UNKNOWN, Column
from reports.sandbox import QueryError, parse, tables, walk
from reports.site import Series
from reports.warehouse import VIEWS, literal, quote

__all__ = ["overlaps"]

FILTERS = ("where_clause", "having", "qualify", "condition", "using_columns", "modifiers", "setop_type", "ref_type")
COUNTED = ("people", "count", "sum")


def overlaps(connection: duckdb.DuckDBPyConnection, all_series: Sequence[Series], minimum: int) -> Iterator[Fault]:
    """Pairs of blocks that count the same by the same columns, of one view under different filters.

    Only what differs today is named: in cells of both, by fewer people than the minimum.
    """
    seen = [(one, *_rows(connection, one)) for one in all_series if one.published.people is not None]
    told = set()
    for (one, views, filters), (other, other_views, other_filters) in combinations(seen, 2):
        # The pages of a template have one block, and are told of once.
        blocks = (one.file, one.line, other.file, other.line)
        if views & other_views and filters != other_filters and blocks not in told and _alike(one, other):
            places = _near(connection, one, other, minimum)
            if places:
                told.add(blocks)
                yield Fault(
                    other.file,
                    other.line,
                    f'"{other.title}" and "{one.title}" ({one.file}:{one.line}) count the same rows under different '
                    f"filters, and in {places} {'places' if places > 1 else 'place'} fewer than {minimum} people may "
                    "lie between them; count both in one block with a color, or leave one out",
                )


def _alike(one: Series, other: Series) -> bool:
    """Whether their cells can be subtracted: the same measures by columns of the same names and cut."""
    # Bins and steps are called alike whatever they are of.
    same_columns = (one.block.x or "").lower() == (other.block.x or "").lower() and one.block.steps == other.block.steps
    same_cells = one.published.dimensions == other.published.dimensions and one.published.grain == other.published.grain
    return (
        same_columns
        and same_cells
        and any(measure.name in COUNTED and measure in other.block.y for measure in one.block.y)
    )


def _near(connection: duckdb.DuckDBPyConnection, one: Series, other: Series, minimum: int) -> int:
    """In how many cells of both what they count differs, and by a few people."""
    depth = len(one.published.dimensions)
    cells = {row[:depth]: row[depth:] for row in other.published.rows}
    differ: dict[Key, bool] = {}
    for row in one.published.rows:
        there = cells.get(row[:depth])
        for number, measure in enumerate(one.block.y):
            if there is None or measure not in other.block.y or measure.name not in COUNTED:
                continue
            mine, its = row[depth + number], there[other.block.y.index(measure)]
            if not isinstance(mine, int | float) or not isinstance(its, int | float) or mine == its:
                continue
            # Runs and sums of fewer people than the minimum can be any number.
            if measure.name != "people" or abs(mine - its) < minimum:
                differ[row[:depth]] = True
    between = _between(connection, one, other) if differ else {}
    # What cannot be counted again, as it reads what a page published, may be anybody.
    return sum(between is None or 0 < between.get(key, 0) < minimum for key in differ)


def _between(connection: duckdb.DuckDBPyConnection, one: Series, other: Series) -> dict[Key, int] | None:
    """The people who have more rows in a cell of one than in that of the other; None if that cannot be said."""
    axes = [_axis(place, column, one, other) for place, column in enumerate(one.published.dimensions)]
    keys = [f"k{number}" for number in range(len(axes))]
    parameters: dict[str, Any] = {}
    parts = []
    for series in (one, other):
        counted = Counted(connection, quote(series.block.data), axes, ())
        parameters |= counted.labels
        views = [] if series.application is None else [view for view, unit in VIEWS.items() if unit]
        narrowed = [
            (view, f"SELECT * FROM memory.main.{view} WHERE application = {literal(series.application or '')}")
            for view in views
        ]
        named = ", ".join(f"{quote(name)} AS ({sql})" for name, sql in [*narrowed, *series.queries])
        by = ", ".join([*keys, "user_id"])
        parts.append(
            f"({f'WITH {named} ' if named else ''}SELECT {by}, count(*) AS n FROM ({counted.rows}) "
            f"WHERE user_id IS NOT NULL GROUP BY {by})"
        )
    all_of_it = ", ".join([*keys, "user_id"])
    sql = (
        f"SELECT {', '.join([*keys, 'count(DISTINCT user_id)'])} FROM ("
        f"SELECT {all_of_it} FROM (SELECT *, 1 AS side FROM {parts[0]} UNION ALL SELECT *, 2 AS side FROM {parts[1]}) "
        f"GROUP BY {all_of_it} HAVING count(*) = 1 OR min(n) <> max(n))"
        + (f" GROUP BY {', '.join(keys)}" if keys else "")
    )
    try:
        with connection.cursor() as cursor:
            found = cursor.execute(sql, parameters).fetchall()
    except duckdb.Error:
        return None
    return {tuple(labelled(row[:-1], axes)): row[-1] for row in found}


def _axis(place: int, column: Column, *both: Series) -> Axis:
    """An axis with all categories that one of the blocks shows; what neither does is "Other"."""
    if column.kind == "time":
        return Axis(column, "time", grain=both[0].published.grain)
    shown = {str(row[place]) for series in both for row in series.published.rows} - {OTHER}
    boolean = shown <= {*BOOLEANS.values(), UNKNOWN}
    raw = {said: text for text, said in BOOLEANS.items()} if boolean else {}
    return Axis(column, "boolean" if boolean else "text", tuple(sorted(raw.get(said, said) for said in shown)))


def _rows(connection: duckdb.DuckDBPyConnection, series: Series) -> tuple[set[str], list[str]]:
    """Which views a block reads, and all that decides which of their rows it gets."""
    views = {series.block.data.lower()} & VIEWS.keys()
    filters = [f"application {series.application}"]
    for _, sql in series.queries:
        try:
            nodes = list(walk(parse(connection, sql)))
        except QueryError:
            continue
        views |= tables(nodes) & VIEWS.keys()
        for node in nodes:
            filters += [f"{key} {_plain(node[key])}" for key in FILTERS if node.get(key)]
    return {view for view in views if VIEWS[view]}, sorted(filters)


def _plain(node: Any) -> str:
    """A part of a syntax tree without the places that it was written at."""
    if isinstance(node, dict):
        node = {key: _plain(value) for key, value in node.items() if key != "query_location"}
    elif isinstance(node, list):
        node = [_plain(value) for value in node]
    return json.dumps(node, sort_keys=True)
