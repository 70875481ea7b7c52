"""Plans a block: its axes and its measures.

It decides which categories are named and which are folded into "Other", the bins of a number, and the grain of a time,
by the number of people in each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from reports.blocks.block import Block
from reports.blocks.kinds import GRAINS, Measure
from reports.blocks.published import UNKNOWN, Column
from reports.gate.bins import edges
from reports.gate.cells import Axis, Cut
from reports.gate.columns import INTEGERS, dimension, find, measured, unit_of
from reports.gate.lookup import BEYOND, Rows
from reports.query.quoting import quote
from reports.query.sandbox import QueryError

__all__ = ["Plan", "plan"]

# A grain must show this share of the named rows, or the next coarser one is tried.
ENOUGH_SHOWN = 0.8
# The most periods of an axis, if the author does not choose the grain.
MOST_PERIODS = 80
# The most periods if the author chooses the grain.
MOST_ASKED_FOR = 1_000
# From fine to coarse: the first one with enough people in all bins is used.
BINS = (36, 24, 16, 10, 6, 4, 2, 1)
HEATMAP_BINS = (12,)
# Up to this many different numbers each have a row or column of a heatmap.
MOST_NUMBERS = 24
COHORTS = ("month", "quarter", "year")
# So many values of a column can be chosen: each makes a figure.
MOST_CHOICES = 6
# How many groups of a column are compared with the others.
MOST_COMPARED = 12


@dataclass(frozen=True)
class Plan:
    """`cut` has the cells that are drawn, and `whole` is everybody in it, with the marks of all values. `beside` are
    the other columns of a scan. `columns` are the measures as they are published. `current` is the start of the current
    period, and `begun` the first period, if its rows begin too late. Each plan in `filtered` has one more axis, the
    last, from whose categories readers choose.
    """

    block: Block
    unit: str
    cut: Cut
    whole: Cut
    columns: tuple[Column, ...]
    current: datetime | None = None
    begun: datetime | None = None
    logarithmic: bool = False
    beside: tuple[Cut, ...] = ()
    filtered: tuple["Plan", ...] = ()


def plan(rows: Rows, block: Block, unit: str) -> Plan:
    """The plan of a block. Raises `QueryError` if it would count too much."""
    made = SHAPES.get(block.type, _usual)(rows, block, unit, ())
    names = [dimension(name, rows.relation.columns, "filter") for name in block.filter]
    few = replace(block, limit=min(block.limit, MOST_CHOICES))
    categories = [_category(rows, few, name, kind) for name, kind in names if kind != "time"]
    return replace(made, filtered=tuple(_filter(rows, made, by) for by in categories))


def _filter(rows: Rows, made: Plan, by: Axis) -> Plan:
    """The same plan with one more axis, in longer periods or fewer bins where its categories need that."""
    found = SHAPES.get(made.block.type, _usual)(rows, made.block, made.unit, (by,))
    return replace(found, cut=_divided(found.cut, (by,)), whole=replace(found.whole, axes=(by,)))


def _divided(cut: Cut, more: tuple[Axis, ...]) -> Cut:
    """A cut with more axes, which divide the wholes of its shares too."""
    axes = (*cut.axes, *more)
    return replace(cut, axes=axes, places=(*cut.places, *range(len(cut.axes), len(axes))))


def _usual(rows: Rows, block: Block, unit: str, more: tuple[Axis, ...]) -> Plan:
    """One aggregate by columns. `more` are the axes in addition to the block's."""
    columns = rows.relation.columns
    named = [(block.x, "x"), (block.color, "color"), *((name, "x") for name in block.more)]
    found = [dimension(name, columns, option) for name, option in named if name]
    others = [_axis(rows, block, name, kind) for name, kind in found if kind != "time"]
    if block.order == "query":
        others = _as_the_query_has_them(rows, block, others)
    current, begun = None, None

    def cut_by(*axes: Axis) -> Cut:
        return Cut(rows.source, axes, block.y, (0,) if len(axes) > 1 else (), block.interval, rows.also)

    if found and found[0][1] == "time":
        name = found[0][0]
        times = [Axis(Column(name, "time"), "time", grain=grain) for grain in _grains(rows, name, block.grain)]
        cut = _finest(rows, [cut_by(time, *others) for time in times], more)
        grain = cut.axes[0].grain or ""
        current, begun = rows.start(grain), rows.begins_within(name, grain)
    else:
        cut = cut_by(*others)
    made = tuple(measured(measure, columns) for measure in block.y)
    return Plan(block, unit, cut, Cut(rows.source, (), (Measure("people"),)), made, current, begun)


