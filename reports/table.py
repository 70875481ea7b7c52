"""The Delta table of an application, and nothing else about it: its schema, its commits, its files."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from ingest.registry import Application, Field, Kind

__all__ = [
    "Overtaken", "TableError", "TableFile", "append", "files", "load", "load_or_create", "merge", "remove", "schema",
    "sequence", "vacuum",
]  # fmt: skip

UTC = pa.timestamp("us", tz="UTC")
ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": UTC,
}
# The transaction identifier under which every writer numbers its commits.
COMPACT = "compact"
# How large merged files become.
MERGED_BYTES = 128 << 20


PROPERTIES = {
    # No smallest and largest value of other columns in the log: ids and free text stay in the data files.
    "delta.dataSkippingStatsColumns": "start_time,ingestion_time",
    # With a checkpoint, log entries that are older than this are deleted.
    "delta.logRetentionDuration": "interval 7 days",
}


class Overtaken(Exception):
    """Another writer's commit came first. Open the table again and start the chunk over."""


class TableError(Exception):
    """The table and the registry contradict each other; the text names the column, both types and the remedy."""


@dataclass(frozen=True)
class TableFile:
    """A data file of a table, which never changes: its path below the table, bytes, rows, month and earliest start."""

    path: str
    bytes: int
    rows: int
    month: str
    first: datetime | None


def fields(declared: Mapping[str, Field]) -> pa.DataType:
    """The struct of declared attributes. Removed ones keep their column: old rows have values in it."""
    return pa.struct([(field.name, ARROW[field.type]) for field in declared.values()])


def union(kinds: Mapping[str, Kind]) -> pa.DataType:
    """One struct for the attributes of all types of event, or of span: the registry allows one type a name."""
    return fields({field.name: field for kind in kinds.values() for field in kind.attributes.values()})


def schema(application: Application) -> pa.Schema:
    """Columns of the table, by the registry. A struct without fields is left out: Parquet cannot hold one."""
    columns: list[tuple[str, pa.DataType]] = [
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("application_version", pa.string()),
        ("start_time", UTC),
        ("end_time", UTC),
        ("ingestion_time", UTC),
        ("clock_suspect", pa.bool_()),
        ("month", pa.string()),
        ("attributes", fields(application.attributes)),
        ("events", _list([("type", pa.string()), ("time", UTC)], union(application.events))),
        ("spans", _list([("type", pa.string()), ("start_time", UTC), ("end_time", UTC)], union(application.spans))),
        ("undeclared", pa.list_(pa.string())),
    ]
    return pa.schema([(name, kind) for name, kind in columns if kind != pa.struct([])])


def _list(core: list[tuple[str, pa.DataType]], attributes: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct([*core, ("attributes", attributes)] if attributes.num_fields else core))


def uri(bucket: str, application: str) -> str:
    """Where the table lies, as deltalake wants it: a path for a local directory, the URL otherwise."""
    parts = urlsplit(bucket)
    if parts.scheme in ("", "file"):
        root = Path(unquote(parts.path)) if parts.scheme else Path(bucket)
        return str(root.absolute() / "tables" / application)
    return f"{bucket.rstrip('/')}/tables/{application}"


def load(bucket: str, application: str) -> DeltaTable | None:
    """The table as it stands now, or None before the first compaction."""
    try:
        return DeltaTable(uri(bucket, application))
    except TableNotFoundError:
        return None


def load_or_create(bucket: str, application: Application) -> DeltaTable:
    """The table, created empty first: of two writers that race to create it by writing, both can succeed."""
    table = load(bucket, application.id)
    if table is None:
        with suppress(CommitFailedError, DeltaError):  # another writer was first; its table is as good
            DeltaTable.create(
                uri(bucket, application.id),
                schema(application),
                partition_by=["month"],
                mode="error",
                configuration=PROPERTIES,
            )
        table = DeltaTable(uri(bucket, application.id))
    _check(table, application)
    return table


def _check(table: DeltaTable, application: Application) -> None:
    """Refuses a registry that gives a column another type than the table has."""
    there = pa.schema(table.schema().to_arrow())
    faults = [
        f"{application.id}: {path} is {old} in the table but {new} in the registry; restore the old type, "
        "or declare the new one under another name and mark the old one removed = true"
        for column in schema(application)
        if column.name in there.names
        for path, old, new in _differences(column.name, there.field(column.name).type, column.type)
    ]
    if faults:
        raise TableError("\n".join(faults))


