"""Kinds whose cells are not one aggregate by columns: histogram, funnel and retention, a function each."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from reports.cells import Axis, Counted
from reports.columns import find, finite
from reports.conceal import Key, conceal, sums
from reports.gate import Gate
from reports.labels import bin_names, ends
from reports.published import Column, Published, Value
from reports.warehouse import quote, quote_if_needed

__all__ = ["BINS", "SHAPES", "ended", "widened"]

# From fine to coarse: the first whose bins all have enough people is taken.
BINS = (36, 24, 16, 10, 6, 4, 2, 1)
RETENTION_GRAINS = ("month", "quarter", "year")


def histogram(gate: Gate) -> Published:
    """Bins of a number. What lies beyond the outermost bins with enough people is part of these."""
    assert gate.x is not None
    name, _ = gate.x
    best, most = gate.empty("no data"), -1.0
    for count in BINS:
        axis, logarithmic = gate.binned(name, count)
        if axis is None:
            there = gate.connection.execute(f"SELECT count({quote(name)}) FROM {gate.source}").fetchall()[0][0]
            return gate.empty("too few people" if there else "no data")
        axis = widened(gate, axis)
        made, shown = gate.cut([axis])
        if made.empty:
            best = made if best.empty else best
            continue
        if shown > most:
            best, most, gate.drawn = _bins(gate, axis, made, logarithmic), shown, ([axis], None)
        if not made.withheld and not made.withheld_more:
            break
    return best


def widened(gate: Gate, axis: Axis) -> Axis:
    """The axis with its first and last bins so wide, to the outside, that they have enough people."""
    edges = axis.edges or ()
    counted = Counted(gate.connection, gate.source, [axis], ())
    people = {cell.key: cell.people for cell in counted.cells() if cell.key != (None,)}
    known = counted.persons([key for key, number in people.items() if number < gate.minimum])

    def outermost(numbers: list[int]) -> int:
        seen: set[int] = set()
        for number in numbers:
            seen |= known.get((number,), set())
            if people.get((number,), 0) >= gate.minimum or len(seen) >= gate.minimum:
                return number
        return numbers[-1]

    # Bin n lies between the edges n - 1 and n.
    first, last = outermost(list(range(len(edges) + 1))), outermost(list(range(len(edges), -1, -1)))
    kept = edges[first:last]
    return replace(axis, edges=kept or edges[len(edges) // 2 : len(edges) // 2 + 1])


def _bins(gate: Gate, axis: Axis, made: Published, logarithmic: bool) -> Published:
    """The bins as where they begin and end, with the median and the 95th percentile of all values."""
    shown = quote_if_needed(axis.column.name)
    sql = (
        f"-- {shown} in bins from the column from up to, not including, to\n"
        f"SELECT {shown}, count(*), count(DISTINCT user_id)\nFROM {gate.block.data}\nGROUP BY bin of {shown}\n"
        f"HAVING count(DISTINCT user_id) >= {gate.minimum}"
    )
    return replace(ended(gate, axis, made), logarithmic=logarithmic, sql=sql)


def ended(
    gate: Gate, axis: Axis, made: Published, only: str = "true", given: Mapping[str, Any] | None = None
) -> Published:
    """Cells of bins as where each begins and ends, and the percentiles of their values; `only` says of which rows."""
    column = axis.column
    names = {label: number for number, label in enumerate(bin_names(axis))}
    rows: list[tuple[Value, ...]] = []
    for label, *values in made.rows:
        number = names[str(label)]
        rows.append((*ends(axis, number), *values))
    value = f"{quote(column.name)}::DOUBLE"
    median, high, people = gate.connection.execute(
        f"SELECT quantile_cont({value}, 0.5), quantile_cont({value}, 0.95), count(DISTINCT user_id) "
        f"FROM {gate.source} WHERE isfinite({value}) AND {only}",
        dict(given or {}),
    ).fetchall()[0]
    # As for any percentile: half the minimum must lie beyond it.
    marks = [("p50", finite(median))] if people >= gate.minimum else []
    if people * 0.1 >= gate.minimum:
        marks.append(("p95", finite(high)))
    return replace(
        made,
        dimensions=(Column("from", column.kind), Column("to", column.kind)),
        rows=tuple(rows),
        groups=(),
        marks=tuple(marks),
    )


def funnel(gate: Gate) -> Published:
    """How many people, or rows, got as far as each step. A person takes steps in any of their rows."""
    columns = [quote(find(name, gate.columns, "steps")[0]) for _, name in gate.block.steps]
    by_people = gate.block.y[0].name == "people"
    reached = [
        f"coalesce(bool_or({column}), false)" if by_people else f"coalesce({column}, false)" for column in columns
    ]
    # How far each got: the number of steps before the first that was not taken.
    untaken = " ".join(f"WHEN NOT s{number} THEN '{number}'" for number in range(len(reached)))
    steps = ", ".join(f"{one} AS s{number}" for number, one in enumerate(reached))
    group = "WHERE user_id IS NOT NULL GROUP BY user_id" if by_people else ""
    counted = Counted(
        gate.connection,
        f"(SELECT user_id, CASE {untaken} ELSE '{len(reached)}' END AS depth "
        f"FROM (SELECT user_id, {steps} FROM {gate.source} {group}))",
        [Axis(Column("depth", "text"), "text", tuple(str(number) for number in range(len(reached) + 1)))],
        (),
    )
    if not counted.cells():
        return gate.empty("no data")
    rows, withheld, last = _steps(gate, counted, by_people)
    if not rows:
        return gate.empty("too few people")
    return Published(
        dimensions=(Column("step", "text"),),
        measures=(
            Column(gate.block.y[0].name, "number"),
            Column("of the first", "share"),
            Column("of the step before", "share"),
        ),
        rows=tuple(rows),
        people=last,
        withheld=withheld,
        minimum_users=gate.minimum,
        unit=gate.unit,
        sql=_funnel_sql(gate, by_people),
    )


def _steps(gate: Gate, counted: Counted, by_people: bool) -> tuple[list[tuple[Value, ...]], int, int]:
    """The steps that may be shown: those who reached one, and those lost since the last shown, are enough people.

    Those that were lost are what is left when one step is taken from the other.
    """
    cells = {cell.key[0] - 1: cell for cell in counted.cells()}
    known = counted.persons([(number + 1,) for number, cell in cells.items() if cell.people < gate.minimum])

    def people(numbers: range) -> int:
        enough = [cells[number].people for number in numbers if number in cells]
        if any(one >= gate.minimum for one in enough):
            return max(enough)
        return len(set[int]().union(*(known.get((number + 1,), set()) for number in numbers)))

    end = len(gate.block.steps) + 1
    rows: list[tuple[Value, ...]] = []
    withheld, before, first, last, standing = 0, 0, 0, 0, 0
    for number, (label, _) in enumerate(gate.block.steps, 1):
        size = sum(cells[depth].rows for depth in range(number, end) if depth in cells)
        lost = range(before, number)
        gone = any(depth in cells for depth in lost)
        if people(range(number, end)) < gate.minimum or (gone and people(lost) < gate.minimum):
            withheld += 1
            continue
        first = first or size
        rows.append((label.strip(), size, size / first, size / (last or size)))
        before, last = number, size
        standing = standing or counted.people([(depth + 1,) for depth in range(number, end) if depth in cells])
    return rows, withheld, standing


def _funnel_sql(gate: Gate, by_people: bool) -> str:
    conditions, lines = [], []
    for label, column in gate.block.steps:
        name = quote_if_needed(column)
        conditions.append(f"bool_or({name})" if by_people else name)
        lines.append(f"  count(*) FILTER ({' AND '.join(f's{n}' for n in range(len(conditions)))}) AS {quote(label)}")
    inner = ", ".join(f"{one} AS s{number}" for number, one in enumerate(conditions))
    group = " WHERE user_id IS NOT NULL GROUP BY user_id" if by_people else ""
    return "SELECT\n" + ",\n".join(lines) + f"\nFROM (SELECT {inner} FROM {gate.block.data}{group})"


def retention(gate: Gate) -> Published:
    """Of the people whose first period was the same: how many came back in each period since."""
    assert gate.x is not None
    name = gate.x[0]
    grains = [gate.block.grain] if gate.block.grain else RETENTION_GRAINS
    best, most = gate.empty("no data"), -1.0
    for grain in grains:
        made, shown = _cohorts(gate, name, grain)
        if shown > most and not (made.empty and not best.empty):
            best, most = made, shown
        if shown >= 0.8:
            break
    return best


def _cohorts(gate: Gate, name: str, grain: str) -> tuple[Published, float]:
    now = gate.start(grain)
    time = quote(name)
    seen = (
        f"(SELECT DISTINCT user_id, date_trunc('{grain}', {time})::TIMESTAMP AS period FROM {gate.source} "
        f"WHERE user_id IS NOT NULL AND {time} < TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}')"
    )
    source = f"(SELECT *, min(period) OVER (PARTITION BY user_id) AS cohort FROM {seen})"
    cohort, period = (Axis(Column(one, "time"), "time", grain=grain) for one in ("cohort", "period"))
    whole = Counted(gate.connection, source, [cohort], ())
    sizes = {cell.key: cell.people for cell in whole.cells()}
    if not sizes:
        return gate.empty("no data", grain=grain), 0.0
    rank = _latest
    hidden = conceal(sizes, (), whole.persons, sums([grain]), gate.minimum, rank)
    if len(hidden) == len(sizes):
        return gate.empty("too few people", grain=grain), 0.0
    by_period = Counted(gate.connection, source, [cohort, period], ())
    active = {cell.key: cell.people for cell in by_period.cells()}
    lost = {key for key in active if key[:1] in hidden}
    # Who came back in a period are a cell; those of all cohorts add up to the people of that period.
    concealed = conceal(active, lost, by_period.persons, [lambda key: key[1]], gate.minimum, rank)
    rows: list[tuple[Value, ...]] = []
    withheld = 0
    for (began, at), number in sorted(active.items()):
        size = sizes[began,]
        if (began,) in hidden:
            continue
        # And those who did not are one too.
        few = 0 < size - number < gate.minimum
        told: Value = None if (began, at) in concealed or few else number
        withheld += told is None
        rows.append((began, _periods(began, at, grain), told, None if told is None else number / size, size))
    shown = sum(size for key, size in sizes.items() if key not in hidden) / sum(sizes.values())
    return (
        Published(
            dimensions=(Column("first used", "time"), Column(f"{grain}s since", "number")),
            measures=(Column("people", "number"), Column("share", "share"), Column("of people", "number")),
            rows=tuple(rows),
            people=sum(size for key, size in sizes.items() if key not in hidden),
            withheld=len(hidden),
            withheld_measures=withheld,
            minimum_users=gate.minimum,
            unit=gate.unit,
            grain=grain,
            sql=_retention_sql(gate, name, grain),
        ),
        shown,
    )


def _latest(key: Key, gone: Collection[Key]) -> Any:
    return tuple(-part.timestamp() for part in key)


def _periods(first: datetime, then: datetime, grain: str) -> int:
    months = (then.year - first.year) * 12 + then.month - first.month
    return {
        "hour": int((then - first).total_seconds() // 3600),
        "day": (then - first).days,
        "week": (then - first).days // 7,
        "month": months,
        "quarter": months // 3,
        "year": then.year - first.year,
    }[grain]


def _retention_sql(gate: Gate, name: str, grain: str) -> str:
    time = f"date_trunc('{grain}', {quote_if_needed(name)})"
    return (
        "SELECT first_used, period, count(*) AS people\n"
        f"FROM (SELECT DISTINCT user_id, {time} AS period, min({time}) OVER (PARTITION BY user_id) AS first_used\n"
        f"      FROM {gate.block.data} WHERE user_id IS NOT NULL)\n"
        f"GROUP BY first_used, period\nHAVING count(*) >= {gate.minimum}"
    )


SHAPES: Mapping[str, Callable[[Gate], Published]] = {
    "histogram": histogram,
    "funnel": funnel,
    "retention": retention,
}
