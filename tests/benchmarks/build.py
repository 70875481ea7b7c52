"""Building a site of 12 pages and 40 charts, and each kind of block beside its GROUP BY in plain DuckDB.

    python3 .ci/venv python tests/benchmarks/build.py [--sessions 200000 --sessions 10000000] [--no-blocks] [--keep DIR]

Table files are written by DuckDB: twenty thousand of the sample's sessions, again and again under new ids and people.
The build runs in a process of its own, cold; then `serve` runs over the same, one page is changed, and what it says of
the time that took is printed. A block's peer reads the same files and counts the same cells without holding any back.
"""

import argparse
import multiprocessing
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])
import duckdb
from deltalake import Field, Schema, convert_to_deltalake

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.gate.statement import statement
from reports.pages.build_cache import Shared
from reports.pages.site import Page, Site
from reports.query.snapshot import fetch
from reports.sample import cairn_sessions
from reports.sample.demo import keep
from reports.writers.compact import compact
from tests.benchmarks.compaction import timed
from tests.buckets import batch
from tests.sites import source

BASE, PEOPLE = 20_000, 2_000
# So long a changed page may take.
PATIENCE = 900
MKDOCS = """
site_name: Benchmark
docs_dir: site
site_dir: out
use_directory_urls: false
theme: {name: material, font: false}
plugins: [search, abaculus]
"""
QUERIES = {
    "fails": "SELECT user_id, start_time, application_version, coalesce(exit_code <> 0, false) AS failed FROM sessions",
    "current": "SELECT user_id, start_time, is_latest(application, application_version, start_time) AS latest "
    "FROM sessions",
}
# Four charts on each of the first four pages, three on each of the others.
CHARTS = [
    "type: number\ndata: sessions\ny: people",
    "type: line\ndata: sessions\nx: start_time\ny: people",
    "type: area\ndata: sessions\nx: start_time\ny: share\ncolor: application_version",
    "type: bar\ndata: sessions\nx: os\ny: people",
    "type: number\ndata: fails\ny: share(failed)",
    "type: bar\ndata: sessions\nx: failure_reason\ny: count",
    "type: line\ndata: fails\nx: start_time\ny: share(failed)",
    "type: table\ndata: sessions\nx: [os, arch]\ny: [share, count, people]",
    "type: histogram\ndata: sessions\nx: duration_ms",
    "type: bar\ndata: sessions\nx: shell\ny: people\ncolor: os",
    "type: line\ndata: current\nx: start_time\ny: share(latest)",
    "type: retention\ndata: sessions\nx: start_time",
    "type: band\ndata: sessions\nx: start_time\ny: p50(duration_ms)",
    "type: heatmap\ndata: sessions\nx: os\nrows: shell\ny: people",
    "type: bar\ndata: events\nx: type\ny: people",
    "type: bar\ndata: spans\nx: type\ny: p50(duration_ms)",
    "type: share\ndata: sessions\nx: start_time\ncolor: os",
    "type: bar\ndata: sessions\nx: terminal\ny: people",
    "type: table\ndata: sessions\nx: application_version\ny: [share, count, people]",
    "type: bar\ndata: sessions\nx: runtime\ny: people",
    "type: number\ndata: sessions\ny: count",
    "type: line\ndata: sessions\nx: start_time\ny: per_person",
    "type: area\ndata: sessions\nx: start_time\ny: count\ncolor: os",
    "type: bar\ndata: sessions\nx: arch\ny: people",
    "type: number\ndata: fails\ny: share(failed)\ninterval: true",
    "type: bar\ndata: sessions\nx: ci_system\ny: count",
    "type: line\ndata: fails\nx: start_time\ny: share(failed)\ngrain: month",
    "type: table\ndata: sessions\nx: [shell, terminal]\ny: [share, count, people]",
    "type: histogram\ndata: sessions\nx: project_size",
    "type: bar\ndata: sessions\nx: container_engine\ny: people\ncolor: os",
    "type: line\ndata: current\nx: start_time\ny: share(latest)\ngrain: month",
    "type: retention\ndata: sessions\nx: start_time\ngrain: quarter",
    "type: band\ndata: sessions\nx: start_time\ny: p50(project_size)",
    "type: heatmap\ndata: sessions\nx: arch\nrows: os\ny: people",
    "type: bar\ndata: events\nx: type\ny: count",
    "type: bar\ndata: spans\nx: type\ny: p90(duration_ms)",
    "type: share\ndata: sessions\nx: start_time\ncolor: shell",
    "type: bar\ndata: sessions\nx: command\ny: people",
    "type: table\ndata: sessions\nx: os_version\ny: [share, count, people]",
    "type: bar\ndata: sessions\nx: interactive\ny: people",
]
# Blocks that are one aggregate by columns: those have a plain GROUP BY.
COMPARED = (1, 2, 5, 6, 7, 9, 12, 18)


