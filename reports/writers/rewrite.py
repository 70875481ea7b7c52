"""Writes months of a table again, without some of their rows or files, in one commit.

It uses the project's own writer, as compaction does. Some readers cannot read what the library's `delete` writes, and
two `optimize.compact` at once leave every row twice.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.storage import table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns, mirror

__all__ = ["counted", "remove", "rewrite", "widen"]

BATCH = 20_000
# A choice of rows: a condition in DuckDB's SQL over some columns, with its values.
Rows = tuple[str, Mapping[str, Any], Sequence[str]]
NONE: Rows = ("false", {}, ())


def counted(
    store: ObjectStore,
    bucket: str,
    application: str,
    files: Sequence[table.TableFile],
    gone: Rows,
    by: str = "filename",
) -> dict[str, int]:
    """How many rows of `gone` each file has, or each value of `by`. Zeros are left out."""
    if not files:
        return {}
    condition, values, names = gone
    paths = [str(path) for path in columns(store, bucket, table.keys(application, files), names)]
    with open_duckdb() as connection:
        found = connection.execute(
            f"SELECT {by}, count(*) FROM read_parquet($paths, filename = true, hive_partitioning = false) "
            f"WHERE {condition} GROUP BY ALL",
            {"paths": paths, **values},
        ).fetchall()
    named = dict(zip(paths, (file.path for file in files), strict=True))
    return {named.get(group, group): number for group, number in found}


def remove(
    store: ObjectStore, bucket: str, application: str, handle: DeltaTable, gone: Rows, note: Mapping[str, str]
) -> int:
    """Removes the rows of `gone` in one commit with the next number, and returns how many. Raises `table.Overtaken`.

    A removal that finds nothing is also a commit. It stops a run that read the table earlier and would bring rows back.
    """
    files = table.files(handle)
    found = counted(store, bucket, application, files, gone)
    total = sum(found.values())
    months = {file.month for file in files if file.path in found}
    rewrite(store, bucket, application, handle, months, {**note, "removed": str(total)}, gone=gone)
    return total


def rewrite(
    store: ObjectStore,
    bucket: str,
    application: str,
    handle: DeltaTable,
    months: Collection[str],
    note: Mapping[str, str],
    *,
    gone: Rows = NONE,
    without: Collection[str] = (),
    kind: pa.Schema | None = None,
) -> None:
    """Writes the rows of these months into as few files as possible, except those of `gone` and of the files `without`.

    With `kind`, `months` must be all months, and the table then has these columns.
    """
    number = table.sequence(handle) + 1
    if not months and kind is None:
        table.append(handle, pa.schema(handle.schema().to_arrow()).empty_table(), number, note)
        return
    files = [file for file in table.files(handle) if file.month in months and file.path not in without]
    paths = mirror(store, bucket, table.keys(application, files))
    if not paths:
        table.overwrite(handle, months, (), number, note, kind)
        return
    condition, values, _ = gone
    of = {"filename": [str(path) for path in paths], "month": [file.month for file in files]}
    with open_duckdb() as connection:
        connection.register("of", pa.table(of))
        # The month is in the directory's name. Other directories must not become columns.
        rows = connection.sql(
            "SELECT rows.* EXCLUDE (filename), of.month "
            "FROM read_parquet($paths, union_by_name = true, filename = true, hive_partitioning = false) AS rows "
            f"JOIN of USING (filename) WHERE ({condition}) IS NOT TRUE",
            params={"paths": of["filename"], **values},
        ).to_arrow_reader(BATCH)
        table.overwrite(handle, months, rows, number, note, kind)


def widen(
    store: ObjectStore, bucket: str, application: Application, handle: DeltaTable, note: Mapping[str, str]
) -> None:
    """Changes integers to numbers where the registry does, in one commit. Raises `table.Overtaken`.

    It writes the whole table again, because Delta cannot change a column from integer to number. So every reader finds
    one type in all files.
    """
    if (kind := table.widened(handle, application)) is not None:
        months = {file.month for file in table.files(handle)}
        rewrite(store, bucket, application.id, handle, months, {**note, "widened": "true"}, kind=kind)
