"""The question: asked of somebody who can answer, answered by a typed yes or no, and never in the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from abaculus import consent
from tests.hosts import ASKED, CLIENT, HOST, Home
from tests.messages import mentions

QUIET = (0, "worked 1\n", "")
# A tool that begins its session before it looks at its arguments.
EARLY = f"""
import sys
sys.path[:0] = [{str(CLIENT)!r}, {str(HOST.parent)!r}]
import host
with host.telemetry.session():
    sys.argv[1:] == ["read"] and input()
    print("worked 1")
"""


@pytest.mark.parametrize(
    ("keys", "answer"),
    [("y\n", "allowed"), ("Yes\n", "allowed"), ("n\n", "denied"), (" NO \n", "denied"), ("\n", ""), ("\x04", ""),
     ("ls -l\n", ""), ("yesterday\n", "")],
)  # fmt: skip
def test_only_a_typed_yes_or_no_is_remembered(tmp_path: Path, keys: str, answer: str) -> None:
    home = Home(tmp_path)
    code, seen = home.type("work", keys=keys)
    assert code == 0
    assert ASKED in seen
    assert "https://my-tool.invalid/telemetry\n" in seen
    assert seen.endswith("worked 1\n")
    assert consent.remembered(str(home.state))[0] == answer
    assert len(home.queued()) == int(answer == "allowed")
    assert (home.state / "id").exists() == (answer == "allowed")
    code, seen = home.type("work", keys="y\n")
    assert (code, ASKED in seen) == (0, answer == ""), "until there is an answer"
    assert len(home.queued()) == {"allowed": 2, "denied": 0, "": 1}[answer]


def test_ctrl_c_at_the_question_ends_the_tool_without_a_traceback_and_answers_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code, seen = home.type("work", keys="\x03")
    assert code == 130
    assert "worked" not in seen
    assert "Traceback" not in seen
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
    assert ASKED not in seen
    assert home.files() == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(("telemetry",), {}), (("telemetry", "on"), {}), (("--verbose", "telemetry", "off"), {}),
     (("build", "--help"), {}), (("-h",), {}), (("--version",), {}), (("--show-completion",), {}),
     ((), {"_MYTOOL_COMPLETE": "bash_source"}),
     ((), {"COMP_LINE": "my-tool b"}), ((), {"_ARGCOMPLETE": "1"})],
)  # fmt: skip
def test_a_tool_that_begins_its_session_early_asks_nobody_who_wants_something_else(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    home = Home(tmp_path)
    assert home.type(keys="y\n", command=(sys.executable, "-c", EARLY, *arguments), **environment) == (0, "worked 1\n")
    assert home.files() == []


def test_a_run_of_the_telemetry_command_is_never_recorded(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    for arguments in (["telemetry", "status"], ["--verbose", "telemetry"]):
        subprocess.run([sys.executable, "-c", EARLY, *arguments], cwd=home.project, env=home.environment, check=True)
    assert home.queued() == []


def test_in_the_background_nobody_is_asked_and_the_run_is_not_stopped(tmp_path: Path) -> None:
    home = Home(tmp_path)
    # With job control, as at a prompt: the run is in a process group of its own, which may not read from the terminal.
    script = f"set -m; {sys.executable} {HOST} work & wait $!; echo ended $?"
    code, seen = home.type(keys="y\n", command=("bash", "-c", script))
    assert code == 0
    assert "worked 1\n" in seen and seen.endswith("ended 0\n")
    assert ASKED not in seen
    assert home.files() == []


@pytest.mark.parametrize("ahead", ["git status\n", "git sta", "y\n", "y"])
def test_what_is_typed_ahead_is_no_answer_and_is_left_for_its_reader(tmp_path: Path, ahead: str) -> None:
    home = Home(tmp_path)
    # The line that the shell would read next; what lies there without an end is read together with what follows.
    script = f'{sys.executable} {HOST} work; echo {ASKED}; read -r line; echo "read <$line>"'
    code, seen = home.type(keys="\n", ahead=ahead, command=("bash", "-c", script))
    assert code == 0
    assert f"read <{ahead.strip()}>" in seen
    assert "May my-tool send" not in seen
    assert home.files() == []


@pytest.mark.parametrize("redirected", [0, 1, 2])
def test_nobody_is_asked_when_a_stream_is_no_terminal(tmp_path: Path, redirected: int) -> None:
    home = Home(tmp_path)
    script = f'exec "$0" "$1" work {["<", ">", "2>"][redirected]} /dev/null'
    code, seen = home.type(keys="y\n", command=("sh", "-c", script, sys.executable, str(HOST)))
    assert (code, ASKED in seen) == (0, False)
    assert home.files() == []


def test_nobody_is_asked_whose_answer_could_not_be_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code, seen = home.type("work", keys="y\n", XDG_STATE_HOME="/proc/1")
    assert (code, seen) == (0, "worked 1\n")


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
    assert mentions(seen, "attributes.shellName")
    assert not mentions(seen, "attributes.count"), "what was allowed already is not new"
    assert consent.remembered(str(home.state))[0] == "denied"
    assert home.queued() == []
    _, seen = home.type("work", keys="y\n", **more)
    assert ASKED not in seen, "a no is not asked about again"


def test_who_says_yes_to_more_is_recorded_with_it(tmp_path: Path) -> None:
    home = Home(tmp_path, HOST_COLLECTS="attributes.count")
    home.type("work", keys="y\n")
    home.type("work", keys="y\n", HOST_COLLECTS="attributes.count attributes.osName")
    assert [sorted(session["attributes"]) for session in home.queued()] == [["count"], ["count", "osName"]]
