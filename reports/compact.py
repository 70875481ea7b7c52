"""One compaction run: raw objects into the table, exactly once, with a ledger entry.

For each chunk: open the table and keep that handle; read its number; drop what is forgotten, repeated or already there;
append the rest in one commit that carries the next number; only when that commit is in, delete the raw objects. A crash
anywhere leaves raw objects that the next run takes, or whose sessions it finds in the table.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import duckdb
import obstore
import pyarrow as pa
from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import raw, table
from reports.mirror import mirror

__all__ = ["Counts", "Entry", "compact"]

# How often a chunk starts over because other writers were faster, before the run gives up and leaves it in raw/.
ATTEMPTS = 20


@dataclass
class Counts:
    """What a run did with one application's sessions."""

    objects: int = 0
    sessions: int = 0
    stored: int = 0
    repeated: int = 0
    forgotten: int = 0
    quarantined: int = 0
    waiting: int = 0
    clock_suspect: int = 0
    table_version: int | None = None


@dataclass
class Entry:
    """A ledger entry. Times are UTC; `unregistered` names applications with raw objects and no registry file."""

    run: str
    started: str
    ended: str | None = None
    applications: dict[str, Counts] = field(default_factory=dict)
    unregistered: list[str] = field(default_factory=list)
    error: str | None = None


Progress = Callable[[str], None]


def compact(
    store: ObjectStore, bucket: str, registry: Mapping[str, Application], *, progress: Progress = lambda text: None
) -> Entry:
    """Moves all raw objects into the tables and returns the ledger entry, which is written even if the run fails."""
    started = datetime.now(UTC)
    entry = Entry(f"{started:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}", started.isoformat(timespec="milliseconds"))
    try:
        for id in raw.applications(store):
            if id not in registry:
                entry.unregistered.append(id)
                continue
            counts = entry.applications[id] = Counts()
            _application(store, bucket, registry[id], entry.run, counts, progress)
    except BaseException as error:
        entry.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        entry.ended = datetime.now(UTC).isoformat(timespec="milliseconds")
        obstore.put(store, f"ledger/{entry.run}.json", json.dumps(asdict(entry), indent=1).encode())
    return entry


def _application(
    store: ObjectStore, bucket: str, application: Application, run: str, counts: Counts, progress: Progress
) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        known = _Known(store, bucket, application.id, connection)
        for objects in raw.chunks(store, application.id):
            progress(f"{application.id}: reading {len(objects):,} objects, {counts.sessions:,} sessions so far")
            chunk = raw.read(store, application, objects)
            raw.quarantine(store, chunk.unreadable, run)
            if chunk.rows.num_rows:
                _commit(store, bucket, application, chunk.rows, known, counts)
            counts.objects += len(chunk.taken)
            counts.sessions += chunk.rows.num_rows + len(chunk.unreadable)
            counts.quarantined += len(chunk.unreadable)
            counts.waiting += chunk.waiting_sessions
            if chunk.taken:
                obstore.delete(store, chunk.taken)


class _Known:
    """Ids of the sessions that the table has, kept in memory for a run: each table file is read once."""

    def __init__(
        self, store: ObjectStore, bucket: str, application: str, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self.store, self.bucket, self.application, self.connection = store, bucket, application, connection
        self.loaded: set[str] = set()
        connection.execute("CREATE TABLE known (session_id UUID)")

    def update(self, handle: DeltaTable) -> None:
        new = [file for file in table.files(handle) if file.path not in self.loaded]
        keys = [(f"tables/{self.application}/{file.path}", file.bytes) for file in new]
        paths = [str(path) for path in mirror(self.store, self.bucket, keys)]
        if paths:
            self.connection.execute("INSERT INTO known SELECT session_id::UUID FROM read_parquet(?)", [paths])
        self.loaded |= {file.path for file in new}


def _commit(
    store: ObjectStore, bucket: str, application: Application, rows: pa.Table, known: _Known, counts: Counts
) -> None:
    for _ in range(ATTEMPTS):
        handle = table.load_or_create(bucket, application)
        number = table.sequence(handle)
        known.update(handle)
        forgotten = _forgotten(store)
        new, dropped = _shape(known.connection, application, rows, forgotten)
        if new.num_rows:
            try:
                table.append(handle, new, number + 1, {"stored": str(new.num_rows)})
            except table.Overtaken:
                continue
        counts.stored += new.num_rows
        counts.forgotten += dropped
        counts.repeated += rows.num_rows - new.num_rows - dropped
        counts.clock_suspect += new["clock_suspect"].to_pylist().count(True)
        counts.table_version = handle.version()
        return
    raise table.Overtaken(f"{application.id}: {ATTEMPTS} times another writer was faster; the sessions stay in raw/")


def _forgotten(store: ObjectStore) -> list[str]:
    """SHA-256 of the ids of people whose data was deleted."""
    return [meta["path"].rsplit("/", 1)[-1] for page in obstore.list(store, "forgotten/") for meta in page]


def _shape(
    connection: duckdb.DuckDBPyConnection, application: Application, rows: pa.Table, forgotten: list[str]
) -> tuple[pa.Table, int]:
    """The table rows of the sessions that are new, in the table's columns, and how many were of forgotten people."""
    columns = {
        "session_id": "sessionId",
        "user_id": "userId",
        "application_version": "applicationVersion",
        "start_time": "sessionStartTime",
        "end_time": "sessionEndTime",
        "ingestion_time": "ingestionTime",
        "clock_suspect": "sessionStartTime > ingestionTime",
        "month": "strftime(sessionStartTime::TIMESTAMP, '%Y-%m')",
        "attributes": "attributes",
        "events": _items("events", {"type": "type", "time": "time"}, table.union(application.events)),
        "spans": _items(
            "spans", {"type": "type", "start_time": "startTime", "end_time": "endTime"}, table.union(application.spans)
        ),
        "undeclared": "undeclared",
    }
    wanted = table.schema(application)
    selected = ", ".join(f"{columns[name]} AS {name}" for name in wanted.names)
    connection.register("rows", rows)
    connection.execute("CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::VARCHAR[]) AS digest", [forgotten])
    dropped = connection.execute(
        "SELECT count(*) FROM rows WHERE sha256(userId) IN (SELECT digest FROM forgotten)"
    ).fetchall()[0][0]
    new: pa.Table = connection.sql(
        f"""
        SELECT {selected} FROM rows
        WHERE sha256(userId) NOT IN (SELECT digest FROM forgotten)
          AND sessionId::UUID NOT IN (SELECT session_id FROM known)
        -- of two, the one ingested first is kept
        QUALIFY row_number() OVER (PARTITION BY sessionId ORDER BY ingestionTime) = 1
        """
    ).to_arrow_table()
    connection.unregister("rows")
    return new.cast(wanted), dropped


def _items(column: str, core: dict[str, str], attributes: pa.DataType) -> str:
    members = {**core, "attributes": "attributes"} if attributes.num_fields else core
    packed = ", ".join(f"{name} := item.{member}" for name, member in members.items())
    return f"list_transform({column}, lambda item: struct_pack({packed}))"
