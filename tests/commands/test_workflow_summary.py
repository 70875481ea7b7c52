"""What the page of a run says, and what it keeps to itself."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.commands import workflow_summary
from reports.gate.rules import Rules
from reports.storage.ledger import Counts, Entry
from tests import buckets, sites
from tests.messages import mentions, numbers

PAGE = "# Notes\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
NOW = datetime(2026, 3, 18, 12)
HOSTILE = [
    "<script>alert(1)</script>", "a | b", "[x](javascript:alert(1))", "a\n::add-mask::b", "\u202eabc", "\x1b[31m",
    "`x`", "](x)![y](z)", "%0A::error::x", "@everyone #1 **b** _c_ $x$",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose bucket has sessions of twelve people in `raw/`, run as a workflow runs it."""
    sites.project(tmp_path, {"index.md": PAGE})
    monkeypatch.chdir(tmp_path)
    known = buckets.registry(sites.APPLICATION)
    store = open_bucket("bucket")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = [buckets.session(number, **one) for number, one in enumerate(sites.runs(1, 12, start=yesterday))]
    buckets.batch(store, *made, known=known, ingested=datetime.now(UTC))
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_RUN_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "--bucket", "bucket", *arguments], catch_exceptions=False)


def said(**more: Any) -> str:
    return workflow_summary.summary(**{"now": NOW, "rules": Rules()} | more)


def entry(**applications: Counts) -> Entry:
    return Entry("run", "2026-03-18T12:00:00+00:00", applications=dict(applications))


def test_a_run_says_what_came_how_fresh_and_how_large(project: Path) -> None:
    result = run()
    assert result.exit_code == 0
    assert "notes: 10 stored" in result.stdout
    text = (project / "summary.md").read_text(encoding="utf-8")
    assert "| notes | stored | 10 |" in text
    (fresh,) = [line for line in text.splitlines() if line.startswith("10 people ")]
    assert numbers(fresh) == ["10", "24"]
    (size,) = [line for line in text.splitlines() if " MB, " in line]
    assert int(numbers(size)[0]) == sum(path.is_file() for path in (project / "out").rglob("*"))
    assert "| index.md | " in text
    assert json.loads((project / "out/abaculus-build.json").read_text(encoding="utf-8"))["run"] == "7"


def test_numbers_of_few_people_are_in_no_log_and_no_summary(project: Path) -> None:
    run()
    known = buckets.registry(sites.APPLICATION)
    many = [buckets.session(number, user=1) for number in range(500, 637)]
    buckets.batch(open_bucket("bucket"), *many, known=known, ingested=datetime.now(UTC))
    result = run()
    assert re.search("notes: few stored", result.stdout)
    said = (result.output + (project / "summary.md").read_text(encoding="utf-8")).replace(str(project), "")
    assert not re.search(r"(?<![\d.])137(?!\d)", said)


def test_a_mistake_in_a_page_is_said_and_the_run_fails(project: Path) -> None:
    (project / "site/index.md").write_text(PAGE.replace("x: shell", "x: shel"), encoding="utf-8")
    result = run()
    assert result.exit_code == 1
    assert "index.md" in result.stderr
    text = (project / "summary.md").read_text(encoding="utf-8")
    assert "This run failed" in text
    assert "| notes | stored | 10 |" in text


def test_a_dry_run_changes_nothing_and_says_what_waits(project: Path) -> None:
    before = buckets.keys(open_bucket("bucket"))
    assert mentions(run("--applications", "notes, nobody").output, "'nobody'")
    result = run("--dry-run")
    assert result.exit_code == 0 and mentions(result.stdout, "notes")
    assert buckets.keys(open_bucket("bucket")) == before
    # Nothing came in, so nothing is said to have been stored.
    text = (project / "summary.md").read_text(encoding="utf-8")
    assert "| index.md | " in text and "| stored |" not in text


def test_a_rebuild_tries_again_what_was_set_aside_and_recounts(project: Path) -> None:
    broken = "raw/v1/notes/2026-01-01/broken.json.gz"
    open_bucket("bucket").put(broken, b"not gzip")
    assert run().exit_code == 0
    assert re.findall(r"^\| ([^|]*gzip[^|]*) \|$", (project / "summary.md").read_text(encoding="utf-8"), re.MULTILINE)
    known = buckets.registry(sites.APPLICATION)
    made = buckets.keep(open_bucket("bucket"), buckets.session(900), known=known)
    whole = bytes(open_bucket("bucket").get(made[0]).bytes())
    open_bucket("bucket").delete(made[0])
    open_bucket("bucket").put(f"quarantine/{broken}", whole)
    assert run("--mode", "rebuild").exit_code == 0
    assert [key for key in buckets.keys(open_bucket("bucket")) if "broken" in key] == []
    next((project / "bucket/tables/notes").rglob("*.parquet")).unlink()
    assert run("--mode", "rebuild").exit_code == 1


def test_what_is_asked_for_wrongly_is_named() -> None:
    for arguments, wanted in ((["--since", "yesterday"], "2026-01-31"), (["--mode", "all"], "incremental")):
        result = run(*arguments)
        assert (result.exit_code, wanted in result.output) == (2, True)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_comes_from_the_bucket_is_inert(hostile: str) -> None:
    given = entry(**{hostile: Counts(sessions=50, stored=50, people=50)})
    given.unregistered.append(hostile)
    text = said(entry=given)
    assert not any(sign in text for sign in "<>\u202e\x1b[]")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 4 for line in table)
    assert not any(line.startswith("::") for line in text.splitlines())


def test_a_flood_of_made_up_applications_does_not_fill_the_summary() -> None:
    given = entry()
    given.unregistered += [f"made-up-{number}" for number in range(5_000)]
    assert len(said(entry=given)) < 2_000


def test_a_reason_is_said_in_words_of_ours(bucket: str) -> None:
    store = open_bucket(bucket)
    for number, reason in enumerate(["not gzip: <script>", "JSON parse error: 8b7f4d7e", "applicationId is not 'x'"]):
        note = {"reason": reason, "run": "run"}
        store.put(f"quarantine/{number}.reason.json", json.dumps(note).encode())
    store.put("quarantine/other.reason.json", b'{"reason": "it is empty", "run": "another"}')
    found = workflow_summary.reasons(store, "run")
    assert len(found) == 3
    gzip, json_, application = sorted(found, key=lambda said: ["gzip" not in said, "JSON" not in said])
    assert mentions(gzip, "gzip") and mentions(json_, "JSON") and mentions(application, "application")
    assert not re.search("script|8b7f|x'", " ".join(found))


def test_a_site_that_gets_too_large_is_announced(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(900_000_000)
    large = said(site=tmp_path)
    assert mentions(large, "900.0 MB", "90.0%") and "**" in large
    (tmp_path / "large").write_bytes(b"small")
    assert "**" not in said(site=tmp_path)


def test_times_are_said_in_the_largest_unit_that_fits() -> None:
    ages = [timedelta(minutes=5), timedelta(hours=1), timedelta(hours=47), timedelta(days=9)]
    assert [workflow_summary.ago(age) for age in ages] == ["less than an hour", "1 hour", "47 hours", "9 days"]
