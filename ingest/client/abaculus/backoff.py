"""The pause before the next upload, after failed uploads or because the server asked for it. The file `retry` stores it
between processes: its modification time is the end of the pause. Its text is the number of failures in a row, and
whether the server named the time.
"""

from __future__ import annotations

import os
import time

from abaculus import state

__all__ = ["asked", "clear", "delay", "failures", "pause", "put_off"]

FIRST = 600.0  # seconds after the first failure, twice as many after each further one
DAY = 86_400.0  # the longest
ASKED = "asked"


def pause(directory: str) -> float:
    """The seconds until the next upload may start."""
    try:
        seconds = os.stat(_path(directory)).st_mtime - time.time()
    except OSError:
        return 0.0
    return seconds if 0 < seconds < DAY else 0.0  # more than a day ahead, the clock was wrong


def asked(directory: str) -> bool:
    """Whether the server named the time."""
    return ASKED in state.read(_path(directory)).split()


def failures(directory: str) -> int:
    """How many uploads have failed in a row."""
    number = state.read(_path(directory)).partition(" ")[0].strip()
    return int(number) if number.isdecimal() and len(number) < 4 else 0


def delay(failures: int, chance: float) -> float:
    """The seconds to wait after so many failures. `chance`, from 0 to 1, keeps machines from retrying at the same
    time.
    """
    return min(FIRST * 2.0 ** min(failures - 1, 20), DAY - 1) * (1 + chance) / 2


def put_off(directory: str, seconds: float, failures: int, asked: bool = False) -> None:
    """Starts a pause of this length, a day at most. On a full disk, the next try is earlier."""
    moment = time.time() + min(seconds, DAY - 1)
    try:
        state.write(_path(directory), f"{failures} {ASKED if asked else ''}\n".encode())
        os.utime(_path(directory), (moment, moment))
    except OSError:
        pass


def clear(directory: str) -> None:
    """Forgets failures, because the server has answered correctly."""
    state.remove(_path(directory))


def _path(directory: str) -> str:
    return os.path.join(directory, "retry")
