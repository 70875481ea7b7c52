"""`.ci/venv`: what it installs, from what, and that it needs no luck with what came out since."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from tests.github.indexes import Index, after_the_lock, wheel
from tests.hosts import interpreters
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
BACKEND = """
import shutil
def build_editable(directory, config_settings=None, metadata_directory=None):
    return shutil.copy("abaculus-0.1.0-py3-none-any.whl", directory).rpartition("/")[2]
"""
VERSIONS = "import importlib.metadata as m; print(*sorted(f'{d.name}-{d.version}' for d in m.distributions()))"


PYTHONS = interpreters(11, 13, 14)  # the first is this one


class Checkout:
    """A checkout of a project as small as can be, with the script and locks, and an index that has moved on."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        self.directory, self.python = directory, python
        self.index = Index(directory / "index")
        (directory / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci/venv", directory / ".ci")
        (directory / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            encoding="utf-8",
        )
        (directory / "backend.py").write_text(BACKEND, encoding="utf-8")
        wheel(directory, "abaculus", "0.1.0", "Requires-Dist: outer", scripts="abaculus = abaculus:main")
        lock = after_the_lock(self.index)
        (directory / "requirements.txt").write_text(lock, encoding="utf-8")
        (directory / "requirements-dev.txt").write_text(lock + self.index.release("pytest", "1.0"), encoding="utf-8")

    def start(self, *command: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "VIRTUAL_ENV"))}
        return subprocess.Popen(
            [self.python, ".ci/venv", *command],
            cwd=self.directory,
            env=clean | self.index.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        """The exit code, what the command printed, and what was said on the way."""
        with self.start(*command) as process:
            out, err = process.communicate()
        return process.returncode, out, err

    def installed(self) -> set[str]:
        """Name and version of each package, by .venv's own Python."""
        said = subprocess.check_output([self.directory / ".venv/bin/python", "-c", VERSIONS], encoding="utf-8")
        return {one for one in said.split() if not one.startswith(("pip-", "setuptools-"))}


LOCKED = {"abaculus-0.1.0", "outer-1.0", "inner-1.0", "helper-1.0"}


@pytest.mark.slow
def test_a_command_gets_what_it_needs_and_the_second_call_installs_nothing(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (tmp_path / ".venv").mkdir()
    code, out, err = checkout.run("abaculus")
    assert (code, out) == (0, "abaculus 0.1.0\n"), err
    assert checkout.installed() == LOCKED
    assert "requirements.txt" in err and "requirements-dev.txt" not in err
    assert checkout.run("abaculus") == (0, "abaculus 0.1.0\n", "")
    # Developers' commands add to what is there.
    code, out, err = checkout.run("python", "-c", "import sys; print('ran'); sys.exit(7)")
    assert (code, out) == (7, "ran\n"), err
    assert checkout.installed() == LOCKED | {"pytest-1.0"}
    shutil.rmtree(tmp_path / "index")
    assert checkout.run("abaculus") == (0, "abaculus 0.1.0\n", "")
    assert checkout.run("no-such-command")[0] == 127


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS[1:])
def test_a_release_after_the_lock_changes_nothing_on_any_python(tmp_path: Path, python: str) -> None:
    checkout = Checkout(tmp_path, python)
    code, _, err = checkout.run("python", "-c", "")
    assert code == 0, err
    assert checkout.installed() == LOCKED | {"pytest-1.0"}


@pytest.mark.slow
def test_a_lock_that_lacks_a_package_is_no_environment(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    lock = tmp_path / "requirements.txt"
    whole = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub("(?m)^inner.*\n", "", whole), encoding="utf-8")
    for _ in range(2):
        code, out, err = checkout.run("abaculus")
        assert (code, out) == (1, "")
        assert re.search("outer 1.0.* inner", err)
    lock.write_text(whole, encoding="utf-8")
    assert checkout.run("abaculus")[:2] == (0, "abaculus 0.1.0\n")


@pytest.mark.slow
def test_a_setup_that_was_stopped_starts_over(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    with checkout.start("abaculus") as process:
        assert process.stderr is not None
        while "installing" not in process.stderr.readline():
            pass
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert checkout.run("abaculus")[:2] == (0, "abaculus 0.1.0\n")
    assert checkout.installed() == LOCKED


@pytest.mark.slow
def test_a_stop_while_a_command_runs_is_the_commands_own(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    ends = (
        "import time\n"
        "try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1)\n    exit(9)"
    )
    with checkout.start("python", "-c", ends) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 9


def script() -> object:
    """The module that `.ci/venv` is."""
    loader = SourceFileLoader("ci_venv", str(ROOT / ".ci/venv"))
    spec = importlib.util.spec_from_loader("ci_venv", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.wheel
@pytest.mark.parametrize("pip", ["23.2.1", "newest"])
@pytest.mark.parametrize("python", PYTHONS)
def test_a_release_after_the_lock_changes_nothing_with_any_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, pip: str
) -> None:
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    alone = tmp_path / "venv/bin/python"
    upgrade = ["install", "--quiet", "--upgrade", "pip" if pip == "newest" else f"pip=={pip}"]
    subprocess.run([alone, "-m", "pip", *upgrade], check=True)
    index, lock = Index(tmp_path / "index"), tmp_path / "lock.txt"
    lock.write_text(after_the_lock(index), encoding="utf-8")
    for name, value in index.environment().items():
        monkeypatch.setenv(name, value)
    old = [alone, "-m", "pip", "install", "--require-hashes", "-r", lock]
    refused = subprocess.run(old, capture_output=True, encoding="utf-8")
    if pip == "23.2.1":  # which says which release it wanted instead
        assert refused.returncode == 1
        assert "inner-1.1" in refused.stderr
    script().install("--require-hashes", "-r", str(lock), python=alone)  # type: ignore[attr-defined]
    said = subprocess.check_output([alone, "-c", VERSIONS], encoding="utf-8")
    assert {"outer-1.0", "inner-1.0", "helper-1.0"} <= set(said.split())
    subprocess.run([alone, "-m", "pip", "check"], check=True)
