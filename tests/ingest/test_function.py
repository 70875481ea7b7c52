"""Requests and answers: routes, headers, limits, batches, and what a failing store makes of them."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, MemoryStore

from ingest.function.answers import Answer
from ingest.function.bucket_url import open_bucket
from ingest.function.raw_object import Unavailable
from ingest.function.registry import parse as registry
from ingest.function.routes import Function, Request
from ingest.function.settings import Settings
from ingest.function.store import Store, creator, proves_existence
from tests.ingest.faulty import FAULTS, FaultyStore
from tests.messages import mentions, numbers

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
# Nobody waits for a store that stalls. Elsewhere there is time: on a busy machine a create that is cut off has stored.
QUICK = Settings(store_seconds=0.04, store_tries=3)
PATIENT = Settings()
REGISTRY = {
    "tool": registry('id = "tool"\n[attributes.osName]\ntype = "string"\nwhy = "to test"'),
    "other": registry('id = "other"'),
    "old": registry('id = "old"\nretired = true'),
}


def session(number: int = 0, **members: Any) -> dict[str, Any]:
    return {
        "sessionId": f"11112222-3333-4444-a555-{number:012}",
        "userId": "99990000-3333-4444-a555-666677778888",
        "sessionStartTime": "2026-03-04T01:02:03.5Z",
        "sessionEndTime": "2026-03-04T01:02:04Z",
        "applicationId": "tool",
        "applicationVersion": "1.2.3",
    } | members


def put(sent: object, **headers: str) -> Request:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("PUT", "/v1/sessions", {"content-type": "application/json"} | named, body)


def post(*lines: object, **headers: str) -> Request:
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return Request("POST", "/v1/sessions", {"content-type": "application/x-ndjson"} | headers, body)


def function(store: Store, limits: Settings = PATIENT) -> Function:
    return Function(REGISTRY, creator(store, limits), limits, lambda: NOW)


def ask(store: Store, *requests: Request, limits: Settings = PATIENT) -> list[Answer]:
    """The answers to requests that come one after the other."""

    async def run() -> list[Answer]:
        asked = function(store, limits)
        return [await asked(request) for request in requests]

    return asyncio.run(run())


def ask_together(store: Store, requests: Sequence[Request], limits: Settings) -> list[Answer]:
    async def run() -> list[Answer]:
        asked = function(store, limits)
        return await asyncio.gather(*(asked(request) for request in requests))

    return asyncio.run(run())


def message(answer: Answer) -> str:
    text: str = json.loads(answer.body)["message"]
    return text


def results(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer.body)["results"]
    return found


def keys(store: MemoryStore | LocalStore) -> list[str]:
    return sorted(entry["path"] for page in store.list() for entry in page)


def test_a_session_is_stored_once_and_a_repeat_is_told_so() -> None:
    store = MemoryStore()
    first, second = ask(store, put(session()), put(session(attributes={"osName": "later"})))
    assert (first.status, first.body, dict(first.headers)["Content-Length"]) == (201, b"", "0")
    assert (second.status, second.body) == (304, b"")
    key = "raw/v1/tool/2026-03-04/11112222-3333-4444-a555-000000000000.json.gz"
    assert keys(store) == [key]
    data = bytes(store.get(key).bytes())
    assert data[:4] == b"\x1f\x8b\x08\x00"
    assert data[4:8] == bytes(4), "an mtime would make two equal objects differ"
    assert json.loads(gzip.decompress(data))["attributes"] == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/", 204, b""),
        ("GET", "/ping", 200, b"pong"),
        ("GET", "/nope", 404, b'{"message":"Not found"}'),
        ("GET", "/v1/sessions/", 404, b'{"message":"Not found"}'),
        ("PUT", "/v1/sessions/../sessions", 404, b'{"message":"Not found"}'),
        ("POST", "/ping", 405, b'{"message":"This endpoint only supports GET requests"}'),
        ("HEAD", "/", 405, b'{"message":"This endpoint only supports GET requests"}'),
        ("GET", "/v1/sessions", 405, b'{"message":"This endpoint only supports PUT, POST requests"}'),
        ("OPTIONS", "/v1/sessions", 405, b'{"message":"This endpoint only supports PUT, POST requests"}'),
    ],
)
def test_a_route_answers(method: str, path: str, status: int, body: bytes) -> None:
    (answer,) = ask(MemoryStore(), Request(method, path, {}))
    assert (answer.status, answer.body) == (status, body)
    if status == 405:
        assert dict(answer.headers)["Allow"] == ("GET" if path in ("/", "/ping") else "PUT, POST")


def test_every_answer_carries_the_security_headers_and_no_cookie() -> None:
    failing = FaultyStore(["403"])
    answers = ask(
        failing, put(session()), put(session()), put(session()), put({}), put(b"x" * 2_000_000), post({}),
        Request("GET", "/", {}), Request("GET", "/nope", {}), Request("PATCH", "/ping", {}),
        put(session(applicationId="old")),
    )  # fmt: skip
    assert [answer.status for answer in answers] == [503, 201, 304, 400, 413, 200, 204, 404, 405, 410]
    for answer in answers:
        headers = dict(answer.headers)
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert not {"Set-Cookie", "Access-Control-Allow-Origin"} & headers.keys()
        if answer.status >= 400:
            assert headers["Content-Type"] == "application/json"
            assert headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("application/json", 201),
        ("Application/JSON", 201),
        ("application/json; charset=utf-8", 201),
        ('application/json;charset="UTF-8"', 201),
        ("application/json; charset=latin-1", 400),
        ("application/json; boundary=x", 400),
        ("application/json, application/json", 400),
        ("application/x-ndjson", 400),
        ("text/plain", 400),
        ("", 400),
    ],
)
def test_the_content_type_must_be_json(header: str, status: int) -> None:
    (answer,) = ask(MemoryStore(), put(session(), content_type=header))
    assert answer.status == status
    if status == 400:
        assert message(answer) == "Content-Type must be 'application/json'"


def test_a_body_at_fault_is_answered_with_its_faults() -> None:
    (answer,) = ask(MemoryStore(), put(session(userId="x")))
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "message": "Request body has validation errors",
        "validationErrors": [
            {
                "key": "userId",
                "type": "uuid4",
                "invalidValue": "x",
                "message": "userId must be a valid version 4 UUID",
            }
        ],
    }


def test_half_a_surrogate_pair_can_be_echoed() -> None:
    (answer,) = ask(MemoryStore(), put(session(attributes={"\ud800": "\udfff"})))
    assert answer.status == 400
    assert b"\\ud800" in answer.body


ONE = json.dumps(session()).encode()
GZIP: dict[str, tuple[bytes, int, str]] = {
    "whole": (gzip.compress(ONE), 201, ""),
    "a bomb of 1000:1": (gzip.compress(bytes(50_000_000)), 413, "Request body must have at most 1048576 bytes"),
    "one byte too many": (gzip.compress(b" " * (1 << 20) + b" "), 413, "Request body must have at most 1048576 bytes"),
    "at the limit": (gzip.compress(ONE.ljust(1 << 20)), 201, ""),
    "gzip in gzip": (gzip.compress(gzip.compress(ONE)), 400, "Request body is not valid: not UTF-8 at byte 1"),
    "cut off": (gzip.compress(ONE)[:-9], 400, "Request body is not valid: the gzip stream ends early"),
    "without its checksum": (gzip.compress(ONE)[:-8], 400, "Request body is not valid: the gzip stream ends early"),
    "with a false checksum": (
        gzip.compress(ONE)[:-8] + bytes(8), 400, "Request body is not valid: not gzip, though Content-Encoding says so",
    ),
    "trailing bytes": (
        gzip.compress(ONE) + b"x", 400, "Request body is not valid: there are bytes after the gzip stream",
    ),
    "two members": (
        gzip.compress(ONE[:50]) + gzip.compress(ONE[50:]), 400,
        "Request body is not valid: there are bytes after the gzip stream",
    ),
    "nothing": (b"", 400, "Request body is not valid: the gzip stream ends early"),
    "not gzip": (ONE, 400, "Request body is not valid: not gzip, though Content-Encoding says so"),
    "deflate": (zlib.compress(ONE), 400, "Request body is not valid: not gzip, though Content-Encoding says so"),
}  # fmt: skip


@pytest.mark.parametrize("name", GZIP)
def test_a_compressed_body_is_inflated_within_the_limit(name: str) -> None:
    sent, status, said = GZIP[name]
    (answer,) = ask(MemoryStore(), put(sent, content_encoding="gzip"))
    assert (answer.status, message(answer) if answer.body else "") == (status, said)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
def test_another_encoding_is_refused(encoding: str) -> None:
    (answer,) = ask(MemoryStore(), put(ONE, content_encoding=encoding))
    assert (answer.status, message(answer)) == (400, "Content-Encoding must be 'gzip', or absent")


@pytest.mark.parametrize("length", ["1048577", "9" * 5000])
def test_a_length_that_is_too_large_is_refused_before_the_body_is_read(length: str) -> None:
    (answer,) = ask(MemoryStore(), put(b"", content_length=length))
    assert answer.status == 413


def test_each_line_of_a_batch_is_judged_alone() -> None:
    store = MemoryStore()
    (answer,) = ask(
        store,
        post(
            session(1),
            b"",
            b"{",
            session(2, sessionStartTime="2026-03-03T23:59:59Z"),
            session(3, applicationId="other"),
            session(4, applicationId="old"),
            {},
            session(1, attributes={"osName": "second"}),
            b" " * (1 << 20) + b"{}",
            json.dumps(session(5)).encode() + b"\r",
            b"",
        ),
    )
    assert answer.status == 200
    found = results(answer)
    assert [(result["line"], result["status"]) for result in found] == [
        (1, 201), (3, 400), (4, 201), (5, 201), (6, 410), (7, 400), (8, 304), (9, 413), (10, 201),
    ]  # fmt: skip
    assert found[0] == {"line": 1, "sessionId": session(1)["sessionId"], "status": 201}
    assert found[1] == {
        "line": 3,
        "sessionId": None,
        "status": 400,
        "error": {"message": "Request body is not valid: unexpected EOF"},
    }
    assert len(found[5]["error"]["validationErrors"]) == 6
    (other, tool) = keys(store)
    assert other.startswith("raw/v1/other/2026-03-04/batch-")
    assert tool.startswith("raw/v1/tool/2026-03-03/batch-"), "the date is the earliest"
    lines = gzip.decompress(bytes(store.get(tool).bytes())).splitlines()
    assert [json.loads(line)["sessionId"][-1] for line in lines] == ["1", "2", "5"]
    assert b"second" not in lines[0], "of two, the first is kept"


def test_a_repeated_batch_names_the_same_object_in_any_order() -> None:
    store = MemoryStore()
    first, second = ask(store, post(session(1), session(2)), post(session(2), session(1)))
    assert [result["status"] for result in results(first)] == [201, 201]
    assert [result["status"] for result in results(second)] == [304, 304]
    assert len(keys(store)) == 1


def test_a_batch_for_a_retired_application_alone_is_answered_410() -> None:
    (answer,) = ask(MemoryStore(), post(session(1, applicationId="old"), session(2, applicationId="old")))
    assert answer.status == 410
    assert mentions(message(answer), "old")
    assert [result["status"] for result in results(answer)] == [410, 410]


def test_an_empty_batch_has_no_results() -> None:
    for answer in ask(MemoryStore(), post(), post(b"", b"\r", b" ")):
        assert (answer.status, results(answer)) == (200, [])


def test_a_batch_has_at_most_so_many_lines() -> None:
    limits = Settings(batch_lines=3)
    fine, ends, much = ask(
        MemoryStore(), post(b"{", b"{", b"{"), post(b"{", b"{", b"{", b""), post(b"{", b"{", b"{", b"{"), limits=limits
    )
    assert len(results(fine)) == len(results(ends)) == 3
    assert much.status == 400
    (fault,) = json.loads(much.body)["validationErrors"]
    assert (fault["key"], fault["type"], numbers(fault["message"])) == ("lines", "maxItems", ["3"])


def test_blank_lines_at_the_end_do_not_count() -> None:
    lines = [session(number) for number in range(1000)]
    (answer,) = ask(MemoryStore(), post(*lines, b"", b""), limits=Settings())
    assert [result["status"] for result in results(answer)] == [201] * 1000
    (answer,) = ask(MemoryStore(), post(*[b""] * 3000), limits=Settings())
    assert answer.status == 400, "nor may there be any number of them"


LARGEST_ANSWER = 64 << 10
MANY = {f"a{number}\U0001f389" * 6: ["\U0001f389" * 20] for number in range(20)}
HUGE = {f"a{number}\U0001f389" * 20: ["\U0001f389" * 4000] for number in range(20)}


def test_an_answer_to_a_full_batch_has_room_for_every_status() -> None:
    (answer,) = ask(MemoryStore(), post(*[session(number) for number in range(1000)]), limits=Settings())
    assert len(answer.body) <= LARGEST_ANSWER
    found = results(answer)
    assert [(result["line"], result["status"]) for result in found] == [(line, 201) for line in range(1, 1001)]
    assert {result["sessionId"] for result in found} == {None}, "left out, because the line says which"
    assert "session ids" in message(answer)
    assert (answer.stored, answer.refused, answer.failed) == (1000, 0, 0)


@pytest.mark.parametrize("line", [{}, session(attributes=MANY), b"{" * 50, session(applicationId="old")])
def test_an_answer_to_a_batch_of_faults_stays_small_and_says_what_is_left_out(line: object) -> None:
    (answer,) = ask(MemoryStore(), post(*[line] * 1000), limits=Settings())
    assert len(answer.body) <= LARGEST_ANSWER
    found = results(answer)
    assert len(found) == 1000
    assert found[0]["error"]["message"]
    left_out = [result for result in found if "error" not in result]
    assert found[-len(left_out) :] == left_out, "from the end"
    if answer.status == 200:
        assert f"the errors of {len(left_out)} lines are left out" in message(answer)
        assert (answer.stored, answer.refused) == (0, 1000)


def test_a_batch_lists_so_many_faults_and_counts_the_others() -> None:
    (answer,) = ask(MemoryStore(), post(*[session(n, attributes={"": 1, "x y": 1}) for n in range(150)]))
    errors = [result["error"]["validationErrors"] for result in results(answer) if "error" in result]
    assert [len(faults) for faults in errors[:51]] == [2] * 50 + [1]
    assert errors[50] == [{"key": "", "type": "more", "message": "and 2 more"}]


def test_ids_of_stored_sessions_stay_where_only_errors_are_too_many() -> None:
    lines = [session(number) for number in range(100)]
    (answer,) = ask(MemoryStore(), post(*lines, *[session(attributes=MANY)] * 100))
    assert len(answer.body) <= LARGEST_ANSWER
    assert [result["sessionId"] for result in results(answer)][:100] == [line["sessionId"] for line in lines]


def test_an_answer_to_one_session_lists_twenty_faults_and_counts_the_others() -> None:
    (answer,) = ask(MemoryStore(), put(session(attributes=HUGE, events=[{}] * 500)))
    assert len(answer.body) <= LARGEST_ANSWER
    listed = json.loads(answer.body)["validationErrors"]
    assert len(listed) == 21
    assert listed[-1] == {"key": "", "type": "more", "message": "and 1,020 more"}


def test_what_is_in_flight_is_counted_as_it_is_inflated() -> None:
    """Two sessions of 900 KB inflated do not fit where 1 MiB may be held, though they are sent in 2 KB."""
    limits = Settings(max_flight_bytes=1 << 20, group_commit_ms=20)
    note = json.dumps(session(1) | {"events": [{"type": "x", "time": session()["sessionStartTime"]}]})
    large = [gzip.compress(note.replace("-000000000001", f"-{n:012}").ljust(900_000).encode()) for n in range(3)]
    store = FaultyStore()

    async def run() -> list[int]:
        asked = function(store, limits)
        with asked.budget.hold() as others:
            others.resize(200_000)
            full = await asked(put(large[0], content_encoding="gzip"))
        answers = [await asked(put(body, content_encoding="gzip")) for body in large]
        assert asked.budget.used == 0
        return [full.status, *(answer.status for answer in answers)]

    assert asyncio.run(run()) == [503, 201, 201, 201]


def test_batches_wait_for_their_turn_and_then_are_told_to_come_again() -> None:
    limits = Settings(batch_wait_seconds=0.05)

    async def run() -> tuple[int, int]:
        asked = function(MemoryStore(), limits)
        async with asked._turn:
            waits = await asked(post(session(1)))
        return waits.status, (await asked(post(session(1)))).status

    assert asyncio.run(run()) == (503, 200)


def test_a_batch_must_be_ndjson_and_may_be_compressed() -> None:
    wrong, right = ask(
        MemoryStore(),
        post(session(), **{"content-type": "application/json"}),
        post(gzip.compress(json.dumps(session()).encode()), **{"content-encoding": "gzip"}),
    )
    assert (wrong.status, message(wrong)) == (400, "Content-Type must be 'application/x-ndjson'")
    assert [result["status"] for result in results(right)] == [201]


def test_only_some_answers_of_a_store_prove_that_a_key_exists() -> None:
    said = "Object at location k already exists: Error performing PUT - Server returned non-2xx status code: "
    cases: list[tuple[Exception, bool]] = [
        (AlreadyExistsError(said + "412 Precondition Failed"), True),
        (PreconditionError(said + "412 Precondition Failed"), True),
        (AlreadyExistsError(said + "409 Conflict: <Code>BlobAlreadyExists</Code>"), True),
        (AlreadyExistsError("Object at location /b/k already exists: File exists (os error 17)"), True),
        (AlreadyExistsError(said + "409 Conflict: <Code>ConditionalRequestConflict</Code>"), False),
        (AlreadyExistsError(said + "409 Conflict"), False),
        (PreconditionError("precondition"), False),
        (GenericError(said + "412 Precondition Failed"), False),
    ]
    assert [proves_existence(error) for error, _ in cases] == [proof for _, proof in cases]


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_real_store_proves_that_a_key_exists(kind: str, tmp_path: Any) -> None:
    store = MemoryStore() if kind == "memory" else LocalStore(tmp_path)

    async def run() -> list[bool]:
        create = creator(store, PATIENT)
        return [await create("raw/v1/k", b"1"), await create("raw/v1/k", b"2")]

    assert asyncio.run(run()) == [True, False]
    assert bytes(store.get("raw/v1/k").bytes()) == b"1"


# What happens to the tries of one create, and the answer: the truth, or 503.
TRIES: dict[str, tuple[list[str], int, int]] = {
    "the first fails before": (["fails before"], 201, 2),
    "the first answer is lost": (["fails, then stored"], 304, 2),
    "two creates met": (["409"], 201, 2),
    "two creates met, and ours had won": (["409, then stored"], 304, 2),
    "another was first": (["412, another was first"], 304, 1),
    "another was first, on Azure": (["409 BlobAlreadyExists, another was first"], 304, 1),
    "always 409": (["409"] * 3, 503, 3),
    "always 429": (["429"] * 3, 503, 3),
    "always 500": (["500"] * 3, 503, 3),
    "always 503": (["503"] * 3, 503, 3),
    "may not write, which will not change": (["403"], 503, 1),
    "stalls once": (["stalls"], 201, 2),
    "stalls after storing": (["stalls, then stored"], 304, 2),
    "always stalls": (["stalls"] * 9, 503, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIES)
def test_a_store_that_fails_is_tried_again_and_then_said_to_be_unavailable(name: str) -> None:
    faults, status, tries = TRIES[name]
    store = FaultyStore(faults)
    (answer,) = ask(store, put(session()), limits=Settings(store_seconds=2, store_tries=3))
    assert answer.status == status
    assert store.calls == tries
    if status == 503:
        assert message(answer) == "Could not process request"
        assert int(dict(answer.headers)["Retry-After"]) > 0
    else:
        assert store.ids() == {session()["sessionId"]: 1}


def test_a_batch_whose_store_fails_says_so_a_line() -> None:
    store = FaultyStore(["403"])
    (answer,) = ask(store, post(session(1), {}, session(1)))
    assert answer.status == 200
    assert [result["status"] for result in results(answer)] == [503, 400, 503]
    assert results(answer)[2]["error"] == {"message": "Could not process request"}
    assert int(dict(answer.headers)["Retry-After"]) > 0


def test_sessions_that_arrive_together_are_stored_as_one_object_an_application() -> None:
    store = FaultyStore()
    limits = Settings(group_commit_ms=20)
    requests = [put(session(number)) for number in range(50)]
    requests += [put(session(number, applicationId="other")) for number in range(50, 60)]
    requests += [put(session(7, attributes={"osName": "again"}))]
    statuses = [answer.status for answer in ask_together(store, requests, limits)]
    assert statuses == [201] * 60 + [304]
    assert store.calls == 2
    assert sorted(store.ids().values()) == [1] * 60


def test_a_session_that_arrives_alone_keeps_its_own_key() -> None:
    store = FaultyStore()
    answers = ask(store, put(session()), put(session()), limits=Settings(group_commit_ms=1))
    assert [answer.status for answer in answers] == [201, 304]
    assert list(store.effects) == ["raw/v1/tool/2026-03-04/11112222-3333-4444-a555-000000000000.json.gz"]


def test_a_full_group_does_not_wait() -> None:
    store = FaultyStore()
    limits = Settings(group_commit_ms=60_000, batch_lines=5)
    answers = ask_together(store, [put(session(number)) for number in range(10)], limits)
    assert [answer.status for answer in answers] == [201] * 10
    assert store.calls == 2


def test_a_group_that_cannot_be_stored_is_refused_as_a_whole() -> None:
    store = FaultyStore(["fails, then stored", "503", "503"])
    answers = ask_together(
        store, [put(session(number)) for number in range(3)], Settings(group_commit_ms=5, store_tries=1)
    )
    assert {answer.status for answer in answers} == {503}


def test_a_client_that_hangs_up_does_not_take_its_group_along() -> None:
    store = FaultyStore()

    async def run() -> int:
        asked = function(store, Settings(group_commit_ms=20))
        leaves = asyncio.create_task(asked(put(session(1))))
        stays = asyncio.create_task(asked(put(session(2))))
        await asyncio.sleep(0.005)
        leaves.cancel()
        return (await stays).status

    assert asyncio.run(run()) == 201
    assert len(store.ids()) == 2


NUMBERS = st.integers(0, 5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(FAULTS), max_size=14),
    st.lists(st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4)), min_size=1, max_size=6),
    st.sampled_from([0, 1]),
    st.booleans(),
)
@example(["fails, then stored", "409"], [1, 1, [1, 2]], 0, False)
def test_no_session_that_was_confirmed_is_missing_and_none_lies_twice_under_one_key(
    faults: list[str], sent: list[int | list[int]], group: int, together: bool
) -> None:
    """Single sessions (a number) and batches (a list of them) over every way in which a store can fail."""
    store = FaultyStore(faults)
    limits = Settings(store_seconds=0.02, store_tries=3, group_commit_ms=group)
    requests = [put(session(one)) if isinstance(one, int) else post(*map(session, one)) for one in sent]
    answers = ask_together(store, requests, limits) if together else ask(store, *requests, limits=limits)
    stored = store.ids()
    for one, answer in zip(sent, answers, strict=True):
        if isinstance(one, int):
            statuses = [(one, answer.status)]
        else:
            assert answer.status == 200
            statuses = list(zip(one, [result["status"] for result in results(answer)], strict=True))
        for number, status in statuses:
            assert status in (201, 304, 503)
            if status == 503:
                assert int(dict(answer.headers)["Retry-After"]) > 0
            else:
                assert stored[session(number)["sessionId"]] > 0
    assert set(store.effects.values()) <= {1}


@given(
    method=st.sampled_from(["PUT", "POST"]),
    encoding=st.sampled_from(["", "gzip", "br"]),
    sent=st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(gzip.compress),
        st.lists(st.sampled_from([ONE, b"", b"{}", b"\xff", ONE[:-1], b"[" * 5000]), max_size=4).map(b"\n".join),
    ),
)
def test_whatever_bytes_come_in_are_answered_and_never_with_500(method: str, encoding: str, sent: bytes) -> None:
    kind = "application/json" if method == "PUT" else "application/x-ndjson"
    request = Request(method, "/v1/sessions", {"content-type": kind, "content-encoding": encoding}, sent)
    (answer,) = ask(MemoryStore(), request)
    assert answer.status in (200, 201, 400, 413)
    if answer.body:
        json.loads(answer.body)


def test_a_store_that_is_unavailable_does_not_name_the_session() -> None:
    async def run() -> str:
        with pytest.raises(Unavailable) as raised:
            await creator(FaultyStore(["409"] * 9), QUICK)("raw/v1/tool/2026-03-04/secret.json.gz", b"")
        return str(raised.value)

    said = asyncio.run(run())
    assert mentions(said, "AlreadyExistsError", "409")
    assert "secret" not in said


# As obstore words what can go wrong, each tried.
REASONS: dict[str, tuple[Exception, str]] = {
    "a full disk": (
        GenericError("Generic LocalFileSystem error: Unable to copy data to file: No space left on device\n\n"
        'Debug source:\nGeneric { source: Os { code: 28, kind: StorageFull, message: "No space left on device" } }'),
        "disk full (GenericError)",
    ),
    "nobody listens": (
        GenericError("Generic S3 error: Error performing PUT http://127.0.0.1:9/b/k in 244.462\u00b5s - HTTP error: "
        "error sending request\n\nDebug source:\nGeneric { source: Os { code: 111, kind: ConnectionRefused } }"),
        "connection refused (GenericError)",
    ),
    "no such host": (
        GenericError('HTTP error: error sending request\n\nDebug source:\nConnectError( "dns error", Custom {} )'),
        "host name not found (GenericError)",
    ),
    "S3 asks to slow down": (
        GenericError("Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>"),
        "throttled (GenericError 503)",
    ),
    "too many requests": (
        GenericError("Server returned non-2xx status code: 429 Too Many Requests: "), "throttled (GenericError 429)",
    ),
    "no right": (
        PermissionDeniedError("The operation lacked the necessary privileges to complete for path k: "
        "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>"),
        "no right to write (PermissionDeniedError 403)",
    ),
    "no right in a directory": (
        PermissionDeniedError("Unable to open file /b/k: Permission denied (os error 13)"),
        "no right to write (PermissionDeniedError)",
    ),
    "unknown credentials": (
        UnauthenticatedError("lacked valid authentication credentials: status code: 401 Unauthorized: "),
        "credentials not accepted (UnauthenticatedError 401)",
    ),
    "no such bucket": (
        FileNotFoundError("Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>"),
        "no such bucket (FileNotFoundError 404)",
    ),
    "something else": (GenericError("status code: 500 Internal Server Error"), "the store failed (GenericError 500)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_the_log_says_why_a_store_did_not_confirm(name: str) -> None:
    error, why = REASONS[name]

    class Failing:
        async def put_async(self, path: str, file: bytes, *, mode: str, use_multipart: bool) -> object:
            raise error

    said: list[str] = []

    async def run() -> Answer:
        return await Function(REGISTRY, creator(Failing(), QUICK), QUICK, lambda: NOW, said.append)(put(session()))

    answer = asyncio.run(run())
    assert (answer.status, message(answer)) == (503, "Could not process request"), "clients need not know"
    assert said == [why]


def test_a_local_bucket_that_is_gone_is_not_created_again(tmp_path: Path) -> None:
    """A disk that is no longer mounted: what is written in its place, nobody would find again."""
    bucket = tmp_path / "bucket"
    store = open_bucket(str(bucket))
    said: list[str] = []

    async def run() -> list[int]:
        asked = Function(REGISTRY, creator(store, QUICK), QUICK, lambda: NOW, said.append)
        statuses = [(await asked(put(session(1)))).status]
        bucket.rename(tmp_path / "elsewhere")
        statuses.append((await asked(put(session(2)))).status)
        assert not bucket.exists()
        (tmp_path / "elsewhere").rename(bucket)
        return [*statuses, (await asked(put(session(2)))).status]

    assert asyncio.run(run()) == [201, 503, 201]
    assert said == [f"the bucket's directory is gone: {bucket}"]
