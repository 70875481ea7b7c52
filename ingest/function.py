"""The function: a request in, an answer out. It does no input or output of its own; storing is passed in."""

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.raw import Create, Unavailable, batch, single
from ingest.registry import Application
from ingest.session import Session, SessionError, parse, timestamp
from ingest.settings import Settings
from ingest.store import Group

__all__ = ["Answer", "Function", "Request", "utc_now"]

JSON = "application/json"
NDJSON = "application/x-ndjson"

SECURITY = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Strict-Transport-Security", "max-age=31536000"),
)
ROUTES = {"/": ("GET",), "/ping": ("GET",), "/v1/sessions": ("PUT", "POST")}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. `headers` have lower-case names; `path` is without the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, with every header that it needs."""

    status: int
    headers: tuple[tuple[str, str], ...] = SECURITY
    body: bytes = b""


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


class Function:
    """Answers requests. `create` writes an object once (`ingest.raw.Create`); `warn` is told why it could not."""

    def __init__(
        self,
        registry: Mapping[str, Application],
        create: Create,
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
        warn: Callable[[str], object] = lambda why: None,
    ) -> None:
        self.settings = settings
        self._registry = registry
        self._create = create
        self._now = now
        self._warn = warn
        self._keep = self._keep_single
        if settings.group_commit_ms:
            self._keep = Group(create, settings, lambda: timestamp(now())).keep

    def body_limit(self, method: str) -> int:
        """How many bytes the body of a request to /v1/sessions may have, inflated or not."""
        return self.settings.batch_bytes if method == "POST" else self.settings.body_bytes

    def before_body(self, request: Request) -> Answer | None:
        """The answer to a request whose body need not be read, or None."""
        methods = ROUTES.get(request.path)
        if methods is None:
            return _error(404, "Not found")
        if request.method not in methods:
            allowed = ", ".join(methods)
            return _error(405, f"This endpoint only supports {allowed} requests", ("Allow", allowed))
        if request.path == "/":
            return Answer(204)
        if request.path == "/ping":
            return _answer(200, b"pong", "text/plain; charset=utf-8")
        wanted = NDJSON if request.method == "POST" else JSON
        if not _is_type(request.headers.get("content-type", ""), wanted):
            return _error(400, f"Content-Type must be '{wanted}'")
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", "gzip", ""):
            return _error(400, "Content-Encoding must be 'gzip', or absent")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.body_limit(request.method)):
            return self.too_large(request.method)
        return None

    async def __call__(self, request: Request) -> Answer:
        """The answer to a request, after the store confirmed what it says."""
        return self.before_body(request) or await self.with_body(request)

    async def with_body(self, request: Request) -> Answer:
        """The answer to a request that `before_body` let pass."""
        limit = self.body_limit(request.method)
        try:
            body = request.body
            if request.headers.get("content-encoding", "").strip().lower() == "gzip":
                body = _inflate(body, limit)
        except SessionError as error:
            return _refusal(error)
        if len(body) > limit:
            return self.too_large(request.method)
        return await (self._batch(body) if request.method == "POST" else self._single(body))

    def too_large(self, method: str) -> Answer:
        """The answer to a body that is larger than its limit."""
        return _error(413, f"Request body must have at most {self.body_limit(method)} bytes")

    def error(self, status: int, message: str) -> Answer:
        """An answer that says what is wrong."""
        return _error(status, message)

    def unavailable(self, message: str = "Could not process request") -> Answer:
        """The answer when a session cannot be taken now."""
        return _error(503, message, ("Retry-After", str(self.settings.retry_after_seconds)))

    async def _single(self, body: bytes) -> Answer:
        try:
            session = parse(body, self._registry, self._now(), self.settings)
        except SessionError as error:
            return _refusal(error)
        del body  # parsed; it need not be held while the store takes its time
        try:
            created = await self._keep(session)
        except Unavailable as error:
            self._warn(str(error))
            return self.unavailable()
        return Answer(201, (*SECURITY, ("Content-Length", "0"))) if created else Answer(304)

    async def _keep_single(self, session: Session) -> bool:
        return await self._create(*single(session, timestamp(self._now())))

    async def _batch(self, body: bytes) -> Answer:
        lines = body.split(b"\n", self.settings.batch_lines + 1)
        del body
        if len(lines) > self.settings.batch_lines + 1 or (len(lines) > self.settings.batch_lines and lines[-1].strip()):
            limit = self.settings.batch_lines
            fault = {"key": "lines", "type": "maxItems", "message": f"lines must have at most {limit} entries"}
            return _error(400, "Request body has validation errors", faults=[fault])
        results: list[dict[str, Any]] = []
        firsts: dict[str, dict[str, tuple[Session, dict[str, Any]]]] = {}
        repeats: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for number, line in enumerate(lines, 1):
            if not line.strip(b" \t\r"):
                continue
            if number % 50 == 0:
                await asyncio.sleep(0)  # others' requests are small, and should not wait for this one
            result: dict[str, Any] = {"line": number, "sessionId": None}
            results.append(result)
            if len(line) > self.settings.body_bytes:
                _fill(result, self.too_large("PUT"))
                continue
            try:
                session = parse(line, self._registry, self._now(), self.settings)
            except SessionError as error:
                _fill(result, _refusal(error))
                continue
            result["sessionId"] = session.id
            known = firsts.setdefault(session.application, {})
            if session.id in known:
                repeats.append((result, known[session.id][1]))
            else:
                known[session.id] = session, result
        del lines
        ingestion = timestamp(self._now())
        objects = [
            (batch([session for session, _ in known.values()], ingestion), [result for _, result in known.values()])
            for known in firsts.values()
        ]
        del firsts  # from here on only compressed bytes are held
        await asyncio.gather(*(self._store_batch(key, data, members) for (key, data), members in objects))
        for result, first in repeats:
            # The first of two is stored, so the second finds it there.
            result |= {key: first[key] for key in ("status", "error") if key in first}
            result["status"] = 304 if first["status"] == 201 else first["status"]
        return self._results(results)

    async def _store_batch(self, key: str, data: bytes, results: list[dict[str, Any]]) -> None:
        try:
            status = 201 if await self._create(key, data) else 304
        except Unavailable as error:
            self._warn(str(error))
            for result in results:
                _fill(result, self.unavailable())
        else:
            for result in results:
                result["status"] = status

    def _results(self, results: list[dict[str, Any]]) -> Answer:
        statuses = {result["status"] for result in results}
        body: dict[str, Any] = {"results": results}
        status = 200
        if statuses == {410}:
            # A client that looks at nothing else should stop, too.
            status, body = 410, {"message": results[0]["error"]["message"]} | body
        more = [("Retry-After", str(self.settings.retry_after_seconds))] if 503 in statuses else []
        return _answer(status, _dump(body), JSON, *more)


def _is_type(header: str, wanted: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    return kind == wanted and all(part in ("", "charset=utf-8", 'charset="utf-8"') for part in parameters)


def _inflate(body: bytes, limit: int) -> bytes:
    """The content of one gzip member, but of at most one byte more than the limit."""
    stream = zlib.decompressobj(wbits=31)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        raise SessionError("Request body is not valid: not gzip, though Content-Encoding says so") from None
    if len(data) > limit:
        return data
    if not stream.eof:
        raise SessionError("Request body is not valid: the gzip stream ends early")
    if stream.unused_data:
        raise SessionError("Request body is not valid: there are bytes after the gzip stream")
    return data


def _refusal(error: SessionError) -> Answer:
    return _error(410 if error.retired else 400, error.message, faults=error.faults)


def _fill(result: dict[str, Any], answer: Answer) -> None:
    result["status"] = answer.status
    result["error"] = json.loads(answer.body)


def _error(status: int, message: str, *headers: tuple[str, str], faults: list[dict[str, Any]] | None = None) -> Answer:
    body: dict[str, Any] = {"message": message}
    if faults:
        body["validationErrors"] = faults
    return _answer(status, _dump(body), JSON, *headers)


def _answer(status: int, body: bytes, content_type: str, *headers: tuple[str, str]) -> Answer:
    length = ("Content-Length", str(len(body)))
    return Answer(status, (*SECURITY, ("Content-Type", content_type), length, *headers), body)


def _dump(value: object) -> bytes:
    # ASCII, because an invalid value that is echoed may hold half a surrogate pair.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
