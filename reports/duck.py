"""DuckDB, set up alike for everybody."""

import os

import duckdb

from reports.mirror import directory

__all__ = ["open_duckdb"]


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A database in memory, in UTC. Without DuckDB's progress bar, which it draws on standard output."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    # What does not fit into memory is people's rows: not into the working directory, which somebody may publish, but
    # beside the mirror, whose directory only its owner can read.
    home = directory("").parent
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        spill = str(home / f"spill-{os.getpid()}")
    except OSError:  # no home: then nothing may be spilled
        spill = ""
    connection.execute("SET temp_directory = $1", [spill])
    return connection
