"""Opening a bucket from its URL."""

import os
from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

from ingest.function.bucket_url import BucketError, open_bucket


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")


def test_a_path_and_a_file_url_open_the_same_directory_and_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_bucket("data/a bucket").put("k", b"1")
    again = open_bucket((tmp_path / "data" / "a bucket").as_uri())
    assert isinstance(again, LocalStore)
    assert bytes(again.get("k").bytes()) == b"1"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:///", MemoryStore),
        ("s3://bucket", S3Store),
        ("gs://bucket", GCSStore),
        ("az://container", AzureStore),
    ],
)
@pytest.mark.parametrize("retries", [True, False])
def test_a_url_opens_the_store_of_its_scheme(
    url: str, kind: type, retries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_bucket(url, retries=retries), kind)


@pytest.mark.parametrize("url", ["ftp://host/path", "https://host/bucket", "S4://bucket"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(BucketError, match=r"file://.*s3://.*gs://.*az://"):
        open_bucket(url)


def test_a_bucket_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("", encoding="utf-8")
    with pytest.raises(BucketError, match=r"cannot be opened"):
        open_bucket(str(taken / "bucket"))


def test_a_path_that_is_no_text_is_refused_with_the_fix(tmp_path: Path) -> None:
    """As Python reads any path that is not ASCII in the locale C."""
    directory = tmp_path / os.fsdecode(b"\xfcbung")
    with pytest.raises(BucketError, match="PYTHONUTF8=1"):
        open_bucket(str(directory))
    assert not directory.exists()


@pytest.mark.parametrize(
    ("url", "name"),
    [("s3://b", "AWS_ENDPOINT_URL"), ("s3://b", "AWS_ENDPOINT"), ("az://b", "AZURE_STORAGE_ENDPOINT")],
)
def test_an_endpoint_without_a_scheme_is_named(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "localhost:9000")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "somebody")
    with pytest.raises(BucketError, match=f"{name}=localhost:9000"):
        open_bucket(url)
    open_bucket(str(tmp_path / "local"))
