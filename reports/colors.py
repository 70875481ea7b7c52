"""The colour of a category, the same in every chart of the site."""

import zlib
from collections.abc import Iterable

from reports.published import OTHER, UNKNOWN, Published, Value

__all__ = ["GREY", "PALETTE", "colors", "of_groups"]

# Okabe and Ito's colours, which people with any common colour blindness can tell apart, in an order in which neighbours
# differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A100")
GREY = "#8A8F98"
# Of these pairs one is not given while the other is there and another colour is free: blue and light blue, orange and
# olive, pink and violet.
ALIKE = {0: 4, 4: 0, 1: 7, 7: 1, 3: 6, 6: 3}
# What is nearly the same everywhere is the same colour everywhere.
FIXED = {"yes": 0, "no": 1}


def colors(groups: Iterable[Value]) -> dict[Value, str]:
    """The colour of each group: its own, whichever chart it is in, unless a group before it has the same."""
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
    """The colour of each group of a chart; of None, where it has none."""
    return colors(published.groups) if len(published.dimensions) > 1 else {None: PALETTE[0]}
