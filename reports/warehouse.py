"""The views that report authors see, over local copies of the tables or, on a Spark cluster, where the tables are.

A public warehouse shows what may reach a page: in `user_id` an opaque number made for this build, null for CI runs
(they are not people), and in place of free text only that there was some. A private one shows everything.
"""

import dataclasses
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import pyarrow as pa
from obstore.store import ObjectStore

from ingest.registry import ROLES, Application, Field, Kind, RegistryError
from reports import engine as engines
from reports import exclude, table
from reports.duck import attach, open_duckdb
from reports.macros import DEFINITIONS
from reports.mirror import mirror, prune

if TYPE_CHECKING:
    from reports.spark import Cluster

__all__ = ["LOADED", "PROBE", "VIEWS", "Snapshot", "connect", "fetch", "quote"]

# The reserved application of `abaculus probe`; reports leave it out.
PROBE = "abaculus-probe"
SQL = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}
# View -> what its rows are, where they are people's.
VIEWS = {
    "sessions": "runs", "events": "events", "spans": "spans", "features": "choices", "releases": "",
    "applications": "", "pipeline": "",
}  # fmt: skip
# A database beside the views for what pages read of them: see reports/loaded.py.
LOADED = "loaded"
# How many of the newest ledger entries the `pipeline` view reads: about a month of hourly runs.
LEDGER = 750

Columns = list[tuple[str, str]]

# What the views are made from where there is no application.
NONE = Application(id="", name="")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Local copies of one state of the bucket: table files by application, releases, compaction runs (newest last).

    `excluded` are the times whose sessions no view has; `sizes` the bytes of each table file. A `cluster` reads them
    where they are, and none is here.
    """

    registry: Mapping[str, Application]
    files: Mapping[str, list[Path]]
    releases: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    excluded: Sequence[exclude.Exclusion] = ()
    sizes: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)
    cluster: "Cluster | None" = None


def fetch(store: ObjectStore, bucket: str, registry: Mapping[str, Application], engine: str = "duckdb") -> Snapshot:
    """Brings what is new in the bucket to this machine and says where it lies.

    With the engine "spark", sessions stay where they are. Raises `EngineError` where there is no cluster.
    """
    files: dict[str, list[Path]] = {}
    sizes: dict[str, list[int]] = {}
    cluster = engines.cluster(engine, bucket)
    for id in registry:
        if id == PROBE:
            continue
        handle = table.load(bucket, id)
        found = [] if handle is None else table.files(handle)
        sizes[id] = [file.bytes for file in found]
        if cluster is not None:
            files[id] = []
            if handle is not None:
                cluster.read(id, handle)
            continue
        objects = [(f"tables/{id}/{file.path}", file.bytes) for file in found]
        files[id] = mirror(store, bucket, objects)
        prune(store, bucket, id, [key for key, _ in objects])
    releases = [
        {"application": key.rsplit("/", 1)[-1].removesuffix(".json"), **release}
        for key, _ in _list(store, "releases/")
        for release in json.loads(bytes(store.get(key).bytes()))  # not mirrored: these change
    ]
    entries = [json.loads(path.read_bytes()) for path in mirror(store, bucket, _list(store, "ledger/")[-LEDGER:])]
    runs = [entry for entry in entries if entry.get("kind", "compact") == "compact"]
    return Snapshot(registry, files, releases, runs, exclude.exclusions(store), sizes, cluster)


def _list(store: ObjectStore, prefix: str) -> list[tuple[str, int]]:
    return sorted((meta["path"], meta["size"]) for page in store.list(prefix) for meta in page)


def connect(snapshot: Snapshot, *, private: bool = False, until: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with all `VIEWS`, locked down.

    Sessions that came in from `until` (UTC) on are in no view. It reads the snapshot's files and nothing else. Columns
    of all applications are united by name. Raises `RegistryError` when two applications mean different types by one.
    """
    types = _types(snapshot.registry)
    connection = open_duckdb()
    salt = None if private else secrets.token_hex(16)
    later = [] if until is None else [exclude.Exclusion(until, exclude.NEVER)]
    excluded = [*snapshot.excluded, *later]
    sources = []
    for id, files in (snapshot.files or {NONE.id: []}).items():
        application = snapshot.registry.get(id, NONE)
        relation, stored = _parquet(connection, files) if files else _nothing(connection, application)
        sources.append(_Source(application, relation, stored, types, salt, excluded))
    for name, selects in _selects(sources).items():
        connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(selects)}")
    _static(connection, "releases", snapshot.releases)
    known = [one for id, one in snapshot.registry.items() if id != PROBE]
    described = [{"application": one.id, "name": one.name, "description": one.description} for one in known]
    _static(connection, "applications", described)
    _static(connection, "pipeline", [_run(entry) for entry in snapshot.ledger])
    for name, (parameters, sql) in DEFINITIONS.items():
        connection.execute(f"CREATE MACRO {name}({parameters}) AS {sql}")
    attach(connection, LOADED)
    # Not their directories: in a directory that is allowed, COPY could write.
    paths = [str(path) for files in snapshot.files.values() for path in files]
    connection.execute("SET allowed_paths = $1", [paths])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    if snapshot.cluster is None or not snapshot.cluster.stored():
        return connection
    there = [
        _Source(snapshot.registry[id], quote(id), stored, types, salt, excluded)
        for id, stored in snapshot.cluster.stored().items()
    ]
    # It does all that DuckDB's does here.
    return cast("duckdb.DuckDBPyConnection", snapshot.cluster.connect(connection, _selects(there), private=private))


