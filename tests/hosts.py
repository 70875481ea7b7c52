"""What tests of the client share: a tool's home, the real function, and a proxy before it that puts faults in."""

import contextlib
import fcntl
import gzip
import http.client
import http.server
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from abaculus import detach
from ingest.function.registry import Application, parse
from tests.waiting import PATIENCE, until

__all__ = [
    "APPLICATION", "ASKED", "CLEAN", "CLIENT", "HOST", "ROOT", "Home", "Proxy", "again", "function", "interpreters",
    "proxy", "resets", "respond", "says", "sessions", "stalls", "stored",
]  # fmt: skip

ROOT = Path(__file__).parent.parent
CLIENT = ROOT / "ingest" / "client"
HOST = ROOT / "tests" / "host.py"

# A tool's registry, with what the client itself can record copied in as its documentation says.
REGISTRY = (
    'id = "my-tool"\nname = "My tool"\n'
    + (CLIENT / "abaculus" / "registry.toml").read_text(encoding="utf-8")
    + """
[attributes.count]
type = "integer"
why = "How much is done at once?"
[events.Done]
why = "Is it ever done?"
[events.Done.attributes.note]
type = "string"
values = ["ok"]
why = "How did it end?"
[spans.Work]
why = "How long does it take?"
[spans.Work.attributes.size]
type = "integer"
why = "Does it take longer with more?"
[spans.Part]
why = "How long does a part take?"
[spans.Part.attributes.size]
type = "integer"
why = "Which part?"
"""
)
APPLICATION: Application = parse(REGISTRY)
ASKED = "[yes/no]"
# Of everything that a run's environment may say, none: the machine that runs these tests may itself be a build server.
CLEAN = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


