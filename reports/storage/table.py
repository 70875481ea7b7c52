"""The Delta table of an application: its schema, its commits, its files."""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from ingest.function.registry import Application, Field, Kind
from reports.blocks.format import brief

__all__ = [
    "Overtaken", "TableError", "TableFile", "append", "check", "differences", "files", "load", "load_or_create",
    "named", "overwrite", "removed", "schema", "sequence", "vacuum", "widened",
]  # fmt: skip

UTC = pa.timestamp("us", tz="UTC")
ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": UTC,
}
# The registry's names for types of columns.
DECLARED = {kind: name for name, kind in ARROW.items()}
NUMBERS = {ARROW["integer"], ARROW["number"]}
# The transaction identifier under which every writer numbers its commits.
COMPACT = "compact"
# The size of merged files.
MERGED_BYTES = 128 << 20


PROPERTIES = {
    # The log has no smallest and largest values of other columns, so that ids and free text stay in the data files.
    "delta.dataSkippingStatsColumns": "start_time,ingestion_time",
    # A checkpoint deletes log entries that are older than this.
    "delta.logRetentionDuration": "interval 7 days",
}


class Overtaken(Exception):
    """Another writer's commit came first. Open the table again and start the chunk over."""


# In the path of a directory, these end in a panic or lead to another directory: tried with deltalake 1.6.
ODD = re.compile(r"[\[\]\\^|\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


class TableError(Exception):
    """A table that cannot be used: its name, what is wrong, and the remedy."""


@dataclass(frozen=True)
class TableFile:
    """A data file of a table, which never changes: its path below the table, bytes, rows, month and earliest start."""

    path: str
    bytes: int
    rows: int
    month: str
    first: datetime | None


def fields(declared: Mapping[str, Field]) -> pa.DataType:
    """The struct of declared attributes. Removed attributes keep their column, because old rows have values in it."""
    return pa.struct([(field.name, ARROW[field.type]) for field in declared.values()])


def union(kinds: Mapping[str, Kind]) -> pa.DataType:
    """One struct for the attributes of all types of events or spans. The registry allows one type for each name."""
    return fields({field.name: field for kind in kinds.values() for field in kind.attributes.values()})


def schema(application: Application) -> pa.Schema:
    """Columns of the table, by the registry. A struct without fields is left out, because Parquet cannot store it."""
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
    """The address of the table: a path for a local directory, else the URL."""
    parts = urlsplit(bucket)
    if parts.scheme in ("", "file"):
        root = (Path(unquote(parts.path)) if parts.scheme else Path(bucket)).absolute()
        return str(root / "tables" / application)
    return f"{bucket.rstrip('/')}/tables/{application}"


def _address(bucket: str, application: str) -> tuple[str, dict[str, str] | None]:
    """The address of the table for deltalake, and the options to open it with."""
    where = uri(bucket, application)
    if "://" in where or not ODD.search(Path(where).resolve().as_posix()):  # deltalake follows links first
        return where, None
    # Its other way to open files accepts any directory. It also creates a commit only if there is none, but not
    # atomically: if it is killed meanwhile, the log has half a commit, and `abaculus repair` rebuilds it.
    return f"fs:///tables/{application}", {"opendal.root": str(Path(where).parents[1])}


def load(bucket: str, application: str) -> DeltaTable | None:
    """The current table, or None before the first compaction. Raises `TableError` if its log is damaged."""
    try:
        return _open(bucket, application)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        raise TableError(
            f"{application}: the log of its table cannot be read ({brief(error)}); `abaculus repair` says what to do"
        ) from error


def _open(bucket: str, application: str) -> DeltaTable:
    where, options = _address(bucket, application)
    return DeltaTable(where, storage_options=options)


def load_or_create(bucket: str, application: Application) -> DeltaTable:
    """The table, created empty first, because two writers that create it with their rows could both succeed."""
    table = load(bucket, application.id)
    if table is None:
        where, options = _address(bucket, application.id)
        with suppress(CommitFailedError, DeltaError):  # another writer was first; its table is just as good
            DeltaTable.create(
                where,
                schema(application),
                partition_by=["month"],
                mode="error",
                configuration=PROPERTIES,
                storage_options=options,
            )
        table = _open(bucket, application.id)
    check(table, application)
    return table


def check(table: DeltaTable, application: Application) -> None:
    """Raises `TableError` if the registry gives a column of the table another type, or other capitals. Integers and
    numbers fit each other: `widened` returns the new columns, and views turn numbers into integers.
    """
    faults = []
    for path, there, old, new in differences(pa.schema(table.schema().to_arrow()), application):
        head, _, name = path.rpartition(".")
        if there != name:
            faults.append(
                f"{application.id}: {path} is {head}.{there} in the table, but names must differ in more than "
                f"capitals; restore the old name, or declare another one"
            )
        elif {old, new} != NUMBERS:
            faults.append(
                f"{application.id}: {path} is {named(old)} in the table but {named(new)} in the registry; restore the "
                f"old type, or declare the new one under another name and give the old one removed = true"
            )
    if faults:
        raise TableError("\n".join(faults))


def named(kind: pa.DataType) -> str:
    """The registry's name for a column's type."""
    return DECLARED.get(kind, str(kind))


Difference = tuple[str, str, pa.DataType, pa.DataType]


def differences(there: pa.Schema, application: Application) -> list[Difference]:
    """Columns of a table that the registry gives another type, or other capitals.

    For each its path, its name in the table, and its type in the table and in the registry.
    """
    found = (column for column in schema(application) if column.name in there.names)
    return [one for column in found for one in _differences(column.name, there.field(column.name).type, column.type)]


def _differences(path: str, old: pa.DataType, new: pa.DataType) -> Iterator[Difference]:
    if pa.types.is_struct(new) and pa.types.is_struct(old):
        folded = {field.name.lower(): field for field in old}
        for field in new:
            there = folded.get(field.name.lower())
            if there is not None and there.name != field.name:
                yield f"{path}.{field.name}", there.name, there.type, field.type
            elif there is not None:
                yield from _differences(f"{path}.{field.name}", there.type, field.type)
    elif pa.types.is_list(new) and pa.types.is_list(old):
        yield from _differences(path, old.value_type, new.value_type)
    elif old != new:
        yield path, path.rpartition(".")[2], old, new


def widened(table: DeltaTable, application: Application) -> pa.Schema | None:
    """The table's columns with integers changed to numbers where the registry declares numbers. None if nothing
    changes. A number stays a number even if the registry declares an integer.
    """
    old = pa.schema(table.schema().to_arrow())
    new = _wider(old, schema(application))
    return None if new == old else new


def _wider(kinds: pa.Schema, others: pa.Schema) -> pa.Schema:
    """These columns, each with a type for its own values and the values of the other column with this name."""
    there = {one.name: one.type for one in others}
    return pa.schema([(one.name, _holding(one.type, there.get(one.name, one.type))) for one in kinds])


def _holding(kind: pa.DataType, other: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind) and pa.types.is_struct(other):
        return pa.struct(list(_wider(pa.schema(list(kind)), pa.schema(list(other)))))
    if pa.types.is_list(kind) and pa.types.is_list(other):
        return pa.list_(_holding(kind.value_type, other.value_type))
    return ARROW["number"] if {kind, other} == NUMBERS else kind


def sequence(table: DeltaTable) -> int:
    """The number of the last commit that this handle has seen."""
    return table.transaction_version(COMPACT) or 0


def append(table: DeltaTable, rows: pa.Table, number: int, note: Mapping[str, str]) -> None:
    """Adds rows in one commit that carries `number`, through the handle that `number` - 1 was read from.

    Raises `Overtaken` when another commit came first.
    """
    there = pa.schema(table.schema().to_arrow())
    if _wider(there, rows.schema) != there:  # the library would truncate numbers without an error
        raise TableError("its table has integers, but the registry has numbers now; run `abaculus compact` first")
    if (kind := _wider(rows.schema, there)) != rows.schema:
        rows = rows.cast(kind, safe=False)
    _commit(
        table,
        number,
        note,
        lambda properties: write_deltalake(
            table, rows, mode="append", schema_mode="merge", commit_properties=properties
        ),
    )


def _commit(table: DeltaTable, number: int, note: Mapping[str, str], write: Callable[[CommitProperties], None]) -> None:
    """Commits with a number and a note."""
    before, mark = table.version(), secrets.token_hex(8)
    properties = CommitProperties(
        custom_metadata={**note, "mark": mark},
        # A retry inside the library would use a new snapshot and accept a number twice.
        max_commit_retries=0,
        app_transactions=[Transaction(COMPACT, number)],
    )
    try:
        write(properties)
    except Exception as error:
        # The commit may be in the log anyway. The mark shows this, so that it is not repeated or taken for another
        # writer's.
        table.update_incremental()
        since = table.version() - before
        if since and any(commit.get("mark") == mark for commit in table.history(since)):
            return
        if isinstance(error, CommitFailedError):
            raise Overtaken(str(error)) from error
        raise


def overwrite(
    table: DeltaTable,
    months: Iterable[str],
    rows: Iterable[pa.RecordBatch],
    number: int,
    note: Mapping[str, str],
    kind: pa.Schema | None = None,
) -> None:
    """Replaces the rows of some months with these rows, in files as large as possible, in the same way as `append`.
    With `kind`, it replaces all months, and the table then has these columns.
    """
    listed = ", ".join(f"'{month}'" for month in sorted(months))
    shape = kind or pa.schema(table.schema().to_arrow())
    ordered = (part for batch in rows for part in _shaped(pa.table(batch), shape).to_batches())
    _commit(
        table,
        number,
        note,
        lambda properties: write_deltalake(
            table,
            pa.RecordBatchReader.from_batches(shape, ordered),
            mode="overwrite",
            schema_mode=None if kind is None else "overwrite",
            predicate=f"month IN ({listed})" if kind is None else None,
            target_file_size=MERGED_BYTES,
            commit_properties=properties,
        ),
    )


def _shaped(rows: pa.Table, kind: pa.Schema) -> pa.Table:
    """Rows with the table's columns, some of which may be missing from older files."""
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in kind
    ]
    # Integers of more than 53 bits are rounded when they become numbers.
    return pa.table(columns, names=kind.names).cast(kind, safe=False)


