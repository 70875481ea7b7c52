"""What a site says of its own registry: every field with its reason, and a privacy text. Made anew by every build.

Each is Markdown. The words come from registry files, whose authors write the site too, and are escaped all the same.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import dirname, relpath

from ingest.registry import Application, Field, Kind
from reports.format import NOTHING
from reports.page import fences, front_matter, words
from reports.warehouse import PROBE

__all__ = ["fields", "fill", "privacy", "uses"]

MARK = re.compile(r"^<!-- abaculus: (\w+) -->$", re.MULTILINE)

# What every session has, whatever the registry declares.
ALWAYS = (
    ("sessionId", "a random number of this run", "So that a run that is sent twice counts once"),
    ("userId", "a random number that the tool keeps on disk", "So that people can be counted, not known"),
    ("sessionStartTime", "a time", "When the tool is used, and how that changes"),
    ("sessionEndTime", "a time", "How long a run takes"),
    ("applicationId", "the tool's name", "Which tool it was"),
    ("applicationVersion", "a version", "Which versions are in use"),
)  # fmt: skip
Uses = Mapping[str, list[tuple[str, str]]]


def fill(markdown: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The page with each line `<!-- abaculus: NAME -->` replaced by the part of that name. Raises ValueError."""

    def made(found: re.Match[str]) -> str:
        if found[1] not in parts:
            raise ValueError(f"nothing is made for {found[0]}; there are {', '.join(parts)}")
        return parts[found[1]]()

    return MARK.sub(made, markdown)


def uses(sources: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Which pages read which names: a word of a page's blocks -> (path, title) of the pages that have it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, source in sorted(sources.items()):
        meta, body = front_matter(source)
        title = str(meta.get("title") or "")
        if not title or "{{" in title:  # a template's names its rows
            title = path.removesuffix(".md").replace("-", " ").capitalize()
        read = " ".join(fence.content for fence in fences(body))
        for word in words(read):
            found.setdefault(word, []).append((path, title))
    return found


def fields(registry: Mapping[str, Application], used: Uses, page: str) -> str:
    """Every field that any application may send; `page` is the path of the page that says so, for its links."""
    return "\n\n".join(_application(one, used, page) for one in _shown(registry)) or "No application is registered."


def _shown(registry: Mapping[str, Application]) -> list[Application]:
    return [application for id, application in sorted(registry.items()) if id != PROBE]


def _application(application: Application, used: Uses, page: str) -> str:
    kept = f"Sessions are kept for {_days(application.retention_days)}, and then deleted."
    if application.retired:
        kept = "Nothing is collected any more. " + kept
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
            (f"`{kind.name}`", "with its time", _why(kind), NOTHING, _pages((kind.name, kind.role), used, page))
        )
        rows += [
            (f"`{kind.name}` `{one.name}`", _what(one), _why(one), _plain(one.example or NOTHING),
             _pages((one.name,), used, page))
            for one in kind.attributes.values()
        ]  # fmt: skip
    return _table(("field", "may be", "why", "example", "read by"), rows)


def _names(field: Field) -> tuple[str | None, ...]:
    return field.name, field.role


def _pages(names: tuple[str | None, ...], used: Uses, page: str) -> str:
    """Links to the pages whose blocks name it; a page about all choices names none of them."""
    there = {one for name in names if name for one in used.get(name.lower(), ())}
    links = [f"[{_plain(title)}]({relpath(path, dirname(page) or '.')})" for path, title in sorted(there)]
    return ", ".join(links) or "no page by name"


def _what(field: Field) -> str:
    if field.values is not None:
        return ", ".join(_plain(value) for value in field.values) + "; anything else is stored as “(other)”"
    if field.pattern is not None:
        return "text of one form; anything else is stored as “(other)”"
    if field.free_text:
        return "free text: stored, and never shown on a page"
    return {"string": "text", "integer": "a whole number", "boolean": "true or false", "timestamp": "a time"}.get(
        field.type, "a number"
    )


def _why(one: Field | Kind) -> str:
    return _plain(one.why) + (" (No longer collected.)" if one.removed else "")


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, and that can still be read where it is not rendered."""
    return re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _days(days: int) -> str:
    if days % 365 == 0:
        return "a year" if days == 365 else f"{days // 365} years"
    return "a day" if days == 1 else f"{days} days"


def privacy(registry: Mapping[str, Application], minimum: int) -> str:
    """A text for the users of each tool, to be published as it is; `minimum` people stand behind what is public."""
    return (
        "\n\n".join(_privacy(application, minimum) for application in _shown(registry))
        or "No application is registered."
    )


def _privacy(application: Application, minimum: int) -> str:
    name = _plain(application.name)
    prefix = re.sub(r"[^A-Z0-9]", "_", application.id.upper())
    variable = f"_{prefix}_TELEMETRY" if prefix[:1].isdigit() else f"{prefix}_TELEMETRY"
    now = [one for one in application.attributes.values() if not one.removed]
    free = [f"`{one.name}`" for one in now if one.free_text]
    happens = [f"`{one.name}`" for one in application.events.values() if not one.removed]
    takes = [f"`{one.name}`" for one in application.spans.values() if not one.removed]
    sent = [
        "when the run began and ended, and the version of the tool;",
        "two random numbers: one of the run, and one of your installation, which is made on your computer and is not "
        "made from anything about you or it;",
        f"facts about the run: {', '.join(f'`{one.name}`' for one in now)};" if now else "",
        f"that certain things happened, and when: {', '.join(happens)};" if happens else "",
        f"how long certain things took: {', '.join(takes)}." if takes else "",
    ]
    listed = "\n".join(f"- {line}" for line in sent if line)
    words = f"\n\nOf these, {', '.join(free)} may be any text. It is stored, and never shown on a page." if free else ""
    return f"""## Privacy of {name}

{name} asks once whether it may tell its makers how it is used. Without a yes, nothing is recorded and nothing is sent.

### What is sent, if you say yes

For each run of {name}, a record with

{listed}

Nothing else can be stored: what is not on the list is dropped when it arrives.{words}
Your IP address is used to carry the record, as on any connection, and is not stored with it.

### What is done with it

The records are counted, to decide what to work on. The counts are public, and are shown only where at least {minimum}
people stand behind them. Records are kept for {_days(application.retention_days)}, and then deleted.

### How to say no, look, and have it deleted

- Say no when asked, or later with `telemetry off`; that deletes what waits to be sent, too.
- Set `{variable}=0`, or `DO_NOT_TRACK=1` for all tools that heed it. A file `.do-not-track` in a project says no for
  everybody who works in it.
- `telemetry show` prints what would be sent, and `telemetry log` what was.
- `telemetry id` prints your random number. Tell it to the makers, and everything that was sent under it is
  deleted, and what comes later is dropped. Without that number nobody can tell which records are yours."""
