"""Pictures of every page of a built site: light and dark, wide and narrow, to be looked at.

    python3 .ci/venv python -m tests.screenshots build/site build/screenshots

Needs Debian's chromium (apt-get install chromium).
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

__all__ = ["WIDTHS", "browser", "served", "take"]

WIDTHS = (1440, 390)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Brings every chart into view once, and waits until each that can be seen is drawn and nothing moves: the theme fades
# in again what is at the top.
SCROLL = """async () => {
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const plots = [...document.querySelectorAll(".ab-plot")];
  for (const plot of plots) {
    plot.scrollIntoView({ block: "center", behavior: "instant" });
    await pause(50);
  }
  const drawn = (plot) => !plot.checkVisibility() || plot.querySelector("svg.main-svg");
  for (let waited = 0; waited < 10000 && !plots.every(drawn); waited += 50) await pause(50);
  window.scrollTo({ top: 0, behavior: "instant" });
  await pause(plots.length ? 400 : 0);
  await Promise.race([Promise.allSettled(document.getAnimations().map((one) => one.finished)), pause(2000)]);
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The site on a free port of loopback; gives its URL, with the last slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


def take(site: Path, out: Path) -> list[Path]:
    """Pictures of all pages; named after the page, the palette and the width."""
    out.mkdir(parents=True, exist_ok=True)
    looks = list(product(("light", "dark"), WIDTHS))
    # A browser each, as many as there are cores.
    with served(site) as url, ThreadPoolExecutor(os.cpu_count()) as threads:
        found = threads.map(lambda look: _take(site, out, url, *look), looks)
        return [path for paths in found for path in paths]


def _take(site: Path, out: Path, url: str, scheme: Literal["light", "dark"], width: int) -> list[Path]:
    made: list[Path] = []
    with browser() as running:
        page = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        for file in sorted(site.rglob("*.html")):
            name = file.relative_to(site).with_suffix("")
            page.goto(f"{url}{name}.html")
            page.evaluate(SCROLL)
            made.append(out / f"{str(name).replace('/', '-')}-{scheme}-{width}.png")
            page.screenshot(path=made[-1], full_page=True)
    return made


if __name__ == "__main__":
    print(f"{len(take(Path(sys.argv[1]), Path(sys.argv[2])))} pictures in {sys.argv[2]}")
