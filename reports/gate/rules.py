"""The 10-5 rule for single numbers, and its settings in mkdocs.yml."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.blocks.published import Share

__all__ = ["Rules", "read"]

LEAST = 10
NOISE = 1e-9
# Settings of earlier versions, and what to do about them.
GONE = {
    "rounded": "all numbers are rounded now; remove it, or write `protect: threshold` if the site is not public",
    "closed": "numbers are rounded, which hides single runs in every build; remove it",
}


@dataclass(frozen=True)
class Rules:
    """The smallest number of people that is shown, and whether numbers are rounded to half of it. `protect: threshold`
    and the private view do not round; in the private view the smallest number is 0.
    """

    minimum: int = 10
    rounding: bool = True

    @property
    def step(self) -> int:
        """The step to which numbers of people and rows are rounded."""
        return self.minimum // 2 if self.rounding else 1

    def shows(self, people: int, rows: int) -> bool:
        """Whether a cell is shown: enough people, or nobody and ten times as many runs of CI."""
        return people >= self.minimum or (people == 0 and rows >= 10 * self.minimum)

    def number(self, exact: int) -> int:
        """A number of people or rows, rounded to the nearest multiple, halves up."""
        return (2 * exact + self.step) // (2 * self.step) * self.step

    def told(self, people: int, rows: int) -> int | None:
        """A number of rows of so many people, for places outside of charts. None for too few people."""
        return self.number(rows) if self.shows(people, rows) else None

    def share(self, part: int, whole: int) -> Share | None:
        """A part of a whole, from both rounded numbers. None if the whole is too small."""
        part, whole = self.number(part), self.number(whole)
        if not whole or (self.rounding and 2 * whole < 5 * self.minimum):
            return None
        return Share(min(part / whole, 1.0), self.step / 2 / whole if self.rounding else 0.0)

    def value(self, exact: float | None, people: int, least: float = 0.0) -> float | None:
        """A mean or percentile of so many people's values, rounded to its step. None if it has no digit."""
        if exact is None or not math.isfinite(exact):
            return None
        unit = self.unit(exact, people, least)
        if unit is None:
            return None
        # The last bits of a sum of floats differ from build to build. A value that is half without them is half, and
        # goes up.
        return float(f"{math.floor(exact / unit + 0.5 + NOISE) * unit:.12g}") if unit else exact

    def unit(self, exact: float, people: int, least: float = 0.0) -> float | None:
        """The step of the last digit of such a value, at least `least`. 0 if it is exact, None if it has no digit. A
        value has two digits, and three from ten times the minimum of people on.
        """
        if not self.rounding or not exact:
            return 0.0
        first = math.floor(math.log10(abs(exact)))
        last = first - (2 if self.number(people) >= 10 * self.minimum else 1)
        if least > 0:
            last = max(last, math.ceil(math.log10(least) - NOISE))
        return None if last > first else float(10.0**last)


def read(settings: Mapping[str, Any]) -> Rules:
    """The rules of a site, from the plugin's settings in mkdocs.yml. Raises ValueError with every fault."""
    faults = [f"{name}: {instead}" for name, instead in GONE.items() if settings.get(name) is not None]
    minimum = settings.get("minimum_users")
    minimum = LEAST if minimum is None else minimum
    if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < LEAST or minimum % 2:
        faults.append(f"minimum_users: must be an even number from {LEAST} up, got {minimum!r}")
    protection = settings.get("protect")
    if protection not in (None, "threshold"):
        faults.append(f"protect: must be threshold, or absent, got {protection!r}")
    if faults:
        raise ValueError("; ".join(faults))
    return Rules(minimum, rounding=protection is None)
