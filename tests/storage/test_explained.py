"""What stops a command outside the program is a sentence that says what to do, and no traceback."""

import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.storage import ledger, table
from reports.storage.explained import explained
from reports.writers.compact import compact
from tests.buckets import NOTES, REGISTRY, batch, keep, keys, rows, session
from tests.messages import mentions
from tests.servers import free_ports

COMMANDS = [["compact"], ["status"], ["verify"], ["sql", "SELECT 1"], ["forget", session()["userId"]], ["requeue"]]


@contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """The URL of a store that answers everything with one error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_HEAD = do_POST = do_DELETE = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of somebody with an S3 bucket."""
    applications = tmp_path / "applications"
    applications.mkdir()
    (applications / "notes.toml").write_text(NOTES, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    values = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        "ABACULUS_BUCKET": "s3://abaculus/x", "ABACULUS_APPLICATIONS": str(applications),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def run(*arguments: str) -> Result:
    # A bug would be raised here.
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_the_doctor_names_the_cause_and_for_a_missing_right_the_right(cloud: pytest.MonkeyPatch) -> None:
    for status, code, named, rights in ((403, "ExpiredToken", "expired", False), (403, "AccessDenied", "list", True)):
        with refusing(status, code) as url:
            cloud.setenv("AWS_ENDPOINT_URL", url)
            said = run("doctor")
        assert said.exit_code == 1 and mentions(said.output, named)
        assert ("to do: " in said.output) == rights


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_answers_an_expired_token_with_a_traceback(cloud: pytest.MonkeyPatch, command: list[str]) -> None:
    with refusing(403, "ExpiredToken") as url:
        cloud.setenv("AWS_ENDPOINT_URL", url)
        said = run(*command)
    assert said.exit_code == 1 and "expired" in said.stderr


@pytest.mark.parametrize(
    ("status", "code", "named"),
    [
        (400, "ExpiredToken", "expired"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "AccessDenied", "doctor"),
        (404, "NoSuchBucket", "ABACULUS_BUCKET"),
        (301, "PermanentRedirect", "AWS_REGION"),
    ],
)
def test_what_a_store_answers_is_said_with_what_to_do(
    cloud: pytest.MonkeyPatch, status: int, code: str, named: str
) -> None:
    with refusing(status, code) as url:
        cloud.setenv("AWS_ENDPOINT_URL", url)
        said = run("compact")
    assert said.exit_code == 1 and named in said.stderr


@pytest.mark.s3
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_bucket_that_does_not_exist_is_not_a_missing_right(
    cloud: pytest.MonkeyPatch, s3: Mapping[str, str], command: list[str]
) -> None:
    for name, value in s3.items():
        cloud.setenv(name, value)
    cloud.setenv("ABACULUS_BUCKET", "s3://nowhere/x")
    said = run(*command)
    assert said.exit_code == 1 and mentions(said.stderr, "ABACULUS_BUCKET")


@pytest.mark.slow  # obstore tries for some seconds
def test_an_endpoint_that_is_down_is_said(cloud: pytest.MonkeyPatch) -> None:
    cloud.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    said = run("status")
    assert said.exit_code == 1 and "AWS_ENDPOINT_URL" in said.stderr


def test_an_endpoint_that_is_no_url_is_said(cloud: pytest.MonkeyPatch) -> None:
    cloud.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    cloud.delenv("AWS_ALLOW_HTTP")
    said = run("status")
    assert said.exit_code == 1 and "AWS_ALLOW_HTTP" in said.stderr


def test_credentials_that_are_not_there_are_asked_for(cloud: pytest.MonkeyPatch) -> None:
    cloud.delenv("AWS_ACCESS_KEY_ID")
    cloud.delenv("AWS_SECRET_ACCESS_KEY")
    with refusing(403, "Forbidden") as url:
        # In place of the address that a machine in the cloud has.
        cloud.setenv("AWS_METADATA_ENDPOINT", url)
        cloud.setenv("AWS_ENDPOINT_URL", url)
        said = run("status")
    assert said.exit_code == 1 and "AWS_SECRET_ACCESS_KEY" in said.stderr


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))]
)
def test_a_full_disk_is_said(error: OSError) -> None:
    said = explained(error)
    assert said is not None and "XDG_CACHE_HOME" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_said(cloud: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.setenv("ABACULUS_BUCKET", str(tmp_path / "bucket"))
    run("compact")
    (tmp_path / "bucket" / "ledger").chmod(0o500)
    said = run("compact")
    assert said.exit_code == 1 and "ledger" in said.stderr


def test_a_bug_keeps_its_traceback() -> None:
    assert explained(ValueError("an answer that nobody thought of")) is None
    assert explained(KeyError("x")) is None
    assert explained(FileNotFoundError("tables/notes is not there")) is None


# Objects that are not ours, and some that were cut


@pytest.fixture
def local(cloud: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStore:
    """A local bucket in which every folder has something, and what a file manager and an editor left."""
    cloud.setenv("ABACULUS_BUCKET", str(tmp_path / "bucket"))
    store = open_bucket(str(tmp_path / "bucket"))
    keep(store, session(1))
    store.put("raw/v1/notes/2026-03-04/broken.json.gz", b"broken")
    compact(store, str(tmp_path / "bucket"), REGISTRY)
    store.put("releases/notes.json", json.dumps([{"version": "1.2.3", "released": "2026-01-01T00:00:00Z"}]).encode())
    batch(store, session(2), session(3))
    run("exclude", "--from", "2020-01-01", "--to", "2020-01-02")
    for folder in (
        "ledger",
        "excluded",
        "releases",
        "quarantine",
        "raw/v1/notes/2026-03-04",
        "tables/notes",
        "forgotten",
    ):
        store.put(f"{folder}/.DS_Store", b"\0\0\0\1Bud1")
        store.put(f"{folder}/._x.json", b"\0")
    store.put("ledger/notes.txt", b"by hand")
    store.put("ledger/20260101.json", b"{}")
    return store


@pytest.mark.slow
def test_foreign_files_disturb_no_command_and_stay(local: ObjectStore, tmp_path: Path) -> None:
    assert run("compact").exit_code == 0
    assert len(rows(tmp_path / "bucket")) == 3
    assert run("verify").exit_code == 0
    assert json.loads(run("status", "--json").stdout)["quarantined"] == 1
    assert json.loads(run("sql", "--json", "SELECT count(*) AS n FROM sessions").stdout) == [{"n": 3}]
    assert json.loads(run("sql", "--json", "SELECT count(*) AS n FROM releases").stdout) == [{"n": 1}]
    assert run("exclude", "--list").exit_code == 0
    assert run("requeue").stdout.splitlines() == ["raw/v1/notes/2026-03-04/broken.json.gz"]
    assert run("forget", session(user=7)["userId"]).exit_code == 0
    assert sum(".DS_Store" in key for key in keys(local)) == 7


def test_an_entry_of_the_ledger_that_was_cut_stops_nothing(local: ObjectStore, tmp_path: Path) -> None:
    run("compact")
    entry = next(key for key in keys(local, "ledger/") if ledger.NAME.fullmatch(key))
    local.put(entry, bytes(local.get(entry).bytes())[:100])
    assert run("compact").exit_code == 0
    assert [one["kind"] for one in ledger.entries(local)].count("damaged") == 1
    assert run("sql", "SELECT 1").exit_code == 0
    # The table's log still has what the run did.
    assert run("verify").exit_code == 0


@pytest.mark.parametrize("key", ["releases/notes.json", "excluded/"])
def test_an_object_that_was_cut_is_named(local: ObjectStore, key: str) -> None:
    (found,) = [one for one in keys(local, key.partition("/")[0]) if one.startswith(key) and "/." not in one]
    local.put(found, b'[{"version": "1.')
    said = run("sql", "SELECT 1")
    assert said.exit_code == 1 and found in said.stderr


def test_a_damaged_table_file_is_said(local: ObjectStore, tmp_path: Path) -> None:
    run("compact")
    handle = table.load(str(tmp_path / "bucket"), "notes")
    assert handle is not None
    for path in (tmp_path / "bucket/tables/notes").glob("month=*/*.parquet"):
        path.write_bytes(path.read_bytes()[:200])
    keep(local, session(9))
    for command in (["compact"], ["sql", "SELECT count(*) FROM sessions"], ["verify"], ["status"]):
        said = run(*command)
        assert said.exit_code == 1 and "repair" in said.output, command
