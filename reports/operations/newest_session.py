"""`abaculus doctor --session`: the newest session beside the registry. One person's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from obstore.store import ObjectStore

from ingest.function.registry import Application, Field
from ingest.function.session_format import OTHER
from reports.blocks.format import inert, plural
from reports.operations.hints import declared, readers
from reports.pages.registry_page import Uses
from reports.query.snapshot import PROBE
from reports.storage import raw, table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns, mirror

__all__ = ["Newest", "Part", "newest"]


@dataclass(frozen=True)
class Part:
    """A path of the registry or of the session: its state, details, and the pages that read it.

    `state` is "stored", "(other)", "other type", "left out" or "not sent".
    """

    path: str
    state: str
    what: str
    pages: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Newest:
    """A session with its application, version, time of arrival and key. `wrong` is the reason why it could not be
    read.
    """

    application: str
    place: str
    version: str = ""
    came: datetime | None = None
    parts: list[Part] = field(default_factory=list)
    wrong: str | None = None


def newest(
    store: ObjectStore, bucket: str, registry: Mapping[str, Application], used: Uses | None = None
) -> Iterator[Newest]:
    """The newest session of each application that has any, from raw/ or from its table."""
    for id, application in registry.items():
        if id == PROBE:
            continue
        place, row = _raw(store, application)
        if isinstance(row, str):
            yield Newest(id, place, wrong=row)
            continue
        stored = _stored(store, bucket, id)
        if row is None or (stored is not None and stored["ingestion_time"] > row["ingestion_time"]):
            place, row = f"the table of {id}", stored
        if row is not None:
            parts = list(_parts(application, row, used))
            yield Newest(id, place, row["application_version"], row["ingestion_time"], parts)


def _raw(store: ObjectStore, application: Application) -> tuple[str, dict[str, Any] | str | None]:
    """The newest session of the newest raw object with its key, or why it cannot be read, or None."""
    listed = raw.listed(store, application.id)
    if not listed.num_rows:
        return "", None
    last = listed.slice(listed.num_rows - 1)
    key = str(last["path"][0])
    for chunk in raw.read(store, application, last):
        for unread in chunk.unreadable:
            return key, unread.reason
        if chunk.rows.num_rows:
            found: dict[str, Any] = max(chunk.rows.to_pylist(), key=lambda row: row["ingestionTime"])
            names = {"ingestionTime": "ingestion_time", "applicationVersion": "application_version"}
            return key, {names.get(name, name): value for name, value in found.items()}
    return key, "this session waits for another registry; `abaculus compact` says why"


def _stored(store: ObjectStore, bucket: str, id: str) -> dict[str, Any] | None:
    """The newest row of a table."""
    handle = table.load(bucket, id)
    keys = [] if handle is None else table.keys(id, table.files(handle))
    if not keys:
        return None
    times = [str(path) for path in columns(store, bucket, keys, ["ingestion_time"])]
    with open_duckdb() as connection:
        read = "read_parquet($1, filename = true, hive_partitioning = false)"
        (newest,) = connection.execute(
            f"SELECT filename FROM {read} ORDER BY ingestion_time DESC LIMIT 1", [times]
        ).fetchall()[0]
        (path,) = mirror(store, bucket, [keys[times.index(newest)]])
        rows = connection.sql(f"SELECT * FROM {read} ORDER BY ingestion_time DESC LIMIT 1", params=[[str(path)]])
        found: dict[str, Any] = rows.to_arrow_table().to_pylist()[0]
    return found


def _parts(application: Application, row: Mapping[str, Any], used: Uses | None) -> Iterator[Part]:
    undeclared = set(row["undeclared"] or ())
    yield from _attributes("attributes.", application.attributes, [row.get("attributes") or {}], undeclared, used)
    for part, kinds in (("events", application.events), ("spans", application.spans)):
        for kind in kinds.values():
            there = [one for one in row.get(part) or () if one["type"] == kind.name]
            if there or not (kind.removed or f"{part}.{kind.name}" in undeclared):
                what = plural(len(there), "time") if there else ""
                pages = readers(used, kind.name, kind.role)
                yield Part(f"{part}.{kind.name}", "stored" if there else "not sent", what, pages)
            if there:
                given = [one.get("attributes") or {} for one in there]
                yield from _attributes(f"{part}.{kind.name}.attributes.", kind.attributes, given, undeclared, used)
    for path in sorted(undeclared):
        found = declared(application, path)
        if found is None:
            yield Part(inert(path), "left out", "not declared; `abaculus registry suggest` prints TOML")
        elif found.removed:
            yield Part(path, "left out", "removed in the registry")
        elif not isinstance(found, Field):
            yield Part(path, "left out", "the function did not know it; deploy the function with this registry")


def _attributes(
    at: str, fields: Mapping[str, Field], given: list[Mapping[str, Any]], undeclared: set[str], used: Uses | None
) -> Iterator[Part]:
    """The state of each declared attribute. `given` are the values of the session, or of each event of one type."""
    for name, one in fields.items():
        path, pages = at + name, readers(used, name, one.role)
        values = [value for entry in given if (value := entry.get(name)) is not None]
        kept = [value for value in values if value != OTHER or one.free_text]
        if path in undeclared and not one.removed:
            yield Part(path, "other type", f"not {one.type}, or the function did not know it; stored as null", pages)
        if len(kept) < len(values):
            yield Part(path, OTHER, f"the value is not in its `{'pattern' if one.values is None else 'values'}`", pages)
        if kept:
            texts = [value if isinstance(value, str) else json.dumps(value, default=str) for value in kept]
            yield Part(path, "stored", inert(", ".join(texts), 200), pages)
        elif not values and one.current and path not in undeclared:
            yield Part(path, "not sent", "", pages)
