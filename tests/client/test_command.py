"""`telemetry …` as the tool's users type it, in argparse and click tools."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from abaculus import Telemetry, consent, detach
from abaculus.actions import ACTIONS
from abaculus.command import TEXTS
from tests.hosts import HOST, Home, proxy, says, stored
from tests.messages import mentions, numbers


def say(home: Home, *arguments: str, **environment: str) -> str:
    ran = home.run("telemetry", *arguments, **environment)
    assert ran.code == 0, ran.error + ran.out
    return ran.out


def test_status_says_whether_it_is_on_and_which_rule_decided(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, *rest = say(home).splitlines()
    assert first.startswith("telemetry: off") and mentions(first, "asked")
    assert rest == [
        "sent to:   http://127.0.0.1:9",
        "waiting:   0 sessions, 0 bytes",
        "collected: https://my-tool.invalid/telemetry",
        f"files:     {home.state}",
    ]
    told = json.loads(say(home, "status", "--json"))
    assert mentions(told.pop("because"), "asked")
    assert told == {
        "on": False, "rule": "unasked", "endpoint": "http://127.0.0.1:9", "waiting": {"sessions": 0, "bytes": 0},
        "refused": 0, "collected": "https://my-tool.invalid/telemetry", "directory": str(home.state),
    }  # fmt: skip
    assert home.files() == []

    def first_line(**environment: str) -> str:
        return say(home, "status", **environment).splitlines()[0].removeprefix("telemetry: ")

    def decided(line: str, answer: str, rule: str) -> bool:
        return line.startswith(answer) and mentions(line, rule)

    assert decided(first_line(MY_TOOL_TELEMETRY="1"), "on", "MY_TOOL_TELEMETRY")
    assert decided(first_line(MY_TOOL_TELEMETRY="1", DO_NOT_TRACK="1"), "off", "DO_NOT_TRACK")
    assert decided(first_line(MY_TOOL_TELEMETRY_ENDPOINT="ftp://x"), "off", "https://")
    (home.project / ".do-not-track").touch()
    assert decided(first_line(), "off", ".do-not-track")


def test_yes_makes_an_id_and_no_deletes_what_waits(tmp_path: Path) -> None:
    home = Home(tmp_path)
    asked = home.run("telemetry", "id")
    assert (asked.code, asked.out, asked.error.count("\n")) == (1, "", 1)
    assert say(home, "on") == "telemetry: on\n"
    id = say(home, "id").strip()
    home.run("work")
    (session,) = home.queued()
    assert session["userId"] == id
    code = hashlib.sha256(id.encode()).hexdigest()
    assert home.run("telemetry", "id").error.strip().endswith(code), "what may be shown in public in its place"
    said = say(home, "off")
    assert said.startswith("telemetry: off") and numbers(said) == ["1"]
    assert home.queued() == []
    home.run("work")
    assert home.queued() == []
    assert say(home, "id").strip() == id, "with it, what was sent before can still be deleted"


def test_an_answer_that_another_rule_overrules_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert mentions(say(home, "on", DO_NOT_TRACK="1"), "off", "DO_NOT_TRACK")
    assert mentions(say(home, "off", MY_TOOL_TELEMETRY="1"), "on", "MY_TOOL_TELEMETRY")


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
    assert mentions(say(home, "flush"), "nothing")
    assert home.run("telemetry", "show").seen[:2] == (0, "")


def test_log_says_what_was_sent_when_and_the_answer(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1")
    assert home.run("telemetry", "log").seen[:2] == (0, "")
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
    assert (ran.code, ran.error) == (1, "") and mentions(ran.out, "off", "DO_NOT_TRACK")
    assert len(home.queued()) == 1


def test_flush_that_fails_says_how_many_wait_and_why(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    home.run("work")
    ran = home.run("telemetry", "flush")
    assert ran.code == 1
    assert numbers(ran.out)[0] == "1" and mentions(ran.out, "Connection refused")


@pytest.mark.slow
def test_flush_waits_for_an_upload_that_a_run_has_just_started(tmp_path: Path, served: tuple[str, Path]) -> None:
    with proxy(served[0]) as between:
        home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
        home.run("work")
        between.fault = lambda handler, body: bool(time.sleep(1))
        home.grow_old()
        home.run("work")
        home.until(lambda: len(between.bodies) == 1)
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
    assert mentions(say(home, "reset"), old)
    assert home.queued() == []
    home.run("work")
    (session,) = home.queued()
    assert session["userId"] != old
    for path in home.state.rglob("*"):
        assert path.is_dir() or old not in path.read_text(encoding="utf-8")


def test_a_disk_that_cannot_be_written_is_said_without_a_traceback(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.parent.mkdir(parents=True)
    home.state.write_text("a file in the way", encoding="utf-8")
    ran = home.run("telemetry", "on")
    assert ran.code == 1
    assert ran.error.startswith("telemetry: ")
    assert "Traceback" not in ran.error


def test_without_a_home_it_says_so(tmp_path: Path) -> None:
    ran = Home(tmp_path).run("telemetry", "status", HOME="nowhere", XDG_STATE_HOME="")
    assert (ran.code, ran.error.count("\n")) == (0, 1)
    assert mentions(ran.error, "off", "HOME")


def test_without_a_home_the_files_of_a_project_are_not_counted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("queue", "aside"):
        (home.project / name).mkdir()
        (home.project / name / "0-10-2ad4b0a0-4f5c-4b7a-9d7e-0d8f6c1f3b11.json").touch()
    told = json.loads(say(home, "status", "--json", HOME="nowhere", XDG_STATE_HOME=""))
    assert (told["waiting"]["sessions"], told["refused"], told["directory"]) == (0, 0, None)


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
    assert run(tool, ["telemetry"]).output.startswith("telemetry: off")
    assert run(tool, ["telemetry", "on"]).output == "telemetry: on\n"
    assert consent.remembered(str(tmp_path / "my-tool/telemetry"))[0] == "allowed"
    failed = run(tool, ["telemetry", "flush", "extra"])
    assert failed.exit_code == 2
    shown = run(tool, ["telemetry", "--help"]).output
    for name, text in TEXTS.items():
        assert name in shown and text[:20] in shown
    assert numbers(run(tool, ["telemetry", "off"]).output) == ["0"]
    assert run(tool, ["telemetry", "id"]).exit_code == 0


def test_the_command_is_not_recorded_and_asks_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    say(home)
    assert home.files() == []


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    home.state.mkdir(parents=True)
    lines = [f"2026-11-25T10:00:00Z  201  {number:036d}\n" for number in range(4000)]
    (home.state / "log").write_text("".join(lines), encoding="utf-8")  # more than a pipe holds
    shell = ["bash", "-c", '"$0" "$1" telemetry log | head -1; exit "${PIPESTATUS[0]}"']
    done = subprocess.run(
        [*shell, sys.executable, str(HOST)], env=home.environment, capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, lines[0], "")
    # A reader that is gone before the first line: what is written is noticed when it leaves the buffer.
    reader, writer = os.pipe()
    os.close(reader)
    home.environment["PYTHONPATH"] += f"{os.pathsep}{HOST.parent}"
    for words in (["status"], ["status", "--json"], ["--help"]):
        code = f"import host, sys; sys.exit(host.telemetry.command({words}))"
        command = [sys.executable, "-c", code]
        gone = subprocess.run(command, env=home.environment, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8")
        assert (gone.returncode, gone.stderr) == (0, ""), words
    os.close(writer)


ASCII = (
    {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


@pytest.mark.parametrize("environment", ASCII, ids=["streams", "locale"])
def test_a_terminal_of_ascii_signs_shows_all(tmp_path: Path, environment: dict[str, str]) -> None:
    home = Home(tmp_path / os.fsdecode("grün".encode()), MY_TOOL_TELEMETRY="1")
    home.run("work")
    (home.state / "log").write_text("2026-11-25T10:00:00Z  failed  1 session: 500 größer ✓\n", encoding="utf-8")
    actions = ("status", "show", "log", "flush")
    ran = home.python(f"print([host.telemetry.command([one]) for one in {actions}])", **environment)
    shown = ran.out.splitlines()
    assert (ran.code, ran.error, shown[-1]) == (0, "", "[0, 0, 0, 1]")
    if "LC_ALL" in environment:
        return  # there Python itself writes what is no ASCII as it read it
    assert ran.out.isascii()
    assert r"gr\xfcn" in next(line for line in shown if line.startswith("files:"))
    assert r"gr\xf6\xdfer \u2713" in next(line for line in shown if "  failed  1 session: 500 " in line)
    # The question, and an answer that is neither yes nor no in any encoding.
    asked = "prompt='D\\u00fcrfen wir?'"
    tool = f"from abaculus import Telemetry; Telemetry('my-tool', version='1', endpoint='', {asked}).session()"
    home.environment["MY_TOOL_TELEMETRY"] = ""
    for keys, answer in (("jä\n", ""), ("yes\n", "allowed")):
        code, seen = home.type(keys=keys, command=(sys.executable, "-c", tool), **environment)
        assert (code, r"D\xfcrfen wir?" in seen, "Traceback" in seen) == (0, True, False)
        assert consent.remembered(str(home.state))[0] == answer


def test_closed_output_is_no_crash(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    home.run("work")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} {Path(__file__).with_name('host.py')} telemetry show >&-"],
        env=home.environment, cwd=home.project, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert "Traceback" not in done.stderr
