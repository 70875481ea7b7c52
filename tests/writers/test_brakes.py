"""What removes for good stops and asks: at a clock that may be wrong, and before much goes at once."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.storage import ledger
from reports.writers import brakes
from reports.writers.compact import Unfinished, compact
from tests.buckets import NOTES, REGISTRY, content, keep, keys, registry, rows, session

TODAY = datetime.now(UTC)
SHORT = registry(NOTES.replace('name = "Notes"', 'name = "Notes"\nretention_days = 30'))


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """A run whose machine's clock says this."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return cls.fromisoformat(moment.isoformat())

    with patch.object(ledger, "datetime", Clock):
        yield


def fill(store: ObjectStore, bucket: str, *days: int) -> None:
    """A table with sessions of so many days ago."""
    for number, day in enumerate(days):
        keep(store, session(number, start=TODAY - timedelta(days=day)), ingested=TODAY - timedelta(days=day))
    compact(store, bucket, REGISTRY)


def last(store: ObjectStore) -> dict[str, object]:
    """The ledger's entry with the latest time."""
    found: dict[str, object] = json.loads(content(store, keys(store, "ledger/")[-1]))
    return found


@pytest.mark.parametrize("runs", [1, 3])
def test_a_clock_that_is_a_year_ahead_removes_nothing_however_often_it_runs(
    store: ObjectStore, bucket: str, runs: int
) -> None:
    fill(store, bucket, *range(20))
    store.put("quarantine/raw/v1/notes/x", b"broken")
    with at(TODAY + timedelta(days=366)):
        for _ in range(runs):
            with pytest.raises(Unfinished, match="clock"):
                compact(store, bucket, REGISTRY)
    assert len(rows(bucket)) == 20
    assert keys(store, "quarantine/") == ["quarantine/raw/v1/notes/x"]
    assert last(store)["clock_doubted"] is True
    assert compact(store, bucket, REGISTRY).clock_doubted is False


def test_sessions_are_stored_also_by_a_clock_that_is_doubted(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 0)
    keep(store, session(5, start=TODAY), ingested=TODAY)
    with at(TODAY + timedelta(days=366)), pytest.raises(Unfinished):
        compact(store, bucket, REGISTRY)
    assert len(rows(bucket)) == 2 and keys(store, "raw/") == []


def test_a_bucket_that_lay_idle_for_long_is_cleared_when_told(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1, *range(640, 660))
    with at(TODAY + timedelta(days=100)):
        with pytest.raises(Unfinished):
            compact(store, bucket, REGISTRY)
        assert compact(store, bucket, REGISTRY, anyway=True).applications["notes"].expired == 20
    with at(TODAY + timedelta(days=101)):
        compact(store, bucket, REGISTRY)


def test_a_month_between_runs_is_no_reason_to_doubt_the_clock(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, *range(701, 721))
    with at(TODAY + timedelta(days=31)):
        assert compact(store, bucket, REGISTRY).applications["notes"].expired == 20


def test_a_shorter_retention_asks_before_it_removes_more_than_a_tenth(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1, 2, 3, 4, 5, 40, 50)
    with pytest.raises(Unfinished, match="29% would be deleted"):
        compact(store, bucket, SHORT)
    assert len(rows(bucket)) == 7
    assert compact(store, bucket, SHORT, anyway=True).applications["notes"].expired == 2


def test_a_tenth_goes_unasked(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, *range(1, 19), 40, 50)
    assert compact(store, bucket, SHORT).applications["notes"].expired == 2


def test_what_fell_due_since_the_last_run_goes_unasked_however_much_it_is(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, *range(710, 729), 5)
    with at(TODAY + timedelta(days=25)):
        assert compact(store, bucket, REGISTRY).applications["notes"].expired == 19


def test_what_comes_in_too_old_goes_unasked(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1)
    for number in range(10, 30):
        keep(store, session(number, start=TODAY - timedelta(days=40)), ingested=TODAY - timedelta(days=39))
    counts = compact(store, bucket, SHORT).applications["notes"]
    assert (counts.stored, counts.expired) == (20, 20)


def test_a_table_whose_ledger_is_lost_is_not_cleared_unasked(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1, 40)
    store.delete(keys(store, "ledger/"))
    with pytest.raises(Unfinished):
        compact(store, bucket, SHORT)
    assert len(rows(bucket)) == 2


def test_the_command_asks_with_an_exit_code_and_names_the_option_that_answers(
    store: ObjectStore, bucket: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, bucket, 1, 40)
    applications = tmp_path_factory.mktemp("applications")
    (applications / "notes.toml").write_text(
        NOTES.replace('name = "Notes"', 'name = "Notes"\nretention_days = 30'), encoding="utf-8"
    )
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(applications))
    said = CliRunner().invoke(main, ["compact", "--bucket", bucket])
    (option,) = re.findall(r"--[a-z-]+", said.stderr)
    assert said.exit_code == 1 and len(rows(bucket)) == 2
    assert CliRunner().invoke(main, ["compact", "--bucket", bucket, option]).exit_code == 0
    assert len(rows(bucket)) == 1


