"""A scan names what stands out, and where nothing does, it seldom names anything."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from reports.blocks.block import Block, parse
from reports.blocks.published import Published
from reports.gate.chance import significant
from reports.gate.publish import publish
from reports.gate.rules import Rules
from reports.query.sandbox import QueryError
from tests.gate.test_publish import NOW

# Column -> the shares of its categories.
COLUMNS = {
    "os": (0.4, 0.42, 0.18), "shell": (0.4, 0.33, 0.15, 0.1, 0.02), "arch": (0.6, 0.4), "builder": (0.5, 0.5),
    "runtime": (0.41, 0.37, 0.15, 0.07), "engine": (0.39, 0.2, 0.18, 0.12, 0.07, 0.04),
}  # fmt: skip
SCAN = parse(
    "type: scan\ndata: sessions\nx: [os, shell, arch, runtime, engine, builder, version]\n"
    "y: [share(failed), gmean(duration_ms), share(latest)]\nlimit: 20"
)


def world(seed: int, people: int, *, windows: float = 1, bad: float = 1, builder: float = 1) -> pa.Table:
    """Runs of people who differ in how often they run the tool, fail and wait, as those of the generator and more so.

    The factors are the effects: on failures on the third system and in the seventh version, and on durations.
    """
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 1.1, people)
    who = np.repeat(np.arange(people), np.maximum(1, rng.poisson(8 * weight / weight.mean())))
    runs = len(who)
    mine = {
        name: np.array([f"{name} {n}" for n in range(len(shares))])[rng.choice(len(shares), people, p=shares)][who]
        for name, shares in COLUMNS.items()
    }
    version = np.clip(np.sort(rng.integers(0, 8, runs)) + rng.integers(-1, 2, runs), 0, 7)
    failing = rng.beta(2, 16, people)[who] * np.where(mine["os"] == "os 2", windows, 1) * np.where(version == 6, bad, 1)
    took = np.exp(9.5 + rng.normal(0, 0.4, people)[who] + rng.normal(0, 1.2, runs))
    return pa.table(
        {
            "user_id": pa.array(who + 1, pa.uint64()),
            **{name: pa.array(values) for name, values in mine.items()},
            "version": pa.array([f"1.{number}.0" for number in version]),
            "failed": pa.array(rng.random(runs) < np.minimum(failing, 1)),
            "duration_ms": pa.array(took * np.where(mine["builder"] == "builder 1", builder, 1)),
            "latest": pa.array(rng.random(runs) < rng.beta(2, 2, people)[who]),
        }
    )


@contextmanager
def opened(runs: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """The runs as a page would select them: whether a version is the latest is not asked by version."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        connection.register("runs", runs)
        connection.execute(
            "CREATE TABLE sessions AS SELECT * REPLACE (NULL::BOOLEAN AS latest) FROM runs UNION ALL BY NAME "
            "SELECT * EXCLUDE (version, failed, duration_ms) FROM runs"
        )
        yield connection


def scanned(runs: pa.Table, block: Block = SCAN, rules: Rules | None = None) -> Published:
    with opened(runs) as connection:
        return publish(connection, block, unit="runs", rules=rules or Rules(), now=NOW)


@pytest.mark.slow
@pytest.mark.parametrize(("people", "first"), [(120, 7_000), (800, 8_000)])
def test_where_nothing_differs_few_scans_name_something(people: int, first: int) -> None:
    alarms = [seed for seed in range(first, first + 100) if scanned(world(seed, people)).rows]
    # 5 % of scans may; 8 of each hundred are allowed, 16 of 200 in all.
    assert len(alarms) <= 8, alarms


