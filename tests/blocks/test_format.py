import ast
import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from reports.blocks import format
from reports.blocks.kinds import Measure
from reports.blocks.published import Column, Value


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0"), (12, "12"), (1_234_567, "1,234,567"), (-5, "-5"),
        (0.0, "0"), (1.0, "1"), (2.5, "2.5"), (1 / 3, "0.333"), (0.000_012_3, "0.0000123"), (12.34, "12.3"),
        (123.4, "123"), (999.7, "1,000"), (1_234.5, "1,234"), (1e15, "1,000,000,000,000,000"), (-0.25, "-0.25"),
        (1e-30, "0"), (float("inf"), format.NOTHING), (float("nan"), format.NOTHING), (None, format.NOTHING),
        (True, "yes"), (False, "no"),
        ("a\u202eb", "a\ufffdb"), (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04 UTC"),
    ],
)  # fmt: skip
def test_a_number_has_three_digits_or_all_before_the_point(given: Value, shown: str) -> None:
    assert format.value(Column("c", "number"), given) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0 %"), (0.0, "0 %"), (1.0, "100 %"), (0.5, "50.0 %"), (0.0263, "2.6 %"), (0.0004, "< 0.1 %"),
        (0.001, "0.1 %"), (0.9996, "> 99.9 %"), (0.996, "99.6 %"), (None, format.NOTHING),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_nothing_or_all(given: Value, shown: str) -> None:
    assert format.value(Column("c", "share"), given) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0 ms"), (0.5, "0.5 ms"), (999, "999 ms"), (1_000, "1 s"), (1_500, "1.5 s"), (59_000, "59 s"),
        (90_000, "1.5 min"), (3_600_000, "1 h"), (90_000_000, "25 h"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_that_people_would_use(given: Value, shown: str) -> None:
    assert format.value(Column("duration_ms", "milliseconds"), given) == shown


@pytest.mark.parametrize(
    ("grain", "shown"),
    [
        ("hour", "2026-05-04 00:00"), ("day", "2026-05-04"), ("week", "2026-05-04"), ("month", "May 2026"),
        ("quarter", "2026 Q2"), ("year", "2026"), (None, "2026-05-04 00:00"),
    ],
)  # fmt: skip
def test_a_period_is_named_by_its_grain(grain: str | None, shown: str) -> None:
    assert format.label(datetime(2026, 5, 4), grain) == shown


@pytest.mark.parametrize(
    "one", [chr(0), "\t", "\n", "\x7f", "\x9b", "\u200b", "\u202e", "\u2066", "\u2028", "\ufeff", "\U000e0041"]
)
def test_no_character_that_acts_on_its_neighbours_is_shown(one: str) -> None:
    assert format.inert(f"a{one}b") == "a\ufffdb"
    assert format.label(f"a{one}b", None) == "a\ufffdb"


def test_other_writing_is_left_as_it_is() -> None:
    for text in ("naïve", "日本語", "עברית", "🐟", "a\u0301"):
        assert format.inert(text) == text


def test_a_long_text_is_cut() -> None:
    assert format.inert("x" * 4_096) == "x" * 79 + "…"
    assert format.inert("x" * 80) == "x" * 80


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("failure_reason", "failure reason"), ("containerCount", "container count"), ("os", "operating system"),
        ("ci", "CI"), ("ci_system", "CI system"), ("duration_ms", "duration"), ("GitHub_Actions", "GitHub Actions"),
        ("usesSSHAgent", "uses SSH agent"),
        ("URL", "URL"), ("http2Enabled", "http2 enabled"), ("_ms", "ms"), ("x", "x"),
    ],
)  # fmt: skip
def test_a_name_is_put_into_words(name: str, shown: str) -> None:
    assert format.words(name) == shown


@pytest.mark.parametrize(
    ("measure", "unit", "heading", "axis"),
    [
        (Measure("count"), "events", "Events", "Events"),
        (Measure("people"), "runs", "People", "People"),
        (Measure("per_person"), "spans", "Spans per person", "Spans per person"),
        (Measure("share"), "runs", "Share of runs", "Share of runs"),
        (Measure("share", "GitHub_Actions"), "runs", "GitHub Actions", "Share of runs"),
        (Measure("p50", "duration_ms"), "runs", "Median duration", "Median duration"),
        (Measure("p95", "duration_ms"), "runs", "95th percentile of duration", "95th percentile of duration"),
        (Measure("sum", "taskCount"), "runs", "Sum of task count", "Sum of task count"),
        (Measure("column", "ci"), "", "CI", "CI"),
    ],
)
def test_a_measure_says_what_it_counts(measure: Measure, unit: str, heading: str, axis: str) -> None:
    assert format.heading(measure, unit) == heading
    assert format.axis(measure, unit) == axis


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions"), (2_000, "2,000 sessions"), (-1, "-1 sessions")],
)
def test_a_count_has_its_noun_in_the_right_number(number: int, said: str) -> None:
    assert format.plural(number, "session") == said


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    said = [format.plural(number, "person", "people") for number in (0, 1, 1_000_000)]
    assert said == ["0 people", "1 person", "1,000,000 people"]


NOUNS = r" (sessions|people|objects|rows|files|pages|blocks|runs|releases|mistakes|hours|days|events|lines|groups)\b"
# Of a number that is never one: a constant, or the least number of people.
LARGE = re.compile(r"[A-Z_]+|(.*\.)?minimum(_users)?|.*\.rounded")


@pytest.mark.parametrize("room", sorted(path.parent.name for path in Path("reports").glob("*/__init__.py")))
def test_no_message_counts_without_looking_whether_it_is_one(room: str) -> None:
    wrong = []
    for path in Path("reports", room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for number, text in pairwise(parts):
                counted = isinstance(number, ast.FormattedValue) and ast.unparse(number.value)
                noun = isinstance(text, ast.Constant) and re.match(NOUNS, str(text.value))
                if counted and noun and not LARGE.fullmatch(counted):
                    wrong.append(f"{path}:{number.lineno}: {{{counted}}}{noun[0]}")
    assert wrong == []
