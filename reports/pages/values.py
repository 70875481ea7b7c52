"""Fills in `{{ name.column }}`: a value of a result, formatted for readers."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from reports.blocks import format
from reports.blocks.names import near
from reports.blocks.published import Column, Published
from reports.pages.queries import Queries, identifiers
from reports.query.quoting import describe, quote
from reports.query.sandbox import QueryError, explain

__all__ = ["escaped", "read", "shown"]


def escaped(text: str) -> str:
    """A text that Markdown and HTML show unchanged: every ASCII character except letters and blanks becomes its
    number.
    """
    # Also the first character: "1" before the author's full stop would begin a list.
    signs = "".join(
        one if number and (one.isalnum() or one == " " or not one.isascii()) else f"&#{ord(one)};"
        for number, one in enumerate(format.inert(text))
    )
    return signs.replace(" &#37;", "&nbsp;&#37;")  # a line does not begin with a percent sign


def read(queries: Queries, name: str, given: str) -> str | None:
    """A value of a result that is not people's, as text. None if there is no row. Raises `QueryError`."""
    relations = queries.relations
    if name not in relations:
        known = [one for one in relations if not relations[one]]
        raise QueryError(f'nothing is named "{name}"; {near(name, known)}')
    if relations[name]:
        raise QueryError(
            f'"{name}" has people\'s rows; give a chart that counts them a `name:`, and use that name here'
        )
    columns = describe(queries.cursor, quote(name))
    column = next((one for one in columns if one.lower() == given.lower()), None)
    if column is None:
        raise QueryError(f'"{name}" has no column "{given}"; {near(given, columns)}')
    try:
        found = queries.cursor.execute(f"SELECT {quote(column)} FROM {quote(name)} LIMIT 2").fetchall()
    except duckdb.Error as error:
        raise explain(error, name, values=False) from None
    if len(found) > 1:
        raise QueryError(f'"{name}" has more than one row; write a query with one row over it, with LIMIT 1 or max(…)')
    return shown(column, columns[column], found[0][0], queries.tables.get(name)) if found else None


def shown(name: str, sql_type: str, value: Any, published: Published | None) -> str:
    if published is not None:
        number = [called.lower() for called in identifiers(published)].index(name.lower())
        column = published.columns[number]
        # The published value says more than the table: a share that rounds to zero has a limit.
        value = published.whole[0][number]
        # A dimension is a category or a period, a measure has a unit.
        return format.label(value, published.grain) if column in published.dimensions else format.value(column, value)
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, str | int | float | bool | datetime | None):
        raise QueryError(f'column "{name}" is {sql_type}, which text cannot show; select one of its parts')
    return format.value(Column(name, _kind(name, value)), value)


def _kind(name: str, value: Any) -> str:
    """The kind of a computed number, by its name: `share_…` and `…_share` are shares, `…_ms` is a duration."""
    if re.fullmatch(r"share|share_\w+|\w+_share", name.lower()) and isinstance(value, float):
        return "share"
    return "milliseconds" if name.lower().endswith("_ms") else "number"
