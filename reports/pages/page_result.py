"""The results of the blocks and values of one page."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reports.blocks.block import Block
from reports.blocks.fault import Fault
from reports.blocks.published import Published
from reports.pages.page_views import Row
from reports.pages.source import Source

__all__ = ["Figure", "Page", "Series"]

# A block as HTML, on a page from which the root of the site has this relative URL.
Figure = Callable[[str], str]


@dataclass
class Page:
    """The result of a page. `name` is its path in the site without ending. `figures` has an entry for each fence in the
    source, None for fences that show nothing. `said` has the text of each value. `meta` has the title and description
    as HTML, if they have values. `named` has the cells of the named charts, and `files` the downloads by path. `row` is
    the template's row for this page, if there is one, and `seconds` its duration.
    """

    name: str
    source: Source
    row: Row | None = None
    seconds: float = 0.0
    figures: list[Figure | None] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    said: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    series: list["Series"] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    named: dict[str, Published] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class Series:
    """What a block published, and where. `page` is the page's name without ending, and `sql` the whole SQL behind the
    numbers. `scope` is their window and population. `queries` are the named queries that it read, each with its SQL.
    `earlier` is the id in earlier versions.
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
    earlier: str | None = None
    scope: str = ""
