import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.blocks import format
from reports.blocks.block import Block, parse
from reports.blocks.published import OTHER, UNKNOWN, Published, Value
from reports.charts import download, html, plotly_kinds
from reports.gate.fit import misfits
from reports.gate.publish import publish
from reports.gate.rules import Rules
from reports.gate.statement import statement
from reports.query.quoting import describe
from reports.query.sandbox import QueryError
from tests.attack import examples
from tests.messages import mentions, numbers

NOW = datetime(2026, 3, 18, 12)  # a Wednesday
MONDAY = datetime(2026, 3, 16)

Row = dict[str, Any]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            """
            CREATE TABLE sessions (
                user_id UBIGINT, start_time TIMESTAMP, shell VARCHAR, version VARCHAR, ci BOOLEAN, exit_code BIGINT,
                duration_ms DOUBLE, failed BOOLEAN, born DATE, session STRUCT(shell VARCHAR), tags VARCHAR[]
            )
            """
        )
        connection.execute(
            """
            CREATE TABLE releases AS
            SELECT * FROM (VALUES ('1.0', TIMESTAMP '2026-01-01', DATE '2026-01-01', 1.5::DECIMAL(4, 1), true),
                                  ('1.1', TIMESTAMP '2026-02-01', DATE '2026-02-01', 'inf'::DOUBLE, false))
            AS t(version, released, day, size, stable)
            """
        )
        yield connection


def fill(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    incoming = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    connection.register("incoming", incoming)
    connection.execute("INSERT INTO sessions BY NAME FROM incoming")
    connection.unregister("incoming")


def people(first: int, last: int, **columns: Any) -> list[Row]:
    """A run each of the people from `first` to `last`."""
    return [{"user_id": number, **columns} for number in range(first, last + 1)]


PUBLIC = Rules()
# Rule 1 alone: exact numbers, so that what is counted can be compared with a count by hand.
THRESHOLD = Rules(rounding=False)


def ask(connection: duckdb.DuckDBPyConnection, text: str, rules: Rules = PUBLIC, unit: str = "runs") -> Published:
    block = parse(text)
    if not block.people:
        unit = ""
    return publish(connection, block, unit=unit, rules=rules, now=NOW)


def bars(connection: duckdb.DuckDBPyConnection, more: str = "", y: str = "people", rules: Rules = PUBLIC) -> Published:
    return ask(connection, f"type: table\ndata: sessions\nx: shell\ny: {y}\n{more}", rules)


def test_a_group_needs_ten_distinct_people_however_many_runs_it_has(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 12, shell="fish") + people(1, 10, shell="zsh") + people(1, 9, shell="cmd") * 50)
    shown = bars(connection, y="[count, people]")
    # The nine are "Other", and that has no ten people either.
    assert shown.rows == (("fish", 10, 10), ("zsh", 10, 10))
    assert (shown.people, shown.rounded, shown.unit) == (10, 5, "runs")


def test_people_and_rows_are_rounded_to_five_halves_up(connection: duckdb.DuckDBPyConnection) -> None:
    numbers = {"a": 12, "b": 13, "c": 17, "d": 18, "e": 100}
    fill(connection, [row for shell, number in numbers.items() for row in people(1, number, shell=shell) * 3])
    assert bars(connection, y="[people, count]").rows == (
        ("e", 100, 300), ("d", 20, 55), ("b", 15, 40), ("c", 15, 50), ("a", 10, 35),
    )  # fmt: skip


def test_the_step_scales_with_the_least_number_of_people(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 33, shell="fish") + people(1, 19, shell="zsh"))
    shown = bars(connection, y="[people, share]", rules=Rules(20))
    # The share of 33 in 52 is one of 50, the least that a share needs: 30 of 50.
    assert (shown.rows, shown.people, shown.rounded) == ((("fish", 30, 0.6),), 30, 10)


def test_groups_stand_in_the_order_of_rounded_numbers_and_then_by_name(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 18, shell="b") + people(1, 20, shell="c") + people(1, 22, shell="a"))
    assert bars(connection).rows == (("a", 20), ("b", 20), ("c", 20))
    assert bars(connection, "limit: 1").rows == (("a", 20), (OTHER, 20))


def test_runs_of_ci_count_as_runs_and_never_as_people(connection: duckdb.DuckDBPyConnection) -> None:
    ci = [{"user_id": None, "shell": shell} for shell in ["fish"] * 30 + ["cmd"] * 100 + ["make"] * 99]
    fill(connection, people(1, 10, shell="fish") + people(11, 20, shell="zsh") + ci)
    shown = bars(connection, y="[count, people, per_person]")
    # A cell without people is shown from a hundred runs on.
    assert shown.rows == (("fish", 40, 10, 1.0), ("zsh", 10, 10, 1.0), ("cmd", 100, None, None))
    assert shown.people == 20


def test_runs_of_ci_do_not_make_up_for_people(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, shell="fish") + people(1, 9, shell="zsh"))
    fill(connection, [{"user_id": None, "shell": "zsh"}] * 1_000)
    assert bars(connection, y="count").rows == (("fish", 10),)


