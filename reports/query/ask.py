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

from ingest.function.registry import Application, RegistryError
from reports.blocks.format import inert, plural
from reports.query import sandbox
from reports.query.snapshot import fetch
from reports.query.views import connect

__all__ = ["FORMS", "Answer", "AskError", "ask"]

WIDEST = 10_000


class AskError(Exception):
    """The reason why a question cannot be answered."""


@dataclass(frozen=True)
class Answer:
    """Column names, made unique, and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def ask(
    store: ObjectStore, bucket: str, registry: Mapping[str, Application], query: str, engine: str = "duckdb"
) -> Answer:
    """Runs one SELECT over the views, ungated, with `session_id` added. Raises `AskError`."""
    snapshot = fetch(store, bucket, registry, engine)
    try:
        connection = connect(snapshot, private=True)
    except RegistryError as error:
        raise AskError(str(error)) from None
    with connection:
        try:
            sandbox.parse(connection, query)
            names, rows = _run(connection, query)
        except sandbox.QueryError as error:
            raise AskError(_placed(error)) from None
        except duckdb.Error as error:
            raise AskError(_placed(sandbox.explain(error, query))) from None
    return Answer(_distinct(names), rows)


def _distinct(names: list[str]) -> list[str]:
    """Names with a number after repeated ones, because an object in JSON has each member once."""
    made: list[str] = []
    for name in names:
        number, free = 1, name
        while free in made or (number > 1 and free in names):
            number += 1
            free = f"{name}_{number}"
        made.append(free)
    return made


def _run(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows. Times with a zone are cast, because fetching them would need another package."""
    result = connection.execute(query)
    described = result.description or ()
    zoned = [str(kind) == "TIMESTAMP WITH TIME ZONE" for _, kind, *_ in described]
    if any(zoned):
        # The query as DuckDB prints it, without a semicolon or comment at its end, so that brackets can enclose it.
        plain = connection.execute("SELECT json_deserialize_sql(json_serialize_sql($1::VARCHAR))", [query]).fetchall()
        columns = ", ".join(f"#{at}::TIMESTAMP" if zone else f"#{at}" for at, zone in enumerate(zoned, 1))
        result = connection.execute(f"SELECT {columns} FROM ({plain[0][0]})")
    elif any("TIMESTAMP WITH TIME ZONE" in str(kind) for _, kind, *_ in described):
        raise sandbox.QueryError("a time with a zone inside a list or struct cannot be shown; cast it to TIMESTAMP")
    return [name for name, *_ in described], result.fetchall()


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
    return "\n".join(line for line in lines if line) + f"\n{plural(len(answer.rows), 'row')}\n"


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
    """A value for JSON and CSV: times in ISO 8601, UTC, and null for numbers that JSON cannot write."""
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
