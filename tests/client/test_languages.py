"""The clients of the page "Other languages", each run as it is printed there, against the real function."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import CLEAN, ROOT, Proxy, again, says, sessions, stalls, stored
from tests.waiting import PATIENCE, until

PAGE = (ROOT / "site" / "docs" / "other-languages.md").read_text(encoding="utf-8")
NAMES = {"bash": "telemetry.sh", "js": "telemetry.mjs"}
SHELL_TOOL = """#!/usr/bin/env bash
TOOL=my-tool VERSION=1.4.0 ENDPOINT=${MY_TOOL_TELEMETRY_ENDPOINT-https://telemetry.my-tool.dev}
source "$(dirname "$0")/telemetry.sh"
echo worked
telemetry_end '{"exitCode": 0}'
"""
NODE_TOOL = """import { end } from "./telemetry.mjs";
const start = Date.now();
console.log("worked");
end(start, { exitCode: 0 });
"""


def code(language: str) -> str:
    """What the page prints."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


class Tool:
    """A tool in another language, and a home for it."""

    def __init__(self, command: list[str], home: Path, endpoint: str) -> None:
        self.command = command
        self.state = home / "state" / "my-tool" / "telemetry"
        self.home = home
        home.mkdir()
        self.environment = {name: os.environ[name] for name in CLEAN if name in os.environ} | {
            "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "MY_TOOL_TELEMETRY_ENDPOINT": endpoint,
        }  # fmt: skip

    def run(self, **environment: str) -> None:
        """Runs it, and looks that nobody sees anything of telemetry."""
        done = subprocess.run(
            self.command,
            cwd=self.home,
            env=self.environment | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "worked\n", "")

    def queued(self) -> list[dict[str, Any]]:
        return sessions(self.state / "queue")

    def idle(self) -> bool:
        """Whether every process that a run has left behind has ended."""
        mine = f"HOME={self.home}\0".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mine in environment.read_bytes():
                    return False
        return True


# Node starts slower than a shell: its runs are with the slow tests.
@pytest.fixture(scope="module", params=["bash", pytest.param("js", marks=pytest.mark.slow)])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How the tool is started, once it is built from the page's code."""
    language = request.param
    directory = tmp_path_factory.mktemp(language)
    (directory / NAMES[language]).write_text(code(language), encoding="utf-8")
    if language == "bash":
        (directory / "tool").write_text(SHELL_TOOL, encoding="utf-8")
        return ["bash", str(directory / "tool")]
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed (apt-get install nodejs)")
    (directory / "tool.mjs").write_text(NODE_TOOL, encoding="utf-8")
    return [node, str(directory / "tool.mjs")]


@pytest.fixture
def tool(command: list[str], tmp_path: Path, between: Proxy) -> Tool:
    return Tool(command, tmp_path / "home", between.url)


@pytest.mark.slow
def test_a_later_run_sends_what_an_earlier_one_left(tool: Tool, served: tuple[str, Path]) -> None:
    tool.run(MY_TOOL_TELEMETRY="1")
    (first,) = tool.queued()
    time.sleep(0.3)
    assert tool.queued() == [first], "nothing is sent by the run itself"
    time.sleep(0.8)  # the shell's files tell their age in their time, to a fraction
    tool.run(MY_TOOL_TELEMETRY="1")
    until(tool.idle)
    assert len(tool.queued()) == 1
    assert tool.queued() != [first]
    (kept,) = [session for session in stored(served[1]) if session["sessionId"] == first["sessionId"]]
    assert kept["attributes"] == {"exitCode": 0}
    assert kept["undeclared"] == []
    assert kept["userId"] == tool.queued()[0]["userId"] == (tool.state / "id").read_text(encoding="utf-8")


def test_files_are_for_their_owner_alone(tool: Tool) -> None:
    tool.run(MY_TOOL_TELEMETRY="1")
    for path in (tool.state, *tool.state.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.mark.parametrize(
    ("environment", "answer", "file", "recorded"),
    [
        ({}, None, False, False), ({}, "denied", False, False),
        ({}, "allowed", False, True), ({}, "retired", False, False),
        ({"MY_TOOL_TELEMETRY": "1"}, None, False, True), ({"MY_TOOL_TELEMETRY": "1"}, "denied", False, True),
        ({"MY_TOOL_TELEMETRY": "1"}, "retired", False, False), ({"MY_TOOL_TELEMETRY": "0"}, "allowed", False, False),
        ({"MY_TOOL_TELEMETRY": "perhaps"}, "allowed", False, False), ({"DO_NOT_TRACK": "1"}, "allowed", False, False),
        ({"DO_NOT_TRACK": "0"}, "allowed", False, True),
        ({"DO_NOT_TRACK": "1", "MY_TOOL_TELEMETRY": "1"}, None, False, False),
        ({"MY_TOOL_TELEMETRY": "1"}, "allowed", True, False), ({"CI": "1"}, None, False, False),
        ({"MY_TOOL_TELEMETRY": "1", "MY_TOOL_TELEMETRY_ENDPOINT": "http://telemetry.invalid"}, None, False, False),
    ],
)  # fmt: skip
def test_the_consent_rules_hold(
    tool: Tool, between: Proxy, environment: dict[str, str], answer: str | None, file: bool, recorded: bool
) -> None:
    if answer is not None:
        tool.state.mkdir(parents=True)
        (tool.state / "consent").write_text(answer + "\n", encoding="utf-8")
    if file:
        (tool.home / ".do-not-track").touch()
    before = sorted(tool.home.rglob("*"))
    tool.run(**environment)
    assert len(tool.queued()) == int(recorded)
    assert recorded or sorted(tool.home.rglob("*")) == before
    assert between.bodies == []


def test_in_ci_a_session_is_sent_at_once(tool: Tool, between: Proxy) -> None:
    again(lambda: tool.run(MY_TOOL_TELEMETRY="1", CI="true"), lambda: tool.queued() == [])
    assert between.bodies


@pytest.mark.slow
def test_in_ci_nobody_waits_for_long(tool: Tool, between: Proxy) -> None:
    between.fault = stalls
    began = time.monotonic()
    tool.run(MY_TOOL_TELEMETRY="1", CI="true")
    assert time.monotonic() - began < 30, "the server would have taken a minute"
    assert len(tool.queued()) == 1


def test_a_refused_session_is_set_aside(tool: Tool, between: Proxy) -> None:
    between.fault = says(400)
    again(lambda: tool.run(MY_TOOL_TELEMETRY="1", CI="true"), lambda: tool.queued() == [])
    assert list((tool.state / "aside").iterdir())


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.slow)])
def test_a_server_that_asks_to_wait_is_left_alone(tool: Tool, between: Proxy, status: int) -> None:
    between.fault = says(status, Retry_After="300")
    again(lambda: tool.run(MY_TOOL_TELEMETRY="1", CI="true"), (tool.state / "retry").exists)
    waiting, asked = len(tool.queued()), len(between.bodies)
    tool.run(MY_TOOL_TELEMETRY="1", CI="true")
    assert (len(tool.queued()), len(between.bodies)) == (waiting + 1, asked)


