"""Lighthouse's scores of the built site, served with compression: the overview and the heaviest pages."""

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.building.build import build
from reports.sample import cairn_sessions
from reports.storage.releases import keep
from tests.sites import fill

LIGHTHOUSE = "lighthouse@12.8.2"
ROOT = Path(__file__).parents[2]
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# What each kind of machine must reach; the other three categories must be whole.
PERFORMANCE = {"desktop": 95, "phone": 90}
WHOLE = ("accessibility", "best-practices", "seo")
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"

pytestmark = pytest.mark.browser


@cache
def packed(path: Path) -> bytes:
    """A file, compressed once."""
    return gzip.compress(path.read_bytes(), 6, mtime=0)


class Handler(SimpleHTTPRequestHandler):
    """Files, compressed, with ten minutes in the cache."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers with a file, or 404."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body = packed(path)
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of this project over generated sessions, or the site in $ABACULUS_SITE."""
    if named := os.environ.get("ABACULUS_SITE"):
        return Path(named)
    place, end = tmp_path_factory.mktemp("lighthouse"), datetime.now(UTC)
    bucket = str(place / "bucket")
    fill(
        place / "bucket",
        cairn_sessions.sessions(9_000, users=1_000, end=end),
        registry.load(ROOT / "ingest" / "applications"),
    )
    dates = [
        {"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in cairn_sessions.releases(end)
    ]
    keep(open_bucket(bucket), cairn_sessions.APPLICATION, dates)
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return build(bucket, place / "site")
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def lighthouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its command line, installed by npm, or what $ABACULUS_LIGHTHOUSE names."""
    named = os.environ.get("ABACULUS_LIGHTHOUSE")
    directory = Path(named) if named else tmp_path_factory.mktemp("npm")
    if not named:
        npm = shutil.which("npm")
        assert npm, "npm is not there; install Node (apt-get install nodejs npm)"
        options = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error", f"--prefix={directory}"]
        subprocess.run([npm, "install", *options, LIGHTHOUSE], check=True, stdout=subprocess.DEVNULL)
    return directory / "node_modules" / "lighthouse" / "cli" / "index.js"


def heaviest(site: Path) -> str:
    """The page of the statistics with figures that has most bytes, as they are sent."""
    pages = [path for path in site.glob("*.html") if 'class="ab-plot"' in path.read_text(encoding="utf-8")]
    return max(pages, key=lambda path: len(packed(path))).name


def scores(lighthouse: Path, url: str, machine: str, out: Path) -> tuple[dict[str, int], list[str]]:
    """The score of each category, and what was found wanting where it is not whole."""
    command = [
        "node",
        str(lighthouse),
        url,
        "--quiet",
        "--output=json",
        f"--output-path={out}",
        f"--chrome-flags={FLAGS}",
    ]
    if machine == "desktop":
        command.append("--preset=desktop")
    found = subprocess.run(
        command, env={**os.environ, "CHROME_PATH": "/usr/bin/chromium"}, capture_output=True, encoding="utf-8"
    )
    assert found.returncode == 0, found.stderr
    told = json.loads(out.read_text(encoding="utf-8"))
    wanting = [
        f"{audit['id']}: {audit['title']} {audit.get('displayValue', '')}"
        for category in told["categories"].values()
        for audit in (told["audits"][ref["id"]] for ref in category["auditRefs"] if ref["weight"])
        if audit["score"] is not None and audit["score"] < 0.9
    ]
    return {name: round(category["score"] * 100) for name, category in told["categories"].items()}, wanting


@pytest.mark.parametrize(
    ("which", "machine"),
    [("overview", "phone"), ("charts", "phone"), ("heaviest answer", "phone"), ("heaviest answer", "desktop")],
)
def test_lighthouse_finds_pages_quick_and_without_fault(
    which: str, machine: str, site: Path, url: str, lighthouse: Path, tmp_path: Path
) -> None:
    page = {"overview": "overview.html", "charts": "docs/charts.html"}.get(which) or heaviest(site)
    # What else runs on this machine makes a page slow, and never quick: the best of three counts.
    best = 0
    for _ in range(3):
        found, wanting = scores(lighthouse, url + page, machine, tmp_path / "told.json")
        print(page, machine, found)
        assert {name: found[name] for name in WHOLE} == dict.fromkeys(WHOLE, 100), wanting
        best = max(best, found["performance"])
        if best >= PERFORMANCE[machine]:
            break
    assert best >= PERFORMANCE[machine], wanting
