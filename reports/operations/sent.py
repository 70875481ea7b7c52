"""When each attribute of the registry was last sent, and whether there are enough people."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
from deltalake import DeltaTable
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.query.quoting import quote
from reports.storage import clock, exclude, table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns

__all__ = ["Sent", "last_sent", "people"]

PARQUET = "read_parquet($1, union_by_name = true, hive_partitioning = false)"


@dataclass
class Sent:
    """When the newest session in an application's table arrived, and the newest with a value of each attribute. None
    for an attribute that no session has.
    """

    newest: datetime | None = None
    attributes: dict[str, datetime | None] = field(default_factory=dict)


def last_sent(store: ObjectStore, bucket: str, application: Application) -> Sent:
    """Reads the newest month, and earlier months only for attributes that it has not found yet."""
    wanted = [one.name for one in application.attributes.values() if one.current]
    found = Sent(attributes=dict.fromkeys(wanted))
    handle = table.load(bucket, application.id)
    if handle is None:
        return found
    stored = _stored(handle)
    missing = [name for name in wanted if name in stored]
    with open_duckdb() as connection:
        for keys in _months(application.id, table.files(handle)):
            names = ["ingestion_time", *(f"attributes.{name}" for name in missing)]
            paths = [str(path) for path in columns(store, bucket, keys, names)]
            of = [f"max(ingestion_time) FILTER (attributes.{quote(name)} IS NOT NULL)" for name in missing]
            newest, *times = connection.execute(
                f"SELECT {', '.join(['max(ingestion_time)', *of])} FROM {PARQUET}", [paths]
            ).fetchall()[0]
            found.newest = max(filter(None, (found.newest, newest)), default=None)
            found.attributes |= {name: time for name, time in zip(missing, times, strict=True) if time}
            missing = [name for name in missing if found.attributes[name] is None]
            if not missing:
                break
    return found


def people(
    store: ObjectStore, bucket: str, application: Application, excluded: list[exclude.Exclusion], most: int
) -> int:
    """How many people the views have, without CI runs. It counts from the newest month backwards, up to `most`."""
    handle = table.load(bucket, application.id)
    if handle is None:
        return 0
    stored = _stored(handle)
    ci = [one.name for one in application.with_role("ci") if one.name in stored]
    names = ["user_id", "start_time", "end_time", "ingestion_time", *(f"attributes.{name}" for name in ci)]
    seen: set[str] = set()
    conditions = [clock.sound(), *(f"attributes.{quote(name)} IS NOT TRUE" for name in ci)]
    if left_out := exclude.condition(excluded, application.id):
        conditions.append(f"NOT ({left_out})")
    with open_duckdb() as connection:
        for keys in _months(application.id, table.files(handle)):
            paths = [str(path) for path in columns(store, bucket, keys, names)]
            sql = f"SELECT DISTINCT user_id FROM {PARQUET} WHERE {' AND '.join(conditions)} LIMIT {most + len(seen)}"
            seen.update(user for (user,) in connection.execute(sql, [paths]).fetchall())
            if len(seen) >= most:
                break
    return min(len(seen), most)


def _stored(handle: DeltaTable) -> set[str]:
    """The attributes that have a column in the table."""
    kind = pa.schema(handle.schema().to_arrow())
    return {one.name for one in kind.field("attributes").type} if "attributes" in kind.names else set()


def _months(id: str, files: list[table.TableFile]) -> Iterator[list[tuple[str, int]]]:
    """The files of each month, as (key, bytes), the newest month first."""
    for month in sorted({file.month for file in files}, reverse=True):
        yield table.keys(id, [file for file in files if file.month == month])
