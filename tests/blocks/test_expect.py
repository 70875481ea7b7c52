import pytest

from reports.blocks.expect import Expectation, fails, read
from reports.blocks.published import Column, Published
from tests.messages import guess, mentions, numbers

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
    ("line", "value"),
    [("rows > 2", "2"), ("max(share) <= 50 %", "0.75"), ("sum(people) < 50", "52")],
)
def test_what_does_not_hold_is_said_with_what_is(line: str, value: str) -> None:
    before, _, after = str(fails(read(line), CELLS)).partition(f'"{line}"')
    assert (numbers(before), numbers(after)) == ([], [value])


def test_where_nothing_is_published_only_rows_can_be_asked_for() -> None:
    assert fails(read("max(people) < 0"), EMPTY) is None
    assert numbers(str(fails(read("rows > 0"), EMPTY)).replace("rows > 0", "")) == ["0"]


@pytest.mark.parametrize(
    ("line", "named", "near"),
    [
        ("max(shar) < 1", ("shar",), "share"),
        ("max(zzz) < 1", ("zzz", "shell", "share", "p50(duration_ms)", "people"), None),
        ("max(shell) < 1", ("shell",), None),
    ],
)
def test_a_column_that_cannot_be_compared_is_named(line: str, named: tuple[str, ...], near: str | None) -> None:
    with pytest.raises(ValueError) as raised:
        fails(read(line), CELLS)
    assert mentions(str(raised.value), *named)
    assert guess(str(raised.value)) == near


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("row > 0", ("rows",)),
        ("maximum(share) < 1", ("max",)),
        ("rows > rows", ()),
        ("rows > 0; DROP", ()),
        ("__import__('os')", ()),
        ("rows >", ()),
        ("max(share) <= 50 percent", ("rows > 0", "max(share) <= 50 %")),
        ("share < 1", ("rows", "people", "min(c)")),
        ("", ()),
    ],
)
def test_only_comparisons_with_numbers_can_be_written(line: str, named: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as raised:
        read(line)
    said = str(raised.value)
    assert said.startswith(f'"{line}"')
    assert mentions(said, *named)


def test_a_line_is_read_once() -> None:
    assert read(" min( p50(a) ) >= 1_000 ") == Expectation("min( p50(a) ) >= 1_000", "min", "p50(a)", ">=", 1000)
