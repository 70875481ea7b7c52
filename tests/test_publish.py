import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports import charts, download, html
from reports.block import Block, parse
from reports.cells import statement
from reports.publish import publish
from reports.published import OTHER, UNKNOWN, Column, Published, Value
from reports.sandbox import QueryError
from tests.attack import examples

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


def ask(connection: duckdb.DuckDBPyConnection, text: str, minimum: int = 10, unit: str = "runs") -> Published:
    block = parse(text)
    if not block.people:
        unit = ""
    return publish(connection, block, unit=unit, minimum_users=minimum, now=NOW)


def bars(connection: duckdb.DuckDBPyConnection, more: str = "", y: str = "people", minimum: int = 10) -> Published:
    return ask(connection, f"type: table\ndata: sessions\nx: shell\ny: {y}\n{more}", minimum)


def test_a_group_needs_ten_distinct_people_however_many_runs_it_has(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 12, shell="fish") + people(1, 10, shell="zsh") + people(1, 9, shell="cmd") * 50)
    shown = bars(connection, y="[count, people]")
    # The nine would be "Other", and that has no ten people either: the smallest of the others joins them.
    assert shown.rows == (("fish", 12, 12), (OTHER, 460, 10))
    assert (shown.people, shown.withheld, shown.unit) == (12, 0, "runs")


def test_what_is_held_back_cannot_be_found_by_subtracting_from_the_whole(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, shell="fish") + people(1, 9, shell="cmd") * 50)
    whole = ask(connection, "type: number\ndata: sessions\ny: count")
    assert whole.rows == ((460,),)
    # 460 less the ten of fish would be the runs of nine people.
    assert bars(connection, y="count").rows == ((OTHER, 460),)


def test_runs_of_ci_count_as_runs_and_never_as_people(connection: duckdb.DuckDBPyConnection) -> None:
    ci = [{"user_id": None, "shell": shell} for shell in ["fish"] * 30 + ["cmd"] * 500]
    fill(connection, people(1, 10, shell="fish") + people(11, 20, shell="zsh") + ci)
    shown = bars(connection, y="[count, people, per_person]")
    # Of cmd there are runs and no people: it is not shown, nor can it be worked out.
    assert shown.rows == (("fish", 40, 10, 1.0), (OTHER, 510, 10, 1.0))
    assert shown.people == 20


def test_other_is_counted_anew_and_nobody_twice(connection: duckdb.DuckDBPyConnection) -> None:
    # Five people each use three rare shells, and five more another: ten people in all, not twenty.
    rare = [row for shell in "abc" for row in people(1, 5, shell=shell)] + people(6, 10, shell="d")
    fill(connection, people(1, 12, shell="fish") + rare)
    shown = bars(connection, y="[people, count]")
    assert shown.rows == (("fish", 12, 12), (OTHER, 10, 20))
    assert (shown.people, shown.withheld) == (12, 0)


def test_other_must_pass_itself(connection: duckdb.DuckDBPyConnection) -> None:
    rare = [row for shell in "abc" for row in people(1, 5, shell=shell)] + people(6, 9, shell="d")
    fill(connection, people(1, 12, shell="fish") + people(20, 40, shell="zsh") + rare)
    shown = bars(connection)
    # Nine people are in it: fish joins them, and they are twelve, of whom nobody is counted twice.
    assert shown.rows == (("zsh", 21), (OTHER, 12))
    assert shown.withheld == 0


def test_beyond_the_limit_groups_are_other_too(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 12, shell="fish") + people(1, 11, shell="zsh") + people(1, 10, shell="bash"))
    assert bars(connection, "limit: 1").rows == (("fish", 12), (OTHER, 11))
    assert bars(connection, "limit: 3").rows == (("fish", 12), ("zsh", 11), ("bash", 10))


def test_a_group_of_nulls_is_one_like_any_other_and_stands_last(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell=None) + people(31, 40, shell="fish") + people(41, 50, shell="a"))
    fill(connection, people(6, 15, shell=UNKNOWN))
    # What is called as our own group is called belongs to it: nothing is drawn as one and counted as two.
    assert bars(connection).rows == (("a", 10), ("fish", 10), (UNKNOWN, 30))


def test_a_category_called_other_is_part_of_other(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, shell=OTHER) + people(11, 14, shell="rare") + people(1, 11, shell="fish"))
    assert bars(connection).rows == (("fish", 11), (OTHER, 14))


