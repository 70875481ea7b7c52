"""The HTTP edge: reads bodies within limits, sheds what is too much, logs, and serves until told to stop."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingest import registry
from ingest.bucket import open_bucket
from ingest.function import ROUTES, Answer, Function, Request
from ingest.settings import Settings, from_environment
from ingest.store import creator

__all__ = ["App", "application", "serve"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class App:
    """The ASGI application around a `Function`. `log` takes a JSON line a request."""

    def __init__(self, function: Function, log: Callable[[str], object] | None = None) -> None:
        self.function = function
        self.settings = function.settings
        self.log = log
        self.requests = 0  # being answered now
        self.held = 0  # bytes of their bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # as the standard asks of an application without a lifespan
        begin = time.perf_counter()
        exchange = _Exchange(scope, receive)
        self.requests += 1
        try:
            answer = await self.answer(exchange)
        except Exception as error:
            answer = Answer(500)
            self.write(severity="ERROR", message="bug: " + _where(error))
        finally:
            self.requests -= 1
            self.held -= exchange.held
        if answer is None:
            return  # the client is gone
        headers = list(_encoded(answer.headers))
        if exchange.broken:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        request = exchange.request
        self.write(
            severity="INFO" if answer.status < 400 else "WARNING" if answer.status < 500 else "ERROR",
            method=request.method if request.method in METHODS else "other",
            route=request.path if request.path in ROUTES else "other",
            status=answer.status,
            ms=round((time.perf_counter() - begin) * 1000, 2),
            bytes=exchange.received,
        )

    def write(self, **fields: object) -> None:
        """Writes a line to the log, if there is one."""
        if self.log is not None:
            self.log(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}) + "\n")

    async def answer(self, exchange: "_Exchange") -> Answer | None:
        request = exchange.request
        answer = self.function.before_body(request)
        if answer is None and self.requests > self.settings.max_requests:
            answer = self.function.unavailable("Too many requests at once")
        try:
            async with asyncio.timeout(self.settings.stall_seconds) as patience:
                if answer is not None:
                    await self.discard(exchange, patience)
                    return answer
                body = await self.read(exchange, patience, self.function.body_limit(request.method))
        except TimeoutError:
            exchange.broken = True
            return answer or self.function.error(408, "Request body took too long")
        if not isinstance(body, bytes):
            return body
        return await self.function.with_body(Request(request.method, request.path, request.headers, body))

    async def read(self, exchange: "_Exchange", patience: asyncio.Timeout, limit: int) -> bytes | Answer | None:
        """The body; or the answer to one that cannot be taken; or None when the client hung up."""
        chunks: list[bytes] = []
        while not exchange.ended:
            chunk = await exchange.next(patience, self.settings)
            exchange.held += len(chunk)
            self.held += len(chunk)
            if exchange.received > limit or self.held > self.settings.max_flight_bytes:
                chunks.clear()
                full = exchange.received <= limit
                await self.discard(exchange, patience)
                if full:
                    return self.function.unavailable("Too many bytes at once")
                return self.function.too_large(exchange.request.method)
            chunks.append(chunk)
        return None if exchange.gone else b"".join(chunks)

    async def discard(self, exchange: "_Exchange", patience: asyncio.Timeout) -> None:
        """Reads on for a while without keeping: who is still sending when we close might never see the answer."""
        if not exchange.has_body:
            return
        limit = exchange.received + self.settings.batch_bytes * 2
        while not exchange.ended and exchange.received < limit:
            await exchange.next(patience, self.settings)
        exchange.broken = not exchange.ended


class _Exchange:
    """One request as it comes in."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.request = Request(scope["method"], scope["path"], headers)
        # Who asks before sending is not made to send what nobody will read.
        self.has_body = "expect" not in headers and headers.get("content-length", "0") != "0"
        self.has_body |= "transfer-encoding" in headers
        length = headers.get("content-length", "")
        chunked = "transfer-encoding" in headers  # which counts, where both are given
        self.length = int(length) if length.isdecimal() and len(length) <= 18 and not chunked else -1
        self.begin = asyncio.get_running_loop().time()
        self.received = 0
        self.held = 0
        self.ended = False  # nothing more will come
        self.gone = False  # because the client hung up
        self.broken = False  # we stopped listening: the connection cannot be used again
        self._receive = receive

    async def next(self, patience: asyncio.Timeout, settings: Settings) -> bytes:
        """The next bytes of the body. `patience` runs out when none come, or when they come in drips."""
        message = await self._receive()
        self.gone = message["type"] == "http.disconnect"
        chunk: bytes = message.get("body", b"")
        self.received += len(chunk)
        self.ended = self.gone or self.received == self.length or not message.get("more_body", False)
        if not self.ended:
            now = asyncio.get_running_loop().time()
            patience.reschedule(min(now + settings.stall_seconds, self.begin + settings.request_seconds))
        return chunk


@lru_cache(maxsize=64)
def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def _where(error: Exception) -> str:
    # The type and the line only: an error's own text may hold what was sent.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return type(error).__name__ + place


def application(bucket: str, settings: Settings, write: Callable[[str], object]) -> App:
    """The application over a bucket, with the registry of this place. `write` takes its log lines.

    Raises `BucketError` and `RegistryError`.
    """

    def warn(why: str) -> None:
        app.write(severity="ERROR", message=f"the store did not confirm: {why}")

    store = open_bucket(bucket, retries=False)
    app = App(Function(registry.load(), creator(store, settings), settings, warn=warn), write if settings.log else None)
    return app


def serve(bucket: str, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serves the function until SIGTERM or SIGINT, and finishes what was accepted. Port 0 takes a free one.

    Raises `BucketError`, `RegistryError`, `SettingsError`, or OSError when the address cannot be used.
    """
    settings = from_environment(os.environ)
    app = application(bucket, settings, sys.stderr.write)
    # What is loaded now stays: the collector need not walk through it again with every few hundred requests.
    gc.freeze()
    named = bucket if "://" in bucket else Path(bucket).absolute().as_uri()
    asyncio.run(_serve(app, settings, host, port, named))


async def _serve(app: App, settings: Settings, host: str, port: int, bucket: str) -> None:
    # Not at the top: a cloud's own runtime calls the function without any server.
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"{host}:{port}: {error.strerror}; choose another port") from None
        address = probe.getsockname()
        if sys.platform == "linux":
            # Granian opens its own socket, which may share the port with this one from here on. Nobody else's may:
            # the bind above has found the port free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            probe.close()
        server = Server(
            app,
            address=str(address[0]),
            port=int(address[1]),
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=1024,
            # Connections, not requests: beyond `max_requests` there must be room to say that it is too much.
            backpressure=settings.max_requests * 4,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.stall_seconds * 1000), max_buffer_size=settings.header_bytes
            ),
            log_enabled=False,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        serving = asyncio.create_task(server.serve())
        while not serving.done() and not await _accepts(address):
            await asyncio.sleep(0.005)
    if not serving.done():
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Abaculus ingest on http://{shown}:{address[1]}, storing in {bucket}\n")
        sys.stdout.flush()
    await serving
    # Granian's threads outlive it by some milliseconds (30 measured). One that still runs when the interpreter ends is
    # killed inside Rust, which prints a panic.
    await asyncio.sleep(0.2)


async def _accepts(address: tuple[Any, ...]) -> bool:
    try:
        _, writer = await asyncio.open_connection(address[0], address[1])
    except OSError:
        return False
    writer.close()
    return True
