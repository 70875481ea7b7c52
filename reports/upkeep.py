"""What keeps a bucket small: old rows expire, small files are merged, what nothing refers to any more is deleted."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import ledger, table
from reports.duck import open_duckdb
from reports.mirror import mirror

__all__ = ["books", "expire", "expire_quarantine", "merge", "tidy"]

# A month is merged when it has so many files that are not large yet.
SMALL_FILES = 32
BATCH = 20_000
# A run reads the log from the last checkpoint on.
COMMITS = 20
# Longer than any run or build: one that reads an old version of the table finds its files.
KEEP_FILES = timedelta(days=7)
KEEP_QUARANTINE = timedelta(days=30)
# Rows may outstay their time by this, so that the oldest file is not written anew with every run.
SLACK = timedelta(days=1)


def expire(handle: DeltaTable, application: Application, now: datetime, run: str) -> int:
    """Removes sessions that are older than the application's `retention_days`; gives how many."""
    limit = now - timedelta(days=application.retention_days)
    if not any(file.first and file.first < limit - SLACK for file in table.files(handle)):
        return 0
    condition = f"start_time < '{limit.isoformat()}'"
    return table.remove(handle, condition, table.sequence(handle) + 1, {"run": run, "expired": "retention_days"})


def tidy(store: ObjectStore, bucket: str, application: str, handle: DeltaTable, now: datetime) -> None:
    """Merges small files and deletes old ones, where there are enough of them. Raises `table.Overtaken`."""
    months: dict[str, list[table.TableFile]] = {}
    for file in table.files(handle):
        months.setdefault(file.month, []).append(file)
    for month, files in months.items():
        large = sum(file.bytes >= table.MERGED_BYTES // 2 for file in files)
        # A month is written anew as a whole, so the larger it is, the longer it may wait.
        if len(files) - large >= SMALL_FILES * (1 + large):
            merge(store, bucket, application, handle, month)
    table.vacuum(handle, int(KEEP_FILES.total_seconds() // 3600))
    if handle.version() - _checkpoint(store, application) >= COMMITS:
        # What the log is about to forget.
        ledger.adopt(store, application, handle.history(), now)
        handle.create_checkpoint()
        handle.cleanup_metadata()


def merge(store: ObjectStore, bucket: str, application: str, handle: DeltaTable, month: str) -> None:
    """Writes the files of a month as few large ones."""
    files = [file for file in table.files(handle) if file.month == month]
    paths = [
        str(path)
        for path in mirror(store, bucket, [(f"tables/{application}/{file.path}", file.bytes) for file in files])
    ]
    with open_duckdb() as connection:
        # The month is in the directory's name; what DuckDB makes of another directory's is nobody's business.
        rows = connection.sql(
            "SELECT *, $month AS month FROM read_parquet($paths, union_by_name = true, hive_partitioning = false)",
            params={"paths": paths, "month": month},
        ).to_arrow_reader(BATCH)
        table.merge(handle, month, rows, table.sequence(handle) + 1)


def _checkpoint(store: ObjectStore, application: str) -> int:
    """The version that the last checkpoint has. The library makes some, but not after all kinds of commit."""
    try:
        found = json.loads(bytes(store.get(f"tables/{application}/_delta_log/_last_checkpoint").bytes()))
    except FileNotFoundError:
        return 0
    return int(found["version"])


def books(store: ObjectStore, bucket: str, applications: Iterable[str], now: datetime) -> None:
    """Adds up old ledger entries, where there are enough of them."""
    if not ledger.foldable(store, now):
        return
    for id in applications:
        if (handle := table.load(bucket, id)) is not None:
            ledger.adopt(store, id, handle.history(), now)
    ledger.fold(store, now)


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