def test_categories_that_look_the_same_are_not_drawn_over_each_other(connection: duckdb.DuckDBPyConnection) -> None:
    long = "x" * 4_000
    fill(
        connection, people(1, 12, shell=f"{long}a") + people(1, 11, shell=f"{long}b") + people(20, 30, shell="s\u202eh")
    )
    fill(connection, people(20, 29, shell="s\u200bh"))
    shown = bars(connection)
    labels = [row[0] for row in shown.rows]
    assert labels == ["x" * 79 + "…", "s\ufffdh", OTHER]
    assert [row[1] for row in shown.rows] == [12, 11, 21]


def test_true_false_and_unknown_are_words(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, failed=False) + people(1, 11, failed=True) + people(1, 12, failed=None))
    shown = ask(connection, "type: bar\ndata: sessions\nx: failed\ny: count")
    assert shown.rows == (("yes", 11), ("no", 10), (UNKNOWN, 12))


def test_numbers_and_versions_rise(connection: duckdb.DuckDBPyConnection) -> None:
    for size, version in enumerate(["1.10.0", "1.9.0", "1.10.0-rc1", "2.0", None]):
        fill(connection, people(1, 20 - size, version=version, exit_code=[10, 9, -1, 100, None][size]))
    versions = ask(connection, "type: bar\ndata: sessions\nx: version\ny: people")
    assert [row[0] for row in versions.rows] == ["1.9.0", "1.10.0-rc1", "1.10.0", "2.0", UNKNOWN]
    numbers = ask(connection, "type: bar\ndata: sessions\nx: exit_code\ny: people")
    assert [row[0] for row in numbers.rows] == ["-1", "9", "10", "100", UNKNOWN]


def test_every_measure_is_what_hand_counting_gives(connection: duckdb.DuckDBPyConnection) -> None:
    # 500 people with a run of 1 to 500 ms, a quarter of which fail, and one of CI without a duration.
    fill(
        connection,
        [{"user_id": n, "duration_ms": float(n), "failed": n % 4 == 0, "exit_code": n % 3} for n in range(1, 501)]
        + [{"user_id": None}],
    )
    measures = (
        "[count, people, per_person, share, share(failed), sum(exit_code), mean(duration_ms), p50(duration_ms), "
        "p90(duration_ms), p95(duration_ms), p99(duration_ms)]"
    )
    shown = ask(connection, f"type: table\ndata: sessions\ny: {measures}")
    assert shown.rows[0][:8] == (501, 500, 1.0, 1.0, 0.25, 501.0, 250.5, 250.5)
    assert shown.rows[0][8:] == (pytest.approx(450.1), pytest.approx(475.05), pytest.approx(495.01))
    assert [column.kind for column in shown.measures] == [
        *["number"] * 3, *["share"] * 2, "number", *["milliseconds"] * 5,
    ]  # fmt: skip
    assert shown.people == 500


@pytest.mark.parametrize(
    ("measure", "enough"), [("p50", 10), ("p90", 50), ("p95", 100), ("p99", 500), ("mean", 10), ("sum", 10)]
)
def test_a_percentile_needs_people_beyond_it(connection: duckdb.DuckDBPyConnection, measure: str, enough: int) -> None:
    text = f"type: table\ndata: sessions\ny: [count, {measure}(duration_ms)]"
    # Runs do not help, nor do people without a value.
    fill(connection, people(1, enough - 1, duration_ms=5.0) * 2 + people(1000, 1009))
    shown = ask(connection, text)
    assert shown.rows[0][1] is None
    assert (shown.withheld, shown.withheld_measures) == (0, 1)
    fill(connection, people(enough, enough, duration_ms=5.0))
    assert ask(connection, text).rows[0][1] is not None


