"""Compaction beside what DuckDB does alone with the same objects.

    python3 .ci/venv python tests/benchmarks/compaction.py [--small 50000] [--large 1000000] [--s3]

(a) objects of one session, (b) objects of 500. Each engine runs in a process of its own over the same files. Abaculus
validates, deduplicates and commits to a Delta table; the peers read the same JSON with the same types and write one
Parquet file, without any of that. polars and chdb are measured where they are installed. Prints sessions a second, the
ratio and the peak memory.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])
from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from ingest.function.session_format import parse, timestamp
from ingest.function.settings import Settings
from reports.sample import cairn_sessions
from reports.storage import lines
from tests.servers import s3_server

PEER = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute("SET enable_progress_bar = false")
columns, source, target = sys.argv[1:]
connection.execute(f"SET temp_directory = '{target}.spill'")
connection.execute(
    f"COPY (SELECT * FROM read_json('{source}', columns = {columns}, format = 'newline_delimited')) "
    f"TO '{target}' (FORMAT parquet)"
)
print(connection.sql(f"SELECT count(*) FROM '{target}'").fetchall()[0][0])
"""
POLARS = """
import sys, glob, gzip, io, polars
parts = b"".join(gzip.open(name).read() for name in sorted(glob.glob(sys.argv[1], recursive=True)))
frame = polars.read_ndjson(io.BytesIO(parts))
frame.write_parquet(sys.argv[2])
print(len(frame))
"""

CHDB = """
import sys, chdb
structure, source, target = sys.argv[1:]
chdb.query(
    f"INSERT INTO FUNCTION file('{target}', Parquet) SELECT * FROM file('{source}', 'JSONEachRow', '{structure}') "
    "SETTINGS date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1"
)
print(chdb.query(f"SELECT count() FROM file('{target}', Parquet)"))
"""


def made(count: int) -> Iterator[bytes]:
    """Canonical lines of `count` sessions: twenty thousand of the sample's, again and again under new ids."""
    now = datetime.now(UTC)
    applications = registry.load()
    made = [
        (session["sessionId"].encode(), parse(json.dumps(session).encode(), applications, now, Settings()))
        for session in cairn_sessions.sessions(20_000, users=2_000, seed=0, end=now - timedelta(minutes=1))
    ]
    written = [(id, session.line(timestamp(now))) for id, session in made]
    for number in range(count):
        id, line = written[number % len(written)]
        yield line if number < len(written) else line.replace(id, str(uuid.uuid4()).encode(), 1)


def fill(bucket: str, count: int, size: int) -> None:
    """Raw objects of `size` sessions each."""
    store = open_bucket(bucket)
    local = Path(bucket.removeprefix("file://")) if bucket.startswith("file://") else None
    pending: list[bytes] = []
    number = 0
    threads = ThreadPoolExecutor(16)
    for at, line in enumerate(made(count), 1):
        pending.append(line)
        if len(pending) == size or at == count:
            key = f"raw/v1/cairn/2026-01-{number % 28 + 1:02}/batch-{number:09}.ndjson.gz"
            content = gzip.compress(b"".join(pending), 6, mtime=0)
            if local:
                (local / key).parent.mkdir(parents=True, exist_ok=True)
                (local / key).write_bytes(content)
            else:
                threads.submit(store.put, key, content)
            pending, number = [], number + 1
    threads.shutdown()


def timed(command: list[str], patience: float | None = None) -> tuple[float, float, str | None]:
    """Seconds, peak memory in MB and output of a process; no output when it was stopped after so many seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen([sys.executable, *command], stdout=out, env={**os.environ, "PYTHONPATH": "."})
        stop = threading.Timer(patience or threading.TIMEOUT_MAX, process.kill)
        stop.start()
        _, status, usage = os.wait4(process.pid, 0)
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if patience and seconds >= patience:
            return seconds, usage.ru_maxrss / 1000, None
        out.seek(0)
        assert process.returncode == 0, f"{command[:2]} ended with {process.returncode}"
        return seconds, usage.ru_maxrss / 1000, out.read()


def duck(kind: object) -> str:
    """A column's type in DuckDB's words, from its Arrow type."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{field.name}" {duck(field.type)}' for field in kind) + ")"  # type: ignore[attr-defined]
    if pa.types.is_list(kind):
        return duck(kind.value_type) + "[]"  # type: ignore[attr-defined]
    names = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    return names.get(str(kind), "TIMESTAMPTZ")


