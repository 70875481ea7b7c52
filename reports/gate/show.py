"""Names and orders protected numbers for publication.

It sees only numbers that may be shown, and no exact number of people.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from reports.blocks import format
from reports.blocks.published import Column, Filter, Published, Value
from reports.gate.columns import unit_of
from reports.gate.labels import dimension_of, ends, labelled, rank, without_gaps
from reports.gate.plan import Plan
from reports.gate.protect import Protected

__all__ = ["show", "unchanged", "with_choices", "with_trend"]

Shown = tuple[Protected, Protected]


def show(plan: Plan, cells: Protected, whole: Protected, filters: Sequence[Shown] = ()) -> Published:
    """The cells of a plan, and of each of its filters."""
    made = _one(plan, cells, whole)
    if made.empty:
        return made
    return replace(made, filters=tuple(_filter(*one) for one in zip(plan.filtered, filters, strict=True)))


def with_trend(made: Published, trend: Published) -> Published:
    """A table with the trend of its first measure, also for each choice of its filters."""
    chosen = {(one.column, value): shown for one in trend.filters for value, shown in one.series}
    filters = []
    for one in made.filters:
        series = tuple((value, replace(shown, trend=chosen.get((one.column, value)))) for value, shown in one.series)
        filters.append(replace(one, series=series))
    return replace(made, trend=trend, filters=tuple(filters))


def with_choices(made: Published, filter: Filter) -> Published:
    """A figure with more choices, of rows that are counted by themselves."""
    return replace(made, filters=(*made.filters, filter))


def _filter(plan: Plan, shown: Shown) -> Filter:
    """The same figure for each category of the plan's last axis, the one with most people first."""
    *axes, by = plan.cut.axes
    single = replace(plan, cut=replace(plan.cut, axes=tuple(axes)))
    series = []
    for number, _ in enumerate(by.labels or (), 1):
        made = _one(single, shown[0].of(number), shown[1].of(number))
        if not made.empty:
            series.append((str(labelled((number,), [by])[0]), made))
    return Filter(by.column.name, tuple(series))


def _one(plan: Plan, cells: Protected, whole: Protected) -> Published:
    shape = SHAPES.get(plan.block.type)
    dimensions, rows = shape(plan, cells) if shape else _usual(plan, cells)
    if not whole.cells:
        rows = []
    people, *marks = whole.cells.get((), (0,))
    compared = cells.cells.get((), (0,))[0] if plan.block.type == "scan" else 0
    rules, axes, partial = cells.rules, plan.cut.axes, False
    begun = None
    if plan.current is not None and not shape and rows:
        rows, begun = _begun(plan, rows, plan.current)
        rows, partial = _unfinished(plan, rows, plan.current)
    columns = plan.columns
    if plan.block.interval:
        first = columns[0]
        columns = (*columns, *(Column(f"{first.name} {end}", first.kind) for end in ("from", "to")))
        if _compares(plan):
            columns = (*columns, Column(f"{first.name} differs", "boolean"))
    groups = (
        sorted({row[1] for row in rows}, key=lambda one: rank(axes[1], one, plan.block.order))
        if axes[1:] and not shape
        else ()
    )
    across: Sequence[Value] = ()
    if plan.block.type == "heatmap" and rows and plan.block.order is None:
        across, groups = (without_gaps(axis, {row[at] for row in rows}) for at, axis in enumerate(axes))
    return Published(
        dimensions=dimensions,
        measures=columns,
        rows=tuple(rows),
        across=tuple(across),
        people=people if isinstance(people, int) else 0,
        groups=tuple(groups),
        minimum_users=rules.minimum,
        unit=plan.unit,
        grain=next((axis.grain for axis in axes if axis.grain), None),
        partial=partial,
        begun=begun,
        empty=None if rows or compared else "too few people" if rules.minimum > 1 else "no data",
        compared=compared if isinstance(compared, int) else 0,
        marks=tuple((name, mark) for name, mark in zip(("p50", "p95"), marks, strict=False) if mark is not None),
        logarithmic=plan.logarithmic,
        interval=plan.block.interval,
        rounded=rules.step if rules.rounding else 0,
    )


Rows = list[tuple[Value, ...]]


def _usual(plan: Plan, cells: Protected) -> tuple[tuple[Column, ...], Rows]:
    axes = plan.cut.axes
    dimensions = tuple(dimension_of(axis) for axis in axes)
    # A chart of nothing but "Other" says nothing.
    if any(axis.labels == () for axis in axes):
        return dimensions, []
    # Only groups can differ from the others.
    last = -1 if plan.block.interval and not _compares(plan) else None
    rows: Rows = [(*labelled(key, axes), *values[:last]) for key, values in cells.cells.items()]
    order = plan.block.order
    rows.sort(key=lambda row: [rank(axis, label, order) for axis, label in zip(axes, row, strict=False)])
    return dimensions, rows


def _compares(plan: Plan) -> bool:
    return bool(plan.cut.axes) and plan.cut.axes[-1].labels is not None


