"""How much checking costs: the ingest function beside a bare application that writes each body unchecked.

    python3 .ci/venv python tests/benchmarks/ingest.py [--seconds 5]

Needs wrk (apt-get install wrk). Both are served alike, in one run, over the same stores: a local directory and a real
S3 server. Prints requests a second, latencies, and the ratio; then peak memory under this load and under the worst
batches that were found, thirty at once; then cold start.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import obstore

# This file's own directory is first on the path, where its name would hide the package that it measures.
sys.path[0] = str(Path(__file__).parents[2])
from ingest.function.bucket_url import open_bucket
from reports.sample import cairn_sessions
from tests.ingest import worst
from tests.servers import s3_server

HERE = Path(__file__).parent
CONNECTIONS = (1, 16, 128)
# What is served: its command, and for how many milliseconds sessions are collected.
APPLICATIONS = {
    "bare": (["-m", "tests.benchmarks.bare"], "0"),
    "abaculus": (["-m", "ingest"], "0"),
    "abaculus, group commit 20 ms": (["-m", "ingest"], "20"),
}


@dataclass(frozen=True)
class Load:
    """What wrk measured: latencies in milliseconds; `refused` were answered with an error status."""

    per_second: float
    p50: float
    p99: float
    refused: int


@contextlib.contextmanager
def server(command: list[str], environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """A server process; gives its URL and its process id."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            env={**os.environ, **environment},
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        match = re.search(r"http://[\d.:]+", said)
        assert match, f"no URL in {said!r}"
        try:
            yield match[0], process.pid
        finally:
            process.terminate()
            process.wait(60)


def load(url: str, connections: int, seconds: int, template: Path) -> Load:
    """Sends sessions for some seconds."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "20s"]
    command += ["-s", str(HERE / "session.lua"), url, "--", str(template)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    requests, duration, p50, p99, refused, broken = map(int, done.stdout.rsplit("RESULT ", 1)[1].split())
    assert not broken, f"{broken} connections broke"
    return Load(requests / duration * 1e6, p50 / 1000, p99 / 1000, refused)


def peak_memory(pid: int) -> float:
    """The most memory that a process has held so far, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))[1]) / 1000  # type: ignore[index]


def worst_memory(scratch: Path) -> float:
    """The most memory that the worst batches take, thirty of each at once, in MB."""
    (scratch / "worst").mkdir()
    (scratch / "worst/tool.toml").write_text(worst.REGISTRY, encoding="utf-8")
    settings = {"ABACULUS_BUCKET": (scratch / "worst-bucket").as_uri(), "PORT": "0", "HOST": "127.0.0.1"}
    settings |= {"ABACULUS_APPLICATIONS": str(scratch / "worst"), "ABACULUS_LOG": "0", "PYTHONPATH": "."}
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    with server(["-m", "ingest"], settings) as (url, pid), ThreadPoolExecutor(30) as clients:
        for name in worst.WORST:
            body = worst.packed(name)

            def send(_: int, body: bytes = body) -> None:
                connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
                connection.request("POST", "/v1/sessions", body, headers)
                connection.getresponse().read()
                connection.close()

            list(clients.map(send, range(30)))
        return peak_memory(pid)


def objects(bucket: str) -> int:
    """How many objects lie in raw/: one store operation made each."""
    return sum(len(page) for page in obstore.list(open_bucket(bucket), "raw/"))


def cold_start(bucket: str) -> float:
    """Seconds from the start of the process to the first answer."""
    began = time.perf_counter()
    with server(["-m", "reports.cli", "ingest", "--port", "0", "--bucket", bucket], {}) as (url, _):
        urllib.request.urlopen(f"{url}/ping").close()
        return time.perf_counter() - began


def python_start() -> float:
    """Seconds that Python itself takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="The ingest function beside a bare application.")
    parser.add_argument("--seconds", type=int, default=5, help="of load for each row")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    seconds, rounds = vars(parser.parse_args()).values()
    session = next(cairn_sessions.sessions(1, users=1, seed=1, end=datetime.now(UTC) - timedelta(minutes=1)))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"a session of {len(json.dumps(session)):,} bytes; {seconds} s a round, best of {rounds}; times in ms\n"
    )
    print("| store | application | connections | requests/s | p50 | p99 | of bare | objects per 10,000 sessions |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        template = Path(scratch) / "session.json"
        template.write_text(json.dumps(session | {"sessionId": "SESSION"}), encoding="utf-8")
        with s3_server(Path(scratch) / "s3") as s3:
            os.environ.update(s3)
            for store in ("local", "S3"):
                for connections in CONNECTIONS:
                    best: dict[str, Load] = {}
                    made: dict[str, float] = {}
                    # In turns, and the best of each: whatever else this machine does strikes all of them.
                    for turn in range(rounds):
                        for name, (command, group) in APPLICATIONS.items():
                            place = f"{store}-{connections}-{len(name)}-{turn}"
                            bucket = (Path(scratch) / place).as_uri() if store == "local" else f"s3://abaculus/{place}"
                            settings = {"ABACULUS_BUCKET": bucket, "BARE_BUCKET": bucket, "PORT": "0"}
                            settings |= {"HOST": "127.0.0.1", "ABACULUS_GROUP_COMMIT_MS": group, "ABACULUS_LOG": "0"}
                            with server(command, settings | {"PYTHONPATH": "."}) as (url, pid):
                                result = load(url, connections, seconds, template)
                                memory[name] = max(memory.get(name, 0), peak_memory(pid))
                            assert not result.refused, f"{result.refused} sessions were refused"
                            if name not in best or result.per_second > best[name].per_second:
                                best[name] = result
                                made[name] = objects(bucket) / (result.per_second * seconds)
                    for name, result in best.items():
                        print(
                            f"| {store} | {name} | {connections} | {result.per_second:,.0f} | {result.p50:.1f} | "
                            f"{result.p99:.1f} | {result.per_second / best['bare'].per_second:.2f} | "
                            f"{min(10_000, round(made[name] * 10_000)):,} |",
                            flush=True,
                        )
        print("\npeak memory: " + ", ".join(f"{name} {most:.0f} MB" for name, most in memory.items()))
        print(f"peak memory of the worst batches, thirty at once: {worst_memory(Path(scratch)):.0f} MB")
        starts = sorted(cold_start(str(Path(scratch) / "cold")) for _ in range(5))
        bare_starts = sorted(python_start() for _ in range(5))
        ours, python = starts[2] * 1000, bare_starts[2] * 1000
        print(f"start to first answer: {ours:.0f} ms; `python -c pass`: {python:.0f} ms; ratio {ours / python:.1f}")


if __name__ == "__main__":
    main()
