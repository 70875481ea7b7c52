"""Whatever goes wrong with telemetry, the tool's exit code and output are what they are without it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaculus import consent, state
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
            [*nobody, sys.executable, str(HOST), "work"],
            env=home.environment,
            cwd="/",
            capture_output=True,
            encoding="utf-8",
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
    queue, filled = tiny / "my-tool" / "telemetry" / "queue", []
    # A block less is free in each run: at first all that it writes has room, at the end not one file.
    for number in range(5):
        arguments = ("--threads",) if number % 2 else ()
        assert home.run("work", *arguments).seen == (0, "worked 1\n", ""), number
        filled.append(len(list(queue.iterdir())))
        with contextlib.suppress(OSError):
            (tiny / f"filler{number}").write_bytes(b"x" * 4096)
    assert filled[0] == 1 and filled[-1] < 5, "some had room, and some had not"
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
    first, second = ran.error.splitlines()
    assert "Read-only file system" in first
    assert "MY_TOOL_TELEMETRY=0" in second
    assert '"rule": "place"' in home.run("telemetry", "status", "--json").out


def test_a_no_holds_on_a_full_disk(tmp_path: Path, tiny: Path) -> None:
    home = Home(tmp_path, XDG_STATE_HOME=str(tiny))
    assert home.run("telemetry", "on").code == 0
    home.run("work")
    filler = tiny / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    ran = home.run("telemetry", "off")
    assert (ran.code, ran.error) == (0, "")
    assert '"rule": "denied"' in home.run("telemetry", "status", "--json").out


def test_a_yes_that_can_only_be_deleted_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consent.remember(str(tmp_path), "allowed")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    consent.remember(str(tmp_path), "denied")
    assert consent.remembered(str(tmp_path)) == ("", frozenset())


# Whose directory it is


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to hand a home to somebody else")
@pytest.mark.parametrize("where", ["HOME", "XDG_STATE_HOME", "made below HOME", "an old directory of root's"])
def test_root_leaves_nothing_in_somebodys_directory(tmp_path: Path, where: str) -> None:
    somebody = tmp_path / "ann"
    somebody.mkdir()
    home = Home(tmp_path / "root", MY_TOOL_TELEMETRY="1", HOME=str(somebody), XDG_STATE_HOME="", SUDO_UID="1000")
    if where == "XDG_STATE_HOME":
        home.environment |= {"HOME": str(tmp_path / "root"), "XDG_STATE_HOME": str(somebody)}
    elif where == "made below HOME":
        home.environment["XDG_STATE_HOME"] = str(somebody / "state")
    elif where == "an old directory of root's":
        (somebody / ".local" / "state" / "my-tool" / "telemetry").mkdir(parents=True)
    shutil.chown(somebody, 1000)
    before = sorted(somebody.rglob("*"))
    assert home.run("work").seen == (0, "worked 1\n", "")
    assert home.type("work", keys="y\n", MY_TOOL_TELEMETRY="") == (0, "worked 1\n")
    refused = home.python("print([host.telemetry.command([one]) for one in ('on', 'off', 'reset')])")
    assert (refused.out, refused.error.count(str(somebody))) == ("[1, 1, 1]\n", 3)
    assert '"rule": "place"' in home.run("telemetry", "status", "--json").out
    assert sorted(somebody.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to hand a home to somebody else")
def test_a_home_in_a_place_that_is_anybodys_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, own = tmp_path / "disk", tmp_path / "disk" / "ann"
    own.mkdir(parents=True)
    shutil.chown(place, 7)
    shutil.chown(own, 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state.is_ours(str(own / ".local" / "state"))
    assert not state.is_ours(str(place / ".local" / "state"))
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    assert not state.is_ours(str(own / ".local" / "state"))


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state after two runs and an upload that failed."""
    home = Home(tmp_path_factory.mktemp("used"), MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: home.log() != "")
    home.until(home.is_unlocked)
    return home.state


@pytest.mark.parametrize("what", ["queue", "consent", "id", "tally", "lock", "retry", "log"])
@pytest.mark.parametrize(
    "how",
    ["directory", "garbage", *(pytest.param(one, marks=pytest.mark.slow) for one in ("loop", "a pipe or nothing"))],
)
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
    work = "import sys; sys.argv = ['my-tool', 'work']; host.main(); print(host.telemetry.command(['status']))"
    ran = home.python(work)
    first, *_, last = ran.out.splitlines()
    assert (ran.code, first, last, ran.error) == (0, "worked 1", "0", "")


