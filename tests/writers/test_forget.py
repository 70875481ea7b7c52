"""Deleting a person: nothing of them is left anywhere, and nothing of anybody else is gone."""

import subprocess
import sys
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import raw, table
from reports.writers import compact as compaction
from reports.writers import rewrite
from reports.writers.compact import compact
from reports.writers.forget import ForgetError, forget
from reports.writers.search import search
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
    rewrite.rewrite(store, bucket, "notes", handle, ["2026-03"], {})
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
    marked = f"forgotten/{sha256(GONE.encode()).hexdigest()}"
    assert keys(store, "forgotten/") == [marked] == list(result.found)
    found = result.found[marked]
    assert (found["row"], found["raw session"], found["quarantined object"]) == (6, 3, 2)

    again = forget(store, bucket, [GONE])
    assert (again.rows, again.raw_sessions, again.quarantined, again.old_files) == ({"notes": 0, "other": 0}, 0, 0, 0)
    assert rows(bucket) == before


def test_each_id_is_told_apart_and_one_without_data_is_marked_too(store: ObjectStore, bucket: str) -> None:
    keep(store, *(session(number, user=number % 2) for number in range(5)))
    compact(store, bucket, REGISTRY)
    batch(store, session(10, user=0), session(11, user=1), session(12, user=1))
    ids = [uuid(1_000_001), uuid(1_000_009), uuid(1_000_000)]
    found = forget(store, bucket, ids).found
    assert list(found) == [f"forgotten/{sha256(id.encode()).hexdigest()}" for id in ids]
    assert list(found.values()) == [
        {"row": 2, "raw session": 2, "old file": 1}, {}, {"row": 3, "raw session": 1, "old file": 1},
    ]  # fmt: skip
    assert keys(store, "forgotten/") == sorted(found)


def test_a_deletion_code_stands_for_the_id_that_nobody_has_to_show(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1, user=1), session(2, user=2))
    compact(store, bucket, REGISTRY)
    batch(store, session(3, user=1), session(4, user=2))
    store.put("quarantine/raw/v1/notes/2026-03-04/x.json.gz", GONE.upper().encode())
    code = sha256(GONE.encode()).hexdigest()
    result = forget(store, bucket, [code.upper(), GONE])
    assert (result.people, result.rows, result.raw_sessions, result.quarantined) == (1, {"notes": 1}, 1, 1)
    assert where(bucket, GONE) == [] and where(bucket, STAYS)
    assert keys(store, "forgotten/") == [f"forgotten/{code}"]
    keep(store, session(5, user=1))
    assert compact(store, bucket, REGISTRY).applications["notes"].forgotten == 1


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
    judge, judged = compaction.judge, []

    def late(*args: object) -> object:
        found = judge(*args)  # type: ignore[arg-type]
        if not judged:
            # After the markers were read, before the commit: the deletion finds nobody in the table.
            assert forget(store, bucket, [GONE]).rows == {"notes": 0}
        judged.append(found)
        return found

    monkeypatch.setattr(compaction, "judge", late)
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
    result = forget(
        store, bucket, [f" {uuid(1_000_000 + number).upper()}\n" for number in range(40)] + ["", "\n"], anyway=True
    )
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
    monkeypatch.setattr("reports.storage.mirror.local", lambda store: None)
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


BOUNDED = """
import resource, sys
from ingest.function.bucket_url import open_bucket
from reports.writers.forget import forget
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = forget(open_bucket(sys.argv[1]), sys.argv[1], [sys.argv[2]])
print(result.quarantined, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["large", "bomb"])
def test_memory_is_bounded_whatever_lies_in_quarantine(store: ObjectStore, bucket: str, kind: str) -> None:
    user = uuid(1_000_001)
    path = Path(bucket) / "quarantine/raw/v1/notes/2026-03-04/x.json.gz"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        member = zlib.compressobj(9, wbits=31)
        for _ in range(400):
            piece = b" " * (1 << 20)
            file.write(piece if kind == "large" else member.compress(piece))
        end = f'{{"userId":"{user}"}}'.encode()
        file.write(end if kind == "large" else member.compress(end) + member.flush())
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, bucket, user], capture_output=True, encoding="utf-8", check=True
    )
    quarantined, megabytes = map(int, done.stdout.split())
    assert quarantined == 1 and not path.exists()
    assert megabytes < 200, "it is held in memory as a whole"


@pytest.mark.parametrize("where", ["part-0.parquet#1", "x.json.gz#2"])
def test_what_a_killed_writer_left_by_half_is_searched(store: ObjectStore, bucket: str, where: str) -> None:
    keep(store, session(1, user=1), session(2, user=2))
    compact(store, bucket, REGISTRY)
    (written,) = Path(bucket).glob("tables/notes/month=*/*.parquet")
    whole = written.with_name(where)
    whole.write_bytes(written.read_bytes() if "parquet" in where else zlib.compress(uuid(1_000_001).encode(), wbits=31))
    half = written.with_name("part-1.parquet#1")
    half.write_bytes(written.read_bytes()[:100])
    other = Path(bucket) / "ledger/x.json#1"
    other.write_bytes(b"of nobody")
    assert forget(store, bucket, [uuid(1_000_001)]).old_files >= 2
    assert not whole.exists() and not half.exists() and other.exists()


def test_an_id_that_lies_across_two_pieces_is_found() -> None:
    user = uuid(1_000_001).encode()
    person = frozenset([sha256(user).hexdigest()])
    text = b"x" * 50 + user + b"y" * 50
    for at in range(1, len(text)):
        assert search([text[:at], text[at:]], person).people == person
    packed = zlib.compress(text, wbits=31)
    assert search([packed[:7], packed[7:]], person).people == person
    assert not search([packed], frozenset([sha256(uuid(5).encode()).hexdigest()])).people
    assert not search([packed[:-9]], person).whole


def test_two_deletions_at_once_both_end_well(store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        keep(store, session(number, user=number))
        compact(store, bucket, REGISTRY)
    counted, begun = rewrite.counted, []

    def late(*given: Any) -> dict[str, int]:
        if not begun:
            begun.append(True)
            # Of the files that the first one has seen, some are gone when it reads them.
            forget(store, bucket, [uuid(1_000_002)])
        return counted(*given)

    monkeypatch.setattr(rewrite, "counted", late)
    assert forget(store, bucket, [GONE]).rows == {"notes": 1}
    assert [row["user_id"] for row in rows(bucket)] == [uuid(1_000_000), uuid(1_000_003)]
