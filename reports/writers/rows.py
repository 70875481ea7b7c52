"""Turns raw lines into table rows, and says which of them are new."""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingest.function.registry import Application
from reports.storage import clock, table

__all__ = ["judge", "misfits", "shape", "users"]


def judge(connection: duckdb.DuckDBPyConnection, rows: pa.Table, stored: pa.Table, forgotten: list[str]) -> pa.Table:
    """For each row of the chunk, which one of `new`, `forgotten`, `recovered` and `repeated` it is, and its month."""
    # Few columns, so that the content of sessions is never sorted or hashed.
    columns = ["sessionId", "userId", "sessionStartTime", "sessionEndTime", "ingestionTime"]
    connection.register("chunk", rows.select(columns).append_column("number", pa.array(range(rows.num_rows))))
    connection.register("stored", stored)
    connection.execute("CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::VARCHAR[]) AS digest", [forgotten])
    sound = clock.sound("sessionStartTime", "sessionEndTime", "ingestionTime")
    found: pa.Table = connection.sql(
        f"""
        WITH
            marked AS (
                SELECT
                    chunk.number,
                    strftime(sessionStartTime::TIMESTAMP, '%Y-%m') AS month,
                    NOT {sound} AS clock_suspect,
                    sha256(userId) IN (SELECT digest FROM forgotten) AS forgotten,
                    -- the row of this very line: a run was stopped between its commit and the deletion
                    coalesce(ingestionTime = stored.ingestion_time, false) AS same,
                    -- of two, the one ingested first is kept
                    row_number() OVER (PARTITION BY sessionId ORDER BY ingestionTime, number) = 1 AS first,
                    stored.session_id IS NOT NULL AS there
                FROM chunk LEFT JOIN stored ON stored.session_id = chunk.sessionId
            )
        SELECT
            month,
            clock_suspect,
            forgotten,
            NOT forgotten AND first AND NOT there AS new,
            NOT forgotten AND first AND same AS recovered,
            NOT forgotten AND NOT (first AND (same OR NOT there)) AS repeated
        FROM marked ORDER BY number
        """
    ).to_arrow_table()
    connection.unregister("chunk")
    connection.unregister("stored")
    return found


def shape(application: Application, rows: pa.Table, found: pa.Table) -> pa.Table:
    """The table rows of new sessions, in the table's columns."""
    columns = {
        "session_id": rows["sessionId"],
        "user_id": rows["userId"],
        "application_version": rows["applicationVersion"],
        "start_time": rows["sessionStartTime"],
        "end_time": rows["sessionEndTime"],
        "ingestion_time": rows["ingestionTime"],
        "clock_suspect": found["clock_suspect"],
        "month": found["month"],
        **{name: rows[name] for name in ("attributes", "events", "spans", "undeclared")},
    }
    wanted = table.schema(application)
    every = pa.table([_column(columns[field.name], field.type) for field in wanted], schema=wanted)
    return every if pc.all(found["new"]).as_py() else every.filter(found["new"])


# Members whose names differ between a raw line and a row.
RAW = {"start_time": "startTime", "end_time": "endTime"}


def _column(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in the table's type. Its lists of structs have other names, and an empty struct may be missing."""
    if column.type == kind:
        return column
    return pa.chunked_array([_renamed(part, kind) for part in column.chunks], kind)


def _renamed(part: pa.ListArray, kind: pa.ListType) -> pa.ListArray:
    # Arrow's cast matches members by name; here the same buffers get other names.
    items = part.values
    members = [items.field(RAW.get(field.name, field.name)) for field in kind.value_type]
    named = pa.StructArray.from_arrays(members, fields=list(kind.value_type), mask=items.is_null())
    return pa.Array.from_buffers(kind, len(part), part.buffers()[:2], offset=part.offset, children=[named])


def misfits(application: Application, rows: pa.Table) -> dict[str, int]:
    """How many of these sessions had a value that does not fit its declared type, by path.

    Such a value is null in the row and its path is in `undeclared`, whether the function or compaction found it.
    """
    taken = {path for path, one in application.declared.items() if not one.removed}
    found = pc.value_counts(pc.list_flatten(rows["undeclared"])).to_pylist()
    return {one["values"]: one["counts"] for one in found if one["values"] in taken}


def users(application: Application, rows: pa.Table) -> list[str]:
    """Ids of the people in these rows, without CI runs."""
    for field in application.with_role("ci"):
        rows = rows.filter(pc.invert(pc.fill_null(pc.struct_field(rows["attributes"], field.name), False)))
    found: list[str] = rows["user_id"].unique().to_pylist()
    return found
