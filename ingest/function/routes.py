"""The function: a request in, an answer out. It does no input or output itself. The caller passes in the storing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.function.answers import JSON, SECURITY, Answer, answer, error, refused, results
from ingest.function.batch import TooManyLines, check
from ingest.function.budget import Budget, Full, Hold
from ingest.function.document import SessionError
from ingest.function.group_commit import Group
from ingest.function.inflate import TooLarge, lines, pieces
from ingest.function.raw_object import Create, Unavailable, single
from ingest.function.registry import Application
from ingest.function.session_format import parse, timestamp
from ingest.function.settings import Settings

__all__ = ["NDJSON", "ROUTES", "Function", "Request", "utc_now"]

NDJSON = "application/x-ndjson"

ROUTES = {"/": ("GET",), "/ping": ("GET",), "/v1/sessions": ("PUT", "POST")}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. `headers` have lower-case names, and `path` has no query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def gzip(self) -> bool:
        """Whether the body is compressed."""
        return self.headers.get("content-encoding", "").strip().lower() == "gzip"


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


class Function:
    """Answers requests. `create` writes an object once (`raw_object.Create`); `warn` gets the reason of a failure."""

    def __init__(
        self,
        registry: Mapping[str, Application],
        create: Create,
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
        warn: Callable[[str], object] = lambda why: None,
    ) -> None:
        self.settings = settings
        self.budget = Budget(settings.max_flight_bytes)
        self._registry = registry
        self._create = create
        self._now = now
        self._warn = warn
        self._group = Group(create, settings, lambda: timestamp(now())) if settings.group_commit_ms else None
        # Only one batch at a time is inflated and checked, because it needs one core and memory.
        self._turn = asyncio.Lock()

    def body_limit(self, method: str) -> int:
        """How many bytes the body of a request to /v1/sessions may have, compressed or inflated."""
        return self.settings.batch_bytes if method == "POST" else self.settings.body_bytes

    def before_body(self, request: Request) -> Answer | None:
        """The answer to a request whose body need not be read, or None."""
        methods = ROUTES.get(request.path)
        if methods is None:
            return error(404, "Not found")
        if request.method not in methods:
            allowed = ", ".join(methods)
            return error(405, f"This endpoint only supports {allowed} requests", ("Allow", allowed))
        if request.path == "/":
            return Answer(204)
        if request.path == "/ping":
            return answer(200, b"pong", "text/plain; charset=utf-8")
        wanted = NDJSON if request.method == "POST" else JSON
        if not _is_type(request.headers.get("content-type", ""), wanted):
            return error(400, f"Content-Type must be '{wanted}'", refused=1)
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", "gzip", ""):
            return error(400, "Content-Encoding must be 'gzip', or absent", refused=1)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.body_limit(request.method)):
            return self.too_large(request.method)
        return None

    async def __call__(self, request: Request) -> Answer:
        """The answer to a request, after the store has confirmed it."""
        with self.budget.hold() as hold:
            try:
                hold.resize(len(request.body))
            except Full:
                return self.unavailable("Too many bytes at once")
            return self.before_body(request) or await self.with_body(request, request.body, hold)

    def with_body(self, request: Request, body: bytes, hold: Hold) -> Awaitable[Answer]:
        """The answer to a request that `before_body` let pass. `hold` is its part of the budget, at first for its
        body.
        """
        # Not a coroutine, which would keep the body until the store has confirmed.
        return (self._batch if request.method == "POST" else self._single)(body, request.gzip, hold)

    def too_large(self, method: str) -> Answer:
        """The answer to a body that is larger than its limit."""
        return error(413, f"Request body must have at most {self.body_limit(method)} bytes", refused=1)

    def unavailable(self, message: str = "Could not process request") -> Answer:
        """The answer if the function cannot accept a session now."""
        return error(503, message, ("Retry-After", str(self.settings.retry_after_seconds)), failed=1)

    async def _single(self, body: bytes, gzip: bool, hold: Hold) -> Answer:
        try:
            session = parse(self._whole(body, gzip, hold), self._registry, self._now(), self.settings)
            del body  # from here on, the request holds less and less
            hold.resize(session.size)
            if self._group is not None:
                created = await self._group.keep(session)
            else:
                key, data = single(session, timestamp(self._now()))
                del session
                hold.resize(len(data))
                created = await self._create(key, data)
        except SessionError as why:
            return refused(why, self.settings.session_faults)
        except TooLarge:
            return self.too_large("PUT")
        except Full:
            return self.unavailable("Too many bytes at once")
        except Unavailable as why:
            self._warn(str(why))
            return self.unavailable()
        return Answer(201, (*SECURITY, ("Content-Length", "0")), stored=1) if created else Answer(304, stored=1)

    def _whole(self, body: bytes, gzip: bool, hold: Hold) -> bytes:
        if not gzip and len(body) <= self.settings.body_bytes:
            return body
        found = []
        size = hold.size
        for piece in pieces(body, gzip=gzip, limit=self.settings.body_bytes):
            size += len(piece)
            hold.resize(size)
            found.append(piece)
        return b"".join(found)

    async def _batch(self, body: bytes, gzip: bool, hold: Hold) -> Answer:
        try:
            async with asyncio.timeout(self.settings.batch_wait_seconds):
                await self._turn.acquire()
        except TimeoutError:
            return self.unavailable("Too many batches at once")
        try:
            content = pieces(body, gzip=gzip, limit=self.settings.batch_bytes)
            found = lines(content, self.settings.body_bytes)
            checked = await check(found, self._registry, self._now(), self.settings, hold)
            del body, content, found
            objects = await checked.objects(timestamp(self._now()))
            # From here on only compressed bytes are held.
            hold.resize(sum(len(data) for _, data, _ in objects))
        except SessionError as why:
            return refused(why, self.settings.session_faults)
        except TooLarge:
            return self.too_large("POST")
        except TooManyLines:
            fault = {"key": "lines", "type": "maxItems"}
            fault["message"] = f"lines must have at most {self.settings.batch_lines} entries"
            return refused(SessionError("Request body has validation errors", [fault]), 1)
        except Full:
            return self.unavailable("Too many bytes at once")
        finally:
            self._turn.release()
        await asyncio.gather(*(self._store(*one) for one in objects))
        checked.answer_repeats()
        waits = any(result["status"] == 503 for result in checked.results)
        retry = [("Retry-After", str(self.settings.retry_after_seconds))] if waits else []
        return results(checked.results, self.settings.answer_bytes, *retry)

    async def _store(self, key: str, data: bytes, members: list[dict[str, Any]]) -> None:
        try:
            created = await self._create(key, data)
        except Unavailable as why:
            self._warn(str(why))
            for result in members:
                result["status"], result["error"] = 503, {"message": "Could not process request"}
        else:
            for result in members:
                result["status"] = 201 if created else 304


def _is_type(header: str, wanted: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    return kind == wanted and all(part in ("", "charset=utf-8", 'charset="utf-8"') for part in parameters)