def test_a_retired_tool_stops_for_good(tool: Tool, between: Proxy) -> None:
    between.fault = says(410)
    consent = tool.state / "consent"
    again(
        lambda: tool.run(MY_TOOL_TELEMETRY="1", CI="true"),
        lambda: consent.exists() and "retired" in consent.read_text(encoding="utf-8"),
    )
    asked = len(between.bodies)
    tool.run(MY_TOOL_TELEMETRY="1", CI="true")
    assert (tool.queued(), len(between.bodies)) == ([], asked)


@pytest.mark.slow
@pytest.mark.parametrize("status", [302, 404, 500])
def test_without_a_proper_answer_all_is_kept_and_five_failures_end_it(
    tool: Tool, between: Proxy, served: tuple[str, Path], status: int
) -> None:
    between.fault = says(500)
    for _ in range(6):
        tool.run(MY_TOOL_TELEMETRY="1")
    until(tool.idle)
    between.bodies.clear()
    between.fault = says(status, Location=f"{served[0]}/v1/sessions")
    tool.run(MY_TOOL_TELEMETRY="1", CI="1")
    assert len(tool.queued()) == 7
    assert len(between.bodies) == 5


def test_a_state_that_cannot_be_written_harms_nobody(tool: Tool) -> None:
    tool.run(MY_TOOL_TELEMETRY="1", XDG_STATE_HOME="/dev/null")
    tool.run(MY_TOOL_TELEMETRY="1", XDG_STATE_HOME="/proc")


def test_the_oldest_of_too_many_go(tool: Tool) -> None:
    queue = tool.state / "queue"
    queue.mkdir(parents=True)
    for number in range(505):
        path = queue / f"{number:015d}-x.json"
        path.write_text("{}", encoding="utf-8")
        os.utime(path, (1_000_000_000 + number,) * 2)
    (tool.state / "retry").touch()
    os.utime(tool.state / "retry", (time.time() + 300,) * 2)  # nothing is sent meanwhile
    tool.run(MY_TOOL_TELEMETRY="1")
    left = sorted(path.name for path in queue.glob("0*-x.json"))
    assert left == [f"{number:015d}-x.json" for number in range(6, 505)]


def test_the_shell_client_is_clean_to_shellcheck(tmp_path: Path) -> None:
    (tmp_path / "telemetry.sh").write_text("#!/usr/bin/env bash\n" + code("bash"), encoding="utf-8")
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    # Set and used by who sources it; names without spaces, which the client has made itself.
    done = subprocess.run(
        [shellcheck, "-e", "SC2154,SC2012,SC2044,SC2046", str(tmp_path / "telemetry.sh")],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
