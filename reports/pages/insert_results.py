"""Puts the result of each block and value into the page while MkDocs renders it. It finds a block by its page and its
text. There is no placeholder, so every converted text has the figure.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from reports.blocks.fault import Fault
from reports.blocks.format import NOTHING
from reports.charts.html import linked
from reports.pages.markdown_blocks import BRACES
from reports.pages.page_result import Page

__all__ = ["Renderer"]

# The relative URL of the page for a column's value. None if there is none.
Linker = Callable[[str, str], str | None]


class Renderer:
    """Answers for all pages of a build. `read` is the current page, `root` the relative URL of the site's root from the
    page that is written, and `to` finds the page to which a value links. `theirs` says whether another plugin owns
    braces.
    """

    def __init__(self) -> None:
        self.read: Page | None = None
        self.root = "./"
        self.to: Linker = lambda column, value: None
        self.theirs = False
        self.parts: Mapping[str, Callable[[], str]] = {}
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def open(self) -> "_Rendering":
        """A conversion of the current page. An excerpt of it may be converted later, on another page."""
        return _Rendering(self, self.read)

    def fault(self, page: Page | None, message: str, code: str) -> None:
        """Notes a fault that can only be found here."""
        file = "mkdocs.yml" if page is None else page.source.file
        self.faults.append(Fault(file, 1, message, code=code))

    def braces(self, page: Page | None, text: str) -> None:
        """Notes a text that looks like a value, but stays as it is."""
        if page is not None and not self.theirs:
            self.warnings += page.source.unfilled(text)

    def heads(self, page: Page, *heads: str) -> None:
        """Notes the same of the title and the description."""
        for found in re.finditer(BRACES, "\n\n".join(heads)):
            self.braces(page, found[0])


class _Rendering:
    """The conversions of one Markdown instance."""

    def __init__(self, renderer: Renderer, page: Page | None) -> None:
        self.renderer, self.page = renderer, page
        self.met: Counter[tuple[str, str, str]] = Counter()

    def begin(self) -> None:
        self.met.clear()

    def block(self, kind: str, name: str, text: str) -> str:
        met = self.met[kind, name, text]
        self.met[kind, name, text] += 1
        found = (
            [
                figure
                for one, figure in zip(self.page.source.found, self.page.figures, strict=True)
                if (one.kind, one.name, one.text) == (kind, name, text)
            ]
            if self.page
            else []
        )
        if found:
            figure = found[min(met, len(found) - 1)]
            return "" if figure is None else linked(figure(self.renderer.root), self.renderer.to)
        first = text.strip().split("\n")[0]
        self.renderer.fault(
            self.page,
            f'another plugin wrote or changed a block of this page ("{first:.40}"), but Abaculus runs blocks as they '
            "are in the file; write it there, or exclude it from that plugin",
            "block-of-plugin",
        )
        return ""

    def other(self, language: str, text: str) -> None:
        """Stays unchanged."""

    def value(self, name: str, column: str) -> str:
        said = None if self.page is None else self.page.said.get((name, column))
        if said is None and self.page is not None and not self.page.faults:
            self.renderer.fault(
                self.page,
                f"another plugin wrote {{{{ {name}.{column} }}}} into this page, but Abaculus fills only values in the "
                "file; write it there",
                "value-of-plugin",
            )
        return NOTHING if said is None else said

    def misplaced(self, name: str, column: str, message: str) -> None:
        pass

    def braces(self, text: str) -> None:
        self.renderer.braces(self.page, text)

    def part(self, name: str) -> str:
        made = self.renderer.parts.get(name)
        if made is None:
            there = ", ".join(self.renderer.parts)
            self.renderer.fault(
                self.page, f'nothing is generated for "abaculus: {name}"; there are {there}', "unknown-part"
            )
        return made() if made else ""