def test_a_share_is_part_of_what_is_shown(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish") + people(1, 7, shell="zsh") + people(8, 10, shell="cmd"))
    assert bars(connection, y="share").rows == (("fish", 0.75), (OTHER, 0.25))


def test_a_share_over_time_is_part_of_its_period(connection: duckdb.DuckDBPyConnection) -> None:
    for week, (fish, zsh) in enumerate([(30, 10), (10, 10)]):
        at = MONDAY - timedelta(weeks=week + 1)
        fill(connection, people(1, fish, shell="fish", start_time=at) + people(1, zsh, shell="zsh", start_time=at))
    shown = ask(connection, "type: area\ndata: sessions\nx: start_time\ncolor: shell\ny: share\ngrain: week")
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    assert shown.rows == ((one, "fish", 0.5), (one, "zsh", 0.5), (two, "fish", 0.75), (two, "zsh", 0.25))
    assert shown.groups == ("fish", "zsh")


def test_in_a_stack_a_small_group_joins_the_other_of_its_period(connection: duckdb.DuckDBPyConnection) -> None:
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    fill(connection, people(1, 20, shell="fish", start_time=one) + people(1, 20, shell="fish", start_time=two))
    fill(connection, people(1, 15, shell="zsh", start_time=one) + people(1, 6, shell="zsh", start_time=two))
    fill(connection, people(5, 9, shell="cmd", start_time=one) + people(5, 12, shell="cmd", start_time=two))
    area = ask(connection, "type: area\ndata: sessions\nx: start_time\ncolor: shell\ny: count\ngrain: week")
    # 6 of zsh and 8 of cmd are 12 people. All of zsh less its first week would be those 6, so that it joins them.
    assert area.rows == ((one, "fish", 20), (one, OTHER, 20), (two, "fish", 20), (two, OTHER, 14))
    assert (area.people, area.withheld) == (20, 0)
    line = ask(connection, "type: line\ndata: sessions\nx: start_time\ncolor: shell\ny: count\ngrain: week")
    # Lines are not stacked: what is too small is a gap, and so is what would give it away.
    assert line.rows == ((one, "fish", 20), (two, "fish", 20))
    assert (line.people, line.withheld, line.withheld_more) == (20, 3, 1)


def test_an_other_that_is_one_group_does_not_tell_that_group_elsewhere(connection: duckdb.DuckDBPyConnection) -> None:
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    fill(connection, people(1, 20, shell="fish", start_time=one) + people(1, 20, shell="fish", start_time=two))
    fill(connection, people(1, 15, shell="zsh", start_time=one) + people(1, 6, shell="zsh", start_time=two))
    fill(connection, people(5, 12, shell="cmd", start_time=two))
    area = ask(connection, "type: area\ndata: sessions\nx: start_time\ncolor: shell\ny: count\ngrain: week")
    # Beside fish, the "Other" of the first week would be zsh alone: all of zsh less that would be the 6 of the second.
    assert area.rows == ((one, OTHER, 35), (two, OTHER, 34))


def test_a_sum_is_safe_from_the_total_of_a_group_whose_rest_joined_other(connection: duckdb.DuckDBPyConnection) -> None:
    # Not of one year, so that no total of a longer period protects them.
    fill(connection, people(1, 10, start_time=datetime(2025, 12, 30), failed=False, duration_ms=1.0))
    fill(connection, people(11, 11, start_time=datetime(2026, 1, 20), failed=False, duration_ms=77.0))
    # These stand beside the one whose week is held back: in the group without a duration, in the whole with one.
    fill(connection, people(12, 30, start_time=None, failed=False, duration_ms=None))
    fill(connection, people(12, 30, start_time=None, failed=None, duration_ms=5.0))
    stack = "type: area\ndata: sessions\nx: start_time\ngrain: week\ncolor: failed\nlimit: 1\ny: "
    assert [row[1:] for row in ask(connection, f"{stack}count").rows] == [("no", 10)]
    # All durations of what did not fail are 87, which may be public: less these 10 they would be one person's 77.
    assert [row[1:] for row in ask(connection, f"{stack}sum(duration_ms)").rows] == [("no", None)]


WEEKS = "data: sessions\nx: start_time\ny: people\ngrain: week"


def test_the_period_that_is_not_over_is_shown_and_said_to_be_so(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY - timedelta(days=1)) + people(1, 99, start_time=MONDAY))
    shown = ask(connection, f"type: line\n{WEEKS}")
    assert shown.rows == ((MONDAY - timedelta(weeks=1), 10), (MONDAY, 99))
    assert (shown.grain, shown.partial, shown.people) == ("week", True, 99)
    assert shown.whole == ((MONDAY - timedelta(weeks=1), 10),)


