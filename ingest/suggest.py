"""Suggests registry entries for what an application sends but does not declare: TOML to annotate."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.registry import NAME, ROLES, Application
from ingest.session import canonical_time

__all__ = ["Seen", "from_paths", "from_sessions", "toml"]

# A string with more different values than this gets no list of them.
MOST_VALUES = 12
# Left empty, so that the registry does not load before somebody has said it.
WHY = 'why = ""  # say which question this answers'


@dataclass
class Values:
    """What was seen of one attribute."""

    kinds: set[str] = field(default_factory=set)
    texts: dict[str, None] = field(default_factory=dict)
    example: Any = None

    def add(self, value: Any) -> None:
        kind = _kind(value)
        if kind is None:
            return
        self.kinds.add(kind)
        if self.example is None:
            self.example = value
        if isinstance(value, str) and len(self.texts) <= MOST_VALUES:
            self.texts.setdefault(value)

    @property
    def type(self) -> str:
        """The narrowest type that holds all that was seen; a string where they do not agree."""
        if len(self.kinds) == 1:
            return next(iter(self.kinds))
        return "number" if self.kinds == {"integer", "number"} else "string"


@dataclass
class Seen:
    """Attributes by name; types of events and spans, each with its attributes by name."""

    attributes: dict[str, Values] = field(default_factory=lambda: defaultdict(Values))
    events: dict[str, dict[str, Values]] = field(default_factory=dict)
    spans: dict[str, dict[str, Values]] = field(default_factory=dict)


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
    """What sessions have in them, by application."""
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
    """What the paths of left-out members say, which have names and no values."""
    seen = Seen()
    for path in paths:
        head, _, name = path.partition(".")
        if head == "attributes":
            seen.attributes[name].kinds.add("string")
            continue
        kinds = seen.events if head == "events" else seen.spans
        kind, separator, attribute = name.rpartition(".attributes.")
        if separator:
            kinds.setdefault(kind, defaultdict(Values))[attribute].kinds.add("string")
        else:
            kinds.setdefault(name, defaultdict(Values))
    return seen


def toml(seen: Seen, declared: Application | None) -> str:
    """Entries for what is not declared yet. What cannot be a name is said in a comment."""
    lines: list[str] = []
    _fields(lines, "attributes", seen.attributes, declared.attributes if declared else {}, top=True)
    for member, kinds in (("events", seen.events), ("spans", seen.spans)):
        known = getattr(declared, member) if declared else {}
        for kind in sorted(kinds):
            if not NAME.fullmatch(kind):
                lines += [f"# a type in {member} cannot be declared, its name is {json.dumps(kind)}", ""]
                continue
            if kind not in known:
                lines += [f"[{member}.{kind}]", WHY, ""]
            there = known[kind].attributes if kind in known else {}
            _fields(lines, f"{member}.{kind}.attributes", kinds[kind], there, top=False)
    return "\n".join(lines)


def _fields(lines: list[str], at: str, found: Mapping[str, Values], known: Mapping[str, Any], *, top: bool) -> None:
    for name in sorted(found):
        values = found[name]
        if name in known:
            continue
        if not NAME.fullmatch(name):
            lines += [f"# an attribute in {at} cannot be declared, its name is {json.dumps(name)}", ""]
            continue
        lines += [f"[{at}.{name}]", f'type = "{values.type if values.kinds else "string"}"']
        if values.type == "string" and values.texts and len(values.texts) <= MOST_VALUES:
            lines.append(f"values = [{', '.join(map(_toml, values.texts))}]  # all that were seen")
        elif values.type == "string":
            lines.append(
                "# free text is stored but never published: give values = [\u2026] or pattern = '\u2026' if it is not"
            )
        if top:
            lines += [f'role = "{role}"' for role in [_role(name, values.type)] if role]
        lines.append(WHY)
        if values.example is not None:
            lines.append(f"example = {_toml(values.example)}")
        lines.append("")


def _toml(value: Any) -> str:
    """A scalar as TOML writes it: as JSON does, but for DEL, which it wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _role(name: str, kind: str) -> str | None:
    """The role whose name the attribute's contains, if it fits."""
    flat = name.lower()
    for role, (wanted, _) in sorted(ROLES.items(), key=lambda item: -len(item[0])):
        if role.replace("_", "") in flat and wanted == kind and len(role) > 2:
            return role
    return {"osname": "os", "os": "os"}.get(flat) if kind == "string" else None
