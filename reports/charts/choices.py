"""The filters of a figure in the page. Templates contain the figure for each choice, and the script shows the chosen
one. Without a script, the page shows all rows and no menu. The content of a template has passed the gate, and is
escaped like the figure itself.
"""

import re
from collections.abc import Callable, Collection

from reports.blocks import format
from reports.blocks.published import Filter, Published
from reports.charts.html import text

__all__ = ["MOST_BYTES", "templates", "without"]

# For one figure, before compression. Pages for phones should not be larger.
MOST_BYTES = 200_000


def templates(
    published: Published,
    drawn: Callable[[Published, Filter, str], tuple[str, str]],
    shared: Collection[str],
    heading: str = "",
) -> tuple[str, str]:
    """The templates, and a warning if those of the fewest people did not fit. `drawn` returns a figure's body and table
    for a value of a filter. `shared` are the columns of the whole page's filter. `heading` is the title of a choice, if
    the title of the figure has a number of all rows.
    """
    made: list[str] = []
    size = left_out = 0
    for chosen in published.filters:
        column = text(chosen.column)
        where = ' data-page="yes"' if chosen.column.lower() in shared else ""
        where += f' data-heading="{text(heading)}"' if heading else ""
        title = "Time" if chosen.windows else text(format.sentence(format.words(chosen.column)))
        for value, shown in chosen.series:
            body, numbers = drawn(shown, chosen, value)
            piece = (
                f'<template class="ab-choice" data-search-exclude data-column="{column}" data-title="{title}" '
                f'data-value="{text(value)}"{where}>{body}{numbers}</template>'
            )
            if size + len(piece.encode()) > MOST_BYTES:
                left_out += 1
                continue
            size += len(piece.encode())
            made.append(piece)
        if not chosen.series:
            # The column exists, but none of its values can be shown.
            made.append(f'<template class="ab-choice" data-column="{column}" data-title="{title}"{where}></template>')
    said = (
        f"filter: {left_out:,} of {format.plural(left_out + len(made), 'choice')} left out, because a figure may add "
        f"only {MOST_BYTES // 1000} kB to its page; name fewer columns, or use a smaller limit or a coarser grain"
    )
    return "".join(made), said if left_out else ""


def without(page: str) -> str:
    """A page without its choices, which are the last part of each figure."""
    return re.sub('<template class="ab-choice".*?(?=</figure>)', "", page, flags=re.DOTALL)
