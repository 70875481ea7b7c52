"""Answers of the function: headers, bodies of errors, and limits of their size."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ingest.function.document import SessionError

__all__ = ["JSON", "SECURITY", "Answer", "answer", "error", "refusal", "refused", "results"]

JSON = "application/json"

SECURITY = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Strict-Transport-Security", "max-age=31536000"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with all its headers, and its numbers of sessions."""

    status: int
    headers: tuple[tuple[str, str], ...] = SECURITY
    body: bytes = b""
    stored: int = 0
    refused: int = 0  # because of their content
    failed: int = 0  # because the store is missing or full


def answer(status: int, body: bytes, content_type: str, *headers: tuple[str, str], **sessions: int) -> Answer:
    """An answer with a body. `sessions` are `stored`, `refused` and `failed`."""
    length = ("Content-Length", str(len(body)))
    return Answer(status, (*SECURITY, ("Content-Type", content_type), length, *headers), body, **sessions)


def error(status: int, message: str, *headers: tuple[str, str], **sessions: int) -> Answer:
    """An answer with an error."""
    return answer(status, _dump({"message": message}), JSON, *headers, **sessions)


def refusal(why: SessionError, most: int) -> tuple[int, dict[str, Any]]:
    """The status and the body for a refused session, with a limited list of its faults."""
    body: dict[str, Any] = {"message": why.message}
    if why.faults:
        listed = why.faults[:most]
        if more := why.count - len(listed):
            listed.append({"key": "", "type": "more", "message": f"and {more:,} more"})
        body["validationErrors"] = listed
    return 410 if why.retired else 400, body


def refused(why: SessionError, most: int) -> Answer:
    """The answer to a single refused session."""
    status, body = refusal(why, most)
    return answer(status, _dump(body), JSON, refused=int(status == 400))


def results(found: list[dict[str, Any]], limit: int, *headers: tuple[str, str]) -> Answer:
    """The answer to a batch, of at most so many bytes. It says what it leaves out."""
    statuses = [result["status"] for result in found]
    status = 200
    body: dict[str, Any] = {"results": found}
    if set(statuses) == {410}:
        # A client that reads only the status should stop too.
        status, body = 410, {"message": found[0]["error"]["message"]} | body
    whole = _dump(body)
    if len(whole) > limit:
        body = {"message": _shorten(found, limit)} | body
        whole = _dump(body)
    return answer(
        status, whole, JSON, *headers,
        stored=_count(statuses, (201, 304)), refused=_count(statuses, (400, 413)), failed=_count(statuses, (503,)),
    )  # fmt: skip


def _shorten(found: list[dict[str, Any]], limit: int) -> str:
    """Leaves out errors from the end, and ids if the lines alone are too long. The result of a line in the answer."""
    errors = [result.pop("error", None) for result in found]
    room = limit - 512  # for the rest of the answer, and for the message
    if len(_dump(found)) > room:
        for result in found:
            result["sessionId"] = None
    room -= len(_dump(found))
    left_out = 0
    for result, why in zip(found, errors, strict=True):
        if why is None:
            continue
        size = len(_dump(why)) + len(',"error":')
        if left_out or size > room:
            left_out += 1
        else:
            result["error"] = why
            room -= size
    return (
        f"The answer has no room for everything: the errors of {left_out:,} lines are left out"
        if left_out
        else ("The answer has no room for everything: session ids are left out")
    )


def _count(statuses: Iterable[int], wanted: tuple[int, ...]) -> int:
    return sum(status in wanted for status in statuses)


def _dump(value: object) -> bytes:
    # ASCII, because an invalid value in the answer may contain half a surrogate pair.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
