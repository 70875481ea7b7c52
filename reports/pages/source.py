"""The source of a page: its front matter, and the blocks and values that the Markdown converter finds. The page is
converted once with the configuration of its site, only to find these. Their places in the file are found afterwards.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from markdown.extensions import Extension

from reports.blocks.fault import Fault
from reports.blocks.kinds import TYPES
from reports.blocks.names import words
from reports.pages.front_matter import Front, front_matter
from reports.pages.markdown_blocks import BRACES, CODE_TAGS, VALUE, Blocks

__all__ = ["Convert", "Found", "Source", "Value", "not_a_value", "read"]

# Converts a text to HTML, with the extensions of a site and this one.
Convert = Callable[[str, Extension], str]
# Parts of the HTML that readers do not see.
HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|textarea)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
MARK = '<div data-abaculus="{}"></div>'
OPENING = re.compile(r"[ \t>]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>.*?)\s*")
LOOKS = re.compile(r"[ \t>]*(?P<item>(?:[-*+]|\d+[.)])[ \t]+)?(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>.*?)\s*")
# A page without any of these has no block or value. A snippet may bring one.
OURS = re.compile(r"chart|sql|ya?ml|\{\{|--8<--", re.IGNORECASE)
CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
NAMED = re.compile(r"[A-Za-z]\w*")
# The text before a value in the address of a link, in a tag, or in a list of attributes.
ATTRIBUTE = re.compile(r"(?:\]\([^)]*|<[A-Za-z/!?][^>]*|^[ \t]*\*?\[[^\]]+\]:.*|\{:[^{}\n]*)\Z", re.MULTILINE)
# The front matter that can have values.
HEADS = ("title", "description")
# These are faults, not warnings, because the page would show the source of a block.
STOPS = ("block-not-closed", "block-in-list-mark", "query-name")
BEGIN = "begin a chart with ```yaml chart"


@dataclass(frozen=True)
class Found:
    """A fence that the converter found. `kind` is "sql", "chart", or "" for a fence that stays unchanged.

    `start` is its first line, counted from 0 in the page's text; None if an extension added it. `column` is where its
    lines begin. `shown` says whether readers see it, `hidden` whether it is in a comment.
    """

    kind: str
    name: str
    text: str
    shown: bool = True
    hidden: bool = False
    start: int | None = None
    column: int = 0

    def names(self) -> set[str]:
        """The name, in lower case, under which others read this query or named chart."""
        named = re.search(r"^name:\s*[\"']?(\w+)", self.text, re.MULTILINE) if self.kind == "chart" else None
        return {name.lower() for name in (self.name, named[1] if named else "") if name}


@dataclass(frozen=True)
class Value:
    """A `{{ name.column }}` in a page's text. Line and place count from 0. `wrong` says why it cannot be there."""

    name: str
    column: str
    line: int = 0
    place: int = 0
    wrong: str | None = None

    def __str__(self) -> str:
        return f"{{{{ {self.name}.{self.column} }}}}"


@dataclass(frozen=True)
class Source:
    """A page. `path` is its place in the site's directory, and `file` its name in messages. `found` is in the order
    written. `braces` has each text that looks like a value, without spaces, and its warning if readers see it.
    """

    path: str
    file: str
    text: str
    front: Front
    found: tuple[Found, ...] = ()
    values: tuple[Value, ...] = ()
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    braces: tuple[tuple[str, Fault], ...] = ()

    def unfilled(self, text: str) -> list[Fault]:
        """The warnings about a text that looks like a value, and that readers see."""
        return [fault for braces, fault in self.braces if braces == _bare(text)]

    @property
    def blocks(self) -> list[Found]:
        """The blocks to run, in order."""
        return [one for one in self.found if one.kind and one.shown]

    @property
    def words(self) -> set[str]:
        """Every word of its blocks."""
        return set().union(*(words(one.text) for one in self.blocks))


