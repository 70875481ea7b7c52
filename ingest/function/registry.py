"""The registry: one TOML file for each application, which declares everything that it may send. There is no other list:
the function stores only what is in it, compaction takes column types from it, and pages take meanings from it.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingest.function.pattern import PatternError, compiled, fits
from ingest.function.roles import CORE, EVENT_ATTRIBUTE_ROLES, EVENT_ROLES, ROLES

__all__ = ["PROBE", "Application", "Field", "Kind", "RegistryError", "load", "parse"]

TYPES = ("string", "integer", "number", "boolean", "timestamp")
WRITTEN = {str: "text in quotes", int: "a whole number", bool: "true or false", dict: "a table", list: "a list"}
APPLICATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
REPOSITORY = re.compile(r"https?://[^/\s?#@]+(/[^/\s?#]+){2,}")


class RegistryError(Exception):
    """Every fault of every file, one on each line: file, key, fault and fix."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Field:
    """A declared attribute.

    A renamed attribute is here under both names: `replaces` has the former name, whose entry has `replaced_by`. Older
    versions of a tool still send the former name, so the function still accepts it, into a column of its own.
    """

    name: str
    type: str
    why: str
    role: str | None = None
    example: str | None = None
    values: tuple[str, ...] | None = None
    pattern: str | None = None
    publish: bool = False
    removed: bool = False
    replaces: str | None = None
    replaced_by: str | None = None
    _values: frozenset[str] | None = field(init=False, repr=False, compare=False, default=None)
    _pattern: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", None if self.values is None else frozenset(self.values))
        object.__setattr__(self, "_pattern", None if self.pattern is None else compiled(self.pattern))

    @property
    def current(self) -> bool:
        """Whether the newest version of the tool sends it. False if it is removed or renamed."""
        return not self.removed and self.replaced_by is None

    @property
    def free_text(self) -> bool:
        """Whether it can contain any text. Then it is never published as a label."""
        return self.type == "string" and self.values is None and self.pattern is None and not self.publish

    def allows(self, value: str) -> bool:
        """Whether `values` or `pattern` allow a string. The whole string must match."""
        if self._values is not None:
            return value in self._values
        return self._pattern is None or fits(self._pattern, value)


@dataclass(frozen=True)
class Kind:
    """A declared type of event or span."""

    name: str
    why: str
    role: str | None = None
    removed: bool = False
    attributes: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True)
class Application:
    """Everything that one application may send. `sample` marks an application whose sessions are generated.

    `repository` is the address of the repository that releases it, and `text` its registry file.
    """

    id: str
    name: str
    description: str = ""
    repository: str = ""
    retention_days: int = 730
    retired: bool = False
    sample: bool = False
    attributes: Mapping[str, Field] = field(default_factory=dict)
    events: Mapping[str, Kind] = field(default_factory=dict)
    spans: Mapping[str, Kind] = field(default_factory=dict)
    text: str = field(default="", repr=False, compare=False)

    def with_role(self, role: str) -> list[Field]:
        """The attributes that have or had this role: the current one first, then former ones in the order of the
        file.
        """
        held = [field for field in self.attributes.values() if field.role == role]
        return sorted(held, key=lambda field: (field.removed, field.replaced_by is not None))

    @property
    def declared(self) -> "dict[str, Field | Kind]":
        """All attributes, events and spans by path, including removed and renamed ones."""
        return {path: one for path, one, _ in self._members()}

    @property
    def paths(self) -> list[str]:
        """Everything that it may send now, as paths: `attributes.osName`, `events.Done`,
        `events.Done.attributes.how`.
        """
        return [path for path, _, current in self._members() if current]

    def _members(self) -> "Iterator[tuple[str, Field | Kind, bool]]":
        for name, one in self.attributes.items():
            yield f"attributes.{name}", one, one.current
        for part, kinds in (("events", self.events), ("spans", self.spans)):
            for name, kind in kinds.items():
                yield f"{part}.{name}", kind, not kind.removed
                for of, one in kind.attributes.items():
                    yield f"{part}.{name}.attributes.{of}", one, one.current and not kind.removed


# The application of `abaculus probe`, which is always registered. Its sessions show that the function stores sessions.
# Reports leave it out.
PROBE = Application(
    id="abaculus-probe",
    name="Abaculus probe",
    description="Sessions that test whether the ingest function stores sessions",
    retention_days=1,
    attributes={"probe": Field("probe", "boolean", "To tell a test from a run")},
)


def directory() -> Path:
    """The directory of the registry files: $ABACULUS_APPLICATIONS, else ingest/applications here, else
    applications/.
    """
    named = os.environ.get("ABACULUS_APPLICATIONS")
    if named:
        return Path(named)
    ours = Path("ingest/applications")
    return ours if ours.is_dir() else Path("applications")


