"""Which sessions a table has: all that were asked for and no others, wherever in it they are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import table
from reports.storage.stored_ids import scan
from reports.writers import rewrite
from reports.writers.compact import compact
from tests.buckets import NOW, REGISTRY, keep, session, uuid

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


def handle(bucket: str) -> DeltaTable:
    found = table.load(bucket, "notes")
    assert found is not None
    return found


def asked(store: ObjectStore, bucket: str, *numbers: int) -> dict[str, datetime]:
    """What is found of sessions with these numbers."""
    ids = pa.chunked_array([[uuid(number)] for number in numbers], pa.string())
    found = scan(store, bucket, "notes")(handle(bucket), ids)
    assert found.schema.names == ["session_id", "ingestion_time"]
    return dict(zip(found["session_id"].to_pylist(), found["ingestion_time"].to_pylist(), strict=True))


def test_those_that_are_there_are_found_in_any_file_and_month_and_no_others(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1), session(2, start=NOW - timedelta(days=90)))
    compact(store, bucket, REGISTRY)
    keep(store, session(3, start=LATER), ingested=LATER)
    compact(store, bucket, REGISTRY)
    assert asked(store, bucket, 1, 2, 3, 4) == {uuid(1): NOW, uuid(2): NOW, uuid(3): LATER}
    assert asked(store, bucket, 3) == {uuid(3): LATER}
    assert asked(store, bucket) == {}


def test_of_rows_of_one_session_the_first_to_be_ingested_counts(store: ObjectStore, bucket: str) -> None:
    """A table that was written by hand, or by a version with a fault, may have some."""
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    found = handle(bucket)
    rows = pa.table(found.to_pyarrow_table())
    at = rows.schema.get_field_index("ingestion_time")
    later = rows.set_column(at, rows.schema.field(at), pa.array([LATER], table.UTC))
    table.append(found, later, table.sequence(found) + 1, {})
    assert asked(store, bucket, 1) == {uuid(1): NOW}


def test_a_table_without_rows_has_none(store: ObjectStore, bucket: str) -> None:
    table.load_or_create(bucket, REGISTRY["notes"])
    assert asked(store, bucket, 1) == {}


def test_what_was_merged_or_written_since_the_last_question_is_found(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    known = scan(store, bucket, "notes")
    ids = pa.chunked_array([[uuid(1), uuid(2)]])
    assert known(handle(bucket), ids).num_rows == 1
    keep(store, session(2))
    compact(store, bucket, REGISTRY)
    rewrite.rewrite(store, bucket, "notes", handle(bucket), [f"{NOW:%Y-%m}"], {})
    assert known(handle(bucket), ids).num_rows == 2


def test_who_looks_can_be_given(store: ObjectStore, bucket: str) -> None:
    def everything(found: DeltaTable, ids: pa.ChunkedArray) -> pa.Table:
        assert found.version() == 0
        times = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * len(ids), table.UTC)
        return pa.table({"session_id": ids, "ingestion_time": times})

    keep(store, session(1), session(2))
    counts = compact(store, bucket, REGISTRY, known=everything).applications["notes"]
    assert (counts.sessions, counts.stored, counts.repeated) == (2, 0, 2)
    assert not list(Path(bucket.removeprefix("file://")).glob("tables/notes/month=*"))
