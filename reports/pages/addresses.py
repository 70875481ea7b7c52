"""The addresses of a page's blocks, for anchors, downloads and badges."""

import re
import unicodedata

from reports.blocks.block import Block
from reports.charts import html
from reports.query.sandbox import QueryError

__all__ = ["Addresses"]

# Letters of a title: few enough for every file system, in any script and with any ending.
LONGEST = 60


class Addresses:
    """The addresses that blocks of a page have so far, each with the text of its block."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}
        self._earlier: dict[str, str] = {}

    def of(self, block: Block, unit: str, text: str) -> tuple[str, str | None]:
        """A block's name in addresses, from its name or title, with letters and digits of any script. Also the name
        that earlier versions gave it, if it differs. Only blocks with the same `text` are numbered, because they show
        the same. If others were numbered, a new block above would take the address, and a badge elsewhere would show
        another number. Raises `QueryError`.
        """
        said = block.name or html.title(block, unit)
        words = unicodedata.normalize("NFC", said).casefold()
        base = _slug(r"[^\w]+|_", words)[:LONGEST].strip("-") or "block"
        if self._taken.get(base, text) != text:
            raise QueryError(
                f'another block of this page has the same address "{base}", and a link must lead to one of them; '
                "give this one another title, or a name",
                option="name" if block.name else "title",
            )
        id = _free(base, text, self._taken)
        earlier = _free(_slug(r"[^a-z0-9]+", said.lower()) or "block", "", self._earlier)
        return id, earlier if earlier != id and len(earlier) <= 2 * LONGEST else None


def _slug(other: str, text: str) -> str:
    return re.sub(other, "-", text).strip("-")


def _free(base: str, text: str, taken: dict[str, str]) -> str:
    id, number = base, 1
    while id in taken:
        number += 1
        id = f"{base}-{number}"
    taken[id] = text
    return id
