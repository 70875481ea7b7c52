"""Local copies of bucket objects that never change, so that DuckDB reads files and needs no extension."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import LocalStore, ObjectStore

__all__ = ["columns", "directory", "local", "mirror", "prune"]

THREADS = 16
# Columns are asked for in requests of this size: a whole column of a large file takes 40 MB, and more on its way.
READ_BYTES = 8 << 20
# Beside each copy lies its digest: a copy that was damaged and kept its size is noticed, too.
DIGEST = ".sha256"
# How a table file's name ends. Some columns of it, as a file of their own, lie beside it: their names follow.
TABLE_FILE = ".parquet"
# A file of this size comes whole: to ask for its columns would take as long.
WHOLE_BYTES = 1 << 20
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


def columns(store: ObjectStore, bucket: str, objects: Iterable[tuple[str, int]], names: Sequence[str]) -> list[Path]:
    """Paths of local Parquet files that have these columns of (key, bytes), in order.

    Where there is no copy of the file, only these columns are fetched.
    """
    wanted = list(objects)
    if local(store):
        return mirror(store, bucket, wanted)
    root = directory(bucket)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def one(item: tuple[str, int]) -> Path:
        key, size = item
        if size <= WHOLE_BYTES:
            return _copy(store, root, key, size)
        if _sound(root / key, size):
            return root / key
        path = root / f"{key}.{'+'.join(names)}"
        if _sound(path):
            return path
        return _write(path, lambda file: _select(store, key, size, names, file))

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, wanted))


def prune(store: ObjectStore, bucket: str, application: str, keep: Iterable[str]) -> None:
    """Deletes copies of an application's table files that are not among these keys: what was deleted stays so here."""
    if local(store):
        return
    root = directory(bucket)
    kept = {root / key for key in keep}
    for path in (root / "tables" / application).rglob("*"):
        whole = path.with_name(path.name.partition(TABLE_FILE)[0] + TABLE_FILE)
        of_columns = path.name.removesuffix(DIGEST) != whole.name
        if path.is_dir() or (whole in kept and not (of_columns and whole.exists())):
            continue
        with suppress(FileNotFoundError):  # another build does the same
            if path.suffix != PART or path.stat().st_mtime < time.time() - 3600:
                path.unlink()


def _copy(store: ObjectStore, root: Path, key: str, size: int) -> Path:
    def fetch(file: BinaryIO) -> None:
        for part in store.get(key).stream():
            file.write(part)
        if file.tell() != size:
            raise OSError(f"{key} has {file.tell()} bytes, the table says {size}; try again")

    path = root / key
    return path if _sound(path, size) else _write(path, fetch)


def _write(path: Path, fill: Callable[[BinaryIO], None]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and renamed: a build that is killed here leaves no half a file under the real name.
    handle, name = tempfile.mkstemp(PART, dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            fill(file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    path.with_name(path.name + DIGEST).write_text(digest)
    return path


def _select(store: ObjectStore, key: str, size: int, names: Sequence[str], file: BinaryIO) -> None:
    """Writes some columns of a Parquet object, asking for their bytes and for the object's end."""
    source = pq.ParquetFile(
        pa.PythonFile(_Object(store, key, size), mode="r"), buffer_size=READ_BYTES, pre_buffer=False
    )
    kind = pa.schema([source.schema_arrow.field(name) for name in names])
    with pq.ParquetWriter(file, kind, use_dictionary=False) as target:
        for batch in source.iter_batches(columns=names):
            target.write_batch(batch)


class _Object(RawIOBase):
    """An object that is read in parts: a request for each."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        self.store, self.key, self.size, self.at = store, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + (self.size if whence == os.SEEK_END else self.at if whence == os.SEEK_CUR else 0)
        return self.at

    def read(self, size: int = -1) -> bytes:
        length = self.size - self.at if size < 0 else min(size, self.size - self.at)
        found = bytes(self.store.get_range(self.key, start=self.at, length=length)) if length > 0 else b""
        self.at += len(found)
        return found


def _sound(path: Path, size: int | None = None) -> bool:
    try:
        if size not in (None, path.stat().st_size):
            return False
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return found == path.with_name(path.name + DIGEST).read_text()
    except FileNotFoundError:
        return False
