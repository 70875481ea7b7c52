from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.block import Block, BlockError, parse
from reports.publish import publish
from reports.published import OTHER, Published
from reports.sandbox import QueryError
from tests import test_publish as gate
from tests.attack import examples
from tests.test_conceal import subtract, told, views
from tests.test_publish import MONDAY, NOW, RUNS, Row, ask, connection, fill, groups, people, persons_of

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
    assert shown.rows == (("zsh", 50), ("fish", 42))
    assert shown.filters[0].column == "version"
    assert [label for label, _ in shown.filters[0].series] == ["Linux", "macOS"]
    assert only(shown, "Linux").rows == (("zsh", 20), ("fish", 30))
    assert only(shown, "macOS").rows == (("zsh", 30), ("fish", 12))
    assert (only(shown, "Linux").people, only(shown, "macOS").people) == (30, 30)


def test_a_value_of_too_few_people_is_not_offered_nor_to_be_had_by_subtraction(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    fill(connection, people(1, 30, shell="fish", version="Linux") + people(31, 50, shell="fish", version="macOS"))
    fill(connection, people(51, 55, shell="fish", version="SECRET"))
    shown = ask(connection, BAR)
    # 55 less 30 and 20 would be the 5: one of the others is held back, too.
    assert shown.rows == (("fish", 55),)
    assert [label for label, _ in shown.filters[0].series] == ["Linux"]
    assert "SECRET" not in repr(shown)


def test_what_is_worked_out_from_one_total_is_not_taken_from_another(connection: duckdb.DuckDBPyConnection) -> None:
    for os, shells in {"Linux": (30, 20, 25), "macOS": (3, 15, 25), "Windows": (25, 25, 25)}.items():
        for shell, number in zip(("fish", "zsh", "bash"), shells, strict=True):
            fill(connection, people(1, number, shell=shell, version=os))
    macos, windows = (dict(only(ask(connection, BAR), os).rows) for os in ("macOS", "Windows"))
    # Beside the 3 of fish on macOS, zsh there is held back. It would follow from all of zsh, were it alone there too.
    assert macos == {"bash": 25}
    assert windows == {"bash": 25}


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
    assert asked.filters[0].series == ()


def test_a_card_and_a_histogram_are_filtered_too(connection: duckdb.DuckDBPyConnection) -> None:
    for os, first in (("Linux", 1), ("macOS", 101)):
        for at in range(60):
            run = people(first + at, first + at, version=os, duration_ms=100.0 + at * (2 if os == "Linux" else 1))
            fill(connection, run)
    card = ask(connection, "type: number\ndata: sessions\ny: p50(duration_ms)\nfilter: version")
    assert (only(card, "Linux").rows, only(card, "macOS").rows) == (((159.0,),), ((129.5,),))
    bins = ask(connection, "type: histogram\ndata: sessions\nx: duration_ms\nfilter: version")
    assert only(bins, "Linux").marks[0] == ("p50", 159.0)
    assert only(bins, "macOS").dimensions == bins.dimensions
    assert sum(row[2] for row in only(bins, "Linux").rows) + sum(row[2] for row in only(bins, "macOS").rows) == 120


def test_a_filter_by_what_is_not_a_category_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, people(1, 30, shell="fish"))
    for name, message in (
        ("start_time", "is a time, which has no few values"),
        ("user_id", "user_id is never published"),
        ("vershion", 'column "vershion" not found; did you mean "version"'),
    ):
        with pytest.raises(QueryError, match=message) as raised:
            ask(connection, BAR.replace("filter: version", f"filter: {name}"))
        assert raised.value.option == "filter"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BAR.replace("filter: version", "filter: shell"), "shell is shown already, each value by itself"),
        (BAR.replace("filter: version", "filter: [version, VERSION]"), "filter names version twice"),
        (BAR.replace("filter: version", "filter: []"), "an empty list"),
        ("type: retention\ndata: s\nx: t\nfilter: version", "a retention has no filter"),
        ("type: table\ndata: releases\npeople: none\nfilter: version", "filter is for rows that are counted"),
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


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, block=filtered_blocks(), minimum=st.integers(2, 5))
def test_nothing_of_too_few_people_follows_from_a_figure_and_its_filters(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], block: Block, minimum: int
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [dict(zip(("user_id", "start_time", "shell", "failed", "duration_ms"), run, strict=True)) for run in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, block, unit="runs", minimum_users=minimum, now=NOW)
    for column, series in ((one.column, dict(one.series)) for one in shown.filters):
        if series:
            attack(connection, rows, block, shown, column, series, minimum)


def attack(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], block: Block, shown: Published, column: str,
    series: dict[str, Published], minimum: int,
) -> None:  # fmt: skip
    grain = next(iter(series.values())).grain
    if grain != shown.grain:
        block = replace(block, grain=grain)
        shown = publish(connection, replace(block, filter=()), unit="runs", minimum_users=minimum, now=NOW)
    depth = len(shown.dimensions)
    cells = gate.recount(rows, block, shown) if depth else {(): rows}
    shown_keys = {row[:depth] for row in shown.rows}
    kept = groups(rows, column, block.limit, minimum)
    # What an attacker does not know is in parts: a cell of the figure with one value, or with all that have no name.
    parts: dict[tuple[Any, ...], list[Row]] = {}
    for key, cell in cells.items():
        for row in cell:
            label = gate.name_of(row[column])
            parts.setdefault((*key, label if label in kept else (OTHER,)), []).append(row)
    placed = {id(row) for cell in cells.values() for row in cell}
    for row in rows:
        # Rows without a time, or of the period that is not shown, are in no cell, and in sums over all time.
        if id(row) not in placed:
            key = gate.named(row, shown)
            names = [groups(rows, one.name, block.limit, minimum) for one in shown.dimensions]
            key = [part if one.kind == "time" or part in kept_of else OTHER
                   for part, one, kept_of in zip(key, shown.dimensions, names, strict=True)]  # fmt: skip
            label = gate.name_of(row[column])
            parts.setdefault((*key, label if label in kept else (OTHER,)), []).append(row)
    known: dict[int | None, set[tuple[Any, ...]]] = {None: set()} | {n: set() for n in range(len(block.y))}
    for label, made in series.items():
        own = {key: [row for row in cell if gate.name_of(row[column]) == label] for key, cell in cells.items()}
        assert made.people == len(set().union(*(persons_of(own[row[:depth]]) for row in made.rows)))
        for row in made.rows:
            key = row[:depth]
            assert key in shown_keys
            assert len(persons_of(own[key])) >= minimum
            known[None].add((*key, label))
            for number, (measure, value) in enumerate(zip(block.y, row[depth:], strict=True)):
                if value is not None:
                    assert value == pytest.approx(gate.by_hand(str(measure), own[key], own, made, key))
                    known[number].add((*key, label))
    totals = views(*map(gate.totals_of, shown.dimensions), [lambda part: part, lambda part: None])
    for number, measure in [(None, None), *enumerate(block.y)]:
        for chosen in told(parts, measure and str(measure)):
            subtract(chosen, known[number], totals, minimum)
