"""Facts about where a run takes place: each is one that the registry entries of the client declare."""

import os
import sys
from pathlib import Path

import pytest

from abaculus import environment
from ingest.function.registry import Field, parse
from tests.hosts import CLIENT, Home

SHIPPED = parse('id = "my-tool"\n' + (CLIENT / "abaculus" / "registry.toml").read_text(encoding="utf-8"))
VARIABLES = [*environment.CI_SYSTEMS, *environment.TERMINALS, "CI", "TERM_PROGRAM", "TERMINAL_EMULATOR", "SHELL"]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def check(told: dict[str, str | bool]) -> dict[str, str | bool]:
    """The facts, after each was found to be what its registry entry allows."""
    for name, value in told.items():
        field: Field = SHIPPED.attributes[name]
        assert isinstance(value, {"string": str, "boolean": bool}[field.type]), name
        assert not isinstance(value, str) or field.allows(value), f"{name}: {value}"
    return told


def test_this_machine_is_told_in_declared_words() -> None:
    told = check(environment.facts())
    assert told["runtimeVersion"] == f"Python {sys.version.split()[0].split('+')[0]}"
    assert told["runningInCi"] is False
    assert "ciSystem" not in told and "shellName" not in told and "terminalName" not in told


@pytest.mark.parametrize(
    ("variables", "name", "value"),
    [
        *[({variable: "1"}, "ciSystem", system) for variable, system in environment.CI_SYSTEMS.items()],
        ({"CI": "true"}, "ciSystem", "other"),
        ({"CI": "woodpecker"}, "ciSystem", "other"),
        *[({variable: "1"}, "terminalName", terminal) for variable, terminal in environment.TERMINALS.items()],
        *[({"TERM_PROGRAM": given}, "terminalName", name) for given, name in environment.TERM_PROGRAMS.items()],
        ({"TERMINAL_EMULATOR": "JetBrains-JediTerm"}, "terminalName", "JetBrains"),
        ({"TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, "terminalName", "VS Code"),
        *[({"SHELL": f"/usr/bin/{shell}"}, "shellName", shell) for shell in environment.SHELLS],
        ({"SHELL": "C:/Git/bin/bash.exe"}, "shellName", "bash"),
        ({"SHELL": "/home/ann/secret-shell"}, "shellName", "other"),
    ],
)  # fmt: skip
def test_what_the_environment_says_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str, value: str
) -> None:
    for variable, given in variables.items():
        monkeypatch.setenv(variable, given)
    assert check(environment.facts())[name] == value


@pytest.mark.parametrize("value", ["", "0", "false", "no", "off", "False"])
def test_a_system_that_says_no_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    monkeypatch.setenv("GITHUB_ACTIONS", value)
    assert environment.ci_system() is None


def test_every_machine_has_a_declared_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform in ("linux", "darwin", "win32", "cygwin", "freebsd14", "sunos5", "aix"):
        for machine in ("x86_64", "AMD64", "aarch64", "arm64", "riscv64", "vax", ""):
            monkeypatch.setattr(sys, "platform", platform)
            monkeypatch.setattr(environment, "_machine", lambda machine=machine: machine)
            told = check(environment.facts())
            assert told["osName"] in ("Linux", "macOS", "Windows", "FreeBSD", "other"), (platform, machine)


def test_without_standard_streams_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert environment.facts()["consoleIsInteractive"] is False


def test_nothing_of_the_machine_or_its_user_is_in_a_session(tmp_path: Path) -> None:
    home = Home(
        tmp_path, MY_TOOL_TELEMETRY="1", USER="ann", LOGNAME="ann", HOSTNAME="anns-laptop", SHELL="/home/ann/sh9"
    )
    home.run("work")
    (path,) = (home.state / "queue").glob("[0-9]*")
    text = path.read_text(encoding="utf-8")
    for told in ("ann", str(tmp_path), os.uname().nodename, os.uname().release):
        assert told not in text
