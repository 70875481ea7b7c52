"""What an operator is told of a bucket, and whether it adds up."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from ingest.function.session_format import timestamp
from reports.operations.status import Waiting, status, verify
from reports.query.snapshot import fetch
from reports.storage import table
from reports.writers.compact import Unfinished, compact
from reports.writers.forget import forget
from tests.buckets import ANY_TIME, NOTES, NOW, REGISTRY, batch, keep, keys, registry, rows, session, uuid
from tests.messages import mentions, numbers

NEWER = registry(NOTES + '[attributes.shiny]\ntype = "string"\nwhy = "New"\n')
FOLDER = "raw/v1/notes/2026-03-04/"


@pytest.fixture
def store(bucket: str) -> Iterator[ObjectStore]:
    return open_bucket(bucket)


def test_an_empty_bucket_is_told_to_run(store: ObjectStore, bucket: str) -> None:
    found = status(store, bucket, REGISTRY)
    assert (found.raw, found.tables, found.quarantined, found.runs) == ({}, {}, 0, [])
    (said,) = found.verdict
    assert mentions(said, "abaculus compact", "workflow")


def test_a_bucket_where_all_is_well_has_no_verdict(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1), session(2, start=NOW - timedelta(days=9), attributes={"foo": 1}))
    compact(store, bucket, REGISTRY)
    found = status(store, bucket, REGISTRY)
    stored = found.tables["notes"]
    assert (stored.rows, stored.files, stored.months, stored.version) == (2, 2, ["2026-02", "2026-03"], 1)
    assert stored.bytes > 0
    (left_out,) = [one for one in found.hints if one.topic == "left out"]
    assert (left_out.about, left_out.sessions, left_out.versions) == ("attributes.foo", 1, ["1.2.3"])
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
    assert late.startswith("notes: ")
    assert mentions(late, found.raw["notes"].oldest)


def test_what_is_odd_is_said_with_what_to_do(store: ObjectStore, bucket: str) -> None:
    batch(store, session(1, attributes={"shiny": "x"}), session(2), known=NEWER)
    store.put(f"{FOLDER}x.json.gz", b"broken")
    store.put("raw/v1/other/2026-03-04/x.json.gz", b"")
    compact(store, bucket, REGISTRY)
    found = status(store, bucket, REGISTRY)
    assert found.waiting_for_registry == {"notes": 2}
    assert found.quarantined == 1
    assert [line.split(":")[0] for line in found.verdict] == ["notes", "other", "1 object in quarantine/"]
    json.dumps(vars(found), default=vars)


def test_a_run_that_failed_is_said(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    keep(store, session(2))
    with pytest.raises(Unfinished):
        compact(store, bucket, registry(NOTES.replace('"number"', '"string"')))
    assert mentions(status(store, bucket, REGISTRY).verdict[0], "attributes.memory", "number", "string")


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
    (fault,) = verify(store, bucket, REGISTRY)
    assert fault.startswith("notes: ")
    assert numbers(fault) == ["5", "4"]
    assert status(store, bucket, REGISTRY).verdict == [fault]


def test_a_session_that_is_there_twice_is_found(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    handle = table.load(bucket, "notes")
    assert handle is not None
    again = table.pa.table(handle.to_pyarrow_table())
    table.append(handle, again, 2, {"run": "by hand", "stored": "1"})
    (fault,) = verify(store, bucket, REGISTRY)
    assert fault.startswith("notes: ")
    assert numbers(fault) == ["1"]


def test_a_missing_file_and_a_missing_table_are_found(store: ObjectStore, bucket: str) -> None:
    filled(store, bucket)
    handle = table.load(bucket, "notes")
    assert handle is not None
    Path(handle.file_uris()[0]).unlink()
    (fault,) = verify(store, bucket, REGISTRY)
    assert fault.startswith("notes: ")
    assert numbers(fault)[0] == "1" and "part-00000" in fault
    store.delete(keys(store, "tables/"))
    (fault,) = verify(store, bucket, REGISTRY)
    assert numbers(fault) == ["5"]
    assert status(store, bucket, REGISTRY).verdict == [fault]


def emptied(bucket: str) -> None:
    """Has the last commit of the log say nothing, as a disk that was full may leave it."""
    max((Path(bucket) / "tables/notes/_delta_log").glob("*.json")).write_bytes(b"")


def restored(bucket: str) -> None:
    """Puts an older table beside a newer ledger, as a backup of some hours ago does."""
    log = sorted((Path(bucket) / "tables/notes/_delta_log").glob("*.json"))
    for path in log[-2:]:
        path.unlink()


@pytest.mark.parametrize("lose", [emptied, restored])
def test_status_and_verify_agree_about_commits_that_are_lost(
    store: ObjectStore, bucket: str, lose: Callable[[str], None]
) -> None:
    for number in range(4):
        keep(store, session(number))
        compact(store, bucket, REGISTRY)
    lose(bucket)
    faults = verify(store, bucket, REGISTRY)
    assert [fault.split(":")[0] for fault in faults] == ["notes"]
    assert status(store, bucket, REGISTRY).verdict == faults


def test_a_table_without_a_registry_file_is_listed_as_an_orphan(store: ObjectStore, bucket: str) -> None:
    known = registry(NOTES, NOTES.replace('id = "notes"', 'id = "other"'))
    keep(store, session(1), session(2, applicationId="other"), known=known)
    compact(store, bucket, known)
    assert status(store, bucket, known).verdict == []
    found = status(store, bucket, REGISTRY)
    assert found.tables["other"].rows == 1
    (line,) = found.verdict
    assert line.startswith("other: ")


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
    assert len(fetch(store, bucket, REGISTRY).ledger) == 2
    assert len(status(store, bucket, REGISTRY).runs) == 2


def test_sessions_events_and_spans_whose_times_cannot_be_are_counted(store: ObjectStore, bucket: str) -> None:
    then = [{"type": "Opened", "time": "2099-01-01T00:00:00Z"}, {"type": "Opened", "time": timestamp(NOW)}]
    long = [{"type": "Save", "startTime": "1970-01-01T00:00:00Z", "endTime": timestamp(NOW)}]
    sessions = [
        session(1),
        session(2, sessionEndTime="8000-12-31T23:59:59Z"),
        session(3, events=then),
        session(4, spans=long),
        session(5, start=NOW + timedelta(hours=1), events=then),  # counted with its session
    ]
    keep(store, *sessions, settings=ANY_TIME)
    compact(store, bucket, REGISTRY)
    found = status(store, bucket, REGISTRY)
    (clock,) = [one for one in found.hints if one.topic == "clock"]
    assert (clock.sessions, numbers(clock.what)) == (2, ["2", "1", "1"])
    assert found.verdict == [], "nothing is to be done"
    assert found.runs[0]["applications"]["notes"]["clock_suspect"] == 2


def test_a_bucket_whose_times_can_be_has_nothing_suspect(store: ObjectStore, bucket: str) -> None:
    edges = [NOW - timedelta(days=400), NOW + timedelta(hours=24)]
    events = [{"type": "Opened", "time": timestamp(time)} for time in edges]
    spans = [{"type": "Save", "startTime": timestamp(edges[0]), "endTime": timestamp(edges[1])}]
    keep(store, session(1, sessionEndTime=timestamp(edges[1]), events=events, spans=spans))
    # Of a function that is set to take sessions of any age.
    old = NOW - timedelta(days=900)
    opened = [{"type": "Opened", "time": timestamp(old)}]
    keep(store, session(2, start=old, events=opened), settings=ANY_TIME)
    compact(store, bucket, REGISTRY)
    assert "clock" not in {one.topic for one in status(store, bucket, REGISTRY).hints}
