"""DuckDB, set up alike for everybody."""

import os
import tempfile
from pathlib import Path

import duckdb

__all__ = ["open_duckdb"]


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A database in memory, in UTC. Without DuckDB's progress bar, which it draws on standard output."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    # What does not fit into memory is people's rows: not into the working directory, which somebody may publish.
    spill = Path(tempfile.gettempdir()) / f"abaculus-{os.getpid()}"
    connection.execute("SET temp_directory = $1", [str(spill)])
    return connection