def _as_the_query_has_them(rows: Rows, block: Block, axes: Sequence[Axis]) -> list[Axis]:
    """The axes, each with the categories first that the query orders. Raises `QueryError` if it orders none."""
    made = []
    for axis in axes:
        labels = axis.labels or ()
        first = rows.in_order(axis.column.name, labels)
        rest = [label for label in labels if label not in first]
        made.append(replace(axis, labels=(*first, *rest), in_order=True) if first else axis)
    if any(axis.labels for axis in axes) and not any(axis.in_order for axis in made):
        name = next(axis.column.name for axis in axes if axis.labels)
        raise QueryError(
            f'order: "{block.data}" does not keep the rows of each {name} together; ORDER BY something that has one '
            f"value for each {name}, or list the categories here",
            option="order",
        )
    return made


def _finest(rows: Rows, finer: Sequence[Cut], more: tuple[Axis, ...]) -> Cut:
    """The finest cut that shows enough of the named rows, divided by `more`; else the one that shows most."""
    best, most = finer[-1], -1.0
    for cut in finer if len(finer) > 1 else ():
        shown = rows.named(_divided(cut, more))
        if shown > most:
            best, most = cut, shown
        if shown >= ENOUGH_SHOWN:
            break
    return best


def _grains(rows: Rows, time: str, asked: str | None) -> Sequence[str]:
    """The grain of the block, else the grains to try, from fine to coarse."""
    first, last = rows.span(time)
    days = (_day(last) - _day(first)).days if first else 0
    if asked:
        if days / GRAINS[asked] > MOST_ASKED_FOR:
            raise QueryError(
                f"grain: {asked} makes more than {MOST_ASKED_FOR:,} periods; use a coarser grain, or fewer days",
                option="grain",
            )
        return (asked,)
    fine = [grain for grain, length in GRAINS.items() if grain != "hour" and days / length <= MOST_PERIODS]
    return fine or ["year"]


def _day(time: date) -> date:
    return time.date() if isinstance(time, datetime) else time


def _axis(rows: Rows, block: Block, name: str, kind: str) -> Axis:
    if kind == "number" and block.type == "heatmap" and rows.distinct(name) > max(block.limit, MOST_NUMBERS):
        for axis, _ in _binned(rows, name, HEATMAP_BINS):
            return axis
    return _category(rows, block, name, kind)


def _category(rows: Rows, block: Block, name: str, kind: str) -> Axis:
    # The label of a category is always a text.
    return Axis(Column(name, "text"), kind, rows.labels(name, block.limit))


