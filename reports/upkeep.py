"""What keeps a bucket small: old rows expire, small files are merged, what nothing refers to any more is deleted."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import table

__all__ = ["expire", "expire_quarantine", "tidy"]

# A month is merged when it has so many files that are not large yet.
SMALL_FILES = 10
# A run reads the log from the last checkpoint on.
COMMITS = 20
# Longer than any run or build: one that reads an old version of the table finds its files.
KEEP_FILES = timedelta(days=7)
KEEP_QUARANTINE = timedelta(days=30)
# Rows may outstay their time by this, so that the oldest file is not written anew with every run.
SLACK = timedelta(days=1)


def expire(handle: DeltaTable, application: Application, now: datetime) -> int:
    """Removes sessions that are older than the application's `retention_days`; gives how many."""
    limit = now - timedelta(days=application.retention_days)
    if not any(file.first and file.first < limit - SLACK for file in table.files(handle)):
        return 0
    condition = f"start_time < '{limit.isoformat()}'"
    return table.remove(handle, condition, table.sequence(handle) + 1, {"expired": "retention_days"})


def tidy(store: ObjectStore, application: str, handle: DeltaTable) -> None:
    """Merges small files and deletes old ones, where there are enough of them. Other writers may go on meanwhile."""
    small: dict[str, int] = {}
    for file in table.files(handle):
        if file.bytes < table.MERGED_BYTES // 2:
            small[file.month] = small.get(file.month, 0) + 1
    for month, count in small.items():
        if count >= SMALL_FILES:
            table.merge(handle, month)
    table.vacuum(handle, int(KEEP_FILES.total_seconds() // 3600))
    if handle.version() - _checkpoint(store, application) >= COMMITS:
        handle.create_checkpoint()
        handle.cleanup_metadata()


def _checkpoint(store: ObjectStore, application: str) -> int:
    """The version that the last checkpoint has. The library makes some, but not after all kinds of commit."""
    try:
        found = json.loads(bytes(store.get(f"tables/{application}/_delta_log/_last_checkpoint").bytes()))
    except FileNotFoundError:
        return 0
    return int(found["version"])


def expire_quarantine(store: ObjectStore, now: datetime) -> int:
    """Deletes what was set aside 30 days ago or earlier; gives how many objects."""
    old: list[str] = []
    for page in store.list("quarantine/"):
        old += [meta["path"] for meta in page if _is_old(meta, now)]
    if old:
        store.delete(old)
    return len(old)


def _is_old(meta: Mapping[str, object], now: datetime) -> bool:
    changed = meta["last_modified"]
    assert isinstance(changed, datetime)
    return changed < now - KEEP_QUARANTINE
