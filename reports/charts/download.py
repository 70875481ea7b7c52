"""A published block as files: CSV for spreadsheets, Parquet for programs."""

import csv
import io
import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reports.blocks import format
from reports.blocks.published import Column, Published, Share

__all__ = ["csv_text", "parquet"]

ARROW = {"text": pa.string(), "boolean": pa.bool_(), "time": pa.timestamp("us"), "share": pa.float64()}
# Spreadsheets run a text that begins like this as a formula. Japanese ones also accept the wide forms.
FORMULA = re.compile(r"[\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def csv_text(published: Published) -> str:
    """The published cells as CSV with a header line. Times are UTC in ISO 8601. Shares are 0 to 1, or a text such as
    "under 2.5 %".
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_cell(name) for name in published.names])
    for row in published.rows:
        cells = zip(published.columns, row, strict=True)
        writer.writerow([_cell(format.value(column, one) if _under(one) else one) for column, one in cells])
    return file.getvalue()


def _under(value: Any) -> bool:
    """Whether this is a share that rounds to zero. A page shows "under 2.5 %", and 0 would mean that there is none."""
    return isinstance(value, Share) and not value and value.rounding > 0


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def parquet(published: Published) -> bytes:
    """The published cells as a Parquet file. Times are UTC. Shares are 0 to 1, and null if a page shows "under"."""
    arrays = []
    for number, column in enumerate(published.columns):
        values = [None if _under(row[number]) else row[number] for row in published.rows]
        arrays.append(pa.array(values, _type(column, values)))
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, names=published.names), file)
    return file.getvalue()


def _type(column: Column, values: list[Any]) -> pa.DataType:
    if column.kind in ARROW:
        return ARROW[column.kind]
    return pa.int64() if all(isinstance(value, int | None) for value in values) else pa.float64()
