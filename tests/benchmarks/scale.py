"""What compaction, reports and the operator's commands take as a table grows: the numbers of the page "Scale".

    python -m tests.benchmarks.scale 1000000 10000000 100000000 [--keep DIR] [--s3 10000000] [--engine spark]

Each size has a bucket of its own, written by `tests.benchmarks.fill`. Each command runs in a process of its own; what
counts is the processor time of all cores and the peak memory. The site has a dozen charts on three pages. Up to the
size given with `--s3`, the bucket is also put into a local S3 server, to see what a machine with no copies fetches; how
many requests that takes is counted by another server, over 200,000 sessions. With `--engine spark`, a Sail on this
machine counts, a new one for each command, and the commands that no engine changes are left out.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.query.engine import ENGINES
from reports.sample import cairn_sessions
from reports.storage import table
from tests import sparks
from tests.benchmarks import build
from tests.benchmarks.fill import BASE, fill
from tests.benchmarks.ingest import peak_memory
from tests.buckets import batch
from tests.servers import moto_server, s3_server

ROOT = Path(__file__).parents[2]
# What comes between two runs, in objects of 500, as a client's queue sends them.
NEW, OBJECT = 20_000, 500
CHARTS_A_PAGE, PAGES = 4, 3
# What a build does before its first query: nothing but to have every table file here.
FETCH = """
import sys
from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.query.views import fetch
fetch(open_bucket(sys.argv[1]), sys.argv[1], registry.load())
"""
# The peak of a process is at least what its parent had when it began, so a small one stands between.
LAUNCH = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss, file=file)
sys.exit(code)
"""


@dataclass(frozen=True)
class Taken:
    """What a process took: seconds on the clock, processor seconds of all cores, peak memory in MB."""

    clock: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.cpu:.1f} | {self.memory:,.0f}"


def taken(command: list[str], environment: Mapping[str, str], directory: Path = ROOT) -> Taken:
    """Runs a process to its end."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        done = subprocess.run(
            [sys.executable, "-c", LAUNCH, said.name, sys.executable, *command],
            cwd=directory, env={**os.environ, **environment}, capture_output=True, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, (
            f"{command[:4]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
        )
        clock, cpu, memory = map(float, said.read().split())
    return Taken(clock, cpu, memory / 1000)


def taken_with_sail(
    command: list[str], environment: Mapping[str, str], directory: Path, scratch: Path
) -> tuple[Taken, Taken]:
    """Runs a process to its end, with a Sail to count for it; gives what each of the two took."""
    with sparks.sail(scratch / "sail") as url:
        (server,) = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split())
        before = _processor(server)
        used = taken([*command, "--engine", "spark"], {**environment, "SPARK_REMOTE": url}, directory)
        return used, Taken(used.clock, _processor(server) - before, peak_memory(server))


def _processor(pid: int) -> float:
    """The processor seconds that a process that still runs has had."""
    # The second field is the program's name, which may have spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def abaculus(*arguments: str) -> list[str]:
    return ["-m", "reports.cli", *arguments]


def arrive(bucket: str, seed: int) -> None:
    """Puts new sessions into the bucket, as the function would."""
    store, known, now = open_bucket(bucket), registry.load(), datetime.now(UTC)
    made = list(cairn_sessions.sessions(NEW, users=NEW // 25, seed=seed, end=now - timedelta(minutes=1)))
    for at in range(0, NEW, OBJECT):
        batch(store, *made[at : at + OBJECT], known=known, ingested=now)


def project(directory: Path) -> Path:
    """A site of a dozen charts on three pages."""
    (directory / "site").mkdir(parents=True, exist_ok=True)
    (directory / "mkdocs.yml").write_text(build.MKDOCS, encoding="utf-8")
    for page in range(PAGES):
        charts = build.CHARTS[page * CHARTS_A_PAGE : (page + 1) * CHARTS_A_PAGE]
        name = f"page-{page}" if page else "index"
        (directory / "site" / f"{name}.md").write_text(f"# Page {page}\n\n{build.page_of(charts)}", encoding="utf-8")
    return directory


def described(bucket: Path) -> tuple[int, int, int]:
    """Files of the table, their bytes, and people in it, CI runs left out."""
    handle = table.load(str(bucket), cairn_sessions.APPLICATION)
    assert handle is not None
    with duckdb.connect() as connection:
        people = connection.execute(
            "SELECT count(DISTINCT hash(user_id)) FROM read_parquet($1, hive_partitioning = false) "
            "WHERE attributes.runningInCi IS DISTINCT FROM true",
            [handle.file_uris()],
        ).fetchall()[0][0]
    files = table.files(handle)
    return len(files), sum(file.bytes for file in files), people


def measure(count: int, directory: Path, engine: str) -> None:
    """Prints a row for each command over a table of `count` sessions."""
    bucket = directory / "bucket"
    if not bucket.exists():
        fill(bucket, count)
    environment = _environment(directory)
    files, size, people = described(bucket)
    print(
        f"\n{count:,} sessions, {people:,} people, {files} files, {size / 1e9:.2f} GB: {size / count:.0f} bytes each\n"
    )
    print("| sessions | command | processor, s | peak MB | clock, s |\n|---:|---|---:|---:|---:|")

    def row(name: str, command: list[str], where: Path = ROOT) -> None:
        if engine == "spark":
            used, server = taken_with_sail(command, environment, where, directory)
            rows = {f"{name}: the command": used, f"{name}: Sail": server}
        else:
            rows = {name: taken(command, environment, where)}
        for what, used in rows.items():
            print(f"| {count:,} | {what} | {used} | {used.clock:.1f} |", flush=True)

    address = bucket.as_uri()
    row("`compact`, nothing new", abaculus("compact", "--bucket", address))
    arrive(address, seed=int(time.time()))
    row(f"`compact`, {NEW:,} new", abaculus("compact", "--bucket", address))
    if engine != "spark":
        row("`status`", abaculus("status", "--bucket", address))
        row("`verify`", abaculus("verify", "--bucket", address))
    site = project(directory / "project")
    row("`build`, 12 charts", abaculus("build", "--bucket", address, "--out", str(directory / "out")), site)


def measure_s3(count: int, directory: Path) -> None:
    """Prints what a machine without copies fetches from a store, to compact and to build."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=directory)))
        server = stack.enter_context(s3_server(scratch / "s3"))
        environment = {**_environment(scratch), **server}
        os.environ.update(server)
        upload(directory / "bucket", "s3://abaculus/b")
        arrive("s3://abaculus/b", seed=int(time.time()))
        for name, command, fresh in (
            (f"`compact`, {NEW:,} new", abaculus("compact", "--bucket", "s3://abaculus/b"), False),
            ("all copies for a build", ["-c", FETCH, "s3://abaculus/b"], True),
            ("the same again", ["-c", FETCH, "s3://abaculus/b"], False),
        ):
            if fresh:
                shutil.rmtree(scratch / "cache")
            before = _bytes(scratch / "cache")
            used = taken(command, environment)
            fetched = _bytes(scratch / "cache") - before
            print(f"| {count:,} | {name}, S3 | {used} | {fetched / 1e6:,.0f} MB | {used.clock:.1f} |", flush=True)


