"""The function as a process: listens, respects the limits of the system, and stops in time."""

import asyncio
import gc
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest.function.asgi import App, application
from ingest.function.settings import Settings, SettingsError, from_environment

if sys.platform != "win32":
    import resource

__all__ = ["run", "serve"]

# File descriptors for everything but connections and store operations: libraries, pipes, the listening socket.
RESERVE = 64


def serve(bucket: str, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serves the function until SIGTERM or SIGINT, and then finishes accepted requests. Port 0 takes a free one.

    Raises `BucketError`, `RegistryError`, `SettingsError`, or OSError if the address cannot be used.
    """
    settings, connections = within(from_environment(os.environ), descriptors())
    app = application(bucket, settings, sys.stderr.write)
    # Loaded objects stay, so the collector need not visit them after every few hundred requests.
    gc.freeze()
    named = bucket if "://" in bucket else Path(bucket).absolute().as_uri()
    asyncio.run(run(app, settings, connections, host, port, named))


def descriptors() -> int:
    """How many file descriptors this process may have. It first raises its limit as far as the system allows."""
    if sys.platform == "win32":
        return 1 << 20  # sockets there are none
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    most = 1 << 16 if hard == resource.RLIM_INFINITY else hard
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


def within(settings: Settings, descriptors: int) -> tuple[Settings, int]:
    """The settings and the number of connections for so many file descriptors. Raises `SettingsError`.

    More connections than `max_requests` are allowed, so that the function can refuse excess requests. An active request
    may need another descriptor, for a file or for a connection to the store.
    """
    free = descriptors - RESERVE
    if free < 8:
        raise SettingsError(f"{descriptors} file descriptors are too few; allow {RESERVE + 8} or more (ulimit -n)")
    requests = min(settings.max_requests, free // 4)
    return replace(settings, max_requests=requests), min(settings.max_requests * 4, free - requests)


async def run(app: App, settings: Settings, connections: int, host: str, port: int, bucket: str) -> None:
    """Serves the application until the signal to stop."""
    # Not at the top, because the runtime of a cloud calls the function without this server.
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    unusable = f"cannot listen on {host}:{port}: {{}}; choose another address or port"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise OSError(unusable.format(getattr(error, "strerror", "this is not a name of a machine"))) from None
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise OSError(unusable.format(error.strerror)) from None
        address = probe.getsockname()
        if sys.platform == "linux":
            # Granian opens its own socket, which may share the port with this one from here on. No other process may,
            # because the bind above has found the port free.
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
            backpressure=connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.stall_seconds * 1000), max_buffer_size=settings.header_bytes
            ),
            log_enabled=False,
        )
        loop = asyncio.get_running_loop()

        def stop() -> None:
            app.stop()
            server.stop()  # type: ignore[no-untyped-call]
            loop.call_later(settings.stop_seconds, _give_up, app)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        serving = asyncio.create_task(server.serve())
        while not serving.done() and not await _accepts(address):
            await asyncio.sleep(0.005)
    if not serving.done():
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Abaculus ingest on http://{shown}:{address[1]}, storing in {bucket}\n")
        sys.stdout.flush()
    await serving
    # Granian's threads run some milliseconds longer (30 measured). Rust prints a panic for a thread that still runs
    # when the interpreter ends.
    await asyncio.sleep(0.2)


def _give_up(app: App) -> None:
    """Ends the process although connections are open, because a cloud would kill it a second later."""
    if app.working:
        requests = "1 request was" if app.working == 1 else f"{app.working} requests were"
        what = f"stopped before {requests} answered; their clients will try again"
        app.write(severity="ERROR", message=what)
    sys.stderr.flush()
    os._exit(1 if app.working else 0)


async def _accepts(address: tuple[Any, ...]) -> bool:
    try:
        _, writer = await asyncio.open_connection(address[0], address[1])
    except OSError:
        return False
    writer.close()
    return True
