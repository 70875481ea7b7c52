"""Which copies of a bucket's files each command on this machine reads, so that no command deletes a file that another
one reads.

Each command has a file below `in-use/` with a name on each line, and locks this file until it ends.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which does not delete files that another process has open
    fcntl = None  # type: ignore[assignment]

__all__ = ["deleting", "use"]

DIRECTORY = "in-use"


class _Lease:
    """The file of this process in a mirror, and the names in it."""

    def __init__(self, root: Path) -> None:
        directory = root / DIRECTORY
        directory.mkdir(mode=0o700, exist_ok=True)
        self.path = directory / f"{os.getpid()}-{secrets.token_hex(4)}"
        # A descriptor that stays open until the process ends.
        self.file = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        self.names: set[str] = set()
        _lock(self.file)

    def write(self, names: Iterable[str]) -> None:
        self.names = set(names)
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, "".join(f"{name}\n" for name in sorted(self.names)).encode(), 0)


# Also by process, because a fork has its own leases.
_leases: dict[tuple[int, Path], _Lease] = {}


def _lease(root: Path) -> _Lease:
    key = (os.getpid(), root)
    if key not in _leases or not _leases[key].path.exists():  # somebody emptied the cache
        _leases[key] = _Lease(root)
    return _leases[key]


def use(root: Path, names: Iterable[str]) -> None:
    """Notes that this process reads these files below `root`, before it checks that they exist."""
    if fcntl is None:
        return
    with _alone(root):
        lease = _lease(root)
        if new := set(names) - lease.names:
            lease.write(lease.names | new)


@contextmanager
def deleting(root: Path, done: Callable[[str], bool]) -> Iterator[frozenset[str]]:
    """Returns the names that other processes read, and prevents them from starting with another one meanwhile. `done`
    says whether this process has finished reading a name.
    """
    if fcntl is None:
        yield frozenset()
        return
    with _alone(root):
        own = _lease(root)
        own.write(name for name in own.names if not done(name))
        yield frozenset(name for path in (root / DIRECTORY).iterdir() if path != own.path for name in _others(path))


def _others(path: Path) -> list[str]:
    """The names that a process reads, if it is still running."""
    with path.open("rb") as file:
        if _lock(file.fileno(), wait=False):
            path.unlink()
            return []
        return file.read().decode().splitlines()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / "in-use.lock").open("wb") as file:
        _lock(file.fileno())
        yield


def _lock(file: int, *, wait: bool = True) -> bool:
    """Locks a file until it is closed, or the process ends. False if another process has the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
