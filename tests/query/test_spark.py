"""The engine spark: the same numbers and the same promises as DuckDB's, on Sail and on Apache Spark."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.blocks.block import parse
from reports.blocks.published import Published
from reports.cli import main
from reports.pages.site import Site
from reports.query.engine import ENGINES
from reports.query.snapshot import fetch
from reports.query.spark import Cluster
from reports.query.views import connect
from reports.sample import cairn_sessions
from reports.storage.duck import open_duckdb
from reports.storage.releases import keep
from reports.storage.stored_ids import scan
from reports.storage.table import load
from tests import buckets, sparks
from tests.messages import mentions, places
from tests.sites import APPLICATION, NOW, fill, project, runs, source

ROOT = Path(__file__).resolve().parents[2]
ALL = bool(os.environ.get("ABACULUS_ALL"))
END = datetime(2026, 7, 15, 12, tzinfo=UTC)
SERVERS = {"sail": sparks.sail, "apache": sparks.apache}
BOTH = [pytest.param("sail", marks=pytest.mark.spark), pytest.param("apache", marks=pytest.mark.jvm)]


@pytest.fixture(scope="module", params=BOTH)
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_REMOTE", url)
        yield url


@pytest.fixture(scope="module")
def known() -> dict[str, Application]:
    return registry.load(ROOT / "ingest" / "applications")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, known: dict[str, Application]) -> str:
    """Sessions as the demo makes them, and when their versions were released."""
    path = tmp_path_factory.mktemp("spark") / "bucket"
    fill(path, cairn_sessions.sessions(4_000, users=500, seed=7, end=END), known)
    times = cairn_sessions.releases(END)
    dates = [{"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in times]
    keep(open_bucket(str(path)), cairn_sessions.APPLICATION, dates)
    return f"file://{path}"


PAGES = [path for path in sorted((ROOT / "site").rglob("*.md")) if "\nfor: " not in path.read_text(encoding="utf-8")]
# These take nine tenths of the time of all: their queries go through all spans, some several times.
SLOW = ("commands", "did-it-help", "failures", "speed", "sql")
COMPARED = [path for path in PAGES if ALL or path.stem not in SLOW] + [ROOT / "tests" / "spark.md"]


def asked(path: Path) -> set[tuple[str, str]]:
    """What a page asks an engine for: each kind of chart with its options and measures, each function of its SQL."""
    found = set()
    for kind, text in re.findall(
        r"^```(yaml chart|sql \w+)\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        if kind == "yaml chart":
            block = parse(text)
            found |= {(block.type, word) for word in (*block.lines, *(measure.name for measure in block.y))}
        else:
            found |= {("sql", word.lower()) for word in re.findall(r"(\w+)\(", text)}
    return found


def test_the_pages_that_are_compared_ask_for_all_that_any_page_asks_for() -> None:
    asked_of = {path.stem: asked(path) for path in (*PAGES, *COMPARED)}
    compared = set().union(*(asked_of[path.stem] for path in COMPARED))
    assert len(compared) > 100
    assert set().union(*asked_of.values()) - compared == set()


def unfiltered(text: str) -> str:
    """A page without the choices of its front matter: to count each of them takes most of the time of a page."""
    return re.sub(r"\A(---\n(?:.+\n)*?)filter: \[.*?(not \w+)?(?:, \w+)*\]\n", _without, text)


def _without(found: re.Match[str]) -> str:
    return found[1] + (f"filter: [{found[2]}]\n" if found[2] else "")


def published(
    bucket: str, known: Mapping[str, Application], engine: str, pages: Sequence[Path]
) -> dict[str, Published]:
    """All series of these pages, which have no mistake."""
    made = Site(fetch(open_bucket(bucket), bucket, known, engine), now=END)
    series = {}
    with made.connection:
        for path in pages:
            page = made.page(source(unfiltered(path.read_text(encoding="utf-8")), path=path.name))
            series.update({f"{path.stem}#{one.id}": one.published for one in page.series})
    assert [str(fault) for fault in made.faults] == []
    return series


def same(one: Any, other: Any) -> bool:
    """Whether two values are, but for the last digits: sums of fractions are added in another order."""
    if isinstance(one, list) and isinstance(other, list):
        return all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def test_every_page_publishes_the_same_numbers_on_both_engines(
    remote: str, bucket: str, known: dict[str, Application], request: pytest.FixtureRequest
) -> None:
    pages = COMPARED
    if "apache" in request.node.name and not ALL:
        pages = COMPARED[-1:]  # the others take it five minutes
    here, there = (published(bucket, known, engine, pages) for engine in ENGINES)
    assert here.keys() == there.keys() and len(here) > (60 if len(pages) > 1 else 7)
    for place, one in here.items():
        other = there[place]
        assert (one.columns, one.people, one.empty) == (other.columns, other.people, other.empty), place
        assert (one.empty, len(one.rows)) == (other.empty, len(other.rows)), place
        for row, their in zip(one.rows, other.rows, strict=True):
            assert all(same(a, b) for a, b in zip(row, their, strict=True)), (place, row, their)


QUERIES = [query.strip() for query in (ROOT / "tests" / "spark.sql").read_text(encoding="utf-8").split(";")]


@pytest.fixture(scope="module")
def connections(remote: str, bucket: str, known: dict[str, Application]) -> Iterator[list[Any]]:
    snapshots = [fetch(open_bucket(bucket), bucket, known, engine) for engine in ("duckdb", "spark")]
    made = [connect(snapshot, private=True) for snapshot in snapshots]
    yield made
    for one in made:
        one.close()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_means_the_same(query: str, connections: list[Any]) -> None:
    rows = [connection.execute(query).fetchall() for connection in connections]
    assert rows[0]
    assert len(rows[0]) == len(rows[1])
    for one, other in zip(*rows, strict=True):
        assert all(same(a, b) for a, b in zip(one, other, strict=True)), (one, other)


VERSIONS = [
    "1",
    "1.2",
    "01.2.3",
    "1.2.3-rc.1",
    "1.2.3-rc.10",
    "1.2.3-alpha",
    "1.2.3-0",
    "1.2.3-00.x7.7x",
    "1.2.3+build",
    "1.2.3-a-b.9+c",
    "10.0.0",
    "1.2.3-20260101123000",
    "1.2.3-1234567890123456",
    "1.2.3+post.4",
    "1.2.3-0.dev.10+rev.4",
    "1.2.3-rc.1+epoch.1.rev.4.0.15.post.2.dev.3.g12ab",
    "1.2.3+rev.4.local.5",
    "1.2.3+post.x",
]


def test_versions_have_the_same_key(connections: list[Any]) -> None:
    listed = ", ".join(f"'{version}'" for version in VERSIONS)
    query = f"SELECT DISTINCT v, version_key(v) AS k FROM (SELECT unnest([{listed}]) AS v, os FROM sessions) ORDER BY v"
    here, there = (connection.execute(query).fetchall() for connection in connections)
    assert len(here) == len(VERSIONS)
    assert here == there


HOSTILE = [
    "'; DROP TABLE x; --",
    "\\",
    "\\'",
    "$labels0",
    ":labels0",
    "a`b",
    '"',
    "{{ x }}",
    "\u202e",
    "emoji 🐚",
    "%s",
    "",
]


def test_what_sessions_say_is_never_read_as_sql(remote: str, tmp_path: Path) -> None:
    known = buckets.registry(APPLICATION)
    for number, text in enumerate(HOSTILE):
        fill(tmp_path, runs(100 * number, 100 * number + 11, shellName=text), known)
    bucket = f"file://{tmp_path}"
    page = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nlimit: 30\nname: shells\n```\n"
    rows = []
    for engine in ("duckdb", "spark"):
        made = Site(fetch(open_bucket(bucket), bucket, known, engine), now=NOW)
        with made.connection:
            done = made.page(source(page))
        assert made.faults == []
        rows.append(done.named["shells"].rows)
    assert rows[0] == rows[1]
    assert sum(number for _, number in rows[0]) == 10 * len(HOSTILE), "twelve people each, rounded to five"


@pytest.mark.spark
def test_compaction_keeps_its_promises_with_sessions_looked_up_on_a_cluster(tmp_path: Path) -> None:
    with sparks.sail(tmp_path) as url:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "tests.on_spark",
             "tests/writers/test_compact.py", "tests/writers/test_exactly_once.py"],
            cwd=ROOT, env={**os.environ, "SPARK_REMOTE": url}, capture_output=True, encoding="utf-8",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_both_engines_find_the_same_sessions_in_a_table(remote: str, bucket: str) -> None:
    handle = load(bucket, cairn_sessions.APPLICATION)
    assert handle is not None
    files = f"{bucket.removeprefix('file://')}/tables/cairn/**/*.parquet"
    with open_duckdb() as connection:
        stored = connection.execute("SELECT session_id FROM read_parquet($1) LIMIT 50", [files]).fetchall()
    ids = pa.chunked_array([pa.array([*(one for (one,) in stored), "00000000-0000-4000-8000-000000000000"])])
    here = scan(open_bucket(bucket), bucket, cairn_sessions.APPLICATION)(handle, ids)
    there = Cluster(bucket).known(handle, ids)
    assert here.num_rows == 50
    assert here.sort_by("session_id").equals(there.sort_by("session_id"))


def test_both_compact_one_table_in_turns(
    remote: str, tmp_path: Path, known: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(ROOT / "ingest" / "applications"))
    sessions = list(cairn_sessions.sessions(50, users=5, end=END))
    bucket = f"file://{tmp_path}"
    for number, engine in enumerate(ENGINES * 2):
        # Each brings some that the other has stored before.
        buckets.batch(open_bucket(bucket), *sessions[number * 10 : number * 10 + 20], known=known, ingested=END)
        done = CliRunner().invoke(main, ["compact", "--bucket", bucket, "--engine", engine])
        assert done.exit_code == 0, done.output
    for engine in ENGINES:
        query = "SELECT count(*) AS n, count(DISTINCT session_id) AS ids FROM sessions"
        asked = CliRunner().invoke(main, ["sql", "--bucket", bucket, "--json", "--engine", engine, query])
        assert json.loads(asked.stdout) == [{"n": 50, "ids": 50}]


TWO = """
SELECT application, count(*), count(os), count(DISTINCT user_id) FROM sessions GROUP BY ALL ORDER BY ALL;
SELECT application, session.os, session.application_version AS v, type, count(*) FROM events GROUP BY ALL ORDER BY ALL;
SELECT application, count(*), sum(duration_ms) FROM spans GROUP BY ALL ORDER BY ALL;
SELECT count(depth), count(colour), sum(depth) FROM sessions;
SELECT session.depth AS d, count(*) FROM events GROUP BY ALL ORDER BY ALL
"""
OTHER = """
id = "other-tool"
name = "Other"

