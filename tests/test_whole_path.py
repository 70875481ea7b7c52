"""From an HTTP request to a page, through the command line, as its users do it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from deltalake import DeltaTable

from ingest.function.bucket_url import open_bucket
from tests import sites
from tests.buckets import keys, rows, uuid
from tests.messages import mentions, numbers
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
CLI = [sys.executable, "-m", "reports.cli"]
Environment = Mapping[str, str]


def abaculus(*arguments: str, env: Environment | None = None, cwd: Path = ROOT) -> str:
    """Runs the command; gives its standard output."""
    done = subprocess.run(
        [*CLI, *arguments], cwd=cwd, env=dict(os.environ) | dict(env or {}), capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Our tools, and a site of one page: to build all of ours takes seconds, and tests/site/test_pages.py does."""
    page = "# Failures\n\n```yaml chart\ntype: bar\ndata: sessions\nx: failure_reason\ny: count\n```\n"
    made = sites.project(tmp_path / "project", {"index.md": page})
    shutil.rmtree(made / "applications")
    shutil.copytree(ROOT / "ingest" / "applications", made / "applications")
    return made


def sql(bucket: str, query: str, env: Environment | None = None) -> Any:
    return json.loads(abaculus("sql", "--json", "--bucket", bucket, query, env=env))


