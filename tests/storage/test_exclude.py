"""A flood is kept out of every view by when it came in, and comes back when that is undone."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.operations.status import status, verify
from reports.query.snapshot import fetch
from reports.query.views import connect
from reports.storage.exclude import Exclusion, exclude, exclusions
from reports.writers.compact import compact
from tests import buckets
from tests.buckets import NOTES, NOW, batch, keys, registry, session
from tests.messages import mentions, numbers

KNOWN = registry(NOTES, NOTES.replace('"notes"', '"other"'))
FLOOD = datetime(2026, 3, 4, 6, tzinfo=UTC)
EVENTS = [{"type": "Opened", "time": "2026-03-04T05:06:08Z"}]
SPANS = [{"type": "Save", "startTime": "2026-03-04T05:06:08Z", "endTime": "2026-03-04T05:06:09Z"}]


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with five sessions, and a flood of thirty from one to two hours later, in two tools."""
    bucket = str(tmp_path_factory.mktemp("flooded") / "bucket")
    store = open_bucket(bucket)
    batch(store, *(session(n, user=n, events=EVENTS, spans=SPANS) for n in range(5)), known=KNOWN, ingested=NOW)
    for at, application in ((0, "notes"), (10, "notes"), (20, "other")):
        flood = [session(100 + at + n, user=100 + n, applicationId=application, events=EVENTS) for n in range(10)]
        # The last ten of notes came in at the very end.
        batch(store, *flood, known=KNOWN, ingested=FLOOD + timedelta(hours=at == 10))
    compact(store, bucket, KNOWN)
    return bucket


@pytest.fixture(autouse=True)
def here(flooded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    """A copy of it that a test may change."""
    for id, text in (("notes", NOTES), ("other", NOTES.replace('"notes"', '"other"'))):
        (tmp_path / "applications").mkdir(exist_ok=True)
        (tmp_path / "applications" / f"{id}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    shutil.copytree(flooded, bucket)


@pytest.fixture
def ask(bucket: str) -> Callable[..., dict[str, int]]:
    def run(private: bool = False) -> dict[str, int]:
        snapshot = fetch(open_bucket(bucket), bucket, KNOWN)
        with connect(snapshot, private=private) as connection:
            sql = "SELECT application || ' ' || '{0}', count(*) FROM {0} GROUP BY ALL"
            views = ("sessions", "events", "spans")
            return {name: n for view in views for name, n in connection.execute(sql.format(view)).fetchall()}

    return run


@pytest.fixture
def run(bucket: str) -> Callable[..., Result]:
    return lambda *options: CliRunner().invoke(main, ["exclude", "--bucket", bucket, *options])


ALL = {
    "notes sessions": 25, "notes events": 25, "notes spans": 5, "other sessions": 10, "other events": 10,
}  # fmt: skip


@pytest.mark.parametrize("private", [False, True])
def test_what_came_in_within_a_time_is_in_no_view_and_comes_back(
    private: bool, ask: Callable[..., dict[str, int]], run: Callable[..., Result], bucket: str
) -> None:
    assert ask(private) == ALL
    before = {key: bytes(open_bucket(bucket).get(key).bytes()) for key in keys(open_bucket(bucket), "tables/")}
    done = run("--from", "2026-03-04T06:00", "--to", "2026-03-04T07:00:00Z", "--why", "forged")
    name = "20260304T060000Z-20260304T070000Z-all"
    assert (done.exit_code, done.stdout) == (0, f"{name}: 20 sessions of 10 people (forged)\n")
    assert ask(private) == {"notes sessions": 15, "notes events": 15, "notes spans": 5}
    assert run("--list").stdout == done.stdout
    assert run("--remove", name).exit_code == 0
    assert ask(private) == ALL
    assert {key: bytes(open_bucket(bucket).get(key).bytes()) for key in before} == before
    assert run("--list").stderr == "nothing is excluded\n"


def test_one_application_can_be_meant(ask: Callable[..., dict[str, int]], run: Callable[..., Result]) -> None:
    run("--from", "2026-03-04", "--to", "2026-03-05", "--application", "other")
    run("--from", "2026-03-04T08:00+01:00", "--to", "2026-03-05", "--application", "notes")
    assert ask() == {"notes sessions": 15, "notes events": 15, "notes spans": 5}


def test_what_is_excluded_stays_counted_and_is_said(run: Callable[..., Result], bucket: str) -> None:
    run("--from", "2026-03-04T06:00", "--to", "2026-03-04T07:00")
    found = status(open_bucket(bucket), bucket, KNOWN)
    (hint,) = [one for one in found.hints if one.topic == "excluded"]
    assert (hint.about, hint.sessions) == ("20260304T060000Z-20260304T070000Z-all", 20)
    assert found.tables["notes"].rows == 25
    assert verify(open_bucket(bucket), bucket, KNOWN) == []
    said = CliRunner().invoke(main, ["status", "--bucket", bucket]).stdout
    (line,) = [line for line in said.splitlines() if "20260304T060000Z-20260304T070000Z-all" in line]
    assert "20" in numbers(line)


def test_the_same_exclusion_is_kept_once(run: Callable[..., Result], bucket: str) -> None:
    for _ in range(2):
        done = run("--from", "2026-03-04T06:00", "--to", "2026-03-04T07:00")
    assert "is excluded already" in done.stderr
    assert len(keys(open_bucket(bucket), "excluded/")) == 1
    one = Exclusion(FLOOD, FLOOD + timedelta(hours=1), None, "")
    assert exclusions(open_bucket(bucket)) == [one]
    assert not exclude(open_bucket(bucket), one, NOW)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), ("--from", "--to", "--list", "--remove")),
        (("--from", "2026-03-04"), ("--to",)),
        (("--from", "2026-03-04", "--to", "2026-03-05", "--list"), ("--from", "--to", "--list")),
        (("--from", "2026-03-05", "--to", "2026-03-05"), ("start", "end")),
        (("--from", "yesterday", "--to", "2026-03-05"), ("'yesterday'", "2026-05-01")),
        (("--from", "2026-03-04T06:00:00.5", "--to", "2026-03-05"), ("2026-03-04T06:00:00.5",)),
        (("--from", "2026-03-04", "--to", "2026-03-05", "--application", "x"), ("'x'",)),
        (("--remove", "../forgotten/x"), ("'../forgotten/x'",)),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    options: tuple[Any, ...], named: tuple[str, ...], run: Callable[..., Result], bucket: str
) -> None:
    before = keys(open_bucket(bucket))
    done = run(*options)
    assert done.exit_code == 1
    assert mentions(done.stderr, *named)
    assert keys(open_bucket(bucket)) == before


def test_a_session_that_came_in_later_is_not_meant_whatever_it_says_of_itself(
    ask: Callable[..., dict[str, int]], run: Callable[..., Result], bucket: str
) -> None:
    run("--from", "2026-03-04T06:00", "--to", "2026-03-04T07:00")
    store = open_bucket(bucket)
    said = session(900, user=900, start=FLOOD, ingestionTime="2026-03-04T06:30:00Z")
    batch(store, said, known=KNOWN, ingested=FLOOD + timedelta(hours=2))
    compact(store, bucket, KNOWN)
    assert ask()["notes sessions"] == 16
    assert buckets.rows(bucket)
