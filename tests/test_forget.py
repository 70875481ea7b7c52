"""Deleting a person: nothing of them is left anywhere, and nothing of anybody else is gone."""

import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from obstore.store import ObjectStore

from ingest.bucket import open_bucket
from reports import compact as compaction
from reports import raw, table, upkeep
from reports.compact import compact
from reports.forget import ForgetError, forget
from tests.buckets import NOTES, NOW, REGISTRY, batch, content, keep, keys, registry, rows, session, uuid

OTHER = NOTES.replace('"notes"', '"other"')
BOTH = registry(NOTES, OTHER)
GONE, STAYS = uuid(1_000_001), uuid(1_000_002)


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


def texts(bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every object of the bucket, unpacked."""
    for path in sorted(Path(bucket).rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data
        if path.suffix == ".parquet":
            yield str(path), str(pq.read_table(path, partitioning=None).to_pylist()).encode()
        elif data.startswith(b"\x1f\x8b"):
            try:
                yield str(path), zlib.decompressobj(wbits=31).decompress(data)
            except zlib.error:
                yield str(path), zlib.decompressobj(wbits=31).decompress(data, 100)


def where(bucket: str, user: str) -> list[str]:
    return [path for path, text in texts(bucket) if user.encode() in text]


def test_nothing_of_a_person_is_left_and_everything_of_others_is(store: ObjectStore, bucket: str) -> None:
    # In two tables, in old versions, in a file that no version has, in raw alone and among others, in quarantine.
    keep(store, *(session(number, user=number % 3) for number in range(9)))
    keep(store, session(20, user=1, applicationId="other"), known=BOTH)
    compact(store, bucket, BOTH)
    keep(store, session(30, user=1), session(31, user=2))
    compact(store, bucket, BOTH)
    handle = table.load(bucket, "notes")
    assert handle is not None
    upkeep.merge(store, bucket, "notes", handle, "2026-03")
    for path in list(Path(bucket).glob("tables/notes/month=2026-03/*.parquet")):
        path.with_name("orphan-" + path.name).write_bytes(path.read_bytes())
    folder = "raw/v1/notes/2026-03-04/"
    (key,) = keep(store, session(40, user=1))
    line = content(store, key)
    store.put(f"{folder}poison.json.gz", zlib.compress(line + line[:100] + b"\n", wbits=31))
    store.put(f"{folder}cut.json.gz", zlib.compress(line * 50, wbits=31)[:-12])
    compact(store, bucket, BOTH)
    assert keys(store, "quarantine/")
    keep(store, session(50, user=1), session(51, user=2))
    mixed = batch(store, session(52, user=1), session(53, user=2), session(54, user=1))
    before = [row for row in rows(bucket) if row["user_id"] != GONE]
    assert len(where(bucket, GONE)) > 6

    result = forget(store, bucket, [GONE])

    assert where(bucket, GONE) == []
    assert rows(bucket) == before and len(before) == 7
    assert where(bucket, STAYS)
    assert content(store, mixed).count(b"\n") == 1
    assert result.people == 1
    assert result.rows == {"notes": 5, "other": 1}
    assert result.raw_sessions == 3
    assert result.quarantined == 2
    assert result.old_files >= 3
    assert keys(store, "forgotten/") == [f"forgotten/{sha256(GONE.encode()).hexdigest()}"]

    again = forget(store, bucket, [GONE])
    assert (again.rows, again.raw_sessions, again.quarantined, again.old_files) == ({"notes": 0, "other": 0}, 0, 0, 0)
    assert rows(bucket) == before


def test_what_comes_later_is_dropped(store: ObjectStore, bucket: str) -> None:
    forget(store, bucket, [GONE])
    keep(store, session(1, user=1), session(2, user=2))
    assert compact(store, bucket, REGISTRY).applications["notes"].forgotten == 1
    assert where(bucket, GONE) == []
    assert [row["user_id"] for row in rows(bucket)] == [STAYS]


@pytest.mark.parametrize("there", [False, True], ids=["without a table", "with a table"])
def test_a_compaction_that_began_before_does_not_bring_the_person_back(
    store: ObjectStore, bucket: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        keep(store, session(10, user=2))
        compact(store, bucket, REGISTRY)
    keep(store, session(1, user=1), session(2, user=2))
    judge, judged = compaction._judge, []

    def late(*args: object) -> object:
        found = judge(*args)  # type: ignore[arg-type]
        if not judged:
            # After the markers were read, before the commit: the deletion finds nobody in the table.
            assert forget(store, bucket, [GONE]).rows == {"notes": 0}
        judged.append(found)
        return found

    monkeypatch.setattr(compaction, "_judge", late)
    counts = compact(store, bucket, REGISTRY).applications["notes"]
    assert len(judged) == 2
    assert (counts.stored, counts.forgotten) == (1, 1)
    assert [row["user_id"] for row in rows(bucket)] == [STAYS] * (1 + there)
    # The file that could not be committed is left behind; the next time finds it.
    forget(store, bucket, [GONE])
    assert where(bucket, GONE) == []


def test_the_log_names_nobody(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1, user=1), session(2, user=2))
    compact(store, bucket, REGISTRY)
    forget(store, bucket, [GONE])
    log = b"".join(path.read_bytes() for path in Path(bucket).glob("tables/notes/_delta_log/*"))
    assert GONE.encode() not in log and STAYS.encode() not in log


def test_many_people_are_removed_at_once(store: ObjectStore, bucket: str) -> None:
    batch(store, *(session(number, user=number) for number in range(50)))
    compact(store, bucket, REGISTRY)
    result = forget(store, bucket, [f" {uuid(1_000_000 + number).upper()}\n" for number in range(40)] + ["", "\n"])
    assert (result.people, result.rows) == (40, {"notes": 40})
    assert len(rows(bucket)) == 10


@pytest.mark.parametrize("users", [[], [""], ["me"], [GONE, "me@example.org"], [GONE[:-1]], ["*"]])
def test_what_is_no_user_id_stops_everything_and_is_not_repeated(
    users: list[str], store: ObjectStore, bucket: str
) -> None:
    keep(store, session(1, user=1))
    before = keys(store)
    with pytest.raises(ForgetError, match="nothing was deleted") as raised:
        forget(store, bucket, users)
    assert "example.org" not in str(raised.value)
    assert keys(store) == before


def test_an_object_that_cannot_be_read_is_named(store: ObjectStore, bucket: str) -> None:
    store.put("raw/v1/notes/2026-03-04/x.json.gz", b"\x1f\x8bbroken")
    assert forget(store, bucket, [GONE]).unreadable == ["raw/v1/notes/2026-03-04/x.json.gz"]


def test_a_bucket_without_tables_has_nobody(store: ObjectStore, bucket: str) -> None:
    assert forget(store, bucket, [GONE]).rows == {}


def test_copies_on_this_machine_go_too(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Seen as a bucket that is not a directory: its files are mirrored.
    store = open_bucket(bucket)
    monkeypatch.setattr("reports.mirror.local", lambda store: None)
    monkeypatch.setattr(raw, "local", lambda store: None)
    keep(store, session(1, user=1))
    compact(store, bucket, REGISTRY)
    keep(store, session(2, user=2, start=NOW))
    compact(store, bucket, REGISTRY)
    copies = tmp_path / "cache"
    assert any(path.suffix == ".parquet" for path in copies.rglob("*"))
    forget(store, bucket, [GONE])
    left = [
        path for path in copies.rglob("*.parquet") if GONE in str(pq.read_table(path, partitioning=None).to_pylist())
    ]
    assert left == [] and copies.is_dir()
