"""What the clients for Go and TypeScript that `abaculus client` writes do, against the real function with faults."""

import gzip
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.function.bucket_url import open_bucket
from reports.writers.compact import compact
from tests.buckets import rows
from tests.clients.builds import VECTORS, Tool
from tests.hosts import APPLICATION, ASKED, Home, Proxy, again, function, proxy, says, stalls, stored
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow  # compilers
QUIET = (3, "worked\n", "")
PLACES = {"go": "telemetry-go", "typescript": "telemetry-ts"}


@pytest.fixture(params=PLACES)
def tool(request: pytest.FixtureRequest, tmp_path: Path, between: Proxy) -> Tool:
    command = request.getfixturevalue(f"{request.param}_command")
    return Tool(command, PLACES[request.param], tmp_path / "home", between.url)


def in_ci(tool: Tool) -> None:
    assert tool.do(MY_TOOL_TELEMETRY="1", CI="1") == QUIET


def test_a_later_run_sends_what_an_earlier_one_left(tool: Tool, served: tuple[str, Path]) -> None:
    assert tool.do(MY_TOOL_TELEMETRY="1") == QUIET
    (first,) = tool.queued()
    assert first["attributes"] == {"count": 4, "osName": "Linux", "exitCode": 3}
    assert [(event["type"], event["attributes"]) for event in first["events"]] == [
        ("Done", {"note": "ok"}),
        ("Done", {}),
    ]
    assert [(span["type"], span["attributes"]) for span in first["spans"]] == [("Work", {"size": 1})]
    tool.grow_old()
    assert tool.do(MY_TOOL_TELEMETRY="1") == QUIET
    tool.until(lambda: len(tool.queued()) == 1)
    assert tool.queued() != [first], "its own session waits for a later run"
    (kept,) = [session for session in stored(served[1]) if session["sessionId"] == first["sessionId"]]
    assert (kept["undeclared"], kept["attributes"]) == ([], first["attributes"])
    for path in (tool.state, *tool.state.rglob("*")):
        assert not path.stat().st_mode & 0o077, path


def test_a_no_writes_and_sends_nothing(tool: Tool, between: Proxy) -> None:
    for environment, answer in (
        ({}, None), ({"DO_NOT_TRACK": "1"}, "allowed"), ({"MY_TOOL_TELEMETRY": "1"}, "retired"), ({}, "denied"),
    ):  # fmt: skip
        if answer is not None:
            tool.state.mkdir(parents=True, exist_ok=True)
            (tool.state / "consent").write_text(answer + "\n", encoding="utf-8")
        before = tool.files()
        assert tool.do(**environment) == QUIET
        assert tool.do(**environment, CI="1") == QUIET
        assert tool.files() == before
    assert between.bodies == []


def test_users_say_yes_and_no(tool: Tool) -> None:
    assert tool.do("telemetry", "on")[0] == 0
    assert tool.do() == QUIET
    (session,) = tool.queued()
    _, id, said = tool.do("telemetry", "id")
    assert id.strip() == session["userId"]
    assert said.strip().endswith(hashlib.sha256(session["userId"].encode()).hexdigest())
    assert json.loads(tool.do("telemetry", "show")[1]) == session
    assert tool.do("telemetry", "flush")[0] == 0
    assert tool.queued() == []
    assert session["sessionId"] in tool.do("telemetry", "log")[1]
    assert tool.do("telemetry", "off")[0] == 0
    assert tool.do() == QUIET
    assert tool.queued() == []
    assert tool.do("telemetry", "nonsense")[0] == 2


@pytest.mark.parametrize(("keys", "answer"), [("yes\n", "allowed"), ("n\n", "denied"), ("\n", ""), ("ls\n", "")])
def test_somebody_at_a_terminal_is_asked(tool: Tool, keys: str, answer: str) -> None:
    code, seen = tool.type(keys=keys, command=tool.command, PROMPT="May we?")
    assert (code, ASKED in seen) == (3, True)
    said = (tool.state / "consent").read_text(encoding="utf-8").split("\n")[0] if answer else ""
    assert (said, len(tool.queued())) == (answer, int(answer == "allowed"))
    code, seen = tool.type(keys=keys, command=(*tool.command, "--help"), PROMPT="May we?")
    assert (code, ASKED in seen) == (3, False)


