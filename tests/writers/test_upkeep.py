"""What keeps a bucket small loses nothing that is to stay."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import table
from reports.writers import compact as compaction
from reports.writers import rewrite, upkeep
from reports.writers.compact import compact
from tests.buckets import NOTES, NOW, REGISTRY, keep, keys, registry, rows, session, uuid

SHORT = registry(NOTES.replace('name = "Notes"', 'name = "Notes"\nretention_days = 30'))
TODAY = datetime.now(UTC)


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


def parquet(bucket: str) -> list[Path]:
    return sorted(Path(bucket).glob("tables/notes/month=*/*.parquet"))


def fill(store: ObjectStore, bucket: str, runs: int, first: int = 0) -> None:
    for number in range(first, first + runs):
        keep(store, session(number, start=NOW + timedelta(seconds=number)), ingested=NOW + timedelta(hours=1))
        compact(store, bucket, REGISTRY)


@pytest.mark.slow
def test_the_number_of_files_does_not_grow_with_the_number_of_runs(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SMALL_FILES", 9)
    most = 0
    for run in range(3 * upkeep.SMALL_FILES):
        fill(store, bucket, 1, first=run)
        handle = table.load(bucket, "notes")
        assert handle is not None
        most = max(most, len(table.files(handle)))
    assert most < upkeep.SMALL_FILES
    assert len(rows(bucket)) == 3 * upkeep.SMALL_FILES
    log = Path(bucket) / "tables/notes/_delta_log"
    assert list(log.glob("*.checkpoint.parquet"))


def test_merged_rows_are_the_rows_that_were(store: ObjectStore, bucket: str) -> None:
    bare = registry('id = "notes"\n')
    keep(store, session(100, start=NOW - timedelta(days=1)), known=bare)
    compact(store, bucket, bare)
    fill(store, bucket, 3)
    before = rows(bucket)
    handle = table.load(bucket, "notes")
    assert handle is not None
    rewrite.rewrite(store, bucket, "notes", handle, ["2026-03"], {})
    assert rows(bucket) == before
    fresh = table.load(bucket, "notes")
    assert fresh is not None and len(table.files(fresh)) == 1
    assert table.sequence(fresh) == 5


def test_of_two_merges_at_once_one_is_overtaken(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 3)
    handles = [table.load(bucket, "notes") for _ in range(3)]
    assert handles[0] is not None and handles[1] is not None and handles[2] is not None
    rewrite.rewrite(store, bucket, "notes", handles[0], ["2026-03"], {})
    with pytest.raises(table.Overtaken):
        rewrite.rewrite(store, bucket, "notes", handles[1], ["2026-03"], {})
    with pytest.raises(table.Overtaken):
        rewrite.remove(store, bucket, "notes", handles[2], ("true", {}, ["user_id"]), {})
    assert len(rows(bucket)) == 3


def test_a_month_that_is_large_is_merged_more_rarely(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, bucket, 2)
    monkeypatch.setattr(upkeep, "SMALL_FILES", 3)
    # As if both files were large.
    monkeypatch.setattr(table, "MERGED_BYTES", 2 * min(path.stat().st_size for path in parquet(bucket)))
    before = len(parquet(bucket))
    handle = table.load(bucket, "notes")
    assert handle is not None and before == 2
    upkeep.tidy(store, bucket, REGISTRY["notes"], handle, NOW)
    assert handle.version() == 2
    monkeypatch.setattr(upkeep, "SMALL_FILES", 0)
    upkeep.tidy(store, bucket, REGISTRY["notes"], handle, NOW)
    assert handle.version() == 3
    assert len(rows(bucket)) == 2


@pytest.mark.slow
def test_a_session_that_comes_again_after_a_merge_counts_once(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SMALL_FILES", 4)
    fill(store, bucket, upkeep.SMALL_FILES + 1)
    fill(store, bucket, upkeep.SMALL_FILES + 1)
    assert len(rows(bucket)) == upkeep.SMALL_FILES + 1


def test_a_merge_in_the_middle_of_a_run_changes_nothing(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, bucket, 4)
    keep(store, *(session(number) for number in range(8)), ingested=NOW + timedelta(hours=2))
    monkeypatch.setattr(compaction.raw, "CHUNK_OBJECTS", 2)
    judge = compaction.judge
    calls = []

    def merging(*args: object) -> object:
        if len(calls) == 1:
            handle = table.load(bucket, "notes")
            assert handle is not None
            rewrite.rewrite(store, bucket, "notes", handle, ["2026-03"], {})
        calls.append(args)
        return judge(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "judge", merging)
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert (counts.stored, counts.repeated) == (4, 4)
    assert sorted(row["session_id"] for row in rows(bucket)) == sorted(map(uuid, range(8)))


@pytest.mark.parametrize("name", ["bucket", "repo[1]%2F\\x"])
def test_files_that_no_version_has_go_after_a_week_and_not_before(tmp_path: Path, name: str) -> None:
    bucket = str(tmp_path / name)
    store = open_bucket(bucket)
    fill(store, bucket, 2)
    handle = table.load(bucket, "notes")
    assert handle is not None
    rewrite.rewrite(store, bucket, "notes", handle, ["2026-03"], {})
    month = Path(bucket) / "tables/notes/month=2026-03"
    old, new = month / "old.parquet", month / "new.parquet"
    for path in (old, new):
        path.write_bytes(b"left behind by a run that was killed")
    week = (TODAY - timedelta(days=8)).timestamp()
    os.utime(old, (week, week))
    compact(store, bucket, REGISTRY)
    assert not old.exists() and new.exists()
    assert len(parquet(bucket)) == 4
    assert len(rows(bucket)) == 2


def test_sessions_go_when_their_time_is_over(store: ObjectStore, bucket: str) -> None:
    starts = {1: 10, 2: 29, 3: 32, 4: 90, 5: 300}
    for number, days in starts.items():
        keep(store, session(number, start=TODAY - timedelta(days=days)), ingested=TODAY)
    counts = compact(store, bucket, SHORT).applications["notes"]
    assert (counts.stored, counts.expired) == (5, 3)
    assert sorted(row["session_id"] for row in rows(bucket)) == [uuid(1), uuid(2)]
    version = table.load(bucket, "notes").version()  # type: ignore[union-attr]
    assert compact(store, bucket, SHORT).applications == {}
    assert table.load(bucket, "notes").version() == version  # type: ignore[union-attr]


def test_what_is_set_aside_goes_after_thirty_days(store: ObjectStore, bucket: str) -> None:
    for number in (1, 2):
        store.put(f"raw/v1/notes/2026-03-04/{number}.json.gz", b"broken")
    compact(store, bucket, REGISTRY)
    old = Path(bucket) / "quarantine/raw/v1/notes/2026-03-04/1.json.gz"
    month = (TODAY - timedelta(days=30, hours=6)).timestamp()
    for path in (old, old.with_name(old.name + ".reason.json")):
        os.utime(path, (month, month))
    compact(store, bucket, REGISTRY)
    assert keys(store, "quarantine/") == [
        f"quarantine/raw/v1/notes/2026-03-04/2.json.gz{end}" for end in ("", ".reason.json")
    ]


def test_what_killed_writers_left_by_half_goes_after_a_day(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1)
    month = Path(bucket) / "tables/notes/month=2026-03"
    old, new = month / "part-00000.parquet#1", month / "part-00001.parquet#12"
    for path in (old, new):
        path.write_bytes(b"half")
    day = (TODAY - timedelta(days=2)).timestamp()
    os.utime(old, (day, day))
    compact(store, bucket, REGISTRY)
    assert not old.exists() and new.exists()
    assert len(rows(bucket)) == 1


def test_a_month_that_only_has_files_from_before_a_new_attribute_is_rewritten(store: ObjectStore, bucket: str) -> None:
    bare = registry('id = "notes"\n[attributes.osName]\ntype = "string"\nwhy = "?"\n')
    for number in (1, 2):
        keep(store, session(number, start=NOW - timedelta(days=40)), known=bare)
        compact(store, bucket, bare)
    fill(store, bucket, 1, first=50)
    before = rows(bucket)
    handle = table.load(bucket, "notes")
    assert handle is not None
    rewrite.rewrite(store, bucket, "notes", handle, ["2026-01"], {})
    assert rows(bucket) == before
    handle = table.load(bucket, "notes")
    assert handle is not None
    gone = rewrite.remove(store, bucket, "notes", handle, ("session_id = $id", {"id": uuid(1)}, ["session_id"]), {})
    assert gone == 1 and rows(bucket) == [row for row in before if row["session_id"] != uuid(1)]