@pytest.mark.parametrize(
    "environment",
    [{"HOME": ""}, {"HOME": "relative", "XDG_STATE_HOME": "relative"}, {"HOME": "/dev/null", "XDG_STATE_HOME": ""},
     {"XDG_STATE_HOME": "/dev/null"}, {"XDG_STATE_HOME": "{}/\udcff"}, {"XDG_STATE_HOME": "/proc"}],
)  # fmt: skip
def test_no_home(home: Home, environment: dict[str, str]) -> None:
    environment = {name: value.replace("{}", str(home.directory)) for name, value in environment.items()}
    assert home.run("work", **environment).seen == (0, "worked 1\n", "")


def test_a_working_directory_that_was_deleted(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && {sys.executable} {HOST} work"
    done = subprocess.run(["sh", "-c", script], env=home.environment, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "worked 1\n", "")
    assert len(home.queued()) == 1


# The network


OTHERS = (resets, says(200, b"<html>"), says(302, Location="http://x/"))


@pytest.mark.parametrize("fault", [stalls, says(500), *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_a_network_that_fails_takes_none_of_the_tools_time(tmp_path: Path, fault: object) -> None:
    with proxy() as broken:
        broken.fault = fault  # type: ignore[assignment]
        home = Home(tmp_path, broken.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        for _ in range(2):
            home.grow_old()
            ran = home.run("work")
            assert ran.seen == (0, "worked 1\n", "")
            assert ran.seconds < 5, "the server would have taken a minute"
    assert len(home.queued()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("ci", ["", "1"])
def test_an_address_where_nobody_answers(tmp_path: Path, ci: str) -> None:
    # It listens and never accepts: connecting succeeds until the queue of the system is full, and nothing comes back.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        home = Home(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}", MY_TOOL_TELEMETRY="1", CI=ci)
        for _ in range(2):
            home.grow_old()
            ran = home.run("work")
            assert ran.seen == (0, "worked 1\n", "")
            assert ran.seconds < 5


def test_no_name_to_resolve(tmp_path: Path) -> None:
    home = Home(tmp_path, "https://telemetry.my-tool.invalid", MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: "no answer: " in home.log())
    assert len(home.queued()) == 2


# The clock


def test_a_wrong_clock(home: Home) -> None:
    clocks = [0, -1, 2**31, 2**40, 10**12, -(10**12), 253402300800]
    code = f"""
import sys, time
sys.argv = ["my-tool", "work"]
for now in {clocks}:
    time.time_ns, time.time = lambda: now * 10**9, lambda: float(now)
    assert host.main() == 0
"""
    assert home.python(code).seen == (0, "worked 1\n" * len(clocks), "")
    assert home.run("work").seen == (0, "worked 1\n", "")


# Processes


def test_a_kill_at_any_moment_leaves_whole_files_and_harms_no_later_run(home: Home) -> None:
    for step in range(8):
        with home.start("work", "--threads", "--seconds", "0.01") as run:
            time.sleep(0.02 + step * 0.02)
            run.send_signal(signal.SIGKILL)
            run.communicate()
        home.queued()  # each is whole
    assert home.run("work").seen == (0, "worked 1\n", "")
    assert len({session["sessionId"] for session in home.queued()}) == len(home.queued()) >= 1


def test_ctrl_c_ends_the_tool_as_it_would_without_telemetry(home: Home) -> None:
    def interrupted(**environment: str) -> tuple[int, str]:
        with home.start("work", "--seconds", "30", **environment) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "working\n"
            run.send_signal(signal.SIGINT)
            _, error = run.communicate()
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


@pytest.mark.slow
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
    home.grow_old()
    home.run("work")
    home.until(lambda: home.log() != "")
    assert "worked" not in home.log()


def test_a_program_that_is_no_python_starts_no_process(home: Home) -> None:
    home.run("work")
    home.grow_old()
    for change in ("sys.executable = '/usr/bin/blender'", "sys.executable = None"):
        code = f"import sys\n{change}\nsys.argv = ['my-tool', 'work']; sys.exit(host.main())"
        assert home.python(code).seen == (0, "worked 1\n", "")
    assert home.log() == ""
    assert len(home.queued()) == 3


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
        (home.project / f"{name}.py").write_text("raise RuntimeError('the wrong module')", encoding="utf-8")
    home.run_and_send()
    home.until(lambda: "Connection refused" in home.log())
