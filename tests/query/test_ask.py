"""`abaculus sql`: answers as a table, CSV and JSON, whatever the values; and questions that cannot be answered."""

import csv
import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from ingest.function.bucket_url import open_bucket
from reports.query.ask import FORMS, Answer, AskError, ask
from reports.writers import compact
from tests.buckets import NOTES, REGISTRY, keep, registry, session, uuid
from tests.messages import mentions

HOSTILE = '=1+1,"x"\n\t\x1b[31mred\x1b[0m [bold]b[/bold] \u202egnp.exe :smile:'


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Answer]:
    """Asks a bucket of two sessions."""
    bucket = str(tmp_path_factory.mktemp("bucket"))
    store = open_bucket(bucket)
    keep(store, session(1, attributes={"osName": "Linux", "exitCode": -1, "comment": HOSTILE}), session(2, user=2))
    compact.compact(store, bucket, REGISTRY)
    return cache(lambda query: ask(store, bucket, REGISTRY, query))


def told(question: Callable[[str], Answer], query: str) -> Any:
    return json.loads(FORMS["json"](question(query)))


def test_the_private_views_answer_with_session_id_and_free_text(question: Callable[[str], Answer]) -> None:
    answer = told(question, "SELECT session_id, user_id, comment, exit_code FROM sessions ORDER BY exit_code LIMIT 1")
    assert answer == [
        {"session_id": uuid(1), "user_id": uuid(1_000_001), "comment": HOSTILE, "exit_code": -1}
    ]  # fmt: skip


def test_a_table_has_a_line_a_row_whatever_the_values(question: Callable[[str], Answer]) -> None:
    text = FORMS["table"](question("SELECT session_id, comment, exit_code FROM sessions ORDER BY exit_code"))
    lines = text.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "2 rows"
    assert "\x1b" not in text and "\u202e" not in text
    assert "[bold]b[/bold]" in text and ":smile:" in text
    assert lines[2].rstrip().endswith("-1")


def test_a_table_of_one_row_and_of_none(question: Callable[[str], Answer]) -> None:
    assert FORMS["table"](question("SELECT 1 AS n")).splitlines()[-1] == "1 row"
    empty = FORMS["table"](question("SELECT os FROM sessions WHERE false")).splitlines()
    assert "os" in empty[0] and empty[-1] == "0 rows"


def test_csv_is_read_back_as_it_was(question: Callable[[str], Answer]) -> None:
    text = FORMS["csv"](question("SELECT comment, exit_code, NULL AS nothing FROM sessions ORDER BY exit_code LIMIT 1"))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["comment", "exit_code", "nothing"], [HOSTILE, "-1", ""]]


def test_json_is_an_array_of_objects(question: Callable[[str], Answer]) -> None:
    assert told(question, "SELECT os, count(*) AS n FROM sessions GROUP BY ALL") == [{"os": "Linux", "n": 2}]
    assert told(question, "SELECT os FROM sessions WHERE false") == []


def test_columns_of_one_name_are_numbered_and_none_is_lost(question: Callable[[str], Answer]) -> None:
    answer = question("SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a, 5 AS a_2")
    assert len(set(answer.columns)) == 5
    assert answer.rows == [(1, 2, 3, 4, 5)]
    assert list(told(question, "SELECT 1 AS a, 2 AS a, 5 AS a_2")[0].values()) == [1, 2, 5]


VALUES = {
    "now() IS NOT NULL": True,
    "TIMESTAMPTZ '2026-01-02 03:04:05.678901+00'": "2026-01-02T03:04:05.678901Z",
    "TIMESTAMPTZ '2026-01-02 03:04:05+02'": "2026-01-02T01:04:05Z",
    "TIMESTAMP '2026-01-02 03:04:05'": "2026-01-02T03:04:05Z",
    "DATE '2026-01-02'": "2026-01-02",
    "TIME '01:02:03'": "01:02:03",
    "DATE '99999-01-01'": "99999-01-01",
    "'nan'::DOUBLE": None,
    "'-inf'::DOUBLE": None,
    "1.50::DECIMAL(10, 2)": 1.5,
    "2.00::DECIMAL(10, 2)": 2,
    "170141183460469231731687303715884105727::HUGEINT": 2**127 - 1,
    "UUID '00000000-0000-4000-8000-000000000001'": uuid(1),
    "[1, NULL]": [1, None],
    "{'a': ['nan'::DOUBLE], 'b': {'c': TIMESTAMP '2026-01-02'}}": {"a": [None], "b": {"c": "2026-01-02T00:00:00Z"}},
    "MAP {'a': 1}": {"a": 1},
    "MAP {1: 'a'}": {"1": "a"},
    "'x'::ENUM('x')": "x",
    "NULL": None,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [*VALUES, "'\\xAA\\x00'::BLOB", "INTERVAL 1 MONTH", "'101'::BIT", "MAP {[1]: 2}"])
def test_every_kind_of_value_has_a_text_in_every_form(form: str, value: str, question: Callable[[str], Answer]) -> None:
    text = FORMS[form](question(f"SELECT {value} AS v, 1 AS n"))
    assert "v" in text and "1" in text


@pytest.mark.parametrize(("sql", "value"), VALUES.items(), ids=VALUES.keys())
def test_a_value_in_json_is_what_it_was(sql: str, value: object, question: Callable[[str], Answer]) -> None:
    assert told(question, f"SELECT {sql} AS v") == [{"v": value}]


def test_a_time_with_a_zone_keeps_order_names_and_neighbours(question: Callable[[str], Answer]) -> None:
    query = "SELECT n, '2026-01-01'::TIMESTAMPTZ AS n, 'a;b' FROM range(3) t(n) ORDER BY t.n DESC; -- the end"
    answer = question(query)
    assert answer.columns == ["n", "n_2", "'a;b'"]
    assert [row[0] for row in answer.rows] == [2, 1, 0]


FAULTS = {
    "SELECT shel FROM sessions": ("shel", "shell"),
    "SELECT\n1,\nshel\nFROM sessions": ("line 3", "shel"),
    "SELECT * FROM session": ("session",),
    "SELECT 1 FROM": ("SQL",),
    "DROP TABLE releases": ("SELECT",),
    "COPY (SELECT 1) TO 'x'": ("SELECT",),
    "SET threads = 1": ("SELECT",),
    "SELECT 1; SELECT 2": ("one SELECT",),
    "": (),
    "SELECT * FROM read_csv('/etc/passwd')": ("/etc/passwd",),
    "SELECT 'x'::INTEGER": ("x", "INT32"),
    "SELECT [now()]": ("TIMESTAMP",),
}


@pytest.mark.parametrize(("query", "named"), FAULTS.items(), ids=FAULTS.keys())
def test_a_question_that_cannot_be_answered_says_why(
    query: str, named: tuple[str, ...], question: Callable[[str], Answer]
) -> None:
    with pytest.raises(AskError) as raised:
        question(query)
    assert str(raised.value) and mentions(str(raised.value), *named)


def test_applications_that_contradict_each_other_are_named(bucket: str) -> None:
    other = NOTES.replace('"notes"', '"other"').replace('"number"', '"boolean"')
    with pytest.raises(AskError) as raised:
        ask(open_bucket(bucket), bucket, registry(NOTES, other), "SELECT 1")
    assert mentions(str(raised.value), "memory", "number", "'notes'", "boolean", "'other'")


def test_an_empty_bucket_answers(bucket: str) -> None:
    assert ask(open_bucket(bucket), bucket, REGISTRY, "SELECT count(*) AS n FROM sessions").rows == [(0,)]
