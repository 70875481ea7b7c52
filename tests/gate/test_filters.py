from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.blocks.block import Block, BlockError, parse
from reports.blocks.published import Published
from reports.gate.publish import publish
from reports.query.macros import DEFINITIONS, INGESTED
from reports.query.sandbox import QueryError
from tests.attack import examples
from tests.gate import test_publish as gate
from tests.gate.test_publish import (
    MONDAY,
    NOW,
    PUBLIC,
    RUNS,
    Row,
    ask,
    by_hand,
    connection,
    fill,
    groups,
    name_of,
    named,
    people,
    persons_of,
    rounded,
)

__all__ = ["connection"]

BAR = "type: bar\ndata: sessions\nx: shell\ny: people\nfilter: version"


NOTHING = Published((), (), (), 0)


def only(published: Published, value: str) -> Published:
    (found,) = published.filters
    return dict(found.series).get(value, NOTHING)


def test_a_filter_shows_the_same_of_the_rows_with_one_value(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish", version="Linux") + people(1, 20, shell="zsh", version="Linux"))
    fill(connection, people(31, 42, shell="fish", version="macOS") + people(31, 60, shell="zsh", version="macOS"))
    shown = ask(connection, BAR)
    assert shown.rows == (("zsh", 50), ("fish", 40))
    assert shown.filters[0].column == "version"
    assert [label for label, _ in shown.filters[0].series] == ["Linux", "macOS"]
    assert only(shown, "Linux").rows == (("zsh", 20), ("fish", 30))
    assert only(shown, "macOS").rows == (("zsh", 30), ("fish", 10))
    assert (only(shown, "Linux").people, only(shown, "macOS").people) == (30, 30)


def test_a_value_of_too_few_people_is_not_offered(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection, people(1, 30, shell="fish", version="Linux") + people(31, 50, shell="fish", version="macOS"))
    fill(connection, people(51, 57, shell="fish", version="SECRET"))
    shown = ask(connection, BAR)
    # 55 less 30 and 20 are 5: so many as three to seven are, and as the rounding of the others is.
    assert shown.rows == (("fish", 55),)
    assert [label for label, _ in shown.filters[0].series] == ["Linux", "macOS"]
    assert "SECRET" not in repr(shown)


def test_thin_values_are_shown_by_longer_periods(connection: duckdb.DuckDBPyConnection) -> None:
    for week in range(1, 12):
        at = MONDAY - timedelta(weeks=week)
        fill(connection, people(week * 100, week * 100 + 30, version="Linux", start_time=at))
        fill(connection, people(week * 100 + 50, week * 100 + 57, version="macOS", start_time=at))
    text = "type: line\ndata: sessions\nx: start_time\ny: people\nfilter: version"
    shown = ask(connection, text)
    assert shown.grain == "day"
    assert {only(shown, os).grain for os in ("Linux", "macOS")} == {"month"}
    asked = ask(connection, f"{text}\ngrain: week")
    assert [label for label, _ in asked.filters[0].series] == ["Linux"]


def test_a_card_and_a_histogram_are_filtered_too(connection: duckdb.DuckDBPyConnection) -> None:
    for os, first in (("Linux", 1), ("macOS", 101)):
        for at in range(60):
            run = people(first + at, first + at, version=os, duration_ms=100.0 + at * (2 if os == "Linux" else 1))
            fill(connection, run)
    card = ask(connection, "type: number\ndata: sessions\ny: p50(duration_ms)\nfilter: version")
    assert (only(card, "Linux").rows, only(card, "macOS").rows) == (((160.0,),), ((130.0,),))
    bins = ask(connection, "type: histogram\ndata: sessions\nx: duration_ms\nfilter: version")
    assert only(bins, "Linux").marks[0] == ("p50", 160.0)
    assert only(bins, "macOS").dimensions == bins.dimensions
    parts = [sum(row[2] for row in only(bins, os).rows) for os in ("Linux", "macOS")]
    assert parts == [pytest.approx(60, abs=15)] * 2


def test_a_filter_by_what_is_not_a_category_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish"))
    for name, message in (
        ("user_id", "user_id"),
        ("vershion", '"vershion".*"version"'),
    ):
        with pytest.raises(QueryError, match=message) as raised:
            ask(connection, BAR.replace("filter: version", f"filter: {name}"))
        assert raised.value.option == "filter"


def test_a_filter_by_a_time_is_a_choice_of_the_last_weeks(connection: duckdb.DuckDBPyConnection) -> None:
    parameters, sql = DEFINITIONS["last_days"]
    now = f"TIMESTAMP '{NOW}'"
    connection.execute(f"CREATE MACRO last_days({parameters}) AS {sql.replace(INGESTED, now)}")
    for weeks, many in ((3, 10), (10, 20), (20, 30), (40, 40)):
        start = NOW - timedelta(weeks=weeks)
        fill(connection, people(100 * weeks, 100 * weeks + many - 1, shell="fish", version="Linux", start_time=start))
    shown = ask(connection, BAR.replace("filter: version", "filter: [version, start_time]"))
    assert shown.rows == (("fish", 100),)
    by_version, by_time = shown.filters
    assert (by_version.windows, by_time.windows, by_time.column) == (False, True, "start_time")
    assert {name: (one.rows, one.people) for name, one in by_time.series} == {
        "last 4 weeks": ((("fish", 10),), 10), "last 12 weeks": ((("fish", 30),), 30),
        "last 26 weeks": ((("fish", 60),), 60),
    }  # fmt: skip


def test_a_column_behind_not_must_be_true_or_false(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish", version="Linux"))
    with pytest.raises(QueryError) as raised:
        ask(connection, BAR.replace("filter: version", "filter: not version"))
    assert raised.value.option == "filter"


def test_what_is_chosen_behind_not_is_all_the_rest(connection: duckdb.DuckDBPyConnection) -> None:
    fill(
        connection,
        people(1, 30, shell="fish", version="Linux", failed=False) + people(31, 60, shell="zsh", failed=True),
    )
    fill(connection, people(61, 80, shell="fish", version="macOS", failed=None))
    shown = ask(connection, BAR.replace("filter: version", "filter: [version, not failed]"))
    assert (shown.rows, shown.people) == ((("fish", 50),), 50)
    by_version, by_failed = shown.filters
    assert [(value, one.rows) for value, one in by_version.series] == [
        ("Linux", (("fish", 30),)),
        ("macOS", (("fish", 20),)),
    ]
    assert [(value, one.rows) for value, one in by_failed.series] == [("yes", (("zsh", 30),))]


def test_so_many_values_can_be_chosen(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(9):
        fill(connection, people(1, 20 + 5 * number, shell="fish", version=f"v{number}"))
    assert [label for label, _ in ask(connection, BAR).filters[0].series] == [
        f"v{number}" for number in range(8, 2, -1)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BAR.replace("filter: version", "filter: shell"), "shell"),
        (BAR.replace("filter: version", "filter: [not ci, not failed]"), "ci and failed.*one"),
        (BAR.replace("filter: version", "filter: [version, VERSION]"), "filter.*version.*twice"),
        (BAR.replace("filter: version", "filter: []"), "filter.*empty"),
        ("type: retention\ndata: s\nx: t\nfilter: version", "retention.*filter"),
        ("type: table\ndata: releases\npeople: none\nfilter: version", "filter.*people: none"),
    ],
)
def test_a_filter_that_means_nothing_is_named(text: str, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        parse(text)


@st.composite
def filtered_blocks(draw: st.DrawFn) -> Block:
    block = draw(gate.blocks())
    free = sorted({"shell", "failed"} - {block.x, block.color})
    return replace(block, filter=tuple(free))


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, block=filtered_blocks())
def test_every_choice_shows_what_a_block_over_its_rows_alone_would(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], block: Block
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [dict(zip(("user_id", "start_time", "shell", "failed", "duration_ms"), run, strict=True)) for run in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, block, unit="runs", rules=PUBLIC, now=NOW)
    for column, series in ((one.column, dict(one.series)) for one in shown.filters):
        kept = groups(rows, column, block.limit)
        assert set(series) <= set(kept)
        for label, made in series.items():
            # Which categories are named is that of the whole figure.
            names = [groups(rows, one.name, block.limit) for one in made.dimensions]
            mine = [row for row in rows if name_of(row[column]) == label]
            cells: dict[Any, list[Row]] = defaultdict(list)
            for row in mine:
                if None not in (key := named(row, made, names)):
                    cells[key].append(row)
            depth = len(made.dimensions)
            assert made.people == rounded(len(persons_of(mine)))
            for row in made.rows:
                assert len(persons_of(cells[row[:depth]])) >= 10 or len(cells[row[:depth]]) >= 100
                for measure, value in zip(block.y, row[depth:], strict=True):
                    if value is not None:
                        by = by_hand(str(measure), cells[row[:depth]], cells, row[:depth], made)
                        assert value == pytest.approx(by)
