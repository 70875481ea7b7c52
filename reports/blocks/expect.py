"""`expect:` lines of a block: conditions on its published cells. The build stops if one fails.

    rows > 0        max(share) <= 100 %        mean(p50(duration_ms)) < 20_000

On the left `rows`, `people`, or the `min`, `max`, `sum` or `mean` of a column; on the right a number. It uses only
numbers that passed the gate, so a message tells no more than the page.
"""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.blocks.published import Published

__all__ = ["Expectation", "fails", "read"]

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
OF: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min, "max": max, "sum": sum, "mean": lambda values: sum(values) / len(values),
}  # fmt: skip
PLAIN = ("rows", "people")
LINE = re.compile(
    r"(?P<left>[A-Za-z_]\w*)\s*(?:\(\s*(?P<column>[A-Za-z_]\w*(?:\(\s*\w+\s*\))?)\s*\))?\s*"
    r"(?P<sign><=|>=|==|!=|<|>|=)\s*(?P<number>[+-]?\d[\d_]*(?:\.\d+)?)\s*(?P<percent>%?)"
)
SHOULD = "write it as `rows > 0`, `max(share) <= 50 %` or `mean(p50(duration_ms)) < 2_000`"


@dataclass(frozen=True)
class Expectation:
    """One parsed line. `left` is rows, people, or the aggregate of `column`."""

    text: str
    left: str
    column: str | None
    sign: str
    number: float


def read(text: str) -> Expectation:
    """Reads a line. Raises ValueError with what is wrong."""
    found = LINE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{text:.60}" is not a comparison with a number; {SHOULD}')
    left, column = found["left"].lower(), found["column"]
    known = PLAIN if column is None else tuple(OF)
    if left not in known:
        near = difflib.get_close_matches(left, known, 1)
        wanted = (
            f'did you mean "{near[0]}"?' if near else f"known are rows, people, {', '.join(f'{of}(c)' for of in OF)}"
        )
        raise ValueError(f'"{text:.60}" does not begin with a number of the block; {wanted}')
    number = float(found["number"].replace("_", "")) / (100 if found["percent"] else 1)
    return Expectation(text.strip(), left, column and re.sub(r"\s", "", column), found["sign"], number)


def fails(expected: Expectation, published: Published) -> str | None:
    """The failure, None if the condition holds. Any condition on a column without values holds, so add `rows > 0`.

    Raises ValueError if the block publishes no such column of numbers.
    """
    if expected.column is None:
        value: float = len(published.whole) if expected.left == "rows" else published.people or 0
    else:
        values = _values(expected.column, published)
        if not values:
            return None
        value = OF[expected.left](values)
    if COMPARE[expected.sign](value, expected.number):
        return None
    return f'expected "{expected.text}", got {value:.6g}; fix the query, or the expectation'


def _values(name: str, published: Published) -> list[float]:
    for number, column in enumerate(published.columns):
        if column.name.lower().replace(" ", "") == name.lower():
            values = [row[number] for row in published.whole]
            numbers = [float(value) for value in values if isinstance(value, int | float)]
            if any(value is not None for value in values) and not numbers:
                raise ValueError(f'column "{name}" is not a number; compare a measure')
            return numbers
    names = [column.name for column in published.columns]
    near = difflib.get_close_matches(name, names, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}"
    raise ValueError(f'column "{name}" is not published here; {hint}')
