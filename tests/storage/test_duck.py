"""What every database is set up with, wherever the machine is."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from reports.storage.duck import open_duckdb
connection = open_duckdb()
query = "SELECT current_setting('TimeZone'), '2026-01-01T00:00:00Z'::TIMESTAMPTZ::TIMESTAMP::VARCHAR"
print(connection.execute(query).fetchall() == connection.cursor().execute(query).fetchall() == [
    ("UTC", "2026-01-01 00:00:00")
])
# Long enough for DuckDB to want to draw its progress on standard output.
connection.execute("SELECT count(*) FROM range(300000000) t(a) WHERE hash(a) % 7 = 3").fetchall()
"""


@pytest.mark.slow
def test_times_are_utc_and_nothing_is_drawn_on_standard_output() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.stdout, done.returncode) == ("True\n", 0)
