"""Raw objects: list them in chunks, fetch many at once, parse them together, set aside what cannot be read.

How a session lies in `raw/` is the function's matter (`ingest.session`); here it is read back.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import table
from reports.mirror import local

__all__ = ["Chunk", "RawObject", "Unreadable", "applications", "chunks", "delete", "quarantine", "read"]

PREFIX = "raw/v1/"
CHUNK_OBJECTS = 50_000
CHUNK_BYTES = 16 << 20
OBJECT_BYTES = 64 << 20
INFLATED_BYTES = 256 << 20
# A canonical line is at most a little longer than the largest body; pyarrow wants each line inside one block.
BLOCK_BYTES = 16 << 20
# How often an object is fetched that does not come whole.
TRIES = 3
UUID = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z"
REQUIRED = ("sessionId", "userId", "sessionStartTime", "sessionEndTime", "ingestionTime", "applicationVersion")


@dataclass(frozen=True)
class RawObject:
    """An object below `raw/`: its key and its size in bytes."""

    key: str
    bytes: int


@dataclass(frozen=True)
class Unreadable:
    """What is set aside: a whole object (`line` None, copied as it lies) or the bytes of one line (counted from 1)."""

    key: str
    reason: str
    line: int | None = None
    content: bytes | None = None


@dataclass
class Chunk:
    """What a chunk of raw objects holds. `rows` has the raw members as columns; `taken` is deleted after the commit."""

    rows: pa.Table
    taken: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    waiting_sessions: int = 0


def schema(application: Application) -> pa.Schema:
    """Members of a raw line, by the registry."""
    time = table.UTC
    attributes = table.fields(application.attributes)
    event = [("type", pa.string()), ("time", time), ("attributes", table.union(application.events))]
    span = [("type", pa.string()), ("startTime", time), ("endTime", time)]
    return pa.schema(
        [
            ("sessionId", pa.string()),
            ("userId", pa.string()),
            ("sessionStartTime", time),
            ("sessionEndTime", time),
            ("ingestionTime", time),
            ("applicationId", pa.string()),
            ("applicationVersion", pa.string()),
            ("attributes", attributes),
            ("events", pa.list_(pa.struct(event))),
            ("spans", pa.list_(pa.struct([*span, ("attributes", table.union(application.spans))]))),
            ("undeclared", pa.list_(pa.string())),
        ]
    )


def applications(store: ObjectStore) -> list[str]:
    """Ids of the applications that have raw objects."""
    found = store.list_with_delimiter(PREFIX)["common_prefixes"]
    # A local directory keeps the empty directories of what was compacted.
    return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found if _any(store, f"{prefix.rstrip('/')}/"))


def _any(store: ObjectStore, prefix: str) -> bool:
    return any(len(page) > 0 for page in store.list(prefix, chunk_size=1))


def chunks(store: ObjectStore, application: str, since: date | None = None) -> Iterator[list[RawObject]]:
    """The raw objects of an application as they are listed now, the oldest first, in chunks that fit in memory.

    With `since`, only those whose key says that day or a later one.
    """
    # As columns: a million of them take a tenth of what objects would.
    listed = store.list(f"{PREFIX}{application}/", chunk_size=10_000, return_arrow=True)
    pages = [pa.record_batch(page).select(["path", "size", "last_modified"]) for page in listed]
    if not pages:
        return
    # Of a session that came twice, the one ingested first must be met first.
    every = pa.Table.from_batches(pages).sort_by([("last_modified", "ascending"), ("path", "ascending")])
    if since is not None:
        every = every.filter(pc.greater_equal(every["path"], f"{PREFIX}{application}/{since.isoformat()}"))
    chunk: list[RawObject] = []
    size = 0
    for page in every.to_batches(max_chunksize=1000):
        for key, bytes in zip(page["path"].to_pylist(), page["size"].to_pylist(), strict=True):
            if chunk and (len(chunk) == CHUNK_OBJECTS or size + bytes > CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(RawObject(key, bytes))
            size += min(bytes, OBJECT_BYTES)
    if chunk:
        yield chunk


def read(store: ObjectStore, application: Application, objects: list[RawObject]) -> Chunk:
    """Fetches and parses a chunk: all of it as one when it is sound, else in halves until what is at fault is found."""
    reader = _Reader(schema(application), application.id)
    contents: list[tuple[str, bytes]] = []
    for item, content in zip(objects, _fetch_all(store, objects), strict=True):
        if isinstance(content, Unreadable):
            reader.result.unreadable.append(content)
            reader.result.taken.append(item.key)
        elif content is not None:
            contents.append((item.key, content))
    reader.objects(contents)
    reader.result.rows = pa.concat_tables([reader.expected.empty_table(), *reader.sound])
    return reader.result


def _fetch_all(store: ObjectStore, objects: list[RawObject]) -> Iterator[bytes | Unreadable | None]:
    """The lines of each object, in order, many fetched at once."""
    root = local(store)
    # Files are read as files: a fifth of the time, and threads would only wait for each other.
    workers = 1 if root else 64
    # A task for each object would cost more than a small object's fetch.
    size = max(1, min(100, len(objects) // workers))
    slices = [objects[at : at + size] for at in range(0, len(objects), size)]
    with ThreadPoolExecutor(workers) as threads:
        for part in threads.map(lambda items: [_fetch(store, root, item) for item in items], slices):
            yield from part


def _fetch(store: ObjectStore, root: Path | None, item: RawObject) -> bytes | Unreadable | None:
    """The lines of an object, what is wrong with it, or None when it is left to another run."""
    if item.bytes > OBJECT_BYTES:
        return Unreadable(item.key, f"{item.bytes} bytes is more than a raw object can have ({OBJECT_BYTES})")
    for _ in range(TRIES):
        try:
            packed = (root / item.key).read_bytes() if root else bytes(store.get(item.key).bytes())
        except FileNotFoundError:
            return None
        if len(packed) == item.bytes:
            break
    else:
        return None  # read by half, or listed before it was written again; that is not the session's fault
    try:
        content = _inflate(packed)
    except (ValueError, zlib.error) as error:
        return Unreadable(item.key, f"not gzip: {error}")
    return content or Unreadable(item.key, "it is empty")


def _inflate(packed: bytes) -> bytes:
    """All members of a gzip file, up to a limit: a few bytes can inflate to more than there is memory."""
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


def _parse(content: bytes, expected: pa.Schema, application: str, unexpected: str = "error") -> pa.Table:
    """The lines as a table. Raises ValueError when any of them is not a session of this application."""
    if not content:
        return expected.empty_table()
    lines = content.count(b"\n")
    # pyarrow 26 ends the process, without an exception, at a line that is `null`.
    if not content.startswith(b"{") or content.count(b"\n{") != lines - 1:
        raise ValueError("a line is not a JSON object")
    try:
        rows = pyarrow.json.read_json(
            pa.BufferReader(content),
            read_options=pyarrow.json.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=expected, unexpected_field_behavior=unexpected),
        )
        rows.validate(full=True)  # it is the only check of UTF-8: DuckDB and Parquet would take broken text
    except pa.ArrowException as error:
        raise ValueError(str(error).strip()) from None
    # A line that was cut off can swallow its neighbour without an error.
    if rows.num_rows != lines:
        raise ValueError(f"{lines} lines gave {rows.num_rows} sessions")
    for name in REQUIRED:
        if rows[name].null_count:
            raise ValueError(f"{name} is missing")
    if not pc.all(pc.match_substring_regex(rows["sessionId"], UUID)).as_py():
        raise ValueError("sessionId is not a UUID")
    if not pc.all(pc.fill_null(pc.equal(rows["applicationId"], application), False)).as_py():
        raise ValueError(f"applicationId is not {application!r}")
    return rows


class _Reader:
    """Tells what is sound from what is not: all at once, else by halves, so that one bad line costs little."""

    def __init__(self, expected: pa.Schema, application: str) -> None:
        self.expected = expected
        self.application = application
        self.sound: list[pa.Table] = []
        self.result = Chunk(rows=expected.empty_table())

    def objects(self, contents: list[tuple[str, bytes]]) -> None:
        """Reads objects, each with its key."""
        try:
            self.sound.append(self.parse([content for _, content in contents]))
            self.result.taken += [key for key, _ in contents]
        except ValueError:
            if len(contents) > 1:
                half = len(contents) // 2
                self.objects(contents[:half])
                self.objects(contents[half:])
            else:
                self.object(*contents[0])

    def object(self, key: str, content: bytes) -> None:
        """Reads an object that is known to have a line at fault."""
        lines = list(enumerate(BytesIO(content), 1))
        judged = list(self.lines(lines))
        if any(isinstance(found, _Unknown) for _, found in judged):
            # A newer registry will read it; the whole object waits, so that its sessions are still counted once.
            self.result.waiting.append(key)
            self.result.waiting_sessions += len(lines)
            return
        for number, found in judged:
            if isinstance(found, str):
                self.result.unreadable.append(Unreadable(key, found, number, lines[number - 1][1]))
            else:
                self.sound.append(found)
        self.result.taken.append(key)

    def lines(self, lines: list[tuple[int, bytes]]) -> "Iterator[tuple[int, pa.Table | _Unknown | str]]":
        """Numbered lines as tables of one or more, or what is wrong with one."""
        try:
            yield lines[0][0], self.parse([line for _, line in lines])
        except ValueError as error:
            if len(lines) > 1:
                half = len(lines) // 2
                yield from self.lines(lines[:half])
                yield from self.lines(lines[half:])
            else:
                yield lines[0][0], self.fault(lines[0][1], str(error))

    def parse(self, contents: list[bytes], unexpected: str = "error") -> pa.Table:
        """The lines of all contents as one table; raises ValueError."""
        # Nothing is added to what ends as it should, so that sound chunks are joined and not copied twice.
        ended = [content if content.endswith(b"\n") else content + b"\n" for content in contents]
        return _parse(b"".join(ended), self.expected, self.application, unexpected)

    def fault(self, line: bytes, reason: str) -> "_Unknown | str":
        """What is wrong with a line that did not parse: `reason`, unless only the registry is behind."""
        try:
            json.loads(line.decode())
            self.parse([line], unexpected="ignore")
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return str(error)
        return _Unknown() if "unexpected field" in reason else reason


class _Unknown:
    """A line that is sound but for members that this registry does not declare."""


def quarantine(store: ObjectStore, unreadable: Iterable[Unreadable], run: str) -> None:
    """Sets aside, byte for byte and with the reason beside it. Doing it again changes nothing but the note's time."""
    for item in unreadable:
        name = "quarantine/" + item.key + ("" if item.line is None else f".line-{item.line}")
        if item.content is None:
            try:
                store.copy(item.key, name)
            except FileNotFoundError:  # another run has set it aside meanwhile
                continue
        else:
            store.put(name, item.content)
        again = f"abaculus requeue {name}"
        note = {"key": item.key, "line": item.line, "reason": item.reason, "run": run, "time": _now(), "again": again}
        store.put(f"{name}.reason.json", json.dumps(note, indent=1).encode())


def delete(store: ObjectStore, keys: list[str]) -> None:
    """Deletes what was taken. What another run has deleted meanwhile stops nothing."""

    def one(key: str) -> None:
        with suppress(FileNotFoundError):
            store.delete(key)

    try:
        store.delete(keys)
    except FileNotFoundError:
        # Not every store tells which one was missing, and the first that is missing ends the whole call.
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(one, keys))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