[attributes.depth]
type = "integer"
why = "How deep?"

[attributes.colour]
type = "string"
values = ["red"]
why = "Which colour?"

[events.Closed]
why = "Is it used?"

[events.Closed.attributes.hard]
type = "boolean"
why = "Was it forced?"
"""


def test_applications_with_other_attributes_are_united(remote: str, tmp_path: Path) -> None:
    known = buckets.registry(APPLICATION, OTHER, OTHER.replace("other-tool", "silent"))
    fill(tmp_path, runs(1, 12, shellName="fish"), known)
    when = "2026-03-16T10:00:00Z"
    others = [
        buckets.session(900 + number, user=number, applicationId="other-tool", start=NOW,
                        attributes={"depth": number}, events=[{"type": "Closed", "time": when}])
        for number in range(5)
    ]  # fmt: skip
    fill(tmp_path, others, known)
    bucket = f"file://{tmp_path}"
    answers = []
    for engine in ENGINES:
        with connect(fetch(open_bucket(bucket), bucket, known, engine), private=True) as made:
            answers.append([made.execute(query).fetchall() for query in TWO.split(";")])
    assert answers[0] == answers[1]
    assert answers[0][0][1][:2] == ("other-tool", 5)


PAGE = """# Late

```sql pairs
SELECT a.user_id, a.start_time FROM sessions AS a
ASOF JOIN events AS b ON a.user_id = b.user_id AND a.start_time >= b.time
```

