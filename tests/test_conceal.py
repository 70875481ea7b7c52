"""What may be held back, attacked: take what is shown from every total, and then what follows from that, and so on."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.block import Block
from reports.conceal import Key, conceal, sums
from reports.publish import publish
from reports.published import OTHER
from tests import test_publish as gate
from tests.attack import examples
from tests.test_publish import NOW, RUNS, Row, ask, blocks, connection, fill, people, persons_of

__all__ = ["connection"]

Parts = Mapping[Key, list[Row]]
View = Callable[[Any], Any]


def subtract(parts: Parts, published: Collection[Key], totals: Sequence[View], minimum: int) -> None:
    """Takes what is known from every total, one after the other, until nothing new follows.

    A total of which this block shows nothing is held back where it stands by itself, by the same rules.
    """
    groups: list[list[Key]] = []
    for total in totals:
        found: dict[Any, list[Key]] = {}
        for key in parts:
            found.setdefault(total(key), []).append(key)
        groups += found.values()
    known = set(published)
    while True:
        before = len(known)
        for keys in groups:
            unknown = [key for key in keys if key not in known]
            whole = persons_of([row for key in keys for row in parts[key]])
            if unknown and len(unknown) < len(keys) and len(whole) >= minimum:
                left = persons_of([row for key in unknown for row in parts[key]])
                assert len(left) >= minimum, (unknown, keys)
                if len(unknown) == 1:
                    known.add(unknown[0])
        if len(known) == before:
            return


def views(*axes: list[View]) -> list[View]:
    """What cells are summed up into: every way to look at each part of their key, but for each cell by itself."""
    ways = list(product(*axes))[1:]
    return [lambda key, way=way: tuple(view(part) for view, part in zip(way, key, strict=True)) for way in ways]  # type: ignore[misc]


def told(parts: Parts, measure: str | None) -> Iterator[Parts]:
    """The rows whose number a measure tells: all, or those that are true, or have a value."""
    if measure is None:
        yield parts
        return
    for place in range(len(gate.parts_of(measure, []))):
        chosen = {key: gate.parts_of(measure, cell)[place] for key, cell in parts.items()}
        yield {key: cell for key, cell in chosen.items() if cell}


DAYS = [datetime(2026, month, day) for month in (1, 2, 5) for day in (2, 3, 17)]
CELLS = st.dictionaries(
    st.tuples(st.sampled_from(DAYS), st.integers(0, 2), st.integers(0, 1)),
    st.frozensets(st.integers(1, 8), max_size=8),
    max_size=18,
)


@settings(max_examples=examples(200), deadline=None)
@given(
    cells=CELLS, outside=st.sets(st.sampled_from(DAYS), max_size=2), minimum=st.integers(2, 5),
    grain=st.sampled_from(["day", "week", "month"]), depth=st.integers(1, 3),
)  # fmt: skip
def test_nothing_follows_from_cells_however_they_are_summed_up(
    cells: dict[Key, frozenset[int]], outside: set[datetime], minimum: int, grain: str, depth: int
) -> None:
    parts: dict[Key, list[Row]] = {}
    for (day, *rest), persons in cells.items():
        parts.setdefault((gate.period(day, grain), *rest)[:depth], []).extend({"user_id": one} for one in persons)
    left_out = {key for key in parts if key[0] in outside}
    totals = sums([grain, None, None][:depth])
    hidden = conceal(
        {key: len(persons_of(rows)) for key, rows in parts.items()},
        left_out,
        lambda keys: {key: persons_of(parts[key]) for key in keys},
        totals,
        minimum,
        lambda key, gone: 0,
    )
    assert hidden >= left_out | {key for key, rows in parts.items() if len(persons_of(rows)) < minimum}
    if all(len(persons_of(rows)) >= minimum for rows in parts.values()):
        assert hidden == left_out
    subtract(parts, parts.keys() - hidden, totals, minimum)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, block=blocks(), minimum=st.integers(2, 5))
def test_nothing_of_too_few_people_follows_from_a_figure_by_one_subtraction_after_the_other(
    connection: duckdb.DuckDBPyConnection, runs: list[tuple[Any, ...]], block: Block, minimum: int
) -> None:
    connection.execute("DELETE FROM sessions")
    rows = [dict(zip(("user_id", "start_time", "shell", "failed", "duration_ms"), run, strict=True)) for run in runs]
    if rows:
        fill(connection, rows)
    shown = publish(connection, block, unit="runs", minimum_users=minimum, now=NOW)
    if not shown.rows or not shown.dimensions:
        return
    depth = len(shown.dimensions)
    kept = [gate.groups(rows, one.name, block.limit, minimum) for one in shown.dimensions]
    parts: dict[Key, list[Row]] = {}
    for row in rows:
        key = gate.named(row, shown)
        names = zip(key, shown.dimensions, kept, strict=True)
        key = [part if one.kind == "time" or part in there else OTHER for part, one, there in names]
        parts.setdefault(tuple(key), []).append(row)
    # Where some joined an "Other", it is the rest of its place, which follows from the place's total.
    folds = depth == 1 or (depth == 2 and block.type in ("area", "bar", "share"))
    totals = views(*map(gate.totals_of, shown.dimensions))
    for number, measure in [(None, None), *enumerate(block.y)]:
        own = {
            row[:depth]
            for row in shown.rows
            if (number is None or row[depth + number] is not None) and not (folds and row[depth - 1] == OTHER)
        }
        for chosen in told(parts, measure and str(measure)):
            subtract(chosen, own, totals, minimum)


def test_what_follows_from_one_total_is_not_taken_from_another(connection: duckdb.DuckDBPyConnection) -> None:
    for os, shells in {"Linux": (30, 20, 25), "macOS": (3, 15, 25), "Windows": (25, 25, 25)}.items():
        for shell, number in zip(("fish", "zsh", "bash"), shells, strict=True):
            fill(connection, people(1, number, shell=shell, version=os))
    shown = ask(connection, "type: heatmap\ndata: sessions\nx: shell\nrows: version\ny: people")
    cells = {row[:2] for row in shown.rows}
    # Beside the 3 of fish on macOS, zsh there is held back. It would follow from all of zsh, were it alone there too:
    # all of macOS less bash and less these would be the 3.
    assert ("bash", "macOS") in cells
    assert not {("fish", "macOS"), ("zsh", "macOS")} & cells
    assert sum(shell == "zsh" for shell, _ in cells) < 2
