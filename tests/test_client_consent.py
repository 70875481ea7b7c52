"""Who is recorded: the matrix of answers, cell by cell, from outside the process."""

import io
import itertools
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from abaculus import Telemetry, consent
from abaculus.telemetry import prefix, usable
from tests.hosts import CLIENT, HOST, ROOT, Home

QUIET = (0, "worked 1\n", "")
# Every way to answer, each in every state of it that counts.
REMEMBERED = ("", "allowed", "denied", "retired")
VARIABLE = ("", "1", "0", "yes", "no", "perhaps")
TRACK = ("", "0", "1", "true")
PROJECT = (False, True)
SWITCH = (False, True)


def expected(remembered: str, variable: str, track: str, project: bool, switch: bool) -> bool:
    """The rules in one sentence each, as the documentation says them."""
    if switch or track in ("1", "true") or variable in ("0", "no", "perhaps") or project or remembered == "retired":
        return False  # any no for this run wins
    if variable in ("1", "yes"):
        return True  # a yes for this run wins over what was remembered
    return remembered == "allowed"  # and without an answer it is no


@pytest.mark.parametrize(
    ("remembered", "variable", "track", "project", "switch"),
    list(itertools.product(REMEMBERED, VARIABLE, TRACK, PROJECT, SWITCH)),
)
def test_each_combination_of_answers_is_decided_as_documented(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remembered: str,
    variable: str,
    track: str,
    project: bool,
    switch: bool,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name, value in (("MY_TOOL_TELEMETRY", variable), ("DO_NOT_TRACK", track)):
        monkeypatch.setenv(name, value)
    (tmp_path / "project" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "below")
    if project:
        (tmp_path / "project" / consent.PROJECT_FILE).touch()
    telemetry = Telemetry("my-tool", version="1", endpoint="https://telemetry.invalid")
    if remembered:
        consent.remember(telemetry.directory or "", remembered)
    rule, allowed = consent.decide(consent.Circumstances(telemetry, switch))
    assert allowed == expected(remembered, variable, track, project, switch), rule
    with telemetry.session(off=switch) as session:
        assert session.recording == allowed
    assert (tmp_path / "my-tool/telemetry/queue").is_dir() == allowed


# Each no, as a user gives it; what must hold is checked from outside the process.
NOES = {
    "unasked": ({}, ()),
    "variable": ({"MY_TOOL_TELEMETRY": "0"}, ()),
    "variable unclear": ({"MY_TOOL_TELEMETRY": "perhaps"}, ()),
    "DO_NOT_TRACK": ({"MY_TOOL_TELEMETRY": "1", "DO_NOT_TRACK": "1"}, ()),
    "switch": ({"MY_TOOL_TELEMETRY": "1"}, ("--no-telemetry",)),
    "project": ({"MY_TOOL_TELEMETRY": "1"}, ()),
    "denied": ({}, ()),
    "retired": ({"MY_TOOL_TELEMETRY": "1"}, ()),
    "completion": ({"MY_TOOL_TELEMETRY": "1", "_MY_TOOL_COMPLETE": "bash_complete"}, ()),
    "insecure endpoint": ({"MY_TOOL_TELEMETRY": "1", "MY_TOOL_TELEMETRY_ENDPOINT": "http://telemetry.invalid"}, ()),
    "no home": ({"MY_TOOL_TELEMETRY": "1", "HOME": "nowhere", "XDG_STATE_HOME": ""}, ()),
    "CI": ({"CI": "true"}, ()),
}


NETWORK = {"socket", "_socket", "ssl", "http", "http.client", "urllib.request", "subprocess", "uuid", "select", "email"}


@pytest.mark.parametrize("no", NOES)
def test_a_no_writes_no_file_starts_nothing_and_imports_nothing_for_the_network(tmp_path: Path, no: str) -> None:
    environment, arguments = NOES[no]
    home = Home(tmp_path)
    if no == "project":
        (home.project / consent.PROJECT_FILE).touch()
    if no in ("denied", "retired"):
        consent.remember(str(home.state), no)
    (home.state / "queue").mkdir(parents=True)
    (home.state / "queue" / f"001795365772979-2-{'2ad4b0a0-4f5c-4b7a-9d7e-0d8f6c1f3b11'}.json").write_text("{}")
    before = home.files()
    trace = tmp_path / "project" / "trace"
    # -X importtime would say what is imported; the system calls say what is done about it.
    strace = (
        "strace",
        "-f",
        "-o",
        str(trace),
        "-e",
        "trace=process,network,openat,open,creat,mkdir,mkdirat,rename,unlink",
    )
    traced = home.run("work", *arguments, prefix=strace, **environment)
    assert traced.seen == QUIET
    calls = trace.read_text().splitlines()
    trace.unlink()
    assert home.files() == before
    assert len({line.split()[0] for line in calls}) == 1, "a process or a thread was started"
    assert not [line for line in calls if re.search(r"\b(fork|vfork|clone3?|connect|socket|sendto)\(", line)]
    assert [line for line in calls if "execve(" in line][1:] == []
    written = [line for line in calls if re.search(r"O_CREAT|O_WRONLY|O_RDWR|mkdir|rename|unlink|creat\(", line)]
    assert [line for line in written if "/dev/null" not in line] == []
    loaded = home.run("work", *arguments, prefix=(sys.executable, "-c", LOADED), **environment)
    assert loaded.seen[:2] == QUIET[:2]
    # The tool itself has argparse, json and threading; what it has not, telemetry must not bring.
    ours = set(loaded.error.split())
    assert not ours & NETWORK
    off = {
        "abaculus",
        "abaculus.consent",
        "abaculus.session",
        "abaculus.state",
        "abaculus.telemetry",
        "abaculus.command",
    }
    assert {name for name in ours if name.startswith("abaculus")} <= off


LOADED = """
import runpy, sys
sys.argv = sys.argv[2:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""


def test_a_yes_is_recorded_without_a_terminal(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    assert home.run("work").seen == QUIET
    assert len(home.queued()) == 1


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    previous = os.umask(0)
    try:
        home.run("work")
        home.run("work")
    finally:
        os.umask(previous)
    for path in (home.state, *home.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# The question


@pytest.mark.parametrize(
    ("keys", "allowed"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("\x04", False)]
)
def test_somebody_at_a_terminal_is_asked_once_and_enter_means_no(tmp_path: Path, keys: str, allowed: bool) -> None:
    home = Home(tmp_path)
    code, seen = home.type("work", keys=keys)
    assert code == 0
    assert "May my-tool send how it is used?\nWhat is collected and why: https://my-tool.invalid/telemetry\n" in seen
    assert seen.endswith("worked 1\n")
    assert consent.remembered(str(home.state))[0] == ("allowed" if allowed else "denied")
    assert len(home.queued()) == int(allowed)
    assert (home.state / "id").exists() == allowed
    code, seen = home.type("work", keys="y\n")
    assert (code, seen) == (0, "worked 1\n")
    assert len(home.queued()) == 2 * int(allowed)


def test_ctrl_c_at_the_question_ends_the_tool_and_answers_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code, seen = home.type("work", keys="\x03")
    assert code != 0
    assert "worked" not in seen
    assert home.files() == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(("work", "--json"), {}), (("work",), {"CI": "1"}), (("work",), {"GITHUB_ACTIONS": "true"}),
     (("work",), {"DO_NOT_TRACK": "1"}), (("work",), {"MY_TOOL_TELEMETRY": "0"}), (("work", "--no-telemetry"), {}),
     (("telemetry", "status"), {}), (("--help",), {})],
)  # fmt: skip
def test_nobody_is_asked_when_it_is_no_time_to_ask(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    home = Home(tmp_path)
    code, seen = home.type(*arguments, keys="y\n", **environment)
    assert code == 0
    assert "[y/N]" not in seen
    assert home.files() == []


@pytest.mark.parametrize("redirected", [0, 1, 2])
def test_nobody_is_asked_when_a_stream_is_no_terminal(tmp_path: Path, redirected: int) -> None:
    home = Home(tmp_path)
    streams = ["<", ">", "2>"]
    script = f'exec "$0" "$1" work {streams[redirected]} /dev/null'
    command = ["script", "-qec", f"sh -c '{script}' {sys.executable} {HOST}", "/dev/null"]
    done = subprocess.run(
        command,
        cwd=home.project,
        env=home.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "[y/N]" not in done.stdout
    assert done.returncode == 0
    assert home.files() == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_is_asked_whose_answer_could_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = Telemetry("my-tool", version="1", endpoint="https://x.invalid", prompt="May we?")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, stream, Terminal())
    assert not consent.may_ask(consent.Circumstances(telemetry))
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    assert consent.may_ask(consent.Circumstances(telemetry))


def test_who_said_yes_is_asked_again_when_more_is_collected_and_not_when_less_is(tmp_path: Path) -> None:
    home = Home(tmp_path, HOST_COLLECTS="attributes.count events.Done")
    home.type("work", keys="y\n")
    less = home.run("work", HOST_COLLECTS="attributes.count")
    assert less.seen == QUIET
    assert len(home.queued()) == 2
    more = {"HOST_COLLECTS": "attributes.count attributes.shellName events.Done"}
    assert home.run("work", **more).seen == QUIET  # nobody is there to be asked: a silent no
    assert len(home.queued()) == 2
    _, seen = home.type("work", keys="n\n", **more)
    assert "New since you last said yes: attributes.shellName.\n" in seen
    assert consent.remembered(str(home.state))[0] == "denied"
    assert home.queued() == []
    _, seen = home.type("work", keys="y\n", **more)
    assert "[y/N]" not in seen, "who has said no is not asked again"


def test_who_says_yes_to_more_is_recorded_with_it(tmp_path: Path) -> None:
    home = Home(tmp_path, HOST_COLLECTS="attributes.count")
    home.type("work", keys="y\n")
    home.type("work", keys="y\n", HOST_COLLECTS="attributes.count attributes.osName")
    assert [sorted(session["attributes"]) for session in home.queued()] == [["count"], ["count", "osName"]]


# Names and places


@pytest.mark.parametrize(
    ("application", "name"),
    [("my-tool", "MY_TOOL"), ("abaculus", "ABACULUS"), ("7zip", "_7ZIP"), ("a.b c", "A_B_C"), ("tool2", "TOOL2")],
)
def test_a_tools_variable_is_its_id_in_capitals(application: str, name: str) -> None:
    assert prefix(application) == name
    assert Telemetry(application, version="1", endpoint="https://x.invalid").variable == f"{name}_TELEMETRY"


@pytest.mark.parametrize(
    ("endpoint", "used"),
    [
        ("https://telemetry.my-tool.dev", "https://telemetry.my-tool.dev"),
        ("https://telemetry.my-tool.dev/", "https://telemetry.my-tool.dev"),
        ("https://host.example:8443/base/", "https://host.example:8443/base"),
        ("HTTPS://host.example", "https://host.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        *((bad, "") for bad in (
            "http://telemetry.my-tool.dev", "ftp://host.example", "file:///etc/passwd", "telemetry.my-tool.dev", "", "https://",
            "http://localhost@evil.example", "http://localhost:80.evil.example", "http://127.0.0.1.evil.example",
            "http://localhost#@evil.example", "http://localhost?.evil.example", "http://localhost\\.evil.example",
            "http://127.0.0.1:80@evil.example/", "https://user:secret@host.example", "https://host.example/\r\nX: y",
            "https://host .example", "http://0.0.0.0", "http://localhost.evil.example",
        )),
    ],
)  # fmt: skip
def test_only_https_is_an_endpoint_and_http_to_this_very_machine(endpoint: str, used: str) -> None:
    assert usable(endpoint) == used


def test_the_documentation_has_the_table_of_rules(tmp_path: Path) -> None:
    page = (ROOT / "site" / "client.md").read_text()
    rows = re.findall(r"^\| \d+ \| `(.+?)` \| .+? \| (yes|no) \|$", page, re.MULTILINE)
    assert rows == [(name, "yes" if allows else "no") for name, allows, _, _ in consent.RULES]


def test_importing_the_client_brings_nothing_that_takes_time() -> None:
    code = "import sys, os; before = set(sys.modules); import abaculus; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(CLIENT)}, capture_output=True, text=True, check=True
    )
    new = {name for name in done.stdout.split() if not name.startswith("abaculus")}
    assert new <= {"__future__", "atexit"}
