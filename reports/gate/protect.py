"""The 10-5 rule: decides which counted cells may be published, and rounds them. It is pure: no database, no SQL, no
chart. Nothing else may make a `Protected`. Pages, downloads, badges, captions and summaries are made only from a
`Protected`. The rule in words is on the page "How numbers are protected" (site/privacy-of-numbers.md).
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.blocks.kinds import PERCENTILES, Measure
from reports.blocks.published import Share, Value
from reports.gate.cells import Cell, Counted, Key, Part, Spread
from reports.gate.chance import SURE, chance, significant, variance
from reports.gate.rules import Rules

__all__ = ["Protected", "protect", "stand_out", "unprotected"]

# How often a block says that a group differs if none does.
LEVEL = 0.05
# The same for a scan. It is lower because a page may have two.
SCANNED = 0.05


@dataclass(frozen=True)
class Protected:
    """Numbers that may be published: the shown cells, each with a value for each measure.

    With an interval, three more values: its ends, and whether the cell differs significantly from the others at its
    place.
    """

    cells: Mapping[Key, tuple[Value, ...]]
    rules: Rules

    def of(self, last: Any) -> "Protected":
        """The cells with this last part of the key, without this part."""
        return replace(self, cells={key[:-1]: one for key, one in self.cells.items() if key and key[-1] == last})


def protect(counted: Counted, rules: Rules) -> Protected:
    """The cells that may be shown. A cell without a time or a number on an axis may not."""
    cells = {key: cell for key, cell in counted.cells.items() if None not in key}
    shown = {key: cell for key, cell in cells.items() if rules.shows(cell.people, cell.rows)}
    made = {
        key: [_value(measure, cell, part, rules) for measure, part in zip(counted.measures, cell.parts, strict=True)]
        for key, cell in shown.items()
    }
    if Measure("share") in counted.measures:
        place = counted.measures.index(Measure("share"))
        for key, share in _shares(cells, shown, counted, rules).items():
            made[key][place] = share
    if counted.interval:
        differs = _differing({key: shown[key] for key, values in made.items() if values[0] is not None}, cells, counted)
        for key, values in made.items():
            part = cells[key].parts[0]
            values += [*_interval(counted.measures[0], values[0], part, rules), differs.get(key)]
    return Protected({key: tuple(values) for key, values in made.items()}, rules)


def unprotected(rows: Sequence[tuple[Value, ...]]) -> Protected:
    """Rows without people, unchanged: `people: none`."""
    return Protected({(number,): row for number, row in enumerate(rows)}, Rules(0, rounding=False))


def _value(measure: Measure, cell: Cell, part: Part, rules: Rules) -> Value:
    if measure.name == "count":
        return rules.number(cell.rows)
    if measure.name == "people":
        return rules.number(cell.people) if cell.people or not rules.minimum else None
    if measure.name == "per_person":
        people = rules.number(cell.people)
        return rules.number(cell.own) / people if people else None
    if measure == Measure("share"):
        return None
    if measure.name == "share":
        return rules.share(round(part.value or 0), part.rows) if part.rows else None
    if rules.rounding and not _enough(measure, part, rules.minimum):
        return None
    if measure.name not in ("sum", "mean"):
        return rules.value(part.value, part.people)
    if part.value is None or not part.rows:
        return None
    if measure.name == "sum" and not rules.rounding:
        return part.value
    mean = rules.value(part.value / part.rows, part.people, _least(part))
    return mean if measure.name == "mean" or mean is None else float(f"{mean * rules.number(part.rows):.12g}")


def _least(part: Part) -> float:
    """The smallest step of a mean: a quarter of the largest person's part of it. Otherwise the means with and without
    this person would reveal the person's value. For example, means of 1.39 s and 1 s over 2,000 runs reveal a run of
    780 s.
    """
    return part.largest / 4 / part.rows


def _enough(measure: Measure, part: Part, minimum: int) -> bool:
    """Whether enough people have a value, on both sides of a percentile, and nobody contributes more than half."""
    beyond = min(part.below, part.above) if measure.name in PERCENTILES else part.people
    return min(part.people, beyond) >= minimum and 2 * part.largest <= part.size


def _shares(
    cells: Mapping[Key, Cell], shown: Mapping[Key, Cell], counted: Counted, rules: Rules
) -> dict[Key, Share | None]:
    """Each cell's share of its place: of the rounded total, or of the sum of the shown parts if this is larger."""
    wholes: dict[Key, int] = defaultdict(int)
    parts: dict[Key, int] = defaultdict(int)
    for key, cell in cells.items():
        wholes[counted.place(key)] += cell.rows
        parts[counted.place(key)] += rules.number(cell.rows) if key in shown else 0
    return {
        key: rules.share(cell.rows, max(wholes[counted.place(key)], parts[counted.place(key)]))
        for key, cell in shown.items()
    }


def _interval(measure: Measure, value: Value, part: Part, rules: Rules) -> tuple[Value, Value]:
    """The ends of a 95 % interval around the shown value, which contains the rounding.

    Wilson's interval for a share, with as many draws as would have the same variance; the normal one for a mean.
    """
    found = part.spread and variance(part.spread, False)
    if not found or not isinstance(value, int | float):
        return None, None
    spread, draws = found
    if measure.name != "share":
        ratio = measure.name == "gmean"
        half = SURE * math.sqrt(spread)
        unit = _unit(measure, value, part, rules)
        low = (value - unit / 2) * math.exp(-half) if ratio else value - unit / 2 - half
        high = (value + unit / 2) * math.exp(half) if ratio else value + unit / 2 + half
        if not unit:
            return low, high
        return float(f"{math.floor(low / unit) * unit:.12g}"), float(f"{math.ceil(high / unit) * unit:.12g}")
    exact = (part.value or 0) / part.rows
    if exact * (1 - exact) and spread:
        draws = exact * (1 - exact) / spread
    draws = rules.value(draws, 0) or 1.0
    lost = _moved(measure, value, part, rules)
    middle = (value + SURE**2 / (2 * draws)) / (1 + SURE**2 / draws)
    half = SURE * math.sqrt(value * (1 - value) / draws + SURE**2 / (4 * draws**2)) / (1 + SURE**2 / draws)
    return max(0.0, middle - half - lost), min(1.0, middle + half + lost)


