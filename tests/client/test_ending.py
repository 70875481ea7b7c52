"""The recorded exit code is the one that the process's caller sees, or none. Errors carry no words of the user."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Home, interpreters
from tests.waiting import PATIENCE

# The tool's own file; `main` is what differs.
TOOL = """
import os, signal, sys, time
from abaculus import Telemetry
telemetry = Telemetry("my-tool", version="1.4.0", endpoint="https://telemetry.my-tool.invalid")

class ConfigError(Exception):
    pass

def recorded(*raised):
    with telemetry.session() as session:
        session.environment()
        for error in raised:
            raise error
    return 1

"""
ENDS = {
    "a returned code": "def main(): return recorded()\nsys.exit(main())",
    "a code that is returned from the with": """
def main():
    with telemetry.session() as session:
        session.environment()
        return 3
sys.exit(main())""",
    "no code at all": "recorded(); sys.exit()",
    "None": "recorded(); sys.exit(None)",
    "True": "recorded(); sys.exit(True)",
    "256": "recorded(); sys.exit(256)",
    "more than an integer of the machine": "recorded(); sys.exit(2**70)",
    "a negative number": "recorded(); sys.exit(-1)",
    "a text": "recorded(); sys.exit('why')",
    "a tuple": "recorded(); sys.exit((1, 2))",
    "a sys.exit that the tool took early": "from sys import exit\nrecorded(); exit(3)",
    "in the with": "recorded(SystemExit(7))",
    "in the with, and another outside": "try: recorded(SystemExit(7))\nexcept SystemExit: sys.exit(2)",
    "an exception": "recorded(ConfigError())",
    "an exception that was handled": "try: recorded(ConfigError())\nexcept ConfigError: sys.exit(4)",
    "an exception after the with": "recorded(); raise ConfigError",
    "an exit that was caught": "recorded()\ntry: sys.exit(5)\nexcept SystemExit: pass\nsys.exit(6)",
    "a code that was changed": """
recorded()
try: sys.exit(5)
except SystemExit as error:
    error.code = 9
    raise""",
    "Ctrl-C": "recorded(); os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
    "SIGTERM": "recorded(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)",
    "SIGTERM in the with": """
with telemetry.session() as session:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)""",
    "SIGHUP in the with": """
with telemetry.session() as session:
    session.environment()
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(5)""",
    "SIGTERM that the tool handles": """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(8))
with telemetry.session() as session:
    session.environment()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)""",
    "a session that nothing ends": "telemetry.session().environment(); sys.exit(3)",
    "a session that nothing ends, and an exception": "telemetry.session().environment(); raise ConfigError",
    "a fork": """
with telemetry.session() as session:
    session.environment()
    if os.fork() == 0: sys.exit(5)
    os.wait()
sys.exit(6)""",
    "a thread": """
import threading
recorded()
thread = threading.Thread(target=lambda: sys.exit(5)); thread.start(); thread.join()
sys.exit(6)""",
}
# What only Python 3.12 says. An older one gives no code, rather than one that nobody gave.
NEWER = {
    "SystemExit raised by name": "def main(): return recorded()\nraise SystemExit(main())",
    "an end without a word": "recorded()",
    "a SystemExit of two values": "recorded(); raise SystemExit(1, 2)",
    "an exit that was caught, and no other": "recorded()\ntry: sys.exit(5)\nexcept SystemExit: pass",
}


def ended(home: Home, python: str, code: str, how: str = "script") -> tuple[int, dict[str, Any]]:
    """What a shell sees of a process, and the one session that it recorded."""
    (home.project / "my_tool.py").write_text(TOOL + code, encoding="utf-8")
    command = [python, "-m", "my_tool"] if how == "module" else [python, "my_tool.py"]
    if how == "entry point":
        command = [python, "-c", f"import sys\nsys.argv = ['my-tool']\n{TOOL}{code}"]
    done = subprocess.run(
        command, cwd=home.project, env=home.environment, capture_output=True, encoding="utf-8", timeout=PATIENCE
    )
    (session,) = home.queued()
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, session


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, MY_TOOL_TELEMETRY="1")


@pytest.mark.parametrize(
    "python", [sys.executable, *(pytest.param(one, marks=pytest.mark.slow) for one in interpreters()[1:])]
)
@pytest.mark.parametrize("end", ENDS | NEWER)
def test_the_code_is_the_process_own(home: Home, python: str, end: str) -> None:
    code, session = ended(home, python, (ENDS | NEWER)[end])
    version = tuple(map(int, session["attributes"].get("runtimeVersion", "Python 3.10").split()[1].split(".")))
    if end == "SIGTERM in the with":
        assert "exitCode" not in session["attributes"], "it was not asked for"
        assert code == 128 + signal.SIGTERM
    elif end in NEWER and version < (3, 12):
        assert "exitCode" not in session["attributes"]
    else:
        assert session["attributes"]["exitCode"] == code


@pytest.mark.parametrize("how", ["script", "module", "entry point"])
def test_the_code_is_the_process_own_however_it_was_started(home: Home, how: str) -> None:
    code, session = ended(home, sys.executable, ENDS["a returned code"], how)
    assert session["attributes"]["exitCode"] == code == 1


def test_of_several_sessions_of_a_process_only_the_last_can_have_its_code(home: Home) -> None:
    (home.project / "my_tool.py").write_text(TOOL + "recorded(); recorded(); sys.exit(3)", encoding="utf-8")
    subprocess.run([sys.executable, "my_tool.py"], cwd=home.project, env=home.environment)
    assert [session["attributes"].get("exitCode") for session in home.queued()] == [None, 3]


@pytest.mark.slow
def test_a_session_ends_with_its_with_and_not_with_the_process(home: Home) -> None:
    _, session = ended(home, sys.executable, "recorded(); time.sleep(1.5); sys.exit(0)")
    assert datetime.now(UTC) - datetime.fromisoformat(session["sessionEndTime"]) > timedelta(seconds=1.4)


def test_signals_are_the_tools_again_when_the_session_is_kept(home: Home) -> None:
    code = """
