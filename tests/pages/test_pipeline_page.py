"""The sums of the pipeline: they add up, and nothing is said of fewer than ten people."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.pages.pipeline_page import PRICED, STORES, bookkeeping
from reports.writers.compact import compact
from tests import buckets
from tests.messages import mentions, numbers
from tests.sites import APPLICATION, fill, runs, site_of

KNOWN = buckets.registry(APPLICATION)
NOW = datetime.now(UTC)


def told(bucket: Path, known: Mapping[str, Application] = KNOWN) -> str:
    with site_of(bucket, known, now=NOW) as site:
        return bookkeeping(site)


def test_that_everything_is_accounted_for_is_one_bit(tmp_path: Path) -> None:
    store = open_bucket(str(tmp_path))
    people = [buckets.session(number, user=number, start=NOW - timedelta(days=2)) for number in range(1, 33)]
    fill(tmp_path, people, KNOWN)
    again = [*people[:4], buckets.session(99, user=5, start=NOW - timedelta(days=1))]
    buckets.batch(store, *again, known=KNOWN, ingested=NOW)
    store.put("raw/v1/notes/2026-03-01/broken.json.gz", b"not a session")
    compact(store, str(tmp_path), KNOWN)
    said = told(tmp_path)
    assert mentions(said, "2 runs", "adds up")
    # 33 sessions of the table are 35. How many were repeated or are in quarantine is not public.
    assert [line.split(" | ")[1] for line in said.splitlines() if line.startswith("| Notes |")] == ["35"]
    assert not set(numbers(said)) & {"33", "37", "38", "4"}


def test_each_tool_is_shown_by_itself_and_only_with_enough_people(tmp_path: Path) -> None:
    known = {**KNOWN, "other": registry.parse('id = "other"\nname = "Other tool"')}
    one = {"user": 1, "applicationId": "other", "attributes": {}}
    fill(tmp_path, [*runs(1, 12), *[{**one, "start": NOW - timedelta(days=day)} for day in range(1, 4)]], known)
    said = told(tmp_path, known)
    assert "| Notes |" in said
    assert "Other tool" not in said
    # Nor is it in the cost: twelve sessions are ten.
    assert mentions(said, "about 38 writes")


def test_nothing_is_told_of_fewer_people_than_are_shown(tmp_path: Path) -> None:
    fill(tmp_path, runs(1, 9), KNOWN)
    assert numbers(told(tmp_path)) == ["10"]


def test_a_month_of_runs_is_weighed_against_what_is_free(tmp_path: Path) -> None:
    fill(tmp_path, runs(1, 40), KNOWN)
    said = told(tmp_path)
    # One run, as if it were all of a month: 40 sessions and 28 writes of the run's own.
    assert mentions(said, "68 writes", "119 reads", PRICED)
    assert "| Cloudflare R2 | 0.0 % | $0.00 |" in said
    assert [line.split(" | ")[0] for line in said.splitlines() if line.endswith(" |") and "$" in line] == [
        f"| {store}" for store in STORES
    ]


def test_a_bucket_without_runs_says_so(tmp_path: Path) -> None:
    said = told(tmp_path)
    assert said and "|" not in said and numbers(said) == []
