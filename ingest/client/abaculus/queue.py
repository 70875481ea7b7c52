"""Sessions that wait on the disk, a file each, until a later run sends them.

A name tells what a directory listing would have to ask the disk for: when the session began, in milliseconds, how many
bytes it has, and its id. So 500 waiting files cost a run no more than one listing.
"""

from __future__ import annotations

import os

from abaculus import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.telemetry import Telemetry

__all__ = ["COUNTS", "age", "count", "keep", "names", "path", "session_id", "tell"]

FILES = 500
BYTES = 5_000_000
SESSION_BYTES = 1 << 20  # the server's limit
# What became of sessions, told in the next one; `stopped` counts uploads that ended after too many failures.
COUNTS = ("sent", "failed", "refused", "givenUp", "dropped", "stopped")
REPORT = "TelemetryReport"


def keep(telemetry: Telemetry, document: dict[str, object], milliseconds: int) -> None:
    """Queues a session that has ended, and has what waited before it sent. Raises OSError."""
    from abaculus import detach
    from abaculus.ci import system
    from abaculus.encode import encode
    from abaculus.version import normal

    directory = telemetry.directory
    if directory is None or not telemetry.allowed():
        return  # the user said no in the meantime
    told = _tally(directory)
    if any(told.values()) and (telemetry.collects is None or f"events.{REPORT}" in telemetry.collects):
        events = document["events"]
        assert isinstance(events, list)
        event = {"type": REPORT, "time": document["sessionEndTime"], "attributes": told}
        document["events"] = [*events[:999], event]
    id = state.new_id()
    user = state.user_id(directory)
    who = {"applicationId": telemetry.application, "applicationVersion": normal(telemetry.version)}
    data = encode({"sessionId": id, "userId": user, **who, **document}).encode()
    if len(data) > SESSION_BYTES:
        count(directory, dropped=1)
        return
    before = names(directory)
    kept = _put(directory, id, data, milliseconds, before)
    if system() is not None:
        # The disk is thrown away with the run: the one case in which it is waited for.
        detach.start(telemetry, directory, wait=2.0)
    elif before:
        # Not this session: until the tool runs again, `telemetry show` can show it and `off` delete it.
        detach.start(telemetry, directory, leave=kept)


def _put(directory: str, id: str, data: bytes, milliseconds: int, waiting: list[str]) -> str:
    total = sum(map(size, waiting)) + len(data)
    dropped = 0
    while waiting and (len(waiting) >= FILES or total > BYTES):
        oldest, *waiting = waiting
        total -= size(oldest)
        dropped += state.remove(path(directory, oldest))
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
    """Where a waiting file lies."""
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
    """Counts what became of sessions, for the next one to tell."""
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
    # Taken by renaming: of two runs that end together, one tells it.
    mine = os.path.join(directory, f".tally.{os.urandom(6).hex()}")
    try:
        os.rename(os.path.join(directory, "tally"), mine)
    except OSError:
        return {}
    text = state.read(mine)
    state.remove(mine)
    return tell(text)
