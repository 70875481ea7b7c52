"""Local copies of bucket objects that never change, so that DuckDB reads files and needs no extension."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from obstore.store import LocalStore, ObjectStore

__all__ = ["directory", "local", "mirror", "prune"]

THREADS = 16
# Beside each copy lies its digest: a copy that was damaged and kept its size is noticed, too.
DIGEST = ".sha256"
# What is being fetched, perhaps by another process, or was when it was killed.
PART = ".part"


def directory(bucket: str) -> Path:
    """Where the copies of a bucket lie: below $XDG_CACHE_HOME (~/.cache), private to their owner."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "abaculus" / hashlib.sha256(bucket.encode()).hexdigest()[:16]


def local(store: ObjectStore) -> Path | None:
    """The directory that a bucket is, when it is one: its objects are read where they lie."""
    return Path(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None


def mirror(store: ObjectStore, bucket: str, objects: Iterable[tuple[str, int]]) -> list[Path]:
    """Paths of local copies of (key, bytes), in order; fetches what is absent or damaged.

    A bucket that is a local directory is read where it lies. Raises OSError for an object of another size.
    """
    wanted = list(objects)
    if here := local(store):
        return [here / key for key, _ in wanted]
    root = directory(bucket)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda item: _copy(store, root, *item), wanted))


def prune(store: ObjectStore, bucket: str, application: str, keep: Iterable[str]) -> None:
    """Deletes copies of an application's table files that are not among these keys: what was deleted stays so here."""
    if local(store):
        return
    root = directory(bucket)
    kept = {root / key for key in keep}
    for path in (root / "tables" / application).rglob("*"):
        if path.is_dir() or path.with_name(path.name.removesuffix(DIGEST)) in kept:
            continue
        with suppress(FileNotFoundError):  # another build does the same
            if path.suffix != PART or path.stat().st_mtime < time.time() - 3600:
                path.unlink()


def _copy(store: ObjectStore, root: Path, key: str, size: int) -> Path:
    path = root / key
    if _sound(path, size):
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    # Written beside and renamed: a build that is killed here leaves no half a file under the real name.
    handle, name = tempfile.mkstemp(PART, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in store.get(key).stream():
                file.write(part)
                digest.update(part)
            if file.tell() != size:
                raise OSError(f"{key} has {file.tell()} bytes, the table says {size}; try again")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    path.with_name(path.name + DIGEST).write_text(digest.hexdigest())
    return path


def _sound(path: Path, size: int) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return found == path.with_name(path.name + DIGEST).read_text()
    except FileNotFoundError:
        return False