def test_the_period_that_is_not_over_needs_enough_people_too(connection: duckdb.DuckDBPyConnection) -> None:
    weeks = [MONDAY - timedelta(weeks=number) for number in (1, 2, 3)]
    fill(connection, [run for week in weeks for run in people(1, 20, start_time=week)])
    fill(connection, people(1, 9, start_time=MONDAY))
    shown = ask(connection, f"type: line\n{WEEKS}")
    # All runs less the three weeks would be those 9: the last week goes too, rather than one in the middle.
    assert [row[0] for row in shown.rows] == weeks[:0:-1]
    assert not shown.partial
    assert shown.whole == shown.rows


def test_a_card_compares_whole_periods(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY - timedelta(days=1)) + people(1, 99, start_time=MONDAY))
    shown = ask(connection, f"type: number\n{WEEKS}")
    assert (shown.rows, shown.partial) == (((MONDAY - timedelta(weeks=1), 10),), False)


def test_a_small_group_of_the_period_that_is_not_over_costs_the_last_of_its_others(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    one, two = MONDAY - timedelta(weeks=2), MONDAY - timedelta(weeks=1)
    for week in (one, two, MONDAY):
        fill(connection, people(1, 12, shell="fish", start_time=week) + people(1, 12, shell="bash", start_time=week))
    for week, last in ((one, 12), (two, 13), (MONDAY, 9)):
        fill(connection, people(1, last, shell="zsh", start_time=week))
    shown = ask(connection, f"type: line\ncolor: shell\n{WEEKS}")
    assert (one, "zsh", 12) in shown.rows
    assert (two, "zsh", 13) not in shown.rows
    assert shown.partial


def test_the_period_that_is_not_over_is_shown_where_there_is_no_other(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, start_time=MONDAY) + people(1, 10, start_time=None))
    shown = ask(connection, "type: line\ndata: sessions\nx: start_time\ny: people\ngrain: week")
    assert shown.rows == ((MONDAY, 10),)
    assert shown.partial
    # Nor does a past that too few people are in, if no month or year less this week is theirs.
    fill(connection, people(1, 9, start_time=datetime(2025, 12, 1)))
    shown = ask(connection, "type: line\ndata: sessions\nx: start_time\ny: people\ngrain: week")
    assert (shown.rows, shown.partial, shown.withheld) == (((MONDAY, 10),), True, 1)


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
    shown = ask(connection, "type: bar\ndata: sessions\nx: start_time\ny: count")
    assert shown.grain == grain
    assert sum(int(str(row[1])) for row in shown.rows) >= 0.8 * 59 * per_day


def test_when_no_grain_shows_most_of_the_data_the_one_that_shows_most_is_taken(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection, people(1, 10, start_time=datetime(2024, 2, 2)))
    for year in range(2010, 2024):
        fill(connection, people(year, year, start_time=datetime(year, 5, 5)) * 20)
    shown = ask(connection, "type: line\ndata: sessions\nx: start_time\ny: count")
    assert shown.rows == ((datetime(2024, 1, 1), 10),)
    assert (shown.grain, shown.withheld) == ("quarter", 14)


def test_a_date_is_a_time_too(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 10, born=date(2025, 5, 5)))
    shown = ask(connection, "type: line\ndata: sessions\nx: born\ny: count\ngrain: year")
    assert shown.rows == ((datetime(2025, 1, 1), 10),)


@pytest.mark.parametrize("x", ["", "x: shell\n", "x: start_time\n", "x: start_time\ncolor: shell\n"])
def test_without_data_it_says_so(connection: duckdb.DuckDBPyConnection, x: str) -> None:
    shown = ask(connection, f"type: table\ndata: sessions\n{x}y: count")
    assert (shown.rows, shown.people, shown.empty) == ((), 0, "no data")


@pytest.mark.parametrize("x", ["", "x: shell\n", "x: start_time\n", "x: start_time\ncolor: shell\n"])
def test_with_too_few_people_it_says_so_and_nothing_else(connection: duckdb.DuckDBPyConnection, x: str) -> None:
    fill(connection, people(1, 9, shell="secret", start_time=datetime(2026, 1, 1)) * 100)
    fill(connection, [{"user_id": None, "shell": "secret", "start_time": datetime(2026, 1, 1)}] * 10)
    shown = ask(connection, f"type: table\ndata: sessions\n{x}y: [count, people]")
    assert (shown.rows, shown.people, shown.empty) == ((), 0, "too few people")
    assert (shown.groups, shown.withheld) == ((), 0)


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
    assert charts.figure(parse("type: line\ndata: releases\npeople: none\nx: released\ny: size"), chart)["data"]


