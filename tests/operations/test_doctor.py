"""The doctor's findings, on set-ups that are sound and on those that are not."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from obstore.store import LocalStore, MemoryStore, S3Store

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.operations import doctor
from reports.operations.newest_session import Newest, newest
from reports.sample.demo import ingest_server
from reports.storage import ledger
from reports.writers.compact import compact
from tests.buckets import NOTES, NOW, REGISTRY, keep, keys, registry, session
from tests.ingest.test_deploy import as_ingest
from tests.messages import mentions
from tests.screenshots import served

__all__ = ["as_ingest"]  # a fixture


def wrong(found: Iterator[doctor.Finding]) -> dict[str, str]:
    """What is wrong, with its remedy."""
    return {one.what: one.remedy or "" for one in found if one.wrong}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments], catch_exceptions=False)


@pytest.fixture
def sound(bucket: str) -> str:
    """A bucket in which a session was compacted."""
    store = open_bucket(bucket)
    keep(store, session())
    compact(store, bucket, REGISTRY)
    return bucket


def test_a_sound_set_up_is_all_well_and_left_as_it_was(sound: str) -> None:
    before = keys(open_bucket(sound))
    assert wrong(doctor.compaction(open_bucket(sound), sound, REGISTRY)) == {}
    assert keys(open_bucket(sound)) == before
    said = run("--bucket", sound)
    assert (said.exit_code, said.output.endswith("all is well\n")) == (0, True)


def test_a_bucket_that_nothing_compacts_says_what_to_start(bucket: str) -> None:
    found = wrong(doctor.compaction(open_bucket(bucket), bucket, REGISTRY))
    assert list(found) == ["compaction runs"]
    began = datetime.now(UTC) - timedelta(days=3)
    run = f"{began:%Y%m%dT%H%M%S%f}Z-00000000"
    ledger.record(open_bucket(bucket), ledger.Entry(run, began.isoformat()))
    assert "enabled" in wrong(doctor.compaction(open_bucket(bucket), bucket, REGISTRY))["compaction runs"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    class ReadOnly(LocalStore):
        def put(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            raise PermissionError("403 Forbidden")

    found = wrong(doctor.compaction(ReadOnly(tmp_path), str(tmp_path), REGISTRY))
    (remedy,) = found.values()
    assert mentions(remedy, "write")


def test_a_store_that_overwrites_what_it_should_only_create_is_named() -> None:
    class Careless(MemoryStore):
        def put(self, key: str, data: bytes, **options: object) -> object:  # type: ignore[override]
            return super().put(key, data)

    assert doctor._creates_once(MemoryStore(), "absent").wrong == "it overwrote"
    store = Careless()
    store.put("key", b"")
    assert "use another" in (doctor._creates_once(store, "key").remedy or "")
    store = MemoryStore()
    store.put("key", b"")
    assert doctor._creates_once(store, "key").wrong is None


def test_rights_that_go_too_far_are_named_one_by_one() -> None:
    found = wrong(doctor.function(MemoryStore()))
    assert list(found) == [
        "it cannot overwrite", "it cannot read", "it cannot list", "it cannot create elsewhere", "it cannot delete",
    ]  # fmt: skip
    assert all("create-only" in remedy for remedy in found.values())


@pytest.mark.s3
def test_the_functions_role_of_the_template_is_create_only(as_ingest: S3Store) -> None:
    found = wrong(doctor.function(as_ingest))
    # This server does not know the condition that forbids overwriting; the template's text is tested elsewhere.
    assert set(found) <= {"it cannot overwrite"}


@pytest.mark.s3
def test_a_real_s3_server_is_sound(s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    found = wrong(doctor.compaction(open_bucket("s3://abaculus"), "s3://abaculus", REGISTRY))
    assert set(found) <= {"compaction runs"}


def test_an_endpoint_is_tried_and_one_without_a_certificate_is_named(tmp_path: Path) -> None:
    with ingest_server((tmp_path / "bucket").as_uri(), tmp_path / "ingest.log") as url:
        assert wrong(doctor.endpoint(url, open_bucket(str(tmp_path / "bucket")))) == {}
        assert list(wrong(doctor.endpoint(f"{url}/elsewhere", None))) == ["the endpoint takes sessions"]
    plain, dead = doctor.endpoint("http://telemetry.invalid", None)
    assert mentions(plain.wrong or "", "http://telemetry.invalid", "https")
    assert mentions(dead.wrong or "", "http://telemetry.invalid/ping")


def test_a_site_that_is_absent_or_old_is_named(tmp_path: Path) -> None:
    with served(tmp_path) as url:
        assert "Settings > Pages" in wrong(doctor.site(url))["the site is published"]
        for age, expected in ((1, []), (40, ["the site is fresh"])):
            built = datetime.now(UTC) - timedelta(hours=age)
            (tmp_path / doctor.MARKER).write_text(
                json.dumps({"built": f"{built:%Y-%m-%dT%H:%M:%SZ}"}), encoding="utf-8"
            )
            assert list(wrong(doctor.site(url))) == expected


def test_what_is_wrong_comes_with_its_remedy_and_an_exit_code(bucket: str) -> None:
    Path(bucket).mkdir()
    said = run("--bucket", bucket, "--as-function")
    assert said.exit_code == 1
    assert said.output.count("create-only") == said.output.count("WRONG") == 5
    assert mentions(said.output, "5 of 6")


def states(found: Newest) -> dict[str, list[str]]:
    """State -> the paths that are in it."""
    made: dict[str, list[str]] = {}
    for part in found.parts:
        made.setdefault(part.state, []).append(part.path)
    return made


def test_the_newest_session_is_shown_beside_the_registry(bucket: str) -> None:
    """Alike in raw/ and in the table; with the pages that read each path."""
    known = registry(NOTES + '[attributes.old]\ntype = "string"\nwhy = "x"\nremoved = true\n')
    store = open_bucket(bucket)
    keep(store, session(1), known=known, ingested=NOW - timedelta(hours=1))
    attributes = {"osName": "Plan 9", "exitCode": 3, "memory": "12", "foo": 1, "old": "x", "comment": "(other)"}
    opened = [{"type": "Opened", "time": "2026-03-04T05:00:00Z", "attributes": {"how": how}} for how in ("key", "eye")]
    sent = session(2, attributes=attributes, events=[*opened, {**opened[0], "type": "Gone"}])
    (key,) = keep(store, sent, known=known)
    expected = {
        "(other)": ["attributes.osName", "events.Opened.attributes.how"],
        "stored": ["attributes.exitCode", "attributes.comment", "events.Opened", "events.Opened.attributes.how"],
        "other type": ["attributes.memory"],
        "not sent": ["attributes.inCi", "attributes.checkedAt", "events.Closed", "spans.Save"],
        "left out": ["attributes.foo", "attributes.old", "events.Gone"],
    }
    used = {"os": [("a.md", "Systems")], "opened": [("b.md", "Opening")]}
    for place in (key, "the table of notes"):
        (found,) = newest(store, bucket, known, used)
        assert (found.place, found.version, found.came) == (place, "1.2.3", NOW)
        assert {state: sorted(paths) for state, paths in states(found).items()} == {
            state: sorted(paths) for state, paths in expected.items()
        }
        pages = {part.path: part.pages for part in found.parts if part.pages}
        assert pages == {"attributes.osName": ["Systems"], "events.Opened": ["Opening"]}
        compact(store, bucket, known)


@pytest.mark.slow
def test_a_session_that_cannot_be_read_is_named_and_none_is_an_error(
    sound: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = run("--bucket", sound, "--session")
    assert shown.exit_code == 1, "the application of this bucket is in no registry file here"
    applications = tmp_path / "applications"
    applications.mkdir()
    (applications / "notes.toml").write_text(NOTES, encoding="utf-8")
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(applications))
    shown = run("--bucket", sound, "--session")
    assert (shown.exit_code, "osName: Linux" in shown.output) == (0, True)
    open_bucket(sound).put("raw/v1/notes/2026-03-04/x.json.gz", b"not gzip")
    shown = run("--bucket", sound, "--session")
    assert shown.exit_code == 1 and mentions(shown.output, "raw/v1/notes/2026-03-04/x.json.gz")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    shown = run("--bucket", sound, "--session")
    assert shown.exit_code == 1 and "osName" not in shown.output
