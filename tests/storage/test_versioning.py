"""Whether a bucket that keeps what is deleted is noticed."""

import json
import urllib.request
from collections.abc import Mapping

import pytest
from click.testing import CliRunner
from obstore.store import MemoryStore

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.storage.versioning import keeps_versions
from tests.buckets import keep, keys, session, uuid
from tests.waiting import PATIENCE

VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def test_a_directory_and_memory_keep_nothing_and_nothing_is_left_of_the_trial(bucket: str) -> None:
    for store in (open_bucket(bucket), MemoryStore()):
        assert not keeps_versions(store)
        assert keys(store) == []


@pytest.mark.s3
def test_a_bucket_with_versioning_is_noticed_and_forget_says_what_to_do(
    moto: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.items():
        monkeypatch.setenv(name, value)
    for path, body in (("versioned", None), ("versioned?versioning", VERSIONED)):
        request = urllib.request.Request(
            f"{moto['AWS_ENDPOINT_URL']}/{path}", body, {"Content-Type": "application/xml"}, method="PUT"
        )
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    plain, versioned = open_bucket("s3://abaculus"), open_bucket("s3://versioned")
    assert not keeps_versions(plain)
    assert keeps_versions(versioned)
    assert keys(versioned) == []
    keep(versioned, session(1, user=uuid(7)))
    for name, exit_code in (("versioned", 1), ("abaculus", 0)):  # versions of what was deleted may be left
        result = CliRunner().invoke(main, ["forget", "--json", "--bucket", f"s3://{name}", uuid(7)])
        assert (result.exit_code, json.loads(result.stdout)["versions_kept"]) == (exit_code, exit_code == 1)
        assert result.stderr
