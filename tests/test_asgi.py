"""The HTTP edge, as a real server process on loopback: what it closes, sheds, logs, and finishes before it stops."""

import gzip
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from ingest.settings import Settings, SettingsError, from_environment

ROOT = Path(__file__).parent.parent
REGISTRY = 'id = "tool"\n[attributes.note]\ntype = "string"\nwhy = "to test"\n'
START = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
JSON = {"Content-Type": "application/json"}


class Server:
    """A running ingest function."""

    def __init__(self, process: subprocess.Popen[str], port: int, bucket: Path, log: Path) -> None:
        self.process = process
        self.port = port
        self.bucket = bucket
        self.log = log

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, (JSON if body else {}) | named)
        response = connection.getresponse()
        try:
            return response.status, response, response.read()
        finally:
            connection.close()

    def put(self, body: bytes, **headers: str) -> int:
        return self.request("PUT", "/v1/sessions", body, **headers)[0]

    def raw(self, *parts: bytes | float) -> tuple[bytes, float]:
        """Sends bytes, and waits where there is a number. What came until the server closed, and after how long."""
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for part in parts:
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif select.select([connection], [], [], part)[0]:
                    break  # it has heard enough
            came = b""
            while chunk := connection.recv(65536):
                came += chunk
        return came, time.monotonic() - begin

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def stored(self) -> list[Path]:
        return sorted(path for path in self.bucket.rglob("*") if path.is_file())

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The last lines of the log; a request's line is written after its answer, so they are waited for."""
        for _ in range(100):
            lines = [json.loads(line) for line in self.log.read_text().splitlines()]
            if len(lines) >= count and lines[-1].get("status"):
                break
            time.sleep(0.02)
        return lines[-count:]

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def serving(directory: Path, **settings: object) -> Iterator[Server]:
    directory.mkdir(parents=True, exist_ok=True)
    applications = directory / "applications"
    applications.mkdir()
    (applications / "tool.toml").write_text(REGISTRY)
    bucket, log = directory / "bucket", directory / "log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ABACULUS_")},
        "PYTHONPATH": str(ROOT),
        "ABACULUS_APPLICATIONS": str(applications),
        **{f"ABACULUS_{name.upper()}": str(value) for name, value in settings.items()},
    }
    code = f"from ingest.asgi import serve; serve({bucket.as_uri()!r}, '127.0.0.1', 0)"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            assert line.startswith("Abaculus ingest on http://127.0.0.1:"), log.read_text()
            assert line.endswith(f", storing in {bucket.as_uri()}\n")
            yield Server(process, int(line.split(":")[2].split(",")[0]), bucket, log)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose patience is a second."""
    with serving(tmp_path_factory.mktemp("server") / "one", stall_seconds=1, request_seconds=2) as running:
        yield running


def session(number: int = 0, **members: Any) -> bytes:
    whole = {
        "sessionId": f"11112222-3333-4444-a555-{number:012}",
        "userId": "99990000-3333-4444-a555-666677778888",
        "sessionStartTime": START,
        "sessionEndTime": START,
        "applicationId": "tool",
        "applicationVersion": "1.2.3",
    }
    return json.dumps(whole | members).encode()


def head(length: int, more: str = "") -> bytes:
    fixed = "PUT /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{fixed}Content-Length: {length}\r\n{more}\r\n".encode()


def test_a_session_sent_over_http_is_stored_once(server: Server) -> None:
    body = session(1)
    assert [server.put(body), server.put(body), server.put(gzip.compress(body), Content_Encoding="gzip")] == [
        201,
        304,
        304,
    ]
    assert [path.name for path in server.stored()] == ["11112222-3333-4444-a555-000000000001.json.gz"]
    assert json.loads(gzip.decompress(server.stored()[0].read_bytes()))["sessionStartTime"] == START[:-4] + "Z"


def test_answers_have_their_headers_and_no_more_than_their_bodies(server: Server) -> None:
    status, response, body = server.request("GET", "/ping")
    assert (status, body, response.getheader("Content-Type")) == (200, b"pong", "text/plain; charset=utf-8")
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    status, response, body = server.request("GET", "/?x=1")
    assert (status, body) == (204, b"")
    status, response, body = server.request("DELETE", "/v1/sessions")
    assert (status, response.getheader("Allow")) == (405, "PUT, POST")


def test_a_batch_sent_in_chunks_is_stored(server: Server) -> None:
    lines = [session(number) for number in range(100, 103)]
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    chunks = iter([lines[0] + b"\n" + lines[1][:20], lines[1][20:] + b"\n", lines[2]])
    connection.request("POST", "/v1/sessions", chunks, {"Content-Type": "application/x-ndjson"}, encode_chunked=True)
    response = connection.getresponse()
    assert [result["status"] for result in json.loads(response.read())["results"]] == [201, 201, 201]
    connection.close()


# What comes in, what comes back, and the seconds (at least, at most) until the connection is closed.
WIRE: dict[str, tuple[list[bytes | float], bytes, float, float]] = {
    "no byte": ([], b"", 0.9, 3),
    "a stalled header": ([b"PUT /v1/sessions HTTP/1.1\r\nHost: x\r\n"], b"", 0.9, 3),
    "a header that drips": ([b"PUT / HTTP/1.1\r\n", 0.4, b"Host: x\r\n", 0.4, b"A: b\r\n"], b"", 0.9, 3),
    "a stalled body": ([head(100), b"{"], b"HTTP/1.1 408 ", 0.9, 3),
    "a body that drips": (
        [head(100), *[b"{", 0.4] * 12], b"HTTP/1.1 408 ", 1.9, 4,
    ),
    "a stalled chunk": (
        [head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"5\r\n{"], b"HTTP/1.1 408 ", 0.9, 3,
    ),
    "a stalled body that will not be read": ([head(9_999_999), b"{"], b"HTTP/1.1 413 ", 0.9, 3),
    "an idle connection": ([b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"], b"HTTP/1.1 200 ", 0.9, 3),
    "two content lengths": ([head(2, "Content-Length: 3\r\n"), b"{}"], b"HTTP/1.1 400 ", 0, 1),
    "an unknown transfer encoding": ([head(2, "Transfer-Encoding: xchunked\r\n"), b"{}"], b"HTTP/1.1 400 ", 0, 1),
    "a negative length": ([head(-1), b"{}"], b"HTTP/1.1 400 ", 0, 1),
    "a header of 20 KiB": ([head(2, f"X: {'a' * 20_000}\r\n")], b"HTTP/1.1 431 ", 0, 1),
    "two hundred headers": ([head(2, "X: a\r\n" * 200)], b"HTTP/1.1 431 ", 0, 1),
    "not HTTP": ([b"\x16\x03\x01\x02\x00\x01\r\n\r\n"], b"HTTP/1.1 400 ", 0, 1),
    "HTTP/2 from the start": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], b"", 0, 1),
    "a path that is none": ([b"GET /\xff\x00 HTTP/1.1\r\nHost: x\r\n\r\n"], b"HTTP/1.1 400 ", 0, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def heard(server: Server) -> dict[str, tuple[bytes, float]]:
    """What became of all of them, at once: each that stalls takes a second."""
    with ThreadPoolExecutor(len(WIRE)) as clients:
        return dict(zip(WIRE, clients.map(lambda case: server.raw(*case[0]), WIRE.values()), strict=True))


@pytest.mark.parametrize("name", WIRE)
def test_a_client_that_stalls_or_speaks_no_http_is_closed(
    server: Server, heard: dict[str, tuple[bytes, float]], name: str
) -> None:
    _, came, least, most = WIRE[name]
    answer, seconds = heard[name]
    assert answer.startswith(came)
    assert bool(answer) == bool(came)
    assert least <= seconds <= most
    assert server.request("GET", "/ping")[0] == 200


def test_of_both_length_headers_the_chunked_one_counts_and_the_connection_ends(server: Server) -> None:
    """What follows the last chunk is not taken for another request."""
    smuggled = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"2\r\n{}\r\n0\r\n\r\n"
    answer, seconds = server.raw(head(len(body + smuggled), "Transfer-Encoding: chunked\r\n") + body + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert seconds < 1


def test_a_body_that_is_too_large_is_answered_after_it_was_sent(server: Server) -> None:
    status, _, body = server.request("PUT", "/v1/sessions", bytes(5_000_000))
    assert status == 413
    assert json.loads(body) == {"message": "Request body must have at most 1048576 bytes"}
    chunked = HTTPConnection("127.0.0.1", server.port, timeout=10)
    chunked.request("PUT", "/v1/sessions", iter([bytes(1_000_000)] * 3), JSON, encode_chunked=True)
    assert chunked.getresponse().status == 413
    chunked.close()


def test_a_client_that_asks_first_need_not_send_what_nobody_reads(server: Server) -> None:
    answer, _ = server.raw(head(9_999_999, "Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_log_line_has_no_content_no_id_and_no_address(server: Server) -> None:
    time.sleep(0.2)  # for the lines of the tests before
    before = len(server.log.read_text().splitlines())
    server.put(session(3, attributes={"note": "s3cret"}, userId="99990000-3333-4444-a555-secret"))
    server.request("GET", "/11112222-3333-4444-a555-000000000003?s3cret")
    server.raw(b"S3CRET /ping HTTP/1.1\r\nHost: s3cret\r\nUser-Agent: s3cret\r\nConnection: close\r\n\r\n")
    last = server.lines(before + 3)[-3:]
    text = server.log.read_text()
    assert not [word for word in ("cret", "99990000", "11112222", "127.0.0.1") if word in text.lower()]
    assert [(line["method"], line["route"], line["status"]) for line in last] == [
        ("PUT", "/v1/sessions", 400), ("GET", "other", 404), ("other", "/ping", 405),
    ]  # fmt: skip
    assert all(line["ms"] > 0 and line["bytes"] >= 0 and line["severity"] == "WARNING" for line in last)


def test_overload_is_shed_and_what_was_accepted_is_stored(tmp_path: Path) -> None:
    with serving(tmp_path / "server", max_requests=1, stall_seconds=5) as server:
        body = session(1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(head(len(body), "Connection: close\r\n") + body[:10])
            time.sleep(0.2)
            status, response, said = server.request("PUT", "/v1/sessions", session(2))
            assert (status, json.loads(said)) == (503, {"message": "Too many requests at once"})
            assert int(response.getheader("Retry-After", "")) > 0
            assert server.request("GET", "/ping")[0] == 200
            slow.sendall(body[10:])
            assert slow.recv(12) == b"HTTP/1.1 201"
        assert server.put(session(2)) == 201
        assert len(server.stored()) == 2


def test_bytes_in_flight_are_bounded_and_so_is_memory(tmp_path: Path) -> None:
    """Forty clients hold a batch of 8 MB open where 16 MiB may be held at once, then send bombs."""
    with serving(tmp_path / "server", max_flight_bytes=16 << 20, stall_seconds=5) as server:
        before = server.memory()
        answers: list[int] = []

        def send() -> None:
            body = b" " * 8_000_000
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
                connection.sendall(
                    b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"Content-Type: application/x-ndjson\r\nContent-Length: 8000000\r\n\r\n" + body[:-1]
                )
                time.sleep(0.3)
                connection.sendall(body[-1:])
                answers.append(int(connection.recv(12).split()[1]))

        clients = [threading.Thread(target=send) for _ in range(40)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert set(answers) <= {200, 503}
        assert 503 in answers
        bomb = gzip.compress(bytes(50_000_000))
        assert [server.put(bomb, Content_Encoding="gzip") for _ in range(5)] == [413] * 5
        assert server.memory() - before < 100 << 20
        assert server.put(session(1)) == 201


def test_sigterm_finishes_what_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path / "server", stall_seconds=5) as server:
        body = session(1)
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        idle.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        with idle, socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(head(len(body)) + body[:10])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(OSError, match=r"refused|reset"):
                server.put(session(2))
            assert server.process.poll() is None
            slow.sendall(body[10:])
            assert slow.recv(12) == b"HTTP/1.1 201"
        assert server.process.wait(timeout=5) == 0
        assert len(server.stored()) == 1
        assert "panicked" not in server.log.read_text()


def test_sigterm_stores_a_group_that_is_still_open(tmp_path: Path) -> None:
    with serving(tmp_path / "server", group_commit_ms=800) as server:
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda number=number: statuses.append(server.put(session(number))))
            for number in range(4)
        ]
        for client in clients:
            client.start()
        time.sleep(0.3)
        assert server.stop() == 0
        for client in clients:
            client.join()
        assert statuses == [201] * 4
        (stored,) = server.stored()
        assert stored.name.startswith("batch-")
        assert gzip.decompress(stored.read_bytes()).count(b"\n") == 4


def test_sigint_stops_it_too(tmp_path: Path) -> None:
    with serving(tmp_path / "server", log=0) as server:
        assert server.put(session()) == 201
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=5) == 0
        assert server.log.read_text() == ""


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    applications = tmp_path / "applications"
    applications.mkdir()
    (applications / "tool.toml").write_text(REGISTRY)
    code = f"from ingest.asgi import serve; serve({str(tmp_path / 'bucket')!r}, '127.0.0.1', {server.port})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ABACULUS_APPLICATIONS": str(applications)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}: Address already in use; choose another port" in done.stderr


def test_a_store_that_cannot_be_written_to_is_in_the_log_but_no_session_is(tmp_path: Path) -> None:
    with serving(tmp_path / "server", store_seconds=0.2) as server:
        (server.bucket / "raw").write_text("in the way of a directory")
        status, response, said = server.request("PUT", "/v1/sessions", session(1))
        assert (status, json.loads(said)) == (503, {"message": "Could not process request"})
        assert response.getheader("Retry-After") == "30"
        why, request = server.lines(2)
        assert why["severity"] == request["severity"] == "ERROR"
        assert why["message"].startswith("the store did not confirm: ")
        assert "11112222" not in why["message"]


def test_settings_come_from_the_environment_and_every_mistake_is_named() -> None:
    assert from_environment({"ABACULUS_BODY_BYTES": "  ", "PATH": "/bin"}) == Settings()
    given = {"ABACULUS_BODY_BYTES": "65536", "ABACULUS_STORE_SECONDS": "2.5", "ABACULUS_LOG": "0"}
    assert from_environment(given) == Settings(body_bytes=65536, store_seconds=2.5, log=False)
    assert from_environment({"ABACULUS_GROUP_COMMIT_MS": "0"}).group_commit_ms == 0
    with pytest.raises(SettingsError) as raised:
        from_environment(
            {
                "ABACULUS_BODY_BYTES": "1 MiB",
                "ABACULUS_BATCH_LINES": "0",
                "ABACULUS_STALL_SECONDS": "nan",
                "ABACULUS_LOG": "maybe",
                "ABACULUS_GROUP_COMMIT_MS": "-1",
            }
        )
    assert str(raised.value).splitlines() == [
        "ABACULUS_BODY_BYTES: must be a whole number, 1 or more, got '1 MiB'",
        "ABACULUS_BATCH_LINES: must be a whole number, 1 or more, got '0'",
        "ABACULUS_GROUP_COMMIT_MS: must be a whole number, 0 or more, got '-1'",
        "ABACULUS_STALL_SECONDS: must be a number of seconds, 0.001 or more, got 'nan'",
        "ABACULUS_LOG: must be 0 or 1, got 'maybe'",
    ]


def test_importing_the_edge_loads_nothing_heavy() -> None:
    heavy = ["pyarrow", "duckdb", "deltalake", "mkdocs", "requests", "pydantic", "reports", "granian"]
    code = f"import sys, ingest.asgi; print([name for name in {heavy} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
