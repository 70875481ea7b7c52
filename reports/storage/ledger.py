"""The ledger: an entry for each run, what it received, stored and quarantined. Old entries are added up into one."""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.store import ObjectStore

__all__ = [
    "PEOPLE", "Counts", "Entry", "adopt", "begin", "booked", "damaged", "entries", "fold", "foldable", "last",
    "listed", "newest", "parsed", "record", "told",
]  # fmt: skip

# Enough to decide whether the counts of a run may be public.
PEOPLE = 1_000
PREFIX = "ledger/"
# The sum of all entries up to a name.
SUM = f"{PREFIX}sum-"
# Other objects there are not ours. A name begins with the time at which its run began.
NAME = re.compile(r"ledger/(?:sum-)?(\d{8}T\d{12}Z-[0-9a-f]{8})(?:\.[^/]+)?\.json")
# Longer than any run, so that an older run has written its entry, or never will.
KEEP = timedelta(days=30)
# How many entries make adding up worthwhile.
MANY = 200
THREADS = 16
TAKEN = ("stored", "repeated", "recovered", "forgotten", "quarantined", "expired", "removed")
# More runs than a schedule starts in a day.
RECENT = 50
# How often entries are read again if another run adds them up meanwhile.
TRIES = 3


@dataclass
class Counts:
    """What a run did with one application's sessions.

    `recovered` are sessions that an interrupted run had stored but not deleted from raw/. `expired` are sessions older
    than the application keeps them, `removed` are rows of forgotten people, and `lost` are sessions that a repair could
    not restore. `misfits` counts, by path, the stored sessions in which a value did not fit its declared type and is
    null. `people` is the number of people with stored sessions, without CI runs, counted up to `PEOPLE`.
    """

    objects: int = 0
    sessions: int = 0
    stored: int = 0
    repeated: int = 0
    recovered: int = 0
    forgotten: int = 0
    quarantined: int = 0
    waiting: int = 0
    clock_suspect: int = 0
    expired: int = 0
    removed: int = 0
    lost: int = 0
    people: int = 0
    table_version: int | None = None
    misfits: dict[str, int] = field(default_factory=dict)


@dataclass
class Entry:
    """A ledger entry. Times are UTC. `unregistered` names applications with raw objects and without a registry file.
    With `clock_doubted`, its times may be wrong: the store's clock differed, or the last run of a local bucket was long
    ago.
    """

    run: str
    started: str
    ended: str | None = None
    kind: str = "compact"  # or "forget", or "sum" for the sum of earlier entries, or "damaged"
    applications: dict[str, Counts] = field(default_factory=dict)
    unregistered: list[str] = field(default_factory=list)
    error: str | None = None
    clock_doubted: bool = False


def begin(kind: str = "compact") -> Entry:
    """The entry of a run that begins now."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
    return Entry(run, now.isoformat(timespec="milliseconds"), kind=kind)


def record(store: ObjectStore, entry: Entry) -> None:
    """Writes the entry of a run that ends now."""
    entry.ended = datetime.now(UTC).isoformat(timespec="milliseconds")
    store.put(f"ledger/{entry.run}.json", json.dumps(asdict(entry), indent=1).encode())


def entries(store: ObjectStore) -> list[dict[str, Any]]:
    """Every entry, the oldest first. Before them come the sums of older entries, of the kind `sum`."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):  # added up meanwhile
            return _get(store, _current(_names(store)))
    return _get(store, _current(_names(store)))


def last(store: ObjectStore, now: datetime, wanted: Callable[[dict[str, Any]], bool]) -> datetime | None:
    """When the last run before `now` began that is `wanted`."""
    for name in reversed(_current(_names(store))):
        if (began := _began(_run(name))) < now:
            with suppress(FileNotFoundError):  # added up meanwhile
                if wanted(parsed(name, bytes(store.get(name).bytes()))):
                    return began
    return None


def newest(store: ObjectStore) -> str:
    """The newest run that moved sessions out of raw/ or removed rows of a table. "" if none of the last runs did."""
    for name in reversed(_names(store)[-RECENT:]):
        with suppress(FileNotFoundError):  # added up meanwhile
            entry = parsed(name, bytes(store.get(name).bytes()))
            # Waiting sessions wait again in every run.
            if any(counts.get(name) for counts in entry["applications"].values() for name in TAKEN):
                return name
    return ""


def listed(store: ObjectStore) -> list[tuple[str, int]]:
    """Keys and sizes of all entries, the oldest first, and of sums."""
    found = ((meta["path"], meta["size"]) for page in store.list(PREFIX) for meta in page)
    return sorted((name, size) for name, size in found if NAME.fullmatch(name))


def foldable(store: ObjectStore, now: datetime) -> bool:
    """Whether there are enough old entries to add them up."""
    return len(_old(_names(store), now)) > MANY


def fold(store: ObjectStore, now: datetime) -> None:
    """Adds up entries that are older than 30 days and deletes them, because it would take minutes to read those of
    years. It can be interrupted anywhere: a sum replaces all entries up to its name, deleted or not.
    """
    names = _names(store)
    old = _old(names, now)
    sums = [name for name in names if name.startswith(SUM)]
    added = [name for name in _current(names) if name in old]
    if added:
        try:
            total = _total(_get(store, sums[-1:] + added))
        except FileNotFoundError:  # another run does this
            return
        store.put(SUM + added[-1].removeprefix(PREFIX), json.dumps(asdict(total), indent=1).encode())
    # All entries of the last sum, including those that an interrupted run did not delete.
    for name in old + (sums if added else sums[:-1]):
        with suppress(FileNotFoundError):
            store.delete(name)