def fill(bucket: Path, count: int) -> None:
    """A bucket with so many sessions in its table."""
    known = registry.load()
    end = datetime.now(UTC)
    store = open_bucket(str(bucket))
    made = list(cairn_sessions.sessions(BASE, users=PEOPLE, seed=0, end=end - timedelta(minutes=1)))
    for at in range(0, BASE, 1_000):
        batch(store, *made[at : at + 1_000], known=known, ingested=end)
    compact(store, str(bucket), known)
    dates = [
        {"version": version, "released": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for version, at in cairn_sessions.releases(end)
    ]
    keep(store, cairn_sessions.APPLICATION, dates)
    tables = bucket / "tables" / cairn_sessions.APPLICATION
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET memory_limit = '4GB'")
        connection.execute(f"SET temp_directory = '{bucket.parent / 'spill'}'")
        source = f"read_parquet('{tables}/month=*/*.parquet', union_by_name = true, hive_types = {{'month': VARCHAR}})"
        # People of their own for each copy, a little apart in time.
        connection.execute(f"""
            COPY (
                SELECT * REPLACE (
                    uuid()::VARCHAR AS session_id, md5(user_id || copy) AS user_id,
                    start_time - to_seconds(copy % 86400) AS start_time, end_time - to_seconds(copy % 86400) AS end_time
                ) FROM {source}, range({count // BASE}) AS t(copy)
            ) TO '{bucket.parent / "made"}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (month))
        """)
    shutil.rmtree(tables)
    (bucket.parent / "made").rename(tables)
    for folder in tables.iterdir():
        for file in folder.rglob("*.parquet"):
            # The copy's number is no column of a table.
            file.rename(file.with_name(f"part-{file.stem}.parquet"))
    convert_to_deltalake(str(tables), partition_by=Schema([Field("month", "string")]), partition_strategy="hive")


def project(directory: Path) -> None:
    """A site of 12 pages and 40 charts."""
    (directory / "site").mkdir(parents=True)
    (directory / "mkdocs.yml").write_text(MKDOCS, encoding="utf-8")
    charts = iter(CHARTS)
    for page in range(12):
        text = page_of([next(charts) for _ in range(4 if page < 4 else 3)])
        name = "index" if page == 0 else f"page-{page}"
        (directory / "site" / f"{name}.md").write_text(f"# Page {page}\n\n{text}", encoding="utf-8")


def page_of(charts: list[str]) -> str:
    """These charts, below the queries that they read."""
    read = [name for name in QUERIES if any(f"data: {name}" in chart for chart in charts)]
    made = [f"```sql {name}\n{QUERIES[name]}\n```\n" for name in read]
    return "\n".join(made + [f"```yaml chart\n{chart}\n```\n" for chart in charts])


def rebuilt(directory: Path, bucket: Path) -> float:
    """How long `serve` takes over one changed page, as it says itself."""
    command = [sys.executable, "-m", "reports.cli", "serve", "--port", "8731", "--bucket", str(bucket)]
    with subprocess.Popen(
        command, cwd=directory, stderr=subprocess.PIPE, encoding="utf-8", env=environment()
    ) as process:
        assert process.stderr is not None
        stop = threading.Timer(PATIENCE, process.kill)
        stop.start()
        seconds: list[float] = []
        for line in process.stderr:
            if found := re.search(r"built in ([\d.]+) s", line):
                seconds.append(float(found[1]))
            if len(seconds) == 2:
                break
            if line.startswith("Open "):
                time.sleep(1)  # it says so just before it watches
                page = directory / "site" / "page-5.md"
                more = page_of(["type: bar\ndata: sessions\nx: command\ny: count"])
                page.write_text(page.read_text(encoding="utf-8") + f"\nMore words.\n\n{more}", encoding="utf-8")
        stop.cancel()
        process.terminate()
    return seconds[1]


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "ABACULUS_APPLICATIONS": f"{root}/ingest/applications"}