def _parquet(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> tuple[str, pa.Schema]:
    """These files as a relation, and its columns."""
    listed = ", ".join(literal(str(path)) for path in files)
    # The month is not asked for, and a directory above the bucket may be named like a partition.
    relation = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    return relation, connection.sql(f"SELECT * FROM {relation} LIMIT 0").to_arrow_table().schema


def _nothing(connection: duckdb.DuckDBPyConnection, application: Application) -> tuple[str, pa.Schema]:
    """A table without rows that has all that the registry declares, and its columns."""
    empty = f"empty_{len(application.id)}_{application.id.replace('-', '_')}"
    stored = table.schema(application)
    connection.register("incoming", stored.empty_table())
    connection.execute(f"CREATE TABLE {quote(empty)} AS FROM incoming")
    connection.unregister("incoming")
    return quote(empty), stored


def _selects(sources: "Sequence[_Source]") -> dict[str, list[str]]:
    """View -> what it is put together from."""
    parts: dict[str, list[str]] = {"sessions": [], "events": [], "spans": [], "features": []}
    for source in sources:
        parts["sessions"].append(_select(source.sessions(), source.relation))
        parts["events"].append(_items(source, "events"))
        parts["spans"].append(_items(source, "spans"))
        parts["features"] += _features(source)
    return parts


def _types(registry: Mapping[str, Application]) -> dict[tuple[str, str], str]:
    """(attributes, events or spans; lower-case name) -> the type of that column of the views.

    Refuses one name with two types: the views unite applications by name, and DuckDB would make text of both.
    """
    faults = []
    seen: dict[tuple[str, str], tuple[str, Field]] = {}
    # A removed attribute yields to one that is not, and is then left out of the views.
    for key, id, field in sorted(_declared(registry), key=lambda one: one[2].removed):
        first, other = seen.setdefault(key, (id, field))
        if other.type != field.type and not field.removed:
            faults.append(
                f"{field.name} ({key[0]}) is {other.type} in the registry file of {first!r} but {field.type} in "
                f"that of {id!r}, and the views have one column for both; in one, declare it under another name and "
                "mark the old one removed = true"
            )
    if faults:
        raise RegistryError(faults)
    return {key: field.type for key, (_, field) in seen.items()}


def _declared(registry: Mapping[str, Application]) -> Iterator[tuple[tuple[str, str], str, Field]]:
    for id, application in registry.items():
        parts = {"attributes": [application.attributes]}
        parts["events"] = [kind.attributes for kind in application.events.values()]
        parts["spans"] = [kind.attributes for kind in application.spans.values()]
        for part, groups in parts.items():
            yield from (((part, field.name.lower()), id, field) for group in groups for field in group.values())


STATIC: dict[str, pa.Schema] = {
    "applications": pa.schema([("application", pa.string()), ("name", pa.string()), ("description", pa.string())]),
    "releases": pa.schema([("application", pa.string()), ("version", pa.string()), ("released", pa.timestamp("us"))]),
    "pipeline": pa.schema(
        [
            ("run", pa.string()),
            ("started", pa.timestamp("us")),
            ("ended", pa.timestamp("us")),
            ("succeeded", pa.bool_()),
        ]
    ),
}


def _static(connection: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]]) -> None:
    schema = STATIC[name]
    columns = ", ".join(f"{quote(field.name)}::{_STATIC_SQL[field.type]} AS {field.name}" for field in schema)
    texts = pa.table(
        {field.name: pa.array([_text(row.get(field.name)) for row in rows], pa.string()) for field in schema}
    )
    connection.register("incoming", texts)
    connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")
    connection.unregister("incoming")


