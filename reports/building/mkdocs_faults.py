"""Turns warnings of MkDocs and its plugins into faults with a place, because MkDocs names no lines."""

import difflib
import logging
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from reports.blocks.fault import Fault
from reports.pages.source import Source

__all__ = ["Messages", "faults"]

LINK = re.compile(r"Doc file '(?P<page>.*?)' contains an? (?:[a-z ]+ )?link '(?P<to>.*?)'(?P<why>.*)")
NAV = re.compile(r"A reference to '(?P<to>.*?)' is included in the 'nav' configuration, which is not found")


class Messages(logging.Handler):
    """Keeps warnings, which a strict build turns into errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The message of what stops a build may have been printed already.
        self.said += filter(None, [record.getMessage()])


def faults(
    said: Sequence[str], sources: Mapping[str, Source], files: Collection[str], ids: Mapping[str, Collection[str]]
) -> Iterator[Fault]:
    """Each message as a fault. `sources` are all pages by their path, `files` all files, `ids` the anchors of pages."""
    met: Counter[str] = Counter()
    for message in said:
        met[message] += 1
        if (link := LINK.match(message)) and link["page"] in sources:
            source = sources[link["page"]]
            line, column = _place(source.text, link["to"], met[message])
            why, code = _why(link["page"], link["to"], link["why"], files, ids)
            yield Fault(source.file, line, f'link to "{link["to"]}": {why}', column, code)
        elif nav := NAV.match(message):
            remedy = f"run `abaculus new {nav['to'].removesuffix('.md')}`, or remove it"
            yield Fault(
                "mkdocs.yml",
                _line(nav["to"]),
                f'nav names "{nav["to"]}", which does not exist; {remedy}',
                code="nav-not-found",
            )
        else:
            yield Fault("mkdocs.yml", 1, message, code="mkdocs")


def _place(text: str, to: str, number: int) -> tuple[int, int | None]:
    """Line and column of the link to a target, by its number among such links."""
    before, after = r"(?:\]\(\s*<?|\]:[ \t]*<?|(?:href|src)=[\"']?)", r"(?=[\s)>\"']|$)"
    places = re.finditer(f"{before}({re.escape(to)}){after}", text, re.MULTILINE)
    found = next((place for count, place in enumerate(places, 1) if count == number), None)
    if found is None:
        return 1, None
    before = text[: found.start(1)]
    return before.count("\n") + 1, found.start(1) - before.rfind("\n")


def _why(page: str, to: str, why: str, files: Collection[str], ids: Mapping[str, Collection[str]]) -> tuple[str, str]:
    where, _, anchor = to.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), where)) if where else page
    if "no such anchor" in why or "not contain an anchor" in why:
        near = difflib.get_close_matches(anchor, sorted(ids.get(path, ())), 1)
        hint = f'did you mean "#{near[0]}"?' if near else "a heading's id is its words in lower case, with hyphens"
        return f'{path} has no "#{anchor}"; {hint}', "anchor-not-found"
    if to.startswith("/"):
        return (
            "a link from the root of the host breaks if the site has a path; write it relative to this page",
            "absolute-link",
        )
    near = difflib.get_close_matches(path, files, 1, 0.6)
    start = posixpath.dirname(page) or "."
    hint = f'did you mean "{posixpath.relpath(near[0], start)}"?' if near else "name a file beside this one"
    return f"there is no {path} in the site; {hint}", "link-not-found"


def _line(name: str) -> int:
    """The line on which mkdocs.yml names a page."""
    named = re.compile(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])")
    text = Path("mkdocs.yml").read_text(encoding="utf-8")
    return next((number for number, line in enumerate(text.split("\n"), 1) if named.search(line)), 1)
