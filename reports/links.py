"""Links between pages: whole if the file is there and has the heading, the block or the id that is named."""

import difflib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import markdown  # type: ignore[import-untyped]

from reports.page import Fault, prose

__all__ = ["Linked", "broken", "ids"]

INLINE = re.compile(r"\]\(\s*(?P<to><[^>\n]*>|[^\s)]+)")
REFERENCE = re.compile(r"^[ \t]{0,3}\[[^\]^]+\]:[ \t]*(?P<to><[^>\n]*>|\S+)", re.MULTILINE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# What decides which ids a page has. An extension that is not here gives none that a link names.
EXTENSIONS = ("toc", "attr_list", "admonition", "def_list", "footnotes", "tables", "md_in_html", "pymdownx.superfences")


@dataclass(frozen=True)
class Linked:
    """A page as far as links go: `path` in the site's directory, `file` for messages, `first` the line it begins on."""

    path: str
    file: str
    first: int
    text: str
    ids: frozenset[str]


def ids(text: str, pieces: Mapping[str, str]) -> frozenset[str]:
    """Every id of a page: its headings', its blocks', and those that were written into it."""
    made = markdown.markdown(text, extensions=list(EXTENSIONS))
    return frozenset(re.findall(r'\b(?:id|name)="([^"]+)"', made + "".join(pieces.values())))


def broken(pages: Mapping[str, Linked], files: frozenset[str]) -> Iterator[Fault]:
    """A fault for each link that leads nowhere. `files` are all other files of the site, by their path in it."""
    for page in pages.values():
        seen = prose(page.text)
        for found in (*INLINE.finditer(seen), *REFERENCE.finditer(seen)):
            to = found["to"].strip("<>")
            if not to or SCHEME.match(to) or to.startswith("/") or "{{" in to:
                continue
            wrong = _wrong(page, to, pages, files)
            if wrong:
                before = seen[: found.start("to")]
                column = found.start("to") - before.rfind("\n")
                yield Fault(page.file, page.first + before.count("\n"), wrong, column)


def _wrong(page: Linked, to: str, pages: Mapping[str, Linked], files: frozenset[str]) -> str | None:
    where, _, anchor = to.partition("#")
    where = unquote(where.partition("?")[0])
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), where)) if where else page.path
    if path not in pages and path not in files:
        # A link to `versions.html` or `versions` is meant for the page that becomes it.
        near = difflib.get_close_matches(path, pages.keys() | files, 1, 0.6)
        start = posixpath.dirname(page.path) or "."
        hint = f'did you mean "{posixpath.relpath(near[0], start)}"?' if near else "name a file beside this one"
        return f'link to "{to}": there is no {path} in the site; {hint}'
    if anchor and path in pages and unquote(anchor) not in pages[path].ids:
        near = difflib.get_close_matches(anchor, sorted(pages[path].ids), 1)
        hint = f'did you mean "#{near[0]}"?' if near else "a heading's id is its words in small letters, with hyphens"
        return f'link to "{to}": {path} has no "#{anchor}"; {hint}'
    return None
