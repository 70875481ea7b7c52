"""`telemetry …` as the tool's users type it, in argparse and click tools."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from abaculus import Telemetry, consent, detach
from abaculus.actions import ACTIONS
from abaculus.command import TEXTS
from tests.hosts import Home, function, proxy, says, stored


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with function(tmp_path_factory.mktemp("function")) as found:
        yield found


def say(home: Home, *arguments: str, **environment: str) -> str:
    ran = home.run("telemetry", *arguments, **environment)
    assert ran.code == 0, ran.error + ran.out
    return ran.out


def test_status_says_whether_it_is_on_and_which_rule_decided(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, *rest = say(home).splitlines()
    assert first == "telemetry: off, because you have not been asked"
    assert rest == [
        "sent to:   http://127.0.0.1:9",
        "waiting:   0 sessions, 0 bytes",
        "collected: https://my-tool.invalid/telemetry",
        f"files:     {home.state}",
    ]
    assert home.files() == []

    def first_line(**environment: str) -> str:
        return say(home, "status", **environment).splitlines()[0].removeprefix("telemetry: ")

    assert first_line(MY_TOOL_TELEMETRY="1") == "on, because MY_TOOL_TELEMETRY says yes"
    assert first_line(MY_TOOL_TELEMETRY="0") == "off, because MY_TOOL_TELEMETRY says no"
    assert first_line(MY_TOOL_TELEMETRY="1", DO_NOT_TRACK="1") == "off, because DO_NOT_TRACK is set"
    assert first_line(MY_TOOL_TELEMETRY_ENDPOINT="ftp://x").startswith("off, because there is no https:// address")
    (home.project / ".do-not-track").touch()
    assert first_line() == "off, because a file .do-not-track here or in a directory above forbids it"


def test_yes_makes_an_id_and_no_deletes_what_waits(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.run("telemetry", "id").seen == (1, "", "telemetry: you have no id; one is made when you say yes\n")
    assert say(home, "on") == "telemetry: on\n"
    id = say(home, "id").strip()
    home.run("work")
    (session,) = home.queued()
    assert session["userId"] == id
    assert say(home, "off") == "telemetry: off; 1 session that waited were deleted\n"
    assert home.queued() == []
    home.run("work")
    assert home.queued() == []
    assert say(home, "id").strip() == id, "with it, what was sent before can still be deleted"


def test_an_answer_that_another_rule_overrules_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert say(home, "on", DO_NOT_TRACK="1") == (
        "telemetry: your yes is kept, but it is off, because DO_NOT_TRACK is set\n"
    )
    assert say(home, "off", MY_TOOL_TELEMETRY="1").endswith(
        "It is still on here, because MY_TOOL_TELEMETRY says yes.\n"
    )


def test_show_prints_the_very_bytes_that_flush_sends(tmp_path: Path, served: tuple[str, Path]) -> None:
    with proxy(served[0]) as between:
        home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        held = detach.lock(str(home.state))  # no run sends meanwhile
        assert held is not None
        for _ in range(2):
            home.run("work")
        os.close(held)
        shown = say(home, "show")
        assert len(shown.splitlines()) == 3
        assert say(home, "flush") == "telemetry: 3 sent\n"
        (request,) = between.sent
        assert sorted(map(json.dumps, request)) == sorted(json.dumps(json.loads(line)) for line in shown.splitlines())

        assert sorted(gzip.decompress(between.bodies[0]).splitlines()) == sorted(shown.encode().splitlines())
    assert say(home, "flush") == "telemetry: nothing waits to be sent\n"
    assert home.run("telemetry", "show").seen == (0, "", "telemetry: nothing waits to be sent\n")


def test_log_says_what_was_sent_when_and_the_answer(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1")
    assert home.run("telemetry", "log").seen == (0, "", "telemetry: nothing was sent yet\n")
    home.run("work")
    (session,) = home.queued()
    say(home, "flush")
    (line,) = say(home, "log").splitlines()
    assert line.split()[1:] == ["201", session["sessionId"]]
    assert session["sessionId"] in [one["sessionId"] for one in stored(served[1])]


def test_flush_sends_nothing_when_it_is_off_and_says_why(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1")
    home.run("work")
    ran = home.run("telemetry", "flush", DO_NOT_TRACK="1")
    assert ran.seen == (1, "telemetry: nothing is sent: it is off, because DO_NOT_TRACK is set\n", "")
    assert len(home.queued()) == 1


def test_flush_that_fails_says_how_many_wait_and_why(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    home.run("work")
    ran = home.run("telemetry", "flush")
    assert ran.code == 1
    assert ran.out == "telemetry: 1 still waiting; no answer: [Errno 111] Connection refused\n"


def test_flush_waits_for_an_upload_that_a_run_has_just_started(tmp_path: Path, served: tuple[str, Path]) -> None:
    with proxy(served[0]) as between:
        home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        between.fault = lambda handler, body: bool(time.sleep(1))
        home.run("work")
        assert home.run("telemetry", "flush").seen == (0, "telemetry: 1 sent\n", "")
        assert home.queued() == []
        assert len(between.bodies) == 2


def test_what_a_server_says_cannot_take_over_the_terminal(tmp_path: Path) -> None:
    with proxy() as broken:
        broken.fault = says(500, b'{"message": "\\u001b[2Jgone\\r\\n::add-mask::x"}')
        home = Home(tmp_path, broken.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        out = home.run("telemetry", "flush").out
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert "gone" in out


def test_reset_makes_a_stranger_of_its_user_and_keeps_the_answer(tmp_path: Path) -> None:
    home = Home(tmp_path)
    say(home, "on")
    old = say(home, "id").strip()
    home.run("work")
    assert f"What was sent before carries the old id: {old}" in say(home, "reset")
    assert home.queued() == []
    home.run("work")
    (session,) = home.queued()
    assert session["userId"] != old
    for path in home.state.rglob("*"):
        assert path.is_dir() or old not in path.read_text()


def test_a_disk_that_cannot_be_written_is_said_without_a_traceback(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.parent.mkdir(parents=True)
    home.state.write_text("a file in the way")
    ran = home.run("telemetry", "on")
    assert ran.code == 1
    assert ran.error.startswith("telemetry: ")
    assert "Traceback" not in ran.error


def test_without_a_home_it_says_so(tmp_path: Path) -> None:
    ran = Home(tmp_path).run("telemetry", "status", HOME="nowhere", XDG_STATE_HOME="")
    assert (ran.code, ran.error) == (
        0, "telemetry: off, because you have no home directory to keep anything in; set HOME\n",
    )  # fmt: skip


def test_help_names_every_action_and_each_is_there(tmp_path: Path) -> None:
    assert TEXTS.keys() == ACTIONS.keys()
    out = say(Home(tmp_path), "--help")
    for name, text in TEXTS.items():
        assert name in out
        assert text.split(",")[0] in " ".join(out.split())


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> click.Group:
    """A click tool with the same sub-command."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("DO_NOT_TRACK", "MY_TOOL_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    telemetry = Telemetry("my-tool", version="1", endpoint="http://127.0.0.1:9")

    @click.group()
    def main() -> None: ...

    main.add_command(telemetry.click_group())
    return main


def test_a_click_tool_has_the_same_commands(tool: click.Group, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(tool, ["telemetry"]).output.startswith("telemetry: off, because you have not been asked\n")
    assert run(tool, ["telemetry", "on"]).output == "telemetry: on\n"
    assert consent.remembered(str(tmp_path / "my-tool/telemetry"))[0] == "allowed"
    failed = run(tool, ["telemetry", "flush", "extra"])
    assert failed.exit_code == 2
    shown = run(tool, ["telemetry", "--help"]).output
    for name, text in TEXTS.items():
        assert name in shown and text[:20] in shown
    assert run(tool, ["telemetry", "off"]).output == "telemetry: off; 0 sessions that waited were deleted\n"
    assert run(tool, ["telemetry", "id"]).exit_code == 0


def test_the_command_is_not_recorded_and_asks_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    say(home)
    assert home.files() == []


def test_closed_output_is_no_crash(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    home.run("work")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} {Path(__file__).with_name('host.py')} telemetry show >&-"],
        env=home.environment, cwd=home.project, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
