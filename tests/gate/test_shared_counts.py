"""Blocks over the same rows share what they count. Each shows the same as if it were alone."""

import random
from collections.abc import Iterator
from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest

from reports.blocks.block import parse
from reports.blocks.published import UNKNOWN, Published
from reports.gate.publish import publish
from reports.gate.rules import Rules
from reports.query.relation import Relation, look
from tests.sites import NOW

BLOCKS = [
    f"data: sessions\n{text}"
    for text in (
        "type: number\ny: people",
        "type: bar\nx: shell\ny: people",
        "type: bar\nx: shell\ny: count\nlimit: 3",
        "type: bar\nx: shell\ny: p50(duration_ms)",
        "type: bar\nx: shell\ny: p95(duration_ms)",
        "type: bar\nx: shell\ny: share(failed)",
        "type: bar\nx: shell\ny: share(failed)\ninterval: true",
        "type: bar\nx: shell\ny: people\ncolor: os",
        "type: bar\nx: os\ny: count\ncolor: shell",
        "type: heatmap\nx: shell\nrows: os\ny: people",
        "type: table\nx: [os, shell]\ny: [share, count, people, p25(duration_ms), p90(duration_ms), sum(duration_ms)]",
        "type: table\nx: [shell, exit_code]\ny: [share, count, people]",
        "type: line\nx: start_time\ny: per_person\ngrain: week",
        "type: share\nx: start_time\ncolor: os\ngrain: week",
        "type: area\nx: start_time\ny: count\ncolor: os\ngrain: week",
        "type: band\nx: start_time\ny: p50(duration_ms)\ngrain: week",
        "type: bar\nx: os\ny: people\nfilter: shell",
        "type: histogram\nx: duration_ms",
        "type: scan\nx: [shell, os]\ny: share(failed)",
    )
]


@pytest.fixture(params=range(2))
def connection(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    """Runs of 120 people on few and on many shells, some of them not known, one of these called so."""
    some = random.Random(request.param)
    shells = [None, UNKNOWN, *(f"shell {number}" for number in range((3, 12)[request.param]))]
    rows = [
        (
            some.choice([None, *range(120)]), NOW - timedelta(days=some.randrange(60)), some.choice(shells),
            some.choice(["Linux", "macOS", None]), some.choice([0, 1, None]), some.choice([1.5, 7.0, 90.25, None]),
            some.choice([True, False, None]),
        )
        for _ in range(3_000)
    ]  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE sessions (user_id BIGINT, start_time TIMESTAMP, shell VARCHAR, os VARCHAR, exit_code BIGINT, "
            "duration_ms DOUBLE, failed BOOLEAN)"
        )
        names = ("user_id", "start_time", "shell", "os", "exit_code", "duration_ms", "failed")
        incoming = pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
        connection.register("incoming", incoming)
        connection.execute("INSERT INTO sessions FROM incoming")
        yield connection


def shown(connection: duckdb.DuckDBPyConnection, text: str, rules: Rules, relation: Relation | None) -> Published:
    block = parse(text)
    others = [parse(other) for other in BLOCKS] if relation else []
    also = {measure for other in others if other.groups == block.groups for measure in other.y}
    return publish(
        connection, block, unit="runs", rules=rules, now=NOW, relation=relation, source="sessions", also=also
    )


@pytest.mark.parametrize("rules", [Rules(), Rules(0, rounding=False)], ids=["public", "private"])
def test_a_block_among_others_shows_what_it_shows_alone(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    alone = [shown(connection, text, rules, None) for text in BLOCKS]
    forth, back = look(connection, "sessions"), look(connection, "sessions")
    assert [shown(connection, text, rules, forth) for text in BLOCKS] == alone
    assert [shown(connection, text, rules, back) for text in BLOCKS[::-1]] == alone[::-1]


def test_what_is_not_known_and_what_is_called_so_are_one_category(connection: duckdb.DuckDBPyConnection) -> None:
    # Too few people each, and enough together.
    unknown = f"CASE WHEN number < 6 THEN '{UNKNOWN}' END"
    connection.execute("DELETE FROM sessions")
    connection.execute(
        f"INSERT INTO sessions BY NAME SELECT number AS user_id, {unknown} AS shell FROM range(12) t(number)"
    )
    made = shown(connection, "type: table\ndata: sessions\nx: shell\ny: people", Rules(rounding=False), None)
    assert made.rows == ((UNKNOWN, 12),)


def test_blocks_with_the_same_groups_are_counted_in_one_pass(connection: duckdb.DuckDBPyConnection) -> None:
    relation = look(connection, "sessions")
    bar = "data: sessions\ntype: bar\nx: shell\ny: {}"
    shown(connection, bar.format("p50(duration_ms)"), Rules(), relation)
    counted = set(relation.known)
    for measure in ("p95(duration_ms)", "share(failed)", "people"):
        shown(connection, bar.format(measure), Rules(), relation)
    assert set(relation.known) == counted