def test_in_the_background_nobody_is_asked(tool: Tool) -> None:
    script = f"set -m; {' '.join(tool.command)} & wait $!; echo ended $?"
    code, seen = tool.type(keys="y\n", command=("bash", "-c", script), PROMPT="May we?")
    assert (code, ASKED in seen) == (0, False)
    assert "ended 3" in seen


@pytest.mark.parametrize("ahead", ["git status\n", "git sta", "y\n", "y"])
def test_what_is_typed_ahead_is_no_answer_and_is_left_for_its_reader(tool: Tool, ahead: str) -> None:
    # The line that the shell would read next; what lies there without an end is read together with what follows.
    script = f'{" ".join(tool.command)}; echo {ASKED}; read -r line; echo "read <$line>"'
    code, seen = tool.type(keys="\n", ahead=ahead, command=("bash", "-c", script), PROMPT="May we?")
    assert code == 0
    assert f"read <{ahead.strip()}>" in seen
    assert "May we" not in seen
    assert tool.files() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_its_session_and_code(tool: Tool, number: signal.Signals) -> None:
    with tool.popen(MY_TOOL_TELEMETRY="1", WAIT="1") as run:
        assert run.stdout is not None and run.stdout.readline() == "worked\n"
        run.send_signal(number)
        assert run.communicate(timeout=PATIENCE) == ("", "")
    assert run.returncode == -number
    (session,) = tool.queued()
    assert session["attributes"]["exitCode"] == 128 + number


def test_in_ci_a_session_is_sent_at_once_and_waited_for_two_seconds_at_most(tool: Tool, between: Proxy) -> None:
    again(lambda: in_ci(tool), lambda: tool.queued() == [])
    assert between.bodies
    between.fault = stalls
    began = time.monotonic()
    in_ci(tool)
    assert time.monotonic() - began < 30, "the server would have taken a minute"
    assert len(tool.queued()) == 1
    if tool.state.name == PLACES["typescript"]:
        assert not (tool.state / "lock").exists(), "the process that sends has ended with the run, and its lock with it"


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [(says(500), 299, 600), (says(302, Location="http://x/"), 299, 600), (says(400, b"<html>"), 299, 600),
     (says(200, b"{}"), 299, 600), (says(429), 299, 600), (says(503, Retry_After="100"), 99, 100)],
)  # fmt: skip
def test_a_server_that_fails_is_left_alone(tool: Tool, between: Proxy, fault: Any, least: int, most: int) -> None:
    between.fault = fault
    began = time.time()
    again(lambda: in_ci(tool), (tool.state / "retry").exists)
    tool.until(lambda: not (tool.state / "lock").exists())
    assert began + least < (tool.state / "retry").stat().st_mtime <= time.time() + most
    waiting, asked = len(tool.queued()), len(between.bodies)
    in_ci(tool)
    assert (len(tool.queued()), len(between.bodies)) == (waiting + 1, asked)


def test_a_retired_tool_stops_for_good(tool: Tool, between: Proxy) -> None:
    between.fault = says(410)
    consent = tool.state / "consent"
    again(lambda: in_ci(tool), lambda: consent.exists() and consent.read_text(encoding="utf-8") == "retired\n")
    asked = len(between.bodies)
    in_ci(tool)
    assert (tool.queued(), len(between.bodies)) == ([], asked)


def results(body: bytes) -> list[dict[str, Any]]:
    """What the function says to a batch that it stores."""
    ids = [json.loads(line)["sessionId"] for line in gzip.decompress(body).splitlines()]
    return [{"line": line, "sessionId": id, "status": 201} for line, id in enumerate(ids, 1)]