import signal
session = host.telemetry.session()
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
session.end()
print(signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, sys.exit)
"""
    assert home.python("import sys\n" + code).out == "False\nTrue <built-in function exit>\n"


# Names

USER = """
class SecretError({base}):
    pass
def secret():
    raise SecretError("secret")
secret()
"""


@pytest.mark.parametrize("base", ["Exception", "KeyError", "OSError"])
@pytest.mark.parametrize("run_name", ["__main__", "my_tool.plugin", "user"])
def test_an_exception_of_the_users_own_code_is_named_by_the_nearest_class_that_everybody_knows(
    home: Home, base: str, run_name: str
) -> None:
    (home.project / "secretproject.py").write_text(USER.format(base=base), encoding="utf-8")
    code = f"""
import runpy
with telemetry.session() as session:
    runpy.run_path("secretproject.py", run_name={run_name!r})
"""
    _, session = ended(home, sys.executable, code)
    (event,) = session["events"]
    assert event["attributes"]["exceptionType"] == base
    places = event["attributes"]["frames"].split()
    assert [place.rpartition(":")[0] for place in places] == ["__main__.<module>"], "the tool's own, and no other"
    assert "ecret" not in str(session)


def test_code_that_the_tool_executes_in_its_own_name_is_not_its_own(home: Home) -> None:
    (home.project / "secretproject.py").write_text(USER.format(base="ConfigError"), encoding="utf-8")
    code = """
with telemetry.session() as session:
    exec(compile(open("secretproject.py").read(), "secretproject.py", "exec"))
"""
    _, session = ended(home, sys.executable, code)
    (event,) = session["events"]
    # The class is an attribute of the tool's module now, so that it counts as the tool's; places in the file do not.
    assert [place.rpartition(":")[0] for place in event["attributes"]["frames"].split()] == ["__main__.<module>"]


def test_an_exception_of_the_tools_own_is_named(home: Home) -> None:
    _, session = ended(home, sys.executable, "recorded(ConfigError('secret'))")
    (event,) = session["events"]
    assert event["attributes"]["exceptionType"] == "__main__.ConfigError"
    assert event["attributes"]["frames"].rpartition(":")[0] == "__main__.recorded"


def test_an_exception_of_another_package_is_named_by_its_base(home: Home) -> None:
    (home.project / "library.py").write_text("class LibraryError(ValueError): pass", encoding="utf-8")
    _, session = ended(home, sys.executable, "import library\nrecorded(library.LibraryError())")
    assert session["events"][0]["attributes"]["exceptionType"] == "ValueError"


def test_a_users_module_by_the_name_of_one_of_pythons_is_not_pythons(home: Home) -> None:
    (home.project / "fractions.py").write_text("class SecretError(ValueError): pass", encoding="utf-8")
    _, session = ended(home, sys.executable, "import fractions\nrecorded(fractions.SecretError())")
    assert session["events"][0]["attributes"]["exceptionType"] == "ValueError"


CLICK = """
import click
@click.command()
@click.option("--how")
@click.pass_context
def main(ctx, how):
    with telemetry.session() as session:
        session.environment()
        {body}
{end}
"""


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [("ctx.exit(3)", 3, None), ("ctx.exit()", 0, None), ("raise click.Abort", 1, None), ("return 5", 0, None),
     ("raise click.UsageError('x')", 2, None), ("sys.exit(4)", 4, None),
     ("raise ConfigError", 1, "__main__.ConfigError")],
)  # fmt: skip
def test_clicks_ways_to_end_a_run_are_no_errors(home: Home, body: str, code: int, error: str | None) -> None:
    seen, session = ended(home, sys.executable, CLICK.format(body=body, end="main()"))
    assert seen == session["attributes"]["exitCode"] == code
    assert [event["attributes"]["exceptionType"] for event in session["events"]] == ([error] if error else [])


def test_typers_exit_is_no_error(home: Home) -> None:
    code = """
import typer
app = typer.Typer()
@app.command()
def main():
    with telemetry.session() as session:
        session.environment()
        raise typer.Exit(7)
app()
"""
    seen, session = ended(home, sys.executable, code)
    assert seen == session["attributes"]["exitCode"] == 7
    assert session["events"] == []
