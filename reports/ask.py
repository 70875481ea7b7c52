"""The maintainer's own questions: SQL over the private views, as a table, CSV or JSON."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
from obstore.store import ObjectStore
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.registry import Application
from reports import sandbox, warehouse
from reports.format import inert

__all__ = ["FORMS", "Answer", "AskError", "ask"]

WIDEST = 10_000


class AskError(Exception):
    """A question that cannot be answered, and why."""


@dataclass(frozen=True)
class Answer:
    """Column names, made different where the query repeats one, and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def ask(store: ObjectStore, bucket: str, registry: Mapping[str, Application], query: str) -> Answer:
    """Runs one SELECT over the views, ungated, with `session_id` added. Raises `AskError`."""
    with warehouse.connect(warehouse.fetch(store, bucket, registry), private=True) as connection:
        try:
            sandbox.parse(connection, query)
            result = connection.execute(query)
            names = [name for name, *_ in result.description or ()]
            rows = result.fetchall()
        except sandbox.QueryError as error:
            raise AskError(_placed(error)) from None
        except duckdb.Error as error:
            raise AskError(_placed(sandbox.explain(error, query))) from None
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[number] = f"{name}_{seen[name]}"
    return Answer(names, rows)


def _placed(error: sandbox.QueryError) -> str:
    return error.message if error.line is None else f"line {error.line + 1}: {error.message}"


def _table(answer: Answer) -> str:
    out = io.StringIO()
    console = Console(file=out, width=WIDEST, color_system=None)
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(answer.columns):
        numeric = any(isinstance(row[number], int | float | Decimal) for row in answer.rows)
        table.add_column(Text(inert(name)), justify="right" if numeric else "left", no_wrap=True)
    for row in answer.rows:
        table.add_row(*(Text("" if value is None else inert(str(value), WIDEST)) for value in row))
    console.print(table)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    count = len(answer.rows)
    return "\n".join(line for line in lines if line) + f"\n{count:,} {'row' if count == 1 else 'rows'}\n"


def _csv(answer: Answer) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([[_plain(value) for value in row] for row in answer.rows])
    return out.getvalue()


def _json(answer: Answer) -> str:
    rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
    return json.dumps(rows, indent=1, ensure_ascii=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    """A value as JSON and CSV have it: times in ISO 8601, UTC; numbers that JSON has no text for as null."""
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


FORMS: dict[str, Callable[[Answer], str]] = {"table": _table, "csv": _csv, "json": _json}
