"""What `telemetry …` does, an action each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from abaculus import consent, detach, queue, state
from abaculus.command import complain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.telemetry import Telemetry

__all__ = ["ACTIONS", "why"]

PATIENCE = 15.0  # seconds


def why(telemetry: Telemetry) -> tuple[bool, str]:
    """Whether a run would be recorded now, and the rule that decides in words."""
    rule, allowed = consent.decide(consent.Circumstances(telemetry))
    sentence = next(said for name, _, _, said in consent.RULES if name == rule)
    return allowed, sentence.format(variable=telemetry.variable)


def _status(telemetry: Telemetry, directory: str) -> int:
    allowed, reason = why(telemetry)
    waiting = queue.names(directory)
    refused = [name for name in _listed(os.path.join(directory, "aside")) if name.endswith(".json")]
    say(f"telemetry: {'on' if allowed else 'off'}, because {reason}\n")
    say(f"sent to:   {telemetry.endpoint or 'nowhere: the address must begin with https://'}\n")
    say(f"waiting:   {_sessions(len(waiting))}, {sum(map(queue.size, waiting)):,} bytes\n")
    if refused:
        say(f"refused:   {_sessions(len(refused))}, in {os.path.join(directory, 'aside')}\n")
    if telemetry.link:
        say(f"collected: {telemetry.link}\n")
    say(f"files:     {directory}\n")
    return 0


def _on(telemetry: Telemetry, directory: str) -> int:
    consent.remember(directory, "allowed", telemetry.collects)
    state.user_id(directory)
    allowed, reason = why(telemetry)
    say("telemetry: on\n" if allowed else f"telemetry: your yes is kept, but it is off, because {reason}\n")
    return 0


def _off(telemetry: Telemetry, directory: str) -> int:
    waiting = len(queue.names(directory))
    consent.remember(directory, "denied")
    say(f"telemetry: off; {_sessions(waiting)} that waited were deleted\n")
    allowed, reason = why(telemetry)
    if allowed:
        say(f"It is still on here, because {reason}.\n")
    return 0


def _show(telemetry: Telemetry, directory: str) -> int:
    sessions = [_bytes(queue.path(directory, name)) for name in queue.names(directory)]
    # As they lie on the disk and go into the request, a session a line.
    for session in sessions:
        if session:
            raw(session + b"\n")
    if not any(sessions):
        complain("telemetry: nothing waits to be sent\n")
    return 0


def _flush(telemetry: Telemetry, directory: str) -> int:
    allowed, reason = why(telemetry)
    if not allowed:
        say(f"telemetry: nothing is sent: it is off, because {reason}\n")
        return 1
    if (seconds := detach.pause(directory)) > 0:
        say(f"telemetry: nothing is sent: the server asked to wait {seconds / 60:.0f} more minutes\n")
        return 1
    os.makedirs(directory, 0o700, exist_ok=True)
    # A run a moment ago may have started an upload, which is soon over.
    end = time.monotonic() + PATIENCE
    while (held := detach.lock(directory)) is None:
        if time.monotonic() > end:
            say("telemetry: nothing is sent: another process is sending and takes its time; try again later\n")
            return 1
        time.sleep(0.05)
    from abaculus.upload import Upload

    try:
        upload = Upload(directory, telemetry.endpoint)
        upload.run()
    finally:
        os.close(held)
    words = {"sent": "sent", "failed": "still waiting", "refused": "refused", "givenUp": "given up after 30 days"}
    said = ", ".join(f"{upload.counts[name]} {word}" for name, word in words.items() if upload.counts[name])
    say(f"telemetry: {said or 'nothing waits to be sent'}{'; ' + upload.said if upload.said else ''}\n")
    return 1 if upload.said else 0


def _log(telemetry: Telemetry, directory: str) -> int:
    log = state.read(os.path.join(directory, "log"))
    say(log)
    if not log:
        complain("telemetry: nothing was sent yet\n")
    return 0


def _id(telemetry: Telemetry, directory: str) -> int:
    known = state.read(os.path.join(directory, "id")).strip()
    if not known:
        complain("telemetry: you have no id; one is made when you say yes\n")
        return 1
    say(f"{known}\n")
    return 0


def _reset(telemetry: Telemetry, directory: str) -> int:
    old = state.read(os.path.join(directory, "id")).strip()
    for name in ("queue", "aside"):
        state.remove_all(os.path.join(directory, name))
    for name in ("id", "log", "tally"):
        state.remove(os.path.join(directory, name))
    say("telemetry: your id, what waited and the log are deleted; your answer stays\n")
    if old:
        say(f"What was sent before carries the old id: {old}\n")
    return 0


ACTIONS: dict[str, Callable[[Telemetry, str], int]] = {
    "status": _status,
    "on": _on,
    "off": _off,
    "show": _show,
    "flush": _flush,
    "log": _log,
    "id": _id,
    "reset": _reset,
}


def _sessions(number: int) -> str:
    return f"{number:,} session{'' if number == 1 else 's'}"


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # sent meanwhile


def raw(data: bytes) -> None:
    """Writes bytes to standard output as they are."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        say(data.decode("utf-8", "replace"))  # closed, or the tool has put something of its own there
    else:
        sys.stdout.flush()
        buffer.write(data)
        buffer.flush()
