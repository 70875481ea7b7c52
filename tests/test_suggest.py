"""Registry entries made from what was seen: they load once somebody has said why."""

import tomllib
from datetime import UTC, datetime

import pytest

from ingest.registry import RegistryError, parse
from ingest.suggest import WHY, from_paths, from_sessions, toml
from reports import sample

SESSION = {
    "applicationId": "mine",
    "attributes": {"shellName": "fish", "exitCode": 3, "ratio": 0.5, "fast": True, "when": "2026-01-02T03:04:05Z"},
    "events": [{"type": "Shown", "time": "2026-01-02T03:04:05Z", "attributes": {"count": 2}}],
    "spans": [{"type": "Load", "startTime": "2026-01-02T03:04:05Z", "endTime": "2026-01-02T03:04:06Z"}],
}


def annotated(text: str) -> str:
    return 'id = "mine"\n' + text.replace(WHY, 'why = "to test"')


def test_a_suggestion_loads_once_each_reason_is_given() -> None:
    text = toml(from_sessions([SESSION])["mine"], None)
    with pytest.raises(RegistryError, match="why"):
        parse('id = "mine"\n' + text)
    made = parse(annotated(text))
    types = {name: field.type for name, field in made.attributes.items()}
    assert types == {
        "shellName": "string",
        "exitCode": "integer",
        "ratio": "number",
        "fast": "boolean",
        "when": "timestamp",
    }
    assert (made.attributes["shellName"].role, made.attributes["shellName"].values) == ("shell", ("fish",))
    assert made.attributes["exitCode"].role == "exit_code"
    assert made.events["Shown"].attributes["count"].type == "integer"
    assert made.spans["Load"].attributes == {}


def test_what_is_declared_is_not_suggested_again() -> None:
    text = toml(from_sessions([SESSION])["mine"], None)
    declared = parse(annotated(text))
    assert toml(from_sessions([SESSION])["mine"], declared) == ""
    more = SESSION | {"attributes": {"newOne": 1}}
    assert list(tomllib.loads(toml(from_sessions([more])["mine"], declared))["attributes"]) == ["newOne"]


def test_types_that_do_not_agree_become_the_widest() -> None:
    sessions = [SESSION | {"attributes": {"a": one, "b": two}} for one, two in ((1, 1), (0.5, "x"))]
    fields = tomllib.loads(toml(from_sessions(sessions)["mine"], None))["attributes"]
    assert (fields["a"]["type"], fields["b"]["type"]) == ("number", "string")


def test_a_string_with_many_values_gets_no_list() -> None:
    sessions = [SESSION | {"attributes": {"a": f"value {number}"}} for number in range(50)]
    text = toml(from_sessions(sessions)["mine"], None)
    assert "free text" in text
    assert "values" not in tomllib.loads(text)["attributes"]["a"]


@pytest.mark.parametrize("value", ['"]\n[evil]\nx = "', "\x7f\x00\x1b[31m", "\U0001f600", "\\", "'''"])
def test_hostile_values_and_names_stay_texts(value: str) -> None:
    session = SESSION | {"attributes": {"a": value, value: 1}, "events": [{"type": value}], "spans": []}
    read = tomllib.loads(toml(from_sessions([session])["mine"], None))
    assert read["attributes"]["a"]["values"] == [value]
    assert read["attributes"].keys() == {"a"}
    assert read.keys() == {"attributes"}


def test_left_out_paths_become_entries_without_values() -> None:
    seen = from_paths(["attributes.foo", "events.Bar", "spans.Baz.attributes.qux"])
    read = tomllib.loads(toml(seen, None))
    assert read["attributes"]["foo"]["type"] == "string"
    assert "Bar" in read["events"]
    assert "qux" in read["spans"]["Baz"]["attributes"]


def test_the_samples_own_registry_is_close_to_what_is_suggested_for_it() -> None:
    sessions = sample.sessions(400, users=50, seed=1, end=datetime(2026, 11, 1, tzinfo=UTC))
    made = parse(annotated(toml(from_sessions(sessions)["cairn"], None)))
    assert made.attributes["exitCode"].role == "exit_code"
    assert made.spans["RunTask"].attributes["containerCount"].type == "integer"
