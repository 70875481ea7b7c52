"""The HTTP edge, as a real server process on loopback: what it closes, sheds, logs, and finishes before it stops."""

import contextlib
import errno
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
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from ingest.function.server import within
from ingest.function.settings import Settings, SettingsError, from_environment
from tests.messages import mentions, numbers
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
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
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
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
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            for part in parts:
                if part == END:
                    connection.shutdown(socket.SHUT_WR)
                elif isinstance(part, bytes):
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

    def refuses(self) -> bool:
        """Whether it takes no more connections."""
        try:
            return self.request("GET", "/ping")[0] != 200
        except (OSError, HTTPException):
            return True

    def stored(self) -> list[Path]:
        return sorted(path for path in self.bucket.rglob("*") if path.is_file())

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The last lines of the log; a request's line is written after its answer, so they are waited for."""

        def there() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
            return lines if len(lines) >= count and lines[-1].get("status") else []

        return until(there)[-count:]

    def processor_seconds(self) -> float:
        """What all of its threads have used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def serving(
    directory: Path, *, descriptors: int = 0, store: Mapping[str, str] | None = None, **settings: object
) -> Iterator[Server]:
    """A server over a bucket in this directory, or over `store`: its URL as BUCKET, and what its client needs."""
    directory.mkdir(parents=True, exist_ok=True)
    applications = directory / "applications"
    applications.mkdir()
    (applications / "tool.toml").write_text(REGISTRY, encoding="utf-8")
    bucket, log = directory / "bucket", directory / "log"
    url = store["BUCKET"] if store else bucket.as_uri()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ABACULUS_")},
        "PYTHONPATH": str(ROOT),
        "ABACULUS_APPLICATIONS": str(applications),
        **{f"ABACULUS_{name.upper()}": str(value) for name, value in settings.items()},
        **(store or {}),
    }
    code = f"from ingest.function.server import serve; serve({url!r}, '127.0.0.1', 0)"
    if descriptors:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors},) * 2); {code}"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            assert line.startswith("Abaculus ingest on http://127.0.0.1:"), log.read_text(encoding="utf-8")
            assert line.endswith(f", storing in {url}\n")
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
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    chunks = iter([lines[0] + b"\n" + lines[1][:20], lines[1][20:] + b"\n", lines[2]])
    connection.request("POST", "/v1/sessions", chunks, {"Content-Type": "application/x-ndjson"}, encode_chunked=True)
    response = connection.getresponse()
    assert [result["status"] for result in json.loads(response.read())["results"]] == [201, 201, 201]
    connection.close()


def chunked(body: bytes) -> bytes:
    """A request whose body is in chunks, which are given."""
    return head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + body


END = b""  # the client closes its side, and goes on reading

# What comes in, what comes back, and the seconds (at least, at most) until the connection is closed.
WIRE: dict[str, tuple[list[bytes | float], bytes, float, float]] = {
    "no byte": ([], b"", 0.9, 3),
    "a stalled header": ([b"PUT /v1/sessions HTTP/1.1\r\nHost: x\r\n"], b"", 0.9, 3),
    "a header that drips": ([b"PUT / HTTP/1.1\r\n", 0.4, b"Host: x\r\n", 0.4, b"A: b\r\n"], b"", 0.9, 3),
    "a stalled body": ([head(100), b"{"], b"HTTP/1.1 408 ", 0.9, 3),
    "a body that drips": (
        [head(100), *[b"{", 0.4] * 12], b"HTTP/1.1 408 ", 0.9, 3,
    ),
    "a stalled chunk": (
        [head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"5\r\n{"], b"HTTP/1.1 408 ", 0.9, 3,
    ),
    "a chunk size that is none": ([chunked(b"zz\r\n{}\r\n0\r\n\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "a negative chunk size": ([chunked(b"-5\r\n{}\r\n0\r\n\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "a chunk size of 72 bits": ([chunked(b"F" * 18 + b"\r\n{}\r\n0\r\n\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "a chunk of 16 EiB": ([chunked(b"F" * 16 + b"\r\n{}\r\n0\r\n\r\n")], b"HTTP/1.1 408 ", 0.9, 3),
    "a chunk without its end": ([chunked(b"2\r\n{}xx0\r\n\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "a chunk extension of 20 kB": ([chunked(b"2;" + b"a" * 20_000 + b"\r\n{}\r\n0\r\n\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "5,000 trailers": ([chunked(b"2\r\n{}\r\n0\r\n" + b"X: a\r\n" * 5_000 + b"\r\n")], b"HTTP/1.1 400 ", 0, 1),
    "both length headers and no chunk": ([head(2, "Transfer-Encoding: chunked\r\n") + b"{}"], b"HTTP/1.1 400 ", 0, 1),
    "a body cut short": ([head(100), b"{", END], b"HTTP/1.1 400 ", 0, 1),
    "a chunk cut short": ([chunked(b"5\r\n{"), END], b"HTTP/1.1 400 ", 0, 1),
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


def test_a_body_that_is_malformed_or_ends_early_is_answered_in_json_and_logged(tmp_path: Path) -> None:
    cases = [
        parts for parts, came, _, most in WIRE.values()
        if came == b"HTTP/1.1 400 " and most == 1 and (parts[0].startswith(chunked(b"")) or END in parts)  # type: ignore[union-attr]
    ]  # fmt: skip
    assert len(cases) == 8
    with serving(tmp_path / "server") as server:
        for number, parts in enumerate(cases, 1):
            answer, _ = server.raw(*parts)
            headers, _, body = answer.partition(b"\r\n\r\n")
            assert b"content-type: application/json" in headers.lower()
            assert b"connection: close" in headers.lower()
            assert json.loads(body)["message"].startswith("Request body is not valid: ")
            assert server.lines(number)[-1]["status"] == 400
        assert len(server.log.read_text(encoding="utf-8").splitlines()) == len(cases)
        assert server.stored() == []


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
    assert numbers(json.loads(body)["message"]) == ["1048576"]
    chunked = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    chunked.request("PUT", "/v1/sessions", iter([bytes(1_000_000)] * 3), JSON, encode_chunked=True)
    assert chunked.getresponse().status == 413
    chunked.close()


def test_a_client_that_asks_first_need_not_send_what_nobody_reads(server: Server) -> None:
    answer, _ = server.raw(head(9_999_999, "Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_log_line_has_no_content_no_id_and_no_address(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        server.put(session(3, attributes={"note": "s3cret"}, userId="99990000-3333-4444-a555-secret"))
        server.lines(1)
        server.request("GET", "/11112222-3333-4444-a555-000000000003?s3cret")
        server.lines(2)
        server.raw(b"S3CRET /ping HTTP/1.1\r\nHost: s3cret\r\nUser-Agent: s3cret\r\nConnection: close\r\n\r\n")
        last = server.lines(3)
        text = server.log.read_text(encoding="utf-8")
    assert not [word for word in ("cret", "99990000", "11112222", "127.0.0.1") if word in text.lower()]
    assert [(line["method"], line["route"], line["status"]) for line in last] == [
        ("PUT", "/v1/sessions", 400), ("GET", "other", 404), ("other", "/ping", 405),
    ]  # fmt: skip
    assert all(line["ms"] > 0 and line["bytes"] >= 0 and line["severity"] == "WARNING" for line in last)


@pytest.mark.slow
def test_a_body_may_come_slowly_but_not_below_its_rate(tmp_path: Path) -> None:
    """Twenty bytes are due in each second. One comes at 80 a second and takes three; the other at three a second."""
    with serving(tmp_path / "server", stall_seconds=1, body_rate=20) as server:
        body = session(1)
        parts: list[bytes | float] = [head(len(body), "Connection: close\r\n")]
        for at in range(0, len(body), 24):
            parts += [body[at : at + 24], 0.3]
        assert len(parts) * 0.15 > 3
        slow, _ = server.raw(*parts)
        assert slow.startswith(b"HTTP/1.1 201 ")
        drips, _ = server.raw(head(len(body)), *[b"{", 0.3] * 20)
        assert drips.startswith(b"HTTP/1.1 408 ")


def test_slow_clients_do_not_count_as_requests(server: Server) -> None:
    """More of them than requests may be in work, each with one byte of its body."""
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(head(5000) + b"{")
        assert [server.put(session(number)) for number in range(700, 710)] == [201] * 10
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_overload_is_shed_and_what_was_accepted_is_stored(tmp_path: Path) -> None:
    with serving(tmp_path / "server", max_requests=1, group_commit_ms=3000) as server, ThreadPoolExecutor(3) as clients:
        # The first to arrive is in work for three seconds.
        answers = list(clients.map(lambda n: server.request("PUT", "/v1/sessions", session(n)), range(3)))
        assert sorted(status for status, _, _ in answers) == [201, 503, 503]
        for status, response, said in answers:
            if status == 503:
                assert json.loads(said).keys() == {"message"}
                assert int(response.getheader("Retry-After", "")) > 0
        assert server.request("GET", "/ping")[0] == 200
        assert server.put(session(9)) == 201
        assert len(server.stored()) == 2


@pytest.mark.slow
def test_the_limit_of_file_descriptors_is_respected(tmp_path: Path) -> None:
    """With 200 descriptors and 400 connections, it waits without spinning, and serves when there is room again."""
    with serving(tmp_path / "server", descriptors=200, stall_seconds=1) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(400)]
        time.sleep(0.2)
        begin = server.processor_seconds()
        time.sleep(1)
        assert server.processor_seconds() - begin < 0.5
        assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 200
        # Those that say nothing are closed after a second, which makes room for those that wait behind them.
        assert server.request("PUT", "/v1/sessions", session(1))[0] == 201
        for connection in idle:
            connection.close()
        assert server.put(session(2)) == 201


def test_too_few_file_descriptors_are_said_at_the_start() -> None:
    with pytest.raises(SettingsError, match="ulimit -n"):
        within(Settings(), 64)
    assert within(Settings(), 1 << 20) == (Settings(), 1024)
    settings, connections = within(Settings(), 200)
    assert settings.max_requests + connections <= 200 - 64
    assert settings.max_requests > 8


@pytest.mark.slow
def test_bytes_in_flight_are_bounded_and_so_is_memory(tmp_path: Path) -> None:
    """Forty clients hold a batch of 8 MB open where 16 MiB may be held at once, then send bombs."""
    with serving(tmp_path / "server", max_flight_bytes=16 << 20, stall_seconds=5) as server:
        before = server.memory()
        answers: list[int] = []

        def send() -> None:
            body = b" " * 8_000_000
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
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
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        idle.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        with idle, socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as slow:
            slow.sendall(head(len(body), "Expect: 100-continue\r\n"))
            assert slow.recv(64).startswith(b"HTTP/1.1 100")  # it waits for the body
            slow.sendall(body[:10])
            server.process.send_signal(signal.SIGTERM)
            until(server.refuses)
            assert server.process.poll() is None
            slow.sendall(body[10:])
            assert slow.recv(12) == b"HTTP/1.1 201"
        assert server.process.wait(timeout=5) == 0
        assert len(server.stored()) == 1
        assert "panicked" not in server.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_sigterm_waits_neither_for_slow_bodies_nor_for_slow_headers(tmp_path: Path) -> None:
    """Patience is an hour here; the process is to end before a cloud would kill it."""
    with serving(tmp_path / "server", stall_seconds=3600, request_seconds=3600, stop_seconds=3) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as body,
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as header,
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE),
        ):
            body.sendall(head(100, "Expect: 100-continue\r\n"))
            assert body.recv(64).startswith(b"HTTP/1.1 100")
            body.sendall(b"{")
            header.sendall(b"PUT /v1/sessions HTTP/1.1\r\nHost:")
            assert server.put(session(1)) == 201
            server.process.send_signal(signal.SIGTERM)
            assert body.recv(12) == b"HTTP/1.1 408"
            assert server.process.wait(timeout=8) == 0
        assert "panicked" not in server.log.read_text(encoding="utf-8")


def test_sigterm_does_not_wait_for_a_store_that_hangs_and_says_what_was_not_answered(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        store = {
            "BUCKET": "s3://bucket", "AWS_ENDPOINT": f"http://127.0.0.1:{hangs.getsockname()[1]}", "AWS_REGION": "x",
            "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        }  # fmt: skip
        with serving(tmp_path / "server", store=store, store_seconds=60, stop_seconds=1) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
                body = session(1)
                client.sendall(head(len(body)) + body)
                with hangs.accept()[0]:  # it has asked the store
                    server.process.send_signal(signal.SIGTERM)
                    assert server.process.wait(timeout=8) == 1
                assert client.recv(12) == b""
            assert "stopped before 1 request" in server.log.read_text(encoding="utf-8")


def test_sigterm_stores_a_group_that_is_still_open(tmp_path: Path) -> None:
    with serving(tmp_path / "server", group_commit_ms=1500) as server, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            for _ in range(4)
        ]
        for number, client in enumerate(clients):
            client.sendall(head(len(session(number)), "Expect: 100-continue\r\n"))
            assert client.recv(64).startswith(b"HTTP/1.1 100")
        for number, client in enumerate(clients):
            client.sendall(session(number))
        assert server.stop() == 0
        assert [client.recv(12) for client in clients] == [b"HTTP/1.1 201"] * 4
        assert sum(gzip.decompress(one.read_bytes()).count(b"sessionId") for one in server.stored()) == 4


def test_sigint_stops_it_too(tmp_path: Path) -> None:
    with serving(tmp_path / "server", log=0) as server:
        assert server.put(session()) == 201
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=5) == 0
        assert server.log.read_text(encoding="utf-8") == ""


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    applications = tmp_path / "applications"
    applications.mkdir()
    (applications / "tool.toml").write_text(REGISTRY, encoding="utf-8")
    code = f"from ingest.function.server import serve; serve({str(tmp_path / 'bucket')!r}, '127.0.0.1', {server.port})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ABACULUS_APPLICATIONS": str(applications)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", timeout=PATIENCE
    )
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}: {os.strerror(errno.EADDRINUSE)}" in done.stderr
    assert "Errno" not in done.stderr


def test_a_store_that_cannot_be_written_to_is_in_the_log_but_no_session_is(tmp_path: Path) -> None:
    with serving(tmp_path / "server", store_seconds=0.2) as server:
        (server.bucket / "raw").write_text("in the way of a directory", encoding="utf-8")
        status, response, said = server.request("PUT", "/v1/sessions", session(1))
        assert (status, json.loads(said)) == (503, {"message": "Could not process request"})
        assert response.getheader("Retry-After") == "30"
        why, request = server.lines(2)
        assert why["severity"] == request["severity"] == "ERROR"
        assert mentions(why["message"], "GenericError")
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
    named = {
        "ABACULUS_BODY_BYTES": ("1", "'1 MiB'"),
        "ABACULUS_BATCH_LINES": ("1", "'0'"),
        "ABACULUS_GROUP_COMMIT_MS": ("0", "'-1'"),
        "ABACULUS_STALL_SECONDS": ("0.001", "'nan'"),
        "ABACULUS_LOG": ("0", "1", "'maybe'"),
    }
    for line, (name, values) in zip(str(raised.value).splitlines(), named.items(), strict=True):
        assert line.startswith(f"{name}: ") and mentions(line, *values), line


def test_importing_the_edge_loads_nothing_heavy() -> None:
    heavy = ["pyarrow", "duckdb", "deltalake", "mkdocs", "requests", "pydantic", "reports", "granian"]
    code = f"import sys, ingest.function.asgi; print([name for name in {heavy} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == "[]\n"
