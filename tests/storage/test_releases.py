"""Releases from files, and from a real server that pages as code hosts do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from obstore.store import LocalStore, MemoryStore

from ingest.function.registry import Application
from reports.cli import main
from reports.storage.releases import ReleaseError, api, from_api, from_file, keep
from tests.messages import mentions
from tests.sites import APPLICATION, project

TOOL = Application("tool", "The Tool")

PAGES = {
    "/releases": [
        {"tag_name": "v1.1.0", "published_at": "2026-03-01T10:00:00Z"},
        {"tag_name": "nightly", "published_at": "2026-03-02T10:00:00Z"},
        {"tag_name": "2.0.0", "published_at": None, "draft": True},
        {"tag_name": "1.2.0", "published_at": None},
    ],
    "/releases?page=2": [{"tag_name": "1.0.0", "published_at": "2026-01-01T12:00:00+02:00"}],
    "/wrong": {"message": "Not a list"},
    "/none": [{"tag_name": "docs", "published_at": "2026-01-01T00:00:00Z"}],
    "/elsewhere": [{"tag_name": "1.0.0", "published_at": "2026-01-01T00:00:00Z"}],
    "/number": [{"tag_name": 1.1, "published_at": "2026-01-01T00:00:00Z"}],
}
# A tag, and the version that sessions of that release have.
RECOGNIZED = {
    "tool@2.1.0": "2.1.0", "tool-v2.0.0": "2.0.0", "V1.2.0": "1.2.0", "release-1.3.0": "1.3.0",
    "1.5.0rc1": "1.5.0-rc.1", "1.4.0.post1": "1.4.0+post.1", "2026.11.25.1": "2026.11.25+rev.1", "v1.4.0": "1.4.0",
    "@me/tool@2.2.0-rc.1": "2.2.0-rc.1", "tool/v2.3": "2.3", "the-tool_2.4.0": "2.4.0", "TOOL-2.5.0": "2.5.0",
    "monorepo-2.6.0": "2.6.0", "v2": "2", " 2.7.0 ": "2.7.0", "2.8.0-1": "2.8.0-1",
}  # fmt: skip
LEFT_OUT = (
    "other@3.0.0",
    "@tool/other@3.0.0",
    "nightly",
    "2026-11-25",
    "docs-1",
    "tool",
    "tool-next",
    "tools-3.0.0",
    "",
)
PAGES["/api/v1/repos/me/monorepo/releases"] = [
    {"tag_name": tag, "published_at": f"2026-01-{day:02}T00:00:00Z"}
    for day, tag in enumerate((*RECOGNIZED, *LEFT_OUT), 1)
]


# What the last requests had as their authorization.
SENT: list[str | None] = []


class Host(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path not in PAGES:
            self.send_error(404)
            return
        SENT.append(self.headers["Authorization"])
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


def test_all_pages_are_read_and_drafts_passed_over_and_other_tags_named(host: str) -> None:
    found = from_api(f"{host}/releases", TOOL)
    assert found.releases == EXPECTED
    assert [tag for tag, _ in found.left_out] == ["nightly", "1.2.0"]


def test_a_tag_is_a_version_of_this_application_or_named_as_left_out(host: str) -> None:
    found = from_api(f"{host}/me/monorepo", TOOL)
    assert [one["version"] for one in found.releases] == list(RECOGNIZED.values())
    assert [tag for tag, _ in found.left_out] == list(LEFT_OUT)


def test_the_token_is_for_the_api_of_github_and_no_other_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    for at, given in (("https://api.github.com", None), (host, "Bearer secret")):
        monkeypatch.setenv("GITHUB_API_URL", at)
        SENT.clear()
        from_api(f"{host}/releases", TOOL)
        assert [given, given] == SENT


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("https://github.com/me/my-tool", "https://api.github.com/repos/me/my-tool/releases"),
        ("https://github.com/me/my-tool.git", "https://api.github.com/repos/me/my-tool/releases"),
        ("https://codeberg.org/me/my-tool/", "https://codeberg.org/api/v1/repos/me/my-tool/releases"),
        ("https://api.github.com/repos/me/my-tool/releases", "https://api.github.com/repos/me/my-tool/releases"),
    ],
)
def test_the_api_of_a_repository_is_known_by_its_address(repository: str, expected: str) -> None:
    assert api(repository) == expected


@pytest.mark.parametrize(
    ("path", "named"),
    [("/nowhere", "404"), ("/wrong", "wrong"), ("/none", "docs"), ("/elsewhere", "127.0.0.2"), ("/number", "1.1")],
)
def test_what_is_no_list_of_releases_is_said(host: str, path: str, named: str) -> None:
    with pytest.raises(ReleaseError) as raised:
        from_api(host + path, TOOL)
    assert mentions(str(raised.value), named)


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
    assert from_file(tmp_path / name, TOOL).releases == EXPECTED


@pytest.mark.parametrize("version", [1.10, 2, 1e3])
def test_a_version_that_is_a_number_in_json_is_refused(tmp_path: Path, version: float) -> None:
    (tmp_path / "r.json").write_text(
        json.dumps([EXPECTED[0], {"version": version, "released": "2026-01-01"}]), encoding="utf-8"
    )
    with pytest.raises(ReleaseError) as raised:
        from_file(tmp_path / "r.json", TOOL)
    assert mentions(str(raised.value), "r.json", "2", repr(version))


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("version,released\n1.0.0,2026-01-01\n", encoding="utf-16")
    with pytest.raises(ReleaseError) as raised:
        from_file(tmp_path / "r.csv", TOOL)
    assert mentions(str(raised.value), "r.csv", "UTF-8")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("version,released\nnightly,2026-01-01\n", ("1", "'nightly'")),
        ("version,released\n1.0,2026-01-01\n1.1,soon\n", ("2", "'soon'")),
        ("version,released\n", ()),
        ("a,b\n1,2\n", ("1", "version")),
        ("version,released\nother@1.0.0,2026-01-01\n", ("1", "'other@1.0.0'")),
    ],
)
def test_a_wrong_line_of_a_file_is_named(tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ReleaseError) as raised:
        from_file(tmp_path / "r.csv", TOOL)
    assert mentions(str(raised.value), "r.csv", *named)


def test_what_is_kept_replaces_what_was_there() -> None:
    store = MemoryStore()
    written = [keep(store, "cairn", found) for found in (EXPECTED[:1], EXPECTED, EXPECTED)]
    assert written == [True, True, False]
    assert json.loads(bytes(store.get("releases/cairn.json").bytes())) == EXPECTED


def test_a_report_brings_the_releases_of_the_repository_that_the_registry_names(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where they cannot be had, those that are there stay, and the site is built."""
    project(tmp_path, {"index.md": "# Notes\n"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABACULUS_APPLICATIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    for repository in ("me/monorepo", "me/nowhere"):
        named = APPLICATION.replace('id = "notes"', f'id = "notes"\nrepository = "{host}/{repository}"')
        (tmp_path / "applications/notes.toml").write_text(named, encoding="utf-8")
        done = CliRunner().invoke(main, ["run", "--bucket", "bucket", "--out", "site-built"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        kept = json.loads(bytes(LocalStore(tmp_path / "bucket").get("releases/notes.json").bytes()))
        assert {"1.3.0", "1.4.0", "2.6.0"} <= {one["version"] for one in kept}
    assert mentions((tmp_path / "summary.md").read_text(encoding="utf-8"), "404")
