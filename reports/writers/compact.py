"""One compaction run: moves raw objects into the tables, exactly once, and writes a ledger entry.

For each chunk it opens the table, keeps that handle and reads its number. It drops forgotten, repeated and stored
sessions, and appends the rest in one commit with the next number. Then it deletes the raw objects. A crash anywhere
leaves raw objects, and the next run takes them or finds their sessions in the table.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.blocks.format import brief, plural
from reports.storage import damage, ledger, lines, raw, table, used_registry, waiting
from reports.storage.duck import open_duckdb
from reports.storage.explained import OUTER, explained
from reports.storage.ledger import Counts, Entry
from reports.storage.stored_ids import Known, scan
from reports.writers import brakes, rewrite, upkeep
from reports.writers.leftovers import sweep
from reports.writers.rows import judge, misfits, shape, users

__all__ = ["Counts", "Entry", "Unfinished", "compact"]

# How often a run tries a chunk again because other writers were faster, before it leaves the chunk in raw/.
ATTEMPTS = 20
# Errors of one application's table or bucket. They stop only that application.
TROUBLE = (table.TableError, table.Overtaken, brakes.Held, *OUTER)


Progress = Callable[[str], None]


class Unfinished(Exception):
    """The failed parts of a run, one on each line with its fix. `entry` has the rest."""

    def __init__(self, faults: list[str], entry: Entry) -> None:
        super().__init__("\n".join(faults))
        self.entry = entry


def compact(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    *,
    applications: Collection[str] = (),
    since: date | None = None,
    progress: Progress = lambda text: None,
    known: Known | None = None,
    anyway: bool = False,
) -> Entry:
    """Moves all raw objects into the tables and returns the ledger entry, which is written even if the run fails.

    With `applications` or `since`, it moves only those of these applications, of that day or later. The others stay in
    `raw/`. `known` finds the sessions that a table has already. Without it, this machine reads the files of the table.
    Deletes old sessions and files, within the limits of `brakes`, or without limits with `anyway`. Raises `Unfinished`
    at the end, for stopped applications and for deletions above the limit.
    """
    entry = ledger.begin()
    faults: dict[str, list[str]] = {}  # by application
    try:
        # The files from before this run.
        before: dict[str, DeltaTable | None] = {}
        for id, application in registry.items():
            with _stopping(id, faults):
                before[id] = _open(store, bucket, application, entry.run)
        for id in raw.applications(store):
            if applications and id not in applications:
                continue
            if id not in registry:
                entry.unregistered.append(id)
                continue
            counts = entry.applications[id] = Counts()
            if id in faults:
                continue
            with _stopping(id, faults):
                found = known or scan(store, bucket, id)
                _application(store, bucket, registry[id], entry.run, counts, since, progress, found)
        sound = {id: application for id, application in registry.items() if id not in faults}
        for application in sound.values():
            if application.text:  # that of probes has no file
                used_registry.keep(store, application)
        _upkeep(store, bucket, sound, before, entry, faults, anyway)
        if said := [text for texts in faults.values() for text in texts]:
            raise Unfinished(said, entry)
    except BaseException as error:
        entry.error = str(error) if isinstance(error, Unfinished) else f"{type(error).__name__}: {error}"
        with suppress(Exception):  # the first error says more than the failure to write the entry
            ledger.record(store, entry)
        raise
    ledger.record(store, entry)
    return entry


@contextmanager
def _stopping(application: str, faults: dict[str, list[str]]) -> Iterator[None]:
    """Notes what stops an application, and lets the others continue."""
    try:
        yield
    except TROUBLE as error:
        said = str(error) if isinstance(error, brakes.Held) else explained(error) or brief(error)
        faults.setdefault(application, []).append(said if said.startswith(application) else f"{application}: {said}")


def _open(store: ObjectStore, bucket: str, application: Application, run: str) -> DeltaTable | None:
    """The table before anything is read, with the types that this registry needs."""
    for _ in range(ATTEMPTS):
        handle = table.load(bucket, application.id)
        if handle is not None:
            table.check(handle, application)
            try:
                rewrite.widen(store, bucket, application, handle, {"run": run})
            except table.Overtaken:
                continue
        elif any(len(page) for page in store.list(f"tables/{application.id}/", chunk_size=1)):
            raise table.TableError(
                f"{application.id}: its table has files, but no log; `abaculus repair` says what to do"
            )
        return handle
    raise table.Overtaken(f"{application.id}: {ATTEMPTS} times another writer was faster; the sessions stay in raw/")


def _upkeep(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    before: Mapping[str, DeltaTable | None],
    entry: Entry,
    faults: dict[str, list[str]],
    anyway: bool,
) -> None:
    """Deletes old sessions and files, and merges small files."""
    now = datetime.fromisoformat(entry.started)
    if not anyway:
        try:
            brakes.check_clock(store, now)
        except brakes.Held as held:
            entry.clock_doubted = True
            faults[""] = [str(held)]
            return
    for id, application in registry.items():
        there = before[id]
        handle = table.load(bucket, id) if id in entry.applications else there
        if handle is None:
            continue
        old = [] if there is None else [file.path for file in table.files(there)]
        # The faster run does this, or the next run.
        with _stopping(id, faults), suppress(table.Overtaken):
            if expired := upkeep.expire(store, bucket, handle, application, entry, old, anyway=anyway):
                entry.applications.setdefault(id, Counts()).expired = expired
        with _stopping(id, faults), suppress(table.Overtaken):
            upkeep.tidy(store, bucket, application, handle, now, anyway=anyway)
    upkeep.books(store, bucket, registry, now)
    with _stopping("", faults):
        upkeep.expire_quarantine(store, now, anyway=anyway)
    sweep(store, now)


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
    """Compacts the raw sessions of an application."""
    people: set[str] = set()
    expected = lines.schema(application)
    before = waiting.known(store, application.id, expected)
    objects, still = before.split(raw.listed(store, application.id, since))
    sizes: dict[str, int] = {}
    mostly = False
    with open_duckdb() as connection:
        total, done = plural(objects.num_rows, "object"), 0
        progress(f"{application.id}: {total} to read")
        for chunk in raw.read(store, application, objects):
            raw.quarantine(store, chunk.unreadable, run)
            if chunk.rows.num_rows:
                new = _commit(store, bucket, application, connection, chunk.rows, known, counts, run)
                people.update(users(application, new)[: ledger.PEOPLE - len(people)])
                counts.people = len(people)
            counts.objects += len(chunk.taken)
            counts.sessions += chunk.rows.num_rows + len(chunk.unreadable)
            counts.quarantined += len(chunk.unreadable)
            mostly = mostly or brakes.mostly(len(chunk.unreadable), chunk.rows.num_rows)
            if chunk.waiting:
                sizes = sizes or dict(zip(objects["path"].to_pylist(), objects["size"].to_pylist(), strict=True))
                still.objects.update({key: (sizes[key], sessions) for key, sessions in chunk.waiting.items()})
            if chunk.taken:
                raw.delete(store, chunk.taken)
            done += len(chunk.taken) + len(chunk.waiting)
            progress(f"{application.id}: {done:,} of {total}, {plural(counts.sessions, 'session')}")
    counts.waiting = still.sessions
    if since is None:
        waiting.keep(store, application.id, expected, still, before)
    # Also for the run: an object that claims to be large, as broken objects do, is a chunk of its own.
    if mostly or brakes.mostly(counts.quarantined, counts.sessions - counts.quarantined):
        raise brakes.Held(
            f"{application.id}: most of a chunk could not be read and is in quarantine/; the .reason.json beside each "
            f"object says why; put the objects back with `abaculus requeue` within "
            f"{plural(upkeep.KEEP_QUARANTINE.days, 'day')}"
        )


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
        if table.widened(handle, application):
            # A run with another registry has changed it since this run began.
            raise table.Overtaken(f"{application.id}: its table has integers again; the sessions stay in raw/")
        number = table.sequence(handle)
        stored = known(handle, rows["sessionId"])
        # Read after the table: any later deletion makes a commit, so this commit then fails.
        found = judge(connection, rows, stored, damage.forgotten(store))
        new = shape(application, rows, found)
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
        for path, number in misfits(application, new).items():
            counts.misfits[path] = counts.misfits.get(path, 0) + number
        counts.table_version = handle.version()
        return new
    raise table.Overtaken(f"{application.id}: {ATTEMPTS} times another writer was faster; the sessions stay in raw/")
