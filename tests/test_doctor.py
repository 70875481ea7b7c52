"""The doctor's findings, on set-ups that are sound and on those that are not."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from obstore.store import LocalStore, MemoryStore, S3Store

from ingest.bucket import open_bucket
from reports import doctor
from reports.cli import main
from reports.compact import compact
from reports.demo import ingest_server
from tests.buckets import REGISTRY, keep, keys, session
from tests.screenshots import served
from tests.test_deploy import as_ingest

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
    entry = {"kind": "compact", "started": (datetime.now(UTC) - timedelta(days=3)).isoformat(), "applications": {}}
    open_bucket(bucket).put("ledger/20260101.json", json.dumps(entry).encode())
    assert "enabled" in wrong(doctor.compaction(open_bucket(bucket), bucket, REGISTRY))["compaction runs"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    class ReadOnly(LocalStore):
        def put(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            raise PermissionError("403 Forbidden")

    found = wrong(doctor.compaction(ReadOnly(tmp_path), str(tmp_path), REGISTRY))
    assert "read, write and delete" in found["an object can be written"]


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
    found = wrong(doctor.endpoint("http://telemetry.invalid", None))
    assert list(found) == ["the endpoint has a certificate", "the endpoint takes sessions"]


def test_a_site_that_is_absent_or_old_is_named(tmp_path: Path) -> None:
    with served(tmp_path) as url:
        assert "Settings > Pages" in wrong(doctor.site(url))["the site is published"]
        for age, expected in ((1, []), (40, ["the site is fresh"])):
            built = datetime.now(UTC) - timedelta(hours=age)
            (tmp_path / doctor.MARKER).write_text(json.dumps({"built": f"{built:%Y-%m-%dT%H:%M:%SZ}"}))
            assert list(wrong(doctor.site(url))) == expected


def test_what_is_wrong_comes_with_its_remedy_and_an_exit_code(bucket: str) -> None:
    said = run("--bucket", bucket, "--as-function")
    assert said.exit_code == 1
    assert "WRONG   it cannot read: it could\n        to do: give it create-only rights" in said.output
    assert "5 of 6 are wrong" in said.output