def click(kind: object) -> str:
    """The same in ClickHouse's words, which is what chdb is."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "Tuple(" + ", ".join(f"{field.name} {click(field.type)}" for field in kind) + ")"  # type: ignore[attr-defined]
    if pa.types.is_list(kind):
        return f"Array({click(kind.value_type)})"  # type: ignore[attr-defined]
    names = {"string": "String", "int64": "Int64", "double": "Float64", "bool": "Bool"}
    return f"Nullable({names.get(str(kind), 'DateTime64(6)')})"


def there(module: str) -> bool:
    """Whether a peer is installed; the project itself needs none of them."""
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def measure(name: str, bucket: str, count: int, size: int, scratch: Path, patience: float) -> None:
    """One row of the table for each engine."""
    began = time.perf_counter()
    fill(bucket, count, size)
    print(f"(filled {count:,} sessions in {time.perf_counter() - began:.0f} s)", file=sys.stderr)
    rows: list[tuple[str, float, float, str]] = []
    if bucket.startswith("file://"):
        source = bucket.removeprefix("file://") + "/raw/v1/cairn/**/*.gz"
        schema = lines.schema(registry.load()["cairn"])
        columns = "{" + ", ".join(f"'{field.name}': '{duck(field.type)}'" for field in schema) + "}"
        peers = {"DuckDB, read_json": ["-c", PEER, columns, source, str(scratch / "peer.parquet")]}
        if there("polars"):
            peers["polars, read_ndjson"] = ["-c", POLARS, source, str(scratch / f"polars{size}.parquet")]
        if there("chdb"):
            structure = ", ".join(f"{field.name} {click(field.type)}" for field in schema)
            peers["chdb, JSONEachRow"] = ["-c", CHDB, structure, source, str(scratch / f"chdb{size}.parquet")]
        for peer, command in peers.items():
            seconds, memory, said = timed(command, patience)
            assert said is None or int(said) == count
            rows.append((peer, seconds, memory, "" if said else "over "))
    seconds, memory, said = timed(["-m", "reports.cli", "compact", "--json", "--bucket", bucket])
    assert json.loads(said or "")["applications"]["cairn"]["stored"] == count
    rows.append(("abaculus compact", seconds, memory, ""))
    again, memory_again, _ = timed(["-m", "reports.cli", "compact", "--json", "--bucket", bucket])
    for engine, seconds, memory, over in rows:
        ratio = f"{rows[0][3] if engine != rows[0][0] else ''}{rows[0][1] / seconds:.1f}" if len(rows) > 1 else ""
        pace = "" if over else f"{count / seconds:,.0f}"
        print(f"| {name} | {engine} | {over}{seconds:.1f} | {pace} | {ratio} | {memory:,.0f} |", flush=True)
    print(f"| {name} | a run with nothing new | {again:.1f} | | | {memory_again:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compaction beside DuckDB alone.")
    parser.add_argument("--small", type=int, default=50_000, help="sessions in objects of one")
    parser.add_argument("--large", type=int, default=1_000_000, help="sessions in objects of 500")
    parser.add_argument(
        "--s3", action="store_true", help="from a local S3 server too, which DuckDB alone cannot read here"
    )
    parser.add_argument("--patience", type=float, default=300, help="seconds after which a peer is stopped")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| objects | engine | seconds | sessions/s | times the peer | peak MB |")
    print("|---|---|---:|---:|---:|---:|")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for label, count, size in (("one session", options.small, 1), ("500 sessions", options.large, 500)):
            if count:
                measure(
                    f"{count:,} in objects of {label}, local",
                    (scratch / f"b{size}").as_uri(),
                    count,
                    size,
                    scratch,
                    options.patience,
                )
        with s3_server(scratch / "s3") if options.s3 else nullcontext({}) as environment:
            os.environ.update(environment)
            for label, count, size in (("one session", options.small, 1), ("500 sessions", options.large, 500)):
                if count and options.s3:
                    measure(
                        f"{count:,} in objects of {label}, S3",
                        f"s3://abaculus/b{size}",
                        count,
                        size,
                        scratch,
                        options.patience,
                    )


if __name__ == "__main__":
    main()
