"""Whose workflows a new project calls: nobody's but those of where this installation comes from."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from reports.assets.origin import RECORD, Origin, checkout, origin
from tests.runner import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=me", "-c", "user.email=me@my-tool.dev"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=directory, check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


def repository(directory: Path, url: str) -> str:
    """A git repository of what lies there, with this origin, to which its commit was pushed; the commit."""
    directory.mkdir(exist_ok=True)
    git(directory, "init", "-q", "-b", "main")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "--allow-empty", "-m", "all")
    git(directory, "remote", "add", "origin", url)
    git(directory, "update-ref", "refs/remotes/origin/main", "HEAD")
    return git(directory, "rev-parse", "HEAD")


def installed(place: Path, direct: object = None, record: Origin | None = None) -> PathDistribution:
    """A distribution as an installer leaves it behind, of version 1.2.0."""
    info = place / "abaculus-1.2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: abaculus\nVersion: 1.2.0\n", encoding="utf-8")
    if direct:
        (info / "direct_url.json").write_text(json.dumps(direct), encoding="utf-8")
    if record:
        (place / RECORD).parent.mkdir(parents=True)
        (place / RECORD).write_text(json.dumps(vars(record)), encoding="utf-8")
    return PathDistribution(info)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/me/abaculus", "me/abaculus"),
        ("https://github.com/me/abaculus.git", "me/abaculus"),
        ("https://x-access-token:secret@github.com/me/abaculus.git/", "me/abaculus"),
        ("git@github.com:me/abaculus.git", "me/abaculus"),
        ("ssh://git@github.com/me/abaculus.git", "me/abaculus"),
        ("ssh://git@github.com:22/me/abaculus", "me/abaculus"),
        # On github.com the same name may be a stranger's.
        ("https://gitlab.com/me/abaculus", None),
        ("https://github.com.evil.example/me/abaculus", None),
        ("https://evil.example/github.com/me/abaculus", None),
        ("https://github.com@evil.example/me/abaculus", None),
        ("https://github.com/me", None),
        ("https://github.com/me/abaculus/tree/main", None),
        ("/srv/git/abaculus.git", None),
        ("file:///srv/git/abaculus.git", None),
    ],
)
def test_only_an_address_on_github_names_a_repository(tmp_path: Path, url: str, found: str | None) -> None:
    vcs = {"vcs": "git", "commit_id": COMMIT}
    assert origin(installed(tmp_path, {"url": url, "vcs_info": vcs})) == Origin(found, COMMIT, None)


@pytest.mark.parametrize(("asked", "ref"), [("v1.2.0", "v1.2.0"), ("main", "main"), (COMMIT, None), (None, None)])
def test_an_installation_from_git_knows_what_was_asked_for(tmp_path: Path, asked: str | None, ref: str | None) -> None:
    vcs = {"vcs": "git", "commit_id": COMMIT} | ({"requested_revision": asked} if asked else {})
    found = origin(installed(tmp_path, {"url": "https://github.com/me/abaculus", "vcs_info": vcs}))
    assert found == Origin("me/abaculus", COMMIT, ref)


def test_an_installation_that_runs_from_a_checkout_asks_git(tmp_path: Path) -> None:
    home = tmp_path / "a checkout"
    commit = repository(home, "git@github.com:me/abaculus.git")
    # What a wheel's build left in the site packages of an earlier day does not count.
    there = installed(tmp_path, {"url": home.as_uri(), "dir_info": {"editable": True}}, Origin("x/y", "0" * 40, "x"))
    assert origin(there) == Origin("me/abaculus", commit, "main")
    git(home, "tag", "v1.2.0")
    assert origin(there) == Origin("me/abaculus", commit, "v1.2.0")
    git(home, "checkout", "-q", "--detach")
    git(home, "tag", "-d", "v1.2.0")
    assert origin(there) == Origin("me/abaculus", commit, None)


def test_a_commit_that_was_not_pushed_is_none_that_a_workflow_can_call(tmp_path: Path) -> None:
    repository(tmp_path, "https://github.com/me/abaculus")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "mine")
    assert checkout(tmp_path) == Origin("me/abaculus", None, "main")


def test_a_directory_within_another_repository_is_no_checkout(tmp_path: Path) -> None:
    repository(tmp_path, "https://github.com/me/my-tool")
    (tmp_path / "abaculus").mkdir()
    assert checkout(tmp_path / "abaculus") == Origin()


def test_a_release_from_an_index_has_a_record_and_without_it_nothing_is_guessed(tmp_path: Path) -> None:
    record = Origin("me/abaculus", COMMIT, "v1.2.0")
    assert origin(installed(tmp_path / "wheel", record=record)) == record
    assert origin(installed(tmp_path / "bare")) == Origin()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What this repository builds its wheel from, in a repository of its own."""
    home = tmp_path / "copy"
    home.mkdir()
    for name in ("ingest", "reports", "site"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for name in ("pyproject.toml", "mkdocs.yml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
        shutil.copy(ROOT / name, home)
    repository(home, "https://github.com/me/abaculus")
    git(home, "tag", "v0.1.0")
    return home


@pytest.mark.slow
def test_a_wheel_is_built_with_the_commit_that_it_comes_from_also_by_way_of_a_source_distribution(copy: Path) -> None:
    commit = git(copy, "rev-parse", "HEAD")
    wanted = Origin("me/abaculus", commit, "v0.1.0")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], cwd=copy, check=True)
    (wheel,) = copy.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(copy / "direct")
    (info,) = (copy / "direct").glob("*.dist-info")
    assert origin(PathDistribution(info)) == wanted
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", "dist"], cwd=copy, check=True)
    (sdist,) = copy.glob("dist/*.tar.gz")
    shutil.unpack_archive(sdist, copy / "unpacked", filter="data")
    (source,) = (copy / "unpacked").iterdir()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], cwd=source, check=True)
    (wheel,) = source.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as file:
        assert json.loads(file.read(RECORD)) == vars(wanted)
    assert git(copy, "status", "--porcelain") == "?? direct/\n?? unpacked/", "the build leaves no file in the sources"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["", "@v0.1.0"])
def test_a_project_of_an_installation_from_git_calls_the_workflows_of_that_repository(
    copy: Path, tmp_path: Path, version: str
) -> None:
    """pip asks git for the address, and this git finds it here."""
    here = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{copy.as_uri()}.insteadOf"}
    environment = os.environ | here | {"GIT_CONFIG_VALUE_0": "https://github.com/me/abaculus"}
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    source = f"git+https://github.com/me/abaculus{version}"
    target = tmp_path / "installed"
    subprocess.run([sys.executable, *install, "--target", str(target), source], env=environment, check=True)
    run = [sys.executable, "-c", "from reports.cli import main; main()", "init", "project", "--id", "my-tool"]
    done = subprocess.run(
        run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(target)}, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    called = re.findall(
        r"(?m)uses: (.+)$", (tmp_path / "project/.github/workflows/report.yml").read_text(encoding="utf-8")
    )
    commit = git(copy, "rev-parse", "HEAD")
    assert called == [f"me/abaculus/.github/workflows/report.yml@{commit} # v0.1.0"]
