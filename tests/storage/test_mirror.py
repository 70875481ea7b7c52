"""Local copies: fetched once, noticed when damaged, seen by nobody else."""

import io
import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore import Bytes
from obstore.store import LocalStore, MemoryStore

from ingest.function.bucket_url import open_bucket
from reports.storage import leases
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns, directory, home, local, mirror, prune
from tests.messages import numbers

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
    assert [path for path in directory(BUCKET).rglob("*") if path.is_file() and "in-use" not in str(path)] == []


def test_an_object_of_another_size_than_the_table_says_is_an_error(store: MemoryStore) -> None:
    with pytest.raises(OSError) as raised:
        mirror(store, BUCKET, [(OBJECTS[0][0], 7)])
    before, _, after = str(raised.value).partition(OBJECTS[0][0])
    assert (numbers(before), numbers(after)) == ([], ["6", "7"])


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
    found = {path for path in directory(BUCKET).rglob("*") if path.is_file() and "in-use" not in str(path)}
    assert {path for path in found if path.suffix != ".sha256"} == {
        second, fetching,
    }  # fmt: skip
    assert not first.with_name(first.name + ".sha256").exists()
    assert mirror(store, BUCKET, OBJECTS) == [second, first]


def test_nothing_wanted_is_nothing_fetched(store: MemoryStore) -> None:
    assert mirror(store, BUCKET, []) == []


# Some columns only

LARGE, SMALL = "tables/notes/month=2026-03/large.parquet", "tables/notes/month=2026-03/small.parquet"
IDS = [f"{number:036}" for number in range(40_000)]


class Counting(MemoryStore):
    """Adds up the bytes that are asked for."""

    asked = 0

    def get_range(self, path: str, **options: int) -> Bytes:  # type: ignore[override]
        self.asked += options["length"]
        return super().get_range(path, **options)


@pytest.fixture
def parquet() -> tuple[Counting, list[tuple[str, int]]]:
    """A store with a large file and a small one, and what a table would say of them."""
    store = Counting()
    for key, count in ((LARGE, 40_000), (SMALL, 10)):
        rest, lists = [os.urandom(50).hex() for _ in range(count)], [[id] for id in IDS[:count]]
        events = [[{"at": number, "rest": text}] for number, text in enumerate(rest)]
        rows = pa.table({"id": IDS[:count], "time": range(count), "rest": rest, "list": lists, "events": events})
        file = io.BytesIO()
        pq.write_table(rows, file, row_group_size=15_000)
        store.put(key, file.getvalue())
    return store, [(key, store.head(key)["size"]) for key in (SMALL, LARGE)]


def test_of_a_large_file_only_the_columns_that_are_asked_for_come(
    parquet: tuple[Counting, list[tuple[str, int]]],
) -> None:
    store, objects = parquet
    small, large = columns(store, BUCKET, objects, ["id", "time"])
    assert pq.read_table(large, partitioning=None).to_pydict() == {"id": IDS, "time": list(range(40_000))}
    assert small.read_bytes() == bytes(store.get(SMALL).bytes())
    assert store.asked < objects[1][1] / 2
    assert stat.S_IMODE(large.stat().st_mode) == 0o600
    store.delete([LARGE, SMALL])
    assert columns(store, BUCKET, objects, ["id", "time"]) == [small, large]


def test_where_the_whole_file_is_no_columns_are_fetched(parquet: tuple[Counting, list[tuple[str, int]]]) -> None:
    store, objects = parquet
    whole = mirror(store, BUCKET, objects)
    assert columns(store, BUCKET, objects, ["id", "time"]) == whole
    assert store.asked == 0


def test_other_columns_of_a_file_are_another_copy(parquet: tuple[Counting, list[tuple[str, int]]]) -> None:
    store, objects = parquet
    _, times = columns(store, BUCKET, objects, ["id", "time"])
    _, lists = columns(store, BUCKET, objects, ["list"])
    assert pq.read_table(lists, partitioning=None).to_pydict() == {"list": [[id] for id in IDS]}
    assert pq.read_table(times, partitioning=None).column_names == ["id", "time"]


