"""The smoke test of a deployed function: sends one session twice, and checks whether it is in the bucket."""

import gzip
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import obstore
import requests
from obstore.store import ObjectStore

from ingest.function.registry import PROBE

__all__ = ["ProbeError", "probe"]

TIMEOUT = 30


class ProbeError(Exception):
    """A failed step, with its fix."""


def probe(url: str, store: ObjectStore | None, told: Callable[[str], None]) -> None:
    """Checks the function at a URL and, if a store is given, whether the session arrived. Raises `ProbeError` at the
    first failure.

    The second answer may be 201 if a compaction came between, or if sessions are stored in groups.
    """
    base = url.rstrip("/")
    answer = _request("GET", f"{base}/ping")
    if (answer.status_code, answer.text) != (200, "pong"):
        raise ProbeError(
            f"GET {base}/ping answered {answer.status_code} {answer.text[:100]!r}, not pong; is this the URL?"
        )
    told(f"GET /ping: pong, {_milliseconds(answer)}")
    session = _session()
    first = _request("PUT", f"{base}/v1/sessions", json=session)
    if first.status_code != 201:
        raise ProbeError(f"PUT /v1/sessions answered {first.status_code}, not 201: {first.text[:500]}{_hint(first)}")
    told(f"PUT /v1/sessions: 201, {_milliseconds(first)}")
    second = _request("PUT", f"{base}/v1/sessions", json=session)
    if second.status_code not in (201, 304):
        raise ProbeError(f"the same session again was answered {second.status_code}, not 304: {second.text[:500]}")
    told(f"the same again: {second.status_code}, {_milliseconds(second)}")
    if store is not None:
        told(f"in the bucket: {_find(store, session['sessionId'])}")


def _session() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "sessionId": str(uuid.uuid4()),
        "userId": str(uuid.uuid4()),
        "sessionStartTime": now,
        "sessionEndTime": now,
        "applicationId": PROBE.id,
        "applicationVersion": "1",
        "attributes": {"probe": True},
    }


def _request(method: str, url: str, **more: Any) -> requests.Response:
    try:
        return requests.request(method, url, timeout=TIMEOUT, **more)
    except requests.RequestException as error:
        raise ProbeError(f"{method} {url} failed: {error}; check the address and its name") from None


def _milliseconds(answer: requests.Response) -> str:
    return f"{answer.elapsed.total_seconds() * 1000:.0f} ms"


def _hint(answer: requests.Response) -> str:
    if answer.status_code == 503:
        return "; the function cannot write to its bucket: check its rights and ABACULUS_BUCKET"
    if answer.status_code in (403, 404):
        return "; something in front of the function answers: check the address and the access"
    return ""


def _find(store: ObjectStore, session: str) -> str:
    """The key of the session's object. The key of a group or batch has another form, so this also reads the content."""
    prefix = f"raw/v1/{PROBE.id}/"
    for _ in range(5):
        keys = [meta["path"] for page in obstore.list(store, prefix) for meta in page]
        for key in keys:
            if session in key or ("/batch-" in key and _holds(store, key, session)):
                return key
        time.sleep(1)
    raise ProbeError(
        f"the session was answered 201 but is not below {prefix}; does the function write to this bucket? "
        "(If a compaction ran meanwhile, it has taken the session: try again)"
    )


def _holds(store: ObjectStore, key: str, session: str) -> bool:
    try:
        return session.encode() in gzip.decompress(bytes(obstore.get(store, key).bytes()))
    except FileNotFoundError:
        return False
