"""The menu of a site. It also lists pages that `nav` in mkdocs.yml does not name, so that a page needs only one
file.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from reports.blocks.fault import Fault
from reports.pages.source import Source

__all__ = ["MORE", "completed"]

MORE = "More"


def completed(nav: Any, paths: Iterable[str], read: Callable[[str], Source]) -> tuple[Any, list[Fault]]:
    """The `nav` with all pages, and notes about added pages. `paths` are those that belong in a menu. A page that `nav`
    does not name is read, and goes where its front matter says (`menu: Answers`, `menu: Docs / Write pages`), else
    under "More" at the end.
    """
    whole = deepcopy(nav)
    named = set(_named(nav))
    said = []
    for page in (read(path) for path in sorted(paths) if path not in named):
        given = page.front.meta.get("menu")
        titles = [one.strip() for one in given.split("/")] if isinstance(given, str) else []
        if not any(titles):
            titles = [MORE]
            message = f'nav does not name this page, so the menu lists it under "{MORE}"'
            said.append(Fault(page.file, 1, message, code="not-in-nav"))
        _add(whole, [title for title in titles if title], page.path)
    return whole, said


def _named(nav: Any) -> Iterator[str]:
    """The files that a `nav` names, at any depth."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list | dict):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(part)


def _add(nav: list[Any], titles: list[str], path: str) -> None:
    """Adds a page to a section, and creates the section if it is missing."""
    if not titles:
        nav.append(path)
        return
    first, *rest = titles
    for part in nav:
        for title, inside in part.items() if isinstance(part, dict) else ():
            if title.lower() == first.lower() and isinstance(inside, list):
                _add(inside, rest, path)
                return
    made: list[Any] = []
    nav.append({first: made})
    _add(made, rest, path)
