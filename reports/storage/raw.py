"""Lists raw objects, fetches many at once, returns their sessions in chunks, and quarantines what cannot be read."""

import json
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.storage import lines
from reports.storage.lines import Chunk, Unreadable
from reports.storage.mirror import local
from reports.storage.objects import is_ours

__all__ = ["Chunk", "Unreadable", "applications", "delete", "listed", "quarantine", "read"]

PREFIX = "raw/v1/"
# The objects and the bytes of text in a chunk, which becomes one commit.
CHUNK_OBJECTS = 50_000
CHUNK_BYTES = 128 << 20
# A slice is parsed in one thread. It is small enough for the cache of a processor, and for many to be in progress.
SLICE_BYTES = 8 << 20
AHEAD = 12
OBJECT_BYTES = 64 << 20
INFLATED_BYTES = 256 << 20
# How many objects are requested at once over a network, and how many are fetched before the first one is used.
FETCHES = 64
WINDOW_OBJECTS = 4096
WINDOW_BYTES = 8 << 20
# How often an incomplete object is fetched again.
TRIES = 3

Fetched = tuple[str, bytes | Unreadable]
T = TypeVar("T")


def applications(store: ObjectStore) -> list[str]:
    """Ids of the applications that have raw objects."""
    found = store.list_with_delimiter(PREFIX)["common_prefixes"]
    # A local bucket keeps the empty directories of compacted objects.
    return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found if _any(store, f"{prefix.rstrip('/')}/"))


def _any(store: ObjectStore, prefix: str) -> bool:
    return any(is_ours(meta["path"]) for page in store.list(prefix, chunk_size=1) for meta in page)


def listed(store: ObjectStore, application: str, since: date | None = None) -> pa.Table:
    """The raw objects of an application, the oldest first, with their `path` and `size` in bytes. With `since`, only
    those with a key of that day or later.
    """
    # As columns, because a million of them take a tenth of the memory of Python objects.
    pages = [
        pa.record_batch(page).select(["path", "size", "last_modified"])
        for page in store.list(f"{PREFIX}{application}/", chunk_size=10_000, return_arrow=True)
    ]
    if not pages:
        return pa.schema([("path", pa.string()), ("size", pa.uint64())]).empty_table()
    # If a session arrived twice, the one that was ingested first must come first.
    every = pa.Table.from_batches(pages).sort_by([("last_modified", "ascending"), ("path", "ascending")])
    # Other names come from a file manager or an editor.
    every = every.filter(pc.match_substring_regex(every["path"], r"(^|/)[A-Za-z0-9][^/]*$"))
    if since is not None:
        every = every.filter(pc.greater_equal(every["path"], f"{PREFIX}{application}/{since.isoformat()}"))
    return every.select(["path", "size"])


def read(store: ObjectStore, application: Application, objects: pa.Table) -> Iterator[Chunk]:
    """Fetches and parses the listed objects, in chunks that fit in memory.

    While the caller commits one chunk, it fetches and parses the next.
    """
    expected = lines.schema(application)
    parts = _parsed(expected, application.id, _slices(_fetched(store, objects)))
    for _, same in groupby(parts, key=itemgetter(0)):
        yield lines.joined(expected, [part for _, part in same])


