"""Edges for the bins of a number: round numbers, in even steps on a linear or logarithmic scale."""

import math

__all__ = ["edges"]

# The scale is logarithmic if large values are this many times the small ones, and the median is this much nearer to the
# small ones. Equal steps would put nearly everybody into the first bins.
SKEWED = 40
NEARER = 3
PER_DECADE = (1, 2, 4, 5, 8, 10, 16, 20)
ROUND = (1, 2, 2.5, 5, 10)
# Usual steps of time, in milliseconds.
TIMES = [unit * step for unit in (1_000, 60_000) for step in (1, 2, 5, 10, 15, 30)] + [
    3_600_000 * step for step in (1, 2, 3, 6, 12, 24)
]


def edges(
    low: float, middle: float, high: float, count: int, *, whole: bool, time: bool
) -> tuple[tuple[float, ...], bool]:
    """About `count` bins from `low` over the median to `high`, as edges, and whether they are logarithmic.

    `whole` numbers have whole edges. A `time` in milliseconds has edges such as 1 s or 1 min.
    """
    if high <= low:
        high = low + (1 if whole else max(abs(low) * 0.1, 1e-9))
    if low > 0 and high / low >= SKEWED and high - middle > NEARER * (middle - low):
        return (_doubling(low, high) if whole else _logarithmic(low, high, count)), True
    step = _step((high - low) / count, whole, time)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return tuple(round(number * step, 12) for number in range(first, last + 1)), False


def _doubling(low: float, high: float) -> tuple[float, ...]:
    # With powers of two, each bin contains whole numbers; finer bins would be empty.
    first, last = math.floor(math.log2(low)), math.floor(math.log2(high)) + 1
    return tuple(float(2**power) for power in range(first, last + 1))


def _logarithmic(low: float, high: float, count: int) -> tuple[float, ...]:
    wanted = count / math.log10(high / low)
    per = min(PER_DECADE, key=lambda number: abs(number - wanted))
    first, last = math.floor(math.log10(low) * per), math.ceil(math.log10(high) * per)
    return tuple(float(f"{10 ** (number / per):.6g}") for number in range(first, last + 1))


def _step(wanted: float, whole: bool, time: bool) -> float:
    if time and wanted >= TIMES[0]:
        return float(min(TIMES, key=lambda step: abs(math.log(step / wanted))))
    power = 10 ** math.floor(math.log10(wanted))
    step = min((one * power for one in ROUND), key=lambda one: abs(math.log(one / wanted)))
    return max(1.0, float(math.ceil(step))) if whole else step