@contextlib.contextmanager
def ingest(bucket: str, env: Environment | None = None) -> Iterator[str]:
    """`abaculus ingest` on a free port; gives its URL."""
    process = subprocess.Popen(
        [*CLI, "ingest", "--bucket", bucket, "--port", "0"],
        cwd=ROOT, env=dict(os.environ) | dict(env or {}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://[^\s,]+", process.stdout.readline())
        assert found is not None
        yield found[0].rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def put(url: str, body: Mapping[str, Any]) -> int:
    """Sends a session with curl; gives the status of the answer."""
    done = subprocess.run(
        ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-X", "PUT", f"{url}/v1/sessions",
         "-H", "Content-Type: application/json", "--data-binary", "@-"],
        input=json.dumps(body), capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return int(done.stdout)


def jvm(moment: datetime) -> str:
    """A time as a JVM client writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}789Z"


START = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=1)


def cairn(number: int = 1) -> dict[str, Any]:
    """A session exactly as a JVM client writes it."""

    def at(seconds: int) -> str:
        return jvm(START + timedelta(seconds=seconds))

    return {
        "sessionId": uuid(number),
        "userId": uuid(1_000_000 + number),
        "sessionStartTime": at(0),
        "sessionEndTime": at(9),
        "applicationId": "cairn",
        "applicationVersion": "1.5.0",
        "attributes": {
            "osName": "Linux", "shellName": None, "exitCode": -1, "runningInCi": False, "failureReason": "TaskNotFound",
            "engineMemoryGib": 7.5, "updateCheckTime": at(1), "startedBy": None,
        },
        "events": [{"type": "HelpShown", "time": at(2), "attributes": {"topic": "run"}}],
        "spans": [
            {"type": "LoadConfiguration", "startTime": at(3), "endTime": at(4), "attributes": {"taskCount": None}},
        ],
    }  # fmt: skip


@pytest.mark.slow
def test_a_session_as_a_jvm_client_writes_it_is_in_the_table_to_the_microsecond(tmp_path: Path, project: Path) -> None:
    bucket, site = str(tmp_path / "bucket"), tmp_path / "site"
    with ingest(bucket) as url:
        assert put(url, cairn()) == 201
        assert put(url, cairn()) == 304
    told = abaculus("run", "--bucket", bucket, "--out", str(site), cwd=project)
    (line,) = [line for line in told.splitlines() if line.startswith("cairn: ")]
    assert numbers(line) == ["1", "1", "1"]
    (row,) = rows(bucket, "cairn")
    assert row["start_time"] == START
    assert row["end_time"] == START + timedelta(seconds=9)
    assert START < row["ingestion_time"] < START + timedelta(hours=2)
    assert not row["clock_suspect"]
    assert row["attributes"]["exitCode"] == -1
    assert row["attributes"]["shellName"] is None
    assert row["attributes"]["updateCheckTime"] == START + timedelta(seconds=1)
    assert row["events"][0]["time"] == START + timedelta(seconds=2)
    assert row["spans"][0]["start_time"] == START + timedelta(seconds=3)
    assert row["undeclared"] == []
    answer = sql(bucket, "SELECT session_id, start_time, exit_code, shell, failure_reason FROM sessions")
    assert answer == [
        {"session_id": uuid(1), "start_time": START.isoformat()[:26] + "Z", "exit_code": -1, "shell": None,
         "failure_reason": "TaskNotFound"}
    ]  # fmt: skip
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "ab-empty" in page
    assert "TaskNotFound" not in page
    assert uuid(1) not in page and uuid(1_000_001) not in page


@pytest.mark.slow
def test_the_demo_counts_every_session_once_however_often_it_runs(tmp_path: Path, project: Path) -> None:
    bucket = (tmp_path / "bucket").as_uri()
    for _ in range(2):
        told = abaculus("demo", "--dir", str(tmp_path), "--sessions", "300", "--no-serve", cwd=project)
        assert mentions(told, "300")
    assert sql(bucket, "SELECT count(*) AS runs, count(DISTINCT session_id) AS sessions FROM sessions") == [
        {"runs": 300, "sessions": 300}
    ]
    assert "ab-sample" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_empty_bucket_builds_a_site_that_says_so(tmp_path: Path, project: Path) -> None:
    bucket, site = str(tmp_path / "bucket"), tmp_path / "site"
    assert abaculus("run", "--bucket", bucket, "--out", str(site), cwd=project).startswith("nothing new")
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "ab-empty" in page
    assert sql(bucket, "SELECT count(*) AS runs FROM sessions") == [{"runs": 0}]


@pytest.mark.s3
def test_the_same_path_holds_on_a_real_s3_server(s3: Environment, tmp_path: Path) -> None:
    bucket, site = "s3://abaculus/whole-path", tmp_path / "site"
    env = {**s3, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    numbers = range(1, 31)
    with ingest(bucket, env) as url, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda number: put(url, cairn(number)), numbers)) == {201}
        assert set(threads.map(lambda number: put(url, cairn(number)), numbers)) == {304}
    entry = json.loads(abaculus("compact", "--json", "--bucket", bucket, env=env))
    assert entry["applications"]["cairn"]["stored"] == 30
    abaculus("build", "--bucket", bucket, "--out", str(site), env=env)
    assert "TaskNotFound" in (site / "failures.html").read_text(encoding="utf-8")
    for _ in range(2):
        assert sql(bucket, "SELECT count(*) AS runs, count(DISTINCT user_id) AS people FROM sessions", env) == [
            {"runs": 30, "people": 30}
        ]
    # What compaction wrote is what both libraries find there with the same environment.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        store = open_bucket(bucket)
        assert keys(store, "raw/") == []
        assert len(DeltaTable(f"{bucket}/tables/cairn").file_uris()) >= 1
        assert len(keys(store, "ledger/")) == 1


@pytest.mark.s3
def test_compactors_that_race_on_a_real_s3_server_store_each_session_once(s3: Environment, tmp_path: Path) -> None:
    bucket = "s3://abaculus/race"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        store = open_bucket(bucket)
        with ingest(bucket, s3) as url, ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda number: put(url, cairn(number)), range(40))) == {201}
        left = {key: obstore.get(store, key).bytes() for key in keys(store, "raw/")}
        for expected in (40, 0, 0):
            runs = [
                subprocess.Popen(
                    [*CLI, "compact", "--json", "--bucket", bucket],
                    cwd=ROOT, env={**os.environ, **s3, "XDG_CACHE_HOME": str(tmp_path / str(number))},
                    stdout=subprocess.PIPE, encoding="utf-8",
                )
                for number in range(3)
            ]  # fmt: skip
            stored = []
            for run in runs:
                out, _ = run.communicate()
                assert run.returncode == 0
                stored.append(sum(counts["stored"] for counts in json.loads(out)["applications"].values()))
            assert sum(stored) == expected
            assert keys(store, "raw/") == []
            # As a run leaves it that is killed between its commit and the deletion.
            for key, content in left.items():
                store.put(key, content)
        assert sql(bucket, "SELECT count(*) AS runs, count(DISTINCT session_id) AS sessions FROM sessions", s3) == [
            {"runs": 40, "sessions": 40}
        ]