def test_other_is_counted_anew_and_nobody_twice(connection: duckdb.DuckDBPyConnection) -> None:
    # Five people each use three rare shells, and five more another: ten people in all, not twenty.
    rare = [row for shell in "abc" for row in people(1, 5, shell=shell)] + people(6, 10, shell="d")
    fill(connection, people(1, 12, shell="fish") + rare)
    assert bars(connection, y="[people, count]", rules=THRESHOLD).rows == (("fish", 12, 12), (OTHER, 10, 20))


def test_an_other_of_fewer_than_ten_people_is_not_shown_nor_is_an_empty_one_missed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection, people(1, 12, shell="fish"))
    without = bars(connection, y="[people, count]")
    fill(connection, people(1, 2, shell="rare"))
    # Nothing tells the two apart.
    assert bars(connection, y="[people, count]") == without


def test_a_chart_of_nothing_but_other_says_that_it_needs_more(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [row for shell in "abc" for row in people(ord(shell), ord(shell) + 8, shell=shell)])
    assert (bars(connection).rows, bars(connection).empty) == ((), "too few people")


def test_a_group_of_nulls_is_one_like_any_other_and_stands_last(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell=None) + people(31, 40, shell="fish") + people(41, 50, shell="a"))
    fill(connection, people(6, 15, shell=UNKNOWN))
    # What is called as our own group is called belongs to it: nothing is drawn as one and counted as two.
    assert bars(connection).rows == (("a", 10), ("fish", 10), (UNKNOWN, 30))


def test_a_category_called_other_is_part_of_other(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, shell=OTHER) + people(11, 15, shell="rare") + people(1, 20, shell="fish"))
    assert bars(connection).rows == (("fish", 20), (OTHER, 15))


def test_categories_that_look_the_same_are_not_drawn_over_each_other(connection: duckdb.DuckDBPyConnection) -> None:
    long = "x" * 4_000
    fill(connection, people(1, 20, shell=f"{long}a") + people(1, 15, shell=f"{long}b"))
    fill(connection, people(20, 30, shell="s\u202eh") + people(20, 29, shell="s\u200bh"))
    shown = bars(connection)
    assert shown.rows == (("x" * 79 + "…", 20), ("s\ufffdh", 10), (OTHER, 25))


def test_true_false_and_unknown_are_words(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, failed=False) + people(1, 15, failed=True) + people(1, 20, failed=None))
    shown = ask(connection, "type: bar\ndata: sessions\nx: failed\ny: count")
    assert shown.rows == (("yes", 15), ("no", 10), (UNKNOWN, 20))


def test_numbers_and_versions_rise(connection: duckdb.DuckDBPyConnection) -> None:
    for size, version in enumerate(["1.10.0", "1.9.0", "1.10.0-rc1", "2.0", None]):
        fill(connection, people(1, 20 - size, version=version, exit_code=[10, 9, -1, 100, None][size]))
    versions = ask(connection, "type: bar\ndata: sessions\nx: version\ny: people")
    assert [row[0] for row in versions.rows] == ["1.9.0", "1.10.0-rc1", "1.10.0", "2.0", UNKNOWN]
    numbers = ask(connection, "type: bar\ndata: sessions\nx: exit_code\ny: people")
    assert [row[0] for row in numbers.rows] == ["-1", "9", "10", "100", UNKNOWN]


MEASURED = (
    "[count, people, per_person, share, share(failed), sum(exit_code), mean(duration_ms), gmean(duration_ms), "
    "p50(duration_ms), p90(duration_ms), p95(duration_ms), p99(duration_ms)]"
)


def everything(connection: duckdb.DuckDBPyConnection) -> None:
    # 503 people with a run of 1 to 503 ms, a quarter of which fail, and one of CI without a duration.
    fill(
        connection,
        [{"user_id": n, "duration_ms": float(n), "failed": n % 4 == 0, "exit_code": n % 3} for n in range(1, 504)]
        + [{"user_id": None}],
    )


def test_every_measure_is_what_hand_counting_gives(connection: duckdb.DuckDBPyConnection) -> None:
    everything(connection)
    shown = ask(connection, f"type: table\ndata: sessions\ny: {MEASURED}", THRESHOLD)
    gmean = statistics.geometric_mean(range(1, 504))
    assert shown.rows[0][:7] == (504, 503, 1.0, 1.0, 125 / 503, 504.0, 252.0)
    assert shown.rows[0][7:] == tuple(pytest.approx(one) for one in (gmean, 252.0, 452.8, 477.9, 497.98))
    assert [column.kind for column in shown.measures] == [
        *["number"] * 3, *["share"] * 2, "number", *["milliseconds"] * 6,
    ]  # fmt: skip
    assert (shown.people, shown.rounded) == (503, 0)


def test_every_measure_is_published_rounded(connection: duckdb.DuckDBPyConnection) -> None:
    everything(connection)
    shown = ask(connection, f"type: table\ndata: sessions\ny: {MEASURED}")
    # The sum is the shown mean of 1.0 times 505 rows; from a hundred people on, values have three digits. Only six
    # people are beyond the 99th percentile.
    gmean = float(f"{statistics.geometric_mean(range(1, 504)):.3g}")
    assert shown.rows[0] == (505, 505, 1.0, 1.0, 125 / 505, 505.0, 252.0, gmean, 252.0, 453.0, 478.0, None)
    assert shown.people == 505


