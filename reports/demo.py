"""The demo: made-up sessions over real HTTP into a local bucket, and from there to a site."""

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

from ingest import registry
from ingest.bucket import open_bucket
from reports import invent, sample
from reports.releases import keep

__all__ = ["demo", "ingest_server", "send", "serve"]

USERS = 2_000
# Connections at once, and how many sessions each takes before progress is told.
CONNECTIONS = 8
SLICE = 250


@contextlib.contextmanager
def ingest_server(bucket: str, log: Path) -> Iterator[str]:
    """The ingest function as a process of its own on a free port of loopback, its log in a file; gives its URL."""
    command = [sys.executable, "-m", "reports.cli", "ingest", "--bucket", bucket, "--port", "0"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True) as process,
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
    """Sends each session with a PUT, as a client would; counts the answers by status."""
    slices = [sessions[at : at + SLICE] for at in range(0, len(sessions), SLICE)]
    answers: Counter[int] = Counter()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for part in threads.map(partial(_send, urlsplit(url).netloc), slices):
            answers += part
            told(f"{answers.total():,} of {len(sessions):,}")
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
    """Runs every step and says what happened and where. A second time, sessions that are there already count once."""
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
    step(f"{count:,} made-up sessions of {', '.join(known)}, {users:,} people each, seed {seed}")
    with ingest_server(bucket, root / "ingest.log") as url, send_progress("Sending sessions") as told:
        answers = send(url, sessions, told)
    said = ", ".join(f"{number:,} answered {status}" for status, number in sorted(answers.items()))
    step(f"sent with PUT {url}/v1/sessions: {said or 'none'}")
    if refused := answers.total() - answers[201] - answers[304]:
        raise click.ClickException(f"{refused:,} sessions were refused; this is a bug, please report it")
    tell(compact(bucket))
    for id, versions in dates.items():
        released = [{"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in versions]
        keep(open_bucket(bucket), id, released)
    step(f"bucket: {root / 'bucket'}")
    site = build(bucket, root / "site")
    step(f"site: {site / 'index.html'}")
    click.echo(f'Ask it yourself: abaculus sql --bucket {bucket} "SELECT shell, count(*) FROM sessions GROUP BY ALL"')


def _marked(place: Path) -> dict[str, registry.Application]:
    """The applications to make up sessions of: those that the registry calls samples, else all of them.

    Where they are real ones, this process and those that it starts read copies of their files that say it is made up.
    """
    files = {file: registry.parse(file.read_text(), str(file)) for file in sorted(registry.directory().glob("*.toml"))}
    if samples := {one.id: one for one in files.values() if one.sample}:
        return samples
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = re.sub(r"(?m)^sample\s*=.*$", "", file.read_text())
        (place / file.name).write_text(f"sample = true\n{text}")
    os.environ["ABACULUS_APPLICATIONS"] = str(place)
    return {one.id: one for one in files.values()}


def _made(
    known: Mapping[str, registry.Application], count: int, users: int, seed: int, end: datetime
) -> tuple[list[dict[str, Any]], dict[str, list[tuple[str, datetime]]]]:
    """Sessions, as many of each application, and releases by application."""
    sessions: list[dict[str, Any]] = []
    dates = {}
    for id, application in known.items():
        each = count // len(known)
        if id == sample.APPLICATION:
            sessions += sample.sessions(each, users=users, seed=seed, end=end)
            dates[id] = sample.releases(end)
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
        """Says nothing: each page has a dozen files."""
