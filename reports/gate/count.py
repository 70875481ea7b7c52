"""Counts rows by cell: one aggregate by person and cell, and another over it by cell.

A cell needs several counts of people: all, those with a value, and the person with the largest part. Counting distinct
people separately for each takes four times as long as one pass by person. Only percentiles need the single rows.
Nothing here decides what may be shown.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb

from reports.blocks.kinds import PERCENTILES, Measure
from reports.blocks.published import UNKNOWN
from reports.gate.cells import Axis, Cell, Cut, Key, Part, Spread
from reports.query.quoting import literal, quote

__all__ = ["MOST_CELLS", "count", "text_of"]

MOST_CELLS = 5_000


def count(connection: duckdb.DuckDBPyConnection, cut: Cut) -> dict[Key, Cell]:
    """Counts the cells of a cut: all, or the first that are more than may be shown. Each measure has a column."""
    keys = [f"k{number}" for number in range(len(cut.axes))]
    labels = {f"labels{n}": list(axis.labels) for n, axis in enumerate(cut.axes) if axis.labels is not None}
    found = connection.execute(_statement(cut, keys), labels).fetchmany(MOST_CELLS + 1)
    cells: dict[Key, Cell] = {}
    depth = len(keys)
    for row in found:
        rows, people, own = row[depth : depth + 3]
        # Without axes, no rows must give no cell.
        if rows:
            cells[row[:depth]] = Cell(rows, people, own or 0, _parts(row[depth + 3 :], cut))
    return cells


def _parts(values: Sequence[Any], cut: Cut) -> tuple[Part, ...]:
    """The seven columns of each measure, and the six of its spread."""
    parts = []
    for at in range(0, 7 * len(cut.measures), 7):
        people, rows, value, size, largest, below, above = values[at : at + 7]
        parts.append(Part(people or 0, rows or 0, value, size or 0, largest or 0, below or 0, above or 0))
    if cut.interval:
        spreads = [values[at : at + 6] for at in range(7 * len(parts), len(values), 6)]
        parts = [
            replace(part, spread=Spread(*(one or 0 for one in found)))
            for part, found in zip(parts, spreads, strict=True)
        ]
    return tuple(parts)


def _statement(cut: Cut, keys: Sequence[str]) -> str:
    columns = [f"{_key(axis, number)} AS k{number}" for number, axis in enumerate(cut.axes)]
    numbers = [_number(measure) for measure in cut.measures]
    # Measures of one column share what is counted of it, and its percentiles are found together.
    shared = [numbers.index(one) for one in numbers]
    columns += [f"{numbers[number]} AS c{number}" for number in dict.fromkeys(shared)]
    rows = f"SELECT {', '.join([*columns, 'user_id'])} FROM {cut.source}"
    mine, whole = ["count(*) AS n"], ["sum(n)", "count(user_id)", "sum(n) FILTER (user_id IS NOT NULL)"]
    parts: dict[int, list[float]] = {}
    for number, measure in zip(shared, cut.measures, strict=True):
        if measure.name in PERCENTILES:
            parts.setdefault(number, []).append(PERCENTILES[measure.name])
        first, then = _measured(measure, number, f"t{number}[{len(parts.get(number, ()))}]")
        mine += first
        whole += then
    tails = [f"quantile_cont(c{number}, {found}) AS t{number}" for number, found in parts.items()]
    for number in shared if cut.interval else ():
        c, n, s, q = (f"{letter}{number}" for letter in "cnsq")
        alone = "CASE WHEN user_id IS NULL THEN"
        mine.append(f"sum({c} * {c}) AS {q}")
        whole += [
            f"sum({s})", f"sum({n})", f"sum({alone} {q} ELSE {s} * {s} END)", f"sum({alone} {s} ELSE {n} * {s} END)",
            f"sum({alone} {n} ELSE {n} * {n} END)", f"sum({alone} {n} ELSE 1 END) FILTER ({n} > 0)",
        ]  # fmt: skip
    by = ", ".join(keys)
    person = [*keys, "user_id"]
    people = f"SELECT {', '.join([*person, *dict.fromkeys(mine)])} FROM rows GROUP BY {', '.join(person)}"
    joined = ""
    if tails:
        joined = f" JOIN (SELECT {', '.join([*(f'{key} AS t{key}' for key in keys), *tails])} FROM rows"
        joined += f" GROUP BY {by})" if keys else ")"
        joined += " ON " + (" AND ".join(f"{key} IS NOT DISTINCT FROM t{key}" for key in keys) or "true")
    return (
        f"WITH rows AS NOT MATERIALIZED ({rows}), people AS ({people}) "
        f"SELECT {', '.join([*keys, *whole])} FROM people{joined}" + (f" GROUP BY {by}" if keys else "")
    )


def _number(measure: Measure) -> str:
    """A measure's column as a number. Null for values that cannot be added up."""
    name = quote(measure.column or "")
    if measure.name == "share":
        return f"{name}::INTEGER"
    value = f"{name}::DOUBLE"
    if measure.name == "gmean":
        return f"CASE WHEN {value} > 0 AND isfinite({value}) THEN ln({value}) END"
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _measured(measure: Measure, number: int, tail: str) -> tuple[list[str], list[str]]:
    """The sums of a measure for each person, and then for each cell: the members of `Part`. `tail`: its percentile."""
    c, n, s, a = (f"{letter}{number}" for letter in "cnsa")
    mine = [f"count({c}) AS {n}"]
    whole = [f"count(user_id) FILTER ({n} > 0)", f"sum({n})"]
    if measure.name in PERCENTILES:
        mine += [f"min({c}) AS l{number}", f"max({c}) AS h{number}"]
        value = f"any_value({tail})"
        beyond = [f"count(user_id) FILTER (l{number} <= {tail})", f"count(user_id) FILTER (h{number} >= {tail})"]
    else:
        mine.append(f"sum({c}) AS {s}")
        value = f"exp(sum({s}) / sum({n}))" if measure.name == "gmean" else f"sum({s})::DOUBLE"
        beyond = ["0", "0"]
    size = n
    if measure.name in ("sum", "mean"):
        mine.append(f"sum(abs({c})) AS {a}")
        size = a
    return mine, [*whole, value, f"sum({size})", f"max({size}) FILTER (user_id IS NOT NULL)", *beyond]


