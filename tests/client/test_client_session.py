"""What a run tells about itself, as the real function takes it."""

import enum
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import zipapp
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaculus import Session, Telemetry
from abaculus.queue import names, path
from abaculus.session import moment
from abaculus.tool import Tool
from ingest.function.registry import Application, parse
from ingest.function.session_format import parse as parse_session
from ingest.function.settings import Settings
from tests.hosts import APPLICATION, CLIENT, HOST, ROOT, Home

ANYTHING = parse('id = "my-tool"')


@pytest.fixture
def telemetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    for name in [name for name in os.environ if name == "CI" or name.endswith("_ACTIONS")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MY_TOOL_TELEMETRY", "1")
    return Telemetry("my-tool", version="1.4.0", endpoint="https://telemetry.invalid", packages=[__name__])


def kept(telemetry: Telemetry) -> list[bytes]:
    """The bytes of every session that waits."""
    assert telemetry.tool.directory is not None
    return [Path(path(telemetry.tool.directory, name)).read_bytes() for name in names(telemetry.tool.directory)]


def only(telemetry: Telemetry, application: Application = ANYTHING) -> dict[str, Any]:
    """The one session that waits, after the function's own parser has taken it."""
    (data,) = kept(telemetry)
    parse_session(data, {"my-tool": application}, datetime.now(UTC), Settings())
    made: dict[str, Any] = json.loads(data)
    return made


def test_the_session_of_the_readme_is_kept_as_the_function_takes_it(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        session.attribute("shell", "fish")
        with session.span("LoadConfiguration") as span:
            span.attribute("containerCount", 4)
        session.event("UpdateNoticeShown", newVersion="1.5.0")
    made = only(telemetry)
    assert made["attributes"] == {"shell": "fish"}
    (span_made,) = made["spans"]
    assert (span_made["type"], span_made["attributes"]) == ("LoadConfiguration", {"containerCount": 4})
    (event,) = made["events"]
    assert (event["type"], event["attributes"]) == ("UpdateNoticeShown", {"newVersion": "1.5.0"})
    times = [
        made["sessionStartTime"],
        span_made["startTime"],
        span_made["endTime"],
        event["time"],
        made["sessionEndTime"],
    ]
    assert times == sorted(times)
    assert abs(datetime.fromisoformat(times[0]).timestamp() - datetime.now(UTC).timestamp()) < 10


class Size(enum.IntEnum):
    SMALL = 1


def test_values_that_the_function_refuses_are_left_out_and_the_rest_is_kept(telemetry: Telemetry) -> None:
    refused: list[Any] = [
        math.nan, math.inf, 2**63, -(2**63) - 1, "a\0b", "\ud800", "x" * 4097, [1], {"a": 1}, b"bytes", object(),
    ]  # fmt: skip
    taken: list[Any] = [None, True, 0, -(2**63), 2**63 - 1, 1.5, "", "x" * 4096, "grün ✓ 𝄞", Size.SMALL]
    with telemetry.session() as session:
        for number, value in enumerate(refused):
            session.attribute(f"refused{number}", value)
            session.event("Happened", value=value)
        for number, value in enumerate(taken):
            session.attribute(f"taken{number}", value)
        for name in ("", "1st", "two words", "under_score", "a" * 65, "grün", "a\n", None, 7):
            session.attribute(name, 1)  # type: ignore[arg-type]
            session.event(name)  # type: ignore[arg-type]
            with session.span(name) as span:  # type: ignore[arg-type]
                span.attribute("a", 1)
    made = only(telemetry)
    assert made["attributes"] == {f"taken{number}": value for number, value in enumerate(taken)}
    assert [event["attributes"] for event in made["events"]] == [{}] * len(refused)
    assert made["spans"] == []


def test_names_that_differ_only_in_case_are_one_and_the_first_stays(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        session.attribute("shell", "fish")
        session.attribute("Shell", "zsh")
        session.attribute("shell", "bash")
    assert only(telemetry)["attributes"] == {"shell": "bash"}


def test_no_more_is_kept_than_the_function_takes(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        for number in range(300):
            session.attribute(f"a{number}", number)
        for _ in range(1100):
            session.event("Happened")
            with session.span("Worked"):
                pass
    made = only(telemetry)
    assert (len(made["attributes"]), len(made["events"]), len(made["spans"])) == (200, 1000, 1000)


def test_a_session_larger_than_the_function_takes_is_counted_instead_of_sent(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        for _ in range(300):
            session.event("Happened", text="x" * 4096)
    assert kept(telemetry) == []
    with telemetry.session():
        pass
    assert only(telemetry)["events"][0]["attributes"]["dropped"] == 1


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_whatever_the_tool_records_the_function_takes(attributes: dict[str, Any]) -> None:
    session = Session(Tool("my-tool", "1", "https://telemetry.invalid"))
    try:
        for name, value in attributes.items():
            session.attribute(name, value)
            session.event(name, **attributes)
        with session.span("Worked", **{name: value for name, value in attributes.items() if name != "self"}):
            pass
        document = session._document()
    finally:
        session._open.clear()  # not kept
    who = {"sessionId": ID, "userId": ID, "applicationId": "my-tool", "applicationVersion": "1"}
    body = json.dumps(who | document, ensure_ascii=False).encode()
    parse_session(body, {"my-tool": ANYTHING}, datetime.now(UTC), Settings())


ID = "2ad4b0a0-4f5c-4b7a-9d7e-0d8f6c1f3b11"


def test_only_what_the_tool_says_it_collects_is_recorded(telemetry: Telemetry) -> None:
    paths = ["attributes.shell", "events.Done", "events.Done.attributes.how", "spans.Work"]
    limited = Telemetry("my-tool", version="1", endpoint="https://x.invalid", collects=paths)
    with limited.session() as session:
        session.attribute("shell", "fish")
        session.attribute("secret", "x")
        session.event("Done", how="well", where="/home")
        session.event("Undeclared")
        with session.span("Work", size=1), session.span("Undeclared"):
            pass
    made = only(limited)
    assert made["attributes"] == {"shell": "fish"}
    assert [(event["type"], event["attributes"]) for event in made["events"]] == [("Done", {"how": "well"})]
    assert [(span["type"], span["attributes"]) for span in made["spans"]] == [("Work", {})]


def load(_: str) -> None:
    json.loads("{/home/ann/secret")


def test_an_exception_is_told_by_its_type_and_our_own_places_never_by_its_message(telemetry: Telemetry) -> None:
    with pytest.raises(json.JSONDecodeError), telemetry.session() as session:
        load("secret")
    assert not session.recording
    (event,) = only(telemetry, APPLICATION)["events"]
    assert event["type"] == "ExceptionRaised"
    assert event["attributes"]["exceptionType"] == "json.decoder.JSONDecodeError"
    places = event["attributes"]["frames"].split()
    assert [place.rpartition(":")[0].rpartition(".")[2] for place in places] == [
        "test_an_exception_is_told_by_its_type_and_our_own_places_never_by_its_message", "load",
    ]  # fmt: skip
    assert b"secret" not in kept(telemetry)[0]


def test_an_exception_that_was_handled_can_be_told_too(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        try:
            load("")
        except ValueError as error:
            session.exception(error)
    assert [event["type"] for event in only(telemetry)["events"]] == ["ExceptionRaised"]


def test_what_is_recorded_in_threads_is_all_there(telemetry: Telemetry) -> None:
    def work(session: Session) -> None:
        for number in range(50):
            with session.span("Part", size=number):
                session.event("Done")

    with telemetry.session() as session:
        threads = [threading.Thread(target=work, args=(session,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    made = only(telemetry)
    assert (len(made["events"]), len(made["spans"])) == (400, 400)


def test_a_span_that_another_thread_still_holds_ends_with_the_session(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        span = session.span("Work").__enter__()
    made = only(telemetry)
    assert made["spans"][0]["endTime"] == made["sessionEndTime"]
    span.attribute("size", 1)
    span.__exit__(None, None, None)  # late, and harmless
    assert only(telemetry) == made


def test_a_session_ends_once_and_what_comes_after_is_lost_quietly(telemetry: Telemetry) -> None:
    session = telemetry.session()
    session.end()
    session.end()
    session.attribute("shell", "fish")
    session.event("Done")
    with session.span("Work") as span:
        span.attribute("size", 1)
    assert only(telemetry)["attributes"] == {}


def test_a_clock_that_is_set_back_during_a_run_turns_no_time_around(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telemetry.session() as session, session.span("Work"):
        monkeypatch.setattr("time.time_ns", lambda: 0)
    made = only(telemetry)
    assert made["sessionStartTime"] <= made["spans"][0]["endTime"] <= made["sessionEndTime"]


def test_what_is_left_out_is_said_to_a_tool_that_listens_at_debug(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "abaculus"), telemetry.session() as session:
        session.attribute("two words", 1)
    assert "attributes.two words" in caplog.text


class Hostile(str):
    def encode(self, *_: object) -> bytes:  # type: ignore[override]
        raise RuntimeError("not today")


def test_a_value_that_raises_is_left_out(telemetry: Telemetry) -> None:
    with telemetry.session() as session:
        session.attribute("a", Hostile("x"))
        session.attribute("b", 1)
    assert only(telemetry)["attributes"] == {"b": 1}


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))
def test_times_are_written_to_the_microsecond(time: datetime) -> None:
    nanoseconds = (time - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000
    assert moment(nanoseconds) == time.isoformat(timespec="microseconds") + "Z"


def test_a_session_that_nobody_ends_is_kept_when_the_interpreter_ends(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    assert home.python("host.telemetry.session().attribute('count', 5)").seen == (0, "", "")
    assert [session["attributes"] for session in home.queued()] == [{"count": 5}]


def test_a_session_that_begins_while_the_interpreter_ends_harms_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    late = "import atexit; atexit.register(lambda: host.telemetry.session().attribute('count', 5))"
    assert home.python(late).seen == (0, "", "")
    deleted = "class Late:\n    def __del__(self): host.telemetry.session().end()\nlate = Late()"
    assert home.python(deleted).seen == (0, "", "")


@pytest.mark.parametrize("page", ["site/docs/client.md", "ingest/client/README.md"])
def test_the_code_of_a_page_runs_as_it_is_printed(tmp_path: Path, page: str) -> None:
    code = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    assert home.python(f"{code}\nif 'main' in globals(): main()").seen == (0, "", "")
    (session,) = home.queued()
    assert session["attributes"]["shell"] == "fish"
    assert session["events"][0]["attributes"] == {"newVersion": "1.5.0"}
    assert session["spans"][0]["attributes"] == {"containerCount": 4}


def test_a_tool_in_one_archive_queues_and_sends(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1", PYTHONPATH="")
    shutil.copytree(CLIENT / "abaculus", tmp_path / "app" / "abaculus")
    shutil.copy(HOST, tmp_path / "app" / "__main__.py")
    archive = tmp_path / "my-tool.pyz"
    zipapp.create_archive(tmp_path / "app", archive)
    for _ in range(2):
        home.grow_old()
        done = subprocess.run(
            [sys.executable, str(archive), "work"], env=home.environment, capture_output=True, encoding="utf-8"
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "worked 1\n", "")
    home.until(lambda: "Connection refused" in home.log())
