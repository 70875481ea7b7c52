"""Histogram, funnel, retention, bands, cards over time and intervals, each counted again by hand."""

import math
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import fmean, quantiles
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports import bins
from reports.block import parse
from reports.cells import statement
from reports.publish import publish
from reports.published import Published
from reports.sandbox import QueryError
from tests.attack import examples
from tests.test_publish import MONDAY, NOW, ask, connection, fill, people

__all__ = ["connection"]

Row = dict[str, Any]
HISTOGRAM = "type: histogram\ndata: sessions\nx: duration_ms"
RETENTION = "type: retention\ndata: sessions\nx: start_time\ngrain: month"


def columns(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE VIEW steps AS SELECT user_id, exit_code >= 1 AS a, exit_code >= 2 AS b, failed AS c FROM sessions"
    )


FUNNEL = "type: funnel\ndata: steps\nsteps:\n  Installed: a\n  Ran: b\n  Kept it: c"


def in_bin(row: tuple[Any, ...], value: float) -> bool:
    return (row[0] is None or value >= row[0]) and (row[1] is None or value < row[1])


def test_a_histogram_counts_every_value_once_in_bins_of_enough_people(connection: duckdb.DuckDBPyConnection) -> None:
    random = Random(1)
    values = [random.lognormvariate(8, 1.5) for _ in range(2_000)]
    fill(connection, [{"user_id": number % 400, "duration_ms": value} for number, value in enumerate(values)])
    shown = ask(connection, HISTOGRAM)
    assert shown.logarithmic
    assert [column.name for column in shown.columns] == ["from", "to", "count"]
    assert sum(row[2] for row in shown.rows) == 2_000  # type: ignore[misc]
    for row in shown.rows:
        inside = [number % 400 for number, value in enumerate(values) if in_bin(row, value)]
        assert row[2] == len(inside)
        assert len(set(inside)) >= 10
    assert shown.rows[0][0] is None
    assert shown.rows[-1][1] is None
    # Its ends are round and say nothing of the smallest and largest value.
    assert not {min(values), max(values)} & {end for row in shown.rows for end in row[:2]}
    marks = dict(shown.marks)
    cuts = quantiles(values, n=20, method="inclusive")
    assert (marks["p50"], marks["p95"]) == (pytest.approx(cuts[9]), pytest.approx(cuts[18]))


def test_bins_whose_edges_look_alike_when_rounded_keep_their_own_counts(connection: duckdb.DuckDBPyConnection) -> None:
    values = [7.5 + (number % 20) * 0.00005 for number in range(400)]
    fill(connection, [{"user_id": number, "duration_ms": value} for number, value in enumerate(values)])
    shown = ask(connection, HISTOGRAM)
    begins = [row[0] for row in shown.rows[1:]]
    assert len(set(begins)) == len(begins) > 5
    assert sum(row[2] for row in shown.rows) == 400  # type: ignore[misc]
    for row in shown.rows:
        assert row[2] == sum(in_bin(row, value) for value in values)


def test_whole_numbers_have_whole_bins(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [{"user_id": n, "exit_code": n % 5} for n in range(200)])
    shown = ask(connection, "type: histogram\ndata: sessions\nx: exit_code\ny: people")
    assert shown.rows == ((None, 1.0, 40), (1.0, 2.0, 40), (2.0, 3.0, 40), (3.0, 4.0, 40), (4.0, None, 40))


def test_few_people_have_few_bins_and_none_have_none(connection: duckdb.DuckDBPyConnection) -> None:
    assert ask(connection, HISTOGRAM).empty == "no data"
    fill(connection, [{"user_id": n, "duration_ms": float(n)} for n in range(9)])
    assert ask(connection, HISTOGRAM).empty == "too few people"
    fill(connection, [{"user_id": n, "duration_ms": float(n)} for n in range(9, 40)])
    shown = ask(connection, HISTOGRAM)
    assert 2 <= len(shown.rows) <= 4
    assert sum(row[2] for row in shown.rows) == 40  # type: ignore[misc]
    assert [name for name, _ in shown.marks] == ["p50"]


