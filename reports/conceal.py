"""Which cells may not be shown: those of too few people, and those from which such a one could be worked out.

Totals are public: another block over the same query may show them. Where the cells of a total that are held back have,
taken together, fewer people than the minimum, the total less what is shown would be a cell of too few people. There,
one cell more is held back. Afterwards, what subtraction gives has enough people.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from typing import Any

from reports.block import GRAINS

__all__ = ["Key", "conceal", "settle", "sums"]

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


def settle(
    people: Mapping[Key, int],
    left_out: Collection[Key],
    persons: Callable[[list[Key]], Mapping[Key, set[int]]],
    totals: Sequence[Callable[[Key], Any]],
    minimum: int,
    rank: Callable[[Key, Collection[Key]], Any],
) -> set[Key]:
    """As `conceal`, and safe from one subtraction after the other.

    A cell that is the only one of a total that is not shown can be worked out, and then taken from the next total.
    So what is worked out counts as shown there, and more is held back until every total leaves enough people.
    """
    hidden = conceal(people, left_out, persons, totals, minimum, rank)
    known = persons([key for key in hidden if people[key] < minimum])
    groups: list[list[Key]] = []
    for total in totals:
        found: dict[Any, list[Key]] = defaultdict(list)
        for key in people:
            found[total(key)].append(key)
        groups += found.values()

    def few(keys: list[Key]) -> bool:
        return (
            all(people[key] < minimum for key in keys)
            and len(set[int]().union(*(known.get(key, set()) for key in keys))) < minimum
        )

    while True:
        touched = [keys for keys in groups if any(key in hidden for key in keys)]
        source = _worked_out(touched, hidden, few)
        more: set[Key] = set()
        for keys in touched:
            unknown = [key for key in keys if key in hidden and key not in source]
            if unknown and few(unknown) and len(unknown) < len(keys) and not more & set(keys):
                rest = _behind(keys, hidden, source)
                if rest:
                    more.add(min(rest, key=lambda key: (rank(key, unknown), people[key], _last(key))))
        if not more:
            return hidden
        hidden |= more


def _worked_out(
    groups: Sequence[list[Key]], hidden: Collection[Key], few: Callable[[list[Key]], bool]
) -> dict[Key, list[Key]]:
    """The cells that follow from totals, one after the other, each with the total that it follows from."""
    source: dict[Key, list[Key]] = {}
    while True:
        before = len(source)
        for keys in groups:
            unknown = [key for key in keys if key in hidden and key not in source]
            # A total of which nothing is shown is held back where it stands by itself, by the same rules.
            if len(unknown) == 1 and len(keys) > 1 and not few(unknown):
                source[unknown[0]] = keys
        if len(source) == before:
            return source


def _behind(keys: list[Key], hidden: Collection[Key], source: Mapping[Key, list[Key]]) -> list[Key]:
    """What can be held back to keep a total from telling: first what its cells were worked out from, then its own."""
    further, seen = [key for key in keys if key in source], set[Key]()
    while further:
        seen |= set(further)
        behind = [one for key in further for one in source[key]]
        if rest := [key for key in behind if key not in hidden]:
            return rest
        further = [key for key in behind if key in source and key not in seen]
    return [key for key in keys if key not in hidden]


def sums(grains: Sequence[str | None]) -> list[Callable[[Key], Any]]:
    """What cells are summed up into that another block may show: rows, columns, coarser periods, and the whole.

    `grains` has, for each part of a key, into which periods it is cut if it is a time.
    """
    ways: list[list[Callable[[Any], Any]]] = []
    for grain in grains:
        known = list(GRAINS)
        coarser = [] if grain is None else [_coarser(one) for one in known[known.index(grain) + 1 :]]
        ways.append([_same, *coarser, _nothing])
    # The first is each cell by itself.
    return [_total(way) for way in list(product(*ways))[1:]]


def _same(part: Any) -> Any:
    return part


def _nothing(part: Any) -> Any:
    return None


def _coarser(grain: str) -> Callable[[Any], Any]:
    def period(time: Any) -> Any:
        if time is None:
            return None
        if grain == "week":
            return time.isocalendar()[:2]
        parts = {"day": (time.month, time.day), "month": (time.month,), "quarter": ((time.month - 1) // 3,), "year": ()}
        return (time.year, *parts[grain])

    return period


def _total(way: Sequence[Callable[[Any], Any]]) -> Callable[[Key], Any]:
    return lambda key: tuple(part(one) for part, one in zip(way, key, strict=True))
