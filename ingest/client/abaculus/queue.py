"""Waiting sessions on disk, one file for each, until a later run sends them.

The name of a file has the start of the session in milliseconds, its size in bytes, and its id. So a run needs only one
directory listing, even with 500 waiting files.
"""

from __future__ import annotations

import os
import time

from abaculus import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.tool import Tool

__all__ = [
    "COUNTS", "age", "count", "document", "due", "encode", "keep", "names", "path", "session_id", "surplus", "tell",
]  # fmt: skip

FILES = 500
BYTES = 5_000_000
SESSION_BYTES = 1 << 20  # the server's limit
MANY = 20
WAIT = 3600.0  # seconds
# Results of uploads, which the next session reports. `stopped` counts failed uploads.
COUNTS = ("sent", "failed", "refused", "givenUp", "dropped", "stopped")
REPORT = "TelemetryReport"
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def keep(tool: Tool, recorded: dict[str, object], milliseconds: int) -> None:
    """Queues a session that has ended, and starts the upload of earlier ones. Raises OSError."""
    from abaculus import consent, detach
    from abaculus.environment import ci_system

    directory = tool.directory
    if directory is None or not consent.allowed(tool):
        return  # the user has said no meanwhile
    told = _tally(directory)
    if any(told.values()) and (tool.collects is None or f"events.{REPORT}" in tool.collects):
        events = recorded["events"]
        assert isinstance(events, list)
        event = {"type": REPORT, "time": recorded["sessionEndTime"], "attributes": told}
        recorded["events"] = [*events[:999], event]
    id = state.new_id()
    data = encode(document(tool, recorded, id, state.user_id(directory))).encode()
    if len(data) > SESSION_BYTES:
        count(directory, dropped=1)
        return
    before = names(directory)
    kept = _put(directory, id, data, milliseconds, before)
    if tool.upload == "inline" or ci_system() is not None or os.getpid() == 1:
        # The disk is lost after the run, as in CI. When process 1 ends, so does the container with all its processes.
        # The cases in which a run waits for the upload.
        detach.start(tool, directory, wait=2.0)
    elif due(before, time.time()):
        # Without this session, so that `telemetry show` can show it and `off` can delete it until the next run.
        detach.start(tool, directory, leave=kept)


def document(tool: Tool, recorded: dict[str, object], id: str, user: str) -> dict[str, object]:
    """The session as it is sent: the recorded data, the tool and the user."""
    from abaculus.version import normal

    who = {"applicationId": tool.application, "applicationVersion": normal(tool.version)}
    return {"sessionId": id, "userId": user, **who, **recorded}


def encode(value: object) -> str:
    """A value as JSON: the objects, lists, strings, finite numbers, booleans and None of sessions.

    Importing Python's own module for this takes longer than everything else in a run.
    """
    if value is None:
        return "null"
    if isinstance(value, str):
        return _string(str.__str__(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)  # not an enumeration's own
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, dict):
        return f"{{{','.join([f'{encode(name)}:{encode(member)}' for name, member in value.items()])}}}"
    if isinstance(value, list):
        return f"[{','.join(map(encode, value))}]"
    raise TypeError(f"{type(value).__name__} is not JSON")


def _string(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        text = "".join(ESCAPES.get(one) or (one if one >= " " else f"\\u{ord(one):04x}") for one in text)
    return f'"{text}"'


def due(waiting: list[str], now: float) -> bool:
    """Whether an upload is due: the oldest session has waited an hour, or many wait."""
    # A start in the future comes from a wrong clock.
    return len(waiting) >= MANY or (bool(waiting) and abs(age(waiting[0], now)) >= WAIT)


def surplus(waiting: list[str], bytes: int) -> int:
    """How many of the oldest files to delete to make room for a session of so many bytes."""
    total = sum(map(size, waiting)) + bytes
    gone = 0
    while gone < len(waiting) and (len(waiting) - gone >= FILES or total > BYTES):
        total -= size(waiting[gone])
        gone += 1
    return gone


def _put(directory: str, id: str, data: bytes, milliseconds: int, waiting: list[str]) -> str:
    dropped = sum(state.remove(path(directory, name)) for name in waiting[: surplus(waiting, len(data))])
    if dropped:
        count(directory, dropped=dropped)
    name = f"{max(milliseconds, 0):015d}-{len(data)}-{id}.json"
    state.write(path(directory, name), data)
    return name


def names(directory: str) -> list[str]:
    """The names of the files that wait, oldest first."""
    try:
        found = os.listdir(os.path.join(directory, "queue"))
    except OSError:
        return []
    return sorted(name for name in found if len(name.split("-")) == 7 and name.endswith(".json"))


def path(directory: str, name: str) -> str:
    """The path of a waiting file."""
    return os.path.join(directory, "queue", name)


def age(name: str, now: float) -> float:
    """How many seconds ago the session began. `now` is in seconds."""
    began = name.partition("-")[0]
    return now - int(began) / 1000 if began.isdigit() else 0.0


def size(name: str) -> int:
    """How many bytes the session has."""
    bytes = name.split("-", 2)[1]
    return int(bytes) if bytes.isdigit() else 0


def session_id(name: str) -> str:
    """The id of the session in a file."""
    return name.split("-", 2)[2].removesuffix(".json")


def count(directory: str, **counts: int) -> None:
    """Counts the results of uploads, for the report of the next session."""
    if any(counts.values()):
        state.append(os.path.join(directory, "tally"), " ".join(f"{name}={number}" for name, number in counts.items()))


def tell(text: str) -> dict[str, int]:
    """The sums of the lines that `count` wrote."""
    sums = dict.fromkeys(COUNTS, 0)
    for part in text.split():
        name, _, number = part.partition("=")
        if name in sums and number.isdigit() and len(number) < 10:
            sums[name] += int(number)
    return sums


def _tally(directory: str) -> dict[str, int]:
    # Taken by renaming, so that only one of two runs that end together reports it.
    mine = os.path.join(directory, f".tally.{os.urandom(6).hex()}")
    try:
        os.rename(os.path.join(directory, "tally"), mine)
    except OSError:
        return {}
    text = state.read(mine)
    state.remove(mine)
    return tell(text)
