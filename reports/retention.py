"""How many of those who began in one period come back in each period since."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from reports.cells import Axis, Counted
from reports.conceal import Key, conceal, sums
from reports.gate import Gate
from reports.published import Column, Published, Value
from reports.warehouse import quote, quote_if_needed

__all__ = ["retention"]

GRAINS = ("month", "quarter", "year")


def retention(gate: Gate) -> Published:
    """Of the people whose first period was the same: how many came back in each period since."""
    assert gate.x is not None
    name = gate.x[0]
    grains = [gate.block.grain] if gate.block.grain else GRAINS
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