def _differing(shown: Mapping[Key, Cell], cells: Mapping[Key, Cell], counted: Counted) -> dict[Key, bool]:
    """Whether the first measure of each shown cell differs significantly from the others at its place. The cells of a
    block are one family of comparisons: if none differs, one block in twenty says that one does.
    """
    wholes: dict[Key, Spread] = defaultdict(Spread)
    for key, cell in cells.items():
        wholes[counted.place(key)] += cell.parts[0].spread or Spread()
    share = counted.measures[0].name == "share"
    chances = {
        key: chance(cell.parts[0].spread or Spread(), wholes[counted.place(key)], share) for key, cell in shown.items()
    }
    known = {key: one for key, one in chances.items() if one is not None}
    sure = significant(known, LEVEL)
    return {key: key in sure for key in known}


def stand_out(counted: Sequence[Counted], rules: Rules) -> Protected:
    """The groups of several columns (one cut for each) that differ significantly from all others of their column.

    The key has the numbers of the measure, the cut and the group. The values are the group's value, the value of all
    others, their difference with the ends of its 95 % interval, and the people. `()` has the number of comparisons.
    """
    chances: dict[Key, float] = {}
    effects: dict[Key, tuple[Value, ...]] = {}
    for place, cut in enumerate(counted):
        for number, measure in enumerate(cut.measures):
            parts = {key: cell.parts[number] for key, cell in cut.cells.items()}
            shown = sorted(key for key, part in parts.items() if rules.shows(part.people, part.rows))
            whole = _together(measure, parts.values())
            # With two groups, each is the "all others" of the other, so only the smaller one is compared.
            for key in shown[-1:] if len(shown) == 2 else shown if len(shown) > 1 else ():
                mine = parts[key]
                found = chance(mine.spread or Spread(), whole.spread or Spread(), measure.name == "share")
                effect = _effect(measure, mine, whole, rules)
                if key[0] and found is not None and effect:
                    chances[number, place, *key] = found
                    effects[number, place, *key] = (*effect, rules.number(mine.people) if mine.people else None)
    made: dict[Key, tuple[Value, ...]] = {key: effects[key] for key in significant(chances, SCANNED)}
    return Protected({(): (len(chances),)} | made, rules)


def _together(measure: Measure, parts: Collection[Part]) -> Part:
    """All parts of a cut together. For the people and the largest person, their lower and upper limits."""
    spread = sum((part.spread or Spread() for part in parts), Spread())
    value = sum(part.value or 0.0 for part in parts)
    if measure.name == "gmean":
        value = math.exp(spread.s / spread.n) if spread.n else 0.0
    people = max((part.people for part in parts), default=0)
    rows, size, largest = (sum(getattr(part, name) for part in parts) for name in ("rows", "size", "largest"))
    return Part(people, rows, value, size, largest, spread=spread)


def _effect(measure: Measure, mine: Part, whole: Part, rules: Rules) -> tuple[float, ...] | None:
    """A group's value, the value of all others, and their difference with its ends. None if they cannot be shown.

    The others are the whole minus the group, from rounded numbers, so that they tell nothing more. Geometric means are
    compared as ratios minus 1.
    """
    value, total = (_value(measure, Cell(part.rows, part.people, 0, ()), part, rules) for part in (mine, whole))
    rows, rest = rules.number(mine.rows), rules.number(whole.rows) - rules.number(mine.rows)
    spread, others = mine.spread or Spread(), (whole.spread or Spread()) - (mine.spread or Spread())
    one, other = variance(spread, False), variance(others, False)
    if not (isinstance(value, float) and isinstance(total, float) and rest > 0 and one and other):
        return None
    ratio = measure.name == "gmean"
    here, all_ = (math.log(value), math.log(total)) if ratio else (value, total)
    there = (all_ * (rows + rest) - here * rows) / rest
    if measure.name == "share" and not 0 <= there <= 1:
        return None
    error = rules.value(math.sqrt(one[0] + other[0]), 0) or 0.0
    moved, all_moved = (_moved(measure, number, part, rules) for number, part in ((value, mine), (total, whole)))
    half = SURE * error + moved + (all_moved * (rows + rest) + moved * rows) / rest
    ends = [here - there + by for by in (0, -half, half)]
    return (value, math.exp(there), *map(math.expm1, ends)) if ratio else (value, there, *ends)


def _unit(measure: Measure, value: float, part: Part, rules: Rules) -> float:
    """The step of a mean that is shown."""
    return rules.unit(value, part.people, 0.0 if measure.name == "gmean" else _least(part)) or 0.0


def _moved(measure: Measure, value: float, part: Part, rules: Rules) -> float:
    """How far rounding may have moved a value. For a geometric mean, in its logarithm."""
    if measure.name == "share":
        return (1 + value) * value.rounding if isinstance(value, Share) else 0.0
    half = _unit(measure, value, part, rules) / 2
    return half / value if measure.name == "gmean" else half
