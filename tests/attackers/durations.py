"""How long one person's run took, from sums, means and percentiles beside each other.

The person is told apart by a query or a month. Of several ways to subtract, the one that was best on some seeds is
tried on others.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from reports.gate.rules import Rules
from tests.attackers.world import Site

__all__ = ["WAYS", "known"]

MEASURES = "[count, people, mean(seconds), sum(seconds), p50(seconds), p90(seconds)]"
Row = tuple[Any, ...]


def _released(seed: int, rules: Rules) -> tuple[float, dict[str, Row | None]]:
    """A person's duration, and what is published of all, of all others, of their month, and of the others in it.

    It may be as long as anybody's, or up to twenty times as long.
    """
    rng = random.Random(seed)
    people, months, spread = rng.randint(20, 300), rng.randint(1, 6), rng.uniform(0.3, 1.5)
    runs = [
        (number, rng.lognormvariate(3, spread), f"2026-{rng.randint(1, months):02}-09", "fish")
        for number in range(1, people + 1)
        for _ in range(rng.choice((1, 1, 1, 2, 5)))
    ]
    mine = rng.lognormvariate(3, spread) * math.exp(rng.uniform(0, 3))
    runs.append((people + 1, mine, "2026-01-09", "rare"))
    columns = dict(zip(("user_id", "seconds", "start_time", "shell"), zip(*runs, strict=True), strict=True))
    found: dict[str, Row | None] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        connection.register("base", pa.table({name: pa.array(values) for name, values in columns.items()}))
        _publish(connection, rules, found)
    return mine, found


def _publish(connection: duckdb.DuckDBPyConnection, rules: Rules, found: dict[str, Row | None]) -> None:
    for name, where in (("all", "true"), ("others", "shell <> 'rare'")):
        connection.execute(
            "CREATE OR REPLACE TABLE sessions AS SELECT user_id::UBIGINT AS user_id, seconds, "
            f"start_time::TIMESTAMP AS start_time, shell FROM base WHERE {where}"
        )
        site = Site(connection, rules)
        found[name] = next(iter(site.block(f"type: table\ny: {MEASURES}").rows), None)
        by_month = site.block(f"type: table\nx: start_time\ny: {MEASURES}\ngrain: month")
        found[f"{name} in the month"] = next((row[1:] for row in by_month.rows if row[0].month == 1), None)


def _sums(released: dict[str, Row | None], where: str) -> float | None:
    """One sum less the other."""
    one, other = released[f"all{where}"], released[f"others{where}"]
    return None if not one or not other or None in (one[3], other[3]) else one[3] - other[3]


def _means(released: dict[str, Row | None], where: str) -> float | None:
    """One mean times its runs less the other, where the attacker knows that one run lies between them."""
    one, other = released[f"all{where}"], released[f"others{where}"]
    if not one or not other or None in (one[2], other[2]):
        return None
    return one[2] * (other[0] + 1) - other[2] * other[0]


def _average(released: dict[str, Row | None]) -> float | None:
    found = [way(released) for name, way in WAYS.items() if name != "average of all"]
    known = [one for one in found if one is not None and one > 0]
    return sum(known) / len(known) if known else None


WAYS: dict[str, Callable[[dict[str, Row | None]], float | None]] = {
    "sums": lambda released: _sums(released, ""),
    "means": lambda released: _means(released, ""),
    "sums of a month": lambda released: _sums(released, " in the month"),
    "means of a month": lambda released: _means(released, " in the month"),
    "average of all": _average,
}


def known(rules: Rules, build: Sequence[int], held_out: Sequence[int]) -> tuple[str, float]:
    """The way that was best on the seeds for building, and how often it comes within a tenth on the others."""
    learned = [_released(seed, rules) for seed in build]
    best = max(WAYS, key=lambda way: _within(way, learned))
    return best, _within(best, [_released(seed, rules) for seed in held_out])


def _within(way: str, released: Sequence[tuple[float, dict[str, Row | None]]]) -> float:
    guesses = [(WAYS[way](found), mine) for mine, found in released]
    return sum(guess is not None and abs(guess / mine - 1) <= 0.1 for guess, mine in guesses) / len(guesses)
