"""The front matter of a page, between lines of `---`, and its mistakes."""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from reports.blocks.yaml_text import explain

__all__ = ["Front", "Mistake", "front_matter"]

# The same as in MkDocs, so that both find the same front matter.
FENCED = re.compile(r"---[ \t]*\n(?P<yaml>.*?\n)?(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
# The form that MkDocs accepts without lines of ---.
BARE = re.compile(r"(\w[\w-]*)[ \t]*:")
OURS = ("application", "filter", "for", "menu", "title", "description")
# Keys of themes and other plugins that look like ours.
THEIRS = ("form", "format", "subtitle")


class Mistake(NamedTuple):
    """A mistake with its place: line and column count from 1 in the file."""

    line: int
    column: int
    code: str
    message: str


@dataclass(frozen=True)
class Front:
    """The front matter of a page. `body` is the page below it, which begins on line `first` of the file."""

    meta: dict[str, Any]
    body: str
    first: int = 1
    lines: dict[str, int] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()

    def line(self, key: str) -> int:
        """The line of a key in the file."""
        return self.lines.get(key, 1)


def front_matter(source: str) -> Front:
    """Reads the front matter of a page's whole text."""
    source = source.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    found = FENCED.match(source)
    if found is None:
        return Front({}, source, mistakes=tuple(_unfenced(source)))
    body = source[found.end() :].lstrip("\n")
    first = source[: len(source) - len(body)].count("\n") + 1
    given = found["yaml"] or ""
    try:
        node = yaml.compose(given, Loader=yaml.SafeLoader)
        meta = yaml.safe_load(given)
    except yaml.YAMLError as error:
        line, column, message = explain(error, given)
        return Front({}, body, first, mistakes=(Mistake(line + 2, column + 1, "front-matter", message),))
    if meta is None:
        return Front({}, body, first)
    if not isinstance(meta, dict) or not isinstance(node, yaml.MappingNode):
        message = "front matter has lines `key: value`; write some, or remove the lines of ---"
        return Front({}, body, first, mistakes=(Mistake(2, 1, "front-matter", message),))
    places = [(str(key.value), key.start_mark.line + 2) for key, _ in node.value]
    return Front(meta, body, first, dict(reversed(places)), tuple(_unknown(places)))


def _unknown(places: list[tuple[str, int]]) -> list[Mistake]:
    """Unknown keys that are similar to one of ours, and keys that are given twice."""
    made = []
    for number, (key, line) in enumerate(places):
        if key in [other for other, _ in places[:number]]:
            made.append(Mistake(line, 1, "key-twice", f'"{key}" is given twice; keep one'))
        close = difflib.get_close_matches(key.lower(), OURS, 1, 0.75)
        if close and key not in OURS and key not in THEIRS:
            message = f'unknown key "{key}"; did you mean "{close[0]}"?'
            made.append(Mistake(line, 1, "unknown-key", message))
    return made


def _unfenced(source: str) -> list[Mistake]:
    """Keys of ours above a page without lines of --- around them, which would be shown as text, or dropped."""
    if source.startswith("---"):
        message = "the front matter has no end; add a line of --- below it"
        return [Mistake(1, 1, "front-matter", message)] if BARE.match(source.partition("\n")[2]) else []
    made = []
    for number, line in enumerate(source.split("\n"), 1):
        found = BARE.match(line)
        if found is None:
            break
        if found[1] in ("application", "filter", "for"):
            message = f'"{found[1]}" is above the page, but not between lines of ---; add these lines'
            made.append(Mistake(number, 1, "front-matter", message))
    return made