def _parsed(
    expected: pa.Schema, application: str, slices: Iterable[tuple[int, list[Fetched]]]
) -> Iterator[tuple[int, Chunk]]:
    """The content of each slice, in order, with the number of its chunk. There is a thread for each core."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        begun = ((number, threads.submit(_parse, expected, application, slice)) for number, slice in slices)
        try:
            for number, future in _ahead(begun, AHEAD):
                yield number, future.result()
        finally:  # perhaps nobody needs the result any more: a commit failed, or the run was interrupted
            threads.shutdown(cancel_futures=True)


def _parse(expected: pa.Schema, application: str, slice: list[Fetched]) -> Chunk:
    """Inflates and parses the objects of a slice."""
    broken: list[Unreadable] = []
    contents: list[tuple[str, bytes]] = []
    for key, packed in slice:
        content = packed if isinstance(packed, Unreadable) else _content(key, packed)
        if isinstance(content, Unreadable):
            broken.append(content)
        else:
            contents.append((key, content))
    chunk = lines.read(expected, application, contents)
    chunk.unreadable += broken
    chunk.taken += [item.key for item in broken]
    return chunk


def _content(key: str, packed: bytes) -> bytes | Unreadable:
    """The lines of an object, or what is wrong with it."""
    try:
        return _inflate(packed) or Unreadable(key, "it is empty")
    except (ValueError, zlib.error) as error:
        return Unreadable(key, f"not gzip: {error}")


def _slices(fetched: Iterable[Fetched]) -> Iterator[tuple[int, list[Fetched]]]:
    """Objects that are parsed together, with the number of their chunk."""
    number = objects = text = 0  # of the chunk
    slice: list[Fetched] = []
    size = 0
    for key, packed in fetched:
        bytes = 0 if isinstance(packed, Unreadable) else _text_bytes(packed)
        full = objects == CHUNK_OBJECTS or (objects > 0 and text + bytes > CHUNK_BYTES)
        if slice and (full or size + bytes > SLICE_BYTES):
            yield number, slice
            slice, size = [], 0
        if full:
            number, objects, text = number + 1, 0, 0
        slice.append((key, packed))
        size, text, objects = size + bytes, text + bytes, objects + 1
    if slice:
        yield number, slice


def _text_bytes(packed: bytes) -> int:
    """The size of the text by the last four bytes of an object. It may be wrong, within the limit for one object."""
    return min(max(len(packed), int.from_bytes(packed[-4:], "little")), INFLATED_BYTES)


def _fetched(store: ObjectStore, objects: pa.Table) -> Iterator[Fetched]:
    """Each object that still exists, in order: its key with its bytes, or why it was not read. Many at once."""
    root = local(store)
    if root:  # read as files, which takes a fifth of the time; threads would only wait for each other
        for window in _windows(objects):
            yield from _there(_fetch(store, root, *item) for item in window)
        return
    with ThreadPoolExecutor(FETCHES) as threads:

        def begin(window: list[tuple[str, int]]) -> Iterator[list[Fetched | None]]:
            # A task for each object would cost more than fetching a small object.
            size = max(1, min(16, len(window) // FETCHES))
            parts = [window[at : at + size] for at in range(0, len(window), size)]
            return threads.map(lambda items: [_fetch(store, None, *item) for item in items], parts)

        # One window is fetched while another is used.
        for fetched in _ahead(map(begin, _windows(objects)), 1):
            for found in fetched:
                yield from _there(found)


def _ahead(things: Iterable[T], most: int) -> Iterator[T]:
    """Returns results in order, and always has this many later ones in progress."""
    begun: deque[T] = deque()
    for thing in things:
        begun.append(thing)
        if len(begun) > most:
            yield begun.popleft()
    yield from begun


def _there(found: Iterable[Fetched | None]) -> Iterator[Fetched]:
    return (item for item in found if item is not None)


def _windows(objects: pa.Table) -> Iterator[list[tuple[str, int]]]:
    """Keys and sizes, in groups that are fetched together."""
    window: list[tuple[str, int]] = []
    total = 0
    for page in objects.to_batches(max_chunksize=1000):
        for key, size in zip(page["path"].to_pylist(), page["size"].to_pylist(), strict=True):
            window.append((key, size))
            total += size
            if len(window) >= WINDOW_OBJECTS or total >= WINDOW_BYTES:
                yield window
                window, total = [], 0
    if window:
        yield window


def _fetch(store: ObjectStore, root: Path | None, key: str, size: int) -> Fetched | None:
    """An object's key and bytes, or what is wrong with it. None if another run handles it."""
    if size > OBJECT_BYTES:
        return key, Unreadable(key, f"{size} bytes is more than the limit for a raw object ({OBJECT_BYTES})")
    for _ in range(TRIES):
        try:
            packed = (root / key).read_bytes() if root else bytes(store.get(key).bytes())
        except FileNotFoundError:
            return None
        if len(packed) == size:
            return key, packed
    return None  # incomplete, or written again after the listing; this is not the session's fault


def _inflate(packed: bytes) -> bytes:
    """All members of a gzip file, up to a limit, because a few bytes can inflate to more than the memory."""
    parts: list[bytes] = []
    room = INFLATED_BYTES
    while packed:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(packed, room))
        room -= len(parts[-1])
        if member.unconsumed_tail or room <= 0:
            raise ValueError(f"it inflates to more than {INFLATED_BYTES} bytes")
        if not member.eof:
            raise ValueError("it ends before its content does")
        packed = member.unused_data
    return b"".join(parts)


def quarantine(store: ObjectStore, unreadable: Iterable[Unreadable], run: str) -> None:
    """Quarantines objects, byte for byte, each with the reason beside it. If it is repeated, only the time of the note
    changes.
    """
    for item in unreadable:
        name = "quarantine/" + item.key + ("" if item.line is None else f".line-{item.line}")
        if item.content is None:
            try:
                store.copy(item.key, name)
            except FileNotFoundError:  # another run has quarantined it meanwhile
                continue
        else:
            store.put(name, item.content)
        again = f"abaculus requeue {name}"
        note = {"key": item.key, "line": item.line, "reason": item.reason, "run": run, "time": _now(), "again": again}
        store.put(f"{name}.reason.json", json.dumps(note, indent=1).encode())


def delete(store: ObjectStore, keys: list[str]) -> None:
    """Deletes what was taken. Objects that another run has deleted meanwhile are skipped."""

    def one(key: str) -> None:
        with suppress(FileNotFoundError):
            store.delete(key)

    try:
        store.delete(keys)
    except FileNotFoundError:
        # Not every store says which object was missing, and the first missing one ends the whole call.
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(one, keys))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
