"""Restores sessions from data files that no commit of a table mentions, because a part of the log was lost or a writer
was killed.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from obstore.store import ObjectStore

from reports.storage import damage, table
from reports.storage.duck import open_duckdb
from reports.storage.stored_ids import scan

__all__ = ["lost", "plain", "take_back"]

# How many bytes of files are read and committed at once.
BYTES = 32 << 20
# The facts that decide whether the table should have a row.
NEEDED = ["session_id", "user_id", "start_time"]


def lost(
    store: ObjectStore, bucket: str, look: damage.Look, forgotten: Sequence[str], oldest: str | None
) -> tuple[int, int]:
    """How many sessions are missing from the table, and how many files contain none of these."""
    sessions = empty = 0
    for group in _groups(look.orphans):
        found = [
            0 if rows is None else _new(store, bucket, look.application, look.handle, rows, forgotten, oldest).num_rows
            for rows in (_read(store, key, NEEDED) for key, _ in group)
        ]
        sessions, empty = sessions + sum(found), empty + found.count(0)
    return sessions, empty


def take_back(
    store: ObjectStore, bucket: str, application: str, note: dict[str, str], oldest: str | None, *, take: bool
) -> tuple[int, int]:
    """Appends missing sessions, deletes files that are then unused, and returns both numbers.

    Unless `take`, only deletes. `oldest` is the time before which sessions have expired. Raises `table.Overtaken`.
    """
    taken = deleted = 0
    # Listed before the table is opened: a writer that has begun a file by now cannot commit it after the commit below.
    for group in _groups(damage.look(store, bucket, application, ()).orphans):
        handle = table.load(bucket, application)
        assert handle is not None
        named = {f"tables/{application}/{file.path}" for file in table.files(handle)}
        keys = [key for key, _ in group if key not in named]
        parts = [(key, _read(store, key)) for key in keys]
        number, forgotten = table.sequence(handle), damage.forgotten(store)
        new = {
            key: _new(store, bucket, application, handle, rows, forgotten, oldest)
            for key, rows in parts
            if rows is not None
        }
        rows = _distinct([rows for rows in new.values() if rows.num_rows] if take else [])
        if rows is None:
            rows = pa.schema(handle.schema().to_arrow()).empty_table()
        gone = [key for key in keys if take or key not in new or not new[key].num_rows]
        if not gone:
            continue
        table.append(handle, rows, number + 1, {**note, "taken_back": str(rows.num_rows)})
        store.delete(gone)
        taken, deleted = taken + rows.num_rows, deleted + len(gone)
    return taken, deleted


def _groups(orphans: Sequence[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    group: list[tuple[str, int]] = []
    for key, size in orphans:
        if group and sum(bytes for _, bytes in group) + size > BYTES:
            yield group
            group = []
        group.append((key, size))
    if group:
        yield group


def _read(store: ObjectStore, key: str, names: Sequence[str] | None = None) -> pa.Table | None:
    """The rows of a file, with their month, in these columns or all. None if it is no whole file of a table."""
    try:
        rows = pq.ParquetFile(pa.BufferReader(bytes(store.get(key).bytes()))).read(names)
        rows = rows.cast(pa.schema([(field.name, plain(field.type)) for field in rows.schema]))
    except (pa.ArrowException, OSError):
        return None
    month = key.rpartition("month=")[2].partition("/")[0]
    if "session_id" not in rows.column_names or "/month=" not in key:
        return None
    return rows.append_column("month", pa.array([month] * rows.num_rows, pa.string()))


def plain(kind: pa.DataType) -> pa.DataType:
    """A type in the form of the project's own writer; the library writes views of strings."""
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(pa.field("element", plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain(field.type)) for field in kind])
    return kind


def _new(
    store: ObjectStore,
    bucket: str,
    application: str,
    handle: DeltaTable | None,
    rows: pa.Table,
    forgotten: Sequence[str],
    oldest: str | None,
) -> pa.Table:
    """Rows that are missing from the table, without forgotten people and expired sessions."""
    there = pa.table({"session_id": pa.array([], pa.string())})
    if handle is not None:
        there = scan(store, bucket, application)(handle, rows["session_id"])
    narrow = rows.select(NEEDED)
    with open_duckdb() as connection:
        connection.register("narrow", narrow.append_column("number", pa.array(range(rows.num_rows))))
        connection.register("there", there)
        found = connection.sql(
            "SELECT number FROM narrow ANTI JOIN there USING (session_id) "
            "WHERE sha256(user_id) NOT IN (SELECT unnest($forgotten::VARCHAR[])) "
            "AND ($oldest IS NULL OR start_time >= $oldest::TIMESTAMPTZ) ORDER BY number",
            params={"forgotten": list(forgotten), "oldest": oldest},
        ).to_arrow_table()
    return rows.take(found["number"])


def _distinct(parts: Sequence[pa.Table]) -> pa.Table | None:
    """The rows of several files together, each session once. None if there are none."""
    if not parts:
        return None
    rows = pa.concat_tables(parts, promote_options="permissive")
    first = pc.index_in(rows["session_id"], rows["session_id"].combine_chunks())
    return rows.filter(pc.equal(first, pa.array(range(rows.num_rows), pa.int32())))
