"""Finds damage of a table from its log, the names and sizes of its files, and the ledger. No row is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deltalake import DeltaTable
from obstore.store import ObjectStore

from reports.blocks.format import plural
from reports.storage import ledger, table

__all__ = ["REPAIR", "Look", "forgotten", "look", "tables"]

REPAIR = "`abaculus repair` says what can be done"


@dataclass
class Look:
    """A table: its handle and files. `broken` are files that are missing or have another size. `orphans` are keys and
    sizes of data files that no commit mentions. `booked` is the number of sessions in the ledger.
    """

    application: str
    handle: DeltaTable | None = None
    unreadable: str | None = None
    files: list[table.TableFile] = field(default_factory=list)
    broken: list[table.TableFile] = field(default_factory=list)
    orphans: list[tuple[str, int]] = field(default_factory=list)
    booked: int = 0

    @property
    def rows(self) -> int:
        """The number of sessions, by the log."""
        return sum(file.rows for file in self.files)

    def faults(self) -> list[str]:
        """The faults, one on each line."""
        if self.unreadable:
            return [self.unreadable]
        if self.handle is None and self.orphans:
            return [f"{self.application}: its table has files, but no log; {REPAIR}"]
        if self.handle is None and self.booked:
            lost = plural(self.booked, "session")
            return [f"{self.application}: the ledger has {lost}, and there is no table; restore a backup, or {REPAIR}"]
        said = []
        if self.broken:
            first = f"tables/{self.application}/{self.broken[0].path}"
            said.append(
                f"{self.application}: missing or damaged: {plural(len(self.broken), 'file')}, the first is {first}; "
                f"restore it from a backup, or {REPAIR}"
            )
        if self.booked != self.rows:
            booked = plural(self.booked, "session")
            said.append(f"{self.application}: the ledger has {booked}, the table {self.rows:,}; {REPAIR}")
        return said


def look(store: ObjectStore, bucket: str, application: str, entries: Iterable[Mapping[str, Any]]) -> Look:
    """Reads the state of an application's table. `entries` are the ledger's."""
    entries = list(entries)
    found = Look(application)
    prefix = f"tables/{application}/"
    # Before the table is opened, so that a file that a writer adds meanwhile is in one of the two.
    there = {
        meta["path"]: meta["size"] for page in store.list(prefix) for meta in page if _is_data(meta["path"], prefix)
    }
    try:
        found.handle = table.load(bucket, application)
    except table.TableError as error:
        found.unreadable = str(error)
    if found.handle is None:
        found.orphans = sorted(there.items())
        found.booked = ledger.booked(entries, application, ())
        return found
    found.files = table.files(found.handle)
    found.booked = ledger.booked(entries, application, found.handle.history())
    named = {f"{prefix}{file.path}" for file in found.files}
    removed = {f"{prefix}{path}" for path in table.removed(found.handle)}
    found.orphans = sorted((key, size) for key, size in there.items() if key not in named | removed)
    found.broken = [
        file for file in found.files if there.get(prefix + file.path, _size(store, prefix + file.path)) != file.bytes
    ]
    return found


def _is_data(key: str, prefix: str) -> bool:
    return key.endswith(".parquet") and not key.startswith(f"{prefix}_delta_log/")


def _size(store: ObjectStore, key: str) -> int | None:
    """For a file that was written after the listing."""
    try:
        return int(store.head(key)["size"])
    except FileNotFoundError:
        return None


def tables(store: ObjectStore) -> list[str]:
    """Ids of the applications that have anything below `tables/`."""
    found = store.list_with_delimiter("tables/")["common_prefixes"]
    # A local directory keeps empty directories.
    ids = sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found)
    return [id for id in ids if any(len(page) for page in store.list(f"tables/{id}/", chunk_size=1))]


def forgotten(store: ObjectStore) -> list[str]:
    """SHA-256 of the ids of people whose data was deleted."""
    return [meta["path"].rpartition("/")[2] for page in store.list("forgotten/") for meta in page]
