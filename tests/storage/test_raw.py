"""Reading raw objects back: what is sound arrives, what is not is set aside alone."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore, ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import lines, raw
from tests.buckets import NOTES, REGISTRY, batch, content, keep, keys, registry, session, uuid
from tests.messages import numbers

APPLICATION = REGISTRY["notes"]
PREFIX = "raw/v1/notes/2026-03-04/"


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, bucket: str) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else open_bucket(bucket)


def read(store: ObjectStore, known: Any = APPLICATION) -> raw.Chunk:
    """All that there is, as one chunk."""
    return lines.joined(lines.schema(known), list(raw.read(store, known, raw.listed(store, "notes"))))


def ids(chunk: raw.Chunk) -> list[str]:
    return sorted(chunk.rows["sessionId"].to_pylist())


def line(number: int = 1, **members: Any) -> bytes:
    """A canonical line."""
    store = MemoryStore()
    (key,) = keep(store, session(number))
    return json.dumps(json.loads(content(store, key)) | members, separators=(",", ":")).encode() + b"\n"


def put(store: ObjectStore, *lines: bytes, name: str = "batch-00.ndjson.gz") -> str:
    store.put(PREFIX + name, zlib.compress(b"".join(lines), wbits=31))
    return PREFIX + name


# What is sound


def test_sessions_that_came_alone_and_in_batches_are_read_together(store: ObjectStore) -> None:
    taken = [*keep(store, session(1), session(2)), batch(store, session(3), session(4))]
    chunk = read(store)
    assert ids(chunk) == [uuid(number) for number in (1, 2, 3, 4)]
    assert sorted(chunk.taken) == sorted(taken)
    assert chunk.unreadable == [] and chunk.waiting == {}


def test_a_session_is_read_with_everything_that_it_has(store: ObjectStore) -> None:
    keep(
        store,
        session(
            attributes={
                "osName": "macOS", "exitCode": -1, "inCi": None, "memory": 7.5, "comment": "naïve 🐚 \\ \" \n",
                "checkedAt": "2026-03-04T06:00:00.123456789+01:00", "foo": 1,
            },
            events=[{"type": "Opened", "time": "2026-03-04T05:06:08Z", "attributes": {"how": "drums"}}],
            spans=[{"type": "Save", "startTime": "2026-03-04T05:06:08Z", "endTime": "2026-03-04T05:06:09Z"}],
        ),
    )  # fmt: skip
    (row,) = read(store).rows.to_pylist()
    assert row["attributes"]["comment"] == 'naïve 🐚 \\ " \n'
    assert row["attributes"]["checkedAt"].isoformat() == "2026-03-04T05:00:00.123456+00:00"
    assert row["attributes"]["exitCode"] == -1 and row["attributes"]["inCi"] is None
    assert row["events"][0]["attributes"] == {"how": "(other)"}
    assert row["spans"][0]["attributes"] == {"size": None}
    assert row["undeclared"] == ["attributes.foo"]


def test_an_application_that_declares_nothing_is_read(store: ObjectStore) -> None:
    bare = registry('id = "notes"\nname = "Notes"\n')
    keep(store, session(events=[{"type": "Opened", "time": "2026-03-04T05:06:08Z"}]), known=bare)
    assert read(store, bare["notes"]).rows["undeclared"].to_pylist() == [
        ["attributes.exitCode", "attributes.osName", "events.Opened"]
    ]


# Chunks


def chunks(store: ObjectStore) -> list[raw.Chunk]:
    return list(raw.read(store, APPLICATION, raw.listed(store, "notes")))


@pytest.mark.parametrize("ahead", [0, 1, 20])
def test_objects_come_in_chunks_of_as_many_as_fit_the_oldest_first(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr(raw, "CHUNK_OBJECTS", 3)
    monkeypatch.setattr(raw, "AHEAD", ahead)
    every = keep(store, *(session(number) for number in range(8)))
    found = chunks(store)
    assert [chunk.rows.num_rows for chunk in found] == [3, 3, 2]
    assert sorted(key for chunk in found for key in chunk.taken) == sorted(every)
    assert [id for chunk in found for id in chunk.rows["sessionId"].to_pylist()] == [
        Path(key).name.removesuffix(".json.gz") for key in raw.listed(store, "notes")["path"].to_pylist()
    ]


def test_a_chunk_is_full_at_so_many_bytes_of_text_and_one_large_object_has_its_own(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(line())
    monkeypatch.setattr(raw, "CHUNK_BYTES", 3 * size)
    monkeypatch.setattr(raw, "SLICE_BYTES", size)
    for name, count in (("a", 2), ("b", 2), ("c", 1), ("d", 20), ("e", 1)):
        put(store, *(line(ord(name) * 100 + number) for number in range(count)), name=name)
    found = [[key[-1] for key in chunk.taken] for chunk in chunks(store)]
    assert sorted(letter for chunk in found for letter in chunk) == list("abcde")
    assert ["d"] in found
    assert not any({"a", "b"} <= set(chunk) for chunk in found)


def test_text_that_is_small_when_packed_counts_as_what_it_is(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "CHUNK_BYTES", 200_000)
    padded = [line(number)[:-1] + b" " * 150_000 + b"\n" for number in range(4)]
    for number, text in enumerate(padded):
        put(store, text, name=f"{number}")
    assert [chunk.rows.num_rows for chunk in chunks(store)] == [1, 1, 1, 1]


@pytest.mark.parametrize("lie", [0, 2**32 - 1])
def test_an_object_that_lies_about_how_large_it_is_is_set_aside_alone(store: ObjectStore, lie: int) -> None:
    store.put(PREFIX + "liar", zlib.compress(line(1), wbits=31)[:-4] + lie.to_bytes(4, "little"))
    keep(store, session(2), session(3))
    assert sorted(id for chunk in chunks(store) for id in ids(chunk)) == [uuid(2), uuid(3)]
    assert [item.key for chunk in chunks(store) for item in chunk.unreadable] == [PREFIX + "liar"]


def test_more_objects_than_are_fetched_at_once_come_all_and_in_order(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "WINDOW_OBJECTS", 7)
    every = keep(store, *(session(number) for number in range(60)))
    (chunk,) = chunks(store)
    assert sorted(chunk.taken) == sorted(every)
    assert chunk.taken == raw.listed(store, "notes")["path"].to_pylist()


def test_whoever_stops_asking_is_not_kept_waiting(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "CHUNK_OBJECTS", 1)
    keep(store, *(session(number) for number in range(9)))
    reading = raw.read(store, APPLICATION, raw.listed(store, "notes"))
    assert next(reading).rows.num_rows == 1
    reading.close()
    assert len(keys(store, "raw/")) == 9


def test_no_objects_are_no_chunks_and_no_applications(store: ObjectStore) -> None:
    assert chunks(store) == []
    assert raw.applications(store) == []


def test_applications_are_those_that_have_objects_now(store: ObjectStore) -> None:
    keep(store, session())
    store.put("raw/v1/other/2026-03-04/x", b"")
    assert raw.applications(store) == ["notes", "other"]
    store.delete(keys(store, "raw/v1/notes/"))  # a local directory stays there, empty
    assert raw.applications(store) == ["other"]


def test_an_object_that_another_run_took_after_the_listing_is_passed_over(store: ObjectStore) -> None:
    gone, _ = keep(store, session(1), session(2))
    objects = raw.listed(store, "notes")
    store.delete(gone)
    (chunk,) = raw.read(store, APPLICATION, objects)
    assert ids(chunk) == [uuid(2)]
    assert gone not in chunk.taken


# Poison

POISON = {
    "half a session": line()[: len(line()) // 2] + b"\n",
    "not JSON": b"hello\n",
    "an empty line": b"\n",
    "null": b"null\n",  # pyarrow ends the process at this one
    "many nulls": b"null" * 1000 + b"\n",
    "a number": b"5\n",
    "an array": b"[]\n",
    "an object without members": b"{}\n",
    "two sessions without a newline between": line(8)[:-1] + line(9),
    "text that is not UTF-8": line().replace(b"Linux", b"\xff\xfe"),
    "half a surrogate pair": line().replace(b"Linux", rb"\ud800"),
    "a carriage return": line().replace(b"Linux", b"a\rb"),
    "an integer of 65 bits": line(attributes={"exitCode": 2**63}),
    "a number past all numbers": line(attributes={"memory": 1}).replace(b":1}", b":1e999}"),
    "an array for a text": line(attributes={"osName": ["Linux"]}),
    "a text for the attributes": line(attributes="none"),
    "a member twice": line()[:-2] + b',"userId":"x"}\n',
    "an attribute twice": line().replace(b'"osName":"Linux"', b'"osName":"Linux","osName":"macOS"'),
    "nine digits of a second": line(sessionEndTime="2026-03-04T05:06:07.123456789Z"),
    "a time that is none": line(sessionEndTime="2026-02-30T00:00:00Z"),
    "no session id": line(sessionId=None),
    "a session id that is no UUID": line(sessionId="12345"),
    "a session id with more behind it": line(sessionId=uuid(1) + "\n"),
    "no user": line(userId=None),
    "no start": line(sessionStartTime=None),
    "no ingestion": line(ingestionTime=None),
    "no application": line(applicationId=None),
    "another application": line(applicationId="other"),
    "brackets without end": line()[:-2] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "an unknown member in something that does not end": line()[:-2] + b',"x":[1}\n',
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_one_poisoned_line_in_a_batch_costs_one_session(poison: bytes) -> None:
    store = MemoryStore()
    others = [line(number) for number in range(10, 30)]
    key = put(store, *others[:7], poison, *others[7:])
    keep(store, session(2))
    chunk = read(store)
    assert ids(chunk) == sorted([uuid(2), *(uuid(number) for number in range(10, 30))])
    (found,) = chunk.unreadable
    assert (found.key, found.line, found.content) == (key, 8, poison)
    assert found.reason and "\n" not in found.reason
    assert key in chunk.taken and chunk.waiting == {}


def test_every_poison_at_once_is_set_aside_and_what_is_sound_between_is_read(store: ObjectStore) -> None:
    # Alone, as the first of a chunk, last, and side by side.
    for number, poison in enumerate(POISON.values()):
        put(store, poison, name=f"{number:02}a.json.gz")
        put(store, poison, poison, line(100 + number), name=f"{number:02}b.ndjson.gz")
    chunk = read(store)
    assert ids(chunk) == sorted(uuid(100 + number) for number in range(len(POISON)))
    assert len(chunk.unreadable) == 3 * len(POISON)
    assert len(chunk.taken) == 2 * len(POISON)


@pytest.mark.parametrize("cut", range(0, len(line()), 7))
def test_a_line_that_was_cut_off_never_swallows_its_neighbour(cut: int) -> None:
    store = MemoryStore()
    put(store, line(1)[:cut] + b"\n", line(2), line(3))
    chunk = read(store)
    assert ids(chunk) == [uuid(2), uuid(3)]
    assert [found.line for found in chunk.unreadable] == [1]


def test_a_last_line_that_was_cut_off_costs_one_session(store: ObjectStore) -> None:
    put(store, line(1), line(2), line(3)[:100])
    chunk = read(store)
    assert ids(chunk) == [uuid(1), uuid(2)]
    assert [(found.line, found.content) for found in chunk.unreadable] == [(3, line(3)[:100])]


def test_a_last_line_that_only_lacks_its_newline_is_a_session(store: ObjectStore) -> None:
    put(store, line(1), line(2)[:-1])
    keep(store, session(3))
    assert ids(read(store)) == [uuid(1), uuid(2), uuid(3)]


SOUND = zlib.compress(line(), wbits=31)
BROKEN = {
    "not gzip": b"hello",
    "cut off": SOUND[:-20],
    "a wrong checksum": SOUND[:-8] + bytes(8),
    "more behind the end": SOUND + b"more",
    "nothing at all": b"",
    "gzip of nothing": zlib.compress(b"", wbits=31),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_an_object_that_does_not_unpack_is_set_aside_whole(store: ObjectStore, broken: bytes) -> None:
    store.put(PREFIX + "x.json.gz", broken)
    keep(store, session(1))
    chunk = read(store)
    assert ids(chunk) == [uuid(1)]
    assert [(found.key, found.line) for found in chunk.unreadable] == [(PREFIX + "x.json.gz", None)]
    raw.quarantine(store, chunk.unreadable, "run")
    assert bytes(store.get(f"quarantine/{PREFIX}x.json.gz").bytes()) == broken


def test_several_gzip_members_are_one_object(store: ObjectStore) -> None:
    store.put(PREFIX + "x.ndjson.gz", zlib.compress(line(1), wbits=31) + zlib.compress(line(2), wbits=31))
    assert ids(read(store)) == [uuid(1), uuid(2)]


def test_an_object_of_too_many_bytes_is_set_aside_unread(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "OBJECT_BYTES", 2000)
    store.put(PREFIX + "huge", b"x" * 2001)
    keep(store, session(1))
    chunk = read(store)
    assert ids(chunk) == [uuid(1)]
    assert numbers(chunk.unreadable[0].reason)[0].replace(",", "") == "2001"


def test_an_object_that_inflates_without_end_is_set_aside(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "INFLATED_BYTES", 100_000)
    put(store, b" " * 100_000)
    assert numbers(read(store).unreadable[0].reason)[0].replace(",", "") == "100000"


# What the registry does not know yet

NEWER = NOTES + '[attributes.shiny]\ntype = "string"\nvalues = ["very"]\nwhy = "New"\n'
NOON = "2026-03-04T12:00:00Z"
UNKNOWN = {
    "an attribute": {"attributes": {"shiny": "very"}},
    "an attribute that is null": {"attributes": {"shiny": None}},
    "an event's attribute": {"events": [{"type": "Closed", "time": "2026-03-04T05:06:07Z", "attributes": {"new": 1}}]},
    "a span's attribute": {
        "spans": [
            {"type": "Save", "startTime": "2026-03-04T05:06:07Z", "endTime": "2026-03-04T05:06:07Z",
             "attributes": {"new": True}},
        ],
    },
    "a member of the session": {"new": [{"a": 1}]},
}  # fmt: skip


@pytest.mark.parametrize("members", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_session_with_a_member_that_the_registry_does_not_know_waits(
    store: ObjectStore, members: dict[str, Any]
) -> None:
    key = put(store, line(1, **members))
    taken = keep(store, session(2))
    chunk = read(store)
    assert ids(chunk) == [uuid(2)]
    assert (chunk.waiting, chunk.unreadable) == ({key: 1}, [])
    assert chunk.taken == taken


def test_it_is_read_once_the_registry_knows_it(store: ObjectStore) -> None:
    newer = registry(NEWER)
    key = batch(store, session(1), session(2, attributes={"shiny": "very"}), known=newer)
    chunk = read(store)
    assert (ids(chunk), chunk.waiting) == ([], {key: 2})
    assert ids(read(store, newer["notes"])) == [uuid(1), uuid(2)]


def test_poison_in_an_object_that_waits_waits_with_it(store: ObjectStore) -> None:
    key = put(store, line(1, attributes={"shiny": "very"}), b"poison\n")
    chunk = read(store)
    assert (chunk.waiting, chunk.unreadable, chunk.taken) == ({key: 2}, [], [])


MISFITS = {
    "attributes.exitCode": {"attributes": {"exitCode": "4"}},
    "attributes.memory": {"attributes": {"memory": True}},
    "attributes.inCi": {"attributes": {"inCi": 1}},
    "attributes.comment": {"attributes": {"comment": 1.5}},
    "attributes.checkedAt": {"attributes": {"checkedAt": "yesterday"}},
    "events.Opened.attributes.how": {"events": [{"type": "Opened", "time": NOON, "attributes": {"how": 3}}]},
    "spans.Save.attributes.size": {
        "spans": [{"type": "Save", "startTime": NOON, "endTime": NOON, "attributes": {"size": 4.5}}]
    },
}


@pytest.mark.parametrize("path", MISFITS)
def test_a_value_of_another_type_than_declared_is_null_and_named_as_left_out(store: ObjectStore, path: str) -> None:
    key = put(store, line(1, **MISFITS[path], undeclared=["attributes.zebra"]), line(2))
    taken = keep(store, session(3))
    chunk = read(store)
    assert ids(chunk) == [uuid(1), uuid(2), uuid(3)] and sorted(chunk.taken) == sorted([key, *taken])
    assert (chunk.waiting, chunk.unreadable) == ({}, [])
    (row,) = (row for row in chunk.rows.to_pylist() if row["sessionId"] == uuid(1))
    assert row["undeclared"] == sorted(["attributes.zebra", path])
    part, *_, name = path.split(".")
    held = row["attributes"] if part == "attributes" else row[part][0]["attributes"]
    assert held[name] is None
    assert [row["undeclared"] for row in chunk.rows.to_pylist() if row["sessionId"] != uuid(1)] == [[], []]


def test_a_value_that_fits_in_another_form_is_kept(store: ObjectStore) -> None:
    # As a function wrote them whose registry has a number, an integer, and text.
    sent = {"exitCode": 4.0, "memory": 3, "checkedAt": "2026-03-04T05:06:07.123456789+01:00", "inCi": "no"}
    put(store, line(1, attributes=sent))
    (row,) = read(store).rows.to_pylist()
    attributes = row["attributes"]
    assert (attributes["exitCode"], attributes["memory"], attributes["inCi"]) == (4, 3.0, None)
    assert attributes["checkedAt"].isoformat() == "2026-03-04T04:06:07.123456+00:00"
    assert row["undeclared"] == ["attributes.inCi"]


def test_a_misfit_in_an_object_that_waits_waits_with_it(store: ObjectStore) -> None:
    key = put(store, line(1, attributes={"exitCode": "4", "shiny": "very"}), line(2, attributes={"exitCode": "5"}))
    chunk = read(store)
    assert (ids(chunk), chunk.waiting, chunk.unreadable) == ([], {key: 2}, [])


@pytest.mark.parametrize(
    "members",
    [
        {"attributes": {"exitCode": [4]}},
        {"attributes": "x"},
        {"sessionId": 5, "attributes": {"exitCode": "4"}},
        {"attributes": {"exitCode": "4"}, "undeclared": [["x"]]},
        {"attributes": {"exitCode": "4"}, "events": [{"time": NOON}, {"attributes": {}}, 5]},
        {"attributes": {"exitCode": 10**30}},
    ],
    ids=["an array", "no attributes", "also no session id", "no paths", "no events", "more than 64 bits"],
)
def test_what_the_function_never_writes_is_quarantined_whatever_the_registry(
    store: ObjectStore, members: dict[str, Any]
) -> None:
    poison = line(1, **members)
    put(store, poison, line(2, attributes={"exitCode": "4"}))
    chunk = read(store)
    (unreadable,) = chunk.unreadable
    assert (ids(chunk), chunk.waiting, unreadable.content) == ([uuid(2)], {}, poison)


# Quarantine


def test_what_is_set_aside_lies_there_byte_for_byte_with_its_reason(store: ObjectStore) -> None:
    poison = line().replace(b"Linux", b"\xff\xfe")
    key = put(store, line(2), poison)
    raw.quarantine(store, read(store).unreadable, "run-1")
    assert keys(store, "quarantine/") == [f"quarantine/{key}.line-2", f"quarantine/{key}.line-2.reason.json"]
    assert bytes(store.get(f"quarantine/{key}.line-2").bytes()) == poison
    note = json.loads(bytes(store.get(f"quarantine/{key}.line-2.reason.json").bytes()))
    assert (note["key"], note["line"], note["run"]) == (key, 2, "run-1")
    assert "utf-8" in note["reason"] and note["time"].endswith("+00:00")


def test_setting_aside_twice_changes_nothing(store: ObjectStore) -> None:
    put(store, b"poison\n")
    store.put(PREFIX + "broken", b"broken")
    unreadable = read(store).unreadable
    raw.quarantine(store, unreadable, "run")
    first = {key: content(store, key) for key in keys(store, "quarantine/") if not key.endswith(".json")}
    raw.quarantine(store, unreadable, "run")
    assert {key: content(store, key) for key in keys(store, "quarantine/") if not key.endswith(".json")} == first


def test_what_another_run_has_set_aside_and_deleted_is_no_error(store: ObjectStore) -> None:
    store.put(PREFIX + "broken", b"broken")
    unreadable = read(store).unreadable
    store.delete(PREFIX + "broken")
    raw.quarantine(store, unreadable, "run")
    assert keys(store) == []


def test_what_another_run_has_deleted_does_not_keep_the_rest(store: ObjectStore) -> None:
    every = keep(store, *(session(number) for number in range(5)))
    store.delete(every[1])
    raw.delete(store, every)
    assert keys(store) == []
