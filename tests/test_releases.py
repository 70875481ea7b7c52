"""Releases from files, and from a real server that pages as code hosts do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from reports.releases import ReleaseError, from_api, from_file, keep

PAGES = {
    "/releases": [
        {"tag_name": "v1.1.0", "published_at": "2026-03-01T10:00:00Z"},
        {"tag_name": "nightly", "published_at": "2026-03-02T10:00:00Z"},
        {"tag_name": "2.0.0", "published_at": None, "draft": True},
    ],
    "/releases?page=2": [{"tag_name": "1.0.0", "published_at": "2026-01-01T12:00:00+02:00"}],
    "/wrong": {"message": "Not a list"},
    "/none": [{"tag_name": "docs", "published_at": "2026-01-01T00:00:00Z"}],
    "/elsewhere": [{"tag_name": "1.0.0", "published_at": "2026-01-01T00:00:00Z"}],
}


class Host(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path not in PAGES:
            self.send_error(404)
            return
        self.send_response(200)
        if self.path == "/releases":
            self.send_header("Link", f'<http://{self.headers["Host"]}/releases?page=2>; rel="next"')
        if self.path == "/elsewhere":
            self.send_header("Link", '<http://127.0.0.2:1/steal>; rel="next"')
        self.end_headers()
        self.wfile.write(json.dumps(PAGES[self.path]).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


EXPECTED = [
    {"version": "1.0.0", "released": "2026-01-01T10:00:00Z"},
    {"version": "1.1.0", "released": "2026-03-01T10:00:00Z"},
]


def test_all_pages_are_read_and_drafts_and_other_tags_passed_over(host: str) -> None:
    assert from_api(f"{host}/releases") == EXPECTED


@pytest.mark.parametrize(
    ("path", "said"),
    [("/nowhere", "404"), ("/wrong", "a list of releases"), ("/none", "no release"), ("/elsewhere", "on another host")],
)
def test_what_is_no_list_of_releases_is_said(host: str, path: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        from_api(host + path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", "version,released\n1.1.0,2026-03-01T10:00:00Z\nv1.0.0,2026-01-01T10:00:00\n"),
        ("r.csv", "\ufeffreleased,version\n2026-03-01T10:00:00Z,1.1.0\n2026-01-01T10:00:00Z,1.0.0\n"),
        ("r.json", json.dumps([{"version": "1.0.0", "released": "2026-01-01T10:00Z"}, EXPECTED[1]])),
    ],
)
def test_a_file_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert from_file(tmp_path / name) == EXPECTED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version,released\nnightly,2026-01-01\n", "release 1: 'nightly' is not a version"),
        ("version,released\n1.0,2026-01-01\n1.1,soon\n", "release 2: 'soon' is not a date"),
        ("version,released\n", "no release"),
        ("a,b\n1,2\n", "release 1: None is not a version"),
    ],
)
def test_a_wrong_line_of_a_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ReleaseError, match=said):
        from_file(tmp_path / "r.csv")


def test_what_is_kept_replaces_what_was_there() -> None:
    store = MemoryStore()
    keep(store, "cairn", EXPECTED[:1])
    keep(store, "cairn", EXPECTED)
    assert json.loads(bytes(store.get("releases/cairn.json").bytes())) == EXPECTED
