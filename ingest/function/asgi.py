"""The HTTP edge: reads bodies within limits, refuses excess requests, and logs."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingest.function import registry
from ingest.function.answers import Answer, error
from ingest.function.bucket_url import open_bucket
from ingest.function.budget import Full, Hold
from ingest.function.routes import ROUTES, Function, Request
from ingest.function.settings import Settings
from ingest.function.store import creator

__all__ = ["App", "application"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
LAST_SECOND = 1.0  # for bodies that are still arriving when the process must stop


class App:
    """The ASGI application around a `Function`. `log` takes a line of JSON for each request."""

    def __init__(self, function: Function, log: Callable[[str], object] | None = None) -> None:
        self.function = function
        self.settings = function.settings
        self.log = log
        self.working = 0  # unanswered requests with a complete body
        self._arriving: set[asyncio.Timeout] = set()  # how long incomplete bodies may take
        self._stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # as ASGI requires from an application without a lifespan
        begin = time.perf_counter()
        exchange = _Exchange(scope, receive)
        with self.function.budget.hold() as hold:
            try:
                answer = await self.answer(exchange, hold)
            except Exception as bug:
                answer = Answer(500, failed=1)
                self.write(severity="ERROR", message="bug: " + _where(bug))
            hold.settle(len(answer.body))
            headers = list(_encoded(answer.headers))
            if exchange.broken:
                headers.append((b"connection", b"close"))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})
        if self.log is not None:
            self.write_request(exchange, answer, time.perf_counter() - begin)

    def write_request(self, exchange: "_Exchange", answer: Answer, seconds: float) -> None:
        """Writes a request's line. For sessions, the line counts those that were stored, refused, or could not be
        stored.
        """
        method, path = exchange.request.method, exchange.request.path
        sessions = {"stored": answer.stored, "refused": answer.refused, "failed": answer.failed}
        self.write(
            severity="INFO" if answer.status < 400 else "WARNING" if answer.status < 500 else "ERROR",
            method=method if method in METHODS else "other",
            route=path if path in ROUTES else "other",
            status=answer.status,
            **(sessions if path == "/v1/sessions" and method in ROUTES[path] else {}),
            ms=round(seconds * 1000, 2),
            bytes=exchange.received,
        )

    def write(self, **fields: object) -> None:
        """Writes a line to the log, if there is one."""
        if self.log is not None:
            self.log(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}) + "\n")

    def stop(self) -> None:
        """Stops waiting for bodies; complete requests are answered."""
        self._stopping = True
        for patience in self._arriving:
            if not patience.expired():
                self._shorten(patience)

    def _shorten(self, patience: asyncio.Timeout) -> None:
        last = asyncio.get_running_loop().time() + LAST_SECOND
        patience.reschedule(min(patience.when() or last, last))

    async def answer(self, exchange: "_Exchange", hold: Hold) -> Answer:
        request = exchange.request
        answer = self.function.before_body(request)
        try:
            async with asyncio.timeout(self.settings.stall_seconds) as patience:
                self._arriving.add(patience)
                if self._stopping:
                    self._shorten(patience)
                try:
                    if answer is not None:
                        await self.discard(exchange, patience)
                        return answer
                    body = await self.read(exchange, patience, hold)
                finally:
                    self._arriving.discard(patience)
        except TimeoutError:
            exchange.broken = True
            return answer or error(408, "Request body took too long")
        if isinstance(body, Answer):
            return body
        if self.working >= self.settings.max_requests:
            return self.function.unavailable("Too many requests at once")
        self.working += 1
        work = self.function.with_body(request, body, hold)
        del body
        try:
            return await work
        finally:
            self.working -= 1

    async def read(self, exchange: "_Exchange", patience: asyncio.Timeout, hold: Hold) -> bytes | Answer:
        """The body, or the answer to a body that cannot be accepted."""
        limit = self.function.body_limit(exchange.request.method)
        chunks: list[bytes] = []
        while not exchange.ended:
            chunk = await self.next(exchange, patience)
            if exchange.received > limit:
                chunks.clear()
                await self.discard(exchange, patience)
                return self.function.too_large(exchange.request.method)
            try:
                hold.resize(exchange.received, arriving=not exchange.ended)
            except Full:
                chunks.clear()
                hold.resize(0)
                await self.discard(exchange, patience)
                return self.function.unavailable("Too many bytes at once")
            chunks.append(chunk)
        if exchange.gone:
            # The body has no end: the client hung up or closed its side, or sent a malformed chunk.
            exchange.broken = True
            return error(400, "Request body is not valid: it ends early, or its chunks are malformed")
        return b"".join(chunks)

    async def discard(self, exchange: "_Exchange", patience: asyncio.Timeout) -> None:
        """Reads and drops more bytes for a while, because a client that is still sending when we close might not see
        the answer.
        """
        if not exchange.has_body:
            return
        limit = exchange.received + self.settings.batch_bytes * 2
        while not exchange.ended and exchange.received < limit:
            await self.next(exchange, patience)
        exchange.broken = exchange.gone or not exchange.ended

    async def next(self, exchange: "_Exchange", patience: asyncio.Timeout) -> bytes:
        """The next bytes of the body. `patience` ends if they arrive below the minimum rate."""
        chunk = await exchange.next()
        settings = self.settings
        if not self._stopping and exchange.received - exchange.marked >= settings.stall_seconds * settings.body_rate:
            exchange.marked = exchange.received
            now = asyncio.get_running_loop().time()
            patience.reschedule(min(now + settings.stall_seconds, exchange.begin + settings.request_seconds))
        return chunk


class _Exchange:
    """The state of an incoming request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.request = Request(scope["method"], scope["path"], headers)
        # A client that asks first need not send a body that nobody reads.
        self.has_body = "expect" not in headers and headers.get("content-length", "0") != "0"
        self.has_body |= "transfer-encoding" in headers
        length = headers.get("content-length", "")
        chunked = "transfer-encoding" in headers  # which counts if both are given
        self.length = int(length) if length.isdecimal() and len(length) <= 18 and not chunked else -1
        self.begin = asyncio.get_running_loop().time()
        self.received = 0  # bytes
        self.marked = 0  # bytes at the time of the last deadline
        self.ended = False  # nothing more will come
        self.gone = False  # and the end was missing
        self.broken = False  # the connection cannot be used again
        self._receive = receive

    async def next(self) -> bytes:
        """The next bytes of the body."""
        message = await self._receive()
        self.gone = message["type"] == "http.disconnect"
        chunk: bytes = message.get("body", b"")
        self.received += len(chunk)
        self.ended = self.gone or self.received == self.length or not message.get("more_body", False)
        return chunk


@lru_cache(maxsize=64)
def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def _where(error: Exception) -> str:
    # Only the type and the line, because the text of an error may contain what was sent.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return type(error).__name__ + place


def application(bucket: str, settings: Settings, write: Callable[[str], object]) -> App:
    """The application for a bucket, with the local registry. `write` takes its log lines.

    Raises `BucketError` and `RegistryError`.
    """

    def warn(why: str) -> None:
        app.write(severity="ERROR", message=f"the store did not confirm: {why}")

    store = open_bucket(bucket, retries=False)
    app = App(Function(registry.load(), creator(store, settings), settings, warn=warn), write if settings.log else None)
    return app
