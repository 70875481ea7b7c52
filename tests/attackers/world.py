"""Random people, what a site publishes of them, and what an attacker who knows the rule concludes from each number.

A kind of person is all that is true of one (shell, system, whether the run failed, first month, whether they came back,
how many steps they took). How many people are of each kind is what the attacker does not know; a published number is a
sum over kinds, known within its rounding, and a cell that is not shown has fewer than ten people.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, product
from typing import Any

import duckdb
import pyarrow as pa

from reports.blocks.block import parse
from reports.blocks.published import OTHER, Published
from reports.gate.publish import publish
from reports.gate.rules import Rules
from reports.query.relation import look

__all__ = ["KINDS", "Known", "Site", "World", "learned", "open_world", "runs", "world"]

NOW = datetime(2026, 6, 10)
MONTHS = [datetime(2026, month, 1) for month in (1, 2, 3, 4)]
SHELLS, SYSTEMS, DEPTHS = ("fish", "zsh", "bash", "cmd"), ("Linux", "macOS", "Windows"), (0, 1, 2)
# (shell, system, failed, first month, came back, steps)
Kind = tuple[str, str, bool, int, bool, int]
KINDS: list[Kind] = list(product(SHELLS, SYSTEMS, (False, True), (0, 1, 2), (False, True), DEPTHS))
Run = dict[str, Any]
# Name of a dimension -> what a published label says of a run.
DIMENSIONS: dict[str, Callable[[Run], Any]] = {
    "shell": lambda run: run["shell"],
    "os": lambda run: run["os"],
    "failed": lambda run: "yes" if run["failed"] else "no",
    "start_time": lambda run: run["start_time"].replace(day=1),
}


@dataclass(frozen=True)
class World:
    """How many people are of each kind."""

    people: dict[Kind, int]


@dataclass(frozen=True)
class Known:
    """What is concluded from one cell: a sum over kinds, each so many times, lies between these ends."""

    terms: tuple[tuple[Kind, int], ...]
    low: int
    high: int | None


def world(seed: int) -> World:
    """From 40 to 250 people, unevenly spread, as those of a small tool are."""
    rng = random.Random(seed)

    def parts(names: Sequence[Any]) -> list[float]:
        return [rng.expovariate(1) ** 1.5 + 0.02 for _ in names]

    shells, systems, months, depths = (parts(names) for names in (SHELLS, SYSTEMS, (0, 1, 2), DEPTHS))
    failing, back = rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.7)
    found: dict[Kind, int] = defaultdict(int)
    for _ in range(rng.randint(40, 250)):
        kind = (
            rng.choices(SHELLS, shells)[0], rng.choices(SYSTEMS, systems)[0], rng.random() < failing,
            rng.choices((0, 1, 2), months)[0], rng.random() < back, rng.choices(DEPTHS, depths)[0],
        )  # fmt: skip
        found[kind] += 1
    return World(dict(found))


def runs(kind: Kind) -> Iterator[Run]:
    """A run in the first month, and one in the next month for people who came back."""
    shell, system, failed, first, back, depth = kind
    for month in (first, first + 1) if back else (first,):
        yield {
            "shell": shell, "os": system, "failed": failed, "start_time": MONTHS[month].replace(day=9),
            "one": depth >= 1, "two": depth >= 2,
        }  # fmt: skip


def open_world(one: World, more: Sequence[Run] = ()) -> duckdb.DuckDBPyConnection:
    """A connection whose view `sessions` has these people's runs, and those in `more`, which have a `user_id`."""
    rows = [dict(run) for run in more]
    number = 0
    for kind, count in one.people.items():
        for _ in range(count):
            number += 1
            rows += [{"user_id": number, **run} for run in runs(kind)]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    columns = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
    columns["user_id"] = pa.array([row["user_id"] for row in rows], pa.uint64())
    connection.register("rows", pa.table(columns))
    connection.execute("CREATE TABLE sessions AS FROM rows")
    return connection


