"""The parts of the client that differ on Windows. Imported there only."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["INTERRUPTED", "exit_status", "lock", "start", "state_base", "types_already"]

INTERRUPTED = -1073741510  # STATUS_CONTROL_C_EXIT, as a shell shows it
CREATE_NEW_PROCESS_GROUP = 0x200  # Ctrl-C in the tool's console must not end it
CREATE_NO_WINDOW = 0x8000000  # with DETACHED_PROCESS, the interpreter that a virtual environment starts opens a console


def state_base(home: str, environment: Mapping[str, str]) -> str:
    """The directory in which a tool keeps its state."""
    named = environment.get("LOCALAPPDATA", "")
    return named if os.path.isabs(named) else os.path.join(home, "AppData", "Local")


def exit_status(code: int) -> int:
    """The exit code that a shell shows for this integer."""
    return code if -(2**31) <= code < 2**31 else -1


if sys.platform == "win32":

    def lock(descriptor: int) -> bool:
        """Takes the lock of an open file, until the file is closed. Whether the lock was free."""
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def types_already() -> bool:
        """Whether there is a pressed key that nobody has read yet."""
        import msvcrt

        return msvcrt.kbhit()


def start(arguments: list[str], environment: dict[str, str], log: int, wait: float) -> None:
    """Starts a process without a window that outlives this one, and waits at most `wait` seconds for its end."""
    import subprocess

    child = subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        close_fds=True,
        creationflags=CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP,
        # Nobody can delete or rename the working directory of a process.
        cwd=environment.get("SYSTEMROOT") or os.path.dirname(arguments[0]),
    )
    try:
        if wait:
            child.wait(wait)
    except subprocess.TimeoutExpired:
        pass
    child.returncode = child.returncode or 0  # otherwise Python would warn about a child that nobody waited for