```yaml chart
type: line
data: pairs
x: start_time
y: people
```
"""


def test_check_names_the_place_of_what_spark_cannot_do(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project(tmp_path, {"index.md": PAGE})
    fill(tmp_path / "data" / "bucket", runs(1, 12))
    monkeypatch.chdir(here)
    arguments = ["check", "--bucket", f"file://{tmp_path}/data/bucket", "--engine"]
    assert CliRunner().invoke(main, [*arguments, "duckdb"]).exit_code == 0
    done = CliRunner().invoke(main, [*arguments, "spark"])
    assert done.exit_code == 1
    (said,) = [line for line in done.stdout.splitlines() if places(line) == ["site/index.md:5:1"]]
    assert mentions(said, "ASOF JOIN", "Spark")


@pytest.mark.parametrize("sessions", [0, 1, 15])
def test_an_empty_and_a_small_bucket_without_releases_are_asked_on_both_engines(
    remote: str, tmp_path: Path, known: dict[str, Application], sessions: int
) -> None:
    bucket = tmp_path / "bucket"
    fill(bucket, cairn_sessions.sessions(sessions, users=sessions, seed=3, end=END) if sessions else [], known)
    asked = [
        "SELECT count(*) FROM sessions",
        "SELECT count(*) FROM releases",
        "SELECT application, version FROM releases ORDER BY ALL",
        "SELECT s.application_version, count(r.released) FROM sessions s LEFT JOIN releases r "
        "ON r.version = s.application_version GROUP BY ALL ORDER BY ALL",
    ]
    answers = []
    for engine in ENGINES:
        snapshot = fetch(open_bucket(f"file://{bucket}"), f"file://{bucket}", known, engine)
        with connect(snapshot, private=True) as connection:
            answers.append([connection.execute(query).fetchall() for query in asked])
    assert answers[0] == answers[1]
    assert answers[0][:3] == [[(sessions,)], [(0,)], []]


def test_a_cluster_that_cannot_see_the_bucket_says_so(
    remote: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_BUCKET", "file:///nowhere")
    done = CliRunner().invoke(main, ["sql", "--bucket", bucket, "--engine", "spark", "SELECT 1"])
    assert done.exit_code == 1
    assert mentions(done.stderr, "file:///nowhere/tables/cairn", "SPARK_BUCKET")


@pytest.mark.parametrize(
    ("remote_url", "named"),
    [
        ("", ("SPARK_REMOTE", "sc://host:port")),
        ("sc://127.0.0.1:1/;token=secret", ("SPARK_REMOTE", "127.0.0.1:1")),
    ],
)
def test_without_a_cluster_the_command_says_what_to_set(
    remote_url: str, named: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", remote_url)
    for command in (["compact"], ["sql", "SELECT 1"]):
        done = CliRunner().invoke(main, [*command, "--bucket", f"file://{tmp_path}", "--engine", "spark"])
        assert done.exit_code == 1
        assert mentions(done.stderr, *named)
        assert "secret" not in done.stderr


def test_who_stays_with_duckdb_loads_nothing_of_spark() -> None:
    loaded = "import sys, reports.cli, reports.query.views, reports.commands.steps"
    code = f"{loaded}; print([m for m in sys.modules if 'spark' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"


def test_an_engine_that_there_is_not_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABACULUS_ENGINE", "sparrow")
    done = CliRunner().invoke(main, ["sql", "--bucket", f"file://{tmp_path}", "SELECT 1"])
    assert done.exit_code == 1
    assert mentions(done.stderr, "ABACULUS_ENGINE", "duckdb", "spark", "sparrow")
