"""The sums of the pipeline: they add up, and nothing is told of few people."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingest.bucket import open_bucket
from reports import warehouse
from reports.bookkeeping import PRICED, STORES, bookkeeping
from reports.compact import compact
from reports.site import Site
from tests import buckets
from tests.sites import APPLICATION, fill, runs

KNOWN = buckets.registry(APPLICATION)
NOW = datetime.now(UTC)


def told(bucket: Path) -> str:
    site = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), KNOWN), now=NOW)
    try:
        return bookkeeping(site)
    finally:
        site.connection.close()


def test_what_was_received_is_stored_repeated_or_set_aside(tmp_path: Path) -> None:
    store = open_bucket(str(tmp_path))
    people = [buckets.session(number, user=number, start=NOW - timedelta(days=2)) for number in range(1, 31)]
    fill(tmp_path, people, KNOWN)
    again = [*people[:4], buckets.session(99, user=5, start=NOW - timedelta(days=1))]
    buckets.batch(store, *again, known=KNOWN, ingested=NOW)
    store.put("raw/v1/notes/2026-03-01/broken.json.gz", b"not a session")
    compact(store, str(tmp_path), KNOWN)
    said = told(tmp_path)
    assert "2 runs received 36 sessions. It adds up." in said
    assert "| stored | 31 |" in said
    assert "| sent again, and counted once | 4 |" in said
    assert "| unreadable, set aside | 1 |" in said
    assert "| Notes | 31 |" in said


def test_nothing_is_told_of_fewer_people_than_are_shown(tmp_path: Path) -> None:
    fill(tmp_path, runs(1, 9), KNOWN)
    assert told(tmp_path) == "Too few people yet: no sum is shown of fewer than 10 people."


def test_a_month_of_runs_is_weighed_against_what_is_free(tmp_path: Path) -> None:
    fill(tmp_path, runs(1, 40), KNOWN)
    said = told(tmp_path)
    # One run, as if it were all of a month: 40 sessions and 28 writes of the run's own.
    assert "about 68 writes and 119 reads" in said
    assert "| Cloudflare R2 | 0.0 % | $0.00 |" in said
    assert f"as of {PRICED}" in said
    assert [line.split(" | ")[0] for line in said.splitlines() if line.endswith(" |") and "$" in line] == [
        f"| {store}" for store in STORES
    ]


def test_a_bucket_without_runs_says_so(tmp_path: Path) -> None:
    assert told(tmp_path) == "No run has brought in data yet."
