"""The operator's commands on a real bucket, from the outside."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from ingest.function.session_format import parse, timestamp
from ingest.function.settings import Settings
from reports.cli import main
from reports.sample import cairn_sessions
from tests.messages import mentions, numbers
from tests.sites import project

NOW = datetime.now(UTC)
SESSIONS = list(cairn_sessions.sessions(30, users=6, seed=5, end=NOW - timedelta(minutes=5)))


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
    (raw,) = [line for line in before.output.splitlines() if line.startswith("raw ")]
    assert mentions(raw, "cairn") and numbers(raw)[0] == "31"
    assert mentions(before.output, "abaculus compact")
    assert run("compact").exit_code == 0
    after = run("status", "--json")
    assert after.exit_code == 1
    found = json.loads(after.stdout)
    assert (found["tables"]["cairn"]["rows"], found["quarantined"]) == (30, 1)
    assert "abaculus requeue" in found["verdict"][0]
    assert run("verify").exit_code == 0


def test_a_changed_type_ends_with_an_exit_code_and_says_which_attribute(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("compact").exit_code == 0
    changed = tmp_path / "applications"
    shutil.copytree("ingest/applications", changed)
    declared = (changed / "cairn.toml").read_text(encoding="utf-8")
    (changed / "cairn.toml").write_text(
        re.sub(r'(\[attributes\.exitCode\]\ntype = )"integer"', r'\1"number"', declared), encoding="utf-8"
    )
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(changed))
    (bucket / "raw/v1/cairn/2026-01-02").mkdir()
    (bucket / "raw/v1/cairn/2026-01-02/again.json.gz").write_bytes(b"not read")
    said = run("compact")
    assert said.exit_code == 1 and "attributes.exitCode" in said.stderr
    assert (bucket / "raw/v1/cairn/2026-01-02/again.json.gz").exists()


def test_status_is_well_when_there_is_nothing_to_do(bucket: Path) -> None:
    (bucket / "raw/v1/cairn/2026-01-01/broken.json.gz").unlink()
    run("compact")
    said = run("status")
    assert said.exit_code == 0
    assert not [line for line in said.output.splitlines() if line.startswith("to do")]
    # Six people, and no release.
    hints = [line.split()[1].rstrip(",") for line in said.output.splitlines() if line.startswith("hint ")]
    assert {"people", "releases"} <= set(hints)


def test_what_was_set_aside_is_put_back(bucket: Path) -> None:
    run("compact")
    back = run("requeue")
    assert back.stdout == "raw/v1/cairn/2026-01-01/broken.json.gz\n"
    assert (bucket / "raw/v1/cairn/2026-01-01/broken.json.gz").read_bytes() == b"not gzip"
    missing = run("requeue", "quarantine/nothing")
    assert missing.exit_code == 1 and mentions(missing.output, "quarantine/nothing")


def test_a_person_is_deleted_by_argument_file_or_standard_input(bucket: Path, tmp_path: Path) -> None:
    run("compact")
    users = sorted({session["userId"] for session in SESSIONS})
    (tmp_path / "users.txt").write_bytes(f"\ufeff{users[0]}\r\n\r\n".encode())  # as editors on Windows write it
    (tmp_path / "utf-16.txt").write_text(users[0], encoding="utf-16")
    refused = run("forget", "--file", str(tmp_path / "utf-16.txt"))
    assert refused.exit_code == 1 and mentions(refused.stderr, "utf-16.txt", "UTF-8")
    assert not (bucket / "forgotten").exists()
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
    nobody = "8b7f4d7e-6a39-4f0e-8a42-5f7f2f6f0c55"
    again = run("forget", users[0], nobody)
    lines = again.output.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == [f"{users[0][:8]}…", "8b7f4d7e…"]
    assert again.exit_code == 0 and not any("deleted" in line for line in lines[:2])
    assert len(list((bucket / "forgotten").iterdir())) == 4
    left = run("sql", "--json", "SELECT count(*) AS n FROM sessions")
    assert json.loads(left.stdout) == [{"n": 30 - removed}]


def test_the_table_of_probes_is_listed_if_it_has_rows(bucket: Path) -> None:
    probe = SESSIONS[0] | {"applicationId": registry.PROBE.id, "attributes": {}, "events": [], "spans": []}
    probe |= dict.fromkeys(("sessionStartTime", "sessionEndTime"), timestamp(NOW))
    made = parse(json.dumps(probe).encode(), registry.load(), NOW, Settings())
    key = f"raw/v1/{registry.PROBE.id}/{made.start[:10]}/{made.id}.json.gz"
    open_bucket(str(bucket)).put(key, gzip.compress(made.line(timestamp(NOW))))
    run("compact")
    first, again, status = (run(*given).output for given in [("forget", probe["userId"])] * 2 + [("status",)])
    assert [mentions(said, "cairn", registry.PROBE.id) for said in (first, again, status)] == [True, False, False]


def test_a_deletion_that_leaves_something_unread_fails(bucket: Path) -> None:
    (bucket / "raw/v1/cairn/2026-01-01/cut.json.gz").write_bytes(b"\x1f\x8bcut")
    for arguments in ([], ["--json"]):
        said = run("forget", SESSIONS[0]["userId"], *arguments)
        assert said.exit_code == 1 and mentions(said.stderr, "raw/v1/cairn/2026-01-01/cut.json.gz")


def test_in_a_workflow_a_deletion_is_told_in_words(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    run("compact")
    user = SESSIONS[0]["userId"]
    said = run("forget", user, "8b7f4d7e-6a39-4f0e-8a42-5f7f2f6f0c55")
    # But for which of the ids a line is about, which whoever gave them knows.
    assert numbers(said.output) == ["1", "2"]
    assert user[:8] not in said.output
    told = json.loads(run("forget", "--json", user).stdout)
    assert (told["rows"], told["raw_sessions"]) == ({"cairn": "no"}, "no")


def test_what_is_no_user_id_deletes_nobody(bucket: Path) -> None:
    run("compact")
    for arguments in (["everyone"], []):
        result = run("forget", *arguments)
        assert result.exit_code == 1
        assert "nothing was deleted" in result.output


def test_releases_are_brought_in_from_a_file_and_read_by_the_view(bucket: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("version,released\n1.0.0,2026-01-01\n1.1.0,2026-02-01\n", encoding="utf-8")
    said = run("releases", "cairn", str(tmp_path / "r.csv"))
    assert said.output.startswith("cairn: ")
    assert mentions(said.output, "2", "1.1.0", "2026-02-01T00:00:00Z")
    rows = run("sql", "--json", "SELECT version, released FROM releases ORDER BY released")
    assert json.loads(rows.stdout)[1] == {"version": "1.1.0", "released": "2026-02-01T00:00:00Z"}
    assert run("releases", "nobody", str(tmp_path / "r.csv")).exit_code == 1
    asked = run("releases", "cairn")
    assert asked.exit_code == 1 and mentions(asked.output, "repository")
    assert run("releases", "cairn", str(tmp_path / "none.csv")).exit_code == 1


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("releases", "cairn", "none.csv"), "none.csv"),
        (("releases", "cairn", "directory"), "directory"),
        (("releases", "cairn", "http://127.0.0.1:1/releases"), "http://127.0.0.1:1/releases"),
        (("ingest", "--host", "203.0.113.7", "--port", "1999"), "203.0.113.7:1999"),
        (("ingest", "--host", "a..b", "--port", "1999"), "a..b:1999"),
        (("ingest", "--bucket", "file"), "file"),
        (("ingest", "--bucket", "file/bucket"), "file/bucket"),
    ],
)
def test_what_the_system_refuses_is_named_without_its_number(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("directory").mkdir()
    Path("file").touch()
    said = run(*command)
    assert said.exit_code == 1 and mentions(said.stderr, named), said.output
    assert not re.search(r"(?i)\berrno|os error", said.stderr)


def test_names_that_were_left_out_are_shown_harmlessly(bucket: Path) -> None:
    session = SESSIONS[0] | {"sessionId": "0f0e0d0c-0b0a-4908-8706-050403020100"}
    sent = session | {"events": [{"type": "\u001b[31m::add-mask::\u202e", "time": session["sessionStartTime"]}]}
    made = parse(json.dumps(sent).encode(), registry.load(), NOW, Settings())
    open_bucket(str(bucket)).put("raw/v1/cairn/2026-01-02/x.json.gz", gzip.compress(made.line(timestamp(NOW))))
    run("compact")
    said = run("status").output
    assert "hint   left out, cairn: events." in said
    assert "\u001b" not in said and "\u202e" not in said


def test_every_command_is_in_the_readme_and_has_help() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    for name, command in main.commands.items():
        assert f"`abaculus {name}" in readme, name
        assert command.help
        assert run(name, "--help").exit_code == 0
    assert run("nonsense").exit_code == 2


READING = (
    ["status"], ["verify"], ["forget", "8b7f4d7e-6a39-4f0e-8a42-5f7f2f6f0c55"], ["requeue"], ["doctor"], ["health"],
    ["sql", "SELECT 1"], ["registry", "suggest"], ["build"], ["check"], ["run", "--dry-run"],
    ["exclude", "--from", "2026-01-01", "--to", "2026-01-02"], ["repair"], ["doctor", "--session"],
)  # fmt: skip


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_named_bucket_that_is_not_there_is_an_error_and_is_not_created(tmp_path: Path, command: list[str]) -> None:
    for bucket in (str(tmp_path / "buckte"), (tmp_path / "buckte").as_uri()):
        said = run(*command, "--bucket", bucket)
        assert (said.exit_code, (tmp_path / "buckte").exists()) == (1, False)
        assert str(tmp_path / "buckte") in said.stderr.replace("\n", "")


def test_the_default_bucket_may_be_absent_from_a_build_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": "# Notes\n"})
    monkeypatch.chdir(tmp_path)
    for name in ("ABACULUS_BUCKET", "ABACULUS_APPLICATIONS"):
        monkeypatch.delenv(name, raising=False)
    for command, code in (("build", 0), ("check", 0), ("status", 1), ("verify", 1)):
        said = run(command)
        assert (command, said.exit_code, Path("data").exists()) == (command, code, False)
        assert "data/bucket" in said.stderr
    assert run("compact").exit_code == 0
    assert Path("data/bucket").is_dir()


@pytest.mark.slow
def test_a_project_may_lie_in_a_directory_of_any_name(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bucket / "raw/v1/cairn/2026-01-01/broken.json.gz").unlink()
    page = "# Runs\n\n```yaml chart\ntype: bar\ndata: sessions\nx: os\ny: count\ntitle: Systems\n```\n"
    here = project(tmp_path / "repo[1] feature%2Flogin back\\slash #1?", {"index.md": page})
    bucket = bucket.rename(here / "data[1]")
    monkeypatch.chdir(here)
    monkeypatch.setenv("ABACULUS_BUCKET", "data[1]")
    for command in ("compact", "check", "build", "status", "verify", "doctor", "repair", "compact"):
        said = run(command)
        assert (command, said.exit_code) == (command, 0), said.output
    assert json.loads(run("sql", "--json", "SELECT count(*) AS n FROM sessions").stdout) == [{"n": len(SESSIONS)}]
    assert run("forget", SESSIONS[0]["userId"]).exit_code == 0
    left = sum(session["userId"] != SESSIONS[0]["userId"] for session in SESSIONS)
    assert json.loads(run("sql", "--json", "SELECT count(*) AS n FROM sessions").stdout) == [{"n": left}]


@pytest.mark.slow
def test_a_command_works_in_the_locale_c(tmp_path: Path) -> None:
    here = tmp_path / os.fsdecode("überblick".encode())
    here.mkdir()
    store = open_bucket(str(here / "bucket"))
    made = parse(json.dumps(SESSIONS[0]).encode(), registry.load(), NOW, Settings())
    store.put(f"raw/v1/cairn/{made.start[:10]}/{made.id}.json.gz", gzip.compress(made.line(timestamp(NOW))))
    command = [sys.executable, "-m", "reports.cli"]
    environment = {
        **os.environ, "LC_ALL": "C", "PYTHONUTF8": "0",
        "ABACULUS_APPLICATIONS": str(Path("ingest/applications").absolute()),
    }  # fmt: skip
    run = partial(subprocess.run, cwd=here, env=environment, capture_output=True, check=True)
    run([*command, "compact", "--bucket", here / "bucket"])
    query = "SELECT 'ü' AS ä, count(*) AS n FROM sessions".encode()
    said = run([*command, "sql", "--json", "--bucket", "bucket", query])
    assert json.loads(said.stdout) == [{"ä": "ü", "n": 1}]


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = 'for one in "registry privacy" "client go abaculus" --help; do "$0" -m reports.cli $one | head -1; done'
    done = subprocess.run(["bash", "-c", command, sys.executable], capture_output=True, encoding="utf-8")
    assert (done.stdout.count("\n"), done.stderr) == (3, "")