def _key(axis: Axis, number: int) -> str:
    """SQL of a row's place on an axis; its labels are the parameter `labels0`, `labels1` and so on."""
    name = quote(axis.column.name)
    if axis.edges is not None:
        return f"CASE WHEN {name} IS NULL OR isnan({name}::DOUBLE) THEN NULL ELSE {_bin(name, axis.edges, 0)} END"
    if axis.labels is None:
        return f"date_trunc('{axis.grain}', {name})::TIMESTAMP"
    # Null apart: DuckDB looks up each text of a dictionary once, but not the texts that `coalesce` returns.
    null = axis.labels.index(UNKNOWN) + 1 if UNKNOWN in axis.labels else 0
    there = f"list_position($labels{number}::VARCHAR[], {name}::VARCHAR)"
    return f"coalesce({there}, CASE WHEN {name} IS NULL THEN {null} END, 0)"


def _bin(name: str, edges: tuple[float, ...], first: int) -> str:
    """The bin of a number, by binary search, which needs few comparisons."""
    if not edges:
        return str(first)
    middle = len(edges) // 2
    return (
        f"CASE WHEN {name} < {edges[middle]!r}::DOUBLE THEN {_bin(name, edges[:middle], first)} "
        f"ELSE {_bin(name, edges[middle + 1 :], first + middle + 1)} END"
    )


def text_of(name: str) -> str:
    """A category as text. Null is a category too."""
    return f"coalesce({quote(name)}::VARCHAR, {literal(UNKNOWN)})"
