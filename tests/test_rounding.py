"""What two builds give away together, with and without the options that limit it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.bucket import open_bucket
from reports import html, warehouse
from reports.block import Block, parse
from reports.compact import compact
from reports.plugin import BuildError, build
from reports.publish import publish
from reports.published import Published
from reports.rounding import rounded
from reports.site import Site
from tests import buckets
from tests.attack import examples
from tests.sites import APPLICATION, MONDAY, NOW, project, runs
from tests.test_publish import RUNS, Row, blocks, connection, fill, people

__all__ = ["connection"]
KNOWN = buckets.registry(APPLICATION)
NAMES = ("user_id", "start_time", "shell", "failed", "duration_ms")


def two_builds(
    connection: duckdb.DuckDBPyConnection, before: list[Row], new: list[Row], block: Block, minimum: int, rounding: bool
) -> tuple[Published, Published]:
    """The same block with and without what came in between."""
    connection.execute("DELETE FROM sessions")
    made = []
    for rows in (before, new):
        if rows:
            fill(connection, rows)
        options = {"unit": "runs", "minimum_users": minimum, "now": datetime(2026, 3, 18, 12), "rounding": rounding}
        made.append(publish(connection, block, **options))
    return made[0], made[1]


def cells(shown: Published) -> dict[Any, tuple[Any, ...]]:
    depth = len(shown.dimensions)
    return {row[:depth]: row[depth:] for row in shown.rows}


def test_without_rounding_two_builds_tell_what_one_person_did_and_with_it_they_do_not(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    before = people(1, 57, shell="fish", duration_ms=1_000.0, failed=False)
    new = [{"user_id": 99, "shell": "fish", "duration_ms": 1_234.0, "failed": True}]
    block = parse("type: table\ndata: sessions\nx: shell\ny: [count, people, sum(duration_ms), mean(duration_ms)]")
    first, second = (cells(one)["fish",] for one in two_builds(connection, before, new, block, 10, False))
    assert (second[0] - first[0], second[1] - first[1], second[2] - first[2]) == (1, 1, 1_234.0)
    first, second = (cells(one)["fish",] for one in two_builds(connection, before, new, block, 10, True))
    assert first == second == (60, 60, 60_000.0, 1_000.0)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=RUNS, new=RUNS.map(lambda rows: rows[:4]), block=blocks(), minimum=st.integers(2, 5))
def test_whatever_two_rounded_builds_show_nobody_or_enough_people_may_have_come_between(
    connection: duckdb.DuckDBPyConnection,
    before: list[tuple[Any, ...]],
    new: list[tuple[Any, ...]],
    block: Block,
    minimum: int,
) -> None:
    rows = [[dict(zip(NAMES, run, strict=True)) for run in part] for part in (before, new)]
    first, second = two_builds(connection, rows[0], rows[1], block, minimum, True)
    for shown in (first, second):
        assert shown.people is not None and shown.people % minimum == 0
    pairs = [(first.people or 0, second.people or 0)] if not first.empty and not second.empty else []
    there = cells(second)
    for key, values in cells(first).items():
        for measure, one, other in zip(block.y, values, there.get(key, ()), strict=False):
            if measure.name in ("count", "people") and isinstance(one, int) and isinstance(other, int):
                pairs.append((one, other))
            elif isinstance(one, float):
                digits = one * 100 if measure.name == "share" else one
                assert measure.name != "share" or digits == pytest.approx(round(digits))
                assert float(f"{one:.1e}") == pytest.approx(one) or measure.name == "share"
    for one, other in pairs:
        assert one % minimum == other % minimum == 0
        # The exact numbers behind each: as many lie below it, from a half on, as above it.
        spans = [range(max(0, shown - minimum // 2), shown - minimum // 2 + minimum) for shown in (one, other)]
        between = {abs(later - earlier) for earlier in spans[0] for later in spans[1]}
        assert 0 in between or max(between) >= minimum


@given(value=st.integers(0, 10**7), step=st.integers(2, 50))
def test_as_many_numbers_stand_behind_each_that_is_shown(value: int, step: int) -> None:
    shown = Published((), (), (), value)
    made = rounded(shown, step).people
    assert made is not None
    assert abs(made - value) <= step / 2
    assert [rounded(Published((), (), (), made + n), step).people for n in (-(step // 2), (step - 1) // 2)] == [
        made
    ] * 2


def test_every_number_of_a_block_is_rounded(connection: duckdb.DuckDBPyConnection) -> None:
    rows = people(1, 47, shell="fish", duration_ms=1_234.5, failed=False, start_time=datetime(2026, 1, 3))
    rows += people(1, 33, shell="zsh", duration_ms=987.6, failed=True, start_time=datetime(2026, 2, 3))
    fill(connection, rows)
    kinds = [
        "type: table\nx: shell\ny: [count, people, per_person, share(failed), sum(duration_ms), p50(duration_ms)]",
        "type: number\ny: share(failed)\ninterval: true",
        "type: histogram\nx: duration_ms",
        "type: funnel\nsteps: {Ran: ran, Failed: failed}",
        "type: retention\nx: start_time\ngrain: month",
    ]
    connection.execute("CREATE TEMP VIEW q AS SELECT *, true AS ran FROM sessions")
    for kind in kinds:
        block = parse(f"data: q\n{kind}")
        given = {"unit": "runs", "minimum_users": 10, "now": datetime(2026, 3, 18), "rounding": True}
        shown = publish(connection, block, **given)
        assert not shown.empty, kind
        for row in shown.rows:
            for column, value in zip(shown.measures, row[len(shown.dimensions) :], strict=True):
                if column.kind == "share" and value is not None:
                    assert value * 100 == pytest.approx(round(value * 100)), (kind, column)
                elif isinstance(value, int):
                    assert value % 10 == 0, (kind, column)
                elif value is not None:
                    assert value == float(f"{value:.1e}"), (kind, column)
        for _, value in shown.marks:
            assert isinstance(value, float) and value == float(f"{value:.1e}")
        page = html.figure(block, shown, {}, "id", "SQL", "data/x")
        assert "rounded, counts to multiples of 10" in page
        for exact in ("47", "33", "1,234", "987", "1234.5"):
            assert not re.search(rf"(?<![\d.#]){re.escape(exact)}(?![\d.])", page), (kind, exact)


def test_the_order_of_groups_tells_no_more_than_their_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    block = parse("type: bar\ndata: sessions\nx: shell\ny: people")
    before = people(1, 57, shell="zsh") + people(100, 156, shell="fish")
    first, second = two_builds(connection, before, people(300, 301, shell="zsh"), block, 10, True)
    assert first.rows == second.rows == (("fish", 60), ("zsh", 60))


# New sessions by the day, week or month


Shown = Callable[[datetime], dict[str, bytes]]
PAGE = (
    "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: [people]\n```\n".replace("[people]", "people")
    + "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: count\ngrain: week\n```\n"
    + "```yaml chart\ntype: table\ndata: events\nx: type\ny: count\n```\n"
)


def put(bucket: Path, first: int, last: int, came: datetime, **attributes: Any) -> None:
    store = open_bucket(str(bucket))
    made = [
        buckets.session(number, **one, events=[{"type": "Opened", "time": "2026-03-10T00:00:00Z"}])
        for number, one in enumerate(runs(first, last, start=came - timedelta(hours=1), **attributes), first)
    ]
    buckets.batch(store, *made, known=KNOWN, ingested=came)
    compact(store, str(bucket), KNOWN)


def site_files(bucket: Path, now: datetime, closed: str | None, private: bool = False) -> dict[str, bytes]:
    snapshot = warehouse.fetch(open_bucket(str(bucket)), str(bucket), KNOWN)
    site = Site(snapshot, now=now, closed=closed, private=private)
    page = site.page(PAGE, file="a.md", source=PAGE, name="a", root="./")
    assert site.faults == []
    site.connection.close()
    return {name: content for name, content in page.files.items() if name.endswith(".csv")}


def test_two_builds_of_one_week_are_alike_whoever_came_between(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    put(bucket, 1, 30, MONDAY - timedelta(days=4), shellName="fish")
    put(bucket, 31, 60, MONDAY - timedelta(seconds=1), shellName="zsh")
    before = {closed: site_files(bucket, NOW, closed) for closed in (None, "week", "day", "month")}
    assert before["week"] == before[None] != {}
    put(bucket, 61, 61, MONDAY + timedelta(hours=2), shellName="fish")
    # What happened last week and came in only now is no exception.
    put(bucket, 62, 80, MONDAY + timedelta(minutes=30), shellName="zsh")
    after = {closed: site_files(bucket, NOW + timedelta(hours=1), closed) for closed in (None, "week", "day", "month")}
    assert after["week"] == before["week"]
    assert after["day"] == after[None] != before["day"]
    assert after["month"] == before["month"] == {}
    assert site_files(bucket, NOW + timedelta(weeks=1), "week") == after[None]
    assert site_files(bucket, NOW, "week", private=True) != before["week"]


def test_a_site_takes_both_options_and_says_until_when_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, {"index.md": PAGE})
    settings_file = tmp_path / "mkdocs.yml"
    text = settings_file.read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    now = datetime.now(UTC)
    put(tmp_path / "bucket", 1, 33, now - timedelta(days=40), shellName="fish")
    put(tmp_path / "bucket", 41, 73, now - timedelta(seconds=5), shellName="SECRET")
    settings_file.write_text(text.replace("minimum_users: 10", "minimum_users: 10, rounded: true, closed: month"))
    out = build(str(tmp_path / "bucket"), None)
    shown = (out / "index.html").read_text()
    assert (out / "data/index/people-by-shell.csv").read_text() == "shell,people\nfish,30\n"
    assert f'Data of <time datetime="{now:%Y-%m}-01T00:00:00Z">' in shown
    assert "SECRET" not in shown
    settings_file.write_text(text.replace("minimum_users: 10", "closed: hour"))
    with pytest.raises(BuildError, match="closed"):
        build(str(tmp_path / "bucket"), None)
