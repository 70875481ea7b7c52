"""The operator's commands on a real bucket, from the outside."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest import registry
from ingest.bucket import open_bucket
from ingest.session import parse, timestamp
from ingest.settings import Settings
from reports import sample
from reports.cli import main

NOW = datetime.now(UTC)
SESSIONS = list(sample.sessions(30, users=6, seed=5, end=NOW - timedelta(minutes=5)))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket with thirty raw sessions and an object that is broken."""
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(Path("ingest/applications").absolute()))
    monkeypatch.setenv("ABACULUS_BUCKET", str(tmp_path / "bucket"))
    store = open_bucket(str(tmp_path / "bucket"))
    for session in SESSIONS:
        made = parse(json.dumps(session).encode(), registry.load(), NOW, Settings())
        key = f"raw/v1/cairn/{made.start[:10]}/{made.id}.json.gz"
        store.put(key, gzip.compress(made.line(timestamp(NOW))))
    store.put("raw/v1/cairn/2026-01-01/broken.json.gz", b"not gzip")
    return tmp_path / "bucket"


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=input, catch_exceptions=False)


def test_status_says_what_waits_then_what_is_stored_and_what_to_do(bucket: Path) -> None:
    before = run("status")
    assert before.exit_code == 1
    assert "raw    cairn: 31 objects" in before.output
    assert "no compaction has run yet" in before.output
    assert run("compact").exit_code == 0
    after = run("status", "--json")
    assert after.exit_code == 1
    found = json.loads(after.stdout)
    assert (found["tables"]["cairn"]["rows"], found["quarantined"]) == (30, 1)
    assert "abaculus requeue" in found["verdict"][0]
    assert run("verify").output == "the ledger and the tables agree\n"


def test_status_is_well_when_there_is_nothing_to_do(bucket: Path) -> None:
    (bucket / "raw/v1/cairn/2026-01-01/broken.json.gz").unlink()
    run("compact")
    said = run("status")
    assert said.exit_code == 0
    assert said.output.endswith("all is well\n")


def test_what_was_set_aside_is_put_back(bucket: Path) -> None:
    run("compact")
    back = run("requeue")
    assert back.stdout == "raw/v1/cairn/2026-01-01/broken.json.gz\n"
    assert (bucket / "raw/v1/cairn/2026-01-01/broken.json.gz").read_bytes() == b"not gzip"
    missing = run("requeue", "quarantine/nothing")
    assert (missing.exit_code, "is not in quarantine" in missing.output) == (1, True)


def test_a_person_is_deleted_by_argument_file_or_standard_input(bucket: Path, tmp_path: Path) -> None:
    run("compact")
    users = sorted({session["userId"] for session in SESSIONS})
    (tmp_path / "users.txt").write_text(users[0] + "\n\n")
    removed = 0
    for arguments, given in (
        ([users[1]], None),
        (["--file", str(tmp_path / "users.txt")], None),
        (["--file", "-"], users[2]),
    ):
        result = run("forget", "--json", *arguments, input=given)
        assert result.exit_code == 0
        assert not any(user in result.output for user in users)
        removed += sum(json.loads(result.stdout)["rows"].values())
    assert removed == sum(session["userId"] in users[:3] for session in SESSIONS)
    assert run("forget", users[0]).exit_code == 0
    left = run("sql", "--json", "SELECT count(*) AS n FROM sessions")
    assert json.loads(left.stdout) == [{"n": 30 - removed}]


def test_what_is_no_user_id_deletes_nobody(bucket: Path) -> None:
    run("compact")
    for arguments in (["everyone"], []):
        result = run("forget", *arguments)
        assert result.exit_code == 1
        assert "nothing was deleted" in result.output


def test_releases_are_brought_in_from_a_file_and_read_by_the_view(bucket: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("version,released\n1.0.0,2026-01-01\n1.1.0,2026-02-01\n")
    said = run("releases", "cairn", str(tmp_path / "r.csv"))
    assert said.output == "cairn: 2 releases, the newest 1.1.0 of 2026-02-01T00:00:00Z\n"
    rows = run("sql", "--json", "SELECT version, released FROM releases ORDER BY released")
    assert json.loads(rows.stdout)[1] == {"version": "1.1.0", "released": "2026-02-01T00:00:00Z"}
    assert run("releases", "nobody", str(tmp_path / "r.csv")).exit_code == 1
    assert run("releases", "cairn", str(tmp_path / "none.csv")).exit_code == 1


def test_names_that_were_left_out_are_shown_harmlessly(bucket: Path) -> None:
    session = SESSIONS[0] | {"sessionId": "0f0e0d0c-0b0a-4908-8706-050403020100"}
    sent = session | {"events": [{"type": "\u001b[31m::add-mask::\u202e", "time": session["sessionStartTime"]}]}
    made = parse(json.dumps(sent).encode(), registry.load(), NOW, Settings())
    open_bucket(str(bucket)).put("raw/v1/cairn/2026-01-02/x.json.gz", gzip.compress(made.line(timestamp(NOW))))
    run("compact")
    said = run("status").output
    assert "left out  cairn: events." in said
    assert "\u001b" not in said and "\u202e" not in said


def test_every_command_is_in_the_readme_and_has_help() -> None:
    readme = Path("README.md").read_text()
    for name, command in main.commands.items():
        assert f"`abaculus {name}" in readme, name
        assert command.help
        assert run(name, "--help").exit_code == 0
    assert run("nonsense").exit_code == 2
