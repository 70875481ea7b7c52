"""Suggests registry entries for undeclared members of an application, as TOML to complete.

For members that the client sends by itself, it prints the client's own declaration. Everything else is a guess and
marked as one.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from ingest.function.registry import NAME, Application, Field, parse
from ingest.function.roles import ROLES
from ingest.function.session_format import canonical_time

__all__ = ["Seen", "client", "from_paths", "from_sessions", "toml"]

# A string with more different values than this gets no list of values.
MOST_VALUES = 12
# Strings of more different forms than this get no pattern.
MOST_FORMS = 4
# Numbers in a string, such as a version.
DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)*")
# Left empty, so that the registry does not load before somebody has written it.
WHY = 'why = ""  # write which question this answers'


@dataclass
class Values:
    """The findings about one attribute: the number of each type, the first values, and all forms. A form is a text
    without its numbers, with the longest number, and the fewest and most dots in the numbers.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    texts: dict[str, None] = field(default_factory=dict)
    forms: dict[tuple[str, ...], tuple[int, int, int]] = field(default_factory=dict)
    example: Any = None

    def add(self, value: Any) -> None:
        kind = _kind(value)
        if kind is None:
            return
        self.kinds[kind] += 1
        if self.example is None:
            self.example = value
        if isinstance(value, str) and len(self.texts) <= MOST_VALUES:
            self.texts.setdefault(value)
        if isinstance(value, str) and len(self.forms) <= MOST_FORMS:
            numbers = DIGITS.findall(value) or [""]
            dots = [number.count(".") for number in numbers]
            longest, least, most = self.forms.get(form := tuple(DIGITS.split(value)), (0, dots[0], 0))
            parts = (len(part) for number in numbers for part in number.split("."))
            self.forms[form] = (max(longest, *parts), min(least, *dots), max(most, *dots))

    @property
    def type(self) -> str:
        """The narrowest type for all values. A string if they have different types."""
        if len(self.kinds) == 1:
            return next(iter(self.kinds))
        return "number" if self.kinds.keys() == {"integer", "number"} else "string"

    def fit(self, field: Field) -> bool:
        """Whether a declaration allows all values."""
        return self.kinds.keys() <= {field.type} and all(map(field.allows, self.texts))

    @property
    def pattern(self) -> str | None:
        """A pattern for texts that differ only in numbers: `Docker 24.0.7`, `Podman 4.9`."""
        if len(self.forms) > MOST_FORMS or len(self.texts) <= len(self.forms):
            return None
        if not all(len(form) > 1 for form in self.forms):
            return None
        return "|".join(_pattern(form, *self.forms[form]) for form in sorted(self.forms))


@dataclass
class Seen:
    """Attributes by name, and types of events and spans, each with its attributes by name."""

    attributes: dict[str, Values] = field(default_factory=lambda: defaultdict(Values))
    events: dict[str, dict[str, Values]] = field(default_factory=dict)
    spans: dict[str, dict[str, Values]] = field(default_factory=dict)


def _pattern(form: tuple[str, ...], longest: int, least: int, most: int) -> str:
    digits = rf"\d{{1,{max(4, longest)}}}"
    times = f"{least},{most}" if least < most else f"{most}"
    number = digits + (rf"(\.{digits}){{{times}}}" if most else "")
    return number.join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text) for text in form)


@cache
def client() -> dict[str, str]:
    """The client's own declarations: path, such as `attributes.osName`, -> its table as TOML."""
    text = (files("abaculus") / "registry.toml").read_text(encoding="utf-8")
    tables = re.findall(r"(?ms)^(\[([\w.]+)\]\n.*?)(?=^\[|^#|\Z)", text)
    return {path: table.strip() for table, path in tables}


@cache
def _client_fields() -> dict[str, Field]:
    """The attributes among them, by the same paths."""
    declared = parse('id = "client"\n' + "\n".join(client().values()))
    found = {f"attributes.{name}": field for name, field in declared.attributes.items()}
    for kind in declared.events.values():
        found |= {f"events.{kind.name}.attributes.{name}": field for name, field in kind.attributes.items()}
    return found


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "timestamp" if canonical_time(value) else "string"
    return None