_STATIC_SQL = {pa.string(): "VARCHAR", pa.timestamp("us"): "TIMESTAMPTZ::TIMESTAMP", pa.bool_(): "BOOLEAN"}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _run(entry: dict[str, Any]) -> dict[str, Any]:
    """What of a run may be public. How many sessions it counted is not: a quiet hour's run is one person's."""
    return {**entry, "succeeded": entry.get("error") is None and entry.get("ended") is not None}


class _Source:
    """One application's table, with an SQL expression for each column that the views have."""

    def __init__(
        self,
        application: Application,
        relation: str,
        stored: pa.Schema,
        types: Mapping[tuple[str, str], str],
        salt: str | None,
        excluded: Sequence[exclude.Exclusion],
    ) -> None:
        self.application, self.relation, self.types, self.salt = application, relation, types, salt
        self.stored = {field.name: _members(field.type) for field in stored}
        if kept_out := exclude.condition(excluded, application.id):
            self.relation = f"(SELECT * FROM {relation} WHERE NOT ({kept_out}))"

    def user_id(self) -> str:
        """Equal for the runs of one person, and of no use outside this build; null for CI runs."""
        if self.salt is None:
            return "user_id"
        # Not of the two put together: making that text takes longer than all else of a count.
        number = f"hash(user_id, {literal(self.salt)})"
        ci = next((field for field in self.application.attributes.values() if field.role == "ci"), None)
        if ci is None:
            return number
        return f"CASE WHEN coalesce({self.value('attributes', ci)}, false) THEN NULL ELSE {number} END"

    def shows(self, column: str, field: Field) -> bool:
        """Whether the views' column of this name is this attribute, not another application's of another type."""
        return self.types[column, field.name.lower()] == field.type

    def value(self, column: str, field: Field, item: str | None = None) -> str:
        """A declared attribute; null where no file has it yet."""
        kind = SQL[field.type]
        if field.name not in self.stored.get(column, ()):
            return f"NULL::{kind}"
        expression = f"{item or column}.{'attributes.' if item else ''}{quote(field.name)}"
        if field.type == "timestamp":
            return f"{expression}::TIMESTAMP"
        if field.free_text and self.salt is not None:
            # Whoever invents people can write anything into it: no query sees it, so no page can show it.
            return f"CASE WHEN {expression} IS NULL THEN NULL ELSE '(free text)' END"
        return expression

    def sessions(self) -> Columns:
        columns: Columns = [
            ("application", literal(self.application.id)),
            ("user_id", self.user_id()),
            *([] if self.salt is not None else [("session_id", "session_id")]),
            ("application_version", "application_version"),
            ("start_time", "start_time::TIMESTAMP"),
            ("end_time", "end_time::TIMESTAMP"),
            ("ingestion_time", "ingestion_time::TIMESTAMP"),
            ("duration_ms", "(epoch_us(end_time) - epoch_us(start_time)) / 1000.0::DOUBLE"),
        ]
        by_role = {field.role: field for field in self.application.attributes.values() if field.role}
        for role, (kind, _) in ROLES.items():
            expression = self.value("attributes", by_role[role]) if role in by_role else f"NULL::{SQL[kind]}"
            columns.append((role, expression))
        for field in self.application.attributes.values():
            if field.name.lower() not in ROLES and self.shows("attributes", field):
                columns.append((field.name, self.value("attributes", field)))
        return columns


