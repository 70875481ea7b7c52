"""What a page of the site is made into, and what each of its blocks published."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reports.block import Block
from reports.html import linked
from reports.published import Published

__all__ = ["Page", "Series"]


@dataclass
class Page:
    """A page on its way: Markdown with placeholders, the HTML for each, and the files that it links to.

    `meta` has its title and description as HTML, where they name values; `named` the cells of its named charts.
    """

    name: str
    markdown: str
    pieces: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    series: list["Series"] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    named: dict[str, Published] = field(default_factory=dict)

    def finish(self, content: str, to: Callable[[str, str], str | None]) -> str:
        """The page's HTML with each placeholder replaced. The Markdown converter never saw what comes from data.

        `to` gives the relative URL of the page about a column's value, None where it has none.
        """
        for placeholder, unlinked in self.pieces.items():
            piece = linked(unlinked, to)
            content = content.replace(f"<p>{placeholder}</p>", piece).replace(placeholder, piece)
        return content


@dataclass(frozen=True)
class Series:
    """What a block published, and where: `page` is its name without ending, `sql` all that its numbers come from.

    `queries` are the named queries that it read, each with its SQL.
    """

    page: str
    file: str
    line: int
    id: str
    title: str
    sql: str
    queries: tuple[tuple[str, str], ...]
    block: Block
    published: Published
    application: str | None = None