def _binned(rows: Rows, name: str, counts: Sequence[int]) -> Iterator[tuple[Axis, bool]]:
    """Axes with about this many bins of a number, and whether they are even on a logarithmic scale. None for too few
    people. The ends are rounded percentiles with enough people beyond them, not the smallest and largest values. The
    first and the last bin are wide enough to have enough people.
    """
    ends = rows.ends(name)
    if ends is None:
        return
    at = next((n for n, part in enumerate(BEYOND) if ends.people * part >= rows.rules.minimum), len(BEYOND) - 1)
    low, middle, high = (ends.parts[place] for place in (at, len(BEYOND), len(BEYOND) + 1 + at))
    kind = unit_of(name, "number")
    whole = rows.relation.columns[name] in INTEGERS
    for count in counts:
        found, logarithmic = edges(low, middle, high, count, whole=whole, time=kind == "milliseconds")
        kept = tuple(edge for edge in found if ends.low < edge <= ends.high)
        yield Axis(Column(name, kind), "bins", edges=kept or (found[len(found) // 2],)), logarithmic


def _histogram(rows: Rows, block: Block, unit: str, more: tuple[Axis, ...]) -> Plan:
    """Bins of a number, with the median and the 95th percentile of all values."""
    name, _ = find(block.x or "", rows.relation.columns, "x")
    axis = Axis(Column(name, unit_of(name, "number")), "bins", edges=(0.0,))
    best, logarithmic, most = Cut(rows.source, (axis,), block.y), False, -1.0
    for axis, scale in _binned(rows, name, BINS):
        cut = replace(best, axes=(axis,))
        shown = rows.named(_divided(cut, more))
        if shown > most:
            best, logarithmic, most = cut, scale, shown
        if shown == 1 or (more and shown >= ENOUGH_SHOWN):
            break
    marks = (Measure("people"), Measure("p50", name), Measure("p95", name))
    columns = tuple(measured(measure, rows.relation.columns) for measure in block.y)
    whole = Cut(rows.source, (), marks)
    return Plan(block, unit, best, whole, columns, logarithmic=logarithmic)


def _funnel(rows: Rows, block: Block, unit: str, more: tuple[Axis, ...]) -> Plan:
    """How many people, or rows, reached each step: those that took this step and all earlier ones. A person takes steps
    in any of their rows.
    """
    columns = [quote(find(name, rows.relation.columns, "steps")[0]) for _, name in block.steps]
    people = block.y[0].name == "people"
    reached = [f"coalesce({f'bool_or({column})' if people else column}, false)" for column in columns]
    untaken = " ".join(f"WHEN NOT s{number} THEN {number}" for number in range(len(reached)))
    steps = ", ".join(f"{one} AS s{number}" for number, one in enumerate(reached))
    group = " WHERE user_id IS NOT NULL GROUP BY user_id" if people else ""
    source = (
        f"(SELECT user_id, unnest(range(1, 1 + CASE {untaken} ELSE {len(reached)} END)) AS step "
        f"FROM (SELECT user_id, {steps} FROM {rows.source}{group}))"
    )
    axis = Axis(Column("step", "text"), "number", tuple(str(number + 1) for number in range(len(reached))))
    made = (Column(block.y[0].name, "number"), Column("of the first", "share"), Column("of the step before", "share"))
    return Plan(block, unit, Cut(source, (axis,), block.y), Cut(rows.source, (), (Measure("people"),)), made)


def _retention(rows: Rows, block: Block, unit: str, more: tuple[Axis, ...]) -> Plan:
    """How many people with the same first period came back in each later period."""
    time = quote(find(block.x or "", rows.relation.columns, "x")[0])
    best, most = None, -1.0
    for grain in (block.grain,) if block.grain else COHORTS:
        current = rows.start(grain)
        seen = (
            f"SELECT DISTINCT user_id, date_trunc('{grain}', {time})::TIMESTAMP AS period FROM {rows.source} "
            f"WHERE user_id IS NOT NULL AND {time} < TIMESTAMP '{current:%Y-%m-%d %H:%M:%S}'"
        )
        source = f"(SELECT *, min(period) OVER (PARTITION BY user_id) AS cohort FROM ({seen}))"
        axes = tuple(Axis(Column(name, "time"), "time", grain=grain) for name in ("cohort", "period"))
        cut, whole = Cut(source, axes, block.y), Cut(rows.source, (), (Measure("people"),))
        # Every person is there in their first period.
        shown = rows.shown(cell for (first, period), cell in rows.counted(cut).cells.items() if period == first)
        if shown > most:
            columns = (Column("people", "number"), Column("share", "share"), Column("of people", "number"))
            best, most = Plan(block, unit, cut, whole, columns, current), shown
        if shown >= ENOUGH_SHOWN:
            break
    assert best is not None
    return best


def _scan(rows: Rows, block: Block, unit: str, more: tuple[Axis, ...]) -> Plan:
    """A cut for each column alone, with the groups to compare. "not known" is not a group."""
    cuts = []
    for given in filter(None, (block.x, block.color, *block.more)):
        name, kind = dimension(given, rows.relation.columns, "x")
        labels = tuple(label for label in rows.labels(name, MOST_COMPARED + 1) if label != UNKNOWN)[:MOST_COMPARED]
        source = f"(SELECT * FROM {rows.source} WHERE {quote(name)} IS NOT NULL)"
        cuts.append(Cut(source, (Axis(Column(name, "text"), kind, labels),), block.y, interval=True))
    columns = [*(Column(name, "text") for name in ("value", "others", "difference", "low", "high"))]
    whole = Cut(rows.source, (), (Measure("people"),))
    return Plan(block, unit, cuts[0], whole, (*columns, Column("people", "number")), beside=tuple(cuts[1:]))


# Kinds that need more than one aggregate by columns.
SHAPES = {"histogram": _histogram, "funnel": _funnel, "retention": _retention, "scan": _scan}
