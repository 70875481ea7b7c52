"""The demo: sends generated sessions over real HTTP into a local bucket, and builds a site from it."""

import contextlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.blocks.format import plural
from reports.sample import cairn_sessions, invent
from reports.storage.releases import keep

__all__ = ["demo", "ingest_server", "send", "serve"]

USERS = 2_000
# The number of connections, and of sessions between two progress messages.
CONNECTIONS = 8
SLICE = 250


@contextlib.contextmanager
def ingest_server(bucket: str, log: Path) -> Iterator[str]:
    """Starts the ingest function in a process on a free local port, with its log in a file, and yields its URL."""
    command = [sys.executable, "-m", "reports.cli", "ingest", "--bucket", bucket, "--port", "0"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, encoding="utf-8") as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            url = next((word.rstrip(",") for word in said.split() if word.startswith("http://")), None)
            if url is None:
                raise click.ClickException(f"the ingest function did not start; see {log}")
            yield url
        finally:
            process.terminate()


def send(url: str, sessions: list[dict[str, Any]], told: Callable[[str], None]) -> Counter[int]:
    """Sends each session with a PUT, like a client, and counts the answers by status."""
    slices = [sessions[at : at + SLICE] for at in range(0, len(sessions), SLICE)]
    answers: Counter[int] = Counter()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for part in threads.map(partial(_send, urlsplit(url).netloc), slices):
            answers += part
            told(f"{answers.total():,} of {plural(len(sessions), 'session')}")
    return answers


def _send(host: str, sessions: list[dict[str, Any]]) -> Counter[int]:
    answers: Counter[int] = Counter()
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        for session in sessions:
            connection.request("PUT", "/v1/sessions", json.dumps(session), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            answers[answer.status] += 1
    finally:
        connection.close()
    return answers


def demo(
    directory: Path,
    count: int,
    seed: int,
    *,
    send_progress: Callable[[str], contextlib.AbstractContextManager[Callable[[str], None]]],
    compact: Callable[[str], Any],
    tell: Callable[[Any], None],
    build: Callable[[str, Path | None], Path],
) -> None:
    """Runs every step and prints its results. If it runs again, stored sessions still count once."""
    root = directory.absolute()
    bucket = (root / "bucket").as_uri()
    clock = time.monotonic()

    def step(text: str) -> None:
        nonlocal clock
        now = time.monotonic()
        click.echo(f"{text} ({now - clock:.1f} s)")
        clock = now

    known = _marked(root / "applications")
    with send_progress("Generating sessions"):
        users = max(1, min(USERS, count // len(known)))
        end = datetime.now(UTC)
        sessions, dates = _made(known, count, users, seed, end)
    each = " each" if len(known) > 1 else ""
    made = plural(count, "generated session")
    step(f"{made} of {', '.join(known)}, {plural(users, 'person', 'people')}{each}, seed {seed}")
    with ingest_server(bucket, root / "ingest.log") as url, send_progress("Sending sessions") as told:
        answers = send(url, sessions, told)
    said = ", ".join(f"{number:,} answered {status}" for status, number in sorted(answers.items()))
    step(f"sent with PUT {url}/v1/sessions: {said or 'none'}")
    if refused := answers.total() - answers[201] - answers[304]:
        raise click.ClickException(f"{plural(refused, 'refused session')}; this is a bug, please report it")
    tell(compact(bucket))
    for id, versions in dates.items():
        released = [{"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in versions]
        keep(open_bucket(bucket), id, released)
    step(f"bucket: {root / 'bucket'}")
    site = build(bucket, root / "site")
    step(f"site: {site / 'index.html'}")
    click.echo(f'Ask it yourself: abaculus sql --bucket {bucket} "SELECT shell, count(*) FROM sessions GROUP BY ALL"')


def _marked(place: Path) -> dict[str, registry.Application]:
    """The applications to generate sessions for: the samples of the registry, else all. For real applications, this
    process and its children read copies of their files that mark them as samples.
    """
    files = {
        file: registry.parse(file.read_text(encoding="utf-8-sig"), str(file))
        for file in sorted(registry.directory().glob("*.toml"))
    }
    if samples := {one.id: one for one in files.values() if one.sample}:
        return samples
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = re.sub(r"(?m)^sample\s*=.*$", "", file.read_text(encoding="utf-8-sig"))
        (place / file.name).write_text(f"sample = true\n{text}", encoding="utf-8")
    os.environ["ABACULUS_APPLICATIONS"] = str(place)
    return {one.id: one for one in files.values()}


def _made(
    known: Mapping[str, registry.Application], count: int, users: int, seed: int, end: datetime
) -> tuple[list[dict[str, Any]], dict[str, list[tuple[str, datetime]]]]:
    """The same number of sessions for each application, and releases by application."""
    sessions: list[dict[str, Any]] = []
    dates = {}
    for id, application in known.items():
        each = count // len(known)
        if id == cairn_sessions.APPLICATION:
            sessions += cairn_sessions.sessions(each, users=users, seed=seed, end=end)
            dates[id] = cairn_sessions.releases(end)
        else:
            sessions += invent.sessions(application, each, users=users, seed=seed, end=end)
            dates[id] = invent.releases(end)
    return sessions, dates


def serve(site: Path) -> None:
    """Serves a built site on loopback until it is stopped."""
    handler = partial(_Quiet, directory=str(site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server:
        click.echo(f"Open http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing, because each page has a dozen files."""
