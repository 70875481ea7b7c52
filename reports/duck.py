"""DuckDB, set up alike for everybody."""

import duckdb

__all__ = ["open_duckdb"]


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A database in memory, in UTC. Without DuckDB's progress bar, which it draws on standard output."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection
