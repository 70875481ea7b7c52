"""One compaction run: raw objects into the table, exactly once, with a ledger entry.

For each chunk: open the table and keep that handle; read its number; drop what is forgotten, repeated or already there;
append the rest in one commit that carries the next number; only when that commit is in, delete the raw objects. A crash
anywhere leaves raw objects that the next run takes, or whose sessions it finds in the table.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import ledger, raw, table, upkeep
from reports.duck import open_duckdb
from reports.known import Known, scan
from reports.ledger import Counts, Entry

__all__ = ["Counts", "Entry", "compact"]

# How often a chunk starts over because other writers were faster, before the run gives up and leaves it in raw/.
ATTEMPTS = 20


Progress = Callable[[str], None]


def compact(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    *,
    applications: Collection[str] = (),
    since: date | None = None,
    progress: Progress = lambda text: None,
    known: Known | None = None,
) -> Entry:
    """Moves all raw objects into the tables and returns the ledger entry, which is written even if the run fails.

    With `applications` or `since`, only those of these applications, of that day or later; the others stay in `raw/`.
    `known` finds what a table has already; unless it is given, this machine reads through the table's files.
    Raises `TableError` when a table and the registry contradict each other, after the other applications are done.
    """
    entry = ledger.begin()
    started = datetime.fromisoformat(entry.started)
    faults: list[str] = []
    try:
        for id in raw.applications(store):
            if applications and id not in applications:
                continue
            if id not in registry:
                entry.unregistered.append(id)
                continue
            counts = entry.applications[id] = Counts()
            try:
                found = known or scan(store, bucket, id)
                _application(store, bucket, registry[id], entry.run, counts, since, progress, found)
            except table.TableError as error:
                faults.append(str(error))
        for id in registry:
            _upkeep(store, bucket, registry[id], started, entry)
        upkeep.books(store, bucket, registry, started)
        upkeep.expire_quarantine(store, started)
        if faults:
            raise table.TableError("\n".join(faults))
    except BaseException as error:
        entry.error = f"{type(error).__name__}: {error}"
        with suppress(Exception):  # what stopped the run says more than that its entry could not be written
            ledger.record(store, entry)
        raise
    ledger.record(store, entry)
    return entry


def _upkeep(store: ObjectStore, bucket: str, application: Application, now: datetime, entry: Entry) -> None:
    handle = table.load(bucket, application.id)
    if handle is None:
        return
    with suppress(table.Overtaken):  # the writer that was faster, or the next run, does it
        if expired := upkeep.expire(handle, application, now, entry.run):
            entry.applications.setdefault(application.id, Counts()).expired = expired
        upkeep.tidy(store, bucket, application.id, handle, now)


def _application(
    store: ObjectStore,
    bucket: str,
    application: Application,
    run: str,
    counts: Counts,
    since: date | None,
    progress: Progress,
    known: Known,
) -> None:
    people: set[str] = set()
    with open_duckdb() as connection:
        objects = raw.listed(store, application.id, since)
        progress(f"{application.id}: {objects.num_rows:,} objects to read")
        done = 0
        for chunk in raw.read(store, application, objects):
            raw.quarantine(store, chunk.unreadable, run)
            if chunk.rows.num_rows:
                new = _commit(store, bucket, application, connection, chunk.rows, known, counts, run)
                people.update(_people(application, new)[: ledger.PEOPLE - len(people)])
                counts.people = len(people)
            counts.objects += len(chunk.taken)
            counts.sessions += chunk.rows.num_rows + len(chunk.unreadable)
            counts.quarantined += len(chunk.unreadable)
            counts.waiting += chunk.waiting_sessions
            if chunk.taken:
                raw.delete(store, chunk.taken)
            done += len(chunk.taken) + len(chunk.waiting)
            progress(f"{application.id}: {done:,} of {objects.num_rows:,} objects, {counts.sessions:,} sessions")


def _commit(
    store: ObjectStore,
    bucket: str,
    application: Application,
    connection: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    known: Known,
    counts: Counts,
    run: str,
) -> pa.Table:
    for _ in range(ATTEMPTS):
        handle = table.load_or_create(bucket, application)
        number = table.sequence(handle)
        stored = known(handle, rows["sessionId"])
        # Read after the table: whoever is forgotten from now on makes a commit that this one then fails at.
        found = _judge(connection, rows, stored, _forgotten(store))
        new = _shape(application, rows, found)
        if new.num_rows:
            note = {"run": run, "stored": str(new.num_rows)}
            try:
                table.append(handle, new, number + 1, note)
            except table.Overtaken:
                continue
        counts.stored += new.num_rows
        counts.forgotten += pc.sum(found["forgotten"]).as_py()
        counts.recovered += pc.sum(found["recovered"]).as_py()
        counts.repeated += pc.sum(found["repeated"]).as_py()
        counts.clock_suspect += pc.sum(new["clock_suspect"]).as_py() or 0
        counts.table_version = handle.version()
        return new
    raise table.Overtaken(f"{application.id}: {ATTEMPTS} times another writer was faster; the sessions stay in raw/")


def _people(application: Application, rows: pa.Table) -> list[str]:
    """Ids of the people in these rows; a CI run is nobody's."""
    ci = next((field.name for field in application.attributes.values() if field.role == "ci"), None)
    if ci is not None and rows.num_rows:
        rows = rows.filter(pc.invert(pc.fill_null(pc.struct_field(rows["attributes"], ci), False)))
    found: list[str] = rows["user_id"].unique().to_pylist()
    return found


def _forgotten(store: ObjectStore) -> list[str]:
    """SHA-256 of the ids of people whose data was deleted."""
    return [meta["path"].rsplit("/", 1)[-1] for page in store.list("forgotten/") for meta in page]


def _judge(connection: duckdb.DuckDBPyConnection, rows: pa.Table, stored: pa.Table, forgotten: list[str]) -> pa.Table:
    """For each row of the chunk, which one of `new`, `forgotten`, `recovered` and `repeated` it is, and its month."""
    # Narrow: what a session holds is never sorted or hashed.
    columns = ["sessionId", "userId", "sessionStartTime", "ingestionTime"]
    connection.register("chunk", rows.select(columns).append_column("number", pa.array(range(rows.num_rows))))
    connection.register("stored", stored)
    connection.execute("CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::VARCHAR[]) AS digest", [forgotten])
    found: pa.Table = connection.sql(
        """
        WITH
            marked AS (
                SELECT
                    chunk.number,
                    strftime(sessionStartTime::TIMESTAMP, '%Y-%m') AS month,
                    sessionStartTime > ingestionTime AS clock_suspect,
                    sha256(userId) IN (SELECT digest FROM forgotten) AS forgotten,
                    -- the row of this very line: a run was stopped between its commit and the deletion
                    coalesce(ingestionTime = stored.ingestion_time, false) AS same,
                    -- of two, the one ingested first is kept
                    row_number() OVER (PARTITION BY sessionId ORDER BY ingestionTime, number) = 1 AS first,
                    stored.session_id IS NOT NULL AS there
                FROM chunk LEFT JOIN stored ON stored.session_id = chunk.sessionId
            )
        SELECT
            month,
            clock_suspect,
            forgotten,
            NOT forgotten AND first AND NOT there AS new,
            NOT forgotten AND first AND same AS recovered,
            NOT forgotten AND NOT (first AND (same OR NOT there)) AS repeated
        FROM marked ORDER BY number
        """
    ).to_arrow_table()
    connection.unregister("chunk")
    connection.unregister("stored")
    return found


def _shape(application: Application, rows: pa.Table, found: pa.Table) -> pa.Table:
    """The table rows of the sessions that are new, in the table's columns."""
    columns = {
        "session_id": rows["sessionId"],
        "user_id": rows["userId"],
        "application_version": rows["applicationVersion"],
        "start_time": rows["sessionStartTime"],
        "end_time": rows["sessionEndTime"],
        "ingestion_time": rows["ingestionTime"],
        "clock_suspect": found["clock_suspect"],
        "month": found["month"],
        **{name: rows[name] for name in ("attributes", "events", "spans", "undeclared")},
    }
    wanted = table.schema(application)
    every = pa.table([_named(columns[field.name], field.type) for field in wanted], schema=wanted)
    return every if pc.all(found["new"]).as_py() else every.filter(found["new"])


# Members whose names differ between a raw line and a row.
RAW = {"start_time": "startTime", "end_time": "endTime"}


def _named(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in the table's type, whose lists of structs have other names and may lack an empty struct."""
    if column.type == kind:
        return column
    return pa.chunked_array([_renamed(part, kind) for part in column.chunks], kind)


def _renamed(part: pa.ListArray, kind: pa.ListType) -> pa.ListArray:
    # Arrow's cast matches members by name; here the same buffers get other names.
    items = part.values
    members = [items.field(RAW.get(field.name, field.name)) for field in kind.value_type]
    named = pa.StructArray.from_arrays(members, fields=list(kind.value_type), mask=items.is_null())
    return pa.Array.from_buffers(kind, len(part), part.buffers()[:2], offset=part.offset, children=[named])
