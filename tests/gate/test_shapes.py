"""Histogram, funnel, retention, bands, cards over time and intervals, each counted again by hand."""

import math
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import fmean, quantiles
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.blocks.block import parse
from reports.gate import bins
from reports.gate.publish import publish
from reports.gate.statement import statement
from reports.query.sandbox import QueryError
from tests.attack import examples
from tests.gate.test_publish import MONDAY, NOW, PUBLIC, THRESHOLD, ask, connection, fill, people, rounded

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
    exact, shown = ask(connection, HISTOGRAM, THRESHOLD), ask(connection, HISTOGRAM)
    assert shown.logarithmic
    assert [column.name for column in shown.columns] == ["from", "to", "count"]
    assert sum(row[2] for row in exact.rows) == 2_000  # type: ignore[misc]
    for row, public in zip(exact.rows, shown.rows, strict=True):
        inside = [number % 400 for number, value in enumerate(values) if in_bin(row, value)]
        assert public == (*row[:2], rounded(len(inside)))
        assert row[2] == len(inside)
        assert len(set(inside)) >= 10
    assert shown.rows[0][0] is None
    assert shown.rows[-1][1] is None
    # Its ends are round and say nothing of the smallest and largest value.
    assert not {min(values), max(values)} & {end for row in shown.rows for end in row[:2]}
    cuts = quantiles(values, n=20, method="inclusive")
    assert dict(exact.marks) == {"p50": pytest.approx(cuts[9]), "p95": pytest.approx(cuts[18])}
    assert dict(shown.marks) == {"p50": float(f"{cuts[9]:.3g}"), "p95": float(f"{cuts[18]:.3g}")}


def test_bins_whose_edges_look_alike_when_rounded_keep_their_own_counts(connection: duckdb.DuckDBPyConnection) -> None:
    values = [7.5 + (number % 20) * 0.00005 for number in range(400)]
    fill(connection, [{"user_id": number, "duration_ms": value} for number, value in enumerate(values)])
    shown = ask(connection, HISTOGRAM, THRESHOLD)
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
    assert ask(connection, HISTOGRAM).empty == "too few people"
    fill(connection, [{"user_id": n, "duration_ms": float(n)} for n in range(9)])
    assert ask(connection, HISTOGRAM).empty == "too few people"
    fill(connection, [{"user_id": n, "duration_ms": float(n)} for n in range(9, 40)])
    shown = ask(connection, HISTOGRAM)
    assert 2 <= len(shown.rows) <= 4
    assert sum(row[2] for row in shown.rows) == 40  # type: ignore[misc]
    assert [name for name, _ in shown.marks] == ["p50"]


def test_a_histogram_of_text_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match=r'histogram.*x.*"shell" is VARCHAR'):
        ask(connection, "type: histogram\ndata: sessions\nx: shell")


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(1, 30)),
            st.sampled_from([None, 0.0, -5.0, 0.5, 1.0, 7.5, 7.6, 40.0, 2_000.0, 1e9, math.inf, -math.inf, math.nan]),
        ),
        max_size=120,
    )
)
def test_every_bin_has_ten_people_and_a_rounded_number(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]]
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [{"user_id": user, "duration_ms": value} for user, value in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, parse(HISTOGRAM), unit="runs", rules=PUBLIC, now=NOW)
    for row in shown.rows:
        inside = [
            one for one in rows if one["duration_ms"] is not None and not math.isnan(one["duration_ms"])
            and in_bin(row, one["duration_ms"])
        ]  # fmt: skip
        assert row[2] == rounded(len(inside))
        assert len({one["user_id"] for one in inside} - {None}) >= 10


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
    # 102 people installed, 58 ran it, 25 kept it; 12 kept it without ever running it, and count for nothing.
    fill(connection, people(1, 102, exit_code=1) + people(1, 58, exit_code=2) + people(1, 25, failed=True))
    fill(connection, people(70, 81, failed=True))
    shown = ask(connection, FUNNEL)
    assert shown.rows == (("Installed", 100, 1.0, 1.0), ("Ran", 60, 0.6, 0.6), ("Kept it", 25, 0.25, 25 / 60))
    assert shown.people == 100
    exact = ask(connection, FUNNEL, THRESHOLD)
    found = connection.execute(statement(parse(FUNNEL), exact)).fetchall()
    assert found == [tuple(row[1] for row in exact.rows)] == [(102, 58, 25)]


