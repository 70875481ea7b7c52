"""What the page "Read the table elsewhere" prints runs as it stands: only the bucket's address is another."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import polars
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from ingest.function.bucket_url import open_bucket
from reports.storage import table
from reports.writers import rewrite
from reports.writers.compact import compact
from reports.writers.forget import forget
from tests import buckets

PAGE = Path(__file__).parents[2] / "site" / "docs" / "readers.md"
PRINTED = "s3://my-bucket/tables/my-tool"
TOOL = 'id = "my-tool"\nname = "My tool"\n\n[attributes.osName]\ntype = "string"\nwhy = "?"\n'
LATER = TOOL + '\n[attributes.runningInCi]\ntype = "boolean"\nwhy = "?"\n\n[spans.Save]\nwhy = "?"\n'
MARCH = datetime(2026, 3, 10, tzinfo=UTC)
# By version as text, as every reader sorts it.
ANSWER = [("1.10.0", 2, 1), ("1.9.0", 4, 3), ("2.0.0-rc.1", 1, 1)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a table that compaction made in two runs, the second with a wider registry."""
    bucket = tmp_path_factory.mktemp("readers") / "bucket"
    store = open_bucket(str(bucket))
    numbers = iter(range(1, 100))

    def run(text: str, *sessions: dict[str, object]) -> None:
        known = buckets.registry(text)
        for one in sessions:
            start = one.pop("start", MARCH)
            assert isinstance(start, datetime)
            made = buckets.session(next(numbers), start=start, applicationId="my-tool", attributes={"osName": "Linux"})
            # A clock that is ahead: the run came in before it began.
            ahead = bool(one.pop("ahead", False))
            came = start - timedelta(hours=1) if ahead else start + timedelta(hours=1)
            buckets.keep(store, made | one, known=known, ingested=came)
        compact(store, str(bucket), known)

    def someone(number: int, version: str, **members: object) -> dict[str, object]:
        return {"userId": buckets.uuid(1_000_000 + number), "applicationVersion": version, **members}

    # Before the registry knew of build servers: nobody says that it is one.
    run(TOOL, someone(1, "1.9.0"), someone(1, "1.9.0"), someone(2, "1.9.0"), someone(2, "1.10.0"))
    ci = {"attributes": {"osName": "Linux", "runningInCi": True}}
    person = {"attributes": {"osName": "Linux", "runningInCi": False}}
    run(
        LATER,
        someone(3, "1.9.0", **person),
        someone(2, "1.10.0", **person),
        someone(4, "2.0.0-rc.1"),
        someone(5, "1.9.0", **ci),
        someone(6, "3.0.0", **ci),
        someone(7, "1.9.0", ahead=True),
        someone(8, "1.9.0", start=MARCH - timedelta(days=20)),
        someone(9, "1.9.0", start=MARCH + timedelta(days=22)),
    )
    return f"{bucket.as_uri()}/tables/my-tool"


