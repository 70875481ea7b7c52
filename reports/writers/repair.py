"""Lists damage in a bucket and what each remedy loses, and applies the chosen remedies. While it rebuilds the log of a
table, no other command may run on the bucket. Everything else is safe at any time.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.blocks.format import plural
from reports.storage import damage, ledger, table
from reports.storage.mirror import mirror
from reports.writers import rewrite
from reports.writers.leftovers import leftovers
from reports.writers.registry_file import registry_file
from reports.writers.take_back import lost, take_back

__all__ = ["REMEDIES", "Finding", "find", "repair"]

# In the order in which they are applied, because each may leave less to do for the next.
REMEDIES = {
    "checkpoint": "delete the damaged checkpoint, and write it again from the log",
    "rebuild": "write a new log, so that take-back can restore the table from its data files",
    "isolate": "remove the damaged files from the table",
    "take-back": "append sessions from files that no commit mentions",
    "sweep": "delete unused files without sessions of their own",
    "book": "write the difference into the ledger",
    "register": "print a registry file for the table",
}
ATTEMPTS = 20


@dataclass(frozen=True)
class Finding:
    """A fault of an application's table ("" is the whole bucket), its remedy, and what the remedy loses."""

    application: str
    what: str
    remedy: str
    loses: str = "nothing"


