"""What pages read of the views is loaded once, and gives what the views would."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reports.pages.queries import Queries
from reports.pages.site import Site
from reports.query.column_cache import Loaded
from reports.query.snapshot import Snapshot
from tests import buckets
from tests.buckets import timestamp
from tests.sites import APPLICATION, MONDAY, NOW, fill, runs, snapshot_of, source

KNOWN = buckets.registry(APPLICATION + '\n[attributes.quiet]\ntype = "boolean"\nwhy = "Is it used?"\n')
PAGE = "```yaml chart\ntype: bar\ndata: sessions\nx: {}\ny: people\n```\n"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bucket = tmp_path_factory.mktemp("loaded") / "bucket"
    at = timestamp(MONDAY - timedelta(days=3))
    span = {"type": "Save", "startTime": at, "endTime": at, "attributes": {}}
    fish, zsh = runs(1, 30, shellName="fish", quiet=True), runs(31, 50, shellName="zsh", osName="macOS")
    fill(bucket, [one | {"spans": [span] * 2} for one in fish] + zsh, KNOWN)
    return snapshot_of(bucket, KNOWN)


@pytest.fixture
def site(snapshot: Snapshot) -> Iterator[Site]:
    made = Site(snapshot, now=NOW, private=True)  # its user_id is the same in every site
    yield made
    made.connection.close()


@pytest.mark.parametrize("application", [None, "notes", "other"])
@pytest.mark.parametrize(
    ("sql", "loaded", "rows"),
    [
        ("SELECT user_id, shell FROM sessions", ["sessions"], 50),
        ('SELECT user_id, "Shell" AS shell, count(*) AS n FROM Sessions GROUP BY ALL', ["sessions"], 50),
        ("WITH s AS (SELECT user_id, os FROM sessions) SELECT user_id, os FROM s", ["sessions"], 50),
        ("SELECT user_id, type, session.shell, s.session.os FROM spans AS s", ["spans"], 60),
        ("SELECT user_id, a.shell, b.type FROM sessions a JOIN spans b USING (user_id)", ["sessions", "spans"], 60),
        ("SELECT user_id, choice FROM features", ["features"], 30),
        # What a query does not name, it may read all the same.
        ("SELECT * FROM sessions", [], 50),
        ("SELECT s.* EXCLUDE (shell) FROM sessions s", [], 50),
        ("SELECT user_id, session FROM spans", [], 60),
        ("SELECT one FROM sessions AS s(zero, one)", [], 50),
        ("SELECT user_id FROM sessions NATURAL JOIN applications", [], 50),
        ("SELECT version FROM releases", [], 0),
    ],
)
def test_a_query_gives_what_the_views_give(
    site: Site, application: str | None, sql: str, loaded: list[str], rows: int
) -> None:
    assert site.loaded
    site.loaded.want([sql], {"application"} if application else ())
    assert all(site.loaded.relation(view, application) for view in loaded)
    assert site.loaded.read_by(sql) == loaded
    found = []
    for given in (None, site.loaded):
        with site.connection.cursor() as cursor:
            queries = Queries(cursor, application, loaded=given)
            queries.add("q", sql)
            # And afterwards the views are there again.
            found.append([sorted(cursor.execute(f"FROM {name}").fetchall(), key=str) for name in ("q", *loaded)])
    assert found[0] == found[1]
    assert len(found[0][0]) == (0 if application == "other" else rows)


def test_files_are_read_once_for_all_pages_that_are_known_at_the_start(site: Site, snapshot: Snapshot) -> None:
    first, second, later = PAGE.format("shell"), PAGE.format("os"), PAGE.format("arch")
    assert site.loaded
    site.loaded.want([first, second])
    site.page(source(first))
    there = {path: path.read_bytes() for path in snapshot.files["notes"]}
    for path in there:
        path.unlink()
    (chart,) = site.page(source(second, path="b.md")).series
    assert chart.published.people == 50
    assert site.faults == []
    site.page(source(later, path="c.md"))
    for path, content in there.items():
        path.write_bytes(content)
    assert [fault.file for fault in site.faults] == ["site/c.md"]


def test_what_no_page_names_is_not_loaded(site: Site) -> None:
    loaded = Loaded(site.connection)
    loaded.want([PAGE.format("shell"), "SELECT session.os, type FROM spans"])
    there = {}
    for view in ("sessions", "spans"):
        with site.connection.cursor() as cursor:
            there[view] = [
                name for name, *_ in cursor.execute(f"DESCRIBE FROM {loaded.relation(view, None)}").fetchall()
            ]
    assert there == {
        "sessions": ["user_id", "shell"],
        "spans": ["user_id", "type", "session"],
    }
    assert loaded.relation("sessions", None, ["os"]) is None
    assert loaded.relation("sessions", "notes") is None
    loaded.want([PAGE.format("shell")], {"application", "notes"})
    assert loaded.relation("sessions", "notes")


def test_where_no_file_can_be_written_it_is_held_in_memory(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no directory").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no directory"))
    site, page = Site(snapshot, now=NOW), PAGE.format("shell")
    (chart,) = site.page(source(page)).series
    assert chart.published.rows == (("fish", 30), ("zsh", 20))
    site.connection.close()


PROGRAM = """
import sys, time
from reports.storage.duck import attach, open_duckdb
connection = open_duckdb()
attach(connection, "loaded")
connection.execute("CREATE TABLE loaded.a AS SELECT range AS i, hash(range) AS h FROM range(2000000)")
print("ready", flush=True)
time.sleep(60)
"""


def test_a_build_that_is_killed_leaves_no_rows_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as build:
        assert build.stdout
        assert build.stdout.readline() == "ready\n"
        build.send_signal(signal.SIGKILL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("front", ["", "---\napplication: notes\n---\n"])
def test_a_query_with_all_columns_beside_its_view_is_read_as_it_is(site: Site, front: str) -> None:
    page = (
        "```sql wide\nSELECT * FROM sessions\n```\n"
        "```sql both\nSELECT user_id, a.shell FROM wide AS a JOIN sessions AS b USING (user_id)\n```\n"
        "```yaml chart\ntype: bar\ndata: both\nx: shell\ny: people\n```\n"
    )
    (chart,) = site.page(source(front + page)).series
    assert site.faults == []
    assert chart.published.rows == (("fish", 30), ("zsh", 20))