def test_a_value_of_fewer_than_a_hundred_people_has_two_digits(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [{"user_id": n, "duration_ms": 1_234.5 + n % 7} for n in range(42)])
    shown = ask(connection, "type: table\ndata: sessions\ny: [mean(duration_ms), sum(duration_ms), p50(duration_ms)]")
    # The sum is the shown mean times 40 rows.
    assert shown.rows == ((1_200.0, 48_000.0, 1_200.0),)


@pytest.mark.parametrize(
    ("measure", "enough"),
    [("p50", 19), ("p90", 91), ("p95", 181), ("p99", 901), ("mean", 10), ("gmean", 10), ("sum", 10)],
)
def test_a_value_needs_ten_people_and_a_percentile_ten_on_both_sides(
    connection: duckdb.DuckDBPyConnection, measure: str, enough: int
) -> None:
    text = f"type: table\ndata: sessions\ny: [count, {measure}(duration_ms)]"
    # Runs do not help, nor do people without a value.
    values = [{"user_id": n, "duration_ms": float(1_000 + n)} for n in range(1, enough)]
    fill(connection, values * 2 + people(5_000, 5_009))
    assert ask(connection, text).rows[0][1] is None
    fill(connection, people(enough, enough, duration_ms=float(1_000 + enough)) * 2)
    assert ask(connection, text).rows[0][1] is not None


@pytest.mark.parametrize("measure", ["sum", "mean"])
def test_nothing_is_said_of_values_of_which_one_person_makes_more_than_half(
    connection: duckdb.DuckDBPyConnection, measure: str
) -> None:
    fill(connection, people(1, 30, duration_ms=-1.0) + people(31, 31, duration_ms=30.0))
    text = f"type: table\ndata: sessions\ny: [count, {measure}(duration_ms)]"
    assert ask(connection, text).rows[0][1] is not None
    fill(connection, people(31, 31, duration_ms=1.0))
    assert ask(connection, text).rows == ((30, None),)


@pytest.mark.parametrize(
    ("others", "mine", "mean"),
    [
        # A run of 777 s among 2,000 of a second: 1.39 would tell it, with the 1.00 of the others, to one in a hundred.
        (2_000, 777.0, 1.4),
        # Each contributes as much: three digits.
        (2_000, 1.0, 1.0),
        (120, 4.0, 1.02),
        # A quarter of 50 s in 121 runs is 0.1 s: two digits.
        (120, 48.0, 1.4),
        (120, 50.0, 1.0),
        # Among twelve, one digit of 6 s counts less than a quarter of what one contributes.
        (12, 11.0, 2.0),
    ],
)
def test_the_last_digit_of_a_mean_counts_as_much_as_a_quarter_of_one_person(
    connection: duckdb.DuckDBPyConnection, others: int, mine: float, mean: float
) -> None:
    fill(connection, people(1, others, duration_ms=1.0) + people(9_999, 9_999, duration_ms=mine))
    assert ask(connection, "type: table\ndata: sessions\ny: mean(duration_ms)").rows == ((mean,),)


@pytest.mark.parametrize("measure", ["p50", "gmean"])
def test_nothing_is_said_of_rows_of_which_one_person_makes_more_than_half(
    connection: duckdb.DuckDBPyConnection, measure: str
) -> None:
    text = f"type: table\ndata: sessions\ny: {measure}(duration_ms)"
    fill(connection, people(1, 30, duration_ms=2.0) + people(31, 31, duration_ms=2.0) * 30)
    assert ask(connection, text).rows == ((2.0,),)
    fill(connection, people(31, 31, duration_ms=2.0))
    assert ask(connection, text).rows == ((None,),)


def test_a_share_is_part_of_all_and_the_rest_is_not_shown(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish") + people(1, 17, shell="zsh") + people(8, 10, shell="cmd"))
    # 30 and 15 of 50: the last tenth is rounding, and too few people.
    assert bars(connection, y="share").rows == (("fish", 0.6), ("zsh", 0.3))


def test_parts_never_add_up_to_more_than_all(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 13, shell="fish") + people(1, 13, shell="zsh") + people(1, 13, shell="cmd"))
    # 39 runs are 40, and three times 15 are 45.
    assert [row[1] for row in bars(connection, y="share").rows] == [pytest.approx(1 / 3)] * 3


def test_a_share_over_time_is_part_of_its_period(connection: duckdb.DuckDBPyConnection) -> None:
    for week, (fish, zsh) in enumerate([(30, 10), (15, 15)]):
        at = MONDAY - timedelta(weeks=week + 1)
        fill(connection, people(1, fish, shell="fish", start_time=at) + people(1, zsh, shell="zsh", start_time=at))
    shown = ask(connection, "type: area\ndata: sessions\nx: start_time\ncolor: shell\ny: share\ngrain: week")
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    assert shown.rows == ((one, "fish", 0.5), (one, "zsh", 0.5), (two, "fish", 0.75), (two, "zsh", 0.25))
    assert shown.groups == ("fish", "zsh")


@pytest.mark.parametrize(("runs", "shown"), [(22, False), (23, True)])
def test_a_share_needs_25_rows(connection: duckdb.DuckDBPyConnection, runs: int, shown: bool) -> None:
    fill(connection, people(1, runs, failed=True))
    assert (ask(connection, "type: number\ndata: sessions\ny: share(failed)").rows[0][0] is not None) == shown