def _members(kind: pa.DataType) -> set[str]:
    """Names of the declared attributes inside a stored column."""
    if pa.types.is_list(kind):
        item = kind.value_type
        index = item.get_field_index("attributes") if pa.types.is_struct(item) else -1
        return set() if index < 0 else _members(item.field(index).type)
    return {field.name for field in kind} if pa.types.is_struct(kind) else set()


def _select(columns: Columns, relation: str) -> str:
    selected = ", ".join(f"{expression} AS {quote(name)}" for name, expression in columns)
    return f"SELECT {selected} FROM {relation} WHERE NOT clock_suspect"


def _items(source: _Source, column: str) -> str:
    """One row an event, or a span, with its session as a struct."""
    kinds: Mapping[str, Kind] = getattr(source.application, column)
    session = source.sessions()
    # Without user_id: a struct is made of whatever text a query can write, and would make people.
    packed = ", ".join(f"{quote(name)} := {expression}" for name, expression in session if name != "user_id")
    roles = "".join(f" WHEN {literal(kind.name)} THEN {literal(kind.role)}" for kind in kinds.values() if kind.role)
    keep = {"application", "user_id", "session_id", "application_version"}
    columns: Columns = [(name, expression) for name, expression in session if name in keep]
    columns.append(("type", "item.type"))
    if column == "events":
        columns.append(("role", f"CASE item.type{roles} END" if roles else "NULL::VARCHAR"))
        columns.append(("time", "item.time::TIMESTAMP"))
    else:
        columns += [
            ("start_time", "item.start_time::TIMESTAMP"),
            ("end_time", "item.end_time::TIMESTAMP"),
            ("duration_ms", "(epoch_us(item.end_time) - epoch_us(item.start_time)) / 1000.0::DOUBLE"),
        ]
    declared = {field.name: field for kind in kinds.values() for field in kind.attributes.values()}
    shown = {name: field for name, field in declared.items() if source.shows(column, field)}
    columns += [(name, source.value(column, field, "item")) for name, field in shown.items()]
    columns.append(("session", f"struct_pack({packed})"))
    return _select(columns, f"(SELECT *, unnest({column}) AS item FROM {source.relation})")


def _features(source: _Source) -> list[str]:
    """One row for each run and each thing that a person can choose: true-or-false attributes, and those with `values`.

    So a page can ask about all choices without knowing their names. Where a tool has none, there is still the view.
    """
    columns = [(name, expression) for name, expression in source.sessions() if name in KEPT or name.lower() in ROLES]
    fields = [field for field in source.application.attributes.values() if _chosen(field)]
    made = []
    for field in fields:
        value = source.value("attributes", field)
        chosen = f"CASE WHEN {value} THEN 'yes' ELSE 'no' END" if field.type == "boolean" else value
        named: Columns = [*columns, ("feature", literal(field.name)), ("choice", chosen)]
        made.append(f"{_select(named, source.relation)} AND {value} IS NOT NULL")
    empty: Columns = [*columns, ("feature", "NULL::VARCHAR"), ("choice", "NULL::VARCHAR")]
    return made or [f"{_select(empty, source.relation)} AND false"]


KEPT = frozenset({"application", "user_id", "application_version", "start_time", "duration_ms"})


def _chosen(field: Field) -> bool:
    """Whether people choose it. What a role says of the place of a run, or of how it went, they do not."""
    if field.removed or field.role not in (None, "tab_completion_used", "variant"):
        return False
    return field.type == "boolean" or field.values is not None


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_if_needed(name: str) -> str:
    """An SQL identifier for people to read: quoted only where it must be."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else quote(name)


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Columns of a relation and their DuckDB types, in order."""
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()}