@pytest.mark.parametrize(
    ("text", "option", "message"),
    [
        ("type: bar\ndata: sessions\nx: shel\ny: people", "x", 'column "shel" not found; did you mean "shell"?'),
        ("type: bar\ndata: sessions\nx: nowhere\ny: people", "x", "there are user_id, start_time, shell"),
        ("type: bar\ndata: sessions\nx: shell\ncolor: nwo\ny: people", "color", 'column "nwo" not found'),
        ("type: bar\ndata: sessions\nx: shell\ny: sum(dur)", "y", 'column "dur" not found'),
        ("type: bar\ndata: sessions\nx: USER_ID\ny: count", "x", "user_id is never published"),
        ("type: bar\ndata: sessions\nx: shell\ncolor: user_id\ny: count", "color", "user_id is never published"),
        ("type: table\ndata: sessions\ny: p50(User_Id)", "y", "is never published"),
        ("type: bar\ndata: sessions\nx: session\ny: count", "x", "which is never published; select one of its parts"),
        ("type: bar\ndata: sessions\nx: tags\ny: count", "x", "is never published"),
        ("type: bar\ndata: sessions\nx: shell\ncolor: start_time\ny: count", "color", "put it on x"),
        ("type: bar\ndata: sessions\nx: shell\ny: count\ngrain: day", "grain", "grain is for a time on x"),
        ("type: line\ndata: sessions\nx: shell\ny: count", "x", 'a line needs a time on x, "shell" is not one'),
        ("type: table\ndata: sessions\ny: mean(shell)", "y", 'mean needs a number, "shell" is VARCHAR'),
        ("type: table\ndata: sessions\ny: share(shell)", "y", "share needs a true or false column"),
        ("type: table\ndata: sessions\npeople: none", "people", "reads people's rows; remove `people: none`"),
        ("type: line\ndata: releases\npeople: none\nx: version\ny: size", "x", "a line needs a time on x"),
        ("type: bar\ndata: releases\npeople: none\nx: version\ny: released", "y", "draws numbers"),
        ("type: number\ndata: releases\npeople: none\ny: size", None, "a number shows one row"),
        ("type: table\ndata: releases\npeople: none\ny: siez", "y", 'did you mean "size"?'),
    ],
)
def test_a_block_that_does_not_fit_its_data_says_which_option(
    connection: duckdb.DuckDBPyConnection, text: str, option: str | None, message: str
) -> None:
    block = parse(text)
    unit = "runs" if block.data == "sessions" else ""
    with pytest.raises(QueryError) as raised:
        publish(connection, block, unit=unit, minimum_users=10, now=NOW)
    assert message in raised.value.message
    assert raised.value.option == option


def test_a_grain_that_is_too_fine_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 2, start_time=datetime(2020, 1, 1)) + people(1, 2, start_time=datetime(2026, 1, 1)))
    with pytest.raises(QueryError, match="grain: hour makes 52,608 periods") as raised:
        ask(connection, "type: line\ndata: sessions\nx: start_time\ny: count\ngrain: hour")
    assert raised.value.option == "grain"


def test_a_query_that_loses_its_people_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE VIEW shells AS SELECT shell FROM sessions")
    with pytest.raises(QueryError, match="loses user_id; add user_id to its SELECT"):
        ask(connection, "type: bar\ndata: shells\nx: shell\ny: count")


