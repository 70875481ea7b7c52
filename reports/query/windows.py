"""Whether a query has only the rows of some period, by `last_days(…)` or by a comparison.

A comparison counts if one side reads a time and the others read no column: `start_time >= '2026-01-01'`,
`year(start_time) = 2026`. This does not see a time that an earlier query turned into something else, such as its hour.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import duckdb

from reports.query.sandbox import parse, walk

__all__ = ["windowed"]

CLAUSES = ("where_clause", "having", "qualify")


def windowed(connection: duckdb.DuckDBPyConnection, sql: str, times: Collection[str]) -> bool:
    """`times` are the columns with times, in lower case, of everything that the query reads."""
    clauses = [node.get(clause) for node in walk(parse(connection, sql)) for clause in CLAUSES]
    return any(_is_window(node, times) for clause in clauses if clause for node in walk(clause))


def _is_window(node: Mapping[str, Any], times: Collection[str]) -> bool:
    if node.get("function_name") == "last_days":
        return True
    if not str(node.get("type")).startswith("COMPARE_"):
        return False
    parts = [part for value in node.values() for part in (value if isinstance(value, list) else [value])]
    read = [set(_columns(part)) for part in parts if isinstance(part, dict)]
    return any(one & set(times) and not set().union(*read[:at], *read[at + 1 :]) for at, one in enumerate(read))


def _columns(part: Any) -> Iterator[str]:
    """The columns of the query's own rows that one side of a comparison reads, in lower case."""
    if isinstance(part, list):
        for one in part:
            yield from _columns(one)
    elif isinstance(part, dict) and part.get("class") == "COLUMN_REF":
        yield str(part["column_names"][-1]).lower()
    elif isinstance(part, dict) and part.get("class") != "SUBQUERY":
        yield from _columns(list(part.values()))
