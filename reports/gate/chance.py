"""How likely it is that chance alone makes a difference, and which of many differences are significant.

The random sample is people, because runs of one person resemble each other. A CI run is a draw of its own.
"""

import math
from collections.abc import Hashable, Mapping
from statistics import NormalDist
from typing import TypeVar

from reports.gate.cells import Spread

__all__ = ["SURE", "chance", "significant", "variance"]

Name = TypeVar("Name", bound=Hashable)
SURE = NormalDist().inv_cdf(0.975)


def variance(spread: Spread, share: bool, average: float | None = None) -> tuple[float, float] | None:
    """The variance of a ratio of totals, and the number of draws. None for fewer than two.

    With an `average`, it is the variance around this average instead of the ratio, as if the group were like all
    others. A share varies at least as much as if every run were a draw of its own. So a group in which nothing has
    failed yet does not prove that nothing can fail.
    """
    if spread.n <= 0 or spread.draws < 2:
        return None
    ratio = spread.s / spread.n if average is None else average
    total = spread.ss - 2 * ratio * spread.sn + ratio * ratio * spread.nn
    found = max(0.0, total / spread.n**2 * spread.draws / (spread.draws - 1))
    least = ratio * (1 - ratio) / spread.n if share and average is not None else 0.0
    return max(found, least), spread.draws


def chance(mine: Spread, whole: Spread, share: bool) -> float | None:
    """How likely chance alone makes a difference as large as the one between a group and all others: the p-value of a
    two-sided test. None if there is too little data.
    """
    rest = whole - mine
    if mine.n <= 0 or rest.n <= 0:
        return None
    one, other = (variance(spread, share, whole.s / whole.n) for spread in (mine, rest))
    if one is None or other is None or not one[0] + other[0]:
        return None
    return math.erfc(abs(mine.s / mine.n - rest.s / rest.n) / math.sqrt(2 * (one[0] + other[0])))


def significant(chances: Mapping[Name, float], level: float) -> set[Name]:
    """The significant comparisons of a family, by Benjamini and Hochberg. About `level` of the named differences are
    wrong. If no group differs, a family names one with the probability `level`.
    """
    ranked = sorted(chances, key=lambda name: chances[name])
    passed = [rank for rank, name in enumerate(ranked, 1) if chances[name] <= level * rank / len(ranked)]
    return set(ranked[: max(passed, default=0)])