def test_a_user_id_of_another_type_was_made_by_somebody(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE VIEW made AS SELECT user_id::VARCHAR AS user_id, shell FROM sessions")
    with pytest.raises(QueryError, match="must be the column of a view as it is"):
        ask(connection, "type: bar\ndata: made\nx: shell\ny: count")


def test_rows_without_people_must_be_asked_for_as_such(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match="reads no people's rows; add `people: none`"):
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
        "type: table\ndata: releases\npeople: none\nx: version\ny: stable",
    ],
)
def test_the_sql_that_is_shown_gives_the_numbers_that_are_shown(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    rows = [
        {"user_id": n, "shell": "fish" if n % 3 else "zsh", "failed": n % 5 == 0, "duration_ms": n * 1.5,
         "start_time": datetime(2026, 1 + n % 2, 3)}
        for n in range(100)
    ]  # fmt: skip
    fill(connection, rows)
    shown = ask(connection, text)
    sql = statement(parse(text), shown)
    found = connection.execute(sql).fetchall()
    assert sorted(map(rounded, found)) == sorted(map(rounded, shown.rows)) != []


def rounded(row: tuple[Value, ...]) -> tuple[str, ...]:
    return tuple(f"{value:.9g}" if isinstance(value, int | float) else str(value) for value in row)


# The promise, attacked: whatever the rows and whatever the block, each published cell is counted again in plain Python.

SHELLS = [None, "fish", "zsh", OTHER, UNKNOWN, "</script>", "=1+1"]
TIMES = [None, *(datetime(2026, month, day, 5) for month in (1, 2, 3) for day in (2, 3, 17, 18))]
RUNS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7]),
        st.sampled_from(TIMES),
        st.sampled_from(SHELLS),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, 0.0, 1.0, 7.5, 2_000.0]),
    ),
    max_size=60,
)
MEASURES = [
    "count",
    "people",
    "per_person",
    "sum(duration_ms)",
    "mean(duration_ms)",
    "p50(duration_ms)",
    "share(failed)",
]


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
@given(runs=RUNS, block=blocks(), minimum=st.integers(2, 5))
def test_no_published_cell_has_too_few_people_when_counted_again(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], block: Block, minimum: int
) -> None:
    connection.execute("DELETE FROM sessions")
    names = ("user_id", "start_time", "shell", "failed", "duration_ms")
    rows = [dict(zip(names, run, strict=True)) for run in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, block, unit="runs", minimum_users=minimum, now=NOW)
    cells = recount(rows, block, shown)
    everyone: set[int] = set()
    for row in shown.rows:
        depth = len(shown.dimensions)
        cell = cells[row[:depth]]
        assert len(persons_of(cell)) >= minimum
        everyone |= persons_of(cell)
        for measure, column, value in zip(block.y, shown.measures, row[depth:], strict=True):
            if value is not None:
                assert value == pytest.approx(by_hand(str(measure), cell, cells, shown, row[:depth]))
                having = [one for one in cell if measure.column is None or one[measure.column] is not None]
                assert len(persons_of(having)) >= minimum, column
    assert shown.people == len(everyone)
    assert bool(shown.rows) == (not shown.empty)
    subtract(rows, block, shown, cells)
    attack(block, shown)


def subtract(rows: list[Row], block: Block, shown: Published, cells: dict[tuple[Value, ...], list[Row]]) -> None:
    """What is left of any total when all that is shown of it is taken away is of enough people, or of nobody.

    Totals are what other blocks over the same query may show: all rows, a label's, a period's of a coarser grain.
    """
    depth = len(shown.dimensions)
    keys = [row[:depth] for row in shown.rows]
    for place, values in enumerate(itertools.product(*map(totals_of, shown.dimensions))):
        for chosen in {tuple(view(part) for view, part in zip(values, key, strict=True)) for key in keys}:
            if OTHER in chosen:
                continue
            inside = [key for key in keys if tuple(v(part) for v, part in zip(values, key, strict=True)) == chosen]
            there = [
                row
                for row in rows
                if tuple(v(part) for v, part in zip(values, named(row, shown), strict=True)) == chosen
            ]
            taken = [id(row) for key in inside for row in cells[key]]
            left = [row for row in there if id(row) not in taken]
            assert not left or len(persons_of(left)) >= shown.minimum_users, (place, chosen)
            for number, measure in enumerate(block.y, depth):
                told = {key for *key_and, value in [(*row[:depth], row[number]) for row in shown.rows]
                        for key in [tuple(key_and)] if value is not None}  # fmt: skip
                known = [id(row) for key in inside if key in told for row in cells[key]]
                if not known:
                    continue
                unknown = [row for row in there if id(row) not in known]
                for part, whole in zip(parts_of(str(measure), unknown), parts_of(str(measure), there), strict=True):
                    # A total of too few people has no public share or sum either.
                    if len(persons_of(whole)) < shown.minimum_users:
                        continue
                    assert not part or len(persons_of(part)) >= shown.minimum_users, (measure, chosen)


