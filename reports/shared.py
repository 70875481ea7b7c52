"""What the blocks of one build share: what was counted, and what is known of a relation, is not asked for again."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from reports.block import Block
from reports.page import words
from reports.publish import columns_of, publish
from reports.published import Published
from reports.queries import Queries
from reports.relation import Relation, look

__all__ = ["Shared"]


class Shared:
    """All that is published under the rules of one site."""

    def __init__(self, minimum_users: int, now: datetime, rounded: bool) -> None:
        self.minimum_users, self.now, self.rounded = minimum_users, now, rounded
        self.counted: dict[tuple[Any, ...], Published] = {}
        self._relations: dict[tuple[Any, ...], Relation] = {}

    def columns(self, queries: Queries, name: str) -> Mapping[str, str]:
        """The columns of a view, query or chart of a page, with their types."""
        return self._relation(queries, name.lower()).columns

    def publish(self, queries: Queries, block: Block) -> Published:
        """What of a block may be shown."""
        data = block.data.lower()
        unit, relation = queries.relations[data], self._relation(queries, data)
        given = (replace(block, title=None, name=None), *_identity(queries, data))
        # What is not people's takes no time.
        found = self.counted.get(given) if unit else None
        if found is None:
            found = self.counted[given] = publish(
                queries.cursor,
                block,
                unit=unit,
                minimum_users=self.minimum_users,
                now=self.now,
                rounding=self.rounded,
                relation=relation,
                source=queries.rows(data, columns_of(block)),
            )
        return found

    def _relation(self, queries: Queries, name: str) -> Relation:
        identity = (name, *_identity(queries, name))
        if identity not in self._relations:
            sessions = None if name == "sessions" else self._relation(queries, "sessions")
            self._relations[identity] = look(queries.cursor, name, sessions)
        return self._relations[identity]


def _identity(queries: Queries, name: str) -> tuple[Any, ...]:
    """All that a relation is made of: two pages may give one name to different queries, or to different charts."""
    sql = [(one, queries.named[one].sql) for one in queries.behind(name)]
    used = {name}.union(*(words(one) for _, one in sql)) & queries.tables.keys()
    charts = tuple((one, queries.tables[one]) for one in sorted(used))
    return queries.application, queries.row, tuple(sql), charts