def _begun(plan: Plan, rows: Rows, current: datetime) -> tuple[Rows, datetime | None]:
    """Without the first period if it is not whole and a card compares the others; else unchanged."""
    others = [row for row in rows if row[0] != plan.begun]
    whole = any(isinstance(row[0], datetime) and row[0] < current for row in others)
    if plan.begun is None or not whole or len(others) == len(rows):
        return rows, None
    return (others, None) if plan.block.type == "number" else (rows, plan.begun)


def _unfinished(plan: Plan, rows: Rows, current: datetime) -> tuple[Rows, bool]:
    """Without the current period if a card compares whole ones; and whether the current period is in the result."""
    over = [row for row in rows if isinstance(row[0], datetime) and row[0] < current]
    partial = len(over) < len(rows)
    return (over, False) if partial and over and plan.block.type == "number" else (rows, partial)


def _bins(plan: Plan, cells: Protected) -> tuple[tuple[Column, ...], Rows]:
    """Bins with their start and end."""
    (axis,) = plan.cut.axes
    kind = axis.column.kind
    rows: Rows = [(*ends(axis, key[0]), *values) for key, values in sorted(cells.cells.items())]
    return (Column("from", kind), Column("to", kind)), rows


def _steps(plan: Plan, cells: Protected) -> tuple[tuple[Column, ...], Rows]:
    """Steps with their number, and their share of the first step and of the step before.

    A step that nobody took has no cell. If all cells are shown, it is zero.
    """
    rows: Rows = []
    untaken = None if cells.rules.minimum else 0
    sizes: list[int] = []
    for number, (label, _) in enumerate(plan.block.steps, 1):
        size = cells.cells.get((number,), (untaken,))[0]
        if isinstance(size, int):
            sizes.append(size)
            parts = [cells.rules.share(size, whole) for whole in (sizes[0], sizes[-2] if sizes[1:] else size)]
            rows.append((label.strip(), size, *parts))
    return (Column("step", "text"),), rows


def _cohorts(plan: Plan, cells: Protected) -> tuple[tuple[Column, ...], Rows]:
    """For each first period and each later one, how many people came back, and their share of those who began."""
    grain = plan.cut.axes[0].grain or ""
    back = {(began, _since(began, at, grain)): values[0] for (began, at), values in cells.cells.items()}
    rows: Rows = []
    for (began, since), size in sorted(back.items()):
        # A period with too few people looks like one with nobody.
        for number in range(_since(began, plan.current or began, grain)) if since == 0 else ():
            people = back.get((began, number))
            share = cells.rules.share(people, size) if isinstance(people, int) and isinstance(size, int) else None
            rows.append((began, number, people, share, size))
    return (Column("first used", "time"), Column(f"{grain}s since", "number")), rows


def _since(first: datetime, then: datetime, grain: str) -> int:
    months = (then.year - first.year) * 12 + then.month - first.month
    return {
        "hour": int((then - first).total_seconds() // 3600),
        "day": (then - first).days,
        "week": (then - first).days // 7,
        "month": months,
        "quarter": months // 3,
        "year": then.year - first.year,
    }[grain]


def _findings(plan: Plan, cells: Protected) -> tuple[tuple[Column, ...], Rows]:
    """The significant differences, the most certain first: the measure, the column and its category."""
    axes = [cut.axes[0] for cut in (plan.cut, *plan.beside)]
    found: list[tuple[float, tuple[Value, ...]]] = []
    for (number, place, group), (value, others, *by, people) in ((key, one) for key, one in cells.cells.items() if key):
        measure, axis = plan.block.y[number], axes[place]
        name = measure.column or ""
        column = Column(name, "share" if measure.name == "share" else unit_of(name, "number"))
        difference, low, high = (float(str(end)) for end in by)
        said = [format.value(column, one) for one in (value, others)]
        said += [format.change(measure, column, end) for end in (difference, low, high)]
        row = (name, axis.column.name, str(labelled((group,), [axis])[0]), *said, people)
        found.append((-abs(difference) / (high - low or 1), row))
    found.sort(key=lambda one: (one[0], [str(name) for name in one[1][:3]]))
    dimensions = tuple(Column(name, "text") for name in ("measure", "attribute", "category"))
    return dimensions, [row for _, row in found[: plan.block.limit]]


# Kinds with another form than labels and measures.
SHAPES = {"histogram": _bins, "funnel": _steps, "retention": _cohorts, "scan": _findings}


def unchanged(columns: Sequence[Column], depth: int, rows: Protected) -> Published:
    """Data without people, unchanged. The first `depth` columns are dimensions."""
    found = tuple(rows.cells.values())
    return Published(
        dimensions=tuple(columns[:depth]),
        measures=tuple(columns[depth:]),
        rows=found,
        people=None,
        groups=tuple(dict.fromkeys(row[1] for row in found)) if depth > 1 else (),
        empty=None if found else "no data",
    )