def parts_of(measure: str, rows: list[Row]) -> list[list[Row]]:
    """Rows whose number, or sum, follows when a total's measure and those of the cells that are shown are known."""
    if measure.startswith("share("):
        return [[row for row in rows if row["failed"]], [row for row in rows if row["failed"] is False]]
    if measure.startswith(("sum", "mean")):
        return [[row for row in rows if row["duration_ms"]]]
    return []


def totals_of(column: Column) -> list[Callable[[Any], Any]]:
    views: list[Callable[[Any], Any]] = [lambda part: part, lambda part: None]
    if column.kind == "time":
        views += [lambda part, grain=grain: part and period(part, grain) for grain in ("week", "month", "year")]  # type: ignore[misc]
    return views


def named(row: Row, shown: Published) -> list[Any]:
    """The row's place on each axis, as exactly as the axis is cut."""
    return [
        (row[column.name] and period(row[column.name], shown.grain or "day"))
        if column.kind == "time"
        else name_of(row[column.name])
        for column in shown.dimensions
    ]


def recount(rows: list[Row], block: Block, shown: Published) -> dict[tuple[Value, ...], list[Row]]:
    """The rows of each published cell: those of its labels, and in "Other" those that no other cell has."""
    depth = len(shown.dimensions)
    keys = {row[:depth] for row in shown.rows}
    kept = [groups(rows, column.name, block.limit, shown.minimum_users) for column in shown.dimensions]
    folds = depth == 1 or (depth == 2 and block.type in ("area", "bar", "share"))
    placed: dict[tuple[Value, ...], list[Row]] = defaultdict(list)
    for row in rows:
        key = named(row, shown)
        for number, column in enumerate(shown.dimensions):
            if column.kind == "time":
                if key[number] is None or (not shown.partial and key[number] >= period(NOW, shown.grain or "day")):
                    break
            elif key[number] not in kept[number]:
                key[number] = OTHER
        else:
            if folds and tuple(key) not in keys and shown.dimensions[-1].kind != "time":
                key[-1] = OTHER
            placed[tuple(key)].append(row)
    return dict(placed)


def groups(rows: list[Row], name: str, limit: int, minimum: int) -> list[str]:
    """The labels that are not folded: of those with enough people the largest."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[name_of(row[name])].append(row)
    ordered = sorted(found, key=lambda label: (-len(persons_of(found[label])), sql_text(label)))
    return [label for label in ordered if len(persons_of(found[label])) >= minimum][:limit]


def sql_text(label: str) -> str:
    return {"yes": "true", "no": "false"}.get(label, label)


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
    measure: str, cell: list[Row], cells: dict[tuple[Value, ...], list[Row]], shown: Published, key: tuple[Value, ...]
) -> float:
    persons = persons_of(cell)
    durations = [row["duration_ms"] for row in cell if row["duration_ms"] is not None]
    outcomes = [row["failed"] for row in cell if row["failed"] is not None]
    by = 1 if len(key) == 2 else 0
    whole = sum(len(one) for other, one in cells.items() if other[:by] == key[:by])
    return {
        "count": lambda: len(cell),
        "people": lambda: len(persons),
        "per_person": lambda: sum(row["user_id"] is not None for row in cell) / len(persons),
        "share": lambda: len(cell) / whole,
        "sum(duration_ms)": lambda: sum(durations),
        "mean(duration_ms)": lambda: statistics.fmean(durations),
        "p50(duration_ms)": lambda: statistics.median(durations),
        "share(failed)": lambda: statistics.fmean(outcomes),
    }[measure]()


def attack(block: Block, shown: Published) -> None:
    """Nothing of a cell that is held back is in what is made from the published ones."""
    published = {str(value) for row in shown.rows for value in row}
    plot = charts.figure(block, shown) if block.type in charts.CHARTS and not shown.empty else None
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


def test_nothing_of_a_cell_that_is_held_back_leaves_the_gate(connection: duckdb.DuckDBPyConnection) -> None:
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
        shown = publish(connection, block, unit="runs", minimum_users=10, now=NOW)
        plot = charts.figure(block, shown) if block.type in charts.CHARTS else None
        files = download.csv_text(shown) + repr(download.parquet(shown))
        made = html.figure(block, shown, plot, "id", statement(block, shown), "data/x") + files
        assert shown.people == 30
        for secret in ("SECRET", "9.8.7", "123456", "123,456", "297", str(123_456 * 9 * 33)):
            assert secret not in made
        assert "not shown" in made or OTHER in made
