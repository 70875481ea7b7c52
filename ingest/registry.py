"""The registry: one TOML file an application declares all that it may send.

It is the only list: the function stores nothing that is not in it, compaction takes column types from it, and the pages
take their meaning from it.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PROBE", "ROLES", "Application", "Field", "Kind", "RegistryError", "load", "parse"]

TYPES = ("string", "integer", "number", "boolean", "timestamp")

# What an attribute means, so that pages fit any tool: role -> (type, meaning).
ROLES: dict[str, tuple[str, str]] = {
    "os": ("string", "operating system"),
    "os_version": ("string", "version of the operating system"),
    "arch": ("string", "processor architecture"),
    "shell": ("string", "shell that the tool was started from"),
    "terminal": ("string", "terminal emulator"),
    "interactive": ("boolean", "whether a person is at the terminal"),
    "ci": ("boolean", "whether the run was in a continuous integration system"),
    "ci_system": ("string", "continuous integration system"),
    "exit_code": ("integer", "exit code of the run; anything but 0 is a failure"),
    "failure_reason": ("string", "why the run failed, by a fixed name"),
    "command": ("string", "command or sub-command that was run"),
    "runtime": ("string", "language runtime and its version"),
    "container_engine": ("string", "container engine and its version"),
    "project_size": ("integer", "size of the project, in the tool's own unit"),
    "project_parts": ("integer", "parts that the project is made of, such as containers, packages or modules"),
    "variant": ("string", "which of several ways of doing the same the run took, to compare them"),
    "tab_completion_used": ("boolean", "whether the user has tab completion set up"),
}
EVENT_ROLES: dict[str, str] = {
    "update_notice": "the user was told of a newer version",
    "help": "the user asked for help",
}

# Columns that every view has. An attribute of the same name would make a query ambiguous.
CORE = frozenset(
    {
        "application", "user_id", "session_id", "application_version", "start_time", "end_time", "ingestion_time",
        "duration_ms", "clock_suspect", "month", "undeclared", "attributes", "events", "spans", "type", "time",
        "role", "session",
    }
)  # fmt: skip

WRITTEN = {str: "text in quotes", int: "a whole number", bool: "true or false", dict: "a table", list: "a list"}
APPLICATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


class RegistryError(Exception):
    """Every fault of every file, a line each: file, key, what is wrong, what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Field:
    """A declared attribute."""

    name: str
    type: str
    why: str
    role: str | None = None
    example: str | None = None
    values: tuple[str, ...] | None = None
    pattern: str | None = None
    publish: bool = False
    removed: bool = False
    _values: frozenset[str] | None = field(init=False, repr=False, compare=False, default=None)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", None if self.values is None else frozenset(self.values))
        object.__setattr__(self, "_pattern", None if self.pattern is None else re.compile(self.pattern))

    @property
    def free_text(self) -> bool:
        """Whether people can put anything into it, so that it is never published as a label."""
        return self.type == "string" and self.values is None and self.pattern is None and not self.publish

    def allows(self, value: str) -> bool:
        """Whether a string is one that `values` or `pattern` foresee. The whole string must match."""
        if self._values is not None:
            return value in self._values
        return self._pattern is None or self._pattern.fullmatch(value) is not None


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
    """All that one application may send. `sample` marks an application whose sessions are generated."""

    id: str
    name: str
    description: str = ""
    retention_days: int = 730
    retired: bool = False
    sample: bool = False
    attributes: Mapping[str, Field] = field(default_factory=dict)
    events: Mapping[str, Kind] = field(default_factory=dict)
    spans: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """All that it may send now, as paths: `attributes.osName`, `events.Done`, `events.Done.attributes.how`."""
        found = [f"attributes.{field.name}" for field in self.attributes.values() if not field.removed]
        for part, kinds in (("events", self.events), ("spans", self.spans)):
            for kind in kinds.values():
                if not kind.removed:
                    found.append(f"{part}.{kind.name}")
                    named = [field.name for field in kind.attributes.values() if not field.removed]
                    found += [f"{part}.{kind.name}.attributes.{name}" for name in named]
        return found


# The application of `abaculus probe`, which is always registered: its one session a probe shows that the function
# stores. Reports leave it out.
PROBE = Application(
    id="abaculus-probe",
    name="Abaculus probe",
    description="Sessions that test whether the ingest function stores what it is sent",
    retention_days=1,
    attributes={"probe": Field("probe", "boolean", "To tell a test from a run")},
)


