"""The core of ingestion, compaction and reports on each kind of store that can be had here, through both libraries."""

import asyncio
import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from ingest.function import raw_object
from ingest.function.bucket_url import open_bucket
from ingest.function.session_format import parse, timestamp
from ingest.function.settings import Settings
from ingest.function.store import creator, proves_existence
from reports.cli import main
from reports.operations.status import status, verify
from reports.query.snapshot import fetch
from reports.query.views import connect
from reports.storage import mirror as mirroring
from reports.storage import table
from reports.writers.compact import compact
from reports.writers.forget import forget
from reports.writers.requeue import requeue
from tests.buckets import keys, registry, session, uuid
from tests.sites import APPLICATION, project
from tests.waiting import PATIENCE

KNOWN = registry(APPLICATION)
PAGE = """# Runs

```sql runs
SELECT user_id FROM sessions
```

```yaml chart
type: number
data: runs
y: count
```
"""
STORES = [
    pytest.param("file", id="directory"),
    pytest.param("s3", id="seaweedfs", marks=pytest.mark.s3),
    pytest.param("moto", id="moto", marks=pytest.mark.s3),
    pytest.param("azure", id="azurite", marks=pytest.mark.azure),
]


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty place in a bucket; what opens it is in the environment and nowhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "file":
        return (tmp_path / "bucket").as_uri()
    environment: Mapping[str, str] = request.getfixturevalue(request.param)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    scheme = "az" if request.param == "azure" else "s3"
    return f"{scheme}://abaculus/{request.node.originalname}"


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


def put(bucket: str, *sessions: Mapping[str, Any]) -> list[bool]:
    """Stores an object for each session as the function does: whether it was new, or proven to be there."""
    now = datetime.now(UTC)
    settings = Settings()
    create = creator(open_bucket(bucket, retries=False), settings)  # type: ignore[arg-type] # it has more options
    objects = [
        raw_object.single(parse(json.dumps(one).encode(), KNOWN, now, settings), timestamp(now)) for one in sessions
    ]

    async def all() -> list[bool]:
        return await asyncio.gather(*(create(*one) for one in objects))

    return asyncio.run(all())


def some(*numbers: int) -> list[dict[str, Any]]:
    return [session(number, user=number, start=datetime.now(UTC)) for number in numbers]


def stored(store: ObjectStore, bucket: str) -> int:
    """What one run adds."""
    return sum(counts.stored for counts in compact(store, bucket, KNOWN).applications.values())


def counted(store: ObjectStore, bucket: str) -> tuple[int, int]:
    """Rows and sessions, as a report reads them through the mirror."""
    with connect(fetch(store, bucket, KNOWN), private=True) as connection:
        (found,) = connection.sql("SELECT count(*), count(DISTINCT session_id) FROM sessions").fetchall()
    return int(found[0]), int(found[1])


