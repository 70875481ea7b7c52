"""The colour of a category, the same in every chart of the site."""

import zlib
from collections.abc import Iterable

from reports.blocks.published import OTHER, UNKNOWN, Published, Value

__all__ = ["GREY", "PALETTE", "colors", "of_groups"]

# The colours of Okabe and Ito, which people with common kinds of colour blindness can tell apart. Neighbours also
# differ in lightness.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A100")
GREY = "#8A8F98"
# Similar colours: one of a pair is not used beside the other while another colour is free. Blue and light blue, orange
# and olive, pink and violet.
ALIKE = {0: 4, 4: 0, 1: 7, 7: 1, 3: 6, 6: 3}
# Groups that are in almost every chart have a fixed colour.
FIXED = {"yes": 0, "no": 1}


def colors(groups: Iterable[Value]) -> dict[Value, str]:
    """The colour of each group. It is the same in all charts, unless an earlier group has this colour."""
    made: dict[Value, str] = {}
    taken: set[int] = set()
    for group in groups:
        if group in (OTHER, UNKNOWN):
            made[group] = GREY
            continue
        label = str(group)
        first = FIXED.get(label, zlib.crc32(label.encode()) % len(PALETTE))
        free = [(first + step) % len(PALETTE) for step in range(len(PALETTE))]
        untaken = [one for one in free if one not in taken]
        number = next((one for one in untaken if ALIKE.get(one) not in taken), next(iter(untaken), first))
        taken = set() if len(taken | {number}) == len(PALETTE) else taken | {number}
        made[group] = PALETTE[number]
    return made


def of_groups(published: Published) -> dict[Value, str]:
    """The colour of each group of a chart, or of None if the chart has no groups."""
    return colors(published.groups) if len(published.dimensions) > 1 else {None: PALETTE[0]}
