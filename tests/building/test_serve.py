import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from mkdocs.__main__ import cli as mkdocs

from reports.building.hooks import STAMP
from reports.cli import main
from reports.commands import new_page
from tests.messages import mentions
from tests.servers import free_ports
from tests.sites import fill, project, runs, site_of, source
from tests.waiting import PATIENCE, until

CHART = "```yaml chart\ntype: bar\ndata: sessions\nx: {}\ny: people\ntitle: Shells\n```\n"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    filled = tmp_path_factory.mktemp("serve") / "bucket"
    people = runs(1, 30, shellName="fish") + runs(31, 42, shellName="zsh")
    fill(filled, people + runs(50, 55, shellName="RARE", comment="WORDS"))
    return filled


@pytest.fixture
def directory(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project(tmp_path, {"index.md": "# Notes\n\n" + CHART.format("shell"), "plain.md": "# Plain\n"})
    shutil.copytree(bucket, tmp_path / "bucket", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    return tmp_path


@contextmanager
def served(directory: Path, *options: str) -> Iterator[str]:
    (port,) = free_ports(1)
    code = "from reports.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--bucket", str(directory / "bucket"), "--port", str(port)]
    scratch = directory / "scratch"
    scratch.mkdir()
    with (directory / "log").open("w", encoding="utf-8") as log:
        environment = {**os.environ, "TMPDIR": str(scratch)}
        server = subprocess.Popen([*command, *options], cwd=directory, stderr=log, stdout=log, env=environment)
    try:
        url = f"http://127.0.0.1:{port}/"
        log = directory / "log"
        until(lambda: "Open " in log.read_text(encoding="utf-8"), server, lambda: log.read_text(encoding="utf-8"))
        yield url
    finally:
        # A shell that ends asks its jobs to stop, and whatever ends the shell asks again.
        for _ in range(10):
            server.terminate()
            time.sleep(0.005)
        assert server.wait(10) == 128 + signal.SIGTERM
        # What was built, perhaps for one person's eyes, does not outlive it.
        assert list(scratch.iterdir()) == []


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=PATIENCE)


@pytest.mark.slow
def test_a_changed_page_is_built_again_and_a_mistake_is_shown_in_it(directory: Path) -> None:
    page = directory / "site" / "index.md"
    with served(directory) as url:
        first = get(url).text
        assert "fish: 30" in first
        assert "RARE" not in first
        assert "ab-private" not in first
        page.write_text(page.read_text(encoding="utf-8").replace("x: shell", "x: shel"), encoding="utf-8")
        until(lambda: "site/index.md:6:4: " in get(url).text)
        assert "&quot;shel&quot;" in get(url).text
        assert "site/index.md:6:4: " in (directory / "log").read_text(encoding="utf-8")
        assert "ab-mistakes" in get(url).text
        assert "ab-mistakes" not in get(f"{url}plain.html").text
        page.write_text(page.read_text(encoding="utf-8").replace("x: shel", "x: shell\nlimit: 3"), encoding="utf-8")
        until(lambda: "fish: 30" in get(url).text)
        assert "ab-mistakes" not in get(url).text
        # A file that is no page's business stays where it was, and a name that is not ours reads nothing.
        assert get(url, Host="evil.example").status_code == 403
        assert get(url, Host="localhost:1").status_code == 200


def alike(content: bytes, url: str) -> bytes:
    """A file without what may differ: times, where the site is, and the policy, which is not served."""
    policy = rb'<meta http-equiv="Content-Security-Policy"[^>]*>'
    return re.sub(policy + rb"|\d{4}-\d\d-\d\d[T ][\d:]+Z?|" + re.escape(url.encode()), b"", content)


@pytest.mark.slow
def test_mkdocs_builds_and_serves_the_same_site(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, address, settings = str(directory / "bucket"), "https://example.org/", directory / "mkdocs.yml"
    settings.write_text(f"site_url: {address}\n" + settings.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("ABACULUS_BUCKET", bucket)
    assert CliRunner().invoke(main, ["build", "--bucket", bucket, "--out", "ours"]).exit_code == 0
    done = CliRunner().invoke(mkdocs, ["build", "--strict", "--site-dir", "theirs"])
    assert done.exit_code == 0, done.output
    files = {path.relative_to("ours") for path in Path("ours").rglob("*") if path.is_file()}
    assert files == {path.relative_to("theirs") for path in Path("theirs").rglob("*") if path.is_file()}
    # The stamp says when, and a packed file has its time in it.
    files -= {Path(STAMP), Path("sitemap.xml.gz")}
    ours = {path: alike(("ours" / path).read_bytes(), address) for path in files}
    for path in files:
        assert ours[path] == alike(("theirs" / path).read_bytes(), address), path
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mkdocs", "serve", "--no-livereload", "-a", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        until(lambda: get(url).ok, server)
        for path in files - {Path("404.html"), Path("sitemap.xml")}:
            assert ours[path] == alike(get(f"{url}{path}").content, url), path
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.mark.slow
def test_the_private_view_shows_everything_under_a_banner(directory: Path) -> None:
    (directory / "site" / "plain.md").write_text("# Plain\n\n" + CHART.format("comment"), encoding="utf-8")
    with served(directory, "--private") as url:
        assert "RARE: 6" in get(url).text
        plain = get(f"{url}plain.html").text
        assert "WORDS: 6" in plain
        assert all("ab-private" in text for text in (plain, get(url).text))
        assert get(url, Host="evil.example").status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "127.0.0.1.example.org"])