def _differences(path: str, old: pa.DataType, new: pa.DataType) -> Iterable[tuple[str, pa.DataType, pa.DataType]]:
    if pa.types.is_struct(new) and pa.types.is_struct(old):
        for field in new:
            index = old.get_field_index(field.name)
            if index >= 0:
                yield from _differences(f"{path}.{field.name}", old.field(index).type, field.type)
    elif pa.types.is_list(new) and pa.types.is_list(old):
        yield from _differences(path, old.value_type, new.value_type)
    elif old != new:
        yield path, old, new


def sequence(table: DeltaTable) -> int:
    """The number of the last commit that this handle has seen."""
    return table.transaction_version(COMPACT) or 0


def append(table: DeltaTable, rows: pa.Table, number: int, note: Mapping[str, str]) -> None:
    """Adds rows in one commit that carries `number`, through the handle that `number` - 1 was read from.

    Raises `Overtaken` when another commit came first.
    """
    _commit(
        table,
        number,
        note,
        lambda properties: write_deltalake(
            table, rows, mode="append", schema_mode="merge", commit_properties=properties
        ),
    )


def remove(table: DeltaTable, condition: str, number: int, note: Mapping[str, str]) -> int:
    """Removes the rows for which `condition` holds, as `append` adds them; gives how many.

    The condition is written to the log, so it must not name anybody. A removal that finds nothing is a commit, too: it
    stops whoever read the table before it and would bring back what was to go.
    """
    before = table.version()
    metrics: dict[str, int] = {}

    def delete(properties: CommitProperties) -> None:
        metrics.update(table.delete(condition, commit_properties=properties))

    landed = _commit(table, number, note, delete)
    if table.version() == before:
        append(table, pa.schema(table.schema().to_arrow()).empty_table(), number, note)
        return 0
    return metrics.get("num_deleted_rows") or landed.get("operationMetrics", {}).get("num_deleted_rows", 0)


def _commit(
    table: DeltaTable, number: int, note: Mapping[str, str], write: Callable[[CommitProperties], None]
) -> dict[str, Any]:
    """Commits with a number and a note. Gives the log's entry when the answer was lost, else nothing."""
    before, mark = table.version(), secrets.token_hex(8)
    properties = CommitProperties(
        custom_metadata={**note, "mark": mark},
        # A retry inside the library would build on a fresh snapshot and accept a number twice.
        max_commit_retries=0,
        app_transactions=[Transaction(COMPACT, number)],
    )
    try:
        write(properties)
    except Exception as error:
        # It may be in the log all the same: then the mark tells, and it is not done twice or counted as another's.
        table.update_incremental()
        since = table.version() - before
        for commit in table.history(since) if since else ():
            if commit.get("mark") == mark:
                return commit
        if isinstance(error, CommitFailedError):
            raise Overtaken(str(error)) from error
        raise
    return {}


def merge(table: DeltaTable, month: str, rows: Iterable[pa.RecordBatch], number: int) -> None:
    """Puts the same rows of a month into as few files as fit, as `append` adds them.

    Not by the library's own way, `optimize.compact`: two of these at once both succeed and leave every row twice,
    because it heeds neither a number nor that the files it read are gone.
    """
    kind = pa.schema(table.schema().to_arrow())
    ordered = (part for batch in rows for part in pa.table(batch).select(kind.names).cast(kind).to_batches())
    _commit(
        table,
        number,
        {"merged": month},
        lambda properties: write_deltalake(
            table,
            pa.RecordBatchReader.from_batches(kind, ordered),
            mode="overwrite",
            predicate=f"month = '{month}'",
            target_file_size=MERGED_BYTES,
            commit_properties=properties,
        ),
    )


def vacuum(table: DeltaTable, hours: int) -> int:
    """Deletes files that no version of the last `hours` has, nor any writer since; gives how many."""
    found = table.vacuum(hours, dry_run=True, full=True)
    if found:  # each vacuum is two commits, even of nothing
        table.vacuum(hours, dry_run=False, full=True)
    return len(found)


def files(table: DeltaTable) -> list[TableFile]:
    """The data files of this version of the table."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = ("path", "size_bytes", "num_records", "partition.month", "min.start_time")
    columns = [
        actions[name].to_pylist() if name in actions.column_names else [None] * actions.num_rows for name in names
    ]
    return [TableFile(unquote(path), *rest) for path, *rest in zip(*columns, strict=True)]
