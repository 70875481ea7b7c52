"""A published block as files: CSV for spreadsheets, Parquet for programs."""

import csv
import io
import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reports.published import Column, Published

__all__ = ["csv_text", "parquet"]

ARROW = {"text": pa.string(), "boolean": pa.bool_(), "time": pa.timestamp("us"), "share": pa.float64()}
# Spreadsheets run a text that begins like this as a formula, the wide forms too where Japanese is typed.
FORMULA = re.compile(r"[\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def csv_text(published: Published) -> str:
    """The published cells as CSV with a header line. Times are UTC in ISO 8601; shares are 0 to 1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_cell(column.name) for column in published.columns])
    writer.writerows([[_cell(value) for value in row] for row in published.rows])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def parquet(published: Published) -> bytes:
    """The published cells as a Parquet file. Times are UTC; shares are 0 to 1."""
    arrays = [
        pa.array([row[number] for row in published.rows], _type(column, [row[number] for row in published.rows]))
        for number, column in enumerate(published.columns)
    ]
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, names=[column.name for column in published.columns]), file)
    return file.getvalue()


def _type(column: Column, values: list[Any]) -> pa.DataType:
    if column.kind in ARROW:
        return ARROW[column.kind]
    return pa.int64() if all(isinstance(value, int | None) for value in values) else pa.float64()
