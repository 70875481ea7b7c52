"""The worst batches that were found: what costs the function the most memory, work or answer for the fewest bytes sent.

Each is the body of a request as it is sent, and whether it is compressed.
"""

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["REGISTRY", "WORST", "session"]

# One application in which everything is allowed that lets a session be large.
REGISTRY = """
id = "tool"
[attributes.note]
type = "string"
why = "to test"
[events.Done]
why = "to test"
[events.Done.attributes.note]
type = "string"
why = "to test"
"""
LINES = 1000
LARGEST = 1 << 20  # a session
TOTAL = 10 << 20  # a batch


def session(number: int, **members: Any) -> str:
    """A valid session, with other members."""
    now = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    whole = {
        "sessionId": f"11112222-3333-4444-a555-{number:012}",
        "userId": "99990000-3333-4444-a555-666677778888",
        "sessionStartTime": now,
        "sessionEndTime": now,
        "applicationId": "tool",
        "applicationVersion": "1.2.3",
    }
    return json.dumps(whole | members, separators=(",", ":"))


def _with_events(number: int, events: str) -> str:
    return session(number)[:-1] + f',"events":[{events}]}}'


def _filled(entry: str) -> str:
    """As many lines as fit, each as large as a session may be, with nothing but this entry in its events."""
    room = LARGEST - len(_with_events(0, "")) - 1
    events = ",".join([entry] * (room // (len(entry) + 1)))
    return "\n".join(_with_events(number, events) for number in range(TOTAL // LARGEST))


def _kept() -> str:
    """Sessions of which all is stored and nothing can be compressed."""
    random.seed(1)
    now = json.loads(session(0))["sessionStartTime"]

    def event() -> dict[str, Any]:
        return {"type": "Done", "time": now, "attributes": {"note": random.randbytes(2048).hex()}}

    return "\n".join(session(number, events=[event() for _ in range(240)]) for number in range(10))


def _undeclared() -> str:
    """Sessions whose undeclared names take more room as paths than as names."""
    now = json.loads(session(0))["sessionStartTime"]

    def event(number: int) -> dict[str, Any]:
        names = range(number * 200, number * 200 + 200)
        return {"type": "Done", "time": now, "attributes": {f"a{name}": 1 for name in names}}

    return "\n".join(session(number, events=[event(each) for each in range(380)]) for number in range(10))


WORST: dict[str, Callable[[], str]] = {
    "500 empty events a line": lambda: "\n".join(_with_events(n, ",".join(["{}"] * 500)) for n in range(LINES)),
    "8.4 MB of valid sessions": lambda: "\n".join(
        session(n, attributes={"note": "x" * 4000, "other": "y" * 4000}) for n in range(LINES)
    ),
    "empty objects": lambda: _filled("{}"),
    "empty arrays": lambda: _filled("[]"),
    "small objects": lambda: _filled('{"a":1}'),
    "small strings": lambda: _filled('"ab"'),
    "members given twice": lambda: _filled('{"a":1,"a":1}'),
    "numbers that cannot be stored": lambda: _filled("1e999"),
    "faults that echo": lambda: _filled('{"type":["' + "\\ud83c" * 200 + '"]}'),
    "attributes at fault": lambda: "\n".join(
        session(n, attributes={f"a{k}": ["\U0001f389" * 50] for k in range(15)}) for n in range(LINES)
    ),
    "sessions that are kept": _kept,
    "names that are not declared": _undeclared,
    "blank lines": lambda: "\n" * TOTAL,
    "the shortest lines": lambda: "\n".join("{}" for _ in range(LINES)),
}


def packed(name: str) -> bytes:
    """A batch as an attacker sends it."""
    return gzip.compress(WORST[name]().encode())
