"""Caches for the blocks of one build: results, and what is known about a relation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from reports.blocks.block import Block, BlockError, read
from reports.blocks.kinds import Measure
from reports.blocks.names import words
from reports.blocks.published import Published
from reports.gate.publish import columns_of, publish
from reports.gate.rules import Rules
from reports.pages import scope
from reports.pages.queries import Queries
from reports.pages.scope import Scope
from reports.query.quoting import quote
from reports.query.relation import Relation, look

__all__ = ["Shared"]


class Shared:
    """Everything that is published under the rules of one site."""

    def __init__(self, rules: Rules, now: datetime) -> None:
        self.rules, self.now = rules, now
        self.counted: dict[tuple[Any, ...], Published] = {}
        # What the blocks of the site measure, by their groups.
        self._measures = defaultdict[tuple[Any, ...], set[Measure]](set)
        self._relations: dict[tuple[Any, ...], Relation] = {}
        self._scopes: dict[str, Any] = {}

    def expect(self, blocks: Iterable[str]) -> None:
        """Notes what these blocks measure. Those with the same groups are then counted together."""
        for text in blocks:
            with suppress(BlockError):
                block, _ = read(text)
                if block and block.people:
                    self._measures[block.groups].update(block.y)

    def columns(self, queries: Queries, name: str) -> Mapping[str, str]:
        """The columns of a view, query or chart of a page, with their types."""
        return self._relation(queries, name.lower()).columns

    def scope(self, queries: Queries, block: Block, chosen: str | None = None) -> Scope | None:
        """The window and population of a block's numbers. None for rows that are not people's.

        `chosen` is the column of the filter that a reader uses.
        """
        data = block.data.lower()
        known = self._relation(queries, data).known
        where = (
            f"{quote(block.without)} IS {'' if chosen == block.without else 'NOT '}TRUE" if block.without else "true"
        )
        if queries.relations[data] and ("scope", where) not in known:
            known["scope", where] = scope.look(queries, data, self._scopes, where)
        found: Scope | None = known.get(("scope", where))
        return found

    def publish(self, queries: Queries, block: Block) -> Published:
        """The part of a block that may be shown."""
        data = block.data.lower()
        unit, relation = queries.relations[data], self._relation(queries, data)
        given = (replace(block, title=None, name=None), *_identity(queries, data))
        # Rows that are not people's take no time.
        found = self.counted.get(given) if unit else None
        if found is None:
            found = self.counted[given] = publish(
                queries.cursor,
                block,
                unit=unit,
                rules=self.rules,
                now=self.now,
                relation=relation,
                source=queries.rows(data, columns_of(block)),
                also=self._measures[block.groups],
            )
        return found

    def _relation(self, queries: Queries, name: str) -> Relation:
        identity = (name, *_identity(queries, name))
        if identity not in self._relations:
            sessions = None if name == "sessions" else self._relation(queries, "sessions")
            self._relations[identity] = look(queries.cursor, name, sessions, queries.columns.get(name))
        return self._relations[identity]


def _identity(queries: Queries, name: str) -> tuple[Any, ...]:
    """Everything behind a relation, because two pages may give the same name to different queries or charts."""
    sql = [(one, queries.named[one].sql) for one in queries.behind(name)]
    used = {name}.union(*(words(one) for _, one in sql)) & queries.tables.keys()
    charts = tuple((one, queries.tables[one]) for one in sorted(used))
    return queries.application, queries.row, tuple(sql), charts
