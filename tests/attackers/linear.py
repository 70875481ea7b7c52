"""Linear programming: between which ends the people of a group that is not shown must lie, by all that is known."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from math import ceil, floor
from typing import Any

import highspy
import numpy as np

from reports.gate.rules import Rules
from tests.attackers.world import DIMENSIONS, KINDS, Known, World, learned, open_world, runs, world

__all__ = ["Groups", "apart", "determined", "ends", "groups", "hidden"]

# Terms of a group of people.
Groups = list[tuple[tuple[Any, ...], int]]
NEARLY = 1e-6
ROUNDS = 10
SENSES = (highspy.ObjSense.kMinimize, highspy.ObjSense.kMaximize)


def groups(one: World, most: int) -> Groups:
    """The groups of one to nine people with the same in up to so many dimensions, as kinds and their true number."""
    found: Groups = []
    for size in range(1, most + 1):
        for names in combinations(DIMENSIONS, size):
            values = [sorted({DIMENSIONS[name](run) for kind in KINDS for run in runs(kind)}) for name in names]
            for key in product(*values):
                kinds = tuple(kind for kind in KINDS if any(_is(run, names, key) for run in runs(kind)))
                number = sum(one.people.get(kind, 0) for kind in kinds)
                if 1 <= number <= 9:
                    found.append((kinds, number))
    return found


def _is(run: dict[str, Any], names: Sequence[str], key: Sequence[Any]) -> bool:
    return all(DIMENSIONS[name](run) == part for name, part in zip(names, key, strict=True))


def determined(known: Sequence[Known], wanted: Groups) -> int:
    """Of how many groups the number of people follows."""
    return sum(low == high for low, high in bounds(known, wanted))


def hidden(rules: Rules, most: int, seeds: Iterable[int]) -> tuple[int, int]:
    """How many groups of these worlds are determined by all tables of up to so many dimensions, and of how many."""
    found = every = 0
    for seed in seeds:
        one = world(seed)
        wanted = groups(one, most)
        every += len(wanted)
        with open_world(one) as connection:
            found += determined(learned(connection, rules, most), wanted)
    return found, every


def bounds(known: Sequence[Known], wanted: Groups) -> Iterator[tuple[int, int]]:
    """The least and the greatest number of people of each group that fits with all that is known."""
    place = {kind: number for number, kind in enumerate(KINDS)}
    rows = [([(place[kind], number) for kind, number in one.terms], one.low, one.high) for one in known]
    return ends(len(KINDS), rows, [[place[kind] for kind in kinds] for kinds, _ in wanted])


def ends(
    many: int, rows: Iterable[tuple[Sequence[tuple[int, int]], int, int | None]], wanted: Iterable[Sequence[int]]
) -> Iterator[tuple[int, int]]:
    """Of so many numbers, none below zero, the ends of each wanted sum. A row says within which ends a sum of multiples
    lies."""
    solver = _solver(many, rows)
    for places in wanted:
        costs = np.zeros(many)
        costs[list(places)] = 1.0
        low, high = (_best(solver, costs, sense)[0] for sense in SENSES)
        yield ceil(low - NEARLY), (floor(high + NEARLY) if np.isfinite(high) else 10**9)


def apart(
    many: int, rows: Iterable[tuple[Sequence[tuple[int, int]], int, int | None]], wanted: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The same of single numbers that have ends, quicker: of one that is not determined, two values that it can have.

    Solutions for all together, with weights by chance, show it of most. The others are asked for one by one.
    """
    solver, chance = _solver(many, rows), np.random.default_rng(0)
    low, high = np.full(len(wanted), np.inf), np.full(len(wanted), -np.inf)
    for _ in range(ROUNDS if wanted else 0):
        costs = np.zeros(many)
        costs[list(wanted)] = chance.uniform(0.1, 1, len(wanted))
        for sense in SENSES:
            found = _best(solver, costs, sense)[1][list(wanted)]
            low, high = np.minimum(low, found), np.maximum(high, found)
    for number, place in enumerate(wanted):
        if floor(high[number] + NEARLY) <= ceil(low[number] - NEARLY):
            costs = np.zeros(many)
            costs[place] = 1.0
            high[number] = _best(solver, costs, SENSES[1])[0]
            low[number] = _best(solver, costs, SENSES[0])[0] if high[number] >= 1 - NEARLY else 0
        yield ceil(low[number] - NEARLY), floor(high[number] + NEARLY)


def _solver(many: int, rows: Iterable[tuple[Sequence[tuple[int, int]], int, int | None]]) -> Any:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    infinite = highspy.kHighsInf
    solver.addVars(many, np.zeros(many), np.full(many, infinite))
    for terms, low, high in rows:
        if terms:
            at = np.array([place for place, _ in terms], dtype=np.int32)
            times = np.array([float(number) for _, number in terms])
            solver.addRow(low, infinite if high is None else high, len(at), at, times)
    return solver


def _best(solver: Any, costs: Any, sense: Any) -> tuple[float, Any]:
    """The least or the greatest sum, and the numbers of one solution."""
    solver.changeColsCost(len(costs), np.arange(len(costs), dtype=np.int32), costs)
    solver.changeObjectiveSense(sense)
    solver.run()
    status = solver.getModelStatus()
    assert status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kUnbounded), status
    optimal = status == highspy.HighsModelStatus.kOptimal
    return solver.getInfo().objective_function_value if optimal else np.inf, np.array(solver.getSolution().col_value)
