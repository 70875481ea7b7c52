"""Caches what is known about a relation, so that blocks do not query it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from reports.query.quoting import describe, quote

__all__ = ["Relation", "look"]


@dataclass
class Relation:
    """Columns with their types, and the type of an unchanged `user_id`. `known` has what the gate found in its rows."""

    columns: Mapping[str, str]
    user_id: str
    known: dict[Any, Any] = field(default_factory=dict)


def look(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    sessions: Relation | None = None,
    columns: Mapping[str, str] | None = None,
) -> Relation:
    """A relation about which nothing is known yet, except perhaps its columns."""
    columns = columns or describe(connection, quote(name))
    if sessions is None:
        view = columns if name == "sessions" else describe(connection, "sessions")
        return Relation(columns, view["user_id"])
    return Relation(columns, sessions.user_id)