@pytest.mark.parametrize(("failing", "share"), [(0, 0.0), (2, 0.0), (3, 0.1), (7, 0.1), (8, 0.2), (49, 1.0), (50, 1.0)])
def test_a_share_is_made_of_rounded_numbers(connection: duckdb.DuckDBPyConnection, failing: int, share: float) -> None:
    fill(connection, [{"user_id": n, "failed": n < failing} for n in range(50)])
    shown = ask(connection, "type: number\ndata: sessions\ny: share(failed)")
    assert shown.rows == ((share,),)
    # None and few are the same, and read so.
    reads = {0.0: "under 5.0 %", 1.0: "100 %"}.get(share, f"{share * 100:.1f} %")
    assert format.value(shown.measures[0], shown.rows[0][0]) == reads


def test_in_a_stack_a_small_group_of_a_period_is_not_shown(connection: duckdb.DuckDBPyConnection) -> None:
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    fill(connection, people(1, 20, shell="fish", start_time=one) + people(1, 20, shell="fish", start_time=two))
    fill(connection, people(1, 15, shell="zsh", start_time=one) + people(1, 6, shell="zsh", start_time=two))
    for kind in ("area", "line"):
        shown = ask(connection, f"type: {kind}\ndata: sessions\nx: start_time\ncolor: shell\ny: count\ngrain: week")
        assert shown.rows == ((one, "fish", 20), (one, "zsh", 15), (two, "fish", 20))


WEEKS = "data: sessions\nx: start_time\ny: people\ngrain: week"


def test_the_period_that_is_not_over_is_shown_and_said_to_be_so(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY - timedelta(days=1)) + people(1, 99, start_time=MONDAY))
    shown = ask(connection, f"type: line\n{WEEKS}")
    assert shown.rows == ((MONDAY - timedelta(weeks=1), 10), (MONDAY, 100))
    assert (shown.grain, shown.partial, shown.people) == ("week", True, 100)
    assert shown.whole == ((MONDAY - timedelta(weeks=1), 10),)


def test_the_period_that_is_not_over_needs_enough_people_too(connection: duckdb.DuckDBPyConnection) -> None:
    weeks = [MONDAY - timedelta(weeks=number) for number in (1, 2)]
    fill(connection, [run for week in weeks for run in people(1, 20, start_time=week)])
    fill(connection, people(1, 9, start_time=MONDAY))
    shown = ask(connection, f"type: line\n{WEEKS}")
    assert [row[0] for row in shown.rows] == weeks[::-1]
    assert not shown.partial
    assert shown.whole == shown.rows


def test_a_card_compares_whole_periods(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY - timedelta(days=1)) + people(1, 99, start_time=MONDAY))
    shown = ask(connection, f"type: number\n{WEEKS}")
    assert (shown.rows, shown.partial) == (((MONDAY - timedelta(weeks=1), 10),), False)


def test_the_period_that_is_not_over_is_shown_where_there_is_no_other(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY) + people(1, 10, start_time=None))
    fill(connection, people(1, 9, start_time=datetime(2025, 12, 1)))
    for kind in ("line", "number"):
        shown = ask(connection, f"type: {kind}\ndata: sessions\nx: start_time\ny: people\ngrain: week")
        assert (shown.rows, shown.partial) == (((MONDAY, 10),), True)


@pytest.mark.parametrize(
    ("per_day", "grain"),
    [(10, "day"), (3, "week"), (1, "month")],
)
def test_the_finest_grain_that_shows_most_of_the_data_is_taken(
    connection: duckdb.DuckDBPyConnection, per_day: int, grain: str
) -> None:
    # Everybody once, in the 59 days before this month.
    for day in range(59):
        at = datetime(2026, 3, 1) - timedelta(days=day + 1)
        fill(connection, people(day * per_day, day * per_day + per_day - 1, start_time=at))
    shown = ask(connection, "type: bar\ndata: sessions\nx: start_time\ny: count", THRESHOLD)
    assert shown.grain == grain
    assert sum(int(str(row[1])) for row in shown.rows) >= 0.8 * 59 * per_day


def test_the_grain_is_chosen_by_what_is_shown_by_name(connection: duckdb.DuckDBPyConnection) -> None:
    # Of each shell five people a week: by week a chart would show nothing but "Other".
    for week in range(1, 9):
        for number, shell in enumerate(("fish", "zsh", "bash", "cmd")):
            first = week * 100 + number * 10
            fill(connection, people(first, first + 4, shell=shell, start_time=MONDAY - timedelta(weeks=week)))
    shown = ask(connection, "type: area\ndata: sessions\nx: start_time\ncolor: shell\ny: count\nlimit: 4")
    assert shown.grain == "month"
    assert set(shown.groups) == {"fish", "zsh", "bash", "cmd"}


def test_when_no_grain_shows_most_of_the_data_the_one_that_shows_most_is_taken(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection, people(1, 10, start_time=datetime(2024, 2, 2)))
    for year in range(2010, 2024):
        fill(connection, people(year, year, start_time=datetime(year, 5, 5)) * 20)
    shown = ask(connection, "type: line\ndata: sessions\nx: start_time\ny: count")
    assert (shown.rows, shown.grain) == (((datetime(2024, 2, 1), 10),), "month")


