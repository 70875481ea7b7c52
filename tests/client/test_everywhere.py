"""Places with one run, and tools without a Python: what is recorded there is sent, too."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from abaculus import windows
from tests.hosts import CLIENT, HOST, ROOT, Home, Proxy, again, stalls


@pytest.mark.slow
def test_a_tool_can_say_that_its_disk_is_thrown_away(tmp_path: Path, between: Proxy) -> None:
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    code = (
        "from abaculus import Telemetry\n"
        "telemetry = Telemetry('my-tool', version='1', endpoint='', upload='inline')\n"
        "telemetry.session().end()"
    )
    assert home.python(code).seen == (0, "", "")
    again(lambda: home.python(code), lambda: home.queued() == [])
    between.fault = stalls
    assert home.python(code).seconds < 30, "the server would have taken a minute"
    assert len(home.queued()) == 1
    assert "ValueError" in home.python(code.replace("inline", "now")).error


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a process namespace of its own")
def test_process_1_of_a_container_sends_before_it_ends(tmp_path: Path, between: Proxy) -> None:
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, str(HOST), "work"]

    def run() -> None:
        done = subprocess.run(command, cwd=home.project, env=home.environment, capture_output=True, encoding="utf-8")
        if "unshare failed" in done.stderr:
            pytest.skip("this machine makes no process namespaces")
        assert (done.returncode, done.stdout, done.stderr) == (0, "worked 1\n", "")

    again(run, lambda: home.queued() == [])
    assert between.bodies


@pytest.mark.slow
def test_a_tool_in_one_file_of_pyinstaller_sends(tmp_path: Path, between: Proxy) -> None:
    build = [sys.executable, "-m", "PyInstaller", "--onefile", "--log-level=ERROR", "--paths", str(CLIENT)]
    build += ["--exclude-module=click", "--exclude-module=typer"]  # the tool has neither, and each brings much along
    hidden = [f"--hidden-import=abaculus.{path.stem}" for path in (CLIENT / "abaculus").glob("[a-z]*.py")]
    subprocess.run([*build, *hidden, "--name=my-tool", str(HOST)], cwd=tmp_path, check=True)
    home = Home(tmp_path / "home", between.url, MY_TOOL_TELEMETRY="1", PYTHONPATH="")
    tool = [str(tmp_path / "dist" / "my-tool"), "work"]

    def run(*more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*tool, *more], cwd=home.project, env=home.environment, capture_output=True, encoding="utf-8"
        )
        return done.returncode, done.stdout, done.stderr

    assert run() == (0, "worked 1\n", "")
    home.grow_old()
    answered = threading.Event()
    between.fault = lambda handler, body: not answered.wait(60)
    assert run("--fail", "exit")[0] == 7
    answered.set()  # the run has not waited for it
    home.until(lambda: "  201  " in home.log())
    home.until(lambda: len(home.queued()) == 1)
    assert home.queued()[0]["attributes"]["exitCode"] == 7
    home.environment["CI"] = "1"
    run()
    home.until(lambda: len(home.queued()) <= 2)


@pytest.mark.parametrize("wait", [0.0, 2.0])
def test_on_windows_no_window_opens_and_no_directory_is_held(monkeypatch: pytest.MonkeyPatch, wait: float) -> None:
    started: list[dict[str, Any]] = []

    class Popen:
        """As Windows has it: these flags are refused elsewhere."""

        returncode = None

        def __init__(self, arguments: list[str], **options: Any) -> None:
            started.append(options)

        def wait(self, seconds: float) -> None:
            started.append({"waited": seconds})
            raise subprocess.TimeoutExpired("python", seconds)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    windows.start(["C:\\tool\\python.exe"], {"SYSTEMROOT": "C:\\Windows"}, 7, wait)
    options, *waits = started
    create_no_window, detached_process, new_process_group = 0x8000000, 0x8, 0x200
    assert options["creationflags"] == create_no_window | new_process_group
    assert not options["creationflags"] & detached_process, "with it a virtual environment's Python opens a console"
    assert (options["cwd"], options["stderr"], options["close_fds"]) == ("C:\\Windows", 7, True)
    assert options["stdin"] == options["stdout"] == subprocess.DEVNULL
    assert waits == ([{"waited": wait}] if wait else [])


def test_what_ci_tries_on_other_systems_holds_here() -> None:
    subprocess.run([sys.executable, str(ROOT / "tests" / "client" / "systems.py")], check=True)