def test_a_funnel_of_runs_counts_rows(connection: duckdb.DuckDBPyConnection) -> None:
    columns(connection)
    fill(connection, people(1, 20, exit_code=1, failed=False) * 2 + people(1, 20, exit_code=2, failed=True))
    fill(connection, people(1, 20, exit_code=0, failed=True))
    assert [row[:2] for row in ask(connection, f"{FUNNEL}\ny: count").rows] == [
        ("Installed", 60), ("Ran", 20), ("Kept it", 20),
    ]  # fmt: skip


@pytest.mark.parametrize(("ran", "kept", "steps"), [
    (60, 9, ["Installed", "Ran"]), (95, 50, ["Installed", "Ran", "Kept it"]), (5, 5, ["Installed"]),
])  # fmt: skip
def test_a_step_that_fewer_than_ten_took_is_not_shown(
    connection: duckdb.DuckDBPyConnection, ran: int, kept: int, steps: list[str]
) -> None:
    columns(connection)
    fill(connection, people(1, 100, exit_code=1) + people(1, ran, exit_code=2) + people(1, kept, failed=True))
    assert [row[0] for row in ask(connection, FUNNEL).rows] == steps


def test_a_funnel_without_people_says_why(connection: duckdb.DuckDBPyConnection) -> None:
    columns(connection)
    assert ask(connection, FUNNEL).empty == "too few people"
    fill(connection, people(1, 9, exit_code=2, failed=True))
    assert ask(connection, FUNNEL).empty == "too few people"
    with pytest.raises(QueryError, match=r'"B".*"user_id" is UBIGINT') as raised:
        ask(connection, "type: funnel\ndata: steps\nsteps:\n  A: a\n  B: user_id")
    assert raised.value.option == "steps"


def test_retention_counts_who_came_back_in_which_month(connection: duckdb.DuckDBPyConnection) -> None:
    january, february = datetime(2026, 1, 5), datetime(2026, 2, 5)
    fill(connection, people(1, 41, start_time=january) * 2 + people(1, 14, start_time=february))
    fill(connection, people(50, 79, start_time=february) + people(1, 99, start_time=datetime(2026, 3, 2)))
    shown = ask(connection, RETENTION)
    one, two = datetime(2026, 1, 1), datetime(2026, 2, 1)
    # March is not over.
    assert shown.rows == ((one, 0, 40, 1.0, 40), (one, 1, 15, 0.375, 40), (two, 0, 30, 1.0, 30))
    assert shown.people == 100


def test_the_trend_of_a_table_is_protected_as_a_chart_of_its_own(connection: duckdb.DuckDBPyConnection) -> None:
    weeks = [MONDAY - timedelta(weeks=number) for number in (3, 2, 1)]
    for size, week in zip((40, 22, 9), weeks, strict=True):
        fill(connection, people(1, size, shell="fish", failed=True, start_time=week))
        fill(connection, people(101, 130, shell="zsh", failed=False, start_time=week))
    table = "type: table\ndata: sessions\nx: shell\ny: people\n"
    line = ask(connection, "type: line\ndata: sessions\nx: start_time\ncolor: shell\ny: people\ngrain: week")
    shown = ask(connection, f"{table}trend: start_time\ngrain: week\nfilter: failed")
    assert shown.trend is not None
    assert shown.trend.rows == line.rows
    # Nine people are not shown.
    assert [row[2] for row in shown.trend.rows if row[1] == "fish"] == [40, 20]
    assert shown.rows == ask(connection, table).rows
    (by_failure,) = shown.filters
    for _, one in by_failure.series:
        assert one.trend is not None
        assert {row[1] for row in one.trend.rows} == {row[0] for row in one.rows}
    with pytest.raises(QueryError) as raised:
        ask(connection, f"{table}trend: failed")
    assert raised.value.option == "trend"