@pytest.mark.parametrize("nobody", [1, 99])
def test_times_of_too_few_people_to_be_shown_make_no_grain_coarser(
    connection: duckdb.DuckDBPyConnection, nobody: int
) -> None:
    """A year of nothing before and after, because nine people were there and CI ran."""
    for day in range(1, 31):
        fill(connection, people(1, 20, start_time=datetime(2026, 2, 1) + timedelta(days=day)))
    fill(connection, people(90, 98, start_time=datetime(2024, 1, 1)) * 50)
    fill(connection, people(80, 88, start_time=datetime(2027, 1, 1)) * 50)
    fill(connection, [{"user_id": None, "start_time": datetime(2020, 1, 1)}] * nobody)
    shown = ask(connection, "type: line\ndata: sessions\nx: start_time\ny: count")
    assert shown.grain == "day"
    assert (shown.rows[0][0], shown.rows[-1][0].year) == (datetime(2026, 2, 2), 2026)


def test_a_grain_of_more_cells_than_a_chart_has_room_for_is_passed_over(connection: duckdb.DuckDBPyConnection) -> None:
    """Ten people run each of ten versions in each of ten shells on each of sixty days: 6,000 cells of days."""
    connection.execute(
        "INSERT INTO sessions (user_id, start_time, shell, version) "
        "SELECT 10 * s + p, TIMESTAMP '2026-01-05' + to_days(d::INTEGER), 'shell ' || s // 10, '1.' || s % 10 "
        "FROM range(100) AS pairs(s), range(10) AS people(p), range(60) AS days(d)"
    )
    chart = "type: table\ndata: sessions\nx: [start_time, shell, version]\ny: count\nlimit: 20"
    shown = ask(connection, chart)
    assert (shown.grain, len(shown.rows)) == ("week", 900)
    with pytest.raises(QueryError) as raised:
        ask(connection, f"{chart}\ngrain: day")
    assert raised.value.option == "grain"


def test_a_date_is_a_time_too(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, born=date(2025, 5, 5)))
    shown = ask(connection, "type: line\ndata: sessions\nx: born\ny: count\ngrain: year")
    assert shown.rows == ((datetime(2025, 1, 1), 10),)


@pytest.mark.parametrize("x", ["", "x: shell\n", "x: start_time\n", "x: start_time\ncolor: shell\n"])
def test_without_enough_people_it_says_so_and_nothing_else(connection: duckdb.DuckDBPyConnection, x: str) -> None:
    text = f"type: table\ndata: sessions\n{x}y: [count, people]"
    nobody = ask(connection, text)
    assert (nobody.rows, nobody.people, nobody.groups, nobody.empty) == ((), 0, (), "too few people")
    fill(connection, people(1, 9, shell="secret", start_time=datetime(2026, 1, 1)) * 100)
    fill(connection, [{"user_id": None, "shell": "secret", "start_time": datetime(2026, 1, 1)}] * 10)
    few = ask(connection, text)
    # Nobody and few are the same.
    assert replace(few, grain=None) == replace(nobody, grain=None)
    assert ask(connection, text, Rules(0, rounding=False)).rows


def test_what_is_not_people_is_shown_as_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    shown = ask(connection, "type: table\ndata: releases\npeople: none")
    assert shown.rows == (
        ("1.0", datetime(2026, 1, 1), datetime(2026, 1, 1), 1.5, True),
        ("1.1", datetime(2026, 2, 1), datetime(2026, 2, 1), None, False),
    )
    assert shown.people is None
    chart = ask(connection, "type: line\ndata: releases\npeople: none\nx: released\ny: size\ncolor: version")
    assert [column.name for column in chart.columns] == ["released", "version", "size"]
    assert chart.groups == ("1.0", "1.1")
    assert plotly_kinds.figure(parse("type: line\ndata: releases\npeople: none\nx: released\ny: size"), chart)["data"]


@pytest.mark.parametrize(
    ("text", "option", "named"),
    [
        ("type: bar\ndata: sessions\nx: shel\ny: people", "x", ("shel", "shell")),
        ("type: bar\ndata: sessions\nx: nowhere\ny: people", "x", ("nowhere", "user_id", "start_time", "shell")),
        ("type: bar\ndata: sessions\nx: shell\ncolor: nwo\ny: people", "color", ("nwo",)),
        ("type: bar\ndata: sessions\nx: shell\ny: sum(dur)", "y", ("dur",)),
        ("type: bar\ndata: sessions\nx: USER_ID\ny: count", "x", ("user_id",)),
        ("type: bar\ndata: sessions\nx: shell\ncolor: user_id\ny: count", "color", ("user_id",)),
        ("type: table\ndata: sessions\ny: p50(User_Id)", "y", ("User_Id", "people")),
        ("type: bar\ndata: sessions\nx: session\ny: count", "x", ("session",)),
        ("type: bar\ndata: sessions\nx: tags\ny: count", "x", ("tags",)),
        ("type: bar\ndata: sessions\nx: shell\ncolor: start_time\ny: count", "color", ("start_time", "x")),
        ("type: bar\ndata: sessions\nx: shell\ny: count\ngrain: day", "grain", ("grain", "time", "x")),
        ("type: line\ndata: sessions\nx: shell\ny: count", "x", ("line", "time", "shell")),
        ("type: table\ndata: sessions\ny: mean(shell)", "y", ("mean", "number", "shell")),
        ("type: table\ndata: sessions\ny: share(shell)", "y", ("share", "true", "false")),
        ("type: table\ndata: sessions\npeople: none", "people", ("people: none",)),
        ("type: line\ndata: releases\npeople: none\nx: version\ny: size", "x", ("line", "time")),
        ("type: bar\ndata: releases\npeople: none\nx: version\ny: released", "y", ("numbers",)),
        ("type: number\ndata: releases\npeople: none\ny: size", None, ("number", "one row")),
        ("type: table\ndata: releases\npeople: none\ny: siez", "y", ("siez", "size")),
    ],
)
def test_a_block_that_does_not_fit_its_data_says_which_option(
    connection: duckdb.DuckDBPyConnection, text: str, option: str | None, named: tuple[str, ...]
) -> None:
    block = parse(text)
    unit = "runs" if block.data == "sessions" else ""
    with pytest.raises(QueryError) as raised:
        publish(connection, block, unit=unit, rules=PUBLIC, now=NOW)
    assert mentions(raised.value.message, *named)
    assert raised.value.option == option


