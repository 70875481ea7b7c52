"""One published number less another: how often the best guess of the few people between them is right.

The guess is learned on some seeds and tried on others. A reader has two blocks of different queries, or a count beside
a mean and a sum, which tell how many runs have no value.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import duckdb

from reports.gate.rules import Rules
from tests.attackers.world import Site

__all__ = ["ATTACKS", "curve", "right"]

Observed = tuple[Any, ...]


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    return connection


def _site(rows: str, rules: Rules) -> Site:
    _connection().execute(f"CREATE OR REPLACE TABLE sessions AS {rows}")
    return Site(_connection(), rules)


def _queries(rng: random.Random, few: int, rules: Rules) -> Observed:
    """Everybody, and everybody but those with a rare property, each in a page's own query: everybody ran it once."""
    others = rng.randint(15, 400)
    shown = []
    for people in (others + few, others):
        site = _site(f"SELECT range::UBIGINT AS user_id FROM range({people})", rules)
        shown.append(site.block("type: table\ny: [people, count]").rows[0])
    return tuple(one - other for one, other in zip(*shown, strict=True))


def _missing(rng: random.Random, few: int, rules: Rules) -> Observed:
    """A count beside a mean and a sum: the sum by the mean is how many runs have a value."""
    others = rng.randint(15, 400)
    site = _site(
        f"SELECT range::UBIGINT AS user_id, CASE WHEN range < {others} THEN 1 + hash(range) % 9 END AS seconds "
        f"FROM range({others + few})",
        rules,
    )
    count, mean, total = site.block("type: table\ny: [count, mean(seconds), sum(seconds)]").rows[0]
    return (round(count - total / mean, 3),)


def _retention(rng: random.Random, few: int, rules: Rules) -> Observed:
    """The people of a month beside those of its cohort: the others are older."""
    new = rng.randint(15, 400)
    site = _site(
        f"SELECT range::UBIGINT AS user_id, TIMESTAMP '2026-02-09' AS start_time FROM range({new + few}) UNION ALL "
        f"SELECT range::UBIGINT, TIMESTAMP '2026-01-09' FROM range({new}, {new + few + 30})",
        rules,
    )
    cohorts = {row[:2]: row[2] for row in site.block("type: retention\nx: start_time\ngrain: month").rows}
    months = {row[0]: row[1] for row in site.block("type: line\nx: start_time\ny: people\ngrain: month").rows}
    return tuple((months[month] or 0) - (cohorts.get((month, 0)) or 0) for month in sorted(months))


ATTACKS: dict[str, Callable[[random.Random, int, Rules], Observed]] = {
    "two queries": _queries,
    "missing values": _missing,
    "retention beside a count": _retention,
}


def right(attack: str, rules: Rules, build: Sequence[int], held_out: Sequence[int]) -> float:
    """How often the best guess is right on seeds that it was not learned on."""

    def seen(seed: int) -> tuple[int, Observed]:
        rng = random.Random(seed)
        few = rng.randint(1, 9)
        return few, ATTACKS[attack](rng, few, rules)

    learned: dict[Observed, Counter[int]] = defaultdict(Counter)
    for seed in build:
        few, observed = seen(seed)
        learned[observed][few] += 1
    hits = 0
    for seed in held_out:
        few, observed = seen(seed)
        hits += bool(learned[observed]) and learned[observed].most_common(1)[0][0] == few
    return hits / len(held_out)


def curve(rules: Rules, numbers: Sequence[int], seeds: Sequence[int]) -> dict[int, float]:
    """How often a group of one to nine people is known exactly from the average of so many differences about it."""
    found = {}
    for many in numbers:
        hits = 0
        for seed in seeds:
            rng = random.Random(seed)
            few = rng.randint(1, 9)
            others = [rng.randint(15, 4_000) for _ in range(many)]
            differences = [rules.number(one + few) - rules.number(one) for one in others]
            hits += round(sum(differences) / many) == few
        found[many] = hits / len(seeds)
    return found
