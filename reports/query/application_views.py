"""The parts of the views: SQL over the table of each application."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ingest.function.registry import Application, Field, Kind
from ingest.function.roles import EVENT_ATTRIBUTE_ROLES, ROLES
from reports.query.quoting import literal, quote
from reports.storage import clock, exclude
from reports.storage.table import ARROW, NUMBERS

__all__ = ["Source", "selects"]

SQL = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}

Columns = list[tuple[str, str]]


class Source:
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
        """The same for all runs of a person, and meaningless outside this build. Null for CI runs."""
        if self.salt is None:
            return "user_id"
        # Not a hash of both together, because joining the texts takes longer than the rest of a count.
        number = f"hash(user_id, {literal(self.salt)})"
        ci = [self.value("attributes", field) for field in self.application.with_role("ci")]
        return f"CASE WHEN coalesce({', '.join(ci)}, false) THEN NULL ELSE {number} END" if ci else number

    def shows(self, column: str, field: Field) -> bool:
        """Whether the views' column of this name is this attribute, and not an attribute of another application with
        another type.
        """
        return self.types[column, field.name.lower()] == field.type

    def history(self, column: str, field: Field, fields: Mapping[str, Field], item: str | None = None) -> str:
        """A declared attribute under all the names that it ever had, the newest first."""
        names = [field]
        while (former := names[-1].replaces) is not None:
            names.append(fields[former])
        return _first([self.value(column, name, item) for name in names])

    def value(self, column: str, field: Field, item: str | None = None) -> str:
        """A declared attribute. Null if no file has it yet."""
        stored, declared = self.stored.get(column, {}).get(field.name), ARROW[field.type]
        expression = f"{item or column}.{'attributes.' if item else ''}{quote(field.name)}"
        if stored is None or (stored.id != declared.id and {stored, declared} != NUMBERS):
            # Not as text even if a type changed, because the column is united with other applications.
            return f"NULL::{SQL[field.type]}"
        if stored != declared and field.type == "integer":
            # As in the function: a fraction is not an integer.
            return f"CASE WHEN {expression} = floor({expression}) THEN TRY_CAST({expression} AS BIGINT) END"
        if stored != declared and field.type == "number":
            return f"CAST({expression} AS DOUBLE)"
        if field.type == "timestamp":
            return f"{expression}::TIMESTAMP"
        if field.free_text and self.salt is not None:
            # Senders who invent people can write any text. No query sees it, so no page can show it.
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
        attributes = self.application.attributes
        for role, (kind, _) in ROLES.items():
            held = [self.value("attributes", field) for field in self.application.with_role(role)]
            columns.append((role, _first([*held, f"NULL::{SQL[kind]}"])))
        for field in attributes.values():
            if field.name.lower() not in ROLES and field.replaced_by is None and self.shows("attributes", field):
                columns.append((field.name, self.history("attributes", field, attributes)))
        return columns


def _first(expressions: list[str]) -> str:
    """SQL for the first one that has a value."""
    found = [*dict.fromkeys(expressions)]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _members(kind: pa.DataType) -> dict[str, pa.DataType]:
    """The declared attributes inside a stored column, with their types."""
    if pa.types.is_list(kind):
        item = kind.value_type
        index = item.get_field_index("attributes") if pa.types.is_struct(item) else -1
        return {} if index < 0 else _members(item.field(index).type)
    return {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}


def _select(columns: Columns, relation: str) -> str:
    selected = ", ".join(f"{expression} AS {quote(name)}" for name, expression in columns)
    # The column covers rows since it has this meaning. The rest covers earlier rows.
    return f"SELECT {selected} FROM {relation} WHERE NOT clock_suspect AND {clock.sound()}"


def _items(source: Source, column: str) -> str:
    """One row for each event or span, with its session as a struct."""
    kinds: Mapping[str, Kind] = getattr(source.application, column)
    session = source.sessions()
    # Without user_id, because a query could build a struct from any text, and so invent people.
    packed = ", ".join(f"{quote(name)} := {expression}" for name, expression in session if name != "user_id")
    roles = "".join(f" WHEN {literal(kind.name)} THEN {literal(kind.role)}" for kind in kinds.values() if kind.role)
    keep = {"application", "user_id", "session_id", "application_version"}
    columns: Columns = [(name, expression) for name, expression in session if name in keep]
    columns.append(("type", "item.type"))
    if column == "events":
        columns.append(("role", f"CASE item.type{roles} END" if roles else "NULL::VARCHAR"))
        columns.append(("time", "item.time::TIMESTAMP"))
        for role, (kind_of, _) in EVENT_ATTRIBUTE_ROLES.items():
            # Two types of event may have attributes of one name, and one of them another meaning.
            held = [
                f"CASE item.type WHEN {literal(kind.name)} THEN {source.value(column, field, 'item')} END"
                for kind in kinds.values()
                for field in kind.attributes.values()
                if field.role == role
            ]
            columns.append((role, _first([*held, f"NULL::{SQL[kind_of]}"])))
    else:
        columns += [
            ("start_time", "item.start_time::TIMESTAMP"),
            ("end_time", "item.end_time::TIMESTAMP"),
            ("duration_ms", "(epoch_us(item.end_time) - epoch_us(item.start_time)) / 1000.0::DOUBLE"),
        ]
    found = [field for kind in kinds.values() for field in kind.attributes.values()]
    # Attributes with the same name share a column. If one of them was renamed, its history belongs to this column too.
    declared = {field.name: field for field in sorted(found, key=lambda field: field.replaces is not None)}
    now = [declared[name] for name in dict.fromkeys(field.name for field in found) if not declared[name].replaced_by]
    shown = [field for field in now if source.shows(column, field)]
    columns += [(field.name, source.history(column, field, declared, "item")) for field in shown]
    columns.append(("session", f"struct_pack({packed})"))
    times = ["item.time"] if column == "events" else ["item.start_time", "item.end_time"]
    selected = _select(columns, f"(SELECT *, unnest({column}) AS item FROM {source.relation})")
    return f"{selected} AND {clock.possible(*times)}"


def _features(source: Source) -> list[str]:
    """One row for each run and each thing that a person can choose: true-or-false attributes, and those with `values`.

    So a page can read all choices without their names. The view exists even if a tool has no choices.
    """
    columns = [(name, expression) for name, expression in source.sessions() if name in KEPT or name.lower() in ROLES]
    attributes = source.application.attributes
    made = []
    for field in filter(_chosen, attributes.values()):
        value = source.history("attributes", field, attributes)
        chosen = f"CASE WHEN {value} THEN 'yes' ELSE 'no' END" if field.type == "boolean" else value
        named: Columns = [*columns, ("feature", literal(field.name)), ("choice", chosen)]
        made.append(f"{_select(named, source.relation)} AND {value} IS NOT NULL")
    empty: Columns = [*columns, ("feature", "NULL::VARCHAR"), ("choice", "NULL::VARCHAR")]
    return made or [f"{_select(empty, source.relation)} AND false"]


KEPT = frozenset({"application", "user_id", "application_version", "start_time", "duration_ms"})


def _chosen(field: Field) -> bool:
    """Whether people choose it. Roles that say where a run was, or how it went, are not choices."""
    if not field.current or field.role not in (None, "tab_completion_used", "variant"):
        return False
    return field.type == "boolean" or field.values is not None


def selects(sources: Sequence[Source]) -> dict[str, list[str]]:
    """View -> its parts."""
    parts: dict[str, list[str]] = {"sessions": [], "events": [], "spans": [], "features": []}
    for source in sources:
        parts["sessions"].append(_select(source.sessions(), source.relation))
        parts["events"].append(_items(source, "events"))
        parts["spans"].append(_items(source, "spans"))
        parts["features"] += _features(source)
    return parts
