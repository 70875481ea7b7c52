"""Turns the lines of raw objects into tables: all at once if they are valid, else in halves until the faulty ones are
found.

The function (`ingest.function.session_format`) defines the format of a session in `raw/`, and this module reads it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ingest.function.registry import Application
from reports.blocks.format import plural
from reports.storage import table
from reports.storage.misfits import fitted

__all__ = ["Chunk", "Unreadable", "joined", "read", "schema"]

# A canonical line is at most a little longer than the largest body. pyarrow needs each line inside one block.
BLOCK_BYTES = 16 << 20
UUID = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z"
REQUIRED = ("sessionId", "userId", "sessionStartTime", "sessionEndTime", "ingestionTime", "applicationVersion")
# pyarrow's message about a member that is not in the schema.
UNEXPECTED = "unexpected field"
# The beginning of each line that the function writes.
BEGINNING = b'{"sessionId":"'


@dataclass(frozen=True)
class Unreadable:
    """One for quarantine: a whole object (`line` is None, copied unchanged) or the bytes of one line (counted from
    1).
    """

    key: str
    reason: str
    line: int | None = None
    content: bytes | None = None


@dataclass
class Chunk:
    """What raw objects hold. `rows` has the raw members as columns. `taken` are keys to delete after the commit.
    `waiting` are keys that wait for another registry, each with its number of sessions.
    """

    rows: pa.Table
    taken: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)


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
    """The sessions of some objects, given by key and lines, and what is wrong with some of them."""
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
        {key: sessions for part in parts for key, sessions in part.waiting.items()},
    )


def _parse(content: bytes, expected: pa.Schema, application: str, unexpected: str = "error") -> pa.Table:
    """The lines as a table. Raises ValueError if any of them is not a session of this application."""
    if not content:
        return expected.empty_table()
    lines = content.count(b"\n")
    # pyarrow 26 ends the process, without an exception, at a line that is `null`. Searching for a longer text is
    # faster.
    if not any(content.startswith(first) and content.count(b"\n" + first) == lines - 1 for first in (BEGINNING, b"{")):
        raise ValueError("a line is not a JSON object")
    try:
        rows = pyarrow.json.read_json(
            pa.BufferReader(content),
            # In one thread, because slices of a chunk are parsed in parallel, which costs less than dividing one.
            read_options=pyarrow.json.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=expected, unexpected_field_behavior=unexpected),
        )
        rows.validate(full=True)  # this is the only check of UTF-8: DuckDB and Parquet would accept broken text
    except pa.ArrowException as error:
        raise ValueError(str(error).strip()) from None
    # A line that was cut off can include the next line without an error.
    if rows.num_rows != lines:
        raise ValueError(f"{plural(lines, 'line')} gave {plural(rows.num_rows, 'session')}")
    for name in REQUIRED:
        if rows[name].null_count:
            raise ValueError(f"{name} is missing")
    if not pc.all(pc.match_substring_regex(rows["sessionId"], UUID)).as_py():
        raise ValueError("sessionId is not a UUID")
    if not pc.all(pc.fill_null(pc.equal(rows["applicationId"], application), False)).as_py():
        raise ValueError(f"applicationId is not {application!r}")
    return rows


class _Reader:
    """Separates valid from faulty lines: all at once, else in halves, so that one bad line costs little."""

    def __init__(self, expected: pa.Schema, application: str) -> None:
        self.expected = expected
        self.application = application
        self.sound: list[pa.Table] = []
        self.result = Chunk(rows=expected.empty_table())

    def objects(self, contents: list[tuple[str, bytes]]) -> None:
        """Reads objects, each with its key."""
        try:
            self.sound.append(self.fitted([content for _, content in contents]))
            self.result.taken += [key for key, _ in contents]
        except ValueError:
            if len(contents) > 1:
                half = len(contents) // 2
                self.objects(contents[:half])
                self.objects(contents[half:])
            else:
                self.object(*contents[0])

    def object(self, key: str, content: bytes) -> None:
        """Reads an object with a faulty line."""
        lines = list(enumerate(BytesIO(content), 1))
        judged = list(self.lines(lines))
        if any(found is None for _, found in judged):
            # Another registry can read it. The whole object waits, so that its sessions still count once.
            self.result.waiting[key] = len(lines)
            return
        for number, found in judged:
            if isinstance(found, str):
                self.result.unreadable.append(Unreadable(key, found, number, lines[number - 1][1]))
            else:
                self.sound.append(found)
        self.result.taken.append(key)

    def lines(self, lines: list[tuple[int, bytes]]) -> "Iterator[tuple[int, pa.Table | str | None]]":
        """Numbered lines as tables of one or more lines, or what is wrong with a line. None if it only needs another
        registry.
        """
        try:
            yield lines[0][0], self.fitted([line for _, line in lines])
        except ValueError as error:
            if len(lines) > 1:
                half = len(lines) // 2
                yield from self.lines(lines[:half])
                yield from self.lines(lines[half:])
            else:
                yield lines[0][0], self.fault(lines[0][1], str(error))

    def fitted(self, contents: list[bytes]) -> pa.Table:
        """The lines of all contents, with null for a value of another type than declared. Raises ValueError."""
        try:
            return self.parse(contents)
        except ValueError as error:
            if UNEXPECTED in str(error):
                raise
            made = [b"".join(fitted(line, self.expected) for line in BytesIO(content)) for content in contents]
            if made == contents:
                raise
            return self.parse(made)

    def parse(self, contents: list[bytes], unexpected: str = "error") -> pa.Table:
        """The lines of all contents as one table; raises ValueError."""
        # A chunk with a correct end is not changed, so that valid chunks are joined and not copied twice.
        ended = [content if content.endswith(b"\n") else content + b"\n" for content in contents]
        return _parse(b"".join(ended), self.expected, self.application, unexpected)

    def fault(self, line: bytes, reason: str) -> str | None:
        """What is wrong with a line that did not parse. None if it only has members that another registry may
        declare.
        """
        try:
            json.loads(line)
            self.parse([fitted(line, self.expected)], unexpected="ignore")
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return str(error)
        return None if UNEXPECTED in reason else reason
