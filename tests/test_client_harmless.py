"""Whatever goes wrong with telemetry, the tool's exit code and output are what they are without it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaculus import detach
from tests.hosts import HOST, Home, proxy, resets, says, stalls

WORK = {
    "success": (("work",), 0),
    "exit code": (("work", "--fail", "exit"), 7),
    "exception": (("work", "--fail", "exception"), 1),
    "hard exit": (("work", "--fail", "hard"), 9),
    "threads": (("work", "--threads"), 0),
    "fork": (("work", "--fork"), 0),
}


def plain(home: Home, *arguments: str) -> tuple[int, str, str]:
    """What the tool's user sees when telemetry is off."""
    return home.run(*arguments, DO_NOT_TRACK="1").seen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, MY_TOOL_TELEMETRY="1")


@pytest.mark.parametrize("case", WORK)
def test_a_run_is_seen_as_it_is_without_telemetry(home: Home, case: str) -> None:
    arguments, code = WORK[case]
    seen = home.run(*arguments).seen
    assert seen == plain(home, *arguments)
    assert seen[0] == code
    # os._exit lets nobody write anything; a fork of the run is not the run.
    assert len(home.queued()) == (0 if case == "hard exit" else 1)
    if case == "threads":
        (session,) = home.queued()
        assert (len(session["events"]), len(session["spans"])) == (161, 161)
    if case == "fork":
        assert home.queued()[0]["attributes"]["count"] == 1