def blocks(bucket: Path) -> None:
    """Each of some blocks beside its GROUP BY, a line each: the best of three."""
    known = registry.load()
    snapshot = fetch(open_bucket(str(bucket)), str(bucket), known)
    files = [str(path) for path in snapshot.files[cairn_sessions.APPLICATION]]
    site = Site(snapshot)
    with site.connection, duckdb.connect() as plain:
        plain.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        kept = ", ".join(
            f"attributes.{one.name} AS {one.role}"
            for one in known[cairn_sessions.APPLICATION].attributes.values()
            if one.role
        )
        plain.execute(
            "CREATE VIEW sessions AS SELECT "
            "CASE WHEN coalesce(attributes.runningInCi, false) THEN NULL ELSE user_id END AS user_id, "
            "application_version, start_time::TIMESTAMP AS start_time, "
            f"(epoch_us(end_time) - epoch_us(start_time)) / 1000.0 AS duration_ms, {kept} "
            f"FROM read_parquet({files}) WHERE NOT clock_suspect"
        )
        plain.execute(
            "CREATE VIEW fails AS SELECT user_id, start_time, coalesce(exit_code <> 0, false) AS failed FROM sessions"
        )
        pages = {number: page_of([CHARTS[number]]) for number in COMPARED}
        assert site.loaded
        site.loaded.want(pages.values())
        began = time.process_time()
        site.loaded.relation("sessions", None)
        print(f"| reading the columns of these blocks, once | {time.process_time() - began:.2f} | | |", flush=True)
        for number, text in pages.items():

            def ours(text: str = text) -> Page:
                site.shared = Shared(site.rules, site.now)
                site._pages.clear()
                return site.page(source(text))

            (series,) = ours().series
            assert not site.faults, site.faults
            sql = statement(series.block, series.published)
            own, its = best(ours), best(lambda sql=sql: plain.execute(sql).fetchall())  # type: ignore[misc]
            name = CHARTS[number].replace("\n", ", ")
            print(f"| {name} | {own:.2f} | {its:.2f} | {own / its:.1f} |", flush=True)


def best(run: Callable[[], object]) -> float:
    """The least of three, in seconds of all cores: other work on the machine does not count."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        run()
        taken.append(time.process_time() - began)
    return min(taken)


def alone(run: Callable[..., None], *arguments: object) -> None:
    """Runs it in a process of its own: what this process has used would count as memory of the processes it starts."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def measure(count: int, directory: Path, compare: bool) -> None:
    """All that is printed for one size."""
    bucket = directory / "bucket"
    if not bucket.exists():
        began = time.perf_counter()
        alone(fill, bucket, count)
        print(f"(filled {count:,} sessions in {time.perf_counter() - began:.0f} s)", file=sys.stderr)
    shutil.rmtree(directory / "project", ignore_errors=True)
    project(directory / "project")
    os.environ.update(environment())
    command = ["-m", "reports.cli", "build", "--bucket", str(bucket), "--out", str(directory / "out")]
    here = Path.cwd()
    os.chdir(directory / "project")
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, memory, _ = timed(command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        again = rebuilt(directory / "project", bucket)
    finally:
        os.chdir(here)
    size = sum(path.stat().st_size for path in (bucket / "tables").rglob("*.parquet")) / 1e6
    print(f"| {count:,} | {size:,.0f} | {seconds:.1f} | {cpu:.1f} | {memory:,.0f} | {again:.1f} |", flush=True)
    if compare:
        print("\n| block | abaculus, CPU s | GROUP BY, CPU s | ratio |\n|---|---:|---:|---:|")
        alone(blocks, bucket)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a site over many sessions.")
    parser.add_argument("--sessions", type=int, action="append", help="how many; may be given several times")
    parser.add_argument("--no-blocks", action="store_true", help="only the whole site")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the tables there, for the next time")
    options = parser.parse_args()
    # An installation has compiled what it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"DuckDB {duckdb.__version__}\n"
    )
    print(
        "| sessions | tables, MB | build, s | CPU, s | peak MB | one page again, s |\n|---:|---:|---:|---:|---:|---:|"
    )
    for count in options.sessions or [200_000, 10_000_000]:
        with tempfile.TemporaryDirectory(prefix="abaculus-") as scratch:
            measure(count, (options.keep or Path(scratch)) / str(count), not options.no_blocks)


if __name__ == "__main__":
    main()
