import pytest

from reports.expect import Expectation, fails, read
from reports.published import Column, Published

CELLS = Published(
    dimensions=(Column("shell", "text"),),
    measures=(Column("share", "share"), Column("p50(duration_ms)", "milliseconds"), Column("people", "number")),
    rows=(("fish", 0.25, 100.0, 40), ("zsh", 0.75, None, 12)),
    people=50,
)
EMPTY = Published(dimensions=(), measures=(Column("people", "number"),), rows=(), people=0, empty="no data")


@pytest.mark.parametrize(
    "line",
    [
        "rows > 0", "rows == 2", "rows=2", "people >= 50", "max(share) <= 1", "max(share) <= 75 %", "min(share) < 26%",
        "sum(share) = 1", "mean( share ) == 0.5", "max(p50( duration_ms )) < 1_000.5", "min(people) != +13",
        "MAX(Share) > -1",
    ],
)  # fmt: skip
def test_what_holds_is_silent(line: str) -> None:
    assert fails(read(line), CELLS) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rows > 2", 'expected "rows > 2", got 2; mend the query, or the expectation'),
        ("max(share) <= 50 %", 'expected "max(share) <= 50 %", got 0.75; mend the query, or the expectation'),
        ("sum(people) < 50", 'expected "sum(people) < 50", got 52; mend the query, or the expectation'),
    ],
)
def test_what_does_not_hold_is_said_with_what_is(line: str, message: str) -> None:
    assert fails(read(line), CELLS) == message


def test_where_nothing_is_published_only_rows_can_be_asked_for() -> None:
    assert fails(read("max(people) < 0"), EMPTY) is None
    assert fails(read("rows > 0"), EMPTY) == 'expected "rows > 0", got 0; mend the query, or the expectation'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max(shar) < 1", 'column "shar" is not published here; did you mean "share"?'),
        ("max(zzz) < 1", r'"zzz" is not published here; there are shell, share, p50\(duration_ms\), people'),
        ("max(shell) < 1", 'column "shell" is not a number'),
    ],
)
def test_a_column_that_cannot_be_compared_is_named(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fails(read(line), CELLS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("row > 0", 'did you mean "rows"'),
        ("maximum(share) < 1", 'did you mean "max"'),
        ("rows > rows", "is not a comparison with a number"),
        ("rows > 0; DROP", "is not a comparison"),
        ("__import__('os')", "is not a comparison"),
        ("rows >", "is not a comparison"),
        ("max(share) <= 50 percent", r"write it as `rows > 0`, `max\(share\) <= 50 %` or"),
        ("share < 1", "known are rows, people, min"),
        ("", "is not a comparison"),
    ],
)
def test_only_comparisons_with_numbers_can_be_written(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(line)


def test_a_line_is_read_once() -> None:
    assert read(" min( p50(a) ) >= 1_000 ") == Expectation("min( p50(a) ) >= 1_000", "min", "p50(a)", ">=", 1000)
