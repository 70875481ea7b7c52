"""The views that report authors see, over a snapshot of a bucket.

Public views have only what may reach a page. `user_id` is an opaque number for this build, and null for CI runs, which
are not people. Instead of free text, they say only that there was some. Private ones show everything.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa

from ingest.function.registry import Application, Field, RegistryError
from reports.query.application_views import Source, selects
from reports.query.macros import DEFINITIONS, INGESTED
from reports.query.quoting import literal, quote
from reports.query.snapshot import PROBE, Snapshot
from reports.storage import table
from reports.storage.duck import attach, open_duckdb

__all__ = ["LOADED", "VIEWS", "connect"]

# View -> the kind of its rows, if they are people's.
VIEWS = {
    "sessions": "runs", "events": "events", "spans": "spans", "features": "choices", "releases": "",
    "applications": "", "pipeline": "",
}  # fmt: skip
# A database beside the views for the columns that pages read; see reports/query/column_cache.py.
LOADED = "loaded"

# The source of the views if there is no application.
NONE = Application(id="", name="")


def connect(snapshot: Snapshot, *, private: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection with all `VIEWS`, locked down.

    It reads the snapshot's files and nothing else. Columns of all applications are united by name. Raises
    `RegistryError` if two applications give one name different types.
    """
    types = _types(snapshot.registry)
    connection = open_duckdb()
    salt = None if private else secrets.token_hex(16)
    sources = []
    for id, files in (snapshot.files or {NONE.id: []}).items():
        application = snapshot.registry.get(id, NONE)
        relation, stored = _parquet(connection, files) if files else _nothing(connection, application)
        sources.append(Source(application, relation, stored, types, salt, snapshot.excluded))
    for name, parts in selects(sources).items():
        connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
    _static(connection, "releases", snapshot.releases)
    known = [one for id, one in snapshot.registry.items() if id != PROBE]
    described = [{"application": one.id, "name": one.name, "description": one.description} for one in known]
    _static(connection, "applications", described)
    _static(connection, "pipeline", [_run(entry) for entry in snapshot.ledger])
    newest = connection.execute("SELECT max(ingestion_time)::VARCHAR FROM sessions").fetchall()[0][0]
    ingested = "NULL::TIMESTAMP" if newest is None else f"TIMESTAMP {literal(newest)}"
    for name, (parameters, sql) in DEFINITIONS.items():
        connection.execute(f"CREATE MACRO {name}({parameters}) AS {sql.replace(INGESTED, ingested)}")
    attach(connection, LOADED)
    # Not their directories, because COPY could write into an allowed directory.
    paths = [str(path) for files in snapshot.files.values() for path in files]
    connection.execute("SET allowed_paths = $1", [paths])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    if snapshot.cluster is None or not snapshot.cluster.stored():
        return connection
    there = [
        Source(snapshot.registry[id], quote(id), stored, types, salt, snapshot.excluded)
        for id, stored in snapshot.cluster.stored().items()
    ]
    # It does everything here that DuckDB's connection does.
    return cast("duckdb.DuckDBPyConnection", snapshot.cluster.connect(connection, selects(there), private=private))


def _parquet(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> tuple[str, pa.Schema]:
    """These files as a relation, and its columns."""
    listed = ", ".join(literal(str(path)) for path in files)
    # Nothing needs the month, and a directory above the bucket may look like a partition.
    relation = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    return relation, connection.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_table().schema


def _nothing(connection: duckdb.DuckDBPyConnection, application: Application) -> tuple[str, pa.Schema]:
    """A table without rows that has everything in the registry, and its columns."""
    empty = f"empty_{len(application.id)}_{application.id.replace('-', '_')}"
    stored = table.schema(application)
    connection.register("incoming", stored.empty_table())
    connection.execute(f"CREATE TABLE {quote(empty)} AS FROM incoming")
    connection.unregister("incoming")
    return quote(empty), stored


def _types(registry: Mapping[str, Application]) -> dict[tuple[str, str], str]:
    """(attributes, events or spans; lower-case name) -> the type of this column in the views.

    Refuses a name with two types, because the views unite applications by name, and DuckDB would turn both into text.
    """
    faults = []
    seen: dict[tuple[str, str], tuple[str, Field]] = {}
    # A removed attribute is left out of the views if a current one has the same column.
    for key, id, field in sorted(_declared(registry), key=lambda one: one[2].removed):
        first, other = seen.setdefault(key, (id, field))
        if other.type != field.type and not field.removed:
            faults.append(
                f"{field.name} ({key[0]}) is {other.type} in the registry file of {first!r} but {field.type} in "
                f"that of {id!r}, and the views have one column for both; in one, declare it under another name and "
                "mark the old one removed = true"
            )
    if faults:
        raise RegistryError(faults)
    return {key: field.type for key, (_, field) in seen.items()}


def _declared(registry: Mapping[str, Application]) -> Iterator[tuple[tuple[str, str], str, Field]]:
    for id, application in registry.items():
        parts = {"attributes": [application.attributes]}
        parts["events"] = [kind.attributes for kind in application.events.values()]
        parts["spans"] = [kind.attributes for kind in application.spans.values()]
        for part, groups in parts.items():
            fields = [field for group in groups for field in group.values() if field.replaced_by is None]
            yield from (((part, field.name.lower()), id, field) for field in fields)


STATIC: dict[str, pa.Schema] = {
    "applications": pa.schema([("application", pa.string()), ("name", pa.string()), ("description", pa.string())]),
    "releases": pa.schema([("application", pa.string()), ("version", pa.string()), ("released", pa.timestamp("us"))]),
    "pipeline": pa.schema(
        [
            ("run", pa.string()),
            ("started", pa.timestamp("us")),
            ("ended", pa.timestamp("us")),
            ("succeeded", pa.bool_()),
        ]
    ),
}


def _static(connection: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]]) -> None:
    schema = STATIC[name]
    columns = ", ".join(f"{quote(field.name)}::{_STATIC_SQL[field.type]} AS {field.name}" for field in schema)
    texts = pa.table(
        {field.name: pa.array([_text(row.get(field.name)) for row in rows], pa.string()) for field in schema}
    )
    connection.register("incoming", texts)
    connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")
    connection.unregister("incoming")


_STATIC_SQL = {pa.string(): "VARCHAR", pa.timestamp("us"): "TIMESTAMPTZ::TIMESTAMP", pa.bool_(): "BOOLEAN"}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _run(entry: dict[str, Any]) -> dict[str, Any]:
    """The public part of a compaction run, without its number of sessions, because a quiet hour may have one person."""
    return {**entry, "succeeded": entry.get("error") is None and entry.get("ended") is not None}
