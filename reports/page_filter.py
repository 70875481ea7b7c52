"""`filter:` in a page's front matter: its blocks are filtered by these columns, as far as they have them."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from reports.block import Block
from reports.kinds import ONLY

__all__ = ["PageFilter"]


class PageFilter:
    """The columns of a page's filter, in small letters, and which of them some block has had. Raises ValueError."""

    def __init__(self, given: Any) -> None:
        names = [given] if isinstance(given, str) else [] if given is None else given
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("must be a column, or a list of columns, as in `filter: [os, application_version]`")
        self.columns = tuple(dict.fromkeys(name.lower() for name in names))
        self._used: set[str] = set()

    def of(self, block: Block, columns: Collection[str]) -> Block:
        """The block, filtered as its page is: by those of its columns that it does not show already."""
        if not self.columns or not block.people or block.type not in ONLY["filter"]:
            return block
        there = {name.lower() for name in columns}
        mine = {name.lower() for name in (block.x, block.color, *block.more, *block.filter) if name}
        wanted = tuple(name for name in self.columns if name in there - mine)
        self._used |= {*wanted, *mine & set(self.columns)}
        return replace(block, filter=(*block.filter, *wanted))

    def unused(self) -> Iterator[str]:
        """What is wrong with each column that no block of the page has."""
        for name in self.columns:
            if name not in self._used:
                yield f'no chart of this page has a column "{name}" to be filtered by; remove it, or SELECT it'
