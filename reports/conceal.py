"""Which cells may not be shown: those of too few people, and those from which such a one could be worked out.

Totals are public: another block over the same query may show them. Where the cells of a total that are held back have,
taken together, fewer people than the minimum, the total less what is shown would be a cell of too few people. There,
one cell more is held back.

A cell that is the only one of a total that is not shown can be worked out, and then be taken from the next total. So
what is worked out counts as shown there, and more is held back until every total leaves enough people. Afterwards,
what one subtraction after the other gives has enough people.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from reports.kinds import GRAINS

__all__ = ["Key", "conceal", "sums"]

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
    must = {key for key, number in people.items() if number < minimum or key in left_out}
    small = [key for key in must if people[key] < minimum]
    if not small:
        return must
    known = persons(small)

    def few(keys: Collection[Key]) -> bool:
        seen: set[int] = set()
        for key in keys:
            seen |= known.get(key, set())
            if people[key] >= minimum or len(seen) >= minimum:
                return False
        return True

    groups = _groups(people, totals)
    hidden, added = set(must), list[Key]()
    while rest := _telling(groups, hidden, few):
        gone, candidates = rest
        beside = Counter(key for keys in groups if not hidden.isdisjoint(keys) for key in keys)
        # One that has others beside it in more of its totals follows from fewer of them.
        key = min(candidates, key=lambda key: (rank(key, gone), -beside[key], people[key], _last(key)))
        hidden.add(key)
        added.append(key)
    # What was held back on the way and need not be, now that others are.
    for key in added:
        if not _telling(groups, hidden - {key}, few):
            hidden.remove(key)
    return hidden


def _groups(people: Iterable[Key], totals: Sequence[Callable[[Key], Any]]) -> list[list[Key]]:
    """The cells of each total. One of a single cell is that cell."""
    groups: list[list[Key]] = []
    for total in totals:
        found: dict[Any, list[Key]] = defaultdict(list)
        for key in people:
            found[total(key)].append(key)
        groups += [keys for keys in found.values() if len(keys) > 1]
    return groups


def _last(key: Key) -> Any:
    """Of equals the last category, and the first period."""
    return [-part if isinstance(part, int) else 0 for part in key], str(key)


def _telling(
    groups: Sequence[list[Key]], hidden: Collection[Key], few: Callable[[Collection[Key]], bool]
) -> tuple[list[Key], list[Key]] | None:
    """What of a total is not known and is few, and what can be held back against that; None if no total tells.

    A total of which nothing is shown is held back where it stands by itself, by the same rules.
    """
    unknown = [[key for key in keys if key in hidden] for keys in groups]
    within: dict[Key, list[int]] = defaultdict(list)
    for number, keys in enumerate(unknown):
        for key in keys:
            within[key].append(number)
    source: dict[Key, int] = {}
    # What follows from totals, one after the other.
    single = [number for number, keys in enumerate(unknown) if len(keys) == 1]
    while single:
        number = single.pop()
        if len(unknown[number]) == 1 and not few(unknown[number]):
            (key,) = unknown[number]
            source[key] = number
            for other in within[key]:
                unknown[other].remove(key)
                single += [other] if len(unknown[other]) == 1 else []
    for number, keys in enumerate(unknown):
        if keys and len(keys) < len(groups[number]) and few(keys):
            return keys, _behind(groups, number, hidden, source)
    return None


def _behind(groups: Sequence[list[Key]], number: int, hidden: Collection[Key], source: Mapping[Key, int]) -> list[Key]:
    """What can be held back to keep a total from telling: first what its cells were worked out from, then its own."""
    keys = groups[number]
    further, seen = [key for key in keys if key in source], set[Key]()
    while further:
        seen |= set(further)
        behind = [one for key in further for one in groups[source[key]]]
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
