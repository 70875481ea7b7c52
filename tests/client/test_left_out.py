"""What would be left out is said: to a developer under -X dev, to a test as an error, and to nobody's user."""

import os
import sys
from pathlib import Path

import pytest

from abaculus import Telemetry
from tests.hosts import Home

WRONG = {
    "a name with an underscore": ('session.attribute("container_count", 4)', "attributes.container_count"),
    "a span by such a name": ('session.span("load_config")', "spans.load_config"),
    "an event by such a name": ('session.event("update_shown")', "events.update_shown"),
    "a value of an event": ('session.event("Shown", new_version="1")', "events.Shown.attributes.new_version"),
    "a value that is no scalar": ('session.attribute("a", [1])', "attributes.a"),
    "a value that cannot be stored": ('session.attribute("a", 2**64)', "attributes.a"),
    "two names that differ in case": ('session.attribute("a", 1); session.attribute("A", 1)', "attributes.A"),
}
PATHS = [
    "attributes.containerCount",
    "events.UpdateShown",
    "events.UpdateShown.attributes.newVersion",
    "spans.LoadConfig",
]


def make(**more: object) -> Telemetry:
    return Telemetry("my-tool", version="1", endpoint="https://x.invalid", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_test_fails_where_something_would_be_left_out(wrong: str) -> None:
    code, path = WRONG[wrong]
    telemetry = make()
    with (
        telemetry.recorded(),
        telemetry.session() as session,
        pytest.raises(ValueError, match=path.replace(".", r"\.")),
    ):
        exec(code, {"session": session})


@pytest.mark.parametrize("recorded", ["", "1"])
def test_a_developer_is_warned_and_a_user_is_not(tmp_path: Path, recorded: str) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY=recorded)
    run = "".join(f"with host.telemetry.session() as session: {code}\n" for code, _ in WRONG.values())
    warned = home.python(run, PYTHONDEVMODE="1")
    assert warned.code == 0
    assert [path for _, path in WRONG.values() if f"telemetry: {path} is left out" not in warned.error] == []
    assert home.python(run).seen == (0, "", "")
    assert len(home.queued()) == 2 * len(WRONG) * bool(recorded)


def test_names_are_sent_as_the_registry_has_them() -> None:
    telemetry = make(collects=PATHS)
    with telemetry.recorded() as sessions, telemetry.session() as session:
        session.attribute("container_count", 4)
        session.event("update_shown", new_version="1.5.0")
        with session.span("load_config"):
            pass
        session.environment()  # nothing of it is collected, and nobody asked for it by name
        session.exception(ValueError())
    (made,) = sessions
    assert made["attributes"] == {"containerCount": 4}
    assert [(event["type"], event["attributes"]) for event in made["events"]] == [
        ("UpdateShown", {"newVersion": "1.5.0"})
    ]
    assert [span["type"] for span in made["spans"]] == ["LoadConfig"]
    with telemetry.recorded(), telemetry.session() as session, pytest.raises(ValueError, match="collects"):
        session.attribute("shell", "fish")


def test_recorded_asks_nobody_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    telemetry = make(prompt="May we?")
    exit_before = sys.exit
    with telemetry.recorded() as sessions:
        with pytest.raises(SystemExit), telemetry.session() as session:
            session.environment()
            sys.exit(3)
        assert telemetry.current is session
        with telemetry.session() as session:
            session.event("Done")
    assert [session["attributes"].get("exitCode") for session in sessions] == [3, None]
    assert sessions[1]["events"][0]["type"] == "Done"
    assert list(tmp_path.iterdir()) == []
    assert sys.exit is exit_before
    assert not telemetry.session().recording, "outside, the user's answer holds"
    assert "XDG_STATE_HOME" in os.environ