def texts(store: ObjectStore) -> Iterator[tuple[str, bytes]]:
    """Every object, as it lies there and unpacked."""
    for key in keys(store):
        data = bytes(store.get(key).bytes())
        yield key, key.encode() + data
        if key.endswith(".parquet"):
            yield key, str(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
        elif data.startswith(b"\x1f\x8b"):
            yield key, zlib.decompress(data, wbits=31)


def test_of_creates_that_meet_one_wins_and_the_others_have_proof(bucket: str, store: ObjectStore) -> None:
    one = some(1)[0]
    assert sorted(put(bucket, *[one] * 8)) == [False] * 7 + [True]
    assert put(bucket, one) == [False]
    (key,) = keys(store, "raw/")
    with pytest.raises(BaseError) as refused:
        store.put(key, b"another", mode="create", use_multipart=False)
    assert proves_existence(refused.value)
    assert bytes(store.get(key).bytes()) != b"another"


def test_a_session_counts_once_however_often_it_comes(bucket: str, store: ObjectStore) -> None:
    sessions = some(*range(1, 8))
    assert put(bucket, *sessions) == [True] * 7
    assert put(bucket, *sessions) == [False] * 7
    assert status(store, bucket, KNOWN).raw["notes"].objects == 7
    assert stored(store, bucket) == 7
    assert keys(store, "raw/") == []
    assert put(bucket, *sessions) == [True] * 7  # they lie in the table: a courtesy less, and not a session more
    assert put(bucket, *some(8)) == [True]
    assert stored(store, bucket) == 1
    assert stored(store, bucket) == 0
    assert counted(store, bucket) == (8, 8)
    found = status(store, bucket, KNOWN)
    assert (found.tables["notes"].rows, found.raw, found.verdict) == (8, {}, [])
    assert verify(store, bucket, KNOWN) == []


def test_a_damaged_copy_is_fetched_again(bucket: str, store: ObjectStore) -> None:
    put(bucket, *some(1, 2))
    compact(store, bucket, KNOWN)
    handle = table.load(bucket, "notes")
    assert handle is not None
    objects = [(f"tables/notes/{file.path}", file.bytes) for file in table.files(handle)]
    paths = mirroring.mirror(store, bucket, objects)
    whole = [path.read_bytes() for path in paths]
    if not isinstance(store, LocalStore):
        paths[0].write_bytes(b"x" * len(whole[0]))
    assert [path.read_bytes() for path in mirroring.mirror(store, bucket, objects)] == whole


def test_of_a_forgotten_person_nothing_is_left(bucket: str, store: ObjectStore) -> None:
    gone, stays = uuid(1_000_001), uuid(1_000_002)
    put(bucket, *some(1, 2, 3))
    compact(store, bucket, KNOWN)
    put(bucket, session(11, user=1, start=datetime.now(UTC)), session(12, user=2, start=datetime.now(UTC)))
    assert any(gone.encode() in text for _, text in texts(store))
    result = forget(store, bucket, [gone])
    assert not result.versions_kept
    assert (result.rows, result.raw_sessions) == ({"notes": 1}, 1)
    put(bucket, session(13, user=1, start=datetime.now(UTC)))
    assert stored(store, bucket) == 1
    assert [key for key, text in texts(store) if gone.encode() in text] == []
    assert any(stays.encode() in text for _, text in texts(store))
    assert counted(store, bucket) == (3, 3)
    assert verify(store, bucket, KNOWN) == []
    assert status(store, bucket, KNOWN).verdict == []


def test_what_was_quarantined_is_put_back_and_never_over_what_came_meanwhile(bucket: str, store: ObjectStore) -> None:
    folder = "raw/v1/notes/2026-03-04/"
    for name in ("x", "y"):
        store.put(f"{folder}{name}.json.gz", b"broken " + name.encode())
    assert stored(store, bucket) == 0
    store.put(f"{folder}y.json.gz", b"another")
    back = requeue(store)
    assert set(back) == set(keys(store, "raw/")) - {f"{folder}y.json.gz"}
    contents = sorted(bytes(store.get(key).bytes()) for key in keys(store, "raw/"))
    assert contents == [b"another", b"broken x", b"broken y"]
    assert bytes(store.get(f"{folder}y.json.gz").bytes()) == b"another"
    assert keys(store, "quarantine/") == []


@pytest.mark.slow
def test_compactors_that_race_store_each_session_once_and_a_site_shows_it(
    bucket: str, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = project(tmp_path / "project", {"index.md": PAGE})

    def start(cache: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "reports.cli", "compact", "--json", "--bucket", bucket],
            cwd=where, env={**os.environ, "PYTHONPATH": str(Path.cwd()), "XDG_CACHE_HOME": str(tmp_path / cache)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def finish(run: "subprocess.Popen[str]") -> str:
        out, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, out + err
        return out

    def do(*arguments: str) -> str:
        done = CliRunner().invoke(main, [*arguments, "--bucket", bucket])
        assert done.exit_code == 0, done.output
        return done.output

    sessions = some(*range(1, 31))
    put(bucket, *sessions)
    for expected in (30, 0):  # the first time there is no table yet
        runs = [start(str(number)) for number in range(2)]
        entries = [json.loads(finish(run)) for run in runs]
        assert sum(counts["stored"] for one in entries for counts in one["applications"].values()) == expected
        assert keys(store, "raw/") == []
        put(bucket, *sessions)
    monkeypatch.chdir(where)
    do("compact")
    assert counted(store, bucket) == (30, 30)
    do("status")
    do("verify")
    do("build", "--out", str(tmp_path / "site"))
    assert ">30<" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