def test_a_part_of_a_column_can_be_asked_for(parquet: tuple[Counting, list[tuple[str, int]]]) -> None:
    store, objects = parquet
    _, times = columns(store, BUCKET, objects, ["id", "events.list.element.at"])
    found = pq.read_table(times, partitioning=None).slice(0, 2).to_pydict()
    assert found == {"id": IDS[:2], "events": [[{"at": 0}], [{"at": 1}]]}
    assert store.asked < objects[1][1] / 2


def test_damaged_columns_are_fetched_again(parquet: tuple[Counting, list[tuple[str, int]]]) -> None:
    store, objects = parquet
    _, large = columns(store, BUCKET, objects, ["id", "time"])
    content = large.read_bytes()
    large.write_bytes(content.replace(IDS[7].encode(), IDS[8].encode()))
    assert columns(store, BUCKET, objects, ["id", "time"])[1].read_bytes() == content


def test_columns_go_with_their_file_and_when_the_whole_file_comes(
    parquet: tuple[Counting, list[tuple[str, int]]],
) -> None:
    store, objects = parquet
    _, large = columns(store, BUCKET, objects, ["id", "time"])
    prune(store, BUCKET, "notes", [LARGE])
    assert large.exists()
    (whole,) = mirror(store, BUCKET, objects[1:])
    prune(store, BUCKET, "notes", [LARGE])
    assert whole.exists() and [path for path in large.parent.iterdir() if large.name in path.name] == []
    whole.unlink()
    columns(store, BUCKET, objects, ["id", "time"])
    prune(store, BUCKET, "notes", [])
    assert [path for path in large.parent.iterdir() if path.is_file()] == []


READER = """
import sys
from pathlib import Path
from reports.storage import leases
leases.use(Path(sys.argv[1]), sys.argv[2:])
print("reads", flush=True)
sys.stdin.readline()
"""


def test_a_copy_that_another_command_reads_stays_until_it_ends(store: MemoryStore) -> None:
    (path,) = mirror(store, BUCKET, OBJECTS[:1])
    root = directory(BUCKET)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(root), OBJECTS[0][0]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert reader.stdout is not None and reader.stdout.readline() == "reads\n"
    assert prune(store, BUCKET, "notes", []) == 1
    assert path.exists()
    reader.communicate("\n")
    assert prune(store, BUCKET, "notes", []) == 0
    assert not path.exists()
    # What ended left its name behind, and that is gone, too.
    assert len(list((root / "in-use").iterdir())) == 1


@pytest.mark.slow
def test_a_copy_is_not_deleted_between_the_look_at_it_and_its_use(store: MemoryStore) -> None:
    root = directory(BUCKET)
    mirror(store, BUCKET, OBJECTS[:1])
    with leases.deleting(root, lambda name: True) as read:
        assert read == frozenset()
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(root), OBJECTS[0][0]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        assert reader.stdout is not None
        # It waits: nothing is said to be read while something is deleted.
        assert select.select([reader.stdout], [], [], 2)[0] == []
    assert reader.stdout.readline() == "reads\n"
    reader.communicate("\n")


@pytest.mark.parametrize("first", ["mirror", "spill"])
def test_copies_and_spilled_rows_are_their_owners_alone_in_every_order(
    store: MemoryStore, cache: Path, first: str
) -> None:
    before = os.umask(0o022)
    try:
        steps = [lambda: mirror(store, BUCKET, OBJECTS[:1]), lambda: open_duckdb().close()]
        for step in steps if first == "mirror" else reversed(steps):
            step()
    finally:
        os.umask(before)
    for path in [home(), *home().iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_directory_that_others_could_read_is_made_private(store: MemoryStore, cache: Path) -> None:
    home().mkdir(parents=True)
    home().chmod(0o755)
    open_duckdb().close()
    assert stat.S_IMODE(home().stat().st_mode) == 0o700
