"""The actions of `telemetry …`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from abaculus import backoff, consent, detach, queue, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.tool import Tool

__all__ = ["ACTIONS", "complain", "piped", "run", "say", "why"]

PATIENCE = 15.0  # seconds


def run(tool: Tool, action: str, as_json: bool = False) -> int:
    """Runs one of the actions and returns its exit code. Output for programs goes to standard output."""
    return piped(lambda: status_as_json(tool) if as_json else _run(tool, action))


def piped(write: Callable[[], int | None]) -> int:
    """The exit code after writing to standard output. It is 0 even if the reader stops, as `head` does."""
    try:
        code = write() or 0
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python would report this again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _run(tool: Tool, action: str) -> int:
    if tool.directory is None:
        complain("telemetry: off, because there is no home directory for its files; set HOME\n")
        return 0 if action == "status" else 1
    if action in ("on", "off", "reset") and not state.is_ours(tool.directory):
        complain(f"telemetry: {tool.directory} belongs to another user; run this command as that user\n")
        return 1
    try:
        return ACTIONS[action](tool, tool.directory)
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"telemetry: {error}; nothing else was changed\n")
        if action == "off":
            complain(f"Nothing is recorded while that place cannot be written. {tool.variable}=0 is a permanent no.\n")
        return 1


def why(tool: Tool) -> tuple[bool, str]:
    """Whether a run would be recorded now, and the deciding rule in words."""
    rule, allowed = consent.decide(consent.Circumstances(tool))
    sentence = next(said for name, _, _, said in consent.RULES if name == rule)
    return allowed, sentence.format(variable=tool.variable)


def status_as_json(tool: Tool) -> int:
    """Prints the same as `status`, for programs."""
    import json

    rule, allowed = consent.decide(consent.Circumstances(tool))
    waiting = queue.names(tool.directory) if tool.directory else []
    told = {
        "on": allowed,
        "rule": rule,
        "because": why(tool)[1],
        "endpoint": tool.endpoint,
        "waiting": {"sessions": len(waiting), "bytes": sum(map(queue.size, waiting))},
        "refused": _refused(tool.directory) if tool.directory else 0,
        "collected": tool.link,
        "directory": tool.directory,
    }
    say(json.dumps(told, indent=2) + "\n")
    return 0


def _status(tool: Tool, directory: str) -> int:
    allowed, reason = why(tool)
    waiting = queue.names(directory)
    say(f"telemetry: {'on' if allowed else 'off'}, because {reason}\n")
    say(f"sent to:   {tool.endpoint or 'nowhere: the address must begin with https://'}\n")
    say(f"waiting:   {_sessions(len(waiting))}, {sum(map(queue.size, waiting)):,} bytes\n")
    if refused := _refused(directory):
        say(f"refused:   {_sessions(refused)}, in {os.path.join(directory, 'aside')}\n")
    if tool.link:
        say(f"collected: {tool.link}\n")
    say(f"files:     {directory}\n")
    return 0


def _on(tool: Tool, directory: str) -> int:
    consent.remember(directory, "allowed", tool.collects)
    state.user_id(directory)
    allowed, reason = why(tool)
    say("telemetry: on\n" if allowed else f"telemetry: your yes is stored, but it is off, because {reason}\n")
    return 0


def _off(tool: Tool, directory: str) -> int:
    waiting = len(queue.names(directory))
    consent.remember(directory, "denied")
    say(f"telemetry: off; {_sessions(waiting)} that waited {'was' if waiting == 1 else 'were'} deleted\n")
    if consent.remembered(directory)[0] != "denied":
        say("Your yes is deleted, but the disk is too full to store a no: you may be asked again.\n")
    allowed, reason = why(tool)
    if allowed:
        say(f"It is still on here, because {reason}.\n")
    return 0


def _show(tool: Tool, directory: str) -> int:
    sessions = [_bytes(queue.path(directory, name)) for name in queue.names(directory)]
    # As they are on disk and in the request, one session on each line.
    for session in sessions:
        if session:
            raw(session + b"\n")
    if not any(sessions):
        complain("telemetry: nothing waits to be sent\n")
    return 0


def _flush(tool: Tool, directory: str) -> int:
    allowed, reason = why(tool)
    if not allowed:
        say(f"telemetry: nothing is sent: it is off, because {reason}\n")
        return 1
    if backoff.asked(directory) and (seconds := backoff.pause(directory)) > 0:
        say(f"telemetry: nothing is sent: the server asked to wait {seconds / 60:.0f} more minutes\n")
        return 1
    os.makedirs(directory, 0o700, exist_ok=True)
    # An earlier run may have started an upload a moment ago, which ends soon.
    end = time.monotonic() + PATIENCE
    while (held := detach.lock(directory)) is None:
        if time.monotonic() > end:
            say("telemetry: nothing is sent: another process is sending; try again later\n")
            return 1
        time.sleep(0.05)
    from abaculus.upload import Upload

    try:
        upload = Upload(directory, tool.endpoint)
        upload.run()
    finally:
        os.close(held)
    words = {"sent": "sent", "failed": "still waiting", "refused": "refused", "givenUp": "given up after 30 days"}
    said = ", ".join(f"{upload.counts[name]} {word}" for name, word in words.items() if upload.counts[name])
    say(f"telemetry: {said or 'nothing waits to be sent'}{'; ' + upload.said if upload.said else ''}\n")
    return 1 if upload.said else 0


def _log(tool: Tool, directory: str) -> int:
    log = state.read(os.path.join(directory, "log"))
    say(log)
    if not log:
        complain("telemetry: nothing was sent yet\n")
    return 0


def _id(tool: Tool, directory: str) -> int:
    known = state.read(os.path.join(directory, "id")).strip()
    if not known:
        complain("telemetry: you have no id yet; it is generated when you say yes\n")
        return 1
    say(f"{known}\n")
    import hashlib  # for this alone

    code = hashlib.sha256(known.encode()).hexdigest()
    complain(f"telemetry: to ask for deletion, give this code instead of the id, even in public: {code}\n")
    return 0


def _reset(tool: Tool, directory: str) -> int:
    old = state.read(os.path.join(directory, "id")).strip()
    for name in ("queue", "aside"):
        state.remove_all(os.path.join(directory, name))
    for name in ("id", "log", "tally"):
        state.remove(os.path.join(directory, name))
    say("telemetry: your id, waiting sessions and the log are deleted; your answer stays\n")
    if old:
        say(f"Earlier sessions were sent with the old id: {old}\n")
    return 0


ACTIONS: dict[str, Callable[[Tool, str], int]] = {
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


def _refused(directory: str) -> int:
    """How many sessions the server has refused."""
    try:
        return sum(name.endswith(".json") for name in os.listdir(os.path.join(directory, "aside")))
    except OSError:
        return 0


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # sent meanwhile


def raw(data: bytes) -> None:
    """Writes bytes to standard output unchanged."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        say(data.decode("utf-8", "replace"))  # closed, or replaced by the tool
    else:
        sys.stdout.flush()
        buffer.write(data)
        buffer.flush()


def say(text: str) -> None:
    """Writes to standard output, if it is open. Characters outside its encoding become numbers."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def complain(text: str) -> None:
    """Writes to standard error, if it is open."""
    if sys.stderr is not None:
        sys.stderr.write(text)