def test_a_small_cohort_is_not_shown_and_few_who_came_back_are_as_nobody(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for month, number in ((10, 40), (11, 9), (12, 30)):
        fill(connection, people(month * 100, month * 100 + number - 1, start_time=datetime(2025, month, 5)))
    fill(connection, people(1_000, 1_008, start_time=datetime(2025, 12, 6)))
    shown = ask(connection, RETENTION)
    assert {row[0] for row in shown.rows} == {datetime(2025, 10, 1), datetime(2025, 12, 1)}
    # Nine of October came back in December, and nobody in the other months.
    assert [row[1:4] for row in shown.rows if row[0] == datetime(2025, 10, 1)] == [
        (0, 40, 1.0), *((month, None, None) for month in range(1, 5)),
    ]  # fmt: skip


def test_a_band_needs_enough_people_beyond_its_edges(connection: duckdb.DuckDBPyConnection) -> None:
    week = MONDAY - timedelta(weeks=1)
    text = "type: band\ndata: sessions\nx: start_time\ny: p50(duration_ms)\ngrain: week"
    fill(connection, [{"user_id": n, "duration_ms": float(n), "start_time": week} for n in range(1, 36)])
    assert ask(connection, text).rows[0][1:] == (None, 18.0, None)
    fill(connection, [{"user_id": n, "duration_ms": float(n), "start_time": week} for n in range(36, 41)])
    assert ask(connection, text).rows[0][1:] == (11.0, 21.0, 30.0)


def test_a_card_over_time_has_its_periods(connection: duckdb.DuckDBPyConnection) -> None:
    for week in (1, 2, 3):
        fill(connection, people(1, 10 + week, start_time=MONDAY - timedelta(weeks=week)))
    fill(connection, people(1, 30, start_time=MONDAY))
    shown = ask(connection, "type: number\ndata: sessions\nx: start_time\ny: people\ngrain: week")
    assert [row[1] for row in shown.rows] == [15, 10, 10]
    with pytest.raises(QueryError, match=r'x.*"shell"'):
        ask(connection, "type: number\ndata: sessions\nx: shell\ny: people")


def test_an_interval_widens_where_runs_of_one_person_are_alike(connection: duckdb.DuckDBPyConnection) -> None:
    text = "type: number\ndata: sessions\ny: share(failed)\ninterval: true"
    fill(connection, [{"user_id": n, "failed": n % 2 == 0} for n in range(200)])
    alone = ask(connection, text, THRESHOLD)
    assert [column.name for column in alone.columns] == ["share(failed)", "share(failed) from", "share(failed) to"]
    # Wilson's interval of 100 of 200.
    assert alone.rows[0] == (0.5, pytest.approx(0.4314, abs=1e-3), pytest.approx(0.5686, abs=1e-3))
    # In public it contains what the rounding of 100 and 200 may have moved.
    _, low, high = ask(connection, text).rows[0]
    assert (low, high) == (pytest.approx(0.4314 - 0.01875, abs=2e-3), pytest.approx(0.5686 + 0.01875, abs=2e-3))
    # Ten equal runs of each are not ten times as much known.
    fill(connection, [{"user_id": n, "failed": n % 2 == 0} for n in range(200) for _ in range(9)])
    again = ask(connection, text, THRESHOLD)
    assert again.rows[0][1:] == (pytest.approx(alone.rows[0][1]), pytest.approx(alone.rows[0][2]))


@pytest.mark.parametrize("measure", ["mean", "gmean"])
def test_an_interval_of_a_mean_is_that_of_the_people(connection: duckdb.DuckDBPyConnection, measure: str) -> None:
    values = [float(n % 7 + 1) for n in range(50)]
    fill(connection, [{"user_id": n, "duration_ms": value} for n, value in enumerate(values)])
    text = f"type: number\ndata: sessions\ny: {measure}(duration_ms)\ninterval: true"
    known = values if measure == "mean" else [math.log(value) for value in values]
    middle = fmean(known)
    error = 1.96 * math.sqrt(sum((value - middle) ** 2 for value in known) / 49 / 50)
    ends = [middle, middle - error, middle + error]
    expected = ends if measure == "mean" else [math.exp(end) for end in ends]
    assert ask(connection, text, THRESHOLD).rows[0] == pytest.approx(expected, rel=1e-3)
    shown, low, high = ask(connection, text).rows[0]
    assert shown == pytest.approx(expected[0], rel=0.02)
    assert low <= expected[1] - 0.05 * (measure == "mean")  # type: ignore[operator]
    assert high >= expected[2] + 0.05 * (measure == "mean")  # type: ignore[operator]
    assert (low, high) == pytest.approx(expected[1:], rel=0.07)


@pytest.mark.parametrize(("failing", "differs"), [(10, False), (40, True)])
def test_whether_a_group_differs_from_the_others_is_one_bit(
    connection: duckdb.DuckDBPyConnection, failing: int, differs: bool
) -> None:
    fill(connection, [{"user_id": n, "shell": "fish", "failed": n % 10 == 0} for n in range(100)])
    fill(connection, [{"user_id": 200 + n, "shell": "zsh", "failed": n < failing} for n in range(100)])
    shown = ask(connection, "type: table\ndata: sessions\nx: shell\ny: share(failed)\ninterval: true")
    assert shown.columns[-1].name == "share(failed) differs"
    assert [row[-1] for row in shown.rows] == [differs, differs]


def test_no_interval_of_too_few_rows_says_anything(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [{"user_id": n, "shell": "fish", "failed": n < 15} for n in range(20)])
    fill(connection, [{"user_id": 100 + n, "shell": "zsh", "failed": False} for n in range(100)])
    shown = ask(connection, "type: table\ndata: sessions\nx: shell\ny: share(failed)\ninterval: true")
    assert {row[0]: row[1:] for row in shown.rows}["fish"] == (None, None, None, None)


def test_a_table_groups_by_three_columns(connection: duckdb.DuckDBPyConnection) -> None:
    fill(
        connection,
        people(1, 20, shell="fish", version="1.0", failed=True)
        + people(1, 15, shell="fish", version="1.1", failed=False),
    )
    shown = ask(connection, "type: table\ndata: sessions\nx: [shell, version, failed]\ny: [people, count]")
    assert shown.rows == (("fish", "1.0", "yes", 20, 20), ("fish", "1.1", "no", 15, 15))


def test_a_heat_map_has_the_bins_and_whole_numbers_that_lie_between_others(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for number in (1, 2, 3, 7):
        fill(connection, people(100 * number, 100 * number + 29, exit_code=number, duration_ms=100.0 * number))
    fill(connection, people(1, 4, exit_code=5, duration_ms=500.0))
    # More values than have a column each: they are in bins.
    fill(connection, [{**row, "duration_ms": 100.0 + row["user_id"]} for row in people(1_000, 1_089, exit_code=1)])
    text = "type: heatmap\ndata: sessions\nx: {}\nrows: {}\ny: people"
    shown = ask(connection, text.format("duration_ms", "exit_code"))
    # Of four people with 5, and of nobody with 4 and 6, nothing is said: their rows stand there all the same.
    assert shown.groups == ("1", "2", "3", "4", "5", "6", "7")
    assert {row[1] for row in shown.rows} == {"1", "2", "3", "7"}
    assert set(shown.across) > {row[0] for row in shown.rows}
    starts = [float(name.split(" ")[0].replace("under", "0")) for name in map(str, shown.across) if "s" in name]
    assert len(starts) == len(shown.across)
    turned = ask(connection, text.format("exit_code", "duration_ms"))
    assert (turned.across, turned.groups) == (shown.groups, shown.across)


def test_a_heat_map_bins_a_number_of_many_values(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [{"user_id": n, "duration_ms": float(n % 100), "shell": "fish"} for n in range(1_000)])
    shown = ask(connection, "type: heatmap\ndata: sessions\nx: duration_ms\nrows: shell\ny: count")
    assert [row[0] for row in shown.rows][:2] == ["under 10 ms", "10 ms to 20 ms"]
    assert sum(row[2] for row in shown.rows) == 1_000  # type: ignore[misc]


@pytest.mark.parametrize(
    "names",
    [
        ["Monday", "Tuesday", "Sunday"],
        ["1.9.0", "1.10.0-rc.1", "1.10.0"],
        ["2025-W52", "2026-W9", "2026-W10"],
        ["under 5 s", "5 s to 1 min", "over 1 min"],
        ["<10", "10-99", "1000+"],
    ],
)
def test_names_that_have_an_order_stand_in_it_and_not_by_size(
    connection: duckdb.DuckDBPyConnection, names: list[str]
) -> None:
    for number, name in enumerate((*names[1:], names[0])):
        fill(connection, people(1, 40 - 10 * number, shell=name))
    shown = ask(connection, "type: bar\ndata: sessions\nx: shell\ny: people")
    assert [row[0] for row in shown.rows] == names