def printed(heading: str, kind: str) -> list[str]:
    """The fences of a kind below a heading, as they stand."""
    (section,) = [one for one in PAGE.read_text(encoding="utf-8").split("\n### ") if one.startswith(f"{heading}\n")]
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```$", section)


def with_address(code: str, address: str) -> str:
    assert PRINTED in code
    return code.replace(PRINTED, address)


@pytest.mark.parametrize(
    ("heading", "rows"),
    [
        ("DuckDB", lambda found: found.fetchall()),
        ("polars", lambda found: found.rows()),
        ("pandas", lambda found: list(found.itertuples(index=False, name=None))),
    ],
)
def test_python_reads_the_table_as_the_page_says(
    address: str, heading: str, rows: Callable[[Any], list[tuple[Any, ...]]], capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    (code,) = printed(heading, "python")
    exec(compile(with_address(code, address), f"{PAGE}: {heading}", "exec"), names)
    assert rows(names["found"]) == ANSWER
    assert "2.0.0-rc.1" in capsys.readouterr().out


def asked(url: str, address: str) -> list[tuple[Any, ...]]:
    """The rows of Spark's query, by a Spark Connect server."""
    (query,) = printed("Spark SQL", "sql")
    session = SparkSession.builder.remote(url).create()
    try:
        return [tuple(row) for row in session.sql(with_address(query, address)).collect()]
    finally:
        session.stop()


@pytest.mark.spark
def test_sail_reads_the_table_as_the_page_says(address: str, sail: str) -> None:
    assert asked(sail, address) == ANSWER


@pytest.mark.jvm
def test_apache_spark_reads_the_table_as_the_page_says(address: str, apache: str) -> None:
    assert asked(apache, address) == ANSWER


@pytest.mark.parametrize("heading", ["DuckDB", "Trino", "Athena", "BigQuery", "Databricks"])
def test_other_dialects_are_asked_what_spark_is_asked(heading: str) -> None:
    def but_its_table(query: str) -> str:
        return re.sub(r"(?m)^FROM .*$", "", query)

    assert but_its_table(printed(heading, "sql")[-1]) == but_its_table(printed("Spark SQL", "sql")[-1])


# After everything that rewrites files: a wider registry, integers that became numbers, a deletion, a merge, a vacuum

BARE = (
    'id = "my-tool"\nname = "My tool"\n\n[attributes.osName]\ntype = "string"\nwhy = "?"\n'
    '\n[attributes.memory]\ntype = "integer"\nwhy = "?"\n'
)
WIDE = BARE.replace('"integer"', '"number"') + (
    '\n[attributes.runningInCi]\ntype = "boolean"\nwhy = "?"\n'
    '\n[events.Opened]\nwhy = "?"\n\n[events.Opened.attributes.how]\ntype = "string"\nvalues = ["key"]\nwhy = "?"\n'
)
# Session, user, system, memory, how it was opened.
WORN = [
    (buckets.uuid(1), buckets.uuid(1_000_001), "Linux", 4.0, None),
    (buckets.uuid(3), buckets.uuid(1_000_003), "Linux", 1.5, "key"),
    (buckets.uuid(4), buckets.uuid(1_000_001), "Linux", 2.5, None),
]


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a table that has seen everything that a bucket's life brings."""
    bucket = tmp_path_factory.mktemp("worn") / "bucket"
    store = open_bucket(str(bucket))

    def put(number: int, user: int, text: str, **members: Any) -> None:
        known = buckets.registry(text)
        made = buckets.session(number, user=user, start=MARCH, applicationId="my-tool", **members)
        buckets.keep(store, made, known=known, ingested=MARCH + timedelta(hours=number))
        compact(store, str(bucket), known)

    put(1, 1, BARE, attributes={"osName": "Linux", "memory": 4})
    put(2, 2, BARE, attributes={"osName": "Linux"})
    opened = [{"type": "Opened", "time": "2026-03-10T00:00:01Z", "attributes": {"how": "key"}}]
    put(3, 3, WIDE, attributes={"osName": "Linux", "memory": 1.5}, events=opened)
    put(4, 1, WIDE, attributes={"osName": "Linux", "memory": 2.5, "runningInCi": False})
    handle = table.load(str(bucket), "my-tool")
    assert handle is not None
    rewrite.rewrite(store, str(bucket), "my-tool", handle, ["2026-03"], {"merged": "2026-03"})
    forget(store, str(bucket), [buckets.uuid(1_000_002)])
    handle = table.load(str(bucket), "my-tool")
    assert handle is not None
    handle.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    handle.create_checkpoint()
    return str(bucket / "tables" / "my-tool")


def of(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows as dictionaries, as what they should be."""
    found = []
    for row in rows:
        events = list(row["events"]) if row["events"] is not None else []
        how = events[0]["attributes"]["how"] if events else None
        memory = row["attributes"]["memory"]
        memory = None if memory is None or memory != memory else memory
        found.append((row["session_id"], row["user_id"], row["attributes"]["osName"], memory, how))
    return sorted(found)


def by_delta_rs(path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(path).to_pyarrow_table().to_pylist()
    return rows


def by_duckdb(path: str) -> list[dict[str, Any]]:
    runs = DeltaTable(path).to_pyarrow_dataset()  # noqa: F841 # DuckDB finds it by its name
    rows: list[dict[str, Any]] = duckdb.sql("SELECT * FROM runs").to_arrow_table().to_pylist()
    return rows


def by_polars(path: str) -> list[dict[str, Any]]:
    return polars.scan_delta(path).collect().to_dicts()


def by_pandas(path: str) -> list[dict[str, Any]]:
    return DeltaTable(path).to_pandas().to_dict("records")  # type: ignore[return-value]


def by_datafusion(path: str) -> list[dict[str, Any]]:
    context = datafusion.SessionContext()
    context.register_table("runs", DeltaTable(path))
    rows: list[dict[str, Any]] = context.sql("SELECT * FROM runs").to_pylist()
    return rows


READERS = {
    "delta-rs": by_delta_rs, "DuckDB": by_duckdb, "polars": by_polars, "pandas": by_pandas, "datafusion": by_datafusion,
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_table_that_was_widened_merged_and_cleaned_is_read_by(worn: str, reader: str) -> None:
    assert of(READERS[reader](worn)) == WORN


DAFT = """
import sys, json, daft
rows = daft.read_deltalake(sys.argv[1]).to_pylist()
print(json.dumps(rows, default=str))
"""


@pytest.mark.wheel
def test_daft_reads_it_too(worn: str, tmp_path: Path) -> None:
    # In an environment of its own: daft wants an older pyarrow than this project.
    where = ["--quiet", "--disable-pip-version-check", "--target", str(tmp_path / "daft")]
    subprocess.run([sys.executable, "-m", "pip", "install", *where, "daft", "deltalake"], check=True)
    done = subprocess.run(
        [sys.executable, "-S", "-c", DAFT, worn],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "daft")}, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert of(json.loads(done.stdout)) == WORN


def by_spark(url: str, path: str) -> list[tuple[Any, ...]]:
    session = SparkSession.builder.remote(url).create()
    try:
        found = session.sql(
            "SELECT session_id, user_id, attributes.osName, attributes.memory, get(events, 0).attributes.how "
            f"FROM delta.`{Path(path).as_uri()}` ORDER BY session_id"
        ).collect()
        return [tuple(row) for row in found]
    finally:
        session.stop()


@pytest.mark.spark
def test_sail_reads_it_too(worn: str, sail: str) -> None:
    assert by_spark(sail, worn) == WORN


@pytest.mark.jvm
def test_apache_spark_reads_it_too(worn: str, apache: str) -> None:
    assert by_spark(apache, worn) == WORN
