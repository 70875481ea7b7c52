"""Where a tool's telemetry keeps its few files, and how they are written: whole or not at all, for their owner only.

consent   the answer to the question, and what it was given for      queue/   sessions that wait (abaculus.queue)
id        the random user id                                         aside/   sessions that were refused, with why
log       what was sent, when, the answer                            tally    what became of uploads, not yet told
lock      held by the process that uploads                           retry    its time of change: not before then
"""

from __future__ import annotations

import os
import sys
import time

__all__ = ["append", "claim", "directory", "log", "new_id", "read", "remove", "remove_all", "user_id", "write"]

LOG_BYTES = 200_000


def directory(application: str, environment: os._Environ[str] | dict[str, str] = os.environ) -> str | None:
    """The directory of an application's telemetry, or None where there is none to write to."""
    home = os.path.expanduser("~")
    named = environment.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", "")
    if "SUDO_UID" in environment and hasattr(os, "geteuid"):
        try:
            if os.stat(home).st_uid != os.geteuid():
                return None  # root's files in somebody's home would stop that person's own runs from writing there
        except OSError:
            return None
    if os.path.isabs(named):  # the standard says to ignore a relative one
        base = named
    elif not os.path.isabs(home):
        return None
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    elif sys.platform == "win32":
        base = os.path.join(home, "AppData", "Local")
    else:
        base = os.path.join(home, ".local", "state")
    return os.path.join(base, application, "telemetry")


def read(path: str) -> str:
    """The text of a file; empty when it is not there or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, data: bytes) -> None:
    """Puts a file in place, whole, over what was there. Raises OSError."""
    temporary = _temporary(path, data)
    try:
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def claim(path: str, data: bytes) -> None:
    """Puts a file in place unless there is one: of two processes that try, one succeeds. Raises OSError."""
    temporary = _temporary(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:
        os.replace(temporary, path)  # a file system without links
    finally:
        remove(temporary)


def _temporary(path: str, data: bytes) -> str:
    # Beside its place, so that renaming works, and with a dot, so that nobody takes it for a finished file. It is not
    # synced to the disk: that takes longer than all else, and what a power cut tears is noticed when it is read.
    head, tail = os.path.split(path)
    os.makedirs(head, 0o700, exist_ok=True)
    temporary = os.path.join(head, f".{tail}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
    except OSError:
        remove(temporary)
        raise
    return temporary


def append(path: str, line: str) -> None:
    """Adds a line to a file, in one write: lines of several processes do not mix. On a full disk it is left out,
    because what is written like this must not keep anything else from being done."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def log(directory: str, line: str) -> None:
    """Adds a line to what `telemetry log` shows; of a long log the older half goes."""
    path = os.path.join(directory, "log")
    append(path, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}  {line}")
    try:
        if os.path.getsize(path) > LOG_BYTES:
            lines = read(path).splitlines(keepends=True)
            write(path, "".join(lines[len(lines) // 2 :]).encode())
    except OSError:
        pass


def remove(path: str) -> bool:
    """Removes a file; whether it was there and is gone."""
    try:
        os.remove(path)
    except OSError:
        return False
    return True


def remove_all(directory: str) -> int:
    """Removes every file of a directory; how many there were."""
    try:
        names = os.listdir(directory)
    except OSError:
        return 0
    return sum(remove(os.path.join(directory, name)) for name in names)


def new_id() -> str:
    """A random UUID of version 4. (Python's own module for it takes longer to import than this whole package.)"""
    data = bytearray(os.urandom(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether a text is a UUID of version 4 as the server wants it."""
    return (
        len(text) == 36
        and [at for at, letter in enumerate(text) if letter == "-"] == [8, 13, 18, 23]
        and not text.replace("-", "").strip("0123456789abcdef")
        and text[14] == "4"
        and text[19] in "89ab"
    )


def user_id(directory: str) -> str:
    """The user's id, made when there is none. Ask only after a yes. Raises OSError."""
    path = os.path.join(directory, "id")
    known = read(path).strip()
    if not is_id(known):
        claim(path, new_id().encode())
        known = read(path).strip()
    if not is_id(known):
        write(path, new_id().encode())  # what was there is no id
        known = read(path).strip()
    if not is_id(known):
        raise OSError(f"{path}: cannot be kept")
    return known
