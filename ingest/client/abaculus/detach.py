"""Starts the process that uploads: on its own, holding nothing of the tool's, and at most one at a time."""

from __future__ import annotations

import os
import sys
import time

from abaculus.session import debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.telemetry import Telemetry

__all__ = ["lock", "pause", "start"]

# A directory or an archive: the process finds this package where the tool has it, and nothing else of the tool's.
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from abaculus.upload import main; main(sys.argv[2:])"
# All that it gets of the environment: what Python needs to start, and the way to the network.
PASSED = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
)  # fmt: skip
DAY = 86_400.0


def start(telemetry: Telemetry, directory: str, *, leave: str = "", wait: float = 0.0) -> None:
    """Starts it, unless one runs or the server asked to wait. `leave` names a file that it must not send.

    Waits `wait` seconds at most for it to end.
    """
    if pause(directory) > 0:
        return
    program = os.path.basename(sys.executable or "").lower()
    if getattr(sys, "frozen", False) or not program.startswith(("python", "pypy")):
        # There is no Python to start; starting the program itself would run the tool again.
        debug("telemetry: not uploaded: no Python interpreter here; `telemetry flush` does it")
        return
    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    arguments = [sys.executable, "-I", "-S", "-c", CODE, place, directory, telemetry.endpoint, leave]
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    if sys.platform == "win32":
        _start_windows(arguments, environment, wait)
        return
    held = lock(directory)
    if held is None:
        return
    try:
        child = _spawn(arguments, environment, held)
    finally:
        os.close(held)  # the child has it, and with it the lock
    _reap()
    _children.append(child)
    end = time.monotonic() + wait
    while wait and time.monotonic() < end:
        try:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return  # the tool waits for children of its own, and was told of this one
        time.sleep(0.01)


_children: list[int] = []


def _reap() -> None:
    """Takes leave of those that have ended: a tool that stays and records many sessions would collect them."""
    for child in _children.copy():
        try:
            if not os.waitpid(child, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            pass  # it was not ours to wait for, after a fork, or the tool did
        _children.remove(child)


def lock(directory: str) -> int | None:
    """A descriptor that holds the lock until its last copy is closed; None while another process holds it.

    Raises OSError.
    """
    descriptor = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    except OSError:
        pass  # a file system without locks: two uploads at once are waste, but no session counts twice
    return descriptor


def pause(directory: str) -> float:
    """How many seconds longer the server asked to be left alone."""
    try:
        seconds = os.stat(os.path.join(directory, "retry")).st_mtime - time.time()
    except OSError:
        return 0.0
    return seconds if 0 < seconds < DAY else 0.0  # more than a day ahead, it was the clock that was wrong


def _spawn(arguments: list[str], environment: dict[str, str], held: int) -> int:
    # posix_spawn takes a millisecond where fork in a large process takes many, and runs no code of the tool's.
    target = 3 if held != 3 else 4
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    # What the tool lets its children inherit is not for this one: it would keep pipes open after the tool's end.
    actions += [(os.POSIX_SPAWN_CLOSE, number) for number in _inherited() if number != held]
    actions.append((os.POSIX_SPAWN_DUP2, held, target))
    try:
        return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
    except NotImplementedError:
        return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)  # it does so itself


def _inherited() -> list[int]:
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return []
    found = []
    for number in numbers:
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # the listing's own, closed by now
    return found


def _start_windows(arguments: list[str], environment: dict[str, str], wait: float) -> None:
    import subprocess

    flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(
        arguments, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, close_fds=True, creationflags=flags
    )
    try:
        if wait:
            child.wait(wait)
    except subprocess.TimeoutExpired:
        pass
    child.returncode = child.returncode or 0  # or Python would warn of a child that nobody waited for