def load(path: Path | None = None) -> dict[str, Application]:
    """The applications by id. Raises `RegistryError` with every fault of every file."""
    path = directory() if path is None else path
    files = sorted(path.glob("*.toml"))
    if not files:
        raise RegistryError(
            [f"{path}: no registry file (*.toml) here; add one, or name their directory in ABACULUS_APPLICATIONS"]
        )
    faults: list[str] = []
    applications: dict[str, Application] = {PROBE.id: PROBE}
    origin: dict[str, Path | str] = {PROBE.id: "`abaculus probe`"}
    for file in files:
        try:
            application = parse(file.read_bytes().decode("utf-8-sig"), str(file))
        except RegistryError as error:
            faults += error.faults
            continue
        except OSError as error:
            faults.append(f"{file}: cannot be read: {error.strerror}; it must be a file that you may read")
            continue
        except UnicodeDecodeError as error:
            faults.append(f"{file}: cannot be read: {error}; save it as UTF-8 text")
            continue
        if application.id in applications:
            other = origin[application.id]
            faults.append(f"{file}: id: {application.id!r} is taken by {other}; give each file its own id")
        applications[application.id] = application
        origin[application.id] = file
    if faults:
        raise RegistryError(faults)
    return applications


def parse(text: str, where: str = "registry") -> Application:
    """One application from TOML text. Raises `RegistryError` with every fault of it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RegistryError([f"{where}: not valid TOML: {error}"]) from None
    reader = _Reader(where)
    application = reader.application(document)
    if reader.faults:
        raise RegistryError(reader.faults)
    return replace(application, text=text)


class _Reader:
    """Reads one document and collects its faults, so that the author sees all at once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: list[str] = []

    def fault(self, key: str, what: str) -> None:
        self.faults.append(f"{self.where}: {key.removeprefix('.')}: {what}")

    def take(self, table: dict[str, Any], at: str, key: str, kind: type, default: Any) -> Any:
        value = table.pop(key, default)
        if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            self.fault(f"{at}.{key}", f"must be {WRITTEN[kind]}, got {value!r}")
            return default
        return value

    def rest(self, table: dict[str, Any], at: str, known: str) -> None:
        for key in table:
            self.fault(f"{at}.{key}", f"unknown key; known here: {known}")

    def application(self, document: dict[str, Any]) -> Application:
        id = self.take(document, "", "id", str, "")
        if not APPLICATION_ID.fullmatch(id):
            self.fault("id", f"must be 1 to 63 lower-case letters, digits and hyphens, got {id!r}")
        days = self.take(document, "", "retention_days", int, 730)
        if days < 1:
            self.fault("retention_days", f"must be at least 1, got {days}")
        repository = self.take(document, "", "repository", str, "")
        if repository and not REPOSITORY.fullmatch(repository):
            self.fault("repository", f"must be an address such as https://github.com/me/my-tool, got {repository!r}")
        application = Application(
            id=id,
            name=self.take(document, "", "name", str, id),
            description=self.take(document, "", "description", str, ""),
            repository=repository,
            retention_days=days,
            retired=self.take(document, "", "retired", bool, False),
            sample=self.take(document, "", "sample", bool, False),
            attributes=self.fields(self.take(document, "", "attributes", dict, {}), "attributes", ROLES),
            events=self.kinds(self.take(document, "", "events", dict, {}), "events"),
            spans=self.kinds(self.take(document, "", "spans", dict, {}), "spans"),
        )
        known = "id, name, description, repository, retention_days, retired, sample, attributes, events, spans"
        self.rest(document, "", known)
        return application

    def kinds(self, tables: dict[str, Any], at: str) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        seen: dict[str, Field] = {}
        for name, table in self.tables(tables, at):
            here = f"{at}.{name}"
            role = self.take(table, here, "role", str, None)
            if role is not None and (at != "events" or role not in EVENT_ROLES):
                allowed = ", ".join(EVENT_ROLES) if at == "events" else "none for spans"
                self.fault(f"{here}.role", f"unknown role {role!r}; known: {allowed}")
            roles = EVENT_ATTRIBUTE_ROLES if at == "events" else {}
            attributes = self.fields(self.take(table, here, "attributes", dict, {}), f"{here}.attributes", roles)
            for attribute in attributes.values():
                # All types of events share one struct, so a name has one type there.
                other = seen.setdefault(attribute.name.lower(), attribute)
                if (other.name, other.type) != (attribute.name, attribute.type):
                    self.fault(
                        f"{here}.attributes.{attribute.name}",
                        f"is {attribute.type}, but {at} elsewhere have {other.name!r} as {other.type}; "
                        "use one spelling and type, or another name",
                    )
            kinds[name] = Kind(
                name=name,
                why=self.why(table, here),
                role=role,
                removed=self.take(table, here, "removed", bool, False),
                attributes=attributes,
            )
            self.rest(table, here, "why, role, removed, attributes")
        return kinds

    def fields(self, tables: dict[str, Any], at: str, roles: Mapping[str, tuple[str, str]]) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        taken: dict[str, str] = {}
        for name, table in self.tables(tables, at):
            here = f"{at}.{name}"
            fields[name] = made = self.field(name, table, here, roles)
            if made.role and not made.removed:
                if made.role in taken:
                    what = f"{made.role!r} is already the role of {taken[made.role]!r}; keep one, or set removed = true"
                    self.fault(f"{here}.role", f"{what} in the former one")
                taken[made.role] = name
            lower = name.lower()
            if lower in CORE:
                self.fault(here, f"{name!r} is a column that every view has; choose another name")
            elif lower in roles and made.role != lower:
                self.fault(here, f"{name!r} is the name of a role; add role = {lower!r} or choose another name")
        return self.renamed(fields, at)

    def renamed(self, fields: dict[str, Field], at: str) -> dict[str, Field]:
        """The same with former names. An undeclared former name is treated like the attribute that replaces it."""
        for one in [*fields.values()]:
            if one.replaces is None:
                continue
            here, former = f"{at}.{one.name}.replaces", fields.get(one.replaces)
            spelt = {name.lower(): name for name in fields}.get(one.replaces.lower())
            if not NAME.fullmatch(one.replaces):
                self.fault(here, "a name is a letter followed by letters and digits, at most 64")
            elif former is None and (spelt is not None or one.replaces.lower() in CORE):
                self.fault(
                    here, f"{one.replaces!r} is {spelt or 'a column that every view has'!r}; name a former attribute"
                )
            elif former is None:
                fields[one.replaces] = replace(one, name=one.replaces, replaces=None, replaced_by=one.name)
            elif former.replaced_by is not None:
                self.fault(here, f"{former.name!r} is already replaced by {former.replaced_by!r}; keep one")
            elif former.name == one.name or not former.removed:
                self.fault(here, f"{former.name!r} is still declared; set removed = true there, or delete its table")
            elif former.type != one.type and (former.type, one.type) != ("integer", "number"):
                self.fault(
                    here,
                    f"{former.name!r} is {former.type}, but this is {one.type}; use the same type, or remove replaces",
                )
            else:
                fields[former.name] = replace(former, replaced_by=one.name)
        for name, one in fields.items():
            newest, names = one, {name}
            while newest.replaced_by is not None and newest.replaced_by not in names:
                newest = fields[newest.replaced_by]
                names.add(newest.name)
            if newest.replaced_by is not None and name == min(names):
                self.fault(f"{at}.{name}.replaces", "names replace each other in a circle; remove one of them")
            # Older versions send it, so it is accepted as long as the newest name is, whatever its own table says.
            fields[name] = replace(one, removed=newest.removed)
        return fields

    def field(self, name: str, table: dict[str, Any], at: str, roles: Mapping[str, tuple[str, str]]) -> Field:
        kind = self.take(table, at, "type", str, "")
        if kind not in TYPES:
            self.fault(f"{at}.type", f"must be one of {', '.join(TYPES)}, got {kind!r}")
        role = self.take(table, at, "role", str, None)
        if role is not None and not roles:
            self.fault(f"{at}.role", "attributes of spans have no role; remove it")
        elif role is not None and role not in roles:
            self.fault(f"{at}.role", f"unknown role {role!r}; known: {', '.join(roles)}")
        elif role is not None and kind != roles[role][0]:
            self.fault(f"{at}.type", f"an attribute with role {role!r} must be {roles[role][0]}, got {kind!r}")
        values = self.take(table, at, "values", list, None)
        if values is not None and not (values and all(isinstance(value, str) for value in values)):
            self.fault(f"{at}.values", "must be a list of one or more texts in quotes")
            values = None
        pattern = self.take(table, at, "pattern", str, None)
        try:
            compiled(pattern or "")
        except PatternError as error:
            self.fault(
                f"{at}.pattern",
                f"RE2 does not accept {pattern!r}: {error}; in TOML, put it in single quotes; "
                "https://github.com/google/re2/wiki/Syntax lists the syntax",
            )
            pattern = None
        if values is not None and pattern is not None:
            self.fault(at, "has both values and pattern; keep one")
        if kind != "string" and (values is not None or pattern is not None):
            self.fault(at, f'values and pattern are for type = "string", this is {kind!r}; remove them')
        example = table.pop("example", None)
        made = Field(
            name=name,
            type=kind,
            why=self.why(table, at),
            role=role,
            example=None if example is None else str(example),
            values=None if values is None else tuple(values),
            pattern=pattern,
            publish=self.take(table, at, "publish", bool, False),
            removed=self.take(table, at, "removed", bool, False),
            replaces=self.take(table, at, "replaces", str, None),
        )
        self.rest(table, at, "type, role, why, example, values, pattern, publish, removed, replaces")
        return made

    def tables(self, tables: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
        seen: dict[str, str] = {}
        for name, table in tables.items():
            if not NAME.fullmatch(name):
                self.fault(f"{at}.{name}", "a name is a letter followed by letters and digits, at most 64")
            other = seen.setdefault(name.lower(), name)
            if other != name:
                self.fault(f"{at}.{name}", f"differs from {other!r} only in case; keep one spelling")
            if isinstance(table, dict):
                yield name, dict(table)
            else:
                self.fault(f"{at}.{name}", f"must be a table like [{at}.{name}], got {table!r}")

    def why(self, table: dict[str, Any], at: str) -> str:
        why: str = self.take(table, at, "why", str, "")
        if not why.strip():
            self.fault(
                f"{at}.why", "write in a sentence which question this answers; users read it before they say yes"
            )
        return why
