"""The ledger: an entry for each run, what it received, stored and set aside."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from obstore.store import ObjectStore

__all__ = ["PEOPLE", "Counts", "Entry", "begin", "entries", "record"]

# Enough to know whether what a run counted may be public.
PEOPLE = 1_000


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
    kind: str = "compact"  # or "forget"
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


def entries(store: ObjectStore) -> Iterator[dict[str, Any]]:
    """Every entry as it was written, the oldest first."""
    for key in sorted(meta["path"] for page in store.list("ledger/") for meta in page):
        yield json.loads(bytes(store.get(key).bytes()))
