"""The module for Python that `abaculus client` writes: typed, complete, and used by a tool."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.function.registry import load, parse
from reports.cli import main
from reports.clients.names import snake
from reports.clients.python import python
from tests.hosts import APPLICATION, CLIENT, ROOT

USES = """
from abaculus import Telemetry
from recorded import COLLECTS, Run

telemetry = Telemetry("my-tool", version="1", endpoint="https://x.invalid", collects=COLLECTS)
with telemetry.recorded() as sessions, telemetry.session() as session:
    run = Run(session)
    run.set_count(4)
    run.set_os_name("Linux")
    run.record_done(note="ok")
    run.record_done()
    with run.start_work(size=1) as work:
        work.set_size(2)
"""
CHECK = """
(made,) = sessions
assert made["attributes"] == {"count": 4, "osName": "Linux"}
assert [(event["type"], event["attributes"]) for event in made["events"]] == [("Done", {"note": "ok"}), ("Done", {})]
assert [(span["type"], span["attributes"]) for span in made["spans"]] == [("Work", {"size": 2})]
"""
WRONG = {
    "an attribute that is not declared": ("run.set_secret(1)", "attr-defined"),
    "a value that is not listed": ('run.set_os_name("BeOS")', "arg-type"),
    "a value of another type": ('run.set_count("four")', "arg-type"),
    "an event that is not declared": ("run.record_undone()", "attr-defined"),
    "an attribute of an event that is not declared": ("run.record_done(secret=1)", "call-arg"),
    "a value of an event that is not listed": ('run.record_done(note="well")', "arg-type"),
    "an attribute of a span that is not declared": ("run.start_work().set_secret(1)", "attr-defined"),
}


def test_a_tool_records_with_it(tmp_path: Path) -> None:
    (tmp_path / "recorded.py").write_text(python(APPLICATION), encoding="utf-8")
    (tmp_path / "tool.py").write_text(USES + CHECK, encoding="utf-8")
    subprocess.run([sys.executable, "tool.py"], cwd=tmp_path, env={"PYTHONPATH": str(CLIENT)}, check=True)


@pytest.mark.slow
def test_a_type_checker_names_what_is_not_declared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "recorded.py").write_text(python(APPLICATION), encoding="utf-8")
    (tmp_path / "tool.py").write_text(USES + CHECK, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(
        USES + "".join(f"{code}  # {name}\n" for name, (code, _) in WRONG.items()), encoding="utf-8"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "tool.py", "wrong.py"]
    environment = {"MYPYPATH": str(CLIENT), "PATH": ""}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8").stdout
    first = len(USES.splitlines()) + 1
    found = [(one.partition(": ")[0], one.rpartition("[")[2]) for one in said.splitlines() if ": error:" in one]
    assert found == [(f"wrong.py:{line}", f"{kind}]") for line, (_, kind) in enumerate(WRONG.values(), first)], said


@pytest.mark.parametrize("id", load(ROOT / "ingest" / "applications"))
def test_every_registry_of_ours_gives_a_module(id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / "recorded.py"
    assert CliRunner().invoke(main, ["client", "python", id, "--out", str(out)]).exit_code == 0
    found: dict[str, object] = {}
    exec(out.read_text(encoding="utf-8"), found)
    assert found["COLLECTS"] == tuple(load(ROOT / "ingest" / "applications")[id].paths)


def test_hostile_texts_and_names_stay_what_they_are() -> None:
    text = r"""
id = "x"
[attributes.class]
type = "string"
values = ["its", 'a "b"', 'back\slash', "\u202e"]
why = "Says \"\"\" and \\ and more"
[events.Import]
why = "x"
[events.Import.attributes.lambda]
type = "boolean"
why = "y"
[events.Import.attributes.self]
type = "number"
why = "y"
"""
    found: dict[str, object] = {}
    exec(python(parse(text)), found)
    assert "record_import" in dir(found["Run"])


def test_an_application_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ran = CliRunner().invoke(main, ["client", "python", "nothing"])
    assert (ran.exit_code, "nothing" in ran.output) == (1, True)


@pytest.mark.parametrize(
    ("name", "written"), [("newVersion", "new_version"), ("osName", "os_name"), ("URLCount2", "url_count2"), ("a", "a"),
                          ("LoadHTTPServer", "load_http_server"), ("x1y", "x1_y")],
)  # fmt: skip
def test_names_are_written_as_python_has_them(name: str, written: str) -> None:
    assert snake(name) == written
