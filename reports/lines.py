"""Lines of raw objects as tables: all at once when they are sound, else by halves until what is at fault is found.

How a session lies in `raw/` is the function's matter (`ingest.session`); here it is read back.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ingest.registry import Application
from reports import table

__all__ = ["Chunk", "Unreadable", "joined", "read", "schema"]

# A canonical line is at most a little longer than the largest body; pyarrow wants each line inside one block.
BLOCK_BYTES = 16 << 20
UUID = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z"
REQUIRED = ("sessionId", "userId", "sessionStartTime", "sessionEndTime", "ingestionTime", "applicationVersion")
# How the function begins each line.
BEGINNING = b'{"sessionId":"'


@dataclass(frozen=True)
class Unreadable:
    """What is set aside: a whole object (`line` None, copied as it lies) or the bytes of one line (counted from 1)."""

    key: str
    reason: str
    line: int | None = None
    content: bytes | None = None


@dataclass
class Chunk:
    """What raw objects hold. `rows` has the raw members as columns; `taken` are keys to delete after the commit."""

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


def read(expected: pa.Schema, application: str, contents: list[tuple[str, bytes]]) -> Chunk:
    """The sessions of some objects, each given by its key and its lines, and what is wrong with some of them."""
    reader = _Reader(expected, application)
    reader.objects(contents)
    reader.result.rows = pa.concat_tables([expected.empty_table(), *reader.sound])
    return reader.result


def joined(expected: pa.Schema, parts: list[Chunk]) -> Chunk:
    """Several chunks as one."""
    return Chunk(
        pa.concat_tables([expected.empty_table(), *(part.rows for part in parts)]),
        [key for part in parts for key in part.taken],
        [item for part in parts for item in part.unreadable],
        [key for part in parts for key in part.waiting],
        sum(part.waiting_sessions for part in parts),
    )


def _parse(content: bytes, expected: pa.Schema, application: str, unexpected: str = "error") -> pa.Table:
    """The lines as a table. Raises ValueError when any of them is not a session of this application."""
    if not content:
        return expected.empty_table()
    lines = content.count(b"\n")
    # pyarrow 26 ends the process, without an exception, at a line that is `null`. A longer text is found faster.
    if not any(content.startswith(first) and content.count(b"\n" + first) == lines - 1 for first in (BEGINNING, b"{")):
        raise ValueError("a line is not a JSON object")
    try:
        rows = pyarrow.json.read_json(
            pa.BufferReader(content),
            # In one thread: the slices of a chunk are parsed side by side, which costs less than to divide one.
            read_options=pyarrow.json.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
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
