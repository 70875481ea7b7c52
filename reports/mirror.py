"""Local copies of bucket objects that never change, so that DuckDB reads files and needs no extension."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from obstore.store import LocalStore, ObjectStore

__all__ = ["directory", "local", "mirror"]

THREADS = 16


def directory(bucket: str) -> Path:
    """Where the copies of a bucket lie: below $XDG_CACHE_HOME (~/.cache), private to their owner."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "abaculus" / hashlib.sha256(bucket.encode()).hexdigest()[:16]


def local(store: ObjectStore) -> Path | None:
    """The directory that a bucket is, when it is one: its objects are read where they lie."""
    return Path(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None


def mirror(store: ObjectStore, bucket: str, objects: Iterable[tuple[str, int]]) -> list[Path]:
    """Paths of local copies of (key, bytes), in order; fetches what is absent or of another size.

    A bucket that is a local directory is read where it lies.
    """
    wanted = list(objects)
    if here := local(store):
        return [here / key for key, _ in wanted]
    root = directory(bucket)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda item: _copy(store, root, *item), wanted))


def _copy(store: ObjectStore, root: Path, key: str, size: int) -> Path:
    path = root / key
    if path.is_file() and path.stat().st_size == size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and renamed: a build that is killed here leaves no half a file under the real name.
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in store.get(key).stream():
                file.write(part)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