def vacuum(table: DeltaTable, hours: int) -> list[str]:
    """Deletes files that no version of the last `hours` uses. Returns the paths of older files that no commit
    mentions.
    """
    if table.vacuum(hours, dry_run=True):  # each vacuum makes two commits, even without any file
        table.vacuum(hours, dry_run=False)
    found = map(unquote, table.vacuum(hours, dry_run=True, full=True))
    return sorted(path for path in found if path.endswith(".parquet"))


def removed(table: DeltaTable) -> set[str]:
    """Paths of data files that this version of the table no longer uses, and that its log still mentions."""
    # The files that a vacuum would delete today. A dry run changes nothing.
    found = table.vacuum(0, dry_run=True, enforce_retention_duration=False)
    return {unquote(path) for path in found}


def files(table: DeltaTable) -> list[TableFile]:
    """The data files of this version of the table."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = ("path", "size_bytes", "num_records", "partition.month", "min.start_time")
    columns = [
        actions[name].to_pylist() if name in actions.column_names else [None] * actions.num_rows for name in names
    ]
    return [TableFile(unquote(path), *rest) for path, *rest in zip(*columns, strict=True)]


def keys(application: str, files: Iterable[TableFile]) -> list[tuple[str, int]]:
    """The keys of data files in the bucket, each with its bytes."""
    return [(f"tables/{application}/{file.path}", file.bytes) for file in files]
