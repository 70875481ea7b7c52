"""The ledger: an entry for each run, what it received, stored and set aside. Old ones are added up into one."""

import json
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.store import ObjectStore

__all__ = ["PEOPLE", "Counts", "Entry", "adopt", "begin", "entries", "fold", "foldable", "record", "told"]

# Enough to know whether what a run counted may be public.
PEOPLE = 1_000
PREFIX = "ledger/"
# What all entries up to a name come to.
SUM = f"{PREFIX}sum-"
# Longer than any run: whoever is older has written its entry, or never will.
KEEP = timedelta(days=30)
# Adding up is worth its while for so many.
MANY = 200
THREADS = 16
# How often the entries are read anew that another run adds up meanwhile.
TRIES = 3


@dataclass
class Counts:
    """What a run did with one application's sessions.

    `recovered` are those that a run which was stopped before it could delete them had stored already; `expired` those
    that were stored long ago, longer than the application keeps them; `removed` rows of people who were forgotten.
    `people` are those whose sessions were stored, CI runs left out, counted to `PEOPLE` and no further.
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
    people: int = 0
    table_version: int | None = None


@dataclass
class Entry:
    """A ledger entry. Times are UTC; `unregistered` names applications with raw objects and no registry file."""

    run: str
    started: str
    ended: str | None = None
    kind: str = "compact"  # or "forget", or "sum" of what earlier ones come to
    applications: dict[str, Counts] = field(default_factory=dict)
    unregistered: list[str] = field(default_factory=list)
    error: str | None = None


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
    """Every entry as it was written, the oldest first; before them, of kind `sum`, what older ones came to."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):  # added up meanwhile
            return _get(store, _current(_names(store)))
    return _get(store, _current(_names(store)))


def foldable(store: ObjectStore, now: datetime) -> bool:
    """Whether there are so many old entries that they should be added up."""
    return len(_old(_names(store), now)) > MANY


def fold(store: ObjectStore, now: datetime) -> None:
    """Adds up entries that are older than 30 days and deletes them: years of them would take minutes to read.

    Can be stopped anywhere: a sum stands for everything up to the name that it bears, whether that is deleted or not.
    """
    names = _names(store)
    old = _old(names, now)
    sums = [name for name in names if name.startswith(SUM)]
    added = [name for name in _current(names) if name in old]
    if added:
        try:
            total = _total(_get(store, sums[-1:] + added))
        except FileNotFoundError:  # another run is at it
            return
        store.put(SUM + added[-1].removeprefix(PREFIX), json.dumps(asdict(total), indent=1).encode())
    # All that the last sum stands for, also where a run was stopped before it could.
    for name in old + (sums if added else sums[:-1]):
        with suppress(FileNotFoundError):
            store.delete(name)


def told(commits: Iterable[Mapping[str, Any]], before: datetime | None = None) -> dict[str, Counts]:
    """What a table's log (`DeltaTable.history`) says of each run; with `before`, of runs that ended before."""
    found: dict[str, Counts] = {}
    for commit in commits:
        run = str(commit.get("run", ""))
        done = datetime.fromtimestamp(int(commit.get("timestamp", 0)) / 1000, UTC)
        if not run or (before and done >= before):
            continue
        counts = found.setdefault(run, Counts())
        counts.stored += int(commit.get("stored", 0))
        gone = int(commit.get("operationMetrics", {}).get("num_deleted_rows", 0))
        if "expired" in commit:
            counts.expired += gone
        elif "forgotten" in commit:
            counts.removed += gone
    return found


def adopt(store: ObjectStore, application: str, commits: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Writes entries for runs of a table's log that have none, because they were killed: the log forgets them."""
    names = set(_names(store))
    # One of today may still be at work.
    for run, counts in told(commits, now - timedelta(days=1)).items():
        if f"{PREFIX}{run}.json" in names:
            continue
        began = datetime.strptime(run.split("Z")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        entry = Entry(run, began.isoformat(timespec="milliseconds"), applications={application: counts})
        entry.error = "killed: it ended without an entry"
        # By table: what the same run did to another one is told by that one's log.
        store.put(f"{PREFIX}{run}.{application}.json", json.dumps(asdict(entry), indent=1).encode())


def _names(store: ObjectStore) -> list[str]:
    return sorted(meta["path"] for page in store.list(PREFIX) for meta in page)


def _current(names: list[str]) -> list[str]:
    """The last sum and what came after it."""
    last = max((name for name in names if name.startswith(SUM)), default="")
    until = PREFIX + last.removeprefix(SUM)
    return ([last] if last else []) + [name for name in names if not name.startswith(SUM) and name > until]


def _old(names: list[str], now: datetime) -> list[str]:
    """Entries that are to be added up, the oldest first. Names begin with the time at which a run began."""
    limit = f"{PREFIX}{now - KEEP:%Y%m%dT%H%M%S}"
    return [name for name in names if not name.startswith(SUM) and name < limit]


def _get(store: ObjectStore, names: list[str]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda name: json.loads(bytes(store.get(name).bytes())), names))


def _total(found: list[dict[str, Any]]) -> Entry:
    """What entries come to. How many people they were cannot be added up."""
    total = Entry(found[-1]["run"], found[0]["started"], kind="sum")
    summed = [field.name for field in fields(Counts) if field.name not in {"people", "waiting", "table_version"}]
    for entry in found:
        for id, counted in entry["applications"].items():
            counts = total.applications.setdefault(id, Counts())
            for name in summed:
                setattr(counts, name, getattr(counts, name) + (counted.get(name) or 0))
            counts.table_version = counted.get("table_version") or counts.table_version
    total.ended = found[-1].get("ended")
    return total
