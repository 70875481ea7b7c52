"""Local copies: fetched once, noticed when damaged, seen by nobody else."""

import os
import stat
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from ingest.bucket import open_bucket
from reports.mirror import directory, local, mirror, prune

BUCKET = "s3://somewhere"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put("tables/notes/month=2026-01/a.parquet", b"first")
    store.put("tables/notes/month=2026-02/b.parquet", b"second")
    return store


OBJECTS = [("tables/notes/month=2026-02/b.parquet", 6), ("tables/notes/month=2026-01/a.parquet", 5)]


def test_copies_come_in_the_order_asked_for_and_keep_their_names(store: MemoryStore, cache: Path) -> None:
    paths = mirror(store, BUCKET, OBJECTS)
    assert [path.read_bytes() for path in paths] == [b"second", b"first"]
    assert [str(path.relative_to(directory(BUCKET))) for path in paths] == [key for key, _ in OBJECTS]
    assert paths[0].is_relative_to(cache)


def test_what_is_there_is_not_fetched_again(store: MemoryStore) -> None:
    first = mirror(store, BUCKET, OBJECTS)
    store.delete([key for key, _ in OBJECTS])
    assert mirror(store, BUCKET, OBJECTS) == first


@pytest.mark.parametrize("damaged", [b"", b"sec", b"second and more", b"sECOND"])
def test_a_damaged_copy_is_fetched_again(store: MemoryStore, damaged: bytes) -> None:
    path, _ = mirror(store, BUCKET, OBJECTS)
    path.write_bytes(damaged)
    assert mirror(store, BUCKET, OBJECTS)[0].read_bytes() == b"second"


def test_copies_are_their_owners_alone(store: MemoryStore) -> None:
    for path in mirror(store, BUCKET, OBJECTS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory(BUCKET).stat().st_mode) == 0o700


def test_a_fetch_that_fails_leaves_nothing_behind(store: MemoryStore) -> None:
    with pytest.raises(FileNotFoundError):
        mirror(store, BUCKET, [("tables/notes/month=2026-02/gone.parquet", 1)])
    assert [path for path in directory(BUCKET).rglob("*") if path.is_file()] == []


def test_an_object_of_another_size_than_the_table_says_is_an_error(store: MemoryStore) -> None:
    with pytest.raises(OSError, match=r"b\.parquet has 6 bytes, the table says 7"):
        mirror(store, BUCKET, [(OBJECTS[0][0], 7)])


def test_each_bucket_has_copies_of_its_own() -> None:
    assert directory("s3://a") != directory("s3://b")


def test_a_local_bucket_is_read_where_it_lies(tmp_path: Path, cache: Path) -> None:
    store = open_bucket(str(tmp_path / "bucket"))
    assert isinstance(store, LocalStore)
    store.put("tables/x", b"1")
    assert mirror(store, str(tmp_path / "bucket"), [("tables/x", 1)]) == [tmp_path / "bucket" / "tables" / "x"]
    assert not cache.exists()
    assert local(MemoryStore()) is None


def test_copies_of_files_that_the_table_no_longer_has_are_deleted(store: MemoryStore) -> None:
    second, first = mirror(store, BUCKET, OBJECTS)
    fetching, stopped = (second.with_name(f"{name}.part") for name in ("fetching", "stopped"))
    for path in (fetching, stopped):
        path.write_bytes(b"half")
    os.utime(stopped, (0, 0))
    prune(store, BUCKET, "notes", [OBJECTS[0][0]])
    assert {path for path in directory(BUCKET).rglob("*") if path.is_file() and path.suffix != ".sha256"} == {
        second, fetching,
    }  # fmt: skip
    assert not first.with_name(first.name + ".sha256").exists()
    assert mirror(store, BUCKET, OBJECTS) == [second, first]


def test_nothing_wanted_is_nothing_fetched(store: MemoryStore) -> None:
    assert mirror(store, BUCKET, []) == []
