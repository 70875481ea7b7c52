"""Compaction: every session that was accepted is in the table once, or is accounted for."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from obstore.store import MemoryStore, ObjectStore

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.storage import raw, table
from reports.writers import compact as compaction
from reports.writers.compact import Counts, Entry, Unfinished
from reports.writers.rows import _column
from tests.buckets import NOTES, NOW, REGISTRY, batch, content, keep, keys, registry, rows, session, uuid
from tests.messages import mentions

OTHER = NOTES.replace('"notes"', '"other"')
NEWER = NOTES + '[attributes.shiny]\ntype = "string"\nvalues = ["very"]\nwhy = "New"\n'
ALL = bool(os.environ.get("ABACULUS_ALL"))  # as often as it takes to trust it: some minutes
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


@pytest.fixture
def compact(store: ObjectStore, bucket: str) -> Callable[..., Entry]:
    """One run; with a registry of its own if one is given."""

    def run(known: Mapping[str, Application] = REGISTRY) -> Entry:
        return compaction.compact(store, bucket, known)

    return run


def ids(bucket: str, application: str = "notes") -> list[str]:
    return [row["session_id"] for row in rows(bucket, application)]


def counts(entry: Entry, application: str = "notes") -> dict[str, int]:
    """What a run counted, without what it did not."""
    found = vars(entry.applications[application]).items()
    return {name: number for name, number in found if number and name not in ("table_version", "people")}


def ledger(store: ObjectStore) -> list[dict[str, Any]]:
    return [json.loads(content(store, key)) for key in keys(store, "ledger/")]


# Into the table


def test_sessions_become_rows_and_their_objects_go(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1), session(2))
    batch(store, session(3), session(4))
    entry = compact()
    assert sorted(ids(bucket)) == [uuid(number) for number in (1, 2, 3, 4)]
    assert keys(store, "raw/") == []
    assert counts(entry) == {"objects": 3, "sessions": 4, "stored": 4}


def test_a_row_is_what_the_raw_line_is(store: ObjectStore, bucket: str, compact: Callable[..., Entry]) -> None:
    start = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    (key,) = keep(
        store,
        session(
            start=start,
            attributes={
                "osName": "BeOS", "exitCode": -(2**63), "inCi": False, "memory": 0.1, "comment": "a\tb",
                "checkedAt": "2026-02-28T00:00:00.9999999Z", "foo": 1,
            },
            events=[
                {"type": "Opened", "time": "2026-03-01T00:00:00.5Z", "attributes": {"how": "menu"}},
                {"type": "Closed", "time": "2026-03-01T00:00:01Z"},
                {"type": "Unheard", "time": "2026-03-01T00:00:01Z"},
            ],
            spans=[
                {"type": "Save", "startTime": "2026-03-01T00:00:00Z", "endTime": "2026-03-01T00:00:00.000001Z",
                 "attributes": {"size": 3, "bar": None}},
            ],
        ),
    )  # fmt: skip
    line = json.loads(content(store, key))
    compact()
    (row,) = rows(bucket)
    assert row == {
        "session_id": line["sessionId"],
        "user_id": line["userId"],
        "application_version": "1.2.3",
        "start_time": start,
        "end_time": start + timedelta(seconds=2),
        "ingestion_time": NOW,
        "clock_suspect": False,
        "month": "2026-02",
        "attributes": {
            "osName": "(other)", "exitCode": -(2**63), "inCi": False, "memory": 0.1, "comment": "a\tb",
            "checkedAt": datetime(2026, 2, 28, 0, 0, 0, 999999, tzinfo=UTC),
        },
        "events": [
            {
                "type": "Opened",
                "time": datetime(2026, 3, 1, 0, 0, 0, 500000, tzinfo=UTC),
                "attributes": {"how": "menu"},
            },
            {"type": "Closed", "time": datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC), "attributes": {"how": None}},
        ],
        "spans": [
            {
                "type": "Save",
                "start_time": datetime(2026, 3, 1, tzinfo=UTC),
                "end_time": datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC),
                "attributes": {"size": 3},
            }
        ],
        "undeclared": ["attributes.foo", "events.Unheard", "spans.Save.attributes.bar"],
    }  # fmt: skip


def test_lists_without_entries_and_members_without_values_are_rows_too(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1, attributes=None, events=None, spans=[]))
    line = json.dumps(json.loads(content(store, keys(store, "raw/")[0])) | {"sessionId": uuid(2), "events": [None]})
    store.put("raw/v1/notes/2026-03-04/x.json.gz", raw.zlib.compress(line.encode() + b"\n", wbits=31))
    compact()
    first, second = rows(bucket)
    assert first["events"] == [] and first["spans"] == []
    assert second["events"] == [None]


def test_an_application_that_declares_nothing_is_compacted(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    bare = registry('id = "notes"\nname = "Notes"\n')
    keep(store, session(events=[{"type": "Opened", "time": "2026-03-04T05:06:08Z"}]), known=bare)
    compact(bare)
    (row,) = rows(bucket)
    assert "attributes" not in row
    assert row["undeclared"] == ["attributes.exitCode", "attributes.osName", "events.Opened"]
    keep(store, session(2, start=LATER, events=[{"type": "Opened", "time": "2026-03-04T05:06:08Z"}]), ingested=LATER)
    compact()
    assert [row["attributes"] and row["attributes"]["osName"] for row in rows(bucket)] == [None, "Linux"]


def test_a_session_that_comes_late_is_in_its_month(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1, start=NOW - timedelta(days=30)), session(2))
    compact()
    assert [row["month"] for row in rows(bucket)] == ["2026-02", "2026-03"]
    assert {path.name for path in (Path(bucket) / "tables/notes").iterdir()} >= {"month=2026-02", "month=2026-03"}


def test_a_start_after_its_own_ingestion_is_flagged_and_counted(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1), session(2, start=NOW + timedelta(microseconds=1)))
    assert counts(compact())["clock_suspect"] == 1
    assert [row["clock_suspect"] for row in rows(bucket)] == [False, True]


def test_each_application_has_its_own_table(store: ObjectStore, bucket: str, compact: Callable[..., Entry]) -> None:
    known = registry(NOTES, OTHER)
    keep(store, session(1), session(1, applicationId="other"), known=known)
    entry = compact(known)
    assert list(entry.applications) == ["notes", "other"]
    assert ids(bucket) == ids(bucket, "other") == [uuid(1)]


def test_chunks_are_committed_one_by_one(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "CHUNK_OBJECTS", 2)
    keep(store, *(session(number) for number in range(5)))
    entry = compact()
    assert entry.applications["notes"].table_version == 3
    assert len(ids(bucket)) == 5


def test_a_run_with_nothing_new_leaves_the_table_alone(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    compact()
    assert keys(store, "tables/") == []
    keep(store, session())
    compact()
    before = keys(store, "tables/")
    entry = compact()
    assert keys(store, "tables/") == before
    assert entry.applications == {} and entry.error is None
    assert len(ledger(store)) == 3


def test_progress_says_which_application_and_how_far(store: ObjectStore, bucket: str) -> None:
    keep(store, session())
    told: list[str] = []
    compaction.compact(store, bucket, REGISTRY, progress=told.append)
    assert told == ["notes: 1 object to read", "notes: 1 of 1 object, 1 session"]


# Once


def test_a_session_that_came_twice_counts_once_and_the_one_ingested_first_is_kept(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    batch(store, session(1, applicationVersion="2"), session(2), ingested=LATER)
    keep(store, session(1, applicationVersion="1"))
    batch(store, session(1, applicationVersion="3"), session(3), ingested=LATER + timedelta(minutes=1))
    assert counts(compact()) == {"objects": 3, "sessions": 5, "stored": 3, "repeated": 2}
    assert {row["session_id"]: row["application_version"] for row in rows(bucket)}[uuid(1)] == "1"


def test_a_session_that_comes_again_in_a_later_run_changes_nothing(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1, applicationVersion="1"))
    compact()
    before = rows(bucket)
    keep(store, session(1, applicationVersion="2"), ingested=LATER)
    batch(store, session(1), session(2, start=LATER), ingested=LATER)
    assert counts(compact()) == {"objects": 2, "sessions": 3, "stored": 1, "repeated": 2}
    assert rows(bucket)[:1] == before


def test_a_session_that_comes_again_in_a_later_chunk_counts_once(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "CHUNK_OBJECTS", 1)
    keep(store, session(1))
    batch(store, session(1), session(2), ingested=LATER)
    assert counts(compact()) == {"objects": 2, "sessions": 3, "stored": 2, "repeated": 1}
    assert len(ids(bucket)) == 2


def test_a_repeat_whose_first_came_with_another_start_counts_once(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1), session(1, start=NOW - timedelta(days=40)))
    assert counts(compact()) == {"objects": 2, "sessions": 2, "stored": 1, "repeated": 1}


def test_what_a_stopped_run_had_stored_is_recovered_and_not_called_repeated(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    left = {key: bytes(store.get(key).bytes()) for key in keep(store, session(1), session(2))}
    compact()
    for key, data in left.items():
        store.put(key, data)
    batch(store, session(1), session(1), ingested=LATER)
    assert counts(compact()) == {"objects": 3, "sessions": 4, "recovered": 2, "repeated": 2}
    assert len(ids(bucket)) == 2


def test_a_person_who_is_forgotten_does_not_come_back(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    store.put(f"forgotten/{sha256(session(user=2)['userId'].encode()).hexdigest()}", b"")
    keep(store, session(1, user=1), session(2, user=2), session(3, user=2))
    assert counts(compact()) == {"objects": 3, "sessions": 3, "stored": 1, "forgotten": 2}
    assert ids(bucket) == [uuid(1)]
    assert keys(store, "raw/") == []


# What is left, and what is set aside


def test_poison_is_set_aside_and_counted_and_the_rest_arrives(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    store.put("raw/v1/notes/2026-03-04/broken.json.gz", b"broken")
    keep(store, session(1))
    assert counts(compact()) == {"objects": 2, "sessions": 2, "stored": 1, "quarantined": 1}
    assert bytes(store.get("quarantine/raw/v1/notes/2026-03-04/broken.json.gz").bytes()) == b"broken"
    assert keys(store, "raw/") == []
    assert ids(bucket) == [uuid(1)]


def test_nothing_but_poison_makes_no_table(store: ObjectStore, bucket: str, compact: Callable[..., Entry]) -> None:
    store.put("raw/v1/notes/2026-03-04/broken.json.gz", b"broken")
    compact()
    assert keys(store, "tables/") == []


def test_a_session_of_another_application_in_this_folder_is_set_aside(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    known = registry(NOTES, OTHER)
    (key,) = keep(store, session(1, applicationId="other"), known=known)
    store.rename(key, key.replace("/other/", "/notes/"))
    keep(store, session(2))
    assert counts(compact(known)) == {"objects": 2, "sessions": 2, "stored": 1, "quarantined": 1}
    (note,) = (content(store, key) for key in keys(store, "quarantine/") if key.endswith(".reason.json"))
    assert json.loads(note)["reason"] == "applicationId is not 'notes'"


def test_what_the_registry_does_not_know_waits_and_is_stored_once_it_does(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    newer = registry(NEWER)
    batch(store, session(1, attributes={"shiny": "very"}), session(2), known=newer)
    keep(store, session(3))
    for _ in range(2):
        assert counts(compact())["waiting"] == 2
    assert ids(bucket) == [uuid(3)]
    assert len(keys(store, "raw/")) == 1
    assert counts(compact(newer)) == {"objects": 1, "sessions": 2, "stored": 2}
    shiny = {row["session_id"]: row["attributes"] and row["attributes"]["shiny"] for row in rows(bucket)}
    assert shiny == {uuid(1): "very", uuid(2): None, uuid(3): None}
    assert keys(store, "raw/") == []


def test_what_waits_is_not_read_again_until_the_registry_is_another(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = registry(NEWER)
    keep(store, *(session(number, attributes={"shiny": "very"}) for number in range(20)), known=newer)
    batch(store, session(30, attributes={"shiny": "very"}), session(31), known=newer)
    assert counts(compact())["waiting"] == 22
    fetched: list[str] = []
    fetch = raw._fetch
    monkeypatch.setattr(raw, "_fetch", lambda *given: fetched.append(given[2]) or fetch(*given))
    (late,) = keep(store, session(40))
    assert counts(compact()) == {"objects": 1, "sessions": 1, "stored": 1, "waiting": 22}
    assert fetched == [late]
    # What another command took away meanwhile does not wait any more.
    store.delete(late.replace(uuid(40), uuid(0)))
    assert counts(compact())["waiting"] == 21
    store.put("waiting/notes.json", b"cut")
    assert compact(newer).applications["notes"].waiting == 0
    assert keys(store, "raw/") == [] and keys(store, "waiting/") == []


def test_a_registry_ahead_of_the_function_stores_what_comes(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1))
    compact(registry(NEWER))
    keep(store, session(2, start=LATER), ingested=LATER)
    compact(REGISTRY)
    assert [row["attributes"]["shiny"] for row in rows(bucket)] == [None, None]


def test_a_removed_attribute_stays_readable(store: ObjectStore, bucket: str, compact: Callable[..., Entry]) -> None:
    newer = registry(NEWER)
    keep(store, session(1, attributes={"shiny": "very"}), known=newer)
    compact(newer)
    removed = registry(NEWER + "removed = true\n")
    keep(store, session(2, start=LATER, attributes={"shiny": "very"}), known=removed, ingested=LATER)
    compact(removed)
    assert [row["attributes"] and row["attributes"]["shiny"] for row in rows(bucket)] == ["very", None]


def test_a_changed_type_stops_that_application_and_no_other(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    known = registry(NOTES, OTHER)
    keep(store, session(1), known=known)
    compact(known)
    changed = registry(NOTES.replace('type = "number"', 'type = "string"'), OTHER)
    keep(store, session(2), session(3, applicationId="other"), known=changed)
    with pytest.raises(Unfinished) as raised:
        compact(changed)
    assert mentions(str(raised.value), "attributes.memory", "number", "string")
    assert ids(bucket, "other") == [uuid(3)]
    assert len(keys(store, "raw/v1/notes/")) == 1
    assert mentions(ledger(store)[-1]["error"], "attributes.memory", "number", "string")
    compact(known)
    assert ids(bucket) == [uuid(1), uuid(2)]


def test_a_changed_type_costs_one_value_and_no_session(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    keep(store, session(1, attributes={"exitCode": 1}))
    compact()
    changed = registry(NOTES.replace('type = "integer"\nrole = "exit_code"', 'type = "string"\nvalues = ["1"]'))
    keep(store, session(2, attributes={"exitCode": "1", "osName": "macOS"}), known=changed)
    keep(store, session(3, attributes={"exitCode": 3}))
    # Neither those of the old type nor those of the new one are read: the table has the old type.
    with pytest.raises(Unfinished) as raised:
        compact(changed)
    assert mentions(str(raised.value), "attributes.exitCode", "integer", "string")
    assert keys(store, "quarantine/") == [] and len(keys(store, "raw/")) == 2
    # With the old type restored, all that is lost of what was sent with the new one is that value.
    found = counts(compact())
    assert found == {"objects": 2, "sessions": 2, "stored": 2, "misfits": {"attributes.exitCode": 1}}
    stored = [(row["attributes"]["exitCode"], row["attributes"]["osName"], row["undeclared"]) for row in rows(bucket)]
    assert stored == [(1, None, []), (None, "macOS", ["attributes.exitCode"]), (3, None, [])]
    assert keys(store, "quarantine/") == [] and keys(store, "raw/") == []


def test_values_that_do_not_fit_are_counted_by_path_where_sessions_are_stored(
    store: ObjectStore, compact: Callable[..., Entry]
) -> None:
    odd = {"exitCode": "1", "memory": True, "shiny": 1}
    saved = {"type": "Save", "startTime": "2026-03-04T05:06:07Z", "endTime": "2026-03-04T05:06:07Z"}
    spans = [saved | {"attributes": {"size": "L"}}] * 2
    keep(store, session(1, attributes=odd), session(2, attributes=odd, spans=spans), session(3))
    expected = {"attributes.exitCode": 2, "attributes.memory": 2, "spans.Save.attributes.size": 1}
    assert counts(compact())["misfits"] == expected
    # The same sessions again are not counted again.
    keep(store, session(1, attributes=odd), ingested=LATER)
    keep(store, session(4, attributes={"exitCode": 1.5}), ingested=LATER)
    assert counts(compact())["misfits"] == {"attributes.exitCode": 1}
    assert [entry["applications"]["notes"]["misfits"] for entry in ledger(store)] == [
        expected, {"attributes.exitCode": 1},
    ]  # fmt: skip


WIDE = NOTES.replace('type = "integer"\nwhy = "Does', 'type = "number"\nwhy = "Does').replace(
    'type = "integer"\nrole = "exit_code"', 'type = "number"'
)


def _measured(number: int, exit: float, size: float) -> dict[str, Any]:
    saved = {"type": "Save", "startTime": "2026-03-04T05:06:07Z", "endTime": "2026-03-04T05:06:07Z"}
    return session(number, attributes={"exitCode": exit}, spans=[saved | {"attributes": {"size": size}}])


def _measures(bucket: str) -> list[tuple[Any, Any]]:
    found = [row for row in rows(bucket) if row["spans"]]
    return [(row["attributes"]["exitCode"], row["spans"][0]["attributes"]["size"]) for row in found]


def test_an_integer_can_become_a_number_and_an_integer_again(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    wide = registry(WIDE, OTHER)
    keep(store, _measured(1, 1, 2**62 + 1))
    keep(store, session(2, start=NOW - timedelta(days=40), attributes={}))
    compact(registry(NOTES, OTHER))
    # The function has the new type before compaction does, and the other way round.
    keep(store, _measured(3, 1.5, 2.5), known=wide)
    keep(store, session(4, applicationId="other", attributes={"exitCode": "x"}), known=wide)
    entry = compact(wide)
    assert counts(entry) == {"objects": 1, "sessions": 1, "stored": 1} and entry.error is None
    keep(store, _measured(5, 7, 8))
    compact(wide)
    found = rows(bucket)
    assert [row["session_id"] for row in found] == [uuid(number) for number in (2, 1, 3, 5)]
    assert [(row["attributes"] or {}).get("exitCode") for row in found] == [None, 1.0, 1.5, 7.0]
    assert [row["spans"][0]["attributes"]["size"] for row in found[1:]] == [float(2**62), 2.5, 8.0]
    handle = table.load(bucket, "notes")
    assert handle is not None and len({file.month for file in table.files(handle)}) == 2
    assert sum(int(commit.get("stored", 0)) for commit in handle.history()) == 4
    version = handle.version()
    # With the old type again, what is not whole is null and counted, and what is stored stays.
    keep(store, _measured(6, 9.5, 3), _measured(8, 4, 2.25), known=wide)
    keep(store, _measured(7, 1.25, 4))
    assert counts(compact())["misfits"] == {"attributes.exitCode": 2, "spans.Save.attributes.size": 1}
    assert [exit for exit, _ in _measures(bucket)[-3:]] == [None, None, 4.0]
    assert _measures(bucket)[1] == (1.5, 2.5)
    assert table.load(bucket, "notes").version() == version + 1  # type: ignore[union-attr]
    assert keys(store, "quarantine/") == [] and keys(store, "raw/") == []


def test_a_table_without_rows_is_widened(store: ObjectStore, bucket: str, compact: Callable[..., Entry]) -> None:
    table.load_or_create(bucket, REGISTRY["notes"])
    compact(registry(WIDE))
    keep(store, _measured(1, 1.5, 2.5), known=registry(WIDE))
    compact(registry(WIDE))
    assert _measures(bucket) == [(1.5, 2.5)]


def test_a_writer_that_comes_first_is_not_lost_when_a_table_is_widened(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, _measured(1, 1, 1))
    compact()
    keep(store, _measured(2, 2, 2))
    write, begun = table.write_deltalake, []

    def overtaken(*args: Any, **options: Any) -> None:
        if options["mode"] == "overwrite" and not begun:
            begun.append(True)
            compact()
        write(*args, **options)

    monkeypatch.setattr(table, "write_deltalake", overtaken)
    wide = registry(WIDE)
    compact(wide)
    assert _measures(bucket) == [(1.0, 1.0), (2.0, 2.0)]
    handle = table.load(bucket, "notes")
    assert handle is not None and table.widened(handle, wide["notes"]) is None
    # What it wrote in vain is as large as the table, and goes unasked when it is a week old.
    files = {path.relative_to(Path(bucket) / "tables/notes") for path in Path(bucket).glob("tables/notes/*/*.parquet")}
    vain = files - {Path(file.path) for file in table.files(handle)} - set(map(Path, table.removed(handle)))
    assert vain
    for path in vain:
        os.utime(Path(bucket) / "tables/notes" / path, (1, 1))
    compact(wide)
    assert not any((Path(bucket) / "tables/notes" / path).exists() for path in vain)
    # Rows in the new type are never added to a table in the old one, where they would be cut off.
    narrow = str(Path(bucket).with_name("narrow"))
    with pytest.raises(table.TableError):
        table.append(table.load_or_create(narrow, REGISTRY["notes"]), table.schema(wide["notes"]).empty_table(), 1, {})


def test_an_application_without_a_registry_file_waits_and_is_named(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry]
) -> None:
    known = registry(NOTES, OTHER)
    keep(store, session(1, applicationId="other"), session(2), known=known)
    entry = compact()
    assert entry.unregistered == ["other"]
    assert len(keys(store, "raw/v1/other/")) == 1
    assert compact(known).unregistered == []
    assert ids(bucket, "other") == [uuid(1)]


# The ledger


def test_every_run_writes_what_it_did(store: ObjectStore, compact: Callable[..., Entry]) -> None:
    keep(store, session())
    entry = compact()
    (written,) = ledger(store)
    assert keys(store, "ledger/") == [f"ledger/{entry.run}.json"]
    assert written["applications"]["notes"] | {"table_version": 1, "stored": 1} == written["applications"]["notes"]
    assert written["error"] is None
    assert datetime.fromisoformat(written["started"]) <= datetime.fromisoformat(written["ended"])
    assert Counts(**written["applications"]["notes"]) == entry.applications["notes"]


def test_a_run_that_fails_says_so_in_the_ledger_and_loses_nothing(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise OSError("no answer")

    keep(store, session())
    with monkeypatch.context() as patch:
        patch.setattr(table, "write_deltalake", fail)
        with pytest.raises(Unfinished, match="no answer"):
            compact()
    (written,) = ledger(store)
    assert written["error"] == "notes: no answer"
    assert written["ended"] is not None
    assert counts(compact()) == {"objects": 1, "sessions": 1, "stored": 1}
    assert ids(bucket) == [uuid(1)]


def test_a_lost_answer_counts_as_stored(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = table.write_deltalake

    def lose(*args: Any, **options: Any) -> None:
        write(*args, **options)
        raise OSError("no answer")

    monkeypatch.setattr(table, "write_deltalake", lose)
    keep(store, session())
    assert counts(compact()) == {"objects": 1, "sessions": 1, "stored": 1}
    assert len(ids(bucket)) == 1


def test_a_writer_that_is_always_faster_makes_the_run_give_up_and_leave_the_sessions(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = table.write_deltalake

    def overtaken(*args: Any, **options: Any) -> None:
        handle = table.load(bucket, "notes")
        assert handle is not None
        nothing = table.schema(REGISTRY["notes"]).empty_table()
        number = table.sequence(handle) + 1
        write(handle, nothing, mode="append", commit_properties=_numbered(number))
        write(*args, **options)

    keep(store, session())
    monkeypatch.setattr(table, "write_deltalake", overtaken)
    with pytest.raises(Unfinished) as raised:
        compact()
    assert mentions(str(raised.value), "20", "raw/")
    assert len(keys(store, "raw/")) == 1
    assert rows(bucket) == []


def _numbered(number: int) -> Any:
    return table.CommitProperties(app_transactions=[table.Transaction(table.COMPACT, number)])


# Several at once, and killed

RUN = """
import sys
from ingest.function.bucket_url import open_bucket
from reports.storage import raw
from reports.writers.compact import Unfinished, compact
from tests.buckets import REGISTRY
raw.CHUNK_OBJECTS = int(sys.argv[2])
store = open_bucket(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
compact(store, sys.argv[1], REGISTRY)
"""


def start(bucket: str, chunk: int) -> "subprocess.Popen[str]":
    """A run in a process of its own, which begins at a newline."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, bucket, str(chunk)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def begin(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
@pytest.mark.parametrize("round", range(100 if ALL else 2))
def test_compactors_at_once_end_with_each_session_once(store: ObjectStore, bucket: str, round: int) -> None:
    there = round % 2 == 1  # a table; in the other rounds they race to create it
    if there:
        keep(store, session(1000))
        compaction.compact(store, bucket, REGISTRY)
    keep(store, *(session(number) for number in range(60)))
    batch(store, *(session(number) for number in range(0, 90, 3)), ingested=LATER)
    store.put("raw/v1/notes/2026-03-04/broken.json.gz", b"broken")
    runs = [start(bucket, chunk) for chunk in (7, 11, 50, 3, 20)[: 2 + (round + 1) % 4]]
    for run in runs:
        begin(run)
    for run in runs:
        run.communicate()
        assert run.returncode == 0
    compaction.compact(store, bucket, REGISTRY)
    assert keys(store, "raw/") == []
    accepted = {*range(60), *range(0, 90, 3), *([1000] if there else [])}
    assert sorted(ids(bucket)) == sorted(uuid(number) for number in accepted)
    assert sum(run["applications"]["notes"]["stored"] for run in ledger(store) if run["applications"]) == len(accepted)


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_loses_nothing_and_repeats_nothing(store: ObjectStore, bucket: str) -> None:
    chance = random.Random(0)
    rounds = 200 if ALL else 6
    for round in range(rounds):
        keep(store, *(session(round * 100 + number) for number in range(40)))
        batch(store, *(session(round * 100 + number) for number in range(20, 60)), ingested=LATER)
        run = start(bucket, 5)
        begin(run)
        time.sleep(chance.uniform(0, 0.25))
        run.send_signal(signal.SIGKILL)
        run.communicate()
    compaction.compact(store, bucket, REGISTRY)
    assert keys(store, "raw/") == []
    assert sorted(ids(bucket)) == sorted(uuid(round * 100 + number) for round in range(rounds) for number in range(60))


def test_an_object_that_disappears_between_listing_and_fetch_is_no_error(
    store: ObjectStore, bucket: str, compact: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _ = keep(store, session(1), session(2))
    read = raw.read

    def late(store: ObjectStore, application: Application, objects: pa.Table) -> Iterator[raw.Chunk]:
        store.delete(gone)
        yield from read(store, application, objects)

    monkeypatch.setattr(raw, "read", late)
    assert counts(compact()) == {"objects": 1, "sessions": 1, "stored": 1}


def test_columns_are_renamed_without_losing_nulls_offsets_or_order() -> None:
    span = pa.struct([("type", pa.string()), ("startTime", pa.int64()), ("attributes", pa.struct([]))])
    wanted = pa.list_(pa.struct([("type", pa.string()), ("start_time", pa.int64())]))
    made = [[{"type": "a", "startTime": 1, "attributes": {}}], None, [None], [], [{"type": "b", "startTime": 2}] * 2]
    column = pa.chunked_array([pa.array(made, pa.list_(span)).slice(1), pa.array(made, pa.list_(span))])
    expected = [[{"type": "a", "start_time": 1}], None, [None], [], [{"type": "b", "start_time": 2}] * 2]
    renamed = _column(column, wanted)
    renamed.validate(full=True)
    assert renamed.to_pylist() == expected[1:] + expected


def test_a_bucket_in_memory_has_nothing_to_compact() -> None:
    assert raw.applications(MemoryStore()) == []


def test_only_the_applications_and_days_that_are_asked_for_are_brought_in(bucket: str) -> None:
    store = open_bucket(bucket)
    keep(store, session(1, start=NOW - timedelta(days=3)), session(2))
    later = compaction.compact(store, bucket, REGISTRY, since=NOW.date())
    assert (later.applications["notes"].stored, len(keys(store, "raw/"))) == (1, 1)
    other = compaction.compact(store, bucket, REGISTRY, applications=["another"])
    assert (other.applications, other.unregistered, len(keys(store, "raw/"))) == ({}, [], 1)
    assert compaction.compact(store, bucket, REGISTRY, applications=["notes"]).applications["notes"].stored == 1


def test_a_run_knows_how_many_people_it_stored_and_counts_no_build_server(bucket: str) -> None:
    store = open_bucket(bucket)
    keep(store, session(1), session(2), session(3, user=2), session(4, user=3, attributes={"inCi": True}))
    assert compaction.compact(store, bucket, REGISTRY).applications["notes"].people == 2
    keep(store, session(1))
    assert compaction.compact(store, bucket, REGISTRY).applications["notes"].people == 0
