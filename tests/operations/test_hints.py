"""What pages lack and what is left out of them, each with its fix."""

import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.cli import main
from reports.operations.hints import Hint, hints
from reports.operations.status import status
from reports.storage import exclude
from reports.writers.compact import compact
from tests.buckets import NOTES, NOW, batch, registry, session
from tests.messages import mentions, numbers
from tests.sites import MKDOCS

TEXT = NOTES + '[attributes.old]\ntype = "string"\nwhy = "x"\nremoved = true\n'
KNOWN = registry(TEXT)
LATER = NOW + timedelta(days=40)


def of(found: Iterable[Hint], topic: str) -> dict[str, Hint]:
    return {one.about: one for one in found if one.topic == topic}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with each state: of three people and a build server, of two months, with clients of three versions."""
    bucket = str(tmp_path_factory.mktemp("hints") / "bucket")
    store = open_bucket(bucket)
    good = {"osName": "Linux", "exitCode": 0, "inCi": False}
    before = [
        session(1, attributes={"checkedAt": "2026-03-04T00:00:00Z", "gone": 1}),
        session(2, attributes={"exitCode": "0"}),
    ]
    batch(store, *before, known=KNOWN)
    day = LATER - timedelta(days=5)
    wrong = [
        session(3, user=2, start=day, attributes={"exitCode": "0"}),
        session(4, user=2, start=day, applicationVersion="1.10.0", attributes={"memory": "12", "foo": 1, "old": "x"}),
    ]
    batch(store, *wrong, known=KNOWN, ingested=day)
    opened = {"type": "Opened", "time": "2026-04-13T05:00:00Z", "attributes": {"how": 1, "spot": "x"}}
    now = [
        session(5, user=3, start=LATER, attributes=good | {"foo": 1}, events=[opened, {**opened, "type": "Unknown"}]),
        session(6, user=9, start=LATER, attributes=good | {"inCi": True, "memory": "7"}),
        session(7, user=3, start=LATER + timedelta(hours=1), attributes=good),  # after it came in
    ]
    batch(store, *now, known=KNOWN, ingested=LATER)
    # Another version sends right values in the same hour.
    beside = session(8, user=3, start=LATER, applicationVersion="1.11.0", attributes=good | {"memory": 12.5})
    batch(store, beside, known=KNOWN, ingested=LATER + timedelta(minutes=30))
    compact(store, bucket, KNOWN)
    return bucket


def found(bucket: str, *, public: bool = False, known: dict[str, Application] | None = None) -> list[Hint]:
    used = {"shell": [("a.md", "Shells")], "os": [("a.md", "Shells")], "releases": [("v.md", "Versions")]}
    used["arch"] = used["ci"] = [("a.md", "Shells")]
    return hints(open_bucket(bucket), bucket, known or KNOWN, minimum=10, used=used, public=public)


def test_values_of_another_type_are_counted_by_path_until_the_tool_is_corrected(filled: str) -> None:
    types = of(found(filled), "type")
    assert {path: (one.sessions, one.versions) for path, one in types.items()} == {
        "attributes.memory": (2, ["1.2.3", "1.10.0"]),
        "events.Opened.attributes.how": (1, ["1.2.3"]),
    }
    assert mentions(types["attributes.memory"].what, "number")
    assert 'type = "number"' in types["attributes.memory"].remedy


def test_what_is_left_out_is_counted_with_the_versions_that_send_it(filled: str) -> None:
    left_out = of(found(filled), "left out")
    assert {path: (one.sessions, one.versions) for path, one in left_out.items()} == {
        "attributes.foo": (2, ["1.2.3", "1.10.0"]),
        "attributes.old": (1, ["1.10.0"]),
        "events.Opened.attributes.spot": (1, ["1.2.3"]),
        "events.Unknown": (1, ["1.2.3"]),
    }, "what nobody has sent for 30 days is over"
    assert "abaculus registry suggest" in left_out["attributes.foo"].remedy
    assert "removed = true" in left_out["attributes.old"].remedy


def test_attributes_that_nobody_sends_any_more_are_named_with_the_line_that_removes_them(filled: str) -> None:
    unsent = of(found(filled), "not sent")
    assert unsent.keys() == {"attributes.checkedAt", "attributes.comment"}, "a wrong type is another hint"
    assert "2026-03-04" in unsent["attributes.checkedAt"].what
    assert mentions(unsent["attributes.checkedAt"].remedy, "removed = true", "attributes.checkedAt")
    more = registry(TEXT + '[attributes.fresh]\ntype = "boolean"\nwhy = "x"\n')
    assert of(found(filled, known=more), "not sent").keys() == {*unsent, "attributes.fresh"}


def test_a_role_that_pages_read_and_nobody_sends_comes_with_the_lines_of_the_registry(filled: str) -> None:
    declared = registry(TEXT + '[attributes.shellName]\ntype = "string"\nrole = "shell"\nwhy = "x"\n')
    assert of(found(filled), "role").keys() == {"shell", "arch"}
    for role in ("shell", "arch"):
        (line,) = tomllib.loads(of(found(filled), "role")[role].remedy)["attributes"].values()
        assert line["role"] == role
    there = of(found(filled, known=declared), "role")["shell"]
    assert "attributes.shellName" not in of(found(filled, known=declared), "not sent"), "one hint for one reason"
    assert (there.application, "Shells" in there.what) == ("notes", True)
    assert mentions(there.remedy, "attributes.shellName")


def test_few_people_missing_releases_and_wrong_clocks_are_said(filled: str) -> None:
    all_of = found(filled)
    (few,) = of(all_of, "people").values()
    assert (few.people, numbers(few.what)) == (3, ["10", "3"])
    (releases,) = of(all_of, "releases").values()
    assert mentions(releases.remedy, "abaculus releases notes", "repository") and "Versions" in releases.what
    (clock,) = of(all_of, "clock").values()
    assert clock.sessions == 1
    store = open_bucket(filled)
    store.put("releases/notes.json", b'[{"version": "1.2.3", "released": "2026-01-01T00:00:00Z"}]')
    at = LATER - timedelta(days=6)
    exclude.exclude(store, exclude.Exclusion(at.replace(microsecond=0), LATER - timedelta(days=4), None), NOW)
    try:
        later = found(filled)
    finally:
        store.delete(["releases/notes.json", *(meta["path"] for page in store.list("excluded/") for meta in page)])
    assert "releases" not in {one.topic for one in later}
    assert [one.people for one in of(later, "people").values()] == [2]
    assert [one.sessions for one in of(later, "excluded").values()] == [2]


def test_in_public_no_count_is_said_and_no_name_or_version_that_a_client_chose(filled: str) -> None:
    for one in found(filled, public=True):
        said = f"{one.about} {one.what} {one.remedy} {' '.join(one.versions)}"
        assert set(numbers(said)) <= {"10", "30"}, one
        assert not any(word in said for word in ("foo", "Unknown", "spot", "1.2.3", "1.10.0")), one
    assert {one.topic for one in found(filled, public=True)} == {one.topic for one in found(filled)}


def test_status_prints_all_of_it_and_in_a_workflow_words(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a project, whose pages say what they wait for."""
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications/notes.toml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "mkdocs.yml").write_text(MKDOCS.format(minimum=20), encoding="utf-8")
    page = "# Shells\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nannotate: releases\n```\n"
    (tmp_path / "site/shells.md").write_text(page, encoding="utf-8")
    (tmp_path / "site/index.md").write_text("# Notes\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABACULUS_APPLICATIONS", raising=False)

    def printed(*options: str) -> str:
        done = CliRunner().invoke(main, ["status", "--bucket", filled, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    text = printed()
    for topic in ("people", "releases", "role", "type", "left out", "not sent", "clock"):
        assert f"\nhint   {topic}, " in text, topic
    (people,) = [line for line in text.splitlines() if line.startswith("hint   people")]
    assert numbers(people) == ["20", "3"]
    assert '\n    [attributes.shell]\n    type = "string"' in text
    assert '"topic": "type"' in printed("--json") and '"sessions": 2' in printed("--json")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    words = printed()
    assert "table  notes: some sessions\n" in words
    assert set(numbers(words.partition("hint ")[2].partition("nothing is wrong")[0])) <= {"20", "30"}
    told = printed("--json")
    assert '"sessions": "some"' in told and '"sessions": 2' not in told and "1.10.0" not in told


def test_what_is_wrong_is_said_in_public_without_a_count(bucket: str) -> None:
    store = open_bucket(bucket)
    batch(store, session(1), session(2))
    compact(store, bucket, KNOWN)
    store.put("quarantine/x.json.gz", b"")
    store.put("raw/v1/other/2026-03-04/x.json.gz", b"")
    handle = next(iter(store.list("ledger/")))[0]["path"]
    store.delete(handle)
    lines = status(store, bucket, KNOWN, public=True).verdict
    assert len(lines) >= 3
    assert all(set(numbers(line)) <= {"30"} for line in lines), lines