def test_what_is_private_is_served_to_this_machine_only(directory: Path, host: str) -> None:
    found = CliRunner().invoke(main, ["serve", "--private", "--host", host])
    assert found.exit_code == 1
    assert "served on 127.0.0.1 only" in found.stderr


def test_a_build_cannot_be_private(directory: Path) -> None:
    assert CliRunner().invoke(main, ["build", "--private"]).exit_code == 2
    text = (directory / "mkdocs.yml").read_text(encoding="utf-8")
    (directory / "mkdocs.yml").write_text(
        text.replace("minimum_users: 10", "minimum_users: 10, private: true"), encoding="utf-8"
    )
    found = CliRunner().invoke(main, ["build", "--bucket", str(directory / "bucket"), "--out", str(directory / "out")])
    assert found.exit_code == 1
    assert "private" in found.stderr


def test_a_port_that_is_taken_is_said(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = ["serve", "--bucket", str(directory / "bucket"), "--port", str(taken.getsockname()[1])]
        found = CliRunner().invoke(main, options)
    assert found.exit_code == 1
    assert "choose another with --port" in found.stderr


def test_a_page_is_not_run_again_unless_it_changed(directory: Path) -> None:
    with site_of(directory / "bucket") as site:
        block = CHART.format("shel")

        def run(text: str) -> object:
            return site.page(source(text))

        assert run(block) is run(block)
        # Its mistakes are there each time.
        site.faults.clear()
        run(block)
        assert len(site.faults) == 1
        assert run(block) is not run(block + "\n")


def test_a_block_is_not_counted_again_unless_it_or_a_query_of_it_changed(directory: Path) -> None:
    with site_of(directory / "bucket") as site:

        def run(where: str, title: str) -> object:
            text = f"```sql a\nFROM sessions WHERE {where}\n```\n```sql b\nFROM a\n```\n"
            text += f"```sql z\nSELECT 1 AS {title}\n```\n"
            text += CHART.format("shell").replace("data: sessions", "data: b").replace("Shells", title)
            return site.page(source(text)).series[0].published

        assert run("true", "one") is run("true", "two")
        assert run("true", "one") != run("shell = 'fish'", "one")
        assert site.faults == []


def test_a_new_page_works_and_says_how_it_is_found(directory: Path) -> None:
    with (directory / "mkdocs.yml").open("a", encoding="utf-8") as file:
        file.write("nav:\n  - index.md\n  - plain.md\n")
    found = CliRunner().invoke(main, ["new", "sub/slow-runs"])
    assert (found.exit_code, found.stderr) == (0, "")
    assert mentions(found.stdout, "site/sub/slow-runs.md", "abaculus serve")
    found = CliRunner().invoke(main, ["check", "--bucket", str(directory / "bucket"), "--json"])
    assert found.exit_code == 0, found.stdout
    (warning,) = json.loads(found.stdout)["warnings"]
    assert (warning["file"], warning["code"]) == ("site/sub/slow-runs.md", "not-in-nav")
    found = CliRunner().invoke(main, ["build", "--bucket", str(directory / "bucket")])
    assert found.exit_code == 0, found.output
    index = (directory / "out" / "index.html").read_text(encoding="utf-8")
    assert re.search(r"More.*?sub/slow-runs\.html.*?Slow runs", index, re.DOTALL)


def test_a_page_that_is_there_is_not_overwritten(directory: Path) -> None:
    found = CliRunner().invoke(main, ["new", "index"])
    assert found.exit_code == 1
    assert mentions(found.stderr, "site/index.md")
    assert "x: shell" in (directory / "site" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a b", "A", "", ".hidden", "a//b", "a/../b", "a.txt"])
def test_a_page_is_written_among_the_pages_only(directory: Path, name: str) -> None:
    before = sorted(directory.rglob("*"))
    assert CliRunner().invoke(main, ["new", "--", name]).exit_code == 1
    assert sorted(directory.rglob("*")) == before


def test_the_page_that_is_written_has_no_mistake_over_no_data(tmp_path: Path) -> None:
    path = new_page.new(tmp_path, "x")
    with site_of(tmp_path / "b", {}) as site:
        page = site.page(source(path.read_text(encoding="utf-8"), path="x.md"))
    assert site.faults == site.warnings == []
    assert page.source.front.meta["title"] == "X"
