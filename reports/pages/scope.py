"""The window and population of a block's numbers, and whether they need releases that are not known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.blocks import format
from reports.blocks.block import Block
from reports.pages.queries import Queries
from reports.query.quoting import quote
from reports.query.sandbox import parse, walk

__all__ = ["OF_RELEASES", "Scope", "look"]

# Functions and views that need the dates of releases.
OF_RELEASES = {"is_latest", "days_since_release", "releases"}
# Results that are computed once in a build.
WHOLE = {
    "ci": "SELECT count(*) > 0 FROM sessions WHERE user_id IS NULL",
    "no releases": "SELECT count(*) = 0 FROM releases",
}
# Whether there are rows of CI, and rows of people.
SIDES = "SELECT count(*) FILTER (user_id IS NULL) > 0, count(user_id) > 0 FROM {} WHERE {}"


@dataclass(frozen=True)
class Scope:
    """The scope of a relation of people's rows: the window, whether it has rows of CI and of people (if CI is known at
    all), and whether it needs releases while none is known.
    """

    window: str
    ci: bool | None
    people: bool
    no_releases: bool

    def said(self, block: Block, chosen: str | None = None) -> str:
        """The text beside a block: "last 4 weeks, CI excluded". CI runs are never people. `chosen` is the window that a
        reader chose.
        """
        window = chosen or self.window
        if block.type == "number" and block.x:
            window = f"last whole {block.grain or 'period'}"
        if self.ci is None:
            return window
        counted = {"people", "per_person"}.issuperset(measure.name for measure in block.y)
        if self.ci and not self.people:
            return f"{window}, only CI"
        return f"{window}, CI {'included' if self.ci and not counted else 'excluded'}"


def look(queries: Queries, data: str, known: dict[str, Any], where: str = "true") -> Scope:
    """The scope of a view or query, from its SQL and its counted rows. `known` caches what one build has found out."""
    for sql in [queries.named[name].sql for name in queries.behind(data)]:
        if sql not in known:
            nodes = list(walk(parse(queries.cursor, sql)))
            used = {str(node.get("function_name") or node.get("table_name") or "").lower() for node in nodes}
            known[sql] = (*_windows(nodes), bool(used & OF_RELEASES))
    found = [known[queries.named[name].sql] for name in queries.behind(data)]
    for name, sql in WHOLE.items():
        if name not in known:
            known[name] = bool(queries.cursor.execute(sql).fetchall()[0][0])
    rows = queries.views.rows(data) or quote(data)
    ci, people = queries.cursor.execute(SIDES.format(rows, where)).fetchall()[0]
    within, before = ([days for one in found for days in one[place]] for place in (0, 1))
    no_releases = known["no releases"] and any(one[2] for one in found)
    return Scope(_window(within, before), ci if known["ci"] else None, people, no_releases)


def _windows(nodes: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """The days of every `last_days` in a WHERE, and of every NOT of one."""
    within: list[int] = []
    before: list[int] = []
    for clause in [node["where_clause"] for node in nodes if node.get("where_clause")]:
        found = list(walk(clause))
        nots = [days for one in found if one.get("type") == "OPERATOR_NOT" for days in _days(walk(one))]
        before += nots
        within += [days for days in _days(found) if days not in nots]
    return within, before


def _window(within: list[int], before: list[int]) -> str:
    if not within:
        return "all time"
    return f"{_said(min(within))} to {_said(max(before))} ago" if before else f"last {_said(min(within))}"


def _days(nodes: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    for node in nodes:
        if node.get("class") == "FUNCTION" and str(node["function_name"]).lower() == "last_days":
            days = str(node["arguments"][-1]["expression"].get("literal", {}).get("text", ""))
            if days.isdigit():
                yield int(days)


def _said(days: int) -> str:
    return format.plural(days // 7, "week") if days % 7 == 0 else format.plural(days, "day")
