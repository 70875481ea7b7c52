"""The published cells of a named chart as a table that queries and sentences read."""

import re

import duckdb

from reports.blocks.names import distinct
from reports.blocks.published import Published
from reports.query.quoting import quote

__all__ = ["create", "identifiers"]

SQL = {"text": "VARCHAR", "boolean": "BOOLEAN", "time": "TIMESTAMP", "share": "DOUBLE"}


def create(cursor: duckdb.DuckDBPyConnection, name: str, published: Published) -> None:
    """Creates the table, without the current period. A table without cells has its later columns, so that a page does
    not fail before there is data.
    """
    columns, values = [], {}
    for number, (column, called) in enumerate(zip(published.columns, identifiers(published), strict=True)):
        given = [row[number] for row in published.whole]
        whole = all(value is None or isinstance(value, int) for value in given)
        kind = SQL.get(column.kind, "BIGINT" if whole and given else "DOUBLE")
        columns.append(f"unnest($c{number}::{kind}[]) AS {quote(called)}")
        values[f"c{number}"] = given
    cursor.execute(f"CREATE TEMP TABLE {quote(name)} AS SELECT {', '.join(columns)}", values)


def identifiers(published: Published) -> list[str]:
    """Names of all columns for SQL and text: `share(failed)` is `share_failed`."""
    return distinct(re.sub(r"\W+", "_", column.name).strip("_") or "value" for column in published.columns)
