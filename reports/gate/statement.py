"""The SQL of a chart, for readers who want to understand it and maintainers who want to run it. It leaves out that
small categories join "Other", and that all numbers are rounded.
"""

from reports.blocks.block import Block
from reports.blocks.kinds import PERCENTILES, Measure
from reports.blocks.published import Published
from reports.query.quoting import quote, quote_if_needed

__all__ = ["statement"]


def statement(block: Block, published: Published) -> str:
    """The SQL below a block."""
    rounded = f"-- then rounded to multiples of {published.rounded}\n" if published.rounded else ""
    return rounded + SHAPES.get(block.type, _usual)(block, published)


def _rows(block: Block) -> str:
    if not block.without:
        return block.data
    return f"(SELECT * FROM {block.data} WHERE {quote_if_needed(block.without)} IS NOT TRUE)"


def _having(published: Published) -> str:
    return f"HAVING count(DISTINCT user_id) >= {published.minimum_users}"


def _usual(block: Block, published: Published) -> str:
    names = [quote_if_needed(column.name) for column in published.dimensions]
    if not block.people:
        names += [quote_if_needed(column.name) for column in published.measures]
        return f"SELECT {', '.join(names)} FROM {_rows(block)}"
    keys, columns = list(names), list(names)
    if published.grain and keys:
        keys[0] = f"date_trunc('{published.grain}', {names[0]})"
        columns[0] = f"{keys[0]} AS {names[0]}"
    for measure in block.y:
        counted = _aggregate(measure, quote_if_needed(measure.column or ""))
        if measure == Measure("share"):
            counted = f"count(*) / sum(count(*)) OVER ({f'PARTITION BY {keys[0]}' if keys[1:] else ''})"
        columns.append(f"{counted} AS {quote_if_needed(str(measure))}")
    return (
        f"SELECT {', '.join(columns)}\nFROM {_rows(block)}\n"
        + (f"GROUP BY {', '.join(keys)}\n" if keys else "")
        + _having(published)
    )


def _aggregate(measure: Measure, column: str) -> str:
    if measure.name in PERCENTILES:
        return f"quantile_cont({column}, {PERCENTILES[measure.name]})"
    return {
        "count": "count(*)",
        "people": "count(DISTINCT user_id)",
        "per_person": "count(user_id) / count(DISTINCT user_id)",
        "share": f"avg({column}::INTEGER)",
        "sum": f"sum({column})",
        "mean": f"avg({column})",
        "gmean": f"exp(avg(ln({column})) FILTER ({column} > 0))",
    }[measure.name]


def _histogram(block: Block, published: Published) -> str:
    shown = quote_if_needed(block.x or "")
    return (
        f"-- {shown} in bins from the column from up to, not including, to\n"
        f"SELECT {shown}, count(*), count(DISTINCT user_id)\nFROM {_rows(block)}\nGROUP BY bin of {shown}\n"
        + _having(published)
    )


def _funnel(block: Block, published: Published) -> str:
    people = block.y[0].name == "people"
    conditions, lines = [], []
    for label, column in block.steps:
        name = quote_if_needed(column)
        conditions.append(f"bool_or({name})" if people else name)
        lines.append(f"  count(*) FILTER ({' AND '.join(f's{n}' for n in range(len(conditions)))}) AS {quote(label)}")
    inner = ", ".join(f"{one} AS s{number}" for number, one in enumerate(conditions))
    group = " WHERE user_id IS NOT NULL GROUP BY user_id" if people else ""
    return "SELECT\n" + ",\n".join(lines) + f"\nFROM (SELECT {inner} FROM {_rows(block)}{group})"


def _retention(block: Block, published: Published) -> str:
    time = f"date_trunc('{published.grain}', {quote_if_needed(block.x or '')})"
    return (
        "SELECT first_used, period, count(*) AS people\n"
        f"FROM (SELECT DISTINCT user_id, {time} AS period, min({time}) OVER (PARTITION BY user_id) AS first_used\n"
        f"      FROM {_rows(block)} WHERE user_id IS NOT NULL)\n"
        f"GROUP BY first_used, period\nHAVING count(*) >= {published.minimum_users}"
    )


def _scan(block: Block, published: Published) -> str:
    first, *others = [quote_if_needed(name) for name in (block.x, block.color, *block.more) if name]
    counted = "".join(
        f", {_aggregate(measure, quote_if_needed(measure.column or ''))} AS {quote_if_needed(str(measure))}"
        for measure in block.y
    )
    also = f"-- and the same by {', '.join(others)}\n" if others else ""
    return (
        f"-- each group beside all others: {published.compared} comparisons, by Benjamini and Hochberg\n{also}"
        f"SELECT {first}, count(DISTINCT user_id) AS people{counted}\nFROM {_rows(block)}\n"
        f"WHERE {first} IS NOT NULL\nGROUP BY {first}\n" + _having(published)
    )


SHAPES = {"histogram": _histogram, "funnel": _funnel, "retention": _retention, "scan": _scan}