def waits(tool: Tool, number: int, bytes: int) -> str:
    """Lays a session into the queue, as large as asked; its id."""
    id = f"2ad4b0a0-4f5c-4b7a-9d7e-{number:012d}"
    (tool.state / "queue").mkdir(parents=True, exist_ok=True)
    line = f'{{"sessionId":"{id}","text":""}}'
    line = line[:-2] + "x" * (bytes - len(line)) + line[-2:]
    (tool.state / "queue" / f"{number:015d}-{bytes}-{id}.json").write_text(line, encoding="utf-8")
    return id


def test_one_bad_session_is_found_by_halves(tool: Tool) -> None:
    bad = [waits(tool, number, 100) for number in range(8)][3]

    def fault(handler: Any, body: bytes) -> bool:
        sent = results(body)
        if any(one["sessionId"] == bad for one in sent):
            return says(413)(handler, body)
        return says(200, json.dumps({"results": sent}).encode())(handler, body)

    with proxy() as broken:
        broken.fault = fault
        assert tool.do("telemetry", "flush", MY_TOOL_TELEMETRY="1", MY_TOOL_TELEMETRY_ENDPOINT=broken.url)[0] == 0
        assert len(broken.bodies) == 7
    assert tool.queued() == []
    assert [path.stem for path in (tool.state / "aside").iterdir()] == [bad]


def test_batches_are_as_large_as_the_vectors_say(tool: Tool) -> None:
    with proxy() as healthy:
        healthy.fault = lambda handler, body: says(200, json.dumps({"results": results(body)}).encode())(handler, body)
        for one in VECTORS["batches"]:
            for number in range(one["waiting"]):
                waits(tool, number, one["bytes"])
            said = tool.do("telemetry", "flush", MY_TOOL_TELEMETRY="1", MY_TOOL_TELEMETRY_ENDPOINT=healthy.url)
            assert (said[0], tool.queued()) == (0, []), one
            assert sorted(map(len, healthy.sent)) == one["requests"], one
            healthy.bodies.clear()


def test_the_oldest_of_too_many_go(tool: Tool) -> None:
    for number in range(505):
        waits(tool, number, 100)
    (tool.state / "retry").touch()
    os.utime(tool.state / "retry", (time.time() + 300,) * 2)  # nothing is sent meanwhile
    assert tool.do(MY_TOOL_TELEMETRY="1") == QUIET
    names = sorted(path.name for path in (tool.state / "queue").iterdir())
    assert (len(names), names[0][:15]) == (500, f"{6:015d}")


def test_a_state_that_cannot_be_written_harms_nobody(tool: Tool) -> None:
    for place in ("/dev/null", "/proc"):
        assert tool.do(MY_TOOL_TELEMETRY="1", XDG_STATE_HOME=place) == QUIET


def test_three_languages_fill_one_table(
    tmp_path: Path, go_command: tuple[str, ...], typescript_command: tuple[str, ...]
) -> None:
    with function(tmp_path / "function") as (url, bucket):
        for command, place in ((go_command, PLACES["go"]), (typescript_command, PLACES["typescript"])):
            tool = Tool(command, place, tmp_path / "home", url)
            assert tool.do(MY_TOOL_TELEMETRY="1") == QUIET
            assert tool.do("telemetry", "flush", MY_TOOL_TELEMETRY="1")[0] == 0
        home = Home(tmp_path / "home", url, MY_TOOL_TELEMETRY="1")
        home.run("work", "--fail", "exit")
        assert home.run("telemetry", "flush").code == 0
        compact(open_bucket(str(bucket)), str(bucket), {"my-tool": APPLICATION})
    table = rows(str(bucket), "my-tool")
    assert sorted(row["attributes"]["exitCode"] for row in table) == [3, 3, 7]
    assert len({row["user_id"] for row in table}) == 3, "each client has a state of its own"
    assert all(row["undeclared"] == [] and row["spans"][0]["type"] == "Work" for row in table)
