"""Names and texts inside SQL: how identifiers and strings are quoted, and which columns a relation has."""

import re

import duckdb

__all__ = ["describe", "literal", "quote", "quote_if_needed"]


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_if_needed(name: str) -> str:
    """An SQL identifier for people to read: quoted only if necessary."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else quote(name)


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Columns of a relation and their DuckDB types, in order."""
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()}
