"""What a site is built from, as one number: it changes with all that a page could show, and with nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from obstore.store import MemoryStore, ObjectStore

from reports.building.inputs import inputs
from reports.storage import ledger

NOW = datetime.now(UTC)
LOG = "tables/notes/_delta_log/{:020d}.json"


def entry(age: timedelta, **counts: int) -> ledger.Entry:
    began = NOW - age
    applications = {"notes": ledger.Counts(**counts)} if counts else {}
    return ledger.Entry(f"{began:%Y%m%dT%H%M%S%f}Z-00000000", began.isoformat(), applications=applications)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A bucket with a table of two commits, a release and a run, as a workflow sees it."""
    monkeypatch.setenv("GITHUB_SHA", "c" * 40)
    store = MemoryStore()
    for key in (LOG.format(0), LOG.format(1), "tables/notes/month=2026-01/a.parquet", "releases/notes.json"):
        store.put(key, b"{}")
    ledger.record(store, entry(timedelta(hours=5), objects=1, sessions=2, stored=2))
    return store


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put(LOG.format(2), b"{}"),
        lambda store: store.put("tables/other/_delta_log/00000000000000000000.json", b"{}"),
        lambda store: store.put("releases/notes.json", b"[]"),
        lambda store: store.put("excluded/a.json", b"{}"),
        # Sessions in quarantine change no table, but they change the pipeline page.
        lambda store: ledger.record(store, entry(timedelta(hours=1), objects=1, sessions=1, quarantined=1)),
    ],
    ids=["commit", "table", "release", "exclusion", "quarantine"],
)
def test_whatever_a_page_could_show_changes_it(store: ObjectStore, change: Callable[[ObjectStore], None]) -> None:
    before = inputs(store)
    change(store)
    assert inputs(store) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda store: ledger.record(store, entry(timedelta(hours=1))),
        # Anybody who can send can leave such objects there: they must not start a build every hour.
        lambda store: ledger.record(store, entry(timedelta(hours=1), objects=1, sessions=1, waiting=1)),
        lambda store: store.put("raw/v1/stranger/2026-01-01/a.json.gz", b""),
        # What the log is shortened by, and what no commit names yet.
        lambda store: store.delete(LOG.format(0)),
        lambda store: store.put("tables/notes/month=2026-02/b.parquet", b""),
    ],
    ids=["empty run", "waits again", "raw object", "log cut", "file"],
)
def test_what_no_page_shows_does_not(store: ObjectStore, change: Callable[[ObjectStore], None]) -> None:
    before = inputs(store)
    change(store)
    assert inputs(store) == before is not None


def test_a_table_that_is_made_anew_is_another_one(store: ObjectStore) -> None:
    before = inputs(store)
    store.put(LOG.format(1), b'{"another": 1}')
    assert inputs(store) != before


def test_the_commit_counts_and_outside_of_a_workflow_there_is_none(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inputs(store)
    monkeypatch.setenv("GITHUB_SHA", "d" * 40)
    assert inputs(store) not in (before, None)
    monkeypatch.delenv("GITHUB_SHA")
    assert inputs(store) is None