def test_a_histogram_of_text_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match='a histogram needs a number on x, "shell" is VARCHAR'):
        ask(connection, "type: histogram\ndata: sessions\nx: shell")


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8]),
            st.sampled_from([None, 0.0, -5.0, 0.5, 1.0, 7.5, 7.6, 40.0, 2_000.0, 1e9, math.inf, -math.inf, math.nan]),
        ),
        max_size=60,
    ),
    minimum=st.integers(2, 4),
)
def test_no_bin_can_be_worked_out(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], minimum: int
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [{"user_id": user, "duration_ms": value} for user, value in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, parse(HISTOGRAM), unit="runs", minimum_users=minimum, now=NOW)
    taken: set[int] = set()
    for row in shown.rows:
        inside = [
            one for one in rows if one["duration_ms"] is not None and not math.isnan(one["duration_ms"])
            and in_bin(row, one["duration_ms"])
        ]  # fmt: skip
        assert len(inside) == row[2]
        assert len({one["user_id"] for one in inside} - {None}) >= minimum
        taken |= {id(one) for one in inside}
    left = [one for one in rows if id(one) not in taken]
    if shown.rows:
        assert not left or len({one["user_id"] for one in left} - {None}) >= minimum


@pytest.mark.parametrize(
    ("low", "high", "whole", "time", "logarithmic"),
    [(0, 10, False, False, False), (1, 1_000, False, False, True), (1, 1_000, True, False, True),
     (5, 5, False, False, False), (0, 90_000, False, True, False), (-3, 4, True, False, False),
     (0.001, 0.002, False, False, False), (0, 0, True, False, False)],
)  # fmt: skip
def test_edges_are_even_and_hold_all(low: float, high: float, whole: bool, time: bool, logarithmic: bool) -> None:
    found, scale = bins.edges(low, low + (high - low) / 10, high, 12, whole=whole, time=time)
    assert scale == logarithmic
    assert found[0] <= low
    assert found[-1] > low
    assert 2 <= len(found) <= 40
    steps = [math.log(b / a) if scale else b - a for a, b in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    if whole:
        assert all(edge == int(edge) for edge in found)


def test_what_is_spread_evenly_is_not_drawn_as_if_it_were_skewed() -> None:
    assert bins.edges(0.5, 50, 99, 12, whole=False, time=False) == (tuple(float(10 * n) for n in range(11)), False)


def test_a_funnel_counts_who_took_all_steps_so_far(connection: duckdb.DuckDBPyConnection) -> None:
    columns(connection)
    # 100 people installed, 60 ran it, 25 kept it; 12 kept it without ever running it, and count for nothing.
    fill(connection, people(1, 100, exit_code=1) + people(1, 60, exit_code=2) + people(1, 25, failed=True))
    fill(connection, people(70, 81, failed=True))
    shown = ask(connection, FUNNEL)
    assert shown.rows == (("Installed", 100, 1.0, 1.0), ("Ran", 60, 0.6, 0.6), ("Kept it", 25, 0.25, 25 / 60))
    assert (shown.people, shown.withheld) == (100, 0)
    found = connection.execute(statement(parse(FUNNEL), shown)).fetchall()
    assert found == [(100, 60, 25)]


def test_a_funnel_of_runs_counts_rows(connection: duckdb.DuckDBPyConnection) -> None:
    columns(connection)
    fill(connection, people(1, 20, exit_code=1, failed=False) * 2 + people(1, 20, exit_code=2, failed=True))
    fill(connection, people(1, 20, exit_code=0, failed=True))
    assert [row[:2] for row in ask(connection, f"{FUNNEL}\ny: count").rows] == [
        ("Installed", 60), ("Ran", 20), ("Kept it", 20),
    ]  # fmt: skip


@pytest.mark.parametrize(("ran", "kept", "steps"), [
    (60, 9, ["Installed", "Ran"]), (95, 50, ["Installed", "Kept it"]), (100, 91, ["Installed", "Ran"]),
    (5, 5, ["Installed"]),
])  # fmt: skip
def test_a_step_that_few_took_or_few_did_not_is_held_back(
    connection: duckdb.DuckDBPyConnection, ran: int, kept: int, steps: list[str]
) -> None:
    columns(connection)
    fill(connection, people(1, 100, exit_code=1) + people(1, ran, exit_code=2) + people(1, kept, failed=True))
    shown = ask(connection, FUNNEL)
    assert [row[0] for row in shown.rows] == steps
    assert shown.withheld == 3 - len(steps)


def test_a_funnel_without_people_says_why(connection: duckdb.DuckDBPyConnection) -> None:
    columns(connection)
    assert ask(connection, FUNNEL).empty == "no data"
    fill(connection, people(1, 9, exit_code=2, failed=True))
    assert ask(connection, FUNNEL).empty == "too few people"
    with pytest.raises(QueryError, match='steps: "B" needs a true or false column, "user_id" is UBIGINT') as raised:
        ask(connection, "type: funnel\ndata: steps\nsteps:\n  A: a\n  B: user_id")
    assert raised.value.option == "steps"


def test_retention_counts_who_came_back_in_which_month(connection: duckdb.DuckDBPyConnection) -> None:
    january, february = datetime(2026, 1, 5), datetime(2026, 2, 5)
    fill(connection, people(1, 40, start_time=january) * 2 + people(1, 15, start_time=february))
    fill(connection, people(50, 79, start_time=february) + people(1, 99, start_time=datetime(2026, 3, 2)))
    shown = ask(connection, RETENTION)
    one, two = datetime(2026, 1, 1), datetime(2026, 2, 1)
    assert shown.rows == ((one, 0, 40, 1.0, 40), (one, 1, 15, 0.375, 40), (two, 0, 30, 1.0, 30))
    assert (shown.people, shown.withheld) == (70, 0)


def test_a_small_cohort_and_one_that_would_give_it_away_are_held_back(connection: duckdb.DuckDBPyConnection) -> None:
    for month, number in ((11, 30), (12, 5), (10, 40)):
        fill(connection, people(month * 100, month * 100 + number - 1, start_time=datetime(2025, month, 5)))
    shown = ask(connection, RETENTION)
    assert [row[0] for row in shown.rows] == [datetime(2025, 10, 1)]
    assert shown.withheld == 2


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8]), st.integers(1, 6)), max_size=50),
    minimum=st.integers(2, 4),
)
def test_nobody_can_be_found_in_a_cohort(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], minimum: int
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [{"user_id": user, "start_time": datetime(2025, month, 3)} for user, month in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, parse(RETENTION), unit="runs", minimum_users=minimum, now=NOW)
    seen: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        if row["user_id"] is not None:
            seen[row["user_id"]].add(row["start_time"].month)
    told: dict[int, set[int]] = defaultdict(set)
    for began, since, number, share, size in shown.rows:
        cohort = {user for user, months in seen.items() if min(months) == began.month}  # type: ignore[union-attr]
        assert len(cohort) == size >= minimum
        back = {user for user in cohort if began.month + since in seen[user]}  # type: ignore[union-attr, operator]
        if number is not None:
            assert (number, share) == (len(back), len(back) / len(cohort))
            assert len(back) >= minimum
            assert not 0 < len(cohort) - len(back) < minimum
            told[began.month + since] |= back  # type: ignore[union-attr, operator]
    # The people of a month, which another chart shows, less those who are shown here.
    for month, known in told.items():
        left = {user for user, months in seen.items() if month in months} - known
        assert not left or len(left) >= minimum


