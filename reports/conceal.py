"""Which cells may not be shown: those of too few people, and those from which such a one could be worked out.

Totals are public: another block over the same query may show them. Where the cells of a total that are held back have,
taken together, fewer people than the minimum, the total less what is shown would be a cell of too few people. There,
one cell more is held back. Afterwards, what subtraction gives has enough people.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

__all__ = ["Key", "conceal"]

Key = tuple[Any, ...]


def conceal(
    people: Mapping[Key, int],
    left_out: Collection[Key],
    persons: Callable[[list[Key]], Mapping[Key, set[int]]],
    totals: Sequence[Callable[[Key], Any]],
    minimum: int,
    rank: Callable[[Key, Collection[Key]], Any],
) -> set[Key]:
    """The keys that may not be shown.

    `people` says how many people stand in each cell; `left_out` are those that are not shown for another reason.
    `persons` gives the people of cells. `totals` map a key to what it is summed up into. Of one total's cells, the
    first by `rank`, and among equals the smallest, is held back too; its second argument are those that are already.
    """
    hidden = {key for key, number in people.items() if number < minimum or key in left_out}
    if not hidden:
        return hidden
    known = persons([key for key in hidden if people[key] < minimum])
    for total in totals:
        groups: dict[Any, list[Key]] = defaultdict(list)
        for key in people:
            groups[total(key)].append(key)
        for keys in groups.values():
            gone = [key for key in keys if key in hidden]
            rest = [key for key in keys if key not in hidden]
            if not gone or not rest or any(people[key] >= minimum for key in gone):
                continue
            if len(set[int]().union(*(known.get(key, set()) for key in gone))) < minimum:
                hidden.add(min(rest, key=lambda key: (rank(key, gone), people[key], _last(key))))
    return hidden


def _last(key: Key) -> Any:
    """Of equals the last category, and the first period."""
    return [-part if isinstance(part, int) else 0 for part in key], str(key)
