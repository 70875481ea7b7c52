"""What an operator wants to know of a bucket: what waits, what is stored, what is odd, and whether it adds up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.store import ObjectStore

from ingest.registry import Application
from reports import exclude, ledger, leftout, raw, table
from reports.duck import open_duckdb
from reports.mirror import mirror

__all__ = ["Status", "Stored", "Waiting", "status", "verify"]

# Raw sessions that have lain longer than this say that no run takes them.
LATE = timedelta(days=1)
RUNS = 10


@dataclass
class Waiting:
    """Raw objects of an application that no run has taken yet. `oldest` is when the first of them was stored."""

    objects: int = 0
    bytes: int = 0
    oldest: str | None = None


@dataclass
class Stored:
    """A table: its version, and the files of that version."""

    rows: int = 0
    files: int = 0
    bytes: int = 0
    months: list[str] = field(default_factory=list)
    version: int = 0


@dataclass
class Status:
    """A bucket. `waiting_for_registry` counts sessions of the last run; `verdict` is empty when all is well.

    `excluded` counts the sessions that each exclusion keeps out of the views.
    """

    raw: dict[str, Waiting]
    tables: dict[str, Stored]
    quarantined: int
    waiting_for_registry: dict[str, int]
    left_out: dict[str, dict[str, int]]
    runs: list[dict[str, Any]]
    verdict: list[str]
    excluded: dict[str, int] = field(default_factory=dict)


def status(
    store: ObjectStore, bucket: str, registry: Mapping[str, Application], *, now: datetime | None = None
) -> Status:
    """Looks at everything and changes nothing."""
    now = now or datetime.now(UTC)
    handles = {id: table.load(bucket, id) for id in registry}
    tables: dict[str, Stored] = {}
    for id, handle in handles.items():
        if handle is not None:
            files = table.files(handle)
            rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
            tables[id] = Stored(rows, len(files), size, sorted({file.month for file in files}), handle.version())
    names = [meta["path"] for page in store.list("quarantine/") for meta in page]
    runs = [entry for entry in ledger.entries(store) if entry.get("kind", "compact") == "compact"]
    last = runs[-1]["applications"] if runs else {}
    found = Status(
        raw={id: _waiting(store, id) for id in raw.applications(store)},
        tables=tables,
        quarantined=sum(not name.endswith(".reason.json") for name in names),
        waiting_for_registry={id: counts["waiting"] for id, counts in last.items() if counts.get("waiting")},
        left_out=leftout.paths(store, bucket, registry),
        runs=runs[-RUNS:][::-1],
        verdict=[],
        excluded={one.name: exclude.count(store, bucket, registry, one)[0] for one in exclude.exclusions(store)},
    )
    found.verdict += _verdict(found, registry, now)
    return found


def _waiting(store: ObjectStore, application: str) -> Waiting:
    found = Waiting()
    for page in store.list(f"{raw.PREFIX}{application}/", chunk_size=10_000):
        for meta in page:
            found.objects += 1
            found.bytes += meta["size"]
            stored = meta["last_modified"].isoformat(timespec="seconds")
            found.oldest = min(found.oldest or stored, stored)
    return found


def _verdict(found: Status, registry: Mapping[str, Application], now: datetime) -> list[str]:
    """What is wrong and what to do, a line each."""
    said = []
    if not found.runs:
        said.append("no compaction has run yet: run `abaculus compact`, and schedule the workflow")
    elif found.runs[0].get("error"):
        run = found.runs[0]
        said.append(f"the last run ({run['run']}) failed: {run['error']}; mend that and run `abaculus compact`")
    for id, waiting in found.raw.items():
        late = waiting.oldest is not None and datetime.fromisoformat(waiting.oldest) < now - LATE
        if id not in registry:
            said.append(f"{id}: {waiting.objects} raw objects and no registry file of this id; add one, or delete them")
        elif id in found.waiting_for_registry:
            count = found.waiting_for_registry[id]
            said.append(f"{id}: {count} sessions have members that this registry does not declare; update the registry")
        elif late:
            said.append(
                f"{id}: raw sessions wait since {waiting.oldest}; no run takes them: is the workflow scheduled?"
            )
    if found.quarantined:
        said.append(
            f"{found.quarantined} objects in quarantine/: read the .reason.json beside each, mend, then `abaculus "
            "requeue`; they are deleted after 30 days"
        )
    return said


def verify(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> list[str]:
    """Counts everything again and says what does not add up; nothing when all does. Reads every table file."""
    faults: list[str] = []
    entries = ledger.entries(store)
    summed = max((entry["run"] for entry in entries if entry["kind"] == "sum"), default="")
    for id in registry:
        handle = table.load(bucket, id)
        counts = [entry["applications"][id] for entry in entries if id in entry["applications"]]
        booked = sum(one.get("stored", 0) - one.get("expired", 0) - one.get("removed", 0) for one in counts)
        if handle is None:
            if booked:
                faults.append(f"{id}: the ledger has {booked} sessions, but there is no table; restore tables/{id}/")
            continue
        # A run that was killed has no entry; what it did is in the table's log, and gets one before that forgets.
        known = {entry["run"] for entry in entries if id in entry["applications"]}
        for run, one in ledger.told(handle.history()).items():
            if run > summed and run not in known:
                booked += one.stored - one.expired - one.removed
        files = table.files(handle)
        sizes = {meta["path"]: meta["size"] for page in store.list(f"tables/{id}/") for meta in page}
        keys = [(f"tables/{id}/{file.path}", file.bytes) for file in files]
        lost = [key for key, size in keys if sizes.get(key) != size]
        if lost:
            faults.append(f"{id}: {len(lost)} files are missing or damaged, the first is {lost[0]}; restore a backup")
            continue
        rows, sessions = _count([str(path) for path in mirror(store, bucket, keys)])
        said = sum(file.rows for file in files)
        if rows != said:
            faults.append(f"{id}: the files have {rows} rows, the log says {said}; restore a backup")
        if sessions != rows:
            faults.append(f"{id}: {rows - sessions} rows are of sessions that are there already; report this as a bug")
        if booked != rows:
            faults.append(f"{id}: the ledger has {booked} sessions, the table {rows}; was either changed by hand?")
    return faults


def _count(paths: list[str]) -> tuple[int, int]:
    if not paths:
        return 0, 0
    source = "read_parquet($1, hive_partitioning = false)"
    with open_duckdb() as connection:

        def count(what: str) -> tuple[int, int]:
            found: tuple[int, int] = connection.execute(f"SELECT count(*), {what} FROM {source}", [paths]).fetchall()[0]
            return found

        # Half the memory of the ids themselves. Two ids with one hash make the number smaller, never larger.
        rows, hashes = count("count(DISTINCT hash(session_id))")
        return (rows, rows) if hashes == rows else count("count(DISTINCT session_id)")