@pytest.mark.parametrize(
    ("text", "windowed", "fits"),
    [
        ("type: table\ndata: sessions\nx: [shell, version, failed]\ny: count", False, True),
        ("type: table\ndata: sessions\nx: [shell, version, failed]\ny: count", True, False),
        ("type: table\ndata: sessions\nx: [start_time, version, failed]\ny: count", True, True),
        ("type: table\ndata: sessions\nx: [shell, version, failed]\ny: count\nfilter: ci", False, False),
        ("type: bar\ndata: sessions\nx: shell\ncolor: version\ny: count\nfilter: ci", False, True),
        ("type: bar\ndata: sessions\nx: shell\ncolor: version\ny: count\nfilter: [ci, failed]", False, True),
        ("type: bar\ndata: sessions\nx: shell\ncolor: version\ny: count\nfilter: ci", True, False),
        ("type: line\ndata: sessions\nx: start_time\ncolor: version\ny: count\nfilter: ci", True, True),
    ],
)
def test_axes_filter_and_window_are_three_dimensions_at_most(
    connection: duckdb.DuckDBPyConnection, text: str, windowed: bool, fits: bool
) -> None:
    columns = describe(connection, "sessions")
    found = misfits(parse(text), columns, "runs", windowed=windowed)
    assert [(error.option, "3" in error.message) for error in found] == ([] if fits else [("x", True)])


def test_a_grain_that_is_too_fine_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=datetime(2020, 1, 1)) + people(1, 10, start_time=datetime(2026, 1, 1)))
    with pytest.raises(QueryError, match=r"hour.*1,000") as raised:
        ask(connection, "type: line\ndata: sessions\nx: start_time\ny: count\ngrain: hour")
    assert raised.value.option == "grain"


def test_a_query_that_loses_its_people_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE VIEW shells AS SELECT shell FROM sessions")
    with pytest.raises(QueryError, match=r"user_id.*SELECT"):
        ask(connection, "type: bar\ndata: shells\nx: shell\ny: count")


def test_a_user_id_of_another_type_was_made_by_somebody(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE VIEW made AS SELECT user_id::VARCHAR AS user_id, shell FROM sessions")
    with pytest.raises(QueryError, match="user_id"):
        ask(connection, "type: bar\ndata: made\nx: shell\ny: count")


def test_rows_without_people_must_be_asked_for_as_such(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match="people: none"):
        ask(connection, "type: bar\ndata: releases\nx: version\ny: count", unit="")


def test_queries_may_be_called_as_the_gate_calls_its_own_parts(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, shell="fish", version="1"))
    for name in ("cells", "celled", "folded", "small", "k0", "c0"):
        connection.execute(
            f"CREATE TEMP VIEW {name} AS SELECT user_id, shell AS k0, version AS k1, 1 AS c0 FROM sessions"
        )
        shown = ask(connection, f"type: bar\ndata: {name}\nx: k0\ncolor: k1\ny: sum(c0)")
        assert shown.rows == (("fish", "1", 10.0),)


def test_values_that_json_does_not_have_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, duration_ms=float("inf")) + people(1, 10, duration_ms=float("nan")))
    shown = ask(connection, "type: table\ndata: sessions\ny: [sum(duration_ms), p50(duration_ms)]")
    assert shown.rows == ((None, None),)