def directory() -> Path:
    """Where the registry files lie: $ABACULUS_APPLICATIONS, else ingest/applications here, else applications/."""
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
            application = parse(file.read_bytes().decode(), str(file))
        except RegistryError as error:
            faults += error.faults
            continue
        except (OSError, UnicodeDecodeError) as error:
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
    return application


class _Reader:
    """Reads one document and collects its faults, so that an author sees all of them at once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: list[str] = []

    def fault(self, key: str, what: str) -> None:
        self.faults.append(f"{self.where}: {key}: {what}" if key else f"{self.where}: {what}")

    def take(self, table: dict[str, Any], at: str, key: str, kind: type, default: Any) -> Any:
        value = table.pop(key, default)
        if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            self.fault(_join(at, key), f"must be {WRITTEN[kind]}, got {value!r}")
            return default
        return value

    def rest(self, table: dict[str, Any], at: str, known: str) -> None:
        for key in table:
            self.fault(_join(at, key), f"unknown key; known here: {known}")

    def application(self, document: dict[str, Any]) -> Application:
        id = self.take(document, "", "id", str, "")
        if not APPLICATION_ID.fullmatch(id):
            self.fault("id", f"must be 1 to 63 lower-case letters, digits and hyphens, got {id!r}")
        days = self.take(document, "", "retention_days", int, 730)
        if days < 1:
            self.fault("retention_days", f"must be at least 1, got {days}")
        application = Application(
            id=id,
            name=self.take(document, "", "name", str, id),
            description=self.take(document, "", "description", str, ""),
            retention_days=days,
            retired=self.take(document, "", "retired", bool, False),
            sample=self.take(document, "", "sample", bool, False),
            attributes=self.fields(self.take(document, "", "attributes", dict, {}), "attributes", roles=True),
            events=self.kinds(self.take(document, "", "events", dict, {}), "events"),
            spans=self.kinds(self.take(document, "", "spans", dict, {}), "spans"),
        )
        self.rest(document, "", "id, name, description, retention_days, retired, sample, attributes, events, spans")
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
            attributes = self.fields(self.take(table, here, "attributes", dict, {}), f"{here}.attributes", roles=False)
            for attribute in attributes.values():
                # All types of event share one struct, so a name means one type there.
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

    def fields(self, tables: dict[str, Any], at: str, *, roles: bool) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        taken: dict[str, str] = {}
        for name, table in self.tables(tables, at):
            here = f"{at}.{name}"
            fields[name] = made = self.field(name, table, here, roles)
            if made.role:
                if made.role in taken:
                    self.fault(f"{here}.role", f"{made.role!r} is already the role of {taken[made.role]!r}; keep one")
                taken[made.role] = name
            lower = name.lower()
            if lower in CORE:
                self.fault(here, f"{name!r} is a column that every view has; choose another name")
            elif roles and lower in ROLES and made.role != lower:
                self.fault(here, f"{name!r} is the name of a role; add role = {lower!r} or choose another name")
        return fields

    def field(self, name: str, table: dict[str, Any], at: str, roles: bool) -> Field:
        kind = self.take(table, at, "type", str, "")
        if kind not in TYPES:
            self.fault(f"{at}.type", f"must be one of {', '.join(TYPES)}, got {kind!r}")
        role = self.take(table, at, "role", str, None)
        if role is not None and not roles:
            self.fault(f"{at}.role", "attributes of events and spans have no role; remove it")
        elif role is not None and role not in ROLES:
            self.fault(f"{at}.role", f"unknown role {role!r}; known: {', '.join(ROLES)}")
        elif role is not None and kind != ROLES[role][0]:
            self.fault(f"{at}.type", f"an attribute with role {role!r} must be {ROLES[role][0]}, got {kind!r}")
        values = self.take(table, at, "values", list, None)
        if values is not None and not (values and all(isinstance(value, str) for value in values)):
            self.fault(f"{at}.values", "must be a list of one or more texts in quotes")
            values = None
        pattern = self.take(table, at, "pattern", str, None)
        try:
            re.compile(pattern or "")
        except re.error as error:
            self.fault(f"{at}.pattern", f"not a regular expression: {error}; in TOML, put it in single quotes")
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
        )
        self.rest(table, at, "type, role, why, example, values, pattern, publish, removed")
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
            self.fault(f"{at}.why", "say in a sentence which question this answers; those who are asked will read it")
        return why


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
