import os
from collections.abc import Iterator

import duckdb
import pytest

from reports.query.sandbox import QueryError, check, explain, parse
from tests.messages import mentions

RELATIONS = {"sessions": "runs", "events": "events", "slow": "runs", "releases": ""}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A hundred people with a run each, as the views have them, and a table that is not people's."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            """
            CREATE TABLE base AS
            SELECT hash(range) AS user_id, 'sh' || range % 3 AS shell, range::DOUBLE AS duration_ms,
                TIMESTAMP '2026-01-01' + to_days(range::INTEGER % 30) AS start_time, 'SECRET' AS secret,
                struct_pack(shell := 'sh0') AS session, [1, 2] AS numbers
            FROM range(100)
            """
        )
        connection.execute("CREATE VIEW sessions AS FROM base")
        connection.execute("CREATE VIEW events AS FROM base")
        connection.execute("CREATE VIEW slow AS FROM base WHERE duration_ms > 50")
        connection.execute("CREATE TABLE releases AS SELECT '1.0' AS version, TIMESTAMP '2026-01-01' AS released")
        yield connection


ALLOWED = [
    ("FROM sessions", "runs"),
    ("TABLE sessions", "runs"),
    ("SELECT user_id, shell FROM sessions", "runs"),
    ("(SELECT user_id, shell FROM sessions);", "runs"),
    ("SELECT * EXCLUDE (secret) REPLACE (lower(shell) AS shell) RENAME (start_time AS begun) FROM sessions", "runs"),
    ("SELECT USER_ID, Shell FROM Sessions", "runs"),
    ("SELECT user_id, shell FROM sessions -- ; DROP TABLE base", "runs"),
    ("/* ; */ SELECT user_id, ';' AS x FROM sessions", "runs"),
    ("SELECT user_id, coalesce(shell = 'sh1', false) AS x FROM events WHERE shell LIKE 's%'", "events"),
    ("SELECT user_id, session.shell FROM events", "events"),
    ("SELECT user_id, -duration_ms AS x, duration_ms BETWEEN 1 AND 2 AS y, shell IN ('a', 'b') AS z FROM slow", "runs"),
    ("SELECT user_id, start_time - INTERVAL 3 DAY AS x, extract(hour FROM start_time) AS y FROM sessions", "runs"),
    ("SELECT user_id, CASE WHEN duration_ms > 10 THEN 'slow' ELSE 'fast' END AS speed FROM sessions", "runs"),
    ("SELECT user_id, min(start_time) AS first FROM sessions GROUP BY user_id", "rows"),
    ("SELECT DISTINCT user_id, shell FROM sessions", "rows"),
    ("SELECT shell, count(*) AS n FROM sessions GROUP BY ALL", "rows"),
    ("SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY start_time) AS nth FROM sessions", "runs"),
    ("SELECT user_id, lag(shell) OVER w AS before FROM sessions WINDOW w AS (PARTITION BY user_id)", "runs"),
    ("SELECT user_id, shell FROM sessions QUALIFY row_number() OVER (ORDER BY start_time DESC) <= 50", "runs"),
    ("SELECT user_id, shell FROM sessions ORDER BY rank() OVER (ORDER BY start_time)", "runs"),
    ("SELECT s.user_id, e.shell FROM sessions s JOIN events e USING (user_id)", "rows"),
    ("SELECT s.user_id FROM sessions s LEFT JOIN events e ON s.user_id = e.user_id AND e.shell = 'sh1'", "rows"),
    ("SELECT s.user_id FROM slow s JOIN slow f ON f.user_id = s.user_id JOIN slow g ON g.user_id = s.user_id", "runs"),
    ("SELECT s.user_id FROM sessions s ASOF JOIN slow e USING (user_id, start_time)", "runs"),
    ("FROM sessions SEMI JOIN slow USING (user_id)", "runs"),
    ("SELECT user_id, version FROM sessions, releases WHERE start_time > released", "runs"),
    ("SELECT user_id FROM sessions, (SELECT 1 AS x UNION ALL SELECT 2) AS two", "runs"),
    ("SELECT user_id, user_id IN (SELECT user_id FROM events WHERE shell = 'sh1') AS met FROM slow", "rows"),
    ("SELECT user_id FROM sessions WHERE user_id NOT IN (SELECT user_id FROM slow)", "runs"),
    ("SELECT user_id FROM slow WHERE start_time >= (SELECT max(released) FROM releases)", "runs"),
    ("SELECT user_id, shell FROM sessions UNION ALL BY NAME SELECT user_id FROM slow", "runs"),
    ("WITH a AS (SELECT user_id FROM sessions), b AS (FROM a) FROM b", "runs"),
    ("WITH RELEASED AS (FROM releases) SELECT user_id FROM sessions, released", "runs"),
    ("FROM sessions UNPIVOT (v FOR k IN (duration_ms))", "runs"),
    ("SELECT version FROM releases", ""),
    ("SELECT 1 AS x UNION SELECT 2", ""),
    ("VALUES (1, 'x')", ""),
    ("SELECT day FROM range(TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01', INTERVAL 1 DAY) AS t(day)", ""),
    ("SELECT x FROM generate_series(1, 3) AS t(x)", ""),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "unit"), ALLOWED)
def test_a_query_that_keeps_rows_with_their_people_is_allowed_and_runs(
    connection: duckdb.DuckDBPyConnection, sql: str, unit: str
) -> None:
    assert check(connection, sql, RELATIONS) == unit
    connection.execute(sql).fetchall()


OUTSIDE = [
    "COPY (SELECT 1) TO 'x.csv'",
    "COPY base FROM 'x.csv'",
    "ATTACH 'x.db'",
    "SET memory_limit = '1GB'",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE 'x'",
    "CREATE VIEW sessions AS SELECT 1",
    "CREATE OR REPLACE MACRO lower(x) AS 'x'",
    "DROP VIEW sessions",
    "INSERT INTO base FROM base",
    "UPDATE base SET shell = 'x'",
    "DELETE FROM base",
    "EXPLAIN SELECT 1",
    "DESCRIBE sessions",
    "SUMMARIZE sessions",
    "SHOW TABLES",
    "FROM (DESCRIBE sessions)",
    "FROM (SUMMARIZE sessions)",
    "FROM (SHOW ALL TABLES)",
    "PIVOT sessions ON shell USING count(*)",
    "USE main",
    "BEGIN",
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT user_id FROM sessions; ATTACH 'x.db'",
    "SELEC user_id FROM sessions",
    "FROM base",
    "FROM main.sessions",
    "FROM memory.main.sessions",
    "FROM temp.sessions",
    'FROM "memory"."main"."base"',
    "FROM information_schema.tables",
    "FROM duckdb_settings",
    "FROM sqlite_master",
    # The Kelvin sign is a k in lower case for Python, and not for DuckDB.
    'WITH "duc\u212adb_views" AS (SELECT 1) FROM duckdb_views',
    "FROM 'secrets.parquet'",
    "FROM 'https://example.com/x.csv'",
    "FROM read_parquet('x.parquet')",
    "FROM read_text('/etc/passwd')",
    "FROM glob('*')",
    "FROM query('SELECT 1')",
    "FROM main.query('SELECT 1')",
    "FROM system.main.range(3)",
    "FROM query_table('base')",
    "FROM duckdb_views()",
    "FROM json_execute_serialized_sql('{}')",
    "FROM sniff_csv('x')",
    "FROM test_all_types()",
    "FROM unnest([1])",
    "SELECT getenv('HOME') AS x",
    "SELECT system.main.getenv('HOME') AS x",
    "SELECT main.lower('X') AS x",
    "SELECT current_setting('home_directory') AS x",
    "SELECT getvariable('x') AS x",
    "SELECT current_query() AS x",
    "SELECT version() AS x",
    "SELECT nextval('s') AS x",
    "SELECT write_log('x') AS x",
    "SELECT pg_sleep(100) AS x",
    "SELECT error('x') AS x",
    "SELECT random() AS x",
    "SELECT gen_random_uuid() AS x",
    "SELECT user_id FROM sessions WHERE random() < 0.5",
    "SELECT user_id FROM sessions USING SAMPLE 10",
    "SELECT user_id FROM sessions TABLESAMPLE 10%",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) FROM t",
    "WITH sessions AS (SELECT 1 AS x) FROM sessions",
    "WITH SESSIONS AS (SELECT 1 AS x) FROM sessions",
    "SELECT 1 AS x, (WITH releases AS (SELECT 1 AS y) SELECT y FROM releases) AS z FROM sessions",
]


@pytest.mark.parametrize("sql", OUTSIDE)
def test_what_is_not_one_select_over_the_views_is_refused(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryError):
        check(connection, sql, RELATIONS)


MAKES_PEOPLE = [
    "SELECT 1 AS user_id, shell FROM sessions",
    "SELECT user_id: 1, shell FROM sessions",
    'SELECT 1 AS "USER_ID" FROM sessions',
    "SELECT hash(start_time) AS user_id FROM sessions",
    "SELECT shell AS user_id FROM sessions",
    "SELECT user_id + 0 AS user_id FROM sessions",
    "SELECT s.shell AS User_Id FROM sessions s",
    "SELECT * REPLACE (hash(start_time) AS user_id) FROM sessions",
    "SELECT * RENAME (shell AS user_id) FROM sessions",
    "SELECT * EXCLUDE (user_id), shell AS user_id FROM sessions",
    "SELECT COLUMNS('shell') AS user_id FROM sessions",
    "SELECT COLUMNS('(us)er_(id)') AS '\\1er_\\2' FROM sessions",
    "SELECT COLUMNS(lambda c: c = 'shell') AS x FROM sessions",
    "SELECT max(COLUMNS('user.id')) FROM sessions",
    "SELECT coalesce(*COLUMNS('user.id'), 1) FROM sessions",
    "FROM sessions AS t(user_id)",
    "FROM (VALUES (1), (2)) AS t(user_id), sessions",
    "WITH t(user_id) AS (VALUES (1)) FROM t, sessions",
    "FROM range(1000) AS t(user_id), sessions",
    "FROM (SELECT shell FROM sessions) AS user_id",
    "SELECT user_id, shell FROM sessions UNION ALL SELECT range, 'x' FROM range(1000)",
    "SELECT user_id, shell FROM sessions UNION SELECT range, 'x' FROM range(1000)",
    "FROM (SELECT user_id FROM sessions UNION ALL SELECT 1)",
    "WITH t AS (SELECT user_id FROM sessions) FROM t UNION ALL SELECT 1",
    "SELECT user_id FROM sessions UNION ALL BY NAME SELECT 1 AS user_id",
    "WITH RECURSIVE t AS (SELECT user_id FROM sessions UNION ALL SELECT user_id + 1 FROM t) FROM t",
    "SELECT unnest({'user_id': 1}) FROM sessions",
    "SELECT struct_pack(user_id := 1).user_id FROM sessions",
    "SELECT ('{user_id: 1}'::STRUCT(user_id UBIGINT)).user_id FROM sessions",
    "SELECT s.user_id FROM (SELECT row(1)::STRUCT(user_id INTEGER) AS s FROM sessions)",
    """SELECT unnest(from_json('{"user' || '_id": 1}', '{"user' || '_id": "UBIGINT"}')) FROM sessions""",
    "SELECT u.* FROM (SELECT CASE WHEN true THEN '{user_id: 5}' ELSE s END AS u FROM sessions s)",
    "SELECT u.* FROM (SELECT CASE WHEN true THEN '{user_id: 5}' ELSE main.sessions END AS u FROM sessions)",
    "SELECT u.* FROM (SELECT coalesce('{user_id: 5}', t) AS u FROM (FROM sessions) t)",
    "SELECT struct_insert(s, user_id := 1) FROM sessions s",
    "SELECT remap_struct({'a': 1}, {'b': 2}, {'b': 'a'}, {}) AS x FROM sessions",
    "SELECT cast_to_type(row(1), s) AS x FROM sessions s",
    "FROM (SELECT 'user' AS k, start_time AS v FROM sessions) PIVOT (max(v) AS id FOR k IN ('user'))",
    "FROM (SELECT 'user_id' AS k, start_time AS v FROM sessions) PIVOT (max(v) FOR k IN ('user_id'))",
    "FROM sessions UNPIVOT (user_id FOR k IN (duration_ms))",
    "FROM sessions UNPIVOT (v FOR user_id IN (duration_ms))",
]


@pytest.mark.parametrize("sql", MAKES_PEOPLE)
def test_no_query_makes_people(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryError):
        check(connection, sql, RELATIONS)


LENDS = [
    "SELECT lead(user_id) OVER (ORDER BY start_time) AS user_id, shell FROM sessions",
    "SELECT user_id, lead(shell) OVER (ORDER BY start_time) AS x FROM sessions",
    "SELECT user_id, max(duration_ms) OVER () AS x FROM sessions",
    "SELECT user_id, first_value(secret) OVER (PARTITION BY shell) AS x FROM sessions",
    "SELECT user_id, count(*) OVER w AS x FROM sessions WINDOW w AS (ORDER BY duration_ms)",
    "SELECT user_id, ntile(4) OVER (ORDER BY duration_ms) AS quarter FROM sessions",
    "SELECT user_id, percent_rank() OVER (ORDER BY duration_ms) AS x FROM sessions",
    "SELECT user_id, rank() OVER (ORDER BY duration_ms) AS x FROM sessions",
    "SELECT user_id, shell FROM sessions QUALIFY rank() OVER (PARTITION BY shell ORDER BY duration_ms) = 1",
    "SELECT user_id, shell FROM sessions QUALIFY max(duration_ms) OVER () > duration_ms",
    "SELECT user_id, shell FROM sessions ORDER BY lag(duration_ms) OVER (ORDER BY start_time)",
    "SELECT user_id FROM slow WHERE start_time >= (SELECT max(start_time) FROM slow) - INTERVAL 28 DAY",
    "SELECT user_id FROM sessions WHERE duration_ms > (SELECT duration_ms FROM sessions WHERE secret = 'SECRET')",
    "SELECT user_id FROM sessions WHERE shell IN (SELECT shell FROM slow)",
    "SELECT user_id FROM sessions WHERE EXISTS (FROM events WHERE secret = 'SECRET')",
    "SELECT user_id FROM sessions s WHERE EXISTS (FROM events e WHERE e.user_id = s.user_id)",
    "SELECT user_id, count(*) AS n FROM sessions GROUP BY user_id HAVING n > (SELECT count(*) FROM slow)",
    "SELECT user_id, count(*) FILTER (duration_ms < (SELECT max(duration_ms) FROM slow)) AS n FROM slow GROUP BY 1",
    "SELECT user_id, (SELECT secret FROM sessions LIMIT 1) AS x FROM sessions",
    "SELECT user_id, (SELECT max(duration_ms) FROM sessions) AS x FROM sessions",
    "SELECT user_id, (SELECT max(duration_ms) FROM sessions)::VARCHAR || 'x' AS x FROM sessions",
    "SELECT user_id, (SELECT t.secret FROM sessions t WHERE t.shell = s.shell LIMIT 1) AS x FROM sessions s",
    "SELECT user_id, EXISTS (FROM sessions WHERE secret = 'SECRET') AS x FROM releases, sessions",
    "SELECT user_id, 1 IN (SELECT duration_ms FROM sessions) AS x FROM sessions",
    "SELECT user_id, user_id IN (SELECT duration_ms FROM sessions) AS x FROM sessions",
    "SELECT user_id, ARRAY(SELECT secret FROM sessions) AS x FROM sessions",
    "WITH t AS (SELECT max(duration_ms) AS m FROM sessions) SELECT user_id, (SELECT m FROM t) AS x FROM sessions",
    "WITH t AS (SELECT max(duration_ms) AS m FROM sessions) SELECT user_id, m FROM sessions, t",
    "SELECT a.user_id, b.secret FROM sessions a, sessions b",
    "SELECT a.user_id, b.secret FROM sessions a CROSS JOIN sessions b",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b ON true",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b ON a.user_id = a.user_id",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b ON a.user_id = b.user_id OR true",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b ON a.user_id <> b.user_id",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b ON NOT a.user_id = b.user_id",
    "SELECT a.user_id, b.secret FROM sessions a JOIN sessions b USING (shell)",
    "SELECT a.user_id, b.secret FROM sessions a JOIN events b USING (start_time) JOIN slow USING (user_id)",
    "SELECT a.user_id, b.secret FROM (sessions a JOIN slow c USING (user_id)) JOIN events b ON a.user_id = c.user_id",
    "SELECT a.user_id, b.secret FROM sessions a ASOF JOIN sessions b USING (user_id)",
    "SELECT a.user_id, b.secret FROM sessions a ASOF JOIN sessions b USING (shell, user_id)",
    "SELECT a.user_id, b.secret FROM sessions a POSITIONAL JOIN sessions b",
    "SELECT a.user_id, b.secret FROM sessions a, LATERAL (SELECT secret FROM sessions WHERE shell = a.shell) b",
    "SELECT user_id, x FROM sessions, (SELECT max(secret) AS x FROM sessions)",
    "SELECT user_id FROM sessions ORDER BY start_time LIMIT (SELECT max(duration_ms)::INTEGER FROM sessions)",
]


@pytest.mark.parametrize("sql", LENDS)
def test_no_row_gets_people_or_values_of_another_person(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryError):
        check(connection, sql, RELATIONS)


def test_a_name_that_only_looks_like_user_id_is_another_column(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("u\u017fer_id", "user_\u0131d", "user_\u0456d", "user_id\u200b"):
        assert check(connection, f'SELECT 1 AS "{name}", shell FROM sessions', RELATIONS) == "runs"
        columns = connection.execute(f'SELECT 1 AS "{name}", user_id FROM sessions LIMIT 0').description or []
        assert [column[0] for column in columns] == [name, "user_id"]


def test_a_part_of_with_does_not_reach_into_a_view(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "WITH base AS (SELECT 1 AS x) SELECT count(*) AS n FROM sessions"
    check(connection, sql, RELATIONS)
    assert connection.execute(sql).fetchall() == [(100,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 900 + "1" + ")" * 900,
        "SELECT " + "+".join(["1"] * 900) + " AS x",
        "SELECT * FROM " + "(SELECT * FROM " * 500 + "sessions" + ")" * 500,
        "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
        "SELECT * FROM " + "(SELECT * FROM " * 100_000 + "sessions" + ")" * 100_000,
        "SELECT 1 AS x WHERE " + "NOT " * 2_400 + "true",
        "SELECT " + "[" * 4_900 + "]" * 4_900,
        "SELECT 'x\0' AS x; DROP VIEW sessions",
    ],
)
def test_no_query_takes_the_process_down(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    # Allowed or refused: an answer either way.
    try:
        check(connection, sql, RELATIONS)
    except QueryError as error:
        assert len(error.message) < 300


@pytest.mark.parametrize(
    ("sql", "line", "named"),
    [
        ("SELECT user_id\nFROM sesions", 1, ("sesions", "sessions")),
        ("SELECT user_id\nFROM nowhere", 1, ("nowhere", "sessions", "events", "slow", "releases")),
        ("\n\nSELECT getenv('é')\n  AS x", 2, ("getenv",)),
        ("SELECT 'ééééééééééééééé' AS a,\n 'éééé' AS b,\n lowr('x') AS c", 2, ("lowr", "lower")),
        ("SELECT user_id,\n  1 AS user_id\nFROM sessions", 1, ("user_id",)),
        ("SELECT 1,\n\n  FROM WHERE", 2, ("syntax",)),
        ("SELECT user_id\nFROM sessions a\nJOIN events b ON true", None, ("USING (user_id)",)),
    ],
)
def test_a_fault_says_where_it_is_and_what_was_meant(
    connection: duckdb.DuckDBPyConnection, sql: str, line: int | None, named: tuple[str, ...]
) -> None:
    with pytest.raises(QueryError) as raised:
        check(connection, sql, RELATIONS)
    assert mentions(raised.value.message, *named)
    assert line is None or raised.value.line == line


@pytest.mark.parametrize(
    ("sql", "line", "named"),
    [
        ("SELECT user_id,\n  shel\nFROM sessions", 1, ("shel", "shell")),
        ("SELECT s.shel FROM sessions s", 0, ("shel",)),
        ("SELECT user_id FROM sessions\nWHERE shell > 1 AND lower(1, 2)", 1, ("SQL",)),
    ],
)
def test_an_error_of_the_database_says_where_it_is_and_what_was_meant(
    connection: duckdb.DuckDBPyConnection, sql: str, line: int, named: tuple[str, ...]
) -> None:
    with pytest.raises(duckdb.Error) as raised:
        connection.execute(sql)
    error = explain(raised.value, sql, values=False)
    assert mentions(error.message, *named)
    assert error.line == line


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT max(secret::INTEGER) FROM sessions",
        "SELECT max(strptime(secret, '%Y')) FROM sessions",
        "SELECT error('it was ' || secret) FROM sessions",
    ],
)
def test_an_error_that_a_row_caused_does_not_say_what_was_in_it(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    with pytest.raises(duckdb.Error) as raised:
        connection.execute(sql).fetchall()
    assert "SECRET" in explain(raised.value, sql).message
    told = explain(raised.value, sql, values=False).message
    assert "SECRET" not in told
    assert "TRY_CAST" in told


def test_the_settings_of_a_process_are_not_needed_to_refuse_writing(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryError, match="only SELECT is allowed"):
        parse(connection, f"COPY (SELECT 1) TO '{os.devnull}'")


def test_a_machine_that_is_too_small_is_named_as_what_is_wrong() -> None:
    with duckdb.connect(config={"memory_limit": "20MB", "temp_directory": ""}) as small:
        sql = "CREATE TABLE a AS SELECT range AS i, hash(range) AS h FROM range(100000000)"
        with pytest.raises(duckdb.OutOfMemoryException) as raised:
            small.execute(sql)
    told = explain(raised.value, sql, values=False).message
    assert mentions(told, "memory") and not mentions(told, "TRY_CAST")
