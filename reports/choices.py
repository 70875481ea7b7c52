"""The filters of a figure in the page: what each choice shows, kept in templates that the script puts in its place.

Without a script the page shows everything, and no menu. What a template holds came through the gate and is escaped like
the figure itself.
"""

from collections.abc import Callable, Collection

from reports import format
from reports.html import text
from reports.published import Published

__all__ = ["MOST_BYTES", "templates"]

# Of one figure, before compression. A page that many read on a phone should not carry more.
MOST_BYTES = 200_000


def templates(
    published: Published, drawn: Callable[[Published], tuple[str, str]], shared: Collection[str]
) -> tuple[str, str]:
    """The templates, and what to say where some did not fit: those of fewest people are left out.

    `drawn` gives a figure's body and its table; `shared` are the columns that are chosen for the whole page.
    """
    made: list[str] = []
    size = left_out = 0
    for chosen in published.filters:
        column = text(chosen.column)
        where = ' data-page="yes"' if chosen.column.lower() in shared else ""
        title = text(format.sentence(format.words(chosen.column)))
        for value, shown in chosen.series:
            body, numbers = drawn(shown)
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
            # The column is there, and none of its values can be shown.
            made.append(f'<template class="ab-choice" data-column="{column}" data-title="{title}"{where}></template>')
    said = (
        f"filter: {left_out} of {left_out + len(made)} choices do not fit into the {MOST_BYTES // 1000} kB that one "
        "figure may add to its page, and are left out; name fewer columns, take a smaller limit or a coarser grain"
    )
    return "".join(made), said if left_out else ""
