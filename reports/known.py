"""Which sessions a table has already: what compaction asks of a chunk before it adds any of it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from obstore.store import ObjectStore

from reports import table
from reports.duck import open_duckdb
from reports.mirror import columns

__all__ = ["Known", "scan"]

# Of these session ids, those that this version of the table has, whatever their month, each with the time at which it
# was ingested first: `session_id`, `ingestion_time`.
Known = Callable[[DeltaTable, pa.ChunkedArray], pa.Table]

FOUND = pa.schema([("session_id", pa.string()), ("ingestion_time", table.UTC)])


def scan(store: ObjectStore, bucket: str, application: str) -> Known:
    """Reads through two columns of the table, once a chunk; memory grows with the chunk, not with the table.

    About 8 seconds of one processor for 100 million sessions. No statistic can spare a file: ids are random, and a
    session that comes again may say another time.
    """
    here: dict[str, Path] = {}  # files never change: each is fetched and checked once a run

    def known(handle: DeltaTable, ids: pa.ChunkedArray) -> pa.Table:
        objects = [(f"tables/{application}/{file.path}", file.bytes) for file in table.files(handle)]
        new = [(key, size) for key, size in objects if key not in here]
        paths = columns(store, bucket, new, FOUND.names)
        here.update((key, path) for (key, _), path in zip(new, paths, strict=True))
        if not objects:
            return FOUND.empty_table()
        # The largest first: DuckDB takes all files to be like the first, and what it thinks is the smaller side of the
        # join, it holds in memory. A dozen small files once made that the table.
        largest = sorted(objects, key=lambda one: one[1], reverse=True)
        with open_duckdb() as connection:
            connection.register("wanted", pa.table({"session_id": ids}))
            return connection.sql(
                "SELECT session_id, min(ingestion_time) AS ingestion_time "
                "FROM read_parquet($1, hive_partitioning = false) SEMI JOIN wanted USING (session_id) GROUP BY ALL",
                params=[[str(here[key]) for key, _ in largest]],
            ).to_arrow_table()

    return known
