"""The status of a bucket: waiting and stored sessions, problems, and differences from the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.blocks.format import brief, plural, some
from reports.operations.hints import Hint, hints
from reports.pages.registry_page import Uses
from reports.storage import damage, ledger, raw, table
from reports.storage.duck import open_duckdb
from reports.storage.explained import OUTER, explained
from reports.storage.mirror import mirror
from reports.storage.objects import objects

__all__ = ["Status", "Stored", "Waiting", "status", "verify"]

# If raw sessions have waited longer than this, no run takes them.
LATE = timedelta(days=1)
RUNS = 10
IN_PUBLIC = "the ledger and the table differ, or something is damaged; `abaculus verify` says where"


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
    """A bucket. `waiting_for_registry` counts sessions of the last run; `verdict` is empty if nothing is wrong.

    `hints` say what pages are missing, and what they leave out.
    """

    raw: dict[str, Waiting]
    tables: dict[str, Stored]
    quarantined: int
    waiting_for_registry: dict[str, int]
    runs: list[dict[str, Any]]
    verdict: list[str]
    hints: list[Hint] = field(default_factory=list)


def status(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    *,
    now: datetime | None = None,
    minimum: int = 10,
    used: Uses | None = None,
    public: bool = False,
) -> Status:
    """Looks at everything and changes nothing.

    A number needs `minimum` people, and `used` says which pages read which names. With `public`, the texts have no
    counts.
    """
    now = now or datetime.now(UTC)
    entries = ledger.entries(store)
    looks = {id: damage.look(store, bucket, id, entries) for id in sorted({*registry, *damage.tables(store)})}
    names = [key for key, _ in objects(store, "quarantine/")]
    runs = [entry for entry in entries if entry.get("kind", "compact") == "compact"]
    last = runs[-1]["applications"] if runs else {}
    found = Status(
        raw={id: _waiting(store, id) for id in raw.applications(store)},
        tables={id: _stored(one) for id, one in looks.items() if one.handle is not None},
        quarantined=sum(not name.endswith(".reason.json") for name in names),
        waiting_for_registry={id: counts["waiting"] for id, counts in last.items() if counts.get("waiting")},
        runs=runs[-RUNS:][::-1],
        verdict=[],
    )
    found.verdict += _verdict(found, registry, now, public)
    if public:  # the time of a session belongs to one person, and so may its month
        for waiting in found.raw.values():
            waiting.oldest = None
        for stored in found.tables.values():
            stored.months = []
    found.verdict += [entry["error"] for entry in entries if entry.get("kind") == "damaged"]
    for id, one in looks.items():
        if faults := one.faults():
            found.verdict += [f"{id}: {IN_PUBLIC}"] if public else faults
        if id not in registry:
            found.verdict.append(
                f"{id}: a table without a registry file, so its sessions are on no page and never expire; add the "
                f"file ({damage.REPAIR}), or retire the application (page Operate)"
            )
    sound = {id: application for id, application in registry.items() if not looks[id].faults()}
    try:
        found.hints = hints(store, bucket, sound, minimum=minimum, used=used, public=public)
    except OUTER as error:
        found.verdict.append(explained(error) or brief(error))
    return found


def _stored(look: damage.Look) -> Stored:
    assert look.handle is not None
    size, months = sum(file.bytes for file in look.files), sorted({file.month for file in look.files})
    return Stored(look.rows, len(look.files), size, months, look.handle.version())


def _waiting(store: ObjectStore, application: str) -> Waiting:
    found = Waiting()
    for page in store.list(f"{raw.PREFIX}{application}/", chunk_size=10_000):
        for meta in page:
            found.objects += 1
            found.bytes += meta["size"]
            stored = meta["last_modified"].isoformat(timespec="seconds")
            found.oldest = min(found.oldest or stored, stored)
    return found


def _verdict(found: Status, registry: Mapping[str, Application], now: datetime, public: bool) -> list[str]:
    """What is wrong and what to do, one line for each problem."""
    amount = some if public else plural
    said = []
    if not found.runs:
        said.append("no compaction has run yet: run `abaculus compact`, and schedule the workflow")
    elif found.runs[0].get("error"):
        run = found.runs[0]
        said.append(f"the last run ({run['run']}) failed: {run['error']}; fix that and run `abaculus compact`")
    for id, waiting in found.raw.items():
        late = waiting.oldest is not None and datetime.fromisoformat(waiting.oldest) < now - LATE
        if id not in registry:
            said.append(
                f"{id}: {amount(waiting.objects, 'raw object')} but no registry file with this id; add one, or delete "
                f"them"
            )
        elif id in found.waiting_for_registry:
            count = found.waiting_for_registry[id]
            said.append(
                f"{id}: {amount(count, 'waiting session')} for another registry; update this registry to the function's"
            )
        elif late:
            since = "for more than a day" if public else f"since {waiting.oldest}"
            said.append(
                f"{id}: raw sessions wait {since}, but no run compacts them: check the schedule of the workflow"
            )
    if found.quarantined:
        said.append(
            f"{amount(found.quarantined, 'object')} in quarantine/: read the .reason.json beside each, fix the cause, "
            f"then run `abaculus requeue`; after 30 days they are deleted"
        )
    return said


def verify(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> list[str]:
    """Counts everything again and returns the differences. Reads every table file."""
    faults: list[str] = []
    entries = ledger.entries(store)
    for id in sorted({*registry, *damage.tables(store)}):
        look = damage.look(store, bucket, id, entries)
        faults += look.faults()
        if look.handle is None or look.broken:
            continue
        try:
            rows, sessions = _count([str(path) for path in mirror(store, bucket, table.keys(id, look.files))])
        except OUTER as error:
            faults.append(f"{id}: {explained(error) or brief(error)}")
            continue
        if rows != look.rows:
            faults.append(f"{id}: its files have {plural(rows, 'row')}, the log says {look.rows:,}; {damage.REPAIR}")
        if sessions != rows:
            faults.append(
                f"{id}: {plural(rows - sessions, 'row')} too many: the same session is in another row; report this as "
                f"a bug"
            )
    return faults


def _count(paths: list[str]) -> tuple[int, int]:
    if not paths:
        return 0, 0
    source = "read_parquet($1, hive_partitioning = false)"
    with open_duckdb() as connection:

        def count(what: str) -> tuple[int, int]:
            found: tuple[int, int] = connection.execute(f"SELECT count(*), {what} FROM {source}", [paths]).fetchall()[0]
            return found

        # Hashes take half the memory of ids. Two ids with the same hash can only make the number smaller.
        rows, hashes = count("count(DISTINCT hash(session_id))")
        return (rows, rows) if hashes == rows else count("count(DISTINCT session_id)")