def booked(entries: Iterable[Mapping[str, Any]], application: str, commits: Iterable[Mapping[str, Any]]) -> int:
    """How many sessions a table has by the ledger, and by the table's log for runs without an entry."""
    entries = list(entries)
    counts = [entry["applications"][application] for entry in entries if application in entry["applications"]]
    total: int = sum(
        one.get("stored", 0) - one.get("expired", 0) - one.get("removed", 0) - one.get("lost", 0) for one in counts
    )
    # A killed run has no entry. Its results are in the table's log, and get an entry before the log forgets them.
    known = {entry["run"] for entry in entries if application in entry["applications"]}
    summed = max((entry["run"] for entry in entries if entry["kind"] == "sum"), default="")
    for run, found in told(commits).items():
        if run > summed and run not in known:
            total += found.stored - found.expired - found.removed
    return total


def told(commits: Iterable[Mapping[str, Any]], before: datetime | None = None) -> dict[str, Counts]:
    """The results of each run by a table's log (`DeltaTable.history`). With `before`, only of runs that ended
    before.
    """
    found: dict[str, Counts] = {}
    for commit in commits:
        run = str(commit.get("run", ""))
        done = datetime.fromtimestamp(int(commit.get("timestamp", 0)) / 1000, UTC)
        if not run or (before and done >= before):
            continue
        counts = found.setdefault(run, Counts())
        counts.stored += int(commit.get("stored", 0))
        # In earlier versions, the library counted them.
        gone = int(commit.get("removed") or commit.get("operationMetrics", {}).get("num_deleted_rows", 0))
        if "expired" in commit:
            counts.expired += gone
        elif "forgotten" in commit:
            counts.removed += gone
    return found


def adopt(store: ObjectStore, application: str, commits: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Writes entries for killed runs, which have none, from the table's log, before the log forgets them."""
    names = set(_names(store))
    # A run of today may not have ended yet.
    for run, counts in told(commits, now - timedelta(days=1)).items():
        if f"{PREFIX}{run}.json" in names:
            continue
        entry = Entry(run, _began(run).isoformat(timespec="milliseconds"), applications={application: counts})
        entry.error = "killed: it ended without an entry"
        # By table, because the same run also has results in the logs of other tables.
        store.put(f"{PREFIX}{run}.{application}.json", json.dumps(asdict(entry), indent=1).encode())


def _run(name: str) -> str:
    """The run of an entry, from the entry's name."""
    found = NAME.fullmatch(name)
    assert found is not None
    return found[1]


def _began(run: str) -> datetime:
    """When a run began, from its name."""
    return datetime.strptime(run.split("Z")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def _names(store: ObjectStore) -> list[str]:
    return [name for name, _ in listed(store)]


def _current(names: list[str]) -> list[str]:
    """The last sum and the entries after it."""
    last = max((name for name in names if name.startswith(SUM)), default="")
    until = PREFIX + last.removeprefix(SUM)
    return ([last] if last else []) + [name for name in names if not name.startswith(SUM) and name > until]


def _old(names: list[str], now: datetime) -> list[str]:
    """The entries to add up, the oldest first. Names begin with the time at which a run began."""
    limit = f"{PREFIX}{now - KEEP:%Y%m%dT%H%M%S}"
    return [name for name in names if not name.startswith(SUM) and name < limit]


def _get(store: ObjectStore, names: list[str]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda name: parsed(name, bytes(store.get(name).bytes())), names))


def damaged(store: ObjectStore) -> list[str]:
    """Keys of entries that cannot be read."""
    names = _names(store)
    found = zip(names, _get(store, names), strict=True)
    return [name for name, entry in found if entry.get("kind") == "damaged"]


def parsed(name: str, content: bytes) -> dict[str, Any]:
    """The entry with this key. If it was cut or changed, an empty entry of the kind `damaged`."""
    try:
        found = json.loads(content)
        if isinstance(found, dict) and isinstance(found["applications"], dict) and found["run"] and found["started"]:
            return found
    except (ValueError, KeyError):
        pass
    run = _run(name)
    started = _began(run).isoformat(timespec="milliseconds")
    return asdict(Entry(run, started, kind="damaged", error=f"{name} cannot be read"))


def _total(found: list[dict[str, Any]]) -> Entry:
    """What entries come to. Numbers of people cannot be added up."""
    total = Entry(found[-1]["run"], found[0]["started"], kind="sum")
    others = {"people", "waiting", "table_version", "misfits"}
    summed = [field.name for field in fields(Counts) if field.name not in others]
    for entry in found:
        for id, counted in entry["applications"].items():
            counts = total.applications.setdefault(id, Counts())
            for name in summed:
                setattr(counts, name, getattr(counts, name) + (counted.get(name) or 0))
            for path, number in counted.get("misfits", {}).items():
                counts.misfits[path] = counts.misfits.get(path, 0) + number
            counts.table_version = counted.get("table_version") or counts.table_version
    total.ended = found[-1].get("ended")
    return total
