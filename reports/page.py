"""Finds the fences of a Markdown page that mean something here, with the lines they stand on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Fault", "Fence", "body_line", "fences", "replace"]

OPENING = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*?)[ \t]*$")


@dataclass(frozen=True)
class Fault:
    """A mistake in a page, with its place (lines count from 1) and its remedy."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Fence:
    """A fence: `kind` is "sql" or "chart", `name` that of a query, `start` and `end` its lines, counted from 0."""

    kind: str
    name: str
    content: str
    indent: str
    start: int
    end: int


def fences(text: str) -> Iterator[Fence]:
    """The `sql NAME` and `yaml chart` fences of a page, in order. A fence inside a longer one is part of that one."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opening = OPENING.match(lines[number])
        if opening is None:
            number += 1
            continue
        mark, indent = opening["mark"], opening["indent"]
        closing = re.compile(rf"^[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
        end = next((at for at in range(number + 1, len(lines)) if closing.match(lines[at])), len(lines))
        words = opening["info"].split()
        kind = "chart" if words == ["yaml", "chart"] else "sql" if len(words) == 2 and words[0] == "sql" else None
        if kind:
            content = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end])
            yield Fence(kind, words[1], content, indent, number, end)
        number = end + 1


def replace(text: str, pieces: list[tuple[Fence, str]]) -> str:
    """The page with each fence replaced by a piece of text, on a paragraph of its own at the fence's indent."""
    lines = text.split("\n")
    for fence, piece in reversed(pieces):
        lines[fence.start : fence.end + 1] = ["", f"{fence.indent}{piece}", ""] if piece else []
    return "\n".join(lines)


def body_line(source: str, body: str) -> int:
    """On which line of the file (from 0) its body begins, below the front matter that has been taken off."""
    at = source.rfind(body) if body else -1
    return source[:at].count("\n") if at >= 0 else 0
