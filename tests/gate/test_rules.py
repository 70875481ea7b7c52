"""The rule for single numbers, and what mkdocs.yml may say of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.gate.rules import Rules, read

PUBLIC = Rules()


@given(exact=st.integers(0, 10**7), half=st.integers(5, 50))
def test_as_many_numbers_stand_behind_each_that_is_shown(exact: int, half: int) -> None:
    rules = Rules(2 * half)
    shown = rules.number(exact)
    assert shown % half == 0
    assert abs(shown - exact) <= half / 2
    assert [rules.number(shown + n) for n in (-(half // 2), (half - 1) // 2)] == [shown] * 2


@pytest.mark.parametrize(
    ("exact", "shown"), [(0, 0), (2, 0), (3, 5), (7, 5), (8, 10), (12, 10), (13, 15), (1_000, 1_000)]
)
def test_numbers_are_rounded_to_five(exact: int, shown: int) -> None:
    assert PUBLIC.number(exact) == shown


@pytest.mark.parametrize(
    ("people", "rows", "shown"), [(10, 10, True), (9, 9_000, False), (0, 99, False), (0, 100, True), (0, 0, False)]
)
def test_a_cell_needs_ten_people_or_a_hundred_runs_of_nobody(people: int, rows: int, shown: bool) -> None:
    assert PUBLIC.shows(people, rows) == shown
    assert (PUBLIC.told(people, rows) is not None) == shown


@given(part=st.integers(0, 1_000), more=st.integers(0, 1_000))
def test_a_share_tells_no_more_than_the_rounded_numbers(part: int, more: int) -> None:
    whole = part + more
    share = PUBLIC.share(part, whole)
    assert share == PUBLIC.share(PUBLIC.number(part), PUBLIC.number(whole))
    if share is None:
        assert PUBLIC.number(whole) < 25
    else:
        assert 0 <= share <= 1
        # What is true lies within what the share says of its rounding.
        assert abs(share - part / whole) <= (1 + share) * share.rounding + 1e-9
        assert share or part / whole < share.rounding + 1e-9


@given(exact=st.floats(1e-6, 1e9), people=st.integers(10, 500))
def test_a_value_has_two_digits_and_three_of_a_hundred_people(exact: float, people: int) -> None:
    shown = PUBLIC.value(exact, people)
    assert shown is not None
    digits = 3 if PUBLIC.number(people) >= 100 else 2
    assert shown == float(f"{shown:.{digits - 1}e}")
    assert abs(shown - exact) <= PUBLIC.unit(exact, people) / 2 * (1 + 1e-9)
    assert PUBLIC.value(-exact, people) == pytest.approx(-shown, abs=PUBLIC.unit(exact, people) * 1.01)


def test_what_json_does_not_have_is_nothing() -> None:
    assert [PUBLIC.value(one, 50) for one in (math.inf, -math.inf, math.nan, None, 0.0)] == [None] * 4 + [0.0]


def test_without_rounding_numbers_are_exact_and_the_least_number_stays() -> None:
    rules = read({"protect": "threshold"})
    assert (rules.number(13), rules.share(1, 3), rules.value(1.2345, 50)) == (13, 1 / 3, 1.2345)
    assert not rules.shows(9, 9)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"minimum_users": 8}, "minimum_users: must be an even number from 10 up, got 8"),
        ({"minimum_users": 11}, "minimum_users: must be an even number from 10 up, got 11"),
        ({"minimum_users": True}, "minimum_users: must be"),
        ({"protect": "rounding"}, "protect: must be threshold, or absent, got 'rounding'"),
        ({"rounded": True}, "rounded: all numbers are rounded now; remove it"),
        ({"closed": "week"}, "closed: numbers are rounded"),
    ],
)
def test_a_setting_that_cannot_be_or_is_no_more_is_named_with_what_to_write(
    settings: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named.replace("'", ".")):
        read(settings)


def test_all_faults_of_the_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"rounded: .*; closed: .*; minimum_users: "):
        read({"rounded": False, "closed": "day", "minimum_users": 3})


def test_settings_that_are_sound_are_taken() -> None:
    assert read({}) == read({"minimum_users": None, "rounded": None}) == PUBLIC
    assert read({"minimum_users": 20}).step == 10
