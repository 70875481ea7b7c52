"""What the page "Read the table elsewhere" prints runs as it stands: only the bucket's address is another."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ingest.bucket import open_bucket
from reports.compact import compact
from tests import buckets

PAGE = Path(__file__).parent.parent / "site" / "readers.md"
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
    (section,) = [one for one in PAGE.read_text().split("\n### ") if one.startswith(f"{heading}\n")]
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
