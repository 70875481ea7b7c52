"""Who is recorded: the matrix of answers, cell by cell, from outside the process."""

import itertools
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from abaculus import Telemetry, consent
from abaculus.tool import prefix
from tests.hosts import CLIENT, ROOT, Home

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


@pytest.mark.parametrize("remembered", REMEMBERED)
def test_each_combination_of_answers_is_decided_as_documented(tmp_path: Path, remembered: str) -> None:
    for number, answers in enumerate(itertools.product(VARIABLE, TRACK, PROJECT, SWITCH)):
        variable, track, project, switch = answers
        home = tmp_path / str(number)
        (home / "project" / "below").mkdir(parents=True)
        if project:
            (home / "project" / consent.PROJECT_FILE).touch()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(home / "project" / "below")
            for name, value in (
                ("XDG_STATE_HOME", str(home)),
                ("MY_TOOL_TELEMETRY", variable),
                ("DO_NOT_TRACK", track),
            ):
                patch.setenv(name, value)
            telemetry = Telemetry("my-tool", version="1", endpoint="https://telemetry.invalid")
            if remembered:
                consent.remember(telemetry.tool.directory or "", remembered)
            rule, allowed = consent.decide(consent.Circumstances(telemetry.tool, switch))
            assert allowed == expected(remembered, variable, track, project, switch), (rule, answers)
            with telemetry.session(off=switch) as session:
                assert session.recording == allowed, answers
        assert (home / "my-tool/telemetry/queue").is_dir() == allowed, answers


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
    (home.state / "queue" / f"001795365772979-2-{'2ad4b0a0-4f5c-4b7a-9d7e-0d8f6c1f3b11'}.json").write_text(
        "{}", encoding="utf-8"
    )
    before = home.files()
    trace = tmp_path / "project" / "trace"
    # The tool says what it has imported, the system calls what it has done.
    calls_to = "trace=process,network,openat,open,creat,mkdir,mkdirat,rename,unlink"
    prefix = ("strace", "-f", "-o", str(trace), "-e", calls_to, sys.executable, "-c", LOADED)
    ran = home.run("work", *arguments, prefix=prefix, **environment)
    assert ran.seen[:2] == QUIET[:2]
    calls = trace.read_text(encoding="utf-8").splitlines()
    trace.unlink()
    assert home.files() == before
    assert len({line.split()[0] for line in calls}) == 1, "a process or a thread was started"
    assert not [line for line in calls if re.search(r"\b(fork|vfork|clone3?|connect|socket|sendto)\(", line)]
    assert [line for line in calls if "execve(" in line][1:] == []
    written = [line for line in calls if re.search(r"O_CREAT|O_WRONLY|O_RDWR|mkdir|rename|unlink|creat\(", line)]
    assert [line for line in written if "/dev/null" not in line] == []
    # The tool itself has argparse, json and threading; what it has not, telemetry must not bring.
    ours = set(ran.error.split())
    assert not ours & NETWORK
    off = {
        "abaculus",
        "abaculus.consent",
        "abaculus.session",
        "abaculus.state",
        "abaculus.telemetry",
        "abaculus.tool",
        "abaculus.command",
    }
    if no == "switch" and sys.version_info < (3, 12):
        off.add("abaculus.ending")  # the user said yes, and the tool its no only when `sys.exit` had to be in place
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
        home.run_and_send()
    finally:
        os.umask(previous)
    for path in (home.state, *home.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# Names and places


@pytest.mark.parametrize(
    ("application", "name"),
    [("my-tool", "MY_TOOL"), ("abaculus", "ABACULUS"), ("7zip", "_7ZIP"), ("a.b c", "A_B_C"), ("tool2", "TOOL2")],
)
def test_a_tools_variable_is_its_id_in_capitals(application: str, name: str) -> None:
    assert prefix(application) == name
    assert Telemetry(application, version="1", endpoint="https://x.invalid").tool.variable == f"{name}_TELEMETRY"


def test_the_documentation_has_the_table_of_rules(tmp_path: Path) -> None:
    page = (ROOT / "site" / "docs" / "client-reference.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| `(.+?)` \| .+? \| (yes|no) \|$", page, re.MULTILINE)
    assert rows == [(name, "yes" if allows else "no") for name, allows, _, _ in consent.RULES]


def test_importing_the_client_brings_nothing_that_takes_time() -> None:
    code = "import sys, os; before = set(sys.modules); import abaculus; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(CLIENT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    new = {name for name in done.stdout.split() if not name.startswith("abaculus")}
    assert new <= {"__future__", "atexit"}
