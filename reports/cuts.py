"""Where a column is cut before anything is counted: the categories with most people, the bins of a number."""

import duckdb

from reports import bins
from reports.cells import Axis, text_of
from reports.columns import INTEGERS, unit_of
from reports.format import inert
from reports.published import OTHER, Column
from reports.warehouse import quote

__all__ = ["binned", "distinct", "labels"]


def labels(
    connection: duckdb.DuckDBPyConnection, source: str, name: str, *, limit: int, minimum: int, step: int
) -> tuple[str, ...]:
    """The groups with most people, of those with enough; the rest is folded. `step` is what numbers are rounded to."""
    people = "count(DISTINCT user_id)"
    found = connection.execute(
        f"SELECT {text_of(name)} AS label FROM {source} GROUP BY ALL HAVING {people} >= {minimum} "
        # The order would tell more than numbers that are rounded.
        f"ORDER BY round({people} / {max(step, 1)}) DESC, label LIMIT {limit}"
    ).fetchall()
    # Two that look the same when shown would be drawn as one and counted as two, as would a group's own "Other".
    shown = {OTHER: OTHER}
    for (label,) in found:
        shown.setdefault(inert(label), label)
    return tuple(label for label in shown.values() if label != OTHER)


def distinct(connection: duckdb.DuckDBPyConnection, source: str, name: str) -> int:
    """How many values a column has."""
    return int(connection.execute(f"SELECT count(DISTINCT {quote(name)}) FROM {source}").fetchall()[0][0])


def binned(
    connection: duckdb.DuckDBPyConnection, source: str, name: str, sql_type: str, *, count: int, minimum: int
) -> tuple[Axis | None, bool]:
    """An axis of about so many bins of a number, and whether they are even on a logarithmic scale.

    Its ends are percentiles that enough people lie beyond, made round: not the smallest and largest values.
    """
    value = f"{quote(name)}::DOUBLE"
    where = f"FROM {source} WHERE isfinite({value})"
    people = connection.execute(f"SELECT count(DISTINCT user_id) {where}").fetchall()[0][0]
    beyond = next((part for part in (0.005, 0.01, 0.02, 0.05, 0.1, 0.25) if people * part >= minimum), 0.25)
    sql = f"SELECT quantile_cont({value}, [{beyond}, 0.5, {1 - beyond}]) {where}"
    ends = connection.execute(sql).fetchall()[0][0]
    if people < minimum or ends is None:
        return None, False
    low, middle, high = ends
    kind = unit_of(name, "number")
    whole = sql_type in INTEGERS
    edges, logarithmic = bins.edges(low, middle, high, count, whole=whole, time=kind == "milliseconds")
    return Axis(Column(name, kind), "bins", edges=edges), logarithmic