def test_a_band_needs_enough_people_beyond_its_edges(connection: duckdb.DuckDBPyConnection) -> None:
    week = MONDAY - timedelta(weeks=1)
    text = "type: band\ndata: sessions\nx: start_time\ny: p50(duration_ms)\ngrain: week"
    fill(connection, [{"user_id": n, "duration_ms": float(n), "start_time": week} for n in range(1, 20)])
    assert ask(connection, text).rows[0][1:] == (None, 10.0, None)
    fill(connection, [{"user_id": 20, "duration_ms": 20.0, "start_time": week}])
    assert ask(connection, text).rows[0][1:] == (5.75, 10.5, 15.25)


def test_a_card_over_time_has_its_periods(connection: duckdb.DuckDBPyConnection) -> None:
    for week in (1, 2, 3):
        fill(connection, people(1, 10 + week, start_time=MONDAY - timedelta(weeks=week)))
    fill(connection, people(1, 30, start_time=MONDAY))
    shown = ask(connection, "type: number\ndata: sessions\nx: start_time\ny: people\ngrain: week")
    assert [row[1] for row in shown.rows] == [13, 12, 11]
    with pytest.raises(QueryError, match='a number has a time on x, "shell" is not one'):
        ask(connection, "type: number\ndata: sessions\nx: shell\ny: people")


