"""The pages about the registry: every field with its reason, and a privacy text. Every build writes both.

Each is Markdown. The texts come from registry files, whose authors also write the site. They are escaped anyway.
"""

import html
import re
from collections.abc import Mapping, Sequence
from posixpath import dirname, relpath

from ingest.function.registry import Application, Field, Kind
from reports.blocks.format import NOTHING, plural
from reports.blocks.names import words
from reports.pages.source import Found, Source
from reports.query.snapshot import PROBE

__all__ = ["fields", "privacy", "uses"]

# What every session has, whatever the registry declares.
ALWAYS = (
    ("sessionId", "a random number of this run", "To count a run once, even if it is sent twice"),
    ("userId", "a random number that the tool keeps on disk", "To count people without knowing them"),
    ("sessionStartTime", "a time", "When the tool is used, and how that changes"),
    ("sessionEndTime", "a time", "How long a run takes"),
    ("applicationId", "the tool's name", "Which tool it was"),
    ("applicationVersion", "a version", "Which versions are in use"),
)  # fmt: skip
# Options of a chart that name columns or tables, and texts in SQL.
OPTION = r"(?m)^(?:x|y|color|rows|trend|filter|data|annotate):(.*)$|^\s+[^:\n]+:\s*(\w+)\s*$"
TEXT = r"'((?:[^']|'')*)'"
Uses = Mapping[str, list[tuple[str, str]]]