class Site:
    """All that is published of a world, block by block."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
        self.connection, self.rules = connection, rules
        self.relation = look(connection, "sessions")

    def block(self, text: str) -> Published:
        """A block over all sessions."""
        block = parse(f"data: sessions\n{text}")
        return publish(self.connection, block, unit="runs", rules=self.rules, now=NOW, relation=self.relation)


def learned(connection: duckdb.DuckDBPyConnection, rules: Rules, most: int = 3) -> list[Known]:
    """What an attacker concludes from every table of up to so many dimensions, and from what stands beside them."""
    site = Site(connection, rules)
    found: list[Known] = []
    named = {name: _labels(site, name) for name in DIMENSIONS}
    for size in range(1, min(most, 3) + 1):
        for names in combinations(DIMENSIONS, size):
            # As an author writes it: two columns and a filter, or a table of three.
            found += _cells(site, names, named, filtered=size == 3)
            others = [name for name in names if name != "failed"]
            if len(others) == size and size < 3:
                found += _shares(site, names, named)
    found += _retention(site)
    found += _funnel(site)
    everybody = site.block("type: number\ny: [people]").people
    found.append(_within(everybody or None, _sum(lambda run: True, True), rules))
    return found


def _labels(site: Site, name: str) -> list[Any]:
    """The categories that are named, as the chart of this one column shows them."""
    if name == "start_time":
        return list(MONTHS)
    return [row[0] for row in site.block(f"type: table\nx: {name}\ny: people\nlimit: 9").rows if row[0] != OTHER]


def _text(names: Sequence[str], y: str, *, filtered: bool = False) -> str:
    names = sorted(names, key=lambda name: name != "start_time")
    grain = "\ngrain: month" if "start_time" in names else ""
    if filtered:
        return f"type: table\nx: [{', '.join(names[:-1])}]\ny: {y}\nfilter: {names[-1]}\nlimit: 9{grain}"
    return f"type: table\nx: [{', '.join(names)}]\ny: {y}\nlimit: 9{grain}"


def _published(site: Site, names: Sequence[str], y: str, *, filtered: bool = False) -> dict[Any, tuple[Any, ...]]:
    """Key, in the order of `names`, -> values."""
    order = sorted(names, key=lambda name: name != "start_time")
    shown = site.block(_text(names, y, filtered=filtered))
    places = [order.index(name) for name in names]
    if not filtered:
        return {tuple(row[place] for place in places): row[len(names) :] for row in shown.rows}
    found = {}
    for chosen in shown.filters:
        for label, made in chosen.series:
            for row in made.rows:
                key = (*row[: len(names) - 1], label)
                found[tuple(key[place] for place in places)] = row[len(names) - 1 :]
    return found


def _sum(inside: Callable[[Run], bool], people: bool) -> tuple[tuple[Kind, int], ...]:
    """Of each kind, how often a person of it is counted in a cell: once, or once a run."""
    terms = []
    for kind in KINDS:
        number = sum(inside(run) for run in runs(kind))
        if number:
            terms.append((kind, 1 if people else number))
    return tuple(terms)


def _inside(key: Sequence[Any], names: Sequence[str], named: dict[str, list[Any]]) -> Callable[[Run], bool]:
    def inside(run: Run) -> bool:
        for part, name in zip(key, names, strict=True):
            label = DIMENSIONS[name](run)
            if (label if label in named[name] else OTHER) != part:
                return False
        return True

    return inside


def _within(shown: Any, terms: tuple[tuple[Kind, int], ...], rules: Rules, *, people: bool = True) -> Known:
    """Within what ends the exact number lies of which this was published; None for one that is not shown."""
    if shown is None:
        return Known(terms, 0, rules.minimum - 1 if people else None)
    step = rules.step
    low = shown - step // 2
    return Known(terms, max(low, rules.minimum) if people else low, low + step - 1)


def _cells(site: Site, names: Sequence[str], named: dict[str, list[Any]], *, filtered: bool) -> Iterator[Known]:
    found = _published(site, names, "[people, count]", filtered=filtered)
    # A filter offers no "Other".
    last = sorted(names, key=lambda name: name != "start_time")[-1]
    for key in product(*([*named[name], OTHER] if name != "start_time" else MONTHS for name in names)):
        if filtered and key[list(names).index(last)] == OTHER:
            continue
        inside = _inside(key, names, named)
        people = found[key][0] if key in found else None
        yield _within(people, _sum(inside, True), site.rules)
        if key in found:
            yield _within(found[key][1], _sum(inside, False), site.rules, people=False)


def _shares(site: Site, names: Sequence[str], named: dict[str, list[Any]]) -> Iterator[Known]:
    """A share times its whole is the rounded number of runs that failed, however few people they are of."""
    for key, (share, count) in _published(site, names, "[share(failed), count]").items():
        if share is not None:
            inside = _inside(key, names, named)
            part = round(share * count)
            terms = _sum(lambda run, inside=inside: run["failed"] and inside(run), False)
            known = _within(part, terms, site.rules, people=False)
            yield Known(terms, max(known.low, 0), known.high)


def _retention(site: Site) -> Iterator[Known]:
    shown = site.block("type: retention\nx: start_time\ngrain: month")
    found = {(row[0], row[1]): row[2] for row in shown.rows}
    for first, month in enumerate(MONTHS[:3]):
        for since in (0, 1):
            terms = tuple((kind, 1) for kind in KINDS if kind[3] == first and (since == 0 or kind[4]))
            yield _within(found.get((month, since)), terms, site.rules)


def _funnel(site: Site) -> Iterator[Known]:
    shown = site.block("type: funnel\nsteps: {One: one, Two: two}")
    found = {row[0]: row[1] for row in shown.rows}
    for depth, label in ((1, "One"), (2, "Two")):
        yield _within(found.get(label), tuple((kind, 1) for kind in KINDS if kind[5] >= depth), site.rules)
