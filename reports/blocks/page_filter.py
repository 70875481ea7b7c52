"""`filter:` in a page's front matter: filters each block of the page by these columns, if the block has them."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from reports.blocks.block import Block
from reports.blocks.kinds import ONLY
from reports.blocks.options import read_filter

__all__ = ["PageFilter"]


class PageFilter:
    """The columns of a page's filter, in lower case, and which of them a block has. Raises ValueError."""

    def __init__(self, given: Any) -> None:
        if not isinstance(given, str | list | None):
            raise ValueError("must be a column, or a list of columns, as in `filter: [os, application_version]`")
        columns, without = ((), None) if given is None else read_filter(given)
        self.columns = tuple(dict.fromkeys(name.lower() for name in columns))
        self.without = without and without.lower()
        self._used: set[str] = set()

    def of(self, block: Block, columns: Collection[str], room: bool) -> Block:
        """The block with the filter of its page, without columns that the block shows already.

        One without room for a filter has none. It leaves out the rows that the page leaves out.
        """
        there = {name.lower() for name in columns} if block.people else set()
        shown = {name.lower() for name in (block.x, block.color, *block.more, *block.filter) if name}
        if self.without in there - shown and not block.without:
            block = replace(block, without=self.without)
        if not room or not there or block.type not in ONLY["filter"]:
            return block
        wanted = tuple(name for name in self.columns if name in there - shown)
        self._used |= {*wanted, *shown & set(self.columns)}
        return replace(block, filter=(*block.filter, *wanted))

    def unused(self) -> Iterator[str]:
        """Faults of columns that no block of the page has."""
        for name in self.columns:
            if name not in self._used:
                yield f'no chart of this page has the column "{name}" to be filtered by; remove it, or SELECT it'
