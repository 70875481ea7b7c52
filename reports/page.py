"""Finds the fences of a Markdown page that mean something here, with the lines they stand on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Fault", "Fence", "body_line", "fences", "front_matter", "key_line", "names", "prose", "replace", "words"]

OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`]*?)\s*")
# What can hold an indented block: an admonition, a tab, a list item, a definition, a footnote.
HOLDER = re.compile(r"[ \t]*(?:!!!|\?\?\?\+?|===[!+]?|[-*+:]|\d+[.)]|\[\^[^\]]+\]:)[ \t]")
CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FRONT_MATTER = re.compile(r"---[ \t]*\n.*?^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """A mistake in a page, with its place (lines and columns count from 1) and its remedy."""

    file: str
    line: int
    message: str
    column: int | None = None

    def __str__(self) -> str:
        column = "" if self.column is None else f":{self.column}"
        return f"{self.file}:{self.line}{column}: {' '.join(self.message.splitlines())}"


@dataclass(frozen=True)
class Fence:
    """A fence: `kind` is "sql" or "chart", `name` that of a query, `start` and `end` its lines, counted from 0.

    One that nothing closes reaches to the end of the page.
    """

    kind: str
    name: str
    content: str
    indent: str
    start: int
    end: int
    closed: bool = True


def fences(text: str) -> Iterator[Fence]:
    """The `sql NAME` and `yaml chart` fences of a page, in order.

    A fence inside a longer one, a comment or an indented code block is shown or hidden, not run.
    """
    yield from (fence for fence in _every_fence(text.split("\n")) if fence.kind)


def _every_fence(lines: list[str]) -> Iterator[Fence]:
    """Also those that are documentation, which have no kind."""
    number = 0
    while number < len(lines):
        opening = OPENING.fullmatch(lines[number])
        if opening is None or not _held(lines, number, opening["indent"]):
            number = _after_comment(lines, number) + 1
            continue
        mark, indent = opening["mark"], opening["indent"]
        closing = re.compile(rf"[ \t]*{re.escape(mark[0])}{{{len(mark)},}}\s*")
        end = next((at for at in range(number + 1, len(lines)) if closing.fullmatch(lines[at])), None)
        kind, name = _meaning(opening["info"])
        if kind or end is not None:
            content = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end])
            yield Fence(kind, name, content, indent, number, len(lines) if end is None else end, end is not None)
        else:
            # Markdown takes what nothing closes for text, so what follows is still the page.
            end = number
        number = len(lines) if end is None else end + 1


def _meaning(info: str) -> tuple[str, str]:
    """What the words after the mark say: the kind of a fence, "" if it is documentation, and its name."""
    words = info.split()
    if len(words) < 2:
        return "", ""
    if words[0].lower() in ("yaml", "yml") and words[1].lower() == "chart":
        return "chart", ""
    # `sql linenums="1"` is an option of the highlighter.
    return ("sql", words[1]) if words[0].lower() == "sql" and "=" not in words[1] else ("", "")


def _held(lines: list[str], number: int, indent: str) -> bool:
    """Whether a fence at this indent is one: four spaces make a code block, except inside what can hold a block."""
    width = len(indent.expandtabs(4))
    if width < 4:
        return True
    above = (line for line in reversed(lines[:number]) if line.strip())
    outer = next((line for line in above if len(line) - len(line.lstrip()) < len(indent)), "")
    return HOLDER.match(outer) is not None


def _after_comment(lines: list[str], number: int) -> int:
    """The line on which an HTML comment ends that begins, and does not end, on this one; else this one."""
    _, begun, rest = lines[number].rpartition("<!--")
    if not begun or "-->" in rest:
        return number
    return next((at for at in range(number + 1, len(lines)) if "-->" in lines[at]), number)


def prose(text: str) -> str:
    """The page with blanks in place of all code and comments: what is found in it stands where it does in the page."""
    lines = text.split("\n")
    for fence in _every_fence(list(lines)):
        for number in range(fence.start, min(fence.end + 1, len(lines))):
            lines[number] = " " * len(lines[number])
    above = ""
    for number, line in enumerate(lines):
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip() and not above.strip() and not _held(lines, number, indent):
            lines[number] = " " * len(line)  # an indented code block; the next line is part of it
        above = lines[number]
    blanked = "\n".join(lines)
    for pattern in (COMMENT, CODE):
        blanked = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), blanked)
    return blanked


def front_matter(source: str) -> tuple[dict[str, Any], str]:
    """What stands between `---` above a page, and the page without it."""
    source = source.replace("\r\n", "\n").removeprefix("\ufeff")
    found = FRONT_MATTER.match(source)
    if found is None:
        return {}, source
    try:
        meta = yaml.safe_load(found[0].strip().removeprefix("---").removesuffix("---").removesuffix("..."))
    except yaml.YAMLError:
        return {}, source
    return (meta, source[found.end() :].lstrip("\n")) if isinstance(meta, dict) else ({}, source)


def key_line(source: str, key: str) -> int:
    """On which line of the file (from 1) its front matter has a key."""
    lines = source.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"{key}:")), 1)


def names(fence: Fence) -> set[str]:
    """What a fence is called where others read it, in small letters: a query, or a chart with a name."""
    named = re.search(r"^name:\s*[\"']?(\w+)", fence.content, re.MULTILINE) if fence.kind == "chart" else None
    return {name.lower() for name in (fence.name, named[1] if named else "") if name}


def words(text: str) -> set[str]:
    """Every word of a text, in small letters: which names it may mean."""
    return set(re.findall(r"\w+", text.lower()))


def replace(text: str, pieces: list[tuple[Fence, str]]) -> str:
    """The page with each fence replaced by a piece of text, on a paragraph of its own at the fence's indent."""
    lines = text.split("\n")
    for fence, piece in reversed(pieces):
        lines[fence.start : fence.end + 1] = ["", f"{fence.indent}{piece}", ""] if piece else []
    return "\n".join(lines)


def body_line(source: str, body: str) -> int:
    """On which line of the file (from 0) its body begins, below the front matter that has been taken off."""
    source, body = source.replace("\r\n", "\n"), body.replace("\r\n", "\n")
    at = source.rfind(body) if body else -1
    if at < 0:
        # Something changed the body on its way here: where the front matter ends is what is left to know.
        front = FRONT_MATTER.match(source)
        at = front.end() if front else 0
    return source[:at].count("\n")