@pytest.mark.parametrize(
    "text",
    [
        "type: table\ndata: sessions\ny: [count, people, per_person, share(failed), p50(duration_ms)]",
        "type: bar\ndata: sessions\nx: shell\ny: share",
        "type: table\ndata: sessions\nx: start_time\ncolor: shell\ny: [share, mean(duration_ms)]\ngrain: month",
        "type: table\ndata: sessions\nx: shell\ny: [gmean(duration_ms), sum(duration_ms)]",
        "type: table\ndata: releases\npeople: none\nx: version\ny: stable",
    ],
)
def test_the_sql_that_is_shown_gives_the_numbers_that_are_shown(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    rows = [
        {"user_id": n, "shell": "fish" if n % 3 else "zsh", "failed": n % 5 == 0, "duration_ms": 1 + n * 1.5,
         "start_time": datetime(2026, 1 + n % 2, 3)}
        for n in range(100)
    ]  # fmt: skip
    fill(connection, rows)
    shown = ask(connection, text, THRESHOLD)
    found = connection.execute(statement(parse(text), shown)).fetchall()
    assert sorted(map(digits, found)) == sorted(map(digits, shown.rows)) != []
    said = statement(parse(text), ask(connection, text))
    assert bool(re.search("(?m)^-- .*\\b5$", said)) == ("releases" not in text)


def digits(row: tuple[Value, ...]) -> tuple[str, ...]:
    return tuple(f"{value:.9g}" if isinstance(value, int | float) else str(value) for value in row)


# Whatever the rows and whatever the block, each published cell is counted again in plain Python.

SHELLS = [None, "fish", "zsh", OTHER, UNKNOWN, "</script>", "=1+1"]
TIMES = [None, *(datetime(2026, month, day, 5) for month in (1, 2, 3) for day in (2, 17))]
RUNS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 40)),
        st.sampled_from(TIMES),
        st.sampled_from(SHELLS),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, 0.0, 1.0, 7.3, 2_011.0]),
    ),
    max_size=60,
).flatmap(lambda runs: st.integers(1, 8).map(lambda times: [
    (None if run[0] is None else run[0] + 50 * copy, *run[1:]) for run in runs for copy in range(times)
]))  # fmt: skip
MEASURES = [
    "count", "people", "per_person", "sum(duration_ms)", "mean(duration_ms)", "gmean(duration_ms)", "p50(duration_ms)",
    "share(failed)",
]  # fmt: skip


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    kind = draw(st.sampled_from(["line", "area", "bar", "table", "number"]))
    lines = [f"type: {kind}", "data: sessions"]
    measures = MEASURES
    if kind != "number":
        measures = [*MEASURES, "share"]
        x = draw(st.sampled_from(["start_time"] if kind in ("line", "area") else ["start_time", "shell", "failed"]))
        lines += [f"x: {x}", f"limit: {draw(st.integers(1, 3))}"]
        if x == "start_time" and draw(st.booleans()):
            lines.append(f"grain: {draw(st.sampled_from(['day', 'week', 'month']))}")
        color = draw(st.sampled_from([None, "shell", "failed"]))
        if color and color != x:
            lines.append(f"color: {color}")
            measures = ["count", "share", "sum(duration_ms)"] if kind == "area" else measures
    count = draw(st.lists(st.sampled_from(measures), min_size=1, max_size=3 if kind == "table" else 1, unique=True))
    return parse("\n".join([*lines, f"y: [{', '.join(count)}]"]))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, block=blocks())
def test_every_published_cell_has_ten_people_and_a_rounded_number_when_counted_again(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], block: Block
) -> None:
    connection.execute("DELETE FROM sessions")
    names = ("user_id", "start_time", "shell", "failed", "duration_ms")
    rows = [dict(zip(names, run, strict=True)) for run in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, block, unit="runs", rules=PUBLIC, now=NOW)
    cells = recount(rows, block, shown)
    depth = len(shown.dimensions)
    for row in shown.rows:
        cell = cells[row[:depth]]
        persons = persons_of(cell)
        assert len(persons) >= 10 or (not persons and len(cell) >= 100)
        for measure, value in zip(block.y, row[depth:], strict=True):
            if value is not None:
                assert value == pytest.approx(by_hand(str(measure), cell, cells, row[:depth], shown))
    everybody = persons_of(rows)
    assert shown.people == (rounded(len(everybody)) if len(everybody) >= 10 else 0)
    assert bool(shown.rows) == (not shown.empty)
    attack(block, shown)


def rounded(number: int) -> int:
    return math.floor(number / 5 + 0.5) * 5


def named(row: Row, shown: Published, kept: list[list[str]]) -> tuple[Any, ...]:
    """The row's place on each axis, as exactly as the axis is cut."""
    key: list[Any] = []
    for column, names in zip(shown.dimensions, kept, strict=True):
        given = row[column.name]
        if column.kind == "time":
            key.append(given and period(given, shown.grain or "day"))
        else:
            key.append(name_of(given) if name_of(given) in names else OTHER)
    return tuple(key)


def recount(rows: list[Row], block: Block, shown: Published) -> dict[tuple[Value, ...], list[Row]]:
    """The rows of each cell; those of categories that are not named are in "Other"."""
    kept = [groups(rows, column.name, block.limit) for column in shown.dimensions]
    placed: dict[tuple[Value, ...], list[Row]] = defaultdict(list)
    for row in rows:
        key = named(row, shown, kept)
        if None not in key:
            placed[key].append(row)
    return dict(placed)


def groups(rows: list[Row], name: str, limit: int) -> list[str]:
    """The categories that are named: of those that are shown the largest, by rounded numbers."""
    if name == "start_time":
        return []
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[name_of(row[name])].append(row)
    shown = {label: (len(persons_of(cell)), len(cell)) for label, cell in found.items()}
    enough = [label for label, (people, runs) in shown.items() if people >= 10 or (people == 0 and runs >= 100)]

    def size(label: str) -> tuple[int, int, str]:
        text = {"yes": "true", "no": "false"}.get(label, label)
        people, runs = shown[label]
        return -rounded(people), 0 if people else -rounded(runs), text

    return [one for one in sorted(enough, key=size) if one != OTHER][:limit]


