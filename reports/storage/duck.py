"""DuckDB with the same settings everywhere."""

import atexit
import os
import secrets
from pathlib import Path

import duckdb

from reports.storage.mirror import home, private

__all__ = ["attach", "open_duckdb"]


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A database in memory, in UTC. Without DuckDB's progress bar, which it draws on standard output."""
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    # DuckDB spills people's rows to disk. Not into the working directory, which somebody may publish, but beside the
    # mirror, which only its owner can read.
    try:
        spill = str(private(home()) / f"spill-{os.getpid()}")
    except OSError:  # without a home directory, nothing may spill to disk
        spill = ""
    connection.execute("SET temp_directory = $1", [spill])
    return connection


def attach(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A database for tables that may be larger than the memory. It ends with the connection, and nobody else can open
    it.
    """
    spill = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    if not spill:
        connection.execute(f"ATTACH ':memory:' AS {name} (COMPRESS)")
        return
    path = Path(f"{spill}-{secrets.token_hex(8)}.db")
    quoted = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS {name} (RECOVERY_MODE no_wal_writes)")
    # Otherwise it would be compressed and written once more when the connection ends, for nobody.
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    try:
        # An open file stays readable, and a killed process leaves no file behind.
        path.unlink()
    except PermissionError:  # Windows
        atexit.register(path.unlink, missing_ok=True)
