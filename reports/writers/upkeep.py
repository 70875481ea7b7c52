"""Keeps a bucket small: removes old rows, merges small files, and deletes unused files."""

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.storage import damage, ledger, table
from reports.writers import brakes, rewrite
from reports.writers.take_back import lost

__all__ = ["books", "expire", "expire_quarantine", "tidy"]

# A month is merged if it has this many small files.
SMALL_FILES = 32
# A run reads the log from the last checkpoint.
COMMITS = 20
# Longer than any run or build, so that one that reads an old version of the table finds its files.
KEEP_FILES = timedelta(days=7)
KEEP_QUARANTINE = timedelta(days=30)
# Rows may stay this much longer, so that not every run writes the oldest file again.
SLACK = timedelta(days=1)


def expire(
    store: ObjectStore,
    bucket: str,
    handle: DeltaTable,
    application: Application,
    run: ledger.Entry,
    before: Collection[str],
    *,
    anyway: bool = False,
) -> int:
    """Removes sessions older than the application's `retention_days`, and returns how many.

    `before` are the table's files from before this run. Without `anyway`, raises `brakes.Held` if it would remove more
    than a tenth of the table that the last run should have removed already.
    """
    now, kept = datetime.fromisoformat(run.started), timedelta(days=application.retention_days)
    limit = now - kept
    files = table.files(handle)
    if not any(file.first and file.first < limit - SLACK for file in files):
        return 0
    if not anyway:
        last = brakes.last_run(store, now)
        old = [file for file in files if file.path in before]
        overdue = _started(store, bucket, application.id, old, limit if last is None else last - kept - SLACK)
        going = _started(store, bucket, application.id, files, limit)
        brakes.check_amount(
            f"{application.id}: of its sessions, by retention_days = {application.retention_days}",
            going,
            sum(file.rows for file in files),
            going - overdue,
        )
    note = {"run": run.run, "expired": "retention_days"}
    return rewrite.remove(store, bucket, application.id, handle, _before(limit), note)


def _before(limit: datetime) -> rewrite.Rows:
    return "start_time < $limit::TIMESTAMPTZ", {"limit": limit.isoformat()}, ["start_time"]


def _started(
    store: ObjectStore, bucket: str, application: str, files: Iterable[table.TableFile], limit: datetime
) -> int:
    """How many sessions in these files started before a time."""
    old = [file for file in files if file.first and file.first < limit]
    return sum(rewrite.counted(store, bucket, application, old, _before(limit)).values())


def tidy(
    store: ObjectStore,
    bucket: str,
    application: Application,
    handle: DeltaTable,
    now: datetime,
    *,
    anyway: bool = False,
) -> None:
    """Merges small files and deletes old ones, where there are enough of them. Raises `table.Overtaken`.

    At the end, and without `anyway`, raises `brakes.Held` if old files that no commit mentions have sessions that are
    missing from the table.
    """
    id = application.id
    months: dict[str, list[table.TableFile]] = {}
    for file in table.files(handle):
        months.setdefault(file.month, []).append(file)
    for month, files in months.items():
        large = sum(file.bytes >= table.MERGED_BYTES // 2 for file in files)
        # A month is always written whole, so a large month may wait longer.
        if len(files) - large >= SMALL_FILES * (1 + large):
            rewrite.rewrite(store, bucket, id, handle, [month], {"merged": month})
    held = None
    old = table.vacuum(handle, int(KEEP_FILES.total_seconds() // 3600))
    try:
        _delete(store, bucket, application, {f"tables/{id}/{path}" for path in old}, now, anyway=anyway)
    except brakes.Held as brake:
        held = brake
    if handle.version() - _checkpoint(store, id) >= COMMITS:
        # Entries that the log will soon forget.
        ledger.adopt(store, id, handle.history(), now)
        handle.create_checkpoint()
        handle.cleanup_metadata()
    if held is not None:
        raise held


def _delete(
    store: ObjectStore, bucket: str, application: Application, keys: Collection[str], now: datetime, *, anyway: bool
) -> None:
    """Deletes data files that no commit mentions: a writer that was overtaken or killed left them.

    Raises `brakes.Held`, unless `anyway`, when they have sessions that the table should have: its log lost commits.
    """
    if not keys:
        return
    id = application.id
    look = damage.look(store, bucket, id, ())
    look.orphans = [one for one in look.orphans if one[0] in keys]
    limit = (now - timedelta(days=application.retention_days)).isoformat()
    if not anyway and lost(store, bucket, look, damage.forgotten(store), limit)[0]:
        raise brakes.Held(
            f"{id}: old files that no commit mentions have sessions that the table does not have: nothing was "
            f"deleted; {damage.REPAIR}; to delete them, run the command again with {brakes.ANYWAY}"
        )
    for key, _ in look.orphans:
        with suppress(FileNotFoundError):  # another run deleted it
            store.delete(key)


def _checkpoint(store: ObjectStore, application: str) -> int:
    """The version of the last checkpoint. The library writes checkpoints, but not after all kinds of commits."""
    try:
        found = json.loads(bytes(store.get(f"tables/{application}/_delta_log/_last_checkpoint").bytes()))
    except (FileNotFoundError, ValueError):  # the next checkpoint replaces a damaged one
        return 0
    return int(found["version"])


def books(store: ObjectStore, bucket: str, applications: Iterable[str], now: datetime) -> None:
    """Adds up old ledger entries, if there are enough of them."""
    if not ledger.foldable(store, now):
        return
    for id in applications:
        if (handle := table.load(bucket, id)) is not None:
            ledger.adopt(store, id, handle.history(), now)
    ledger.fold(store, now)


def expire_quarantine(store: ObjectStore, now: datetime, *, anyway: bool = False) -> int:
    """Deletes objects that were quarantined 30 days ago or earlier, and returns how many.

    Raises `brakes.Held` if it would delete more than a tenth that the last run should have deleted already.
    """
    since = {meta["path"]: meta["last_modified"] for page in store.list("quarantine/") for meta in page}
    old = [key for key, changed in since.items() if changed < now - KEEP_QUARANTINE]
    if not old:
        return 0
    if not anyway:
        last = brakes.last_run(store, now) or now
        overdue = sum(changed < last - KEEP_QUARANTINE - SLACK for changed in since.values())
        brakes.check_amount("of the quarantined objects", len(old), len(since), len(old) - overdue)
    store.delete(old)
    return len(old)