def persons_of(cell: list[Row]) -> set[int]:
    return {row["user_id"] for row in cell} - {None}


def name_of(value: object) -> str:
    return UNKNOWN if value is None else {True: "yes", False: "no"}.get(value, str(value))  # type: ignore[call-overload]


def period(time: datetime, grain: str) -> datetime:
    day = time.replace(hour=0)
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return {
        "day": day,
        "month": day.replace(day=1),
        "quarter": day.replace(month=day.month - (day.month - 1) % 3, day=1),
        "year": day.replace(month=1, day=1),
    }[grain]


def by_hand(
    measure: str, cell: list[Row], cells: dict[tuple[Value, ...], list[Row]], key: tuple[Value, ...], shown: Published
) -> float:
    persons = persons_of(cell)
    values = [row["duration_ms"] for row in cell if row["duration_ms"] is not None]
    above = [value for value in values if value > 0]
    outcomes = [row["failed"] for row in cell if row["failed"] is not None]
    with_value = len(persons_of([row for row in cell if row["duration_ms"] is not None]))
    depth = 1 if len(key) == 2 else 0
    place = {other: one for other, one in cells.items() if other[:depth] == key[:depth]}
    published = sum(rounded(len(place[row[: len(key)]])) for row in shown.rows if row[: len(key)] in place)

    def value(exact: float, people: int = with_value, least: float = 0.0) -> float:
        if not exact:
            return exact
        unit = 10.0 ** (math.floor(math.log10(exact)) - (2 if rounded(people) >= 100 else 1))
        while unit < least * (1 - 1e-9):
            unit *= 10
        return math.floor(exact / unit + 0.5 + 1e-9) * unit

    by_person: Counter[int] = Counter()
    for row in cell:
        if row["user_id"] is not None:
            by_person[row["user_id"]] += row["duration_ms"] or 0
    least = max(by_person.values(), default=0) / 4 / max(len(values), 1)

    return {
        "count": lambda: rounded(len(cell)),
        "people": lambda: rounded(len(persons)),
        "per_person": lambda: rounded(sum(row["user_id"] is not None for row in cell)) / rounded(len(persons)),
        "share": lambda: rounded(len(cell)) / max(rounded(sum(map(len, place.values()))), published),
        "sum(duration_ms)": lambda: value(statistics.fmean(values), least=least) * rounded(len(values)),
        "mean(duration_ms)": lambda: value(statistics.fmean(values), least=least),
        "gmean(duration_ms)": lambda: value(
            statistics.geometric_mean(above), len(persons_of([row for row in cell if (row["duration_ms"] or 0) > 0]))
        ),
        "p50(duration_ms)": lambda: value(statistics.median(values)),
        "share(failed)": lambda: rounded(sum(outcomes)) / rounded(len(outcomes)),
    }[measure]()


def attack(block: Block, shown: Published) -> None:
    """Nothing of a cell that is not shown is in what is made from the published ones."""
    published = {str(value) for row in shown.rows for value in row}
    plot = plotly_kinds.figure(block, shown) if block.type in plotly_kinds.CHARTS and not shown.empty else None
    page = html.figure(block, shown, plot, "id", "SQL", "data/x")
    made = page + html.script_json(plot) + download.csv_text(shown)
    if "</script>" not in published:
        assert "&lt;/script&gt;" not in made
    for label in ("fish", "zsh", "=1+1"):
        if label not in published:
            assert label not in made
    if shown.empty:
        assert shown.rows == ()
        assert shown.groups == ()


def test_nothing_of_a_cell_that_is_not_shown_leaves_the_gate(connection: duckdb.DuckDBPyConnection) -> None:
    week = MONDAY - timedelta(weeks=1)
    fill(connection, people(1, 20, shell="fish", version="1.0", start_time=week, duration_ms=5.0))
    fill(connection, people(1, 30, shell="zsh", version="1.1", start_time=week, duration_ms=5.0))
    fill(connection, people(1, 9, shell="SECRET", version="9.8.7", start_time=week, duration_ms=123_456.0) * 33)
    for kind, more in [
        ("bar", "x: shell"),
        ("bar", "x: shell\ncolor: version"),
        ("table", "x: version\ncolor: shell"),
        ("line", "x: start_time\ncolor: shell\ngrain: week"),
        ("area", "x: start_time\ncolor: version\ngrain: week"),
    ]:
        block = parse(f"type: {kind}\ndata: sessions\n{more}\ny: sum(duration_ms)")
        shown = publish(connection, block, unit="runs", rules=PUBLIC, now=NOW)
        plot = plotly_kinds.figure(block, shown) if block.type in plotly_kinds.CHARTS else None
        files = download.csv_text(shown) + repr(download.parquet(shown))
        made = html.figure(block, shown, plot, "id", statement(block, shown), "data/x") + files
        assert shown.people == 30
        for secret in ("SECRET", "9.8.7", "123456", "123,456", "297", str(123_456 * 9 * 33)):
            assert secret not in made
        (note,) = re.findall('<p class="ab-note">(.*?)</p>', made)
        assert numbers(note)[0] == "30" and mentions(note, "fewer than 10")
