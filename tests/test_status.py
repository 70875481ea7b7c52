"""What an operator is told of a bucket, and whether it adds up."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import ObjectStore

from ingest.bucket import open_bucket
from reports import raw, table, warehouse
from reports.compact import compact
from reports.forget import forget
from reports.requeue import requeue
from reports.status import Waiting, status, verify
from tests.buckets import NOTES, NOW, REGISTRY, batch, content, keep, keys, registry, rows, session, uuid

NEWER = registry(NOTES + '[attributes.shiny]\ntype = "string"\nwhy = "New"\n')
FOLDER = "raw/v1/notes/2026-03-04/"


@pytest.fixture
def store(bucket: str) -> Iterator[ObjectStore]:
    return open_bucket(bucket)


def test_an_empty_bucket_is_told_to_run(store: ObjectStore, bucket: str) -> None:
    found = status(store, bucket, REGISTRY)
    assert (found.raw, found.tables, found.quarantined, found.runs) == ({}, {}, 0, [])
    assert found.verdict == ["no compaction has run yet: run `abaculus compact`, and schedule the workflow"]


def test_a_bucket_where_all_is_well_has_no_verdict(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1), session(2, start=NOW - timedelta(days=9), attributes={"foo": 1}))
    compact(store, bucket, REGISTRY)
    found = status(store, bucket, REGISTRY)
    stored = found.tables["notes"]
    assert (stored.rows, stored.files, stored.months, stored.version) == (2, 2, ["2026-02", "2026-03"], 1)
    assert stored.bytes > 0
    assert found.left_out == {"notes": {"attributes.foo": 1}}
    assert len(found.runs) == 1
    assert found.verdict == []


def test_what_waits_is_counted_and_when_it_is_late_said(store: ObjectStore, bucket: str) -> None:
    compact(store, bucket, REGISTRY)
    (key,) = keep(store, session(1))
    found = status(store, bucket, REGISTRY)
    size = len(bytes(store.get(key).bytes()))
    assert found.raw == {"notes": Waiting(1, size, found.raw["notes"].oldest)}
    assert found.verdict == []
    (late,) = status(store, bucket, REGISTRY, now=datetime.now(UTC) + timedelta(days=2)).verdict
    assert late.startswith("notes: raw sessions wait since 2")


def test_what_is_odd_is_said_with_what_to_do(store: ObjectStore, bucket: str) -> None:
    batch(store, session(1, attributes={"shiny": "x"}), session(2), known=NEWER)
    store.put(f"{FOLDER}x.json.gz", b"broken")
    store.put("raw/v1/other/2026-03-04/x.json.gz", b"")
    compact(store, bucket, REGISTRY)
    found = status(store, bucket, REGISTRY)
    assert found.waiting_for_registry == {"notes": 2}
    assert found.quarantined == 1
    assert [line.split(":")[0] for line in found.verdict] == ["notes", "other", "1 objects in quarantine/"]
    json.dumps(vars(found), default=vars)


def test_a_run_that_failed_is_said(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    keep(store, session(2))
    with pytest.raises(table.TableError):
        compact(store, bucket, registry(NOTES.replace('"number"', '"string"')))
    assert "failed: TableError: notes: attributes.memory is double" in status(store, bucket, REGISTRY).verdict[0]


# Does it add up?


def filled(store: ObjectStore, bucket: str) -> None:
    """Everything that changes the number of rows."""
    short = registry(NOTES.replace('name = "Notes"', 'name = "Notes"\nretention_days = 30'))
    now = datetime.now(UTC)
    keep(store, *(session(number, user=number, start=now) for number in range(5)), ingested=now)
    keep(store, session(10, start=now - timedelta(days=60)), ingested=now)
    compact(store, bucket, short)
    keep(store, session(1, start=now), session(11, start=now), ingested=now)
    compact(store, bucket, short)
    forget(store, bucket, [session(user=2)["userId"]])


def test_a_bucket_that_nobody_touched_adds_up(store: ObjectStore, bucket: str) -> None:
    assert verify(store, bucket, REGISTRY) == []
    filled(store, bucket)
    assert len(rows(bucket)) == 5
    assert verify(store, bucket, REGISTRY) == []


def test_a_run_that_was_killed_before_its_entry_adds_up(store: ObjectStore, bucket: str) -> None:
    filled(store, bucket)
    keep(store, session(50))
    entry = compact(store, bucket, REGISTRY)
    store.delete(f"ledger/{entry.run}.json")
    assert verify(store, bucket, REGISTRY) == []


def test_a_row_too_many_or_too_few_is_found(store: ObjectStore, bucket: str) -> None:
    filled(store, bucket)
    handle = table.load(bucket, "notes")
    assert handle is not None
    handle.delete(f"session_id = '{uuid(1)}'")
    assert verify(store, bucket, REGISTRY) == [
        "notes: the ledger has 5 sessions, the table 4; was either changed by hand?"
    ]


def test_a_session_that_is_there_twice_is_found(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    handle = table.load(bucket, "notes")
    assert handle is not None
    again = table.pa.table(handle.to_pyarrow_table())
    table.append(handle, again, 2, {"run": "by hand", "stored": "1"})
    assert verify(store, bucket, REGISTRY) == [
        "notes: 1 rows are of sessions that are there already; report this as a bug"
    ]


def test_a_missing_file_and_a_missing_table_are_found(store: ObjectStore, bucket: str) -> None:
    filled(store, bucket)
    handle = table.load(bucket, "notes")
    assert handle is not None
    Path(handle.file_uris()[0]).unlink()
    assert "notes: 1 files are missing or damaged" in verify(store, bucket, REGISTRY)[0]
    store.delete(keys(store, "tables/"))
    assert verify(store, bucket, REGISTRY) == [
        "notes: the ledger has 5 sessions, but there is no table; restore tables/notes/"
    ]


def test_a_bucket_restored_from_a_copy_goes_on_where_it_was(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    filled(store, bucket)
    keep(store, session(60))
    restored = str(tmp_path / "restored")
    copy = open_bucket(restored)
    for key in keys(store):
        copy.put(key, bytes(store.get(key).bytes()))
    keep(copy, session(61), session(1))
    compact(copy, restored, REGISTRY)
    assert len(rows(restored)) == len(rows(bucket)) + 2
    assert verify(copy, restored, REGISTRY) == []


def test_a_deletion_is_no_compaction_run(store: ObjectStore, bucket: str) -> None:
    filled(store, bucket)
    assert len(keys(store, "ledger/")) == 3
    assert len(warehouse.fetch(store, bucket, REGISTRY).ledger) == 2
    assert len(status(store, bucket, REGISTRY).runs) == 2


# Back from quarantine


def test_what_was_set_aside_is_put_back_byte_for_byte_and_stored_once_mended(store: ObjectStore, bucket: str) -> None:
    store.put(f"{FOLDER}x.json.gz", b"broken")
    keep(store, session(1))
    line = content(store, keys(store, FOLDER)[0])
    store.put(f"{FOLDER}y.ndjson.gz", raw.zlib.compress(line.replace(uuid(1).encode(), b"odd"), wbits=31))
    compact(store, bucket, REGISTRY)
    note = json.loads(content(store, f"quarantine/{FOLDER}y.ndjson.gz.line-1.reason.json"))
    assert note["again"] == f"abaculus requeue quarantine/{FOLDER}y.ndjson.gz.line-1"
    back = requeue(store)
    assert keys(store, "quarantine/") == []
    assert sorted(back) == keys(store, "raw/")
    assert bytes(store.get(f"{FOLDER}x.json.gz").bytes()) == b"broken"
    (mended,) = [key for key in back if "requeued" in key]
    store.put(mended, raw.zlib.compress(content(store, mended).replace(b"odd", uuid(2).encode()), wbits=31))
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert (counts.stored, counts.quarantined) == (1, 1)


def test_one_of_several_is_put_back(store: ObjectStore, bucket: str) -> None:
    for name in ("x", "y"):
        store.put(f"{FOLDER}{name}.json.gz", b"broken")
    compact(store, bucket, REGISTRY)
    assert requeue(store, [f"quarantine/{FOLDER}x.json.gz"]) == [f"{FOLDER}x.json.gz"]
    assert keys(store, "quarantine/") == [f"quarantine/{FOLDER}y.json.gz{end}" for end in ("", ".reason.json")]
    with pytest.raises(FileNotFoundError, match="z is not in quarantine"):
        requeue(store, ["quarantine/z"])


def test_a_session_that_was_sent_again_meanwhile_is_not_overwritten(store: ObjectStore, bucket: str) -> None:
    (key,) = keep(store, session(1))
    sound = bytes(store.get(key).bytes())
    store.put(key, b"broken")
    compact(store, bucket, REGISTRY)
    store.put(key, sound)
    assert requeue(store) == [f"{key}.requeued"]
    assert bytes(store.get(key).bytes()) == sound
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert (counts.stored, counts.quarantined) == (1, 1)