def uses(sources: Mapping[str, Source]) -> dict[str, list[tuple[str, str]]]:
    """Which pages read which columns, and name which types and roles: a name -> (path, title) of the pages. Columns are
    in lower case. Types and roles are in quotes, as in SQL.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path, source in sorted(sources.items()):
        title = str(source.front.meta.get("title") or "")
        if not title or "{{" in title:  # a template's names its rows
            title = path.removesuffix(".md").replace("-", " ").capitalize()
        for word in set[str]().union(*(_read(one) for one in source.blocks)):
            found.setdefault(word, []).append((path, title))
    return found


def _read(block: Found) -> set[str]:
    """The columns that a fence may read, and its texts in quotes, without titles, comments and aliases."""
    if block.kind == "chart":
        return words(" ".join(part for found in re.findall(OPTION, block.text) for part in found))
    texts = {f"'{text.lower()}'" for text in re.findall(TEXT, block.text)}
    plain = re.sub(rf"--[^\n]*|{TEXT}|\bAS\s+\"?\w+", " ", block.text, flags=re.IGNORECASE)
    return words(plain) | texts


def fields(registry: Mapping[str, Application], used: Uses, page: str) -> str:
    """Every field that any application may send. `page` is the path of the page with this list, for its links."""
    return "\n\n".join(_application(one, used, page) for one in _shown(registry)) or "No application is registered."


def _shown(registry: Mapping[str, Application]) -> list[Application]:
    return [application for id, application in sorted(registry.items()) if id != PROBE]


def _application(application: Application, used: Uses, page: str) -> str:
    kept = f"Sessions are kept for {_days(application.retention_days)}, and then deleted."
    if application.retired:
        kept = "The tool no longer collects anything. " + kept
    parts = [
        f"## {_plain(application.name)}\n\n{_plain(application.description)}\n\n{kept}",
        "### With every run\n\n"
        + _table(("field", "is", "why"), [(f"`{name}`", what, why) for name, what, why in ALWAYS]),
    ]
    if application.attributes:
        parts.append("### Facts about a run\n\n" + _fields(application.attributes, used, page))
    for title, kinds in (("Things that may happen", application.events), ("Things that take time", application.spans)):
        if kinds:
            parts.append(f"### {title}\n\n" + _kinds(kinds, used, page))
    return "\n\n".join(parts)


def _fields(attributes: Mapping[str, Field], used: Uses, page: str) -> str:
    rows = [
        (f"`{one.name}`", _what(one), _why(one), _plain(one.example or NOTHING), _pages(_names(one), used, page))
        for one in attributes.values()
    ]
    return _table(("field", "may be", "why", "example", "read by"), rows)


def _kinds(kinds: Mapping[str, Kind], used: Uses, page: str) -> str:
    rows = []
    for kind in kinds.values():
        rows.append(
            (
                f"`{kind.name}`",
                "with its time",
                _why(kind),
                NOTHING,
                _pages([f"'{name}'" for name in (kind.name, kind.role) if name], used, page),
            )
        )
        rows += [
            (f"`{kind.name}` `{one.name}`", _what(one), _why(one), _plain(one.example or NOTHING),
             _pages((one.name,), used, page))
            for one in kind.attributes.values()
        ]  # fmt: skip
    return _table(("field", "may be", "why", "example", "read by"), rows)


def _names(field: Field) -> tuple[str | None, ...]:
    return field.name, field.role


def _pages(names: Sequence[str | None], used: Uses, page: str) -> str:
    """Links to the pages with blocks that name it, without the page about all choices."""
    there = {one for name in names if name for one in used.get(name.lower(), ())}
    links = [f"[{_plain(title)}]({relpath(path, dirname(page) or '.')})" for path, title in sorted(there)]
    return ", ".join(links) or "no page by name"


def _what(field: Field) -> str:
    if field.values is not None:
        return ", ".join(_plain(value) for value in field.values) + "; anything else is stored as “(other)”"
    if field.pattern is not None:
        return "text in a fixed form; anything else is stored as “(other)”"
    if field.free_text:
        return "free text: stored, and never shown on a page"
    return {"string": "text", "integer": "a whole number", "boolean": "true or false", "timestamp": "a time"}.get(
        field.type, "a number"
    )


def _why(one: Field | Kind) -> str:
    if isinstance(one, Field) and one.replaced_by:
        return f"{_plain(one.why)} (Older versions send it; now `{one.replaced_by}`.)"
    return _plain(one.why) + (" (No longer collected.)" if one.removed else "")


def _plain(text: str) -> str:
    """A text that Markdown shows unchanged, and that is also readable in its source."""
    return re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _days(days: int) -> str:
    if days % 365 == 0:
        return "a year" if days == 365 else f"{days // 365} years"
    return "a day" if days == 1 else plural(days, "day")


def privacy(registry: Mapping[str, Application], minimum: int, form: str | None = None) -> str:
    """The privacy text for the users of each tool, ready to publish. `minimum` is the smallest group that pages show.
    `form` is the address of the issue form for deletion.
    """
    return (
        "\n\n".join(_privacy(application, minimum, form) for application in _shown(registry))
        or "No application is registered."
    )


def _privacy(application: Application, minimum: int, form: str | None) -> str:
    name = _plain(application.name)
    prefix = re.sub(r"[^A-Z0-9]", "_", application.id.upper())
    variable = f"_{prefix}_TELEMETRY" if prefix[:1].isdigit() else f"{prefix}_TELEMETRY"
    now = [one for one in application.attributes.values() if one.current]
    free = [f"`{one.name}`" for one in now if one.free_text]
    happens = [f"`{one.name}`" for one in application.events.values() if not one.removed]
    takes = [f"`{one.name}`" for one in application.spans.values() if not one.removed]
    sent = [
        "when the run began and ended, and the version of the tool;",
        "two random numbers, one for the run and one for your installation. Your computer generates the second one, "
        "and it does not contain anything about you or your computer;",
        f"facts about the run: {', '.join(f'`{one.name}`' for one in now)};" if now else "",
        f"certain events, with their times: {', '.join(happens)};" if happens else "",
        f"the duration of certain steps: {', '.join(takes)}." if takes else "",
    ]
    ask = f"Give the code to the makers of {name}" if form is None else f"Paste the code into [this form]({form})"
    listed = "\n".join(f"- {line}" for line in sent if line)
    words = f"\n\nOf these, {', '.join(free)} may be any text. It is stored, and never shown on a page." if free else ""
    return f"""## Privacy of {name}

{name} asks once whether it may send its makers a record of each run. Without a yes,
nothing is recorded and nothing is sent.

### What is sent, if you say yes

For each run, {name} sends a record with

{listed}

Nothing else can be stored: everything that is not on the list is dropped on arrival.{words}
The server sees your IP address, as on any connection, but does not store it with the record.

### What is done with it

The records are counted, to decide what to work on. The counts are public, and are shown only for groups of at least
{minimum} people. Records are kept for {_days(application.retention_days)}, and then deleted.

### How to say no, and look

- Say no when asked, or later with `telemetry off`, which also deletes records that wait to be sent.
- Set `{variable}=0`, or `DO_NOT_TRACK=1` for all tools that respect it. A file `.do-not-track` in a project says no for
  everybody who works there.
- `telemetry show` prints what would be sent, and `telemetry log` prints what was sent.

### How to have it deleted

1. Run `telemetry id`. The first line is your random number. Below it is your deletion code: the SHA-256 of the number.
2. {ask}. Keep the number itself to yourself: nobody can compute it from the code.
3. Everything that was sent under the number is deleted, also from older versions of the data. Later records under the
   number are dropped. The pages are built again without them.

Without the number or the code, nobody can tell which records are yours."""
