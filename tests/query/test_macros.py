"""What report SQL can say beyond DuckDB, and the page that documents it."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.function.bucket_url import open_bucket
from ingest.function.roles import ROLES
from reports.query.macros import DEFINITIONS, version_key
from reports.query.sandbox import QueryError, check
from reports.query.snapshot import fetch
from reports.query.views import VIEWS, connect
from tests import buckets
from tests.sites import APPLICATION, fill

KNOWN = buckets.registry(APPLICATION)
SQL_PAGE = Path("site/docs/sql.md")
RELEASED = {"1.0.0": "2026-01-05", "1.1.0-rc.1": "2026-01-20", "1.1": "2026-02-01", "1.10.0": "2026-03-01"}


def runs() -> list[dict[str, Any]]:
    """Three runs of one person, and one of CI."""
    days = [(1, "1.0.0", 10), (1, "1.0", 35), (1, "1.10.0", 70), (2, "1.1.0", 70)]
    return [
        {
            "user": user,
            "applicationVersion": version,
            "start": datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day),
            "attributes": {"inCi": user == 2},
        }
        for user, version, day in days
    ]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    bucket = tmp_path_factory.mktemp("macros") / "bucket"
    fill(bucket, runs())
    store = open_bucket(str(bucket))
    dates = [{"version": version, "released": f"{day}T12:00:00Z"} for version, day in RELEASED.items()]
    store.put("releases/notes.json", json.dumps(dates).encode())
    with connect(fetch(store, str(bucket), KNOWN)) as connection:
        yield connection


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    check(connection, sql, VIEWS)
    return connection.execute(sql).fetchall()


# From the smallest to the largest; those of a line are equal. The third is the example of semver.org, chapter 11.
ORDERED = [
    ["0.9"],
    ["1.0.0-1", "1.0.0-01"],
    ["1.0.0-alpha"], ["1.0.0-alpha.1"], ["1.0.0-alpha.beta"], ["1.0.0-beta"], ["1.0.0-beta.2"], ["1.0.0-beta.11"],
    ["1.0.0-rc.1+dev.3"],
    ["1.0.0-rc.1", "1.0.0-rc.1+build.5"], ["1.0.0-rc.1+post.1"],
    ["1", "1.0", "1.0.0", "01.0.00", "1.0.0+20130313144700", "1.0.0+a-b"],
    ["1.0.0+post.1.dev.2"], ["1.0.0+post.1", "1.0.0+post.01.g12ab"], ["1.0.0+post.10"], ["1.0.0-rc.1+rev.1"],
    ["1.0.0+rev.1", "1.0.0+rev.1.local.5"], ["1.0.0+rev.1.2"], ["1.0.0+rev.10.post.1"],
    ["1.0.1"], ["1.2"], ["1.10.0-rc-1"], ["1.10"], ["10"], ["100000000000000000000000.0.0"],
    ["0.1.0-rc.1+epoch.1"], ["0.1.0+epoch.1"], ["0.1.0+epoch.1.post.3"], ["0.1.0+epoch.10"],
]  # fmt: skip


def test_versions_are_ordered_as_semantic_versioning_says(connection: duckdb.DuckDBPyConnection) -> None:
    keys = [[connection.execute("SELECT version_key($1)", [one]).fetchall()[0][0] for one in line] for line in ORDERED]
    assert all(len(set(line)) == 1 for line in keys)
    assert sorted(line[0] for line in keys) == [line[0] for line in keys]
    assert len({line[0] for line in keys}) == len(keys)
    assert ask(connection, "SELECT version_key(NULL)") == [(None,)]


NUMBERS = st.from_regex(r"\A0{0,2}[0-9]{1,4}\Z")
PARTS = st.from_regex(r"\A[0-9A-Za-z.-]{1,6}\Z")


BUILDS = st.from_regex(
    r"\A(epoch\.[0-9]{1,2}\.)?(rev(\.[0-9]{1,2}){1,2}\.)?(post\.[0-9]{1,2}\.)?(dev\.[0-9]{1,2}x?)?\Z"
).filter(bool)


@st.composite
def versions(draw: st.DrawFn) -> str:
    numbers = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    made = ".".join(numbers)
    if len(numbers) == 3:
        made += draw(st.one_of(st.just(""), PARTS.map("-{}".format)))
        made += draw(st.one_of(st.just(""), PARTS.map("+{}".format), BUILDS.map("+{}".format)))
    return made


@given(one=versions(), other=versions())
def test_charts_order_versions_as_sql_does(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    sql = "SELECT version_key($1) < version_key($2), version_key($1) = version_key($2)"
    first, second = version_key(one), version_key(other)
    assert connection.execute(sql, [one, other]).fetchall() == [(first < second, first == second)]


def test_the_newest_version_has_the_first_rank_and_equal_ones_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT user_id, application_version, version_rank(application_version) AS place FROM sessions"
    found = {version: place for _, version, place in ask(connection, sql)}
    assert found == {"1.10.0": 1, "1.1.0": 2, "1.0": 3, "1.0.0": 3}


def test_a_run_is_of_the_latest_version_until_a_higher_one_is_released(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT application_version, is_latest(application, application_version, start_time) FROM sessions"
    # 1.0.0 is the latest on 11 January, and still when 1.1.0-rc.1 is there; not on 5 February.
    assert dict(ask(connection, sql)) == {"1.0.0": True, "1.0": False, "1.1.0": False, "1.10.0": True}
    when = "TIMESTAMP '2026-01-25'"
    assert ask(connection, f"SELECT is_latest('notes', '1', {when}), is_latest('none', '1', {when})") == [(True, None)]


def test_days_since_a_release_count_from_the_release_of_that_version(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT start_time, days_since_release(application, application_version, start_time) FROM sessions ORDER BY 1"
    assert sorted(days for _, days in ask(connection, sql)) == [6.0, 11.0, 31.0, 39.0]
    assert ask(connection, "SELECT days_since_release('notes', '7.0', TIMESTAMP '2026-01-25')") == [(None,)]


def test_a_cohort_is_the_period_of_a_persons_first_run_and_nothing_for_ci(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    sql = "SELECT user_id IS NULL AS ci, cohort(user_id, start_time, 'month') AS month FROM sessions"
    assert sorted(set(ask(connection, sql))) == [(False, datetime(2026, 1, 1)), (True, None)]


def test_columns_of_any_name_can_be_asked_about(connection: duckdb.DuckDBPyConnection) -> None:
    """An argument means the column beside the call, also where a release has one of that name."""
    sql = (
        "SELECT application, version, released, is_latest(application, version, released) AS latest, "
        "days_since_release(application, version, released) AS days FROM "
        "(SELECT 'other' AS application, '1.0' AS version, TIMESTAMP '2026-02-10' AS released)"
    )
    assert ask(connection, sql) == [("other", "1.0", datetime(2026, 2, 10), None, None)]
    sql = sql.replace("'other'", "'notes'")
    assert ask(connection, sql) == [("notes", "1.0", datetime(2026, 2, 10), False, 35.5)]
    sql = "SELECT version_key(part) AS x FROM (SELECT '1.0.0-a.2' AS part)"
    assert ask(connection, sql) == ask(connection, "SELECT version_key('1.0.0-a.2')")


@pytest.mark.parametrize(
    "call",
    [
        "cohort(application, start_time, 'month')",
        "cohort(1, start_time, 'month')",
        "cohort(u := application, t := start_time, g := 'month')",
        "cohort(t := user_id, u := start_time, g := 'month')",
        "cohort()",
    ],
)
def test_a_cohort_is_of_a_person_and_of_nothing_else(connection: duckdb.DuckDBPyConnection, call: str) -> None:
    with pytest.raises(QueryError, match="user_id"):
        check(connection, f"SELECT user_id, {call} AS x FROM sessions", VIEWS)


def test_no_query_takes_a_macro_away(connection: duckdb.DuckDBPyConnection) -> None:
    for sql in ("CREATE MACRO cohort(u, t, g) AS t", "DROP MACRO cohort"):
        with pytest.raises(QueryError, match="only SELECT is allowed"):
            check(connection, sql, VIEWS)


def test_every_macro_is_documented_with_examples_that_give_what_they_say(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|$", SQL_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    examples = [(call, said) for call, said in rows if re.fullmatch(r"true|false|nothing|[0-9.]+", said)]
    assert len(examples) >= 8
    for call, gives in examples:
        assert ask(connection, f"SELECT ({call})::VARCHAR") == [(None if gives == "nothing" else gives,)], call
    said = SQL_PAGE.read_text(encoding="utf-8")
    for name in DEFINITIONS:
        assert f"| `{name}(" in said


def test_every_role_and_view_is_documented() -> None:
    said = SQL_PAGE.read_text(encoding="utf-8")
    for role, (kind, meaning) in ROLES.items():
        assert f"| `{role}` | {kind} | {meaning} |" in said
    for view in VIEWS:
        assert f"| `{view}` |" in said
