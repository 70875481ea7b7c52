"""Back from quarantine into raw/, byte for byte."""

import json

import pytest
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import raw
from reports.writers.compact import compact
from reports.writers.requeue import requeue
from tests.buckets import REGISTRY, content, keep, keys, session, uuid

FOLDER = "raw/v1/notes/2026-03-04/"


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


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
    (repaired,) = [key for key in back if "requeued" in key]
    store.put(repaired, raw.zlib.compress(content(store, repaired).replace(b"odd", uuid(2).encode()), wbits=31))
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert (counts.stored, counts.quarantined) == (1, 1)


def test_one_of_several_is_put_back(store: ObjectStore, bucket: str) -> None:
    for name in ("x", "y"):
        store.put(f"{FOLDER}{name}.json.gz", b"broken")
    compact(store, bucket, REGISTRY)
    assert requeue(store, [f"quarantine/{FOLDER}x.json.gz"]) == [f"{FOLDER}x.json.gz"]
    assert keys(store, "quarantine/") == [f"quarantine/{FOLDER}y.json.gz{end}" for end in ("", ".reason.json")]
    with pytest.raises(FileNotFoundError, match="quarantine/z"):
        requeue(store, ["quarantine/z"])


def test_a_session_that_was_sent_again_meanwhile_is_not_overwritten(store: ObjectStore, bucket: str) -> None:
    (key,) = keep(store, session(1))
    sound = bytes(store.get(key).bytes())
    store.put(key, b"broken")
    compact(store, bucket, REGISTRY)
    store.put(key, sound)
    (back,) = requeue(store)
    assert back != key and bytes(store.get(back).bytes()) == b"broken"
    assert bytes(store.get(key).bytes()) == sound
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert (counts.stored, counts.quarantined) == (1, 1)
