"""A bucket with as many sessions in its table as wanted, written as `upkeep` would leave it.

    python -m tests.benchmarks.fill 10000000 /tmp/bucket [--seed 0]

200,000 sessions of the sample generator are compacted as usual. They are then written again and again, in order of
time, each copy with session ids and people of its own and shifted by some minutes. So everything that a page asks of
one copy is the same for all of them, and the number of people grows with that of sessions.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.sample import cairn_sessions
from reports.storage import ledger, table
from reports.storage.ledger import Counts
from reports.storage.releases import keep
from reports.writers.compact import compact
from tests.buckets import batch

__all__ = ["fill"]

BASE, PEOPLE = 200_000, 8_000
# So many are sorted by time together, all copies of a few sessions.
BATCH = 50_000
# How far copies are shifted, at most.
MINUTES = 720


def fill(bucket: Path, count: int, seed: int = 0) -> None:
    """Writes a table of `count` sessions, in whole copies of `BASE`, its log, its releases and its ledger entry."""
    known = registry.load()[cairn_sessions.APPLICATION]
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    entry = ledger.begin()
    copies = max(1, count // BASE)
    with tempfile.TemporaryDirectory(dir=bucket.parent) as scratch, duckdb.connect() as connection:
        _base(Path(scratch), connection, min(count, BASE), seed, end)
        handle = table.load_or_create(str(bucket), known)
        months = connection.sql("SELECT month, count(*) FROM base GROUP BY month ORDER BY month").fetchall()
        for month, rows in months:
            began = time.perf_counter()
            _write(handle, _copies(connection, month, copies, seed), month, entry.run, rows * copies)
            print(f"{month}: {rows * copies:,} sessions in {time.perf_counter() - began:.0f} s", flush=True)
    handle.create_checkpoint()
    stored = sum(file.rows for file in table.files(handle))
    entry.applications[known.id] = Counts(
        objects=stored, sessions=stored, stored=stored, people=ledger.PEOPLE, table_version=handle.version()
    )
    store = open_bucket(str(bucket))
    ledger.record(store, entry)
    dates = [
        {"version": version, "released": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for version, at in cairn_sessions.releases(end)
    ]
    keep(store, known.id, dates)


def _base(scratch: Path, connection: duckdb.DuckDBPyConnection, count: int, seed: int, end: datetime) -> None:
    """Makes the sessions that are repeated: compacted into a table of their own, and from there into `base`."""
    known = registry.load()
    store = open_bucket(str(scratch / "bucket"))
    made = list(cairn_sessions.sessions(count, users=PEOPLE * count // BASE, seed=seed, end=end - timedelta(hours=13)))
    for at in range(0, len(made), 1_000):
        batch(store, *made[at : at + 1_000], known=known, ingested=end)
    compact(store, str(scratch / "bucket"), known)
    handle = table.load(str(scratch / "bucket"), cairn_sessions.APPLICATION)
    assert handle is not None
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET memory_limit = '3GB'")
    connection.execute(
        "CREATE TABLE base AS FROM read_parquet($1, union_by_name = true, hive_types = {'month': VARCHAR}) "
        "ORDER BY start_time",
        [handle.file_uris()],
    )


def _copies(connection: duckdb.DuckDBPyConnection, month: str, copies: int, seed: int) -> Iterator[pa.RecordBatch]:
    """A month of all copies, a few thousand sessions of the base after the other."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE one AS SELECT *, row_number() OVER () AS number FROM base WHERE month = $1",
        [month],
    )
    rows = connection.execute("SELECT count(*) FROM one").fetchall()[0][0]
    step = max(1, BATCH // copies)
    for at in range(0, rows, step):
        yield from connection.sql(
            f"""
            SELECT * EXCLUDE (number, copy, shift) REPLACE (
                {_uuid("session_id", seed)} AS session_id, {_uuid("user_id", seed)} AS user_id,
                -- it came in when it ended
                start_time + shift AS start_time, end_time + shift AS end_time, end_time + shift AS ingestion_time,
                list_transform(events, lambda one: {_moved("type", "time", "attributes")}) AS events,
                list_transform(spans, lambda one: {_moved("type", "start_time", "end_time", "attributes")}) AS spans
            ) FROM (
                -- what is shifted stays within its month, so that the partition is right
                SELECT *, CASE WHEN strftime(start_time + moved, '%Y-%m') = month THEN moved ELSE INTERVAL 0 MINUTE END
                    + to_microseconds((hash(session_id, copy) % 1000000)::BIGINT) AS shift
                FROM one, (SELECT range AS copy, to_minutes(range * 7 % {MINUTES}) AS moved FROM range({copies}))
                WHERE number > {at} AND number <= {at + step}
            ) ORDER BY ingestion_time
            """
        ).to_arrow_reader(BATCH)


def _moved(*members: str) -> str:
    """An event or a span whose times are shifted as its session's are."""
    return (
        "{" + ", ".join(f"'{name}': one.{name}{' + shift' if name.endswith('time') else ''}" for name in members) + "}"
    )


def _uuid(column: str, seed: int) -> str:
    """An id of version 4 for each copy of one, the same for the same seed."""
    digest = f"md5({column} || copy || '/{seed}')"
    return f"format('{{}}4{{}}a{{}}', {digest}[:12], {digest}[14:16], {digest}[18:])::UUID::VARCHAR"


def _write(handle: DeltaTable, rows: Iterator[pa.RecordBatch], month: str, run: str, count: int) -> None:
    """One commit, as compaction and upkeep make them together: numbered, in large files."""
    kind = pa.schema(handle.schema().to_arrow())
    ordered = (part for batch in rows for part in pa.table(batch).select(kind.names).cast(kind).to_batches())
    number = table.sequence(handle) + 1
    write_deltalake(
        handle,
        pa.RecordBatchReader.from_batches(kind, ordered),
        mode="append",
        target_file_size=table.MERGED_BYTES,
        commit_properties=CommitProperties(
            custom_metadata={"run": run, "stored": str(count)}, app_transactions=[Transaction(table.COMPACT, number)]
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a table of many sessions.")
    parser.add_argument("sessions", type=int)
    parser.add_argument("bucket", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    fill(options.bucket.absolute(), options.sessions, options.seed)
    size = sum(path.stat().st_size for path in options.bucket.rglob("*.parquet"))
    print(f"{options.sessions:,} sessions, {size / 1e6:,.0f} MB, in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
