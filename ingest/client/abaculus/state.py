"""The files of a tool's telemetry. They are written whole or not at all, for their owner only.

consent   the answer to the question, and what it was given for      queue/   sessions that wait (abaculus.queue)
id        the random user id                                         aside/   sessions that were refused, with why
log       what was sent, when, the answer                            tally    what became of uploads, not reported yet
lock      held by the process that uploads                           retry    its time of change: not before then
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "append", "claim", "directory", "is_id", "is_ours", "is_writable", "log", "new_id", "open_log", "overwrite", "read",
    "remove", "remove_all", "user_id", "write",
]  # fmt: skip

LOG_BYTES = 200_000


def directory(application: str, environment: os._Environ[str] | dict[str, str] = os.environ) -> str | None:
    """The directory of an application's telemetry, or None without a home directory."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        from abaculus import windows

        base = windows.state_base(home, environment)
    elif os.path.isabs(named := environment.get("XDG_STATE_HOME", "")):  # the standard says to ignore a relative one
        base = named
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.path.join(home, ".local", "state")
    return os.path.join(base, application, "telemetry") if os.path.isabs(base) else None


def is_ours(directory: str) -> bool:
    """Whether a directory is, or would be, in a place that belongs to this user.

    Files that root left in somebody's home would stop that person's own runs from writing there.
    """
    if not hasattr(os, "geteuid"):
        return True
    me = os.geteuid()
    for place in _upwards(directory):
        try:
            owner = os.stat(place).st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue  # it would be made
        except OSError:
            return False
        if owner not in (0, me):
            return False
        if owner == me != 0:
            break  # then the owners of the directories above do not matter
    return True


def is_writable(directory: str) -> bool:
    """Whether files can be written to a directory, or the directory can be created."""
    nearest = next((place for place in _upwards(directory) if os.path.lexists(place)), directory)
    return os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)


def _upwards(place: str) -> Iterator[str]:
    while True:
        yield place
        if place == (above := os.path.dirname(place)):
            return
        place = above


def read(path: str) -> str:
    """The text of a file. Empty if it does not exist or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, data: bytes) -> None:
    """Replaces a file, whole or not at all. Raises OSError."""
    temporary = _temporary(path, data)
    try:
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def overwrite(path: str, data: bytes) -> None:
    """Overwrites the beginning of a file and truncates it there. This works on a full disk too. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        os.write(descriptor, data)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def claim(path: str, data: bytes) -> None:
    """Creates a file unless it exists. If two processes try, only one succeeds. Raises OSError."""
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
    # Beside its place, so that renaming works, and with a dot, so that it does not look like a finished file. Without a
    # sync to the disk, which takes longer than everything else. Readers notice files that a power cut has damaged.
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
    """Adds a line to a file in one write, so that lines of several processes do not mix. On a full disk it leaves the
    line out, because such a line must not stop anything else.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def open_log(directory: str) -> int:
    """A descriptor that appends to the log, or to nothing if the log cannot be written."""
    path = os.path.join(directory, "log")
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def log(directory: str, line: str) -> None:
    """Adds a line to the log, and drops the older half of a long log."""
    path = os.path.join(directory, "log")
    append(path, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}  {line}")
    try:
        if os.path.getsize(path) > LOG_BYTES:
            lines = read(path).splitlines(keepends=True)
            write(path, "".join(lines[len(lines) // 2 :]).encode())
    except OSError:
        pass


def remove(path: str) -> bool:
    """Removes a file. Whether it existed and is gone."""
    try:
        os.remove(path)
    except OSError:
        return False
    return True


def remove_all(directory: str) -> int:
    """Removes every file of a directory, and returns how many there were."""
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
    """Whether a text is a UUID of version 4 in the server's format."""
    return (
        len(text) == 36
        and [at for at, letter in enumerate(text) if letter == "-"] == [8, 13, 18, 23]
        and not text.replace("-", "").strip("0123456789abcdef")
        and text[14] == "4"
        and text[19] in "89ab"
    )


def user_id(directory: str) -> str:
    """The user's id, generated if there is none. Ask only after a yes. Raises OSError."""
    path = os.path.join(directory, "id")
    known = read(path).strip()
    if not is_id(known):
        claim(path, new_id().encode())
        known = read(path).strip()
    if not is_id(known):
        write(path, new_id().encode())  # the existing text is not an id
        known = read(path).strip()
    if not is_id(known):
        raise OSError(f"{path}: cannot be kept")
    return known
