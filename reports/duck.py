"""DuckDB, set up alike for everybody."""

import atexit
import os
import secrets
from pathlib import Path

import duckdb

from reports.mirror import directory

__all__ = ["attach", "open_duckdb"]


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


def attach(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A database for tables that memory may not hold. It is gone with the connection, and nobody else can open it."""
    spill = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    if not spill:
        connection.execute(f"ATTACH ':memory:' AS {name} (COMPRESS)")
        return
    path = Path(f"{spill}-{secrets.token_hex(8)}.db")
    quoted = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS {name} (RECOVERY_MODE no_wal_writes)")
    try:
        # What is open stays readable; a process that is killed leaves nothing behind.
        path.unlink()
    except PermissionError:  # Windows
        atexit.register(path.unlink, missing_ok=True)
