"""The probe against the real function, and against what is not one."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import PROBE, load
from reports.operations.probe import ProbeError, probe
from reports.query.snapshot import fetch
from reports.query.views import connect
from reports.sample.demo import ingest_server
from reports.writers.compact import compact

APPLICATIONS = Path("ingest/applications")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    root = tmp_path_factory.mktemp("probe")
    with ingest_server((root / "bucket").as_uri(), root / "ingest.log") as url:
        yield url, root / "bucket"


def test_a_working_function_is_told_step_by_step(served: tuple[str, Path]) -> None:
    url, bucket = served
    told: list[str] = []
    probe(url, open_bucket(str(bucket)), told.append)
    assert [line.split(":")[0] for line in told] == ["GET /ping", "PUT /v1/sessions", "the same again", "in the bucket"]
    assert "304" in told[2]


def test_reports_leave_the_probes_sessions_out(served: tuple[str, Path]) -> None:
    url, bucket = served
    probe(url, None, lambda line: None)
    store, registry = open_bucket(str(bucket)), load(APPLICATIONS)
    compact(store, str(bucket), registry)
    with connect(fetch(store, str(bucket), registry), private=True) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchall() == [(0,)]


def test_another_bucket_is_noticed(served: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(ProbeError, match=f"raw/v1/{PROBE.id}/"):
        probe(served[0], open_bucket(str(tmp_path)), lambda line: None)


def test_no_server_is_said() -> None:
    with pytest.raises(ProbeError, match=r"http://127\.0\.0\.1:9/ping"):
        probe("http://127.0.0.1:9", None, lambda line: None)


def test_another_server_is_said() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(ProbeError, match=f":{server.server_port}/ping .*501.*pong"):
            probe(f"http://127.0.0.1:{server.server_port}", None, lambda line: None)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
