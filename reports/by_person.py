"""The SQL that counts cells: first what each person has in each, then what all have together.

A cell asks for people several times over: all, those with a value, those for whom it is true. To count distinct people
again for each costs four times what one pass by person does. Only percentiles need the rows as they are.
"""

from collections.abc import Sequence

from reports.kinds import PERCENTILES, Measure

__all__ = ["by_person", "percentiles"]


def by_person(rows: str, keys: Sequence[str], measures: Sequence[Measure], conditions: Sequence[str]) -> str:
    """For each cell its rows and people; each measure's value and people; rows and people of each condition.

    `rows` has the columns of `keys`, `c0`, `c1` … for the measures, and user_id, null for who is nobody. The value of
    a percentile is null.
    """
    mine = [*keys, "user_id", "count(*) AS n"]
    whole = ["sum(n)", "count(user_id)"]
    for number, measure in enumerate(measures):
        column, there = f"c{number}", f"n{number}"
        if measure.column:
            mine.append(f"count({column}) AS {there}")
        if measure.name in ("sum", "mean"):
            mine.append(f"sum({column}) AS s{number}")
        elif measure.name == "share" and measure.column:
            mine.append(f"sum({column}::INTEGER) AS s{number}")
        whole += [
            _value(measure, number),
            f"count(user_id) FILTER ({there} > 0)" if measure.column else "count(user_id)",
        ]
    for number, condition in enumerate(conditions):
        mine.append(f"count(*) FILTER ({condition}) AS p{number}")
        whole += [f"sum(p{number})", f"count(user_id) FILTER (p{number} > 0)"]
    grouped = f"SELECT {', '.join(mine)} FROM ({rows}) GROUP BY {', '.join([*keys, 'user_id'])}"
    return f"SELECT {', '.join([*keys, *whole])} FROM ({grouped})" + _by(keys)


def percentiles(rows: str, keys: Sequence[str], measures: Sequence[Measure]) -> str:
    """For each cell the percentiles among the measures, in their order; "" where there are none."""
    wanted = [
        f"quantile_cont(c{number}::DOUBLE, {PERCENTILES[measure.name]})"
        for number, measure in enumerate(measures)
        if measure.name in PERCENTILES
    ]
    return f"SELECT {', '.join([*keys, *wanted])} FROM ({rows})" + _by(keys) if wanted else ""


def _by(keys: Sequence[str]) -> str:
    return f" GROUP BY {', '.join(keys)}" if keys else ""


def _value(measure: Measure, number: int) -> str:
    if measure.name in PERCENTILES:
        return "NULL"
    if measure.name == "share" and measure.column:
        return f"sum(s{number})::DOUBLE / nullif(sum(n{number}), 0)"
    return {
        "count": "sum(n)",
        "share": "sum(n)",
        "people": "count(user_id)",
        "per_person": "sum(n) FILTER (user_id IS NOT NULL)::DOUBLE / nullif(count(user_id), 0)",
        "sum": f"sum(s{number})::DOUBLE",
        "mean": f"sum(s{number})::DOUBLE / nullif(sum(n{number}), 0)",
    }[measure.name]
