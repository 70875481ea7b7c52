"""The tools of the page "Use the client" as they are printed there: recorded by command, and only when they run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from abaculus.command import TEXTS
from tests.hosts import ASKED, CLIENT, ROOT, Home
from tests.messages import mentions
from tests.waiting import PATIENCE

PAGE = (ROOT / "site" / "docs" / "client.md").read_text(encoding="utf-8")
# Typer alone takes a quarter of a second to import. One plain test runs it, the slow ones are the others.
TYPER = pytest.param("Typer", marks=pytest.mark.slow)
FRAMEWORKS = ("argparse", "click", TYPER)
PACKAGES = str(Path(pytest.__file__).parent.parent)  # where click and Typer are


def code(name: str) -> str:
    (found,) = re.findall(rf"^```python\n# {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


class Tool(Home):
    """A tool of the page, and a home for it."""

    def __init__(self, directory: Path, source: str, **environment: str) -> None:
        super().__init__(directory, **environment)
        self.environment["PYTHONPATH"] = os.pathsep.join([str(CLIENT), PACKAGES])
        self.script = self.project / "my_tool.py"
        self.script.write_text(source, encoding="utf-8")

    def do(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(self.script), *arguments],
            cwd=self.project, env=self.environment | environment,
            capture_output=True, encoding="utf-8", timeout=PATIENCE,
        )  # fmt: skip

    def only(self) -> dict[str, Any]:
        (session,) = self.queued()
        return dict(session["attributes"])


@pytest.fixture(params=[*FRAMEWORKS, "no framework"])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Tool:
    return Tool(tmp_path, code(request.param), MY_TOOL_TELEMETRY="1")


@pytest.mark.parametrize("framework", ["argparse", "click", "Typer", "no framework"])
def test_a_command_is_recorded_by_its_path_and_exit_code(tmp_path: Path, framework: str) -> None:
    tool = Tool(tmp_path, code(framework), MY_TOOL_TELEMETRY="1")
    ran = tool.do("build")
    assert (ran.returncode, ran.stderr) == (3, "")
    told = tool.only()
    assert (told["commandName"], told["exitCode"], told["shell"]) == ("build", 3, "fish")
    assert told["runtimeVersion"].startswith("Python 3")


def test_a_command_below_a_command_is_recorded_by_both(tool: Tool) -> None:
    assert tool.do("remote", "add").returncode == 0
    told = tool.only()
    assert (told["commandName"], told["exitCode"]) == ("remote add", 0)


def test_an_alias_is_recorded_by_the_commands_name(tmp_path: Path) -> None:
    tool = Tool(tmp_path, code("argparse"), MY_TOOL_TELEMETRY="1")
    assert tool.do("remote", "a").returncode == 0
    assert tool.only()["commandName"] == "remote add"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_no_run_is_not_recorded(tmp_path: Path, framework: str) -> None:
    tool = Tool(tmp_path, code(framework), MY_TOOL_TELEMETRY="1")
    for arguments in (("--help",), ("build", "--help"), ("bild",), ("build", "--wrong")):
        assert tool.do(*arguments).returncode == (0 if "--help" in arguments else 2), arguments
        assert tool.files() == [], arguments


def test_a_completion_is_not_recorded(tool: Tool) -> None:
    tool.do(_MY_TOOL_COMPLETE="bash_complete", COMP_WORDS="my-tool b", COMP_CWORD="1")
    assert tool.queued() == []


def test_users_have_the_telemetry_command(tool: Tool) -> None:
    tool.environment["MY_TOOL_TELEMETRY"] = ""
    assert '"on": false' in tool.do("telemetry", "status", "--json").stdout
    assert tool.do("telemetry", "on").stdout == "telemetry: on\n"
    assert tool.do("telemetry").stdout.startswith("telemetry: on")
    assert tool.do("telemetry", "flash").returncode == 2
    assert mentions(tool.do("telemetry", "--help").stdout, *TEXTS)
    assert tool.do("telemetry", "off").returncode == 0
    assert tool.queued() == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_question_comes_after_the_arguments_are_parsed(tmp_path: Path, framework: str) -> None:
    asking = code(framework).replace('.dev")', '.dev", prompt="May we?")')
    tool = Tool(tmp_path, asking)
    for arguments in (("bild",), ("--help",), ("build", "--wrong")):
        _, seen = tool.type(keys="y\n", command=(sys.executable, str(tool.script), *arguments))
        assert ASKED not in seen
    assert tool.files() == []
    answered, seen = tool.type(keys="y\n", command=(sys.executable, str(tool.script), "build"))
    assert (answered, ASKED in seen) == (3, True)
    assert tool.only()["commandName"] == "build"


SINGLE = {
    "click": "import click\n@click.command()\ndef main(): ...\ntelemetry.click(main); main()",
    "Typer": "import typer\napp = typer.Typer()\n@app.command()\ndef main(): ...\ntelemetry.typer(app); app()",
    "argparse": (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "with telemetry.argparse(parser) as arguments: print(arguments)"
    ),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_single_command_needs_no_group(tmp_path: Path, framework: str) -> None:
    head = (
        "from abaculus import Telemetry\ntelemetry = Telemetry('my-tool', version='1', endpoint='https://x.invalid')\n"
    )
    tool = Tool(tmp_path, head + SINGLE[framework], MY_TOOL_TELEMETRY="1")
    ran = tool.do()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "commandName" not in tool.only()


def test_the_namespace_is_what_it_is_without_telemetry(tmp_path: Path) -> None:
    source = code("argparse").replace("return arguments.run(arguments)", "print(sorted(vars(arguments)))")
    assert Tool(tmp_path, source).do("build").stdout == "['run']\n"


def test_a_test_of_the_tool_sees_its_sessions(tmp_path: Path) -> None:
    main = re.findall(r"^```python\n(from abaculus.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    tool = Tool(tmp_path, f"{main}\n{code('a test')}\ntest_the_shell_is_recorded()\n")
    ran = tool.do(DO_NOT_TRACK="1")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert tool.files() == []