class Home:
    """A user of the tool: a home directory, what their environment says, and runs of the tool."""

    def __init__(self, directory: Path, endpoint: str = "http://127.0.0.1:9", **environment: str) -> None:
        self.directory = directory
        self.state = directory / "state" / "my-tool" / "telemetry"
        self.project = directory / "project"
        self.project.mkdir(parents=True, exist_ok=True)
        self.environment = {name: os.environ[name] for name in CLEAN if name in os.environ} | {
            "HOME": str(directory),
            "XDG_STATE_HOME": str(directory / "state"),
            "PYTHONPATH": str(CLIENT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MY_TOOL_TELEMETRY_ENDPOINT": endpoint,
            **environment,
        }

    def start(self, *arguments: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """Starts the tool."""
        command = [*prefix, sys.executable, str(HOST), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.project, env=self.environment | environment, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        )  # fmt: skip

    def run(self, *arguments: str, prefix: tuple[str, ...] = (), **environment: str) -> "Ran":
        """Runs the tool to its end."""
        began = time.monotonic()
        with self.start(*arguments, prefix=prefix, **environment) as process:
            out, error = process.communicate(timeout=PATIENCE)
        return Ran(process.returncode, out, error, time.monotonic() - began)

    def python(self, code: str, **environment: str) -> "Ran":
        """Runs Python with the tool imported as `host`."""
        environment = self.environment | {"PYTHONPATH": f"{CLIENT}{os.pathsep}{HOST.parent}"} | environment
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", f"import host\n{code}"],
            cwd=self.project,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def type(
        self, *arguments: str, keys: str, ahead: str = "", command: tuple[str, ...] = (), **environment: str
    ) -> tuple[int, str]:
        """Runs the tool, or a command, on a terminal; its exit code and what was to be seen.

        `keys` are typed when the question is there, `ahead` before the tool has started.
        """
        master, slave = pty.openpty()
        os.write(master, ahead.encode())
        # setsid makes the terminal the one that Ctrl-C comes from.
        process = subprocess.Popen(
            ["setsid", "--ctty", *(command or (sys.executable, str(HOST), *arguments))],
            cwd=self.project, env=self.environment | environment, stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        seen, typed = "", False
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([master], [], [], 0.05)[0]:
                try:
                    seen += os.read(master, 4096).decode()
                except OSError:
                    break
            if ASKED in seen and not typed:
                os.write(master, keys.encode())
                typed = True
        os.close(master)
        return process.wait(PATIENCE), seen.replace("\r\n", "\n")

    def queued(self) -> list[dict[str, Any]]:
        """The sessions that wait, oldest first."""
        return sessions(self.state / "queue")

    def run_and_send(self) -> None:
        """A run, an hour, and a run that has the first one's session sent."""
        self.run("work")
        self.grow_old()
        self.run("work")

    def grow_old(self, seconds: float = 3600) -> None:
        """Lets time pass for the sessions that wait, so that the next run sends them."""
        for path in (self.state / "queue").glob("[0-9]*.json"):
            began, rest = path.name.split("-", 1)
            path.rename(path.with_name(f"{int(began) - int(seconds * 1000):015d}-{rest}"))

    def files(self) -> list[str]:
        """Every file in the home, the project's aside."""
        found = (path.relative_to(self.directory) for path in self.directory.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in found if path.parts[0] != "project")

    def log(self) -> str:
        """What `telemetry log` would show."""
        path = self.state / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def idle(self) -> bool:
        """Whether no process of this user uploads. What it writes at its end is written then."""
        with Path(self.state / "lock").open("a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def is_unlocked(self) -> bool:
        """Whether no process uploads."""
        held = detach.lock(str(self.state))
        if held is not None:
            os.close(held)
        return held is not None

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for what a detached process does."""
        until(holds, said=lambda: f"queue {self.queued()}; log:\n{self.log()}")


def again(run: Callable[[], object], until: Callable[[], bool]) -> None:
    """Runs what waits two seconds for its upload, until that shows: on a busy machine the first two may be too few."""
    for _ in range(20):
        run()
        if until():
            return
    raise AssertionError("20 runs have sent nothing")


@cache
def interpreters(*minors: int) -> list[str]:
    """This interpreter, and one for each of these versions 3.n that is on this machine; without any, from 3.10 on."""
    found = [sys.executable]
    for minor in minors or range(10, 16):
        for one in (f"python3.{minor}", *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))):
            try:
                said = subprocess.check_output([one, "-c", "import sys; print(sys.version_info[:2])"], encoding="utf-8")
            except (OSError, subprocess.CalledProcessError):
                continue
            if said.strip() == f"(3, {minor})" and minor != sys.version_info.minor:
                found.append(one)
                break
    return found


def sessions(queue: Path) -> list[dict[str, Any]]:
    """The sessions in a directory, but for those that are sent and removed while this looks."""
    found = []
    for path in sorted(queue.glob("[!.]*.json")):
        with contextlib.suppress(FileNotFoundError):
            found.append(json.loads(path.read_bytes()))
    return found


class Ran:
    """A run of the tool that has ended."""

    def __init__(self, code: int, out: str, error: str, seconds: float) -> None:
        self.code, self.out, self.error, self.seconds = code, out, error, seconds

    @property
    def seen(self) -> tuple[int, str, str]:
        """All that its user sees."""
        return self.code, self.out, self.error


@contextlib.contextmanager
def function(directory: Path) -> Iterator[tuple[str, Path]]:
    """The real ingest function with the tool's registry; its URL and its bucket."""
    applications, bucket = directory / "applications", directory / "bucket"
    applications.mkdir(parents=True)
    (applications / "my-tool.toml").write_text(REGISTRY, encoding="utf-8")
    environment = {name: os.environ[name] for name in CLEAN if name in os.environ} | {
        "PYTHONPATH": str(ROOT), "ABACULUS_APPLICATIONS": str(applications), "ABACULUS_BUCKET": bucket.as_uri(),
        "HOST": "127.0.0.1", "PORT": "0",
    }  # fmt: skip
    with (directory / "function.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            said = process.stdout.readline()
            assert "http://" in said, (directory / "function.log").read_text(encoding="utf-8")
            yield next(word.rstrip(",") for word in said.split() if word.startswith("http://")), bucket
        finally:
            process.terminate()


def stored(bucket: Path) -> list[dict[str, Any]]:
    """Every line of every raw object, repeats included."""
    return [
        json.loads(line)
        for path in sorted(bucket.rglob("*.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


class Proxy:
    """Before a server: passes requests on, unless `fault` says something else. `bodies` are the requests' bodies."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("http://")
        self.fault: Callable[[http.server.BaseHTTPRequestHandler, bytes], bool] = lambda handler, body: False
        self.after: Callable[[], None] = lambda: None  # after the server's answer, before it is passed on
        self.bodies: list[bytes] = []
        self.url = ""

    @property
    def sent(self) -> list[list[dict[str, Any]]]:
        """The sessions of each request."""
        return [[json.loads(line) for line in gzip.decompress(body).splitlines()] for body in self.bodies]


@contextlib.contextmanager
def proxy(upstream: str = "http://127.0.0.1:9") -> Iterator[Proxy]:
    """A proxy on a free port of loopback."""
    made = Proxy(upstream)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.bodies.append(body)
            if made.fault(self, body):
                return
            connection = http.client.HTTPConnection(made.upstream, timeout=PATIENCE)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            with connection.getresponse() as answer:
                content = answer.read()
                made.after()
                respond(self, answer.status, content, dict(answer.headers.items()))
            connection.close()

        do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that are killed are what is tested

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def respond(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Answers a request."""
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in ("content-length", "date", "server"):
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler, bytes], bool]:
    """A fault: this answer, whatever was asked."""

    def fault(handler: http.server.BaseHTTPRequestHandler, _: bytes) -> bool:
        respond(handler, status, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def stalls(handler: http.server.BaseHTTPRequestHandler, _: bytes) -> bool:
    """A fault: takes the request and never answers."""
    time.sleep(60)
    return True


def resets(handler: http.server.BaseHTTPRequestHandler, _: bytes) -> bool:
    """A fault: the connection breaks."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    return True