def from_sessions(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Seen]:
    """The contents of sessions, by application."""
    found: dict[str, Seen] = defaultdict(Seen)
    for session in sessions:
        seen = found[str(session.get("applicationId", ""))]
        _add(session.get("attributes"), seen.attributes)
        for member, kinds in (("events", seen.events), ("spans", seen.spans)):
            for entry in session.get(member) or ():
                if isinstance(entry, Mapping) and isinstance(entry.get("type"), str):
                    _add(entry.get("attributes"), kinds.setdefault(entry["type"], defaultdict(Values)))
    return dict(found)


def _add(attributes: Any, into: dict[str, Values]) -> None:
    if isinstance(attributes, Mapping):
        for name, value in attributes.items():
            into[name].add(value)


def from_paths(paths: Iterable[str]) -> Seen:
    """The contents by the paths of left-out members, which have names but no values."""
    seen = Seen()
    for path in paths:
        head, _, name = path.partition(".")
        if head == "attributes":
            seen.attributes.setdefault(name, Values())
            continue
        kinds = seen.events if head == "events" else seen.spans
        kind, separator, attribute = name.rpartition(".attributes.")
        if separator:
            kinds.setdefault(kind, defaultdict(Values)).setdefault(attribute, Values())
        else:
            kinds.setdefault(name, defaultdict(Values))
    return seen


def toml(seen: Seen, declared: Application | None) -> str:
    """Entries for undeclared members. A comment lists invalid names."""
    lines: list[str] = []
    _fields(lines, "attributes", seen.attributes, declared.attributes if declared else {}, top=True)
    for member, kinds in (("events", seen.events), ("spans", seen.spans)):
        known = getattr(declared, member) if declared else {}
        for kind in sorted(kinds):
            if not NAME.fullmatch(kind):
                lines += [f"# a type in {member} cannot be declared, its name is {json.dumps(kind)}", ""]
                continue
            at, found = f"{member}.{kind}", kinds[kind]
            if kind not in known:
                lines += [client().get(at) or f"[{at}]\n{WHY}", ""]
                # Nothing is known about the attributes of a type that was left out.
                whole = [path.rpartition(".")[2] for path in client() if path.startswith(f"{at}.")]
                found = {name: Values() for name in whole} | found
            there = known[kind].attributes if kind in known else {}
            _fields(lines, f"{at}.attributes", found, there, top=False)
    return "\n".join(lines)


def _fields(lines: list[str], at: str, found: Mapping[str, Values], known: Mapping[str, Any], *, top: bool) -> None:
    for name in sorted(found):
        values = found[name]
        if name in known:
            continue
        if not NAME.fullmatch(name):
            lines += [f"# an attribute in {at} cannot be declared, its name is {json.dumps(name)}", ""]
            continue
        path = f"{at}.{name}"
        if path in client() and values.fit(_client_fields()[path]):
            lines += ["# as the client declares it", client()[path], ""]
            continue
        lines += [f"[{at}.{name}]", f'type = "{values.type}"{_guessed(values)}']
        if values.type == "string" and (pattern := values.pattern):
            written = _toml(pattern) if "'" in pattern or not pattern.isprintable() else f"'{pattern}'"
            lines.append(f"pattern = {written}  # a guess: it matches all values that were found")
        elif values.type == "string" and values.texts and len(values.texts) <= MOST_VALUES:
            lines.append(f"values = [{', '.join(map(_toml, values.texts))}]  # a guess: all values that were found")
        elif values.type == "string":
            lines.append(
                "# free text is stored but never published: give values = [\u2026] or pattern = '\u2026' if it is not"
            )
        if top:
            lines += [f'role = "{role}"  # a guess, from the name' for role in [_role(name, values.type)] if role]
        lines.append(WHY)
        if values.example is not None:
            lines.append(f"example = {_toml(values.example)}")
        lines.append("")


def _guessed(values: Values) -> str:
    """The comment about the certainty of the type."""
    if not values.kinds:
        return "  # a guess: only the name is known"
    if values.type in values.kinds and (len(values.kinds) == 1 or values.type == "number"):
        return ""
    return f"  # a guess: of all values, {', '.join(f'{n:,} of type {kind}' for kind, n in values.kinds.most_common())}"


def _toml(value: Any) -> str:
    """A scalar in TOML: the same as in JSON, except that DEL is escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _role(name: str, kind: str) -> str | None:
    """The role whose name is part of the attribute's name, if its type fits."""
    flat = name.lower()
    for role, (wanted, _) in sorted(ROLES.items(), key=lambda item: -len(item[0])):
        if role.replace("_", "") in flat and wanted == kind and len(role) > 2:
            return role
    return {"osname": "os", "os": "os"}.get(flat) if kind == "string" else None
