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

from reports.storage import leases

__all__ = ["columns", "directory", "home", "local", "mirror", "private", "prune"]

THREADS = 16
# The size of requests for columns. A whole column of a large file takes 40 MB, and more during the transfer.
READ_BYTES = 8 << 20
# Each copy has its digest beside it, which shows damage even if the size is the same.
DIGEST = ".sha256"
# The ending of a table file's name. A file with some of its columns is beside it, with their names after its name.
TABLE_FILE = ".parquet"
# A file up to this size is fetched whole, because requests for columns would take as long.
WHOLE_BYTES = 1 << 20
# Files that are being fetched, perhaps by another process, or that a killed process left.
PART = ".part"


def directory(bucket: str) -> Path:
    """The directory for copies of a bucket: below $XDG_CACHE_HOME (~/.cache), private to their owner."""
    return home() / hashlib.sha256(bucket.encode()).hexdigest()[:16]


def home() -> Path:
    """The directory above the copies of all buckets and DuckDB's spilled data."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "abaculus"


def private(path: Path) -> Path:
    """Makes a directory below `home`, or `home` itself, readable for its owner only, even if it exists already."""
    path.mkdir(parents=True, exist_ok=True)
    for directory in {home(), path}:
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
    return path


def local(store: ObjectStore) -> Path | None:
    """The directory of a local bucket, whose objects are read in place."""
    return Path(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None


def mirror(store: ObjectStore, bucket: str, objects: Iterable[tuple[str, int]]) -> list[Path]:
    """Paths of local copies of (key, bytes), in order. Fetches missing and damaged copies. A local bucket is read in
    place. Raises OSError for an object of another size.
    """
    wanted = list(objects)
    if here := local(store):
        return [here / key for key, _ in wanted]
    root = private(directory(bucket))
    leases.use(root, [key for key, _ in wanted])
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda item: _copy(store, root, *item), wanted))


def columns(store: ObjectStore, bucket: str, objects: Iterable[tuple[str, int]], names: Sequence[str]) -> list[Path]:
    """Paths of local Parquet files that have these columns of (key, bytes), in order.

    A name is the name of a column, or of a part of one in Parquet's form, such as `events.list.element.time`. If there
    is no copy of the file, only these columns are fetched.
    """
    wanted = list(objects)
    if local(store):
        return mirror(store, bucket, wanted)
    root = private(directory(bucket))
    end = f".{'+'.join(names)}"
    leases.use(root, [name for key, _ in wanted for name in (key, key + end)])

    def one(item: tuple[str, int]) -> Path:
        key, size = item
        if size <= WHOLE_BYTES:
            return _copy(store, root, key, size)
        if _sound(root / key, size):
            return root / key
        path = root / f"{key}{end}"
        if _sound(path):
            return path
        return _write(path, lambda file: _select(store, key, size, names, file))

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, wanted))


def prune(store: ObjectStore, bucket: str, application: str, keep: Iterable[str]) -> int:
    """Deletes copies of an application's table files that are not among these keys, so that deleted data is deleted
    here too. Returns how many had to stay, because another command on this machine reads them.
    """
    if local(store):
        return 0
    root = directory(bucket)
    below = f"tables/{application}/"
    kept = set(keep)
    stayed = 0
    if not (root / below).exists():
        return 0
    with leases.deleting(root, lambda name: name.startswith(below) and name not in kept) as read:
        for path in (root / below).rglob("*"):
            name = path.relative_to(root).as_posix().removesuffix(DIGEST)
            whole = name.partition(TABLE_FILE)[0] + TABLE_FILE
            if path.is_dir() or (whole in kept and not (name != whole and (root / whole).exists())):
                continue
            if name in read:
                stayed += path.suffix != DIGEST
                continue
            with suppress(FileNotFoundError, PermissionError):  # Windows does not delete open files
                if path.suffix != PART or path.stat().st_mtime < time.time() - 3600:
                    path.unlink()
    return stayed


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
    # Written under another name and renamed, so that a killed build leaves no partial file under the real name.
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
    path.with_name(path.name + DIGEST).write_text(digest, encoding="utf-8")
    return path


def _select(store: ObjectStore, key: str, size: int, names: Sequence[str], file: BinaryIO) -> None:
    """Writes some columns of a Parquet object. Requests only their bytes and the object's end."""
    source = pq.ParquetFile(
        pa.PythonFile(_Object(store, key, size), mode="r"), buffer_size=READ_BYTES, pre_buffer=False
    )
    kind = source.read_row_groups([], columns=names).schema
    with pq.ParquetWriter(file, kind, use_dictionary=False) as target:
        for batch in source.iter_batches(columns=names):
            target.write_batch(batch)


class _Object(RawIOBase):
    """An object that is read in parts, with a request for each."""

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
        return found == path.with_name(path.name + DIGEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
