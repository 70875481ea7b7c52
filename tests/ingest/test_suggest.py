"""Registry entries made from what was seen: they load once somebody has said why."""

import tomllib
from datetime import UTC, datetime

import pytest

from ingest.function.registry import RegistryError, parse
from ingest.suggest import WHY, client, from_paths, from_sessions, toml
from reports.sample import cairn_sessions

SESSION = {
    "applicationId": "mine",
    "attributes": {"shell": "fish", "exitCode": 3, "ratio": 0.5, "fast": True, "when": "2026-01-02T03:04:05Z"},
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
        "shell": "string",
        "exitCode": "integer",
        "ratio": "number",
        "fast": "boolean",
        "when": "timestamp",
    }
    assert (made.attributes["shell"].role, made.attributes["shell"].values) == ("shell", ("fish",))
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
    sessions = [SESSION | {"attributes": {"a": f"value {'abcdefghij'[number % 10] * number}"}} for number in range(50)]
    text = toml(from_sessions(sessions)["mine"], None)
    assert tomllib.loads(text)["attributes"]["a"].keys() == {"type", "why", "example"}


@pytest.mark.parametrize(
    ("values", "pattern", "other"),
    [
        (["1.4.0", "1.5", "2"], r"\d{1,4}(\.\d{1,4}){0,2}", "1.4.0-rc.1"),
        (["Docker 24.0.7", "Docker 25.1.0", "Podman 4.9.0"],
         r"Docker \d{1,4}(\.\d{1,4}){2}|Podman \d{1,4}(\.\d{1,4}){2}", "Docker"),
        (["it's (1)", "it's (12345)"], r"it's \(\d{1,5}\)", "it's 1"),
        (["x86_64", "arm64"], None, None),  # a list: each differs in more than a number
        (["abc", "abd"], None, None),
        ([f"{letter}{number}" for number, letter in enumerate("abcdefgh")] * 2, None, None),
    ],
)  # fmt: skip
def test_texts_that_differ_in_their_numbers_get_a_pattern_that_all_match(
    values: list[str], pattern: str | None, other: str | None
) -> None:
    sessions = [SESSION | {"attributes": {"a": value}} for value in values]
    field = parse(annotated(toml(from_sessions(sessions)["mine"], None))).attributes["a"]
    assert field.pattern == pattern
    assert all(map(field.allows, values))
    assert other is None or not field.allows(other)


def test_what_the_client_sends_has_its_own_declaration_unless_something_else_was_sent() -> None:
    """With its reasons, so that it loads as it is; from the bucket, too, where only names are known."""
    paths = client().keys()
    given = parse('id = "mine"\n' + toml(from_paths(paths), None))
    assert {*given.paths} == paths
    assert given == parse('id = "mine"\n' + "\n".join(client().values()))
    # Of an event that was left out, the bucket knows only the type.
    types = {path for path in paths if path.startswith("events.") and ".attributes." not in path}
    assert {*parse('id = "mine"\n' + toml(from_paths(types), None)).paths} == {
        path for path in paths if path.startswith("events.")
    }
    sent = SESSION | {"attributes": {"osName": "linux", "exitCode": "0", "ciSystem": "Jenkins"}}
    made = parse(annotated(toml(from_sessions([sent])["mine"], None))).attributes
    assert (made["osName"].values, made["exitCode"].type) == (("linux",), "string")
    assert made["ciSystem"] == given.attributes["ciSystem"]


def guesses(text: str) -> set[str]:
    """The keys whose values are said to be guessed."""
    return {line.partition(" =")[0] for line in text.splitlines() if "# a guess" in line}


def test_what_is_guessed_is_said() -> None:
    def suggested(*values: object) -> str:
        return toml(
            from_sessions([{"applicationId": "mine", "attributes": {"shell": one}} for one in values])["mine"], None
        )

    assert guesses(suggested(True, False)) == set()
    assert guesses(suggested("fish")) == {"values", "role"}
    assert guesses(suggested("fish 3", "fish 4")) == {"pattern", "role"}
    assert guesses(suggested("fish", 1)) == {"type", "values", "role"}
    assert guesses(toml(from_paths(["attributes.foo"]), None)) == {"type"}


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
    sessions = cairn_sessions.sessions(400, users=50, seed=1, end=datetime(2026, 11, 1, tzinfo=UTC))
    made = parse(annotated(toml(from_sessions(sessions)["cairn"], None)))
    assert made.attributes["exitCode"].role == "exit_code"
    assert made.spans["RunTask"].attributes["containerCount"].type == "integer"
