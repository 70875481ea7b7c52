"""The ledger stays short, and what is added up or told by a table's log alone still counts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from obstore.store import MemoryStore, ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.operations.status import status, verify
from reports.storage import ledger
from reports.writers import upkeep
from reports.writers.compact import compact
from reports.writers.forget import forget
from tests.buckets import REGISTRY, batch, keep, keys, session, uuid
from tests.messages import numbers

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=40)


@pytest.fixture
def store(bucket: str) -> Iterator[ObjectStore]:
    return open_bucket(bucket)


def entry(age: timedelta, kind: str = "compact", **counts: Any) -> ledger.Entry:
    began = NOW - age
    run = f"{began:%Y%m%dT%H%M%S%f}Z-00000000"
    return ledger.Entry(run, began.isoformat(), kind=kind, applications={"notes": ledger.Counts(**counts)})


def filled(store: ObjectStore, *entries: ledger.Entry) -> ObjectStore:
    for one in entries:
        ledger.record(store, one)
    return store


def counted(store: ObjectStore) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in ledger.entries(store):
        for name in ("stored", "repeated", "expired", "removed"):
            total[name] = total.get(name, 0) + one["applications"]["notes"][name]
    return total


OLD = [entry(timedelta(days=31 + day), stored=day, repeated=1) for day in range(5)]
YOUNG = [entry(timedelta(days=day), stored=100) for day in (2, 1)]


def test_entries_come_in_the_order_of_their_runs() -> None:
    store = filled(MemoryStore(), *YOUNG, *OLD)
    began = [one["started"] for one in ledger.entries(store)]
    assert began == sorted(began) and len(began) == 7


def test_old_entries_are_added_up_and_young_ones_stay() -> None:
    store = filled(MemoryStore(), *OLD, *YOUNG, entry(timedelta(days=40), "forget", removed=3))
    before = counted(store)
    ledger.fold(store, NOW)
    assert counted(store) == before == {"stored": 210, "repeated": 5, "expired": 0, "removed": 3}
    kinds = [one["kind"] for one in ledger.entries(store)]
    assert kinds == ["sum", "compact", "compact"]
    assert len(keys(store, "ledger/")) == 3


def test_values_that_did_not_fit_are_added_up_by_path() -> None:
    more = [entry(timedelta(days=40 + day), misfits={"attributes.a": day, f"attributes.b{day}": 1}) for day in (1, 2)]
    store = filled(MemoryStore(), *OLD, *more)
    ledger.fold(store, NOW)
    (total,) = ledger.entries(store)
    assert total["applications"]["notes"]["misfits"] == {"attributes.a": 3, "attributes.b1": 1, "attributes.b2": 1}


def test_adding_up_again_takes_the_last_sum_in() -> None:
    store = filled(MemoryStore(), *OLD, *YOUNG)
    before = counted(store)
    ledger.fold(store, NOW)
    once = keys(store)
    ledger.fold(store, NOW)
    assert keys(store) == once
    ledger.fold(store, LATER)
    assert [one["kind"] for one in ledger.entries(store)] == ["sum"]
    assert counted(store) == before
    ledger.fold(store, LATER + timedelta(days=400))
    assert counted(store) == before


class Stopped(BaseException):
    pass


class _Stopping:
    """A bucket whose process is killed after so many changes."""

    def __init__(self, store: ObjectStore, left: int) -> None:
        self.store, self.left = store, left

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if name not in {"put", "delete"}:
            return method

        def change(*args: Any) -> Any:
            if self.left == 0:
                raise Stopped
            self.left -= 1
            return method(*args)

        return change


@pytest.mark.parametrize("changes", range(9))
def test_adding_up_can_be_stopped_anywhere(changes: int) -> None:
    store = filled(MemoryStore(), *OLD)
    ledger.fold(store, NOW - timedelta(days=3))  # a sum of two, which has to go
    filled(store, *YOUNG)
    before = counted(store)
    try:
        ledger.fold(_Stopping(store, changes), NOW)  # type: ignore[arg-type] # it quacks like one
    except Stopped:
        assert counted(store) == before
    ledger.fold(store, NOW)
    assert counted(store) == before
    assert [one["kind"] for one in ledger.entries(store)] == ["sum", "compact", "compact"]
    assert len(keys(store)) == 3


def test_two_that_add_up_at_once_count_nothing_twice() -> None:
    store = filled(MemoryStore(), *OLD, *YOUNG)
    before = counted(store)
    names = ledger._names(store)
    ledger.fold(store, NOW - timedelta(days=3))
    # The other one has listed before, and finds that what it wants to add up is gone.
    with patch.object(ledger, "_names", lambda store: names):
        ledger.fold(store, NOW)
    assert counted(store) == before


def test_entries_are_read_anew_when_they_are_added_up_meanwhile() -> None:
    store = filled(MemoryStore(), *OLD, *YOUNG)
    before = counted(store)
    real, asked = ledger._names, []

    def names(store: ObjectStore) -> list[str]:
        found = real(store)
        asked.append(found)
        if len(asked) == 1:
            with patch.object(ledger, "_names", real):
                ledger.fold(store, NOW)
        return found

    with patch.object(ledger, "_names", names):
        assert counted(store) == before
    assert len(asked) == 2


def test_a_few_entries_are_left_alone_and_many_are_added_up_by_a_run(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MANY", 3)
    filled(store, *OLD[:3])
    compact(store, bucket, REGISTRY)
    assert len(keys(store, "ledger/")) == 4
    filled(store, *OLD)
    compact(store, bucket, REGISTRY)
    assert [one["kind"] for one in ledger.entries(store)] == ["sum", "compact", "compact"]


def test_what_was_added_up_still_agrees_with_the_table(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1), session(2, user=uuid(77)), session(3))
    compact(store, bucket, REGISTRY)
    forget(store, bucket, [uuid(77)])
    batch(store, session(4), session(5))
    compact(store, bucket, REGISTRY)
    assert verify(store, bucket, REGISTRY) == []
    ledger.fold(store, LATER)
    assert verify(store, bucket, REGISTRY) == []
    keep(store, session(6))
    compact(store, bucket, REGISTRY)
    assert verify(store, bucket, REGISTRY) == []
    found = status(store, bucket, REGISTRY)
    assert [run["applications"]["notes"]["stored"] for run in found.runs] == [1]
    (name,) = (key for key in keys(store) if key.startswith(ledger.SUM))
    store.put(name, bytes(store.get(name).bytes()).replace(b'"stored": 5', b'"stored": 4'))
    (fault,) = verify(store, bucket, REGISTRY)
    assert fault.startswith("notes: ")
    assert numbers(fault) == ["4", "5"]


def test_a_run_that_was_killed_gets_an_entry_before_the_log_forgets_it(store: ObjectStore, bucket: str) -> None:
    keep(store, session(1), session(2, user=uuid(77)))
    compact(store, bucket, REGISTRY)
    forget(store, bucket, [uuid(77)])
    store.delete(keys(store, "ledger/"))  # as if both had been killed before they wrote them
    assert verify(store, bucket, REGISTRY) == []  # the log still knows
    handle = upkeep.table.load(bucket, "notes")
    assert handle is not None
    ledger.adopt(store, "notes", handle.history(), NOW)
    assert keys(store, "ledger/") == []  # they may be at work yet
    ledger.adopt(store, "notes", handle.history(), LATER)
    ledger.adopt(store, "notes", handle.history(), LATER)
    first, second = ledger.entries(store)
    assert first["error"] and first["error"] == second["error"]
    assert (first["applications"]["notes"]["stored"], second["applications"]["notes"]["removed"]) == (2, 1)
    assert datetime.fromisoformat(first["started"]).tzinfo is not None
    assert verify(store, bucket, REGISTRY) == []


def test_a_checkpoint_adopts_what_the_log_is_about_to_forget(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, session(1))
    compact(store, bucket, REGISTRY)
    store.delete(keys(store, "ledger/"))
    monkeypatch.setattr(upkeep, "COMMITS", 1)
    handle = upkeep.table.load(bucket, "notes")
    assert handle is not None
    upkeep.tidy(store, bucket, REGISTRY["notes"], handle, LATER)
    (key,) = keys(store, "ledger/")
    assert json.loads(bytes(store.get(key).bytes()))["applications"]["notes"]["stored"] == 1