def requests(directory: Path) -> None:
    """Prints the requests of a run over a table of one copy, by kind, as the store's server logs them."""
    if not (directory / "bucket").exists():
        fill(directory / "bucket", BASE)
    with tempfile.TemporaryDirectory(dir=directory) as name, moto_server(Path(name) / "s3") as server:
        os.environ.update(server)
        upload(directory / "bucket", "s3://abaculus/b")
        arrive("s3://abaculus/b", seed=int(time.time()))
        environment = {**_environment(Path(name)), **server}
        log = Path(name) / "s3" / "server.log"
        for what, command in (
            (f"`compact`, {NEW:,} new in {NEW // OBJECT} objects", abaculus("compact", "--bucket", "s3://abaculus/b")),
            ("`compact`, nothing new", abaculus("compact", "--bucket", "s3://abaculus/b")),
            ("all copies for a build", ["-c", FETCH, "s3://abaculus/b"]),
            ("the same again", ["-c", FETCH, "s3://abaculus/b"]),
        ):
            seen = log.stat().st_size
            taken(command, environment)
            kinds = Counter(_kind(line) for line in log.read_bytes()[seen:].decode().splitlines() if '" ' in line)
            print(
                f"| {what} | {' | '.join(str(kinds[kind]) for kind in ('PUT', 'LIST', 'GET', 'DELETE'))} |", flush=True
            )


def _kind(line: str) -> str:
    found = re.search(r'"(\w+) (\S+)', line)
    assert found, line
    method, address = found.groups()
    if method == "GET" and "list-type" in address:
        return "LIST"
    # A store sells a HEAD as a GET; many objects are deleted with a POST, which is free as a DELETE is.
    return {"HEAD": "GET", "POST": "DELETE"}.get(method, method)


def upload(source: Path, bucket: str) -> None:
    """Puts a local bucket's objects into another."""
    store = open_bucket(bucket)
    paths = [path for path in source.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda path: store.put(str(path.relative_to(source)), path), paths))


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _environment(directory: Path) -> dict[str, str]:
    """What each process needs, with copies and spilled rows below a directory of its own."""
    return {**build.environment(), "XDG_CACHE_HOME": str(directory / "cache")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how costs grow with a table.")
    parser.add_argument("sessions", type=int, nargs="+")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the buckets there, for the next time")
    parser.add_argument("--s3", type=int, default=0, metavar="SESSIONS", help="with an S3 server, up to this size")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="what counts; for spark, a Sail here")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, DuckDB {duckdb.__version__}"
    )
    with ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="abaculus-")))
        for count in options.sessions:
            (place / str(count)).mkdir(parents=True, exist_ok=True)
            measure(count, place / str(count), options.engine)
            if count <= options.s3:
                measure_s3(count, place / str(count))
            if not options.keep:
                shutil.rmtree(place / str(count))
        if options.s3:
            print("\n| run over 200,000 sessions | PUT | LIST | GET | DELETE |\n|---|---:|---:|---:|---:|")
            (place / str(BASE)).mkdir(exist_ok=True)
            requests(place / str(BASE))


if __name__ == "__main__":
    main()