def test_what_stands_out_is_named_with_its_effect_its_interval_and_its_people() -> None:
    runs = world(1, 1_500, windows=1.7, bad=2, builder=0.7)
    shown = scanned(runs)
    assert [column.name for column in shown.columns] == [
        "measure", "attribute", "category", "value", "others", "difference", "low", "high", "people",
    ]  # fmt: skip
    found = {row[:3]: row for row in shown.rows}
    assert {("failed", "os", "os 2"), ("failed", "version", "1.6.0"), ("duration_ms", "builder", "builder 1")} <= set(
        found
    )
    # By hand, and rounding moves it by less than a tenth of a point.
    failed, system = runs["failed"].to_numpy(zero_copy_only=False), runs["os"].to_numpy(zero_copy_only=False)
    here, there = failed[system == "os 2"].mean(), failed[system != "os 2"].mean()
    row = found["failed", "os", "os 2"]
    assert row[3:5] == (f"{here * 100:.1f} %", f"{there * 100:.1f} %")
    by, low, high = (float(str(one).split()[0]) for one in row[5:8])
    assert low < by < high
    assert by == pytest.approx((here - there) * 100, abs=0.11)
    exact = len(set(runs.filter(pc.equal(runs["os"], "os 2"))["user_id"].to_pylist()))
    assert isinstance(row[8], int)
    assert abs(row[8] - exact) <= 2
    assert row[8] % 5 == 0
    assert float(str(found["duration_ms", "builder", "builder 1"][5]).replace("\N{MINUS SIGN}", "-").split()[0]) == (
        pytest.approx(-30, abs=6)
    )


def test_of_two_groups_one_is_compared() -> None:
    block = parse("type: scan\ndata: sessions\nx: [arch, builder]\ny: gmean(duration_ms)")
    shown = scanned(world(2, 600, builder=0.5), block)
    assert shown.compared == 2
    assert [row[1] for row in shown.rows] == ["builder"]


def test_a_group_of_fewer_than_ten_people_is_neither_compared_nor_named() -> None:
    few = {"user_id": [*range(1, 9)] * 20, "os": ["few"] * 160, "failed": [True] * 160}
    many = {"user_id": [*range(20, 60)] * 20, "os": ["one", "two"] * 400, "failed": [False] * 800}
    runs = pa.concat_tables([pa.table(few), pa.table(many)])
    block = parse("type: scan\ndata: sessions\nx: os\ny: share(failed)")
    with duckdb.connect() as connection:
        connection.register("runs", runs)
        connection.execute("CREATE TABLE sessions AS SELECT * REPLACE (user_id::UBIGINT AS user_id) FROM runs")
        shown = publish(connection, block, unit="runs", rules=Rules(), now=NOW)
        private = publish(connection, block, unit="runs", rules=Rules(0, rounding=False), now=NOW)
    assert "few" not in {row[2] for row in shown.rows}
    assert ("failed", "os", "few") in {row[:3] for row in private.rows}


def test_a_group_in_which_nothing_failed_yet_is_no_proof() -> None:
    """Eleven people with two runs each, and none failed: one in ten does elsewhere."""
    others = {"user_id": [*range(100, 500)], "os": ["usual"] * 400, "failed": [n % 10 == 0 for n in range(400)]}
    few = {"user_id": [*range(11)] * 3, "os": ["new"] * 33, "failed": [False] * 33}
    block = parse("type: scan\ndata: sessions\nx: os\ny: share(failed)")
    with duckdb.connect() as connection:
        connection.register("runs", pa.concat_tables([pa.table(others), pa.table(few)]))
        connection.execute("CREATE TABLE sessions AS SELECT * REPLACE (user_id::UBIGINT AS user_id) FROM runs")
        shown = publish(connection, block, unit="runs", rules=Rules(), now=NOW)
    assert (shown.compared, shown.rows, shown.empty) == (1, (), None)


def test_without_enough_people_a_scan_says_so() -> None:
    shown = scanned(world(1, 8))
    assert (shown.compared, shown.rows, shown.empty) == (0, (), "too few people")


def test_those_that_are_more_than_chance_are_by_their_rank() -> None:
    chances = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.04, "e": 0.9}
    assert significant(chances, 0.05) == {"a", "b", "c", "d"}
    assert significant(chances | {"d": 0.05}, 0.05) == {"a", "b", "c"}
    assert significant({"a": 0.06}, 0.05) == set()
    assert significant({}, 0.05) == set()


def test_a_scan_of_what_it_cannot_compare_is_refused() -> None:
    with pytest.raises(QueryError, match="nothing"), opened(world(1, 20)) as connection:
        publish(
            connection, parse("type: scan\ndata: sessions\nx: nothing\ny: share(failed)"), unit="runs", rules=Rules(),
            now=NOW,
        )  # fmt: skip
