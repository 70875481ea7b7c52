"""The parts of the client for systems other than Windows: terminals, locks, and processes that outlive this one."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["in_foreground", "lock", "start", "types_already"]

if sys.platform != "win32":

    def lock(descriptor: int) -> bool:
        """Takes the lock of an open file, until its last copy is closed. Whether the lock was free."""
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks: two uploads at once are wasteful, but no session counts twice
        return True

    def start(arguments: list[str], environment: dict[str, str], held: int, log: int) -> int:
        """Starts a process in its own session and returns its number. It inherits only the file `held`, and `log` for
        its errors.
        """
        # posix_spawn takes a millisecond, and fork in a large process many. It also runs no code of the tool.
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        # Do not pass on files that the tool's children inherit, because pipes would stay open after the tool's end.
        actions += [(os.POSIX_SPAWN_CLOSE, number) for number in _inherited() if number not in (held, log)]
        actions.append((os.POSIX_SPAWN_DUP2, held, 3 if held != 3 else 4))
        try:
            return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
        except NotImplementedError:
            return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)  # it does so itself

    def above_streams(descriptor: int) -> int:
        """The descriptor, moved if it took the place of a standard stream that the tool has closed."""
        if descriptor > 2:
            return descriptor
        import fcntl

        try:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        finally:
            os.close(descriptor)

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
                pass  # the descriptor of the listing, closed by now
        return found

    def in_foreground(terminal: TextIO) -> bool:
        """Whether this process may read from the terminal. The system would stop `my-tool build &` for trying."""
        try:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
        except OSError:
            return True  # a terminal without job control

    def types_already(terminal: TextIO) -> bool:
        """Whether there is typed input that nobody has read yet."""
        import select
        import termios

        descriptor = terminal.fileno()

        def waits() -> bool:
            return bool(select.select([descriptor], [], [], 0)[0])

        if waits():
            return True
        # An unfinished line is visible only while the terminal does not wait for its end.
        try:
            before = termios.tcgetattr(descriptor)
            now = [*before[:3], before[3] & ~termios.ICANON, *before[4:6], [*before[6]]]
            now[6][termios.VMIN], now[6][termios.VTIME] = b"\1", b"\0"
            termios.tcsetattr(descriptor, termios.TCSANOW, now)
            try:
                return waits()
            finally:
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
        except termios.error:
            return False
