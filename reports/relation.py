"""What is known of a relation, so that the blocks over it do not ask again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from reports.warehouse import describe, quote

__all__ = ["Relation", "look"]


@dataclass
class Relation:
    """Columns with their types, and of which type a `user_id` is that nobody made. The others are filled by the gate.

    `labels` are the categories of a column that are kept, by its name and how many are; `people` those of all rows.
    """

    columns: Mapping[str, str]
    user_id: str
    labels: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    people: int | None = None


def look(connection: duckdb.DuckDBPyConnection, name: str, sessions: Relation | None = None) -> Relation:
    """A relation that nothing is known of yet."""
    columns = describe(connection, quote(name))
    if sessions is None:
        view = columns if name == "sessions" else describe(connection, "sessions")
        return Relation(columns, view["user_id"])
    return Relation(columns, sessions.user_id)
