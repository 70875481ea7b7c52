"""A batch: checks its lines one after the other, in turns with other requests, and builds the objects to store."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.function.answers import refusal
from ingest.function.budget import Hold
from ingest.function.document import SessionError
from ingest.function.raw_object import batch
from ingest.function.registry import Application
from ingest.function.session_format import Session, parse
from ingest.function.settings import Settings

__all__ = ["Checked", "TooManyLines", "check"]

# After so many bytes of work, other requests have a turn. Each line counts as a minimum of work.
TURN = 64 << 10
LINE = 1 << 10


class TooManyLines(Exception):
    """Raised for more lines than a batch may have."""


@dataclass
class Checked:
    """The results of the lines. `new` are the sessions to store, by application and id, each with its line's result."""

    results: list[dict[str, Any]] = field(default_factory=list)
    new: dict[str, dict[str, tuple[Session, dict[str, Any]]]] = field(default_factory=dict)
    repeats: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    async def objects(self, ingestion: str) -> list[tuple[str, bytes, list[dict[str, Any]]]]:
        """The key and the bytes of the object of each application, and its lines' results. Gives the sessions away."""
        made = []
        while self.new:
            _, members = self.new.popitem()
            sessions = [session for session, _ in members.values()]
            # In a thread, because Python can handle other requests during hashing and compression.
            key, data = await asyncio.to_thread(batch, sessions, ingestion)
            made.append((key, data, [result for _, result in members.values()]))
        return made

    def answer_repeats(self) -> None:
        """Answers lines with a session that came earlier in the batch."""
        for result, first in self.repeats:
            # The first of two is stored, so the second one is stored already.
            result |= {key: first[key] for key in ("status", "error") if key in first}
            result["status"] = 304 if first["status"] == 201 else first["status"]


async def check(
    lines: Iterator[bytes | None],
    registry: Mapping[str, Application],
    now: datetime,
    settings: Settings,
    hold: Hold,
) -> Checked:
    """Judges each line alone. Raises `TooManyLines`, `budget.Full`, and the errors of reading lines."""
    checked = Checked()
    listed = 0  # faults
    kept = hold.size
    since = 0
    for number, line in enumerate(lines, 1):
        since += LINE + len(line or b"")
        if since >= TURN:
            since = 0
            await asyncio.sleep(0)
        blank = line is not None and not line.strip(b" \t\r")
        if number > settings.batch_lines * (2 if blank else 1):
            raise TooManyLines
        if blank:
            continue
        result: dict[str, Any] = {"line": number, "sessionId": None}
        checked.results.append(result)
        if line is None:
            result["status"] = 413
            result["error"] = {"message": f"Request body must have at most {settings.body_bytes} bytes"}
            continue
        try:
            session = parse(line, registry, now, settings)
        except SessionError as error:
            most = min(settings.session_faults, settings.batch_faults - listed)
            listed += min(error.count, most)
            result["status"], result["error"] = refusal(error, most)
            continue
        result["sessionId"] = session.id
        members = checked.new.setdefault(session.application, {})
        if session.id in members:
            checked.repeats.append((result, members[session.id][1]))
        else:
            members[session.id] = session, result
            kept += session.size
            hold.resize(kept)
    return checked