@pytest.mark.s3
def test_a_store_tells_the_time(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    bucket = "s3://abaculus/brakes"
    store = open_bucket(bucket)
    fill(store, bucket, *range(5))
    brakes.check_clock(store, datetime.now(UTC))
    for wrong in (timedelta(days=366), timedelta(hours=2), timedelta(hours=-2)):
        with pytest.raises(brakes.Held):
            brakes.check_clock(store, datetime.now(UTC) + wrong)
    with at(TODAY + timedelta(days=366)), pytest.raises(Unfinished):
        compact(store, bucket, REGISTRY)
    assert compact(store, bucket, REGISTRY).applications == {}
    assert keys(store, "probe/") == []


# The same rule for what else is removed


def age(path: Path, days: float) -> None:
    then = (TODAY - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))


def test_quarantine_that_is_overdue_asks_and_what_fell_due_goes(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, 1)
    for number in range(10):
        store.put(f"quarantine/raw/v1/notes/{number}", b"broken")
    folder = Path(bucket) / "quarantine/raw/v1/notes"
    for number in range(5):
        age(folder / str(number), 30.5)
    compact(store, bucket, REGISTRY)
    assert len(keys(store, "quarantine/")) == 5
    for number in range(5, 8):
        age(folder / str(number), 200)
    with pytest.raises(Unfinished, match="quarantine"):
        compact(store, bucket, REGISTRY)
    assert len(keys(store, "quarantine/")) == 5
    compact(store, bucket, REGISTRY, anyway=True)
    assert len(keys(store, "quarantine/")) == 2


def orphans(bucket: str) -> list[Path]:
    """Has the table's log forget its last commits, and makes its files old."""
    for path in sorted((Path(bucket) / "tables/notes/_delta_log").glob("*.json"))[-3:]:
        path.unlink()
    files = list((Path(bucket) / "tables/notes").glob("month=*/*.parquet"))
    for path in files:
        age(path, 10)
    return files


@pytest.mark.slow
def test_files_that_no_commit_mentions_are_not_deleted_while_sessions_are_missing(
    store: ObjectStore, bucket: str
) -> None:
    for number in range(6):
        keep(store, session(number, start=TODAY), ingested=TODAY)
        compact(store, bucket, REGISTRY)
    files = orphans(bucket)
    with pytest.raises(Unfinished):
        compact(store, bucket, REGISTRY)
    assert all(path.exists() for path in files)
    compact(store, bucket, REGISTRY, anyway=True)
    assert len(rows(bucket)) == 3 and sum(path.exists() for path in files) == 3


def test_a_file_that_a_killed_writer_left_goes_unasked(store: ObjectStore, bucket: str) -> None:
    fill(store, bucket, *range(40))
    (whole, *_) = (Path(bucket) / "tables/notes").glob("month=*/*.parquet")
    left = whole.with_name("part-left.parquet")
    left.write_bytes(b"half")
    age(left, 10)
    compact(store, bucket, REGISTRY)
    assert not left.exists()


def test_many_people_at_once_ask_and_few_do_not(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    for number in range(40):
        keep(store, session(number, user=number, start=TODAY), ingested=TODAY)
    compact(store, bucket, REGISTRY)
    users = [session(user=number)["userId"] for number in range(20)]
    listed = tmp_path / "users.txt"
    listed.write_text("\n".join(users), encoding="utf-8")
    said = CliRunner().invoke(main, ["forget", "--bucket", bucket, "--file", str(listed)])
    assert said.exit_code == 1 and "--remove-anyway" in said.stderr
    assert len(rows(bucket)) == 40 and keys(store, "forgotten/") == []
    assert CliRunner().invoke(main, ["forget", "--bucket", bucket, *users[:9]]).exit_code == 0
    assert len(rows(bucket)) == 31
    done = CliRunner().invoke(main, ["forget", "--bucket", bucket, "--file", str(listed), "--remove-anyway"])
    assert done.exit_code == 0 and len(rows(bucket)) == 20


@pytest.mark.parametrize(("broken", "sound", "held"), [(12, 5, True), (12, 30, False), (3, 0, False)])
def test_a_chunk_that_is_mostly_quarantined_ends_with_an_exit_code(
    store: ObjectStore, bucket: str, broken: int, sound: int, held: bool
) -> None:
    for number in range(broken):
        store.put(f"raw/v1/notes/2026-03-04/{number}.json.gz", b"broken")
    keep(store, *(session(number, start=TODAY) for number in range(sound)), ingested=TODAY)
    with pytest.raises(Unfinished, match="quarantine") if held else nullcontext():
        compact(store, bucket, REGISTRY)
    # What could be read is stored all the same.
    assert len(rows(bucket)) == sound and keys(store, "raw/") == []