def find(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> list[Finding]:
    """Reads everything, including data files, and changes nothing."""
    entries = ledger.entries(store)
    found = [
        Finding("", f"{entry['error']}", "book", "its counts of repeated and waiting sessions")
        for entry in entries
        if entry.get("kind") == "damaged"
    ]
    if staged := leftovers(store):
        found.append(Finding("", f"written by half: {plural(len(staged), 'file')}", "sweep"))
    for id in sorted({*registry, *damage.tables(store)}):
        look = damage.look(store, bucket, id, entries)
        found += _log(store, bucket, look, registry)
        if look.handle is None:
            continue
        if broken := look.broken + _unreadable(store, bucket, look):
            rows = plural(sum(file.rows for file in broken), "session")
            what = f"missing or damaged: {plural(len(broken), 'file')}, the first is tables/{id}/{broken[0].path}"
            found.append(
                Finding(id, what, "isolate", f"up to {rows}, unless you restore the files from a backup first")
            )
        if look.orphans and not broken:
            sessions, empty = lost(store, bucket, look, damage.forgotten(store), _oldest(registry.get(id)))
            if sessions:
                what = f"{plural(sessions, 'session')} in files that no commit mentions"
                found.append(Finding(id, what, "take-back"))
            elif empty:
                found.append(
                    Finding(
                        id, f"not in any commit, and without sessions of their own: {plural(empty, 'file')}", "sweep"
                    )
                )
        if look.booked != look.rows:
            what = f"the ledger has {plural(look.booked, 'session')}, the table {look.rows:,}"
            short = look.booked - look.rows
            found.append(Finding(id, what, "book", f"{plural(short, 'session')} for good" if short > 0 else "nothing"))
        if id not in registry:
            found.append(Finding(id, "a table without a registry file", "register"))
    return found


def _log(store: ObjectStore, bucket: str, look: damage.Look, registry: Mapping[str, Application]) -> list[Finding]:
    """The faults of the log of a table that cannot be opened."""
    id = look.application
    if look.handle is not None:
        return []
    if look.unreadable and _without_checkpoints(store, id):
        return [Finding(id, "a checkpoint of its log is missing or damaged", "checkpoint")]
    if look.unreadable or look.orphans:
        if id not in registry:
            return [Finding(id, "its log is missing or damaged; add its registry file, then run again", "register")]
        return [Finding(id, "its log is missing or damaged", "rebuild", "earlier versions, and manual deletions")]
    if look.booked:
        rows = plural(look.booked, "session")
        return [
            Finding(id, f"the ledger has {rows}, and there is no table", "book", f"{rows}, unless you restore a backup")
        ]
    return []


def repair(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    remedies: Collection[str],
    progress: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Applies these remedies where needed, and returns a line for each."""
    entry = ledger.begin("repair")
    said: list[str] = []
    # One remedy may require the next: a rebuilt log has files to take back.
    for remedy in REMEDIES:
        if remedy not in remedies:
            continue
        for finding in find(store, bucket, registry):
            if finding.remedy == remedy:
                progress(f"{finding.application or 'bucket'}: {remedy}")
                said.append(f"{finding.application or 'bucket'}: {_apply(store, bucket, registry, finding, entry)}")
    if entry.applications:
        ledger.record(store, entry)
    return said


def _apply(
    store: ObjectStore, bucket: str, registry: Mapping[str, Application], finding: Finding, entry: ledger.Entry
) -> str:
    id = finding.application
    for _ in range(ATTEMPTS):
        try:
            match finding.remedy:
                case "checkpoint":
                    return _checkpoint(store, bucket, id)
                case "rebuild":
                    return _rebuild(store, bucket, registry[id])
                case "isolate":
                    return _isolate(store, bucket, id, entry)
                case "take-back" | "sweep" if id:
                    return _take_back(
                        store, bucket, id, _oldest(registry.get(id)), entry, take=finding.remedy != "sweep"
                    )
                case "sweep":
                    return _sweep(store)
                case "book":
                    return _book(store, bucket, id, registry, entry)
                case _:
                    return registry_file(store, bucket, id)
        except table.Overtaken:
            continue
    raise table.Overtaken(f"{id}: {ATTEMPTS} times another writer was faster; run it again when no compaction runs")


def _oldest(application: Application | None) -> str | None:
    """The time before which an application's sessions have expired."""
    if application is None:
        return None
    return (datetime.now(UTC) - timedelta(days=application.retention_days)).isoformat()


def _unreadable(store: ObjectStore, bucket: str, look: damage.Look) -> list[table.TableFile]:
    """Files of the right size that cannot be read, or that have another number of rows than the log says."""
    found = []
    for file in look.files:
        if file in look.broken:
            continue
        try:
            (path,) = mirror(store, bucket, table.keys(look.application, [file]))
            if sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches()) != file.rows:
                found.append(file)
        except (pa.ArrowException, OSError):
            found.append(file)
    return found


def _names(store: ObjectStore, application: str) -> list[str]:
    return sorted(meta["path"] for page in store.list(f"tables/{application}/_delta_log/") for meta in page)


def _damaged_checkpoints(store: ObjectStore, application: str) -> list[str]:
    """Unreadable checkpoints, and the pointer to the last one, which is then useless."""
    found = []
    for name in _names(store, application):
        if name.endswith(".checkpoint.parquet"):
            try:
                pq.ParquetFile(pa.BufferReader(bytes(store.get(name).bytes()))).read()
            except (pa.ArrowException, OSError):
                found.append(name)
        elif name.endswith("/_last_checkpoint"):
            found.append(name)
    return found


def _without_checkpoints(store: ObjectStore, application: str) -> bool:
    """Whether the log can be read to its end without the damaged checkpoints. This tries it on a copy."""
    without = _damaged_checkpoints(store, application)
    names = [name for name in _names(store, application) if name not in without]
    commits = [name for name in names if name.endswith(".json")]
    if not commits:
        return False
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "tables" / application / "_delta_log"
        log.mkdir(parents=True)
        for name in names:
            (log / name.rpartition("/")[2]).write_bytes(bytes(store.get(name).bytes()))
        try:
            handle = table.load(directory, application)
        except table.TableError:
            return False
        newest = int(commits[-1].rpartition("/")[2].removesuffix(".json"))
        return handle is not None and handle.version() == newest


def _checkpoint(store: ObjectStore, bucket: str, application: str) -> str:
    store.delete(_damaged_checkpoints(store, application))
    handle = table.load(bucket, application)
    assert handle is not None
    handle.create_checkpoint()
    return f"its log has a checkpoint again, of version {handle.version()}"


def _rebuild(store: ObjectStore, bucket: str, application: Application) -> str:
    # The newest commit first: if this is interrupted, an older version of the table is left, or no table.
    names = _names(store, application.id)
    commits = [name for name in names if name.endswith(".json")]
    store.delete([name for name in names if name not in commits])
    for name in reversed(commits):
        store.delete(name)
    table.load_or_create(bucket, application)
    return "its log is new and empty; `take-back` restores the sessions"


def _isolate(store: ObjectStore, bucket: str, application: str, entry: ledger.Entry) -> str:
    look = damage.look(store, bucket, application, ())
    assert look.handle is not None
    broken = look.broken + _unreadable(store, bucket, look)
    rows = sum(file.rows for file in broken)
    paths, months = {file.path for file in broken}, {file.month for file in broken}
    note = {"run": entry.run, "lost": str(rows)}
    rewrite.rewrite(store, bucket, application, look.handle, months, note, without=paths)
    entry.applications.setdefault(application, ledger.Counts()).lost += rows
    return f"{plural(len(broken), 'file')} with {plural(rows, 'session')} taken out"


def _take_back(
    store: ObjectStore, bucket: str, application: str, oldest: str | None, entry: ledger.Entry, *, take: bool
) -> str:
    look = damage.look(store, bucket, application, ledger.entries(store))
    missing = max(0, look.booked - look.rows)
    taken, deleted = take_back(store, bucket, application, {"run": entry.run}, oldest, take=take)
    if taken > missing:  # the ledger did not have them: their run was killed
        entry.applications.setdefault(application, ledger.Counts()).stored += taken - missing
    return f"{plural(taken, 'session')} taken back, {plural(deleted, 'file')} deleted"


def _sweep(store: ObjectStore) -> str:
    paths = leftovers(store)
    for path in paths:
        path.unlink(missing_ok=True)
    return f"{plural(len(paths), 'file')} deleted"


def _book(
    store: ObjectStore, bucket: str, application: str, registry: Mapping[str, Application], entry: ledger.Entry
) -> str:
    # The ledger must have everything that was done so far before it is compared.
    ledger.record(store, entry)
    if not application:
        return _entries(store, bucket, registry)
    look = damage.look(store, bucket, application, ledger.entries(store))
    counts = entry.applications.setdefault(application, ledger.Counts())
    short = look.booked - look.rows
    counts.lost += max(0, short)
    counts.stored += max(0, -short)
    return f"the ledger now has {plural(look.rows, 'session')}, {plural(max(0, short), 'session')} as lost"


def _entries(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> str:
    """Writes damaged entries again, from the logs of the tables, which say what was stored and deleted."""
    names = ledger.damaged(store)
    for name in names:
        store.delete(name)
    for id in sorted({*registry, *damage.tables(store)}):
        look = damage.look(store, bucket, id, ())
        if look.handle is not None:
            ledger.adopt(store, id, look.handle.history(), datetime.now(UTC) + timedelta(days=2))
    return f"{plural(len(names), 'entry', 'entries')} written again from the logs"