def test_an_interval_widens_where_runs_of_one_person_are_alike(connection: duckdb.DuckDBPyConnection) -> None:
    text = "type: number\ndata: sessions\ny: share(failed)\ninterval: true"
    fill(connection, [{"user_id": n, "failed": n % 2 == 0} for n in range(200)])
    alone = ask(connection, text)
    assert [column.name for column in alone.columns] == ["share(failed)", "share(failed) from", "share(failed) to"]
    # Wilson's interval of 100 of 200.
    assert alone.rows[0] == (0.5, pytest.approx(0.4314, abs=1e-3), pytest.approx(0.5686, abs=1e-3))
    # Ten equal runs of each are not ten times as much known.
    fill(connection, [{"user_id": n, "failed": n % 2 == 0} for n in range(200) for _ in range(9)])
    again = ask(connection, text)
    assert again.rows[0][1:] == (pytest.approx(alone.rows[0][1]), pytest.approx(alone.rows[0][2]))


def test_an_interval_of_a_mean_is_that_of_the_people(connection: duckdb.DuckDBPyConnection) -> None:
    values = [float(n % 7) for n in range(50)]
    fill(connection, [{"user_id": n, "duration_ms": value} for n, value in enumerate(values)])
    shown: Published = ask(connection, "type: number\ndata: sessions\ny: mean(duration_ms)\ninterval: true")
    mean = fmean(values)
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / 49 / 50)
    assert shown.rows[0] == pytest.approx((mean, mean - 1.96 * error, mean + 1.96 * error), rel=1e-3)


@pytest.mark.parametrize(("failing", "told"), [(0, True), (3, False), (10, True), (37, False), (40, True)])
def test_a_share_gives_nobody_away(connection: duckdb.DuckDBPyConnection, failing: int, told: bool) -> None:
    # As count times share is the runs that fail, the few who met them would be a cell.
    fill(connection, [{"user_id": n, "failed": n < failing} for n in range(40)])
    shown = ask(connection, "type: number\ndata: sessions\ny: share(failed)")
    assert (shown.rows[0][0] is not None) == told


def test_a_table_groups_by_three_columns(connection: duckdb.DuckDBPyConnection) -> None:
    fill(
        connection,
        people(1, 20, shell="fish", version="1.0", failed=True)
        + people(1, 15, shell="fish", version="1.1", failed=False),
    )
    shown = ask(connection, "type: table\ndata: sessions\nx: [shell, version, failed]\ny: [people, count]")
    assert shown.rows == (("fish", "1.0", "yes", 20, 20), ("fish", "1.1", "no", 15, 15))


def test_a_heat_map_bins_a_number_of_many_values(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [{"user_id": n, "duration_ms": float(n % 100), "shell": "fish"} for n in range(1_000)])
    shown = ask(connection, "type: heatmap\ndata: sessions\nx: duration_ms\nrows: shell\ny: count")
    assert [row[0] for row in shown.rows][:2] == ["0 ms to 10 ms", "10 ms to 20 ms"]
    assert sum(row[2] for row in shown.rows) == 1_000  # type: ignore[misc]


def test_weekdays_are_in_the_order_of_the_week(connection: duckdb.DuckDBPyConnection) -> None:
    for number, day in enumerate(("Sunday", "Tuesday", "Monday")):
        fill(connection, people(1, 20 - number, shell=day))
    shown = ask(connection, "type: bar\ndata: sessions\nx: shell\ny: people")
    assert [row[0] for row in shown.rows] == ["Monday", "Tuesday", "Sunday"]
