"""Two builds with one person more, who ran the tool once: how much of what is true of them the difference tells."""

import random
from collections.abc import Sequence

from reports.gate.rules import Rules
from tests.attackers.world import KINDS, Site, World, open_world, world

__all__ = ["told"]

BLOCKS = {"shell": 0, "os": 1, "failed": 2}


def told(rules: Rules, seeds: Sequence[int]) -> float:
    """Of the shell, the system and the outcome of one new person, which part is told by a number that grew."""
    hits = 0
    for seed in seeds:
        one = world(seed)
        kind = random.Random(seed).choice([kind for kind in KINDS if not kind[4]])
        later = World({**one.people, kind: one.people.get(kind, 0) + 1})
        before, after = (Site(open_world(each), rules) for each in (one, later))
        for name, place in BLOCKS.items():
            text = f"type: table\nx: {name}\ny: [people, count]\nlimit: 9"
            first, second = (set(site.block(text).rows) for site in (before, after))
            mine = {True: "yes", False: "no"}.get(kind[place], kind[place])  # type: ignore[call-overload]
            hits += {row[0] for row in second - first} == {mine}
    return hits / len(seeds) / len(BLOCKS)
