"""Warns where one published number less another is about a few people, which no gate over single blocks can see."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import duckdb

from reports.page import Fault
from reports.sandbox import QueryError, parse
from reports.site import Series
from reports.warehouse import VIEWS

__all__ = ["overlaps"]

FILTERS = ("where_clause", "having", "qualify", "condition", "using_columns", "modifiers", "setop_type", "ref_type")
COUNTED = ("people", "count", "sum")


def overlaps(connection: duckdb.DuckDBPyConnection, all_series: Sequence[Series], minimum: int) -> Iterator[Fault]:
    """Pairs of blocks that count the same by the same columns, of one view under different filters.

    Only what differs today is named: in cells of both, by fewer people than the minimum, or by what cannot be told.
    """
    seen = [(one, *_rows(connection, one)) for one in all_series if one.published.people is not None]
    told = set()
    for (one, views, filters), (other, other_views, other_filters) in combinations(seen, 2):
        # The pages of a template have one block, and are told of once.
        blocks = (one.file, one.line, other.file, other.line)
        if views & other_views and filters != other_filters and blocks not in told and _alike(one, other):
            places = _near(one, other, minimum)
            if places:
                told.add(blocks)
                yield Fault(
                    other.file,
                    other.line,
                    f'"{other.title}" and "{one.title}" ({one.file}:{one.line}) count the same rows under different '
                    f"filters, and in {places} {'places' if places > 1 else 'place'} what lies between them may be "
                    f"fewer than {minimum} people; count both in one block with a color, or leave one out",
                )


def _alike(one: Series, other: Series) -> bool:
    """Whether their cells can be subtracted: the same measures by columns of the same names and cut."""
    same_cells = one.published.dimensions == other.published.dimensions and one.published.grain == other.published.grain
    return same_cells and any(measure.name in COUNTED and measure in other.block.y for measure in one.block.y)


def _near(one: Series, other: Series, minimum: int) -> int:
    depth = len(one.published.dimensions)
    cells = {row[:depth]: row[depth:] for row in other.published.rows}
    places = 0
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
                places += 1
                break
    return places


def _rows(connection: duckdb.DuckDBPyConnection, series: Series) -> tuple[set[str], list[str]]:
    """Which views a block reads, and all that decides which of their rows it gets."""
    views = {series.block.data.lower()} & VIEWS.keys()
    filters = [f"application {series.application}"]
    for sql in series.queries:
        try:
            pending: list[Any] = [parse(connection, sql)]
        except QueryError:
            continue
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                if node.get("type") == "BASE_TABLE":
                    views |= {str(node["table_name"]).lower()} & VIEWS.keys()
                filters += [f"{key} {_plain(node[key])}" for key in FILTERS if node.get(key)]
                pending.extend(node.values())
            elif isinstance(node, list):
                pending.extend(node)
    return {view for view in views if VIEWS[view]}, sorted(filters)


def _plain(node: Any) -> str:
    """A part of a syntax tree without the places that it was written at."""
    if isinstance(node, dict):
        node = {key: _plain(value) for key, value in node.items() if key != "query_location"}
    elif isinstance(node, list):
        node = [_plain(value) for value in node]
    return json.dumps(node, sort_keys=True)