def read(path: str, file: str, text: str, convert: Convert) -> Source:
    """A page from its whole text."""
    front = front_matter(text)
    faults = [Fault(file, line, message, column, code) for line, column, code, message in front.mistakes]
    heads = [
        (_bare(found[0]), not_a_value(file, found[0], front.line(key), 1))
        for key in HEADS
        for found in re.finditer(BRACES, re.sub(VALUE, " ", str(front.meta.get(key))))
    ]
    if not OURS.search(front.body):
        return Source(path, file, text, front, faults=tuple(faults), braces=tuple(heads))
    seen = _Seen()
    html = convert(front.body, Blocks(lambda: seen))
    lines = front.body.split("\n")
    found = tuple(_placed(seen.found, html, lines))
    text_only = _blanked(lines, found)
    plain = _blank(CODE, text_only)
    said = [
        Fault(file, front.first + line, message, column + 1, code)
        for line, column, code, message in (*_misunderstood(found), *_open(text_only))
    ]
    stops = [one for one in said if one.code in STOPS]
    return Source(
        path, file, text, front, found, tuple(_written(seen.values, plain)),
        (*faults, *stops), tuple(one for one in said if one not in stops),
        (*heads, *_not_values(file, front.first, plain)),
    )  # fmt: skip


class _Seen:
    """A conversion that only collects."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.values: list[Value] = []

    def begin(self) -> None:
        """For a single text."""

    def block(self, kind: str, name: str, text: str) -> str:
        self.found.append(Found(kind, name, text))
        return MARK.format(len(self.found) - 1)

    def other(self, language: str, text: str) -> str:
        self.found.append(Found("", language, text))
        return ""  # nobody reads this conversion, and highlighting takes long

    def value(self, name: str, column: str) -> str:
        self.values.append(Value(name, column))
        return ""

    def misplaced(self, name: str, column: str, message: str) -> None:
        self.values.append(Value(name, column, wrong=message))

    def braces(self, text: str) -> None:
        """The page as it is written says where."""

    def part(self, name: str) -> str:
        return ""


def _bare(line: str) -> str:
    """A line without indents, quote signs and tabs, which may differ between the page and the fence."""
    return re.sub(r"[\s>]+", "", line)


def _placed(found: Sequence[Found], html: str, lines: Sequence[str]) -> Iterator[Found]:
    """The fences with their lines. The converter reads a page from top to bottom, and so does this."""
    anywhere = {int(number) for number in re.findall(MARK.format(r"(\d+)"), html)}
    shown = {int(number) for number in re.findall(MARK.format(r"(\d+)"), HIDDEN.sub("", html))}
    bare = [_bare(line) for line in lines]
    at = 0
    for number, one in enumerate(found):
        start = next((line for line in range(at, len(lines)) if _is_at(one, line, lines, bare)), None)
        if start is not None:
            at = start + one.text.count("\n") + 2
        column = 0 if start is None else len(lines[start]) - len(lines[start].lstrip(" \t>"))
        seen = number in shown or not one.kind
        yield replace(one, shown=seen, hidden=number in anywhere - shown, start=start, column=column)


def _is_at(one: Found, line: int, lines: Sequence[str], bare: Sequence[str]) -> bool:
    opening = OPENING.fullmatch(lines[line])
    if opening is None or (one.kind and one.name and one.name not in opening["info"].split()):
        return False
    content = [_bare(text) for text in one.text.split("\n")] if one.text else []
    closing = line + 1 + len(content)
    if closing >= len(lines) or bare[line + 1 : closing] != content:
        return False
    return bare[closing].startswith(opening["mark"][:3])


def _written(values: Sequence[Value], plain: str) -> Iterator[Value]:
    """The values with their places. The first, second, … of the same text are the first, second, … in the page's
    text.
    """
    places: dict[tuple[str, str, bool], list[tuple[int, int]]] = {}
    for match in re.finditer(VALUE, plain):
        before = plain[: match.start()]
        wrong = ATTRIBUTE.search(before) is not None
        at = before.count("\n"), match.start() - before.rfind("\n") - 1
        places.setdefault((match[1], match[2], wrong), []).append(at)
    for value in values:
        name, wrong = (value.name, value.column), value.wrong is not None
        there = places.get((*name, wrong)) or places.get((*name, not wrong)) or [(0, 0)]
        line, place = there.pop(0) if len(there) > 1 else there[0]
        yield replace(value, line=line, place=place)


def _not_values(file: str, first: int, plain: str) -> Iterator[tuple[str, Fault]]:
    """The texts that look like values, with the warnings about them."""
    plain = _blank(re.compile(VALUE), _blank(CODE_TAGS, plain))
    for found in re.finditer(BRACES, plain):
        line = first + plain.count("\n", 0, found.start())
        column = found.start() - plain.rfind("\n", 0, found.start())
        yield _bare(found[0]), not_a_value(file, found[0], line, column)


def not_a_value(file: str, text: str, line: int, column: int | None = None) -> Fault:
    """The warning about a text that looks like a value."""
    message = (
        f'"{" ".join(text.split()):.60}" is not a value, so readers see it as it is; write {{{{ name.column }}}} and '
        "calculate in SQL, or mark it as code"
    )
    return Fault(file, line, message, column, "not-a-value")


def _lines(one: Found) -> range:
    """The lines of a fence, its marks included."""
    if one.start is None:
        return range(0)
    return range(one.start, one.start + (one.text.count("\n") + 1 if one.text else 0) + 2)


def _blanked(lines: Sequence[str], found: Sequence[Found]) -> str:
    """The page with blanks instead of fences and comments."""
    covered = {line for one in found for line in _lines(one)}
    return _blank(COMMENT, "\n".join(" " * len(line) if at in covered else line for at, line in enumerate(lines)))


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _misunderstood(found: Sequence[Found]) -> Iterator[tuple[int, int, str, str]]:
    """Fences that look like a block, but are not: line and column, counted from 0, code, and fix."""
    for one in found:
        if one.start is None:
            continue
        if one.kind and not one.shown and not one.hidden:
            said = (
                "Markdown shows this block as code, because its indent is too large; indent it like the text around it"
            )
            yield one.start, one.column, "block-is-code", said
        elif not one.kind and _is_chart(one.text):
            yield one.start, one.column, "not-a-block", f"this looks like a chart, but is shown as code; {BEGIN}"


def _open(plain: str) -> Iterator[tuple[int, int, str, str]]:
    """Beginnings of blocks that the converter treats as text."""
    for number, line in enumerate(plain.split("\n")):
        looks = LOOKS.fullmatch(line)
        kind, *rest = looks["info"].split() if looks and looks["info"] else [""]
        kind, more = {"yml": "yaml"}.get(kind.lower(), kind.lower()), " ".join(rest)
        if looks is None or kind not in ("sql", "yaml") or not more or "`" in more:
            continue
        column = len(line) - len(line.lstrip(" \t>"))
        if looks["item"]:
            said = "a block cannot begin beside a list's mark; put it on its own line, indented as the item's text"
            yield number, column, "block-in-list-mark", said
        elif NAMED.fullmatch(more) if kind == "sql" else more.lower() == "chart":
            said = f"this block is not closed; add below it a line with only {looks['mark']}, indented like this one"
            yield number, column, "block-not-closed", said
        elif kind == "sql" and "=" not in more:
            said = f'"{more}" cannot name a query; use letters, digits and underscores'
            yield number, column, "query-name", said
        elif kind == "yaml" and "chart" in more.lower():
            said = f'"{looks["info"]}" does not begin a chart; {BEGIN}, and nothing more'
            yield number, column, "not-a-block", said


def _is_chart(text: str) -> bool:
    """Whether a fence has the lines of a chart block, and is not an example of one."""
    if re.search(r"^(?:```|~~~)", text, re.MULTILINE):
        return False
    kind = re.search(r"^type:\s*[\"']?(\w+)", text, re.MULTILINE)
    return kind is not None and kind[1] in TYPES and re.search(r"^data:", text, re.MULTILINE) is not None
