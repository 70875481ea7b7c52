"""Raw objects: list them in chunks, fetch many at once, parse them together, set aside what cannot be read.

How a session lies in `raw/` is the function's matter (`ingest.session`); here it is read back.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from obstore.store import LocalStore, ObjectStore

from ingest.registry import Application
from reports import table

__all__ = ["Chunk", "RawObject", "Unreadable", "applications", "chunks", "quarantine", "read"]

PREFIX = "raw/v1/"
CHUNK_OBJECTS = 50_000
CHUNK_BYTES = 16 << 20
OBJECT_BYTES = 64 << 20
INFLATED_BYTES = 256 << 20
# A canonical line is at most a little longer than the largest body; pyarrow wants each line inside one block.
BLOCK_BYTES = 16 << 20
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
    found = obstore.list_with_delimiter(store, PREFIX)["common_prefixes"]
    return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found)


def chunks(store: ObjectStore, application: str) -> Iterator[list[RawObject]]:
    """The raw objects of an application as they are listed now, in chunks that fit in memory."""
    chunk: list[RawObject] = []
    size = 0
    for page in obstore.list(store, f"{PREFIX}{application}/", chunk_size=1000):
        for meta in page:
            if chunk and (len(chunk) == CHUNK_OBJECTS or size + meta["size"] > CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(RawObject(meta["path"], meta["size"]))
            size += min(meta["size"], OBJECT_BYTES)
    if chunk:
        yield chunk


def read(store: ObjectStore, application: Application, objects: list[RawObject]) -> Chunk:
    """Fetches and parses a chunk: all of it as one when it is sound, else object by object and line by line."""
    expected = schema(application)
    result = Chunk(rows=expected.empty_table())
    contents: dict[str, bytes] = {}
    for item, content in zip(objects, _fetch_all(store, objects), strict=True):
        if isinstance(content, Unreadable):
            result.unreadable.append(content)
            result.taken.append(item.key)
        elif content is not None:
            contents[item.key] = content
    try:
        result.rows = _parse(b"".join(contents.values()), expected, application.id)
        result.taken += contents
    except ValueError:
        _read_one_by_one(contents, expected, application.id, result)
    return result


def _fetch_all(store: ObjectStore, objects: list[RawObject]) -> Iterator[bytes | Unreadable | None]:
    """The lines of each object, in order, many fetched at once."""
    # Blocking calls in a few threads beat the async ones on local files; a network wants more requests in flight.
    workers = 4 if isinstance(store, LocalStore) else 64
    # A task for each object would cost more than a small object's fetch.
    size = max(1, min(100, len(objects) // workers))
    slices = [objects[at : at + size] for at in range(0, len(objects), size)]
    with ThreadPoolExecutor(workers) as threads:
        for part in threads.map(lambda items: [_fetch(store, item) for item in items], slices):
            yield from part


def _fetch(store: ObjectStore, item: RawObject) -> bytes | Unreadable | None:
    """The lines of an object, what is wrong with it, or None when another run has taken it meanwhile."""
    if item.bytes > OBJECT_BYTES:
        return Unreadable(item.key, f"{item.bytes} bytes is more than a raw object can have ({OBJECT_BYTES})")
    try:
        packed = bytes(obstore.get(store, item.key).bytes())
    except FileNotFoundError:
        return None
    try:
        content = _inflate(packed)
    except (ValueError, zlib.error) as error:
        return Unreadable(item.key, f"not gzip: {error}")
    if not content.endswith(b"\n"):
        return Unreadable(item.key, "its last line does not end; it was cut off or is empty")
    return content


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
    rows = pyarrow.json.read_json(
        pa.BufferReader(content),
        read_options=pyarrow.json.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=expected, unexpected_field_behavior=unexpected),
    )
    # A line that was cut off can swallow its neighbour without an error.
    lines = content.count(b"\n")
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


def _read_one_by_one(contents: dict[str, bytes], expected: pa.Schema, application: str, result: Chunk) -> None:
    """The slow path, when something in a chunk is unsound: finds the object, then the line at fault."""
    sound: list[pa.Table] = []
    for key, content in contents.items():
        try:
            sound.append(_parse(content, expected, application))
            result.taken.append(key)
            continue
        except ValueError:
            pass
        lines = content.splitlines(keepends=True)
        judged = [_judge(line, expected, application) for line in lines]
        if any(isinstance(rows, _Unknown) for rows in judged):
            # A newer registry will read it; the whole object waits, so that its sessions are still counted once.
            result.waiting.append(key)
            result.waiting_sessions += len(lines)
            continue
        for number, (line, rows) in enumerate(zip(lines, judged, strict=True), 1):
            if isinstance(rows, str):
                result.unreadable.append(Unreadable(key, rows, number, line))
            else:
                sound.append(rows)
        result.taken.append(key)
    result.rows = pa.concat_tables([expected.empty_table(), *sound])


class _Unknown:
    """A line that is sound but for members that this registry does not declare."""


def _judge(line: bytes, expected: pa.Schema, application: str) -> "pa.Table | _Unknown | str":
    try:
        json.loads(line)
        return _parse(line, expected, application)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    try:
        _parse(line, expected, application, unexpected="ignore")
    except ValueError:
        return reason
    return _Unknown()


def quarantine(store: ObjectStore, unreadable: Iterable[Unreadable], run: str) -> None:
    """Sets aside, byte for byte and with the reason beside it. Doing it again changes nothing but the note's time."""
    for item in unreadable:
        name = "quarantine/" + item.key + ("" if item.line is None else f".line-{item.line}")
        if item.content is None:
            obstore.copy(store, item.key, name)
        else:
            obstore.put(store, name, item.content)
        note = {"key": item.key, "line": item.line, "reason": item.reason, "run": run, "time": _now()}
        obstore.put(store, f"{name}.reason.json", json.dumps(note, indent=1).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