# The disk


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to hand a home to somebody else")
@pytest.mark.parametrize("there", [True, False])
def test_a_home_that_cannot_be_written(tmp_path: Path, there: bool) -> None:
    directory = Path("/tmp") / f"abaculus-{os.getpid()}-{there}"
    directory.mkdir()
    try:
        home = Home(directory, MY_TOOL_TELEMETRY="1")
        if there:
            home.run("work")
        shutil.chown(directory, "root")
        directory.chmod(0o555)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        seen = subprocess.run(
            [*nobody, sys.executable, str(HOST), "work"], env=home.environment, cwd="/", capture_output=True, text=True
        )
        if "Permission denied" in seen.stderr and "Traceback" not in seen.stderr:
            pytest.skip("this interpreter is not for others to run")
        assert (seen.returncode, seen.stdout, seen.stderr) == (0, "worked 1\n", "")
        assert len(home.queued()) == int(there)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few blocks, in a mount of this machine's own."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=64", "tmpfs", str(place)])
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(tmp_path: Path, tiny: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1", XDG_STATE_HOME=str(tiny))
    for number in range(30):
        ran = home.run("work", "--threads")
        assert ran.seen == (0, "worked 1\n", ""), number
    queue = tiny / "my-tool" / "telemetry" / "queue"
    for path in queue.iterdir():
        assert not path.name.startswith("."), "a half-written file was left"
        assert path.stat().st_size == int(path.name.split("-")[1]), "whole, or not there"


def test_a_read_only_disk(tmp_path: Path, tiny: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1", XDG_STATE_HOME=str(tiny))
    home.run("work")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    assert home.run("work").seen == (0, "worked 1\n", "")
    ran = home.run("telemetry", "off")
    assert ran.code == 1
    assert re.fullmatch(r"telemetry: .*Read-only file system.*\n", ran.error)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state after two runs and an upload that failed."""
    home = Home(tmp_path_factory.mktemp("used"), MY_TOOL_TELEMETRY="1")
    for _ in range(2):
        home.run("work")
    home.until(lambda: home.log() != "")
    home.until(lambda: free(home))
    return home.state


@pytest.mark.parametrize("what", ["queue", "consent", "id", "tally", "lock", "retry", "log"])
@pytest.mark.parametrize("how", ["directory", "loop", "garbage", "pipe in place of a directory"])
def test_files_that_are_not_what_they_should_be(home: Home, used: Path, what: str, how: str) -> None:
    shutil.copytree(used, home.state)
    path = home.state / what
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if how == "directory":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path)
    elif how == "garbage":
        path.write_bytes(b"\xff\0\n" * 100)
    elif what == "queue":
        os.mkfifo(path)
    assert home.run("work").seen == (0, "worked 1\n", "")
    assert home.run("telemetry", "status").code == 0


def free(home: Home) -> bool:
    held = detach.lock(str(home.state))
    if held is not None:
        os.close(held)
    return held is not None


@pytest.mark.parametrize(
    "environment",
    [{"HOME": ""}, {"HOME": "relative", "XDG_STATE_HOME": "relative"}, {"HOME": "/dev/null", "XDG_STATE_HOME": ""},
     {"XDG_STATE_HOME": "/dev/null"}, {"XDG_STATE_HOME": "/nowhere/\udcff"}, {"XDG_STATE_HOME": "/proc"}],
)  # fmt: skip
def test_no_home(home: Home, environment: dict[str, str]) -> None:
    assert home.run("work", **environment).seen == (0, "worked 1\n", "")


def test_a_working_directory_that_was_deleted(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && {sys.executable} {HOST} work"
    done = subprocess.run(["sh", "-c", script], env=home.environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "worked 1\n", "")
    assert len(home.queued()) == 1


# The network


@pytest.mark.parametrize("fault", [stalls, resets, says(500), says(200, b"<html>"), says(302, Location="http://x/")])
def test_a_network_that_fails_takes_none_of_the_tools_time(tmp_path: Path, fault: object) -> None:
    with proxy() as broken:
        broken.fault = fault  # type: ignore[assignment]
        home = Home(tmp_path, broken.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        for _ in range(3):
            ran = home.run("work")
            assert ran.seen == (0, "worked 1\n", "")
            assert ran.seconds < 5, "the server would have taken a minute"
    assert len(home.queued()) == 4


@pytest.mark.parametrize("ci", ["", "1"])
def test_an_address_where_nobody_answers(tmp_path: Path, ci: str) -> None:
    # It listens and never accepts: connecting succeeds until the queue of the system is full, and nothing comes back.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        home = Home(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}", MY_TOOL_TELEMETRY="1", CI=ci)
        for _ in range(2):
            ran = home.run("work")
            assert ran.seen == (0, "worked 1\n", "")
            assert ran.seconds < 5


def test_no_name_to_resolve(tmp_path: Path) -> None:
    home = Home(tmp_path, "https://telemetry.my-tool.invalid", MY_TOOL_TELEMETRY="1")
    home.run("work")
    assert home.run("work").seen == (0, "worked 1\n", "")
    home.until(lambda: "no answer: " in home.log())
    assert len(home.queued()) == 2


# The clock


@pytest.mark.parametrize("now", [0, -1, 2**31, 2**40, 10**12, -(10**12), 253402300800])
def test_a_wrong_clock(home: Home, now: int) -> None:
    code = (
        f"import time\nclock = time.time_ns\ntime.time_ns = lambda: {now} * 10**9\ntime.time = lambda: float({now})\n"
        "import sys; sys.argv = ['my-tool', 'work']; sys.exit(host.main())"
    )
    assert home.python(code).seen == (0, "worked 1\n", "")
    assert home.run("work").seen == (0, "worked 1\n", "")


# Processes


def test_a_kill_at_any_moment_leaves_whole_files_and_harms_no_later_run(home: Home) -> None:
    for step in range(20):
        with home.start("work", "--threads", "--seconds", "0.01") as run:
            time.sleep(0.02 + step * 0.008)
            run.send_signal(signal.SIGKILL)
            run.communicate()
        home.queued()  # each is whole
    assert home.run("work").seen == (0, "worked 1\n", "")
    assert len({session["sessionId"] for session in home.queued()}) == len(home.queued()) >= 1


def test_ctrl_c_ends_the_tool_as_it_would_without_telemetry(home: Home) -> None:
    def interrupted(**environment: str) -> tuple[int, str]:
        with home.start("work", "--seconds", "30", **environment) as run:
            time.sleep(0.5)
            run.send_signal(signal.SIGINT)
            _, error = run.communicate(timeout=10)
            return run.returncode, error.splitlines()[-1]

    assert interrupted() == interrupted(DO_NOT_TRACK="1")
    (session,) = home.queued()
    assert session["attributes"]["exitCode"] == 130
    assert session["events"][-1]["attributes"]["exceptionType"] == "KeyboardInterrupt"


def test_a_tool_that_waits_for_all_its_children_is_not_confused(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1", CI="1")
    code = (
        "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "sys.argv = ['my-tool', 'work']; sys.exit(host.main())"
    )
    assert home.python(code).seen == (0, "worked 1\n", "")


def test_a_tool_that_stays_and_records_many_sessions_collects_no_dead_processes(home: Home) -> None:
    code = (
        "import os, time\nfor number in range(6):\n    host.telemetry.session().end()\n    time.sleep(0.4)\n"
        "children = open(f'/proc/self/task/{os.getpid()}/children').read().split()\n"
        "print(len(children) <= 1)"
    )
    assert home.python(code).seen == (0, "True\n", "")
    assert len(home.queued()) == 6


def test_a_tool_without_standard_streams(home: Home) -> None:
    script = f"exec {sys.executable} {HOST} work <&- >&- 2>&-"
    with_it = subprocess.run(["sh", "-c", script], env=home.environment, cwd=home.project)
    assert with_it.returncode == 0
    assert len(home.queued()) == 1
    # What it wrote went where it should: no descriptor of ours took the place of a closed stream.
    home.run("work")
    home.until(lambda: home.log() != "")
    assert "worked" not in home.log()


def test_a_program_that_is_no_python_starts_no_process(home: Home) -> None:
    home.run("work")
    for change in ("sys.frozen = True", "sys.executable = '/usr/bin/blender'", "sys.executable = None"):
        code = f"import sys\n{change}\nsys.argv = ['my-tool', 'work']; sys.exit(host.main())"
        assert home.python(code).seen == (0, "worked 1\n", "")
    assert home.log() == ""
    assert len(home.queued()) == 4


@pytest.mark.parametrize("version", ["1.4.0.dev3+g1", "", "\ud800", "x" * 10_000])
def test_a_tool_that_gives_nonsense(home: Home, version: str) -> None:
    code = (
        f"from abaculus import Telemetry\ntelemetry = Telemetry('my-tool', version={version!r}, endpoint='http://127.0.0.1')\n"
        "with telemetry.session(off=None, ask=None) as session:\n"
        "    session.attribute(None, object()); session.event(7); session.exception(None)\n"
        "    with session.span(b'x', y=1) as span: span.attribute([], {})\n"
    )
    assert home.python(code).seen == (0, "", "")
    assert len(home.queued()) == 1


def test_modules_of_the_tools_own_by_the_same_names_do_not_get_in_the_way(home: Home) -> None:
    for name in ("json", "queue", "http", "random", "gzip"):
        (home.project / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    home.run("work")
    home.run("work")
    home.until(lambda: "Connection refused" in home.log())
