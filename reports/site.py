"""Pages into published blocks: all that the pages of one build share, and which of them are made of a template.

Knows nothing of MkDocs: text in, text and files out. One page is made by reports/making.py.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from reports import entities
from reports.loaded import Loaded
from reports.made import Page, Series
from reports.making import Making
from reports.page import Fault, front_matter, key_line
from reports.published import Published
from reports.queries import Queries, Row, near
from reports.sandbox import parse, tables, walk
from reports.shared import Shared
from reports.warehouse import PROBE, VIEWS, Snapshot, connect

__all__ = ["CLOSED", "MINIMUM_USERS", "Page", "Series", "Site"]

MINIMUM_USERS = 10
# What a query reads where it does not make its rows itself; a chart of the page is itself made from these.
DATA = VIEWS.keys() | {"page"}
# After which time new sessions can be let into the pages, all at once.
CLOSED = ("day", "week", "month")


class Site:
    """One build, or one after the other: a snapshot of the data, and the faults found so far.

    A page that is asked for again as it was is not run again. A private site shows everything to whoever opens it:
    single people's runs, free text, no gate. It is for `abaculus serve --private` on this machine and for nothing else.

    `rounded` rounds all numbers of people's rows; `closed` leaves out what came in during the day, week or month that
    is not over. Both are for what sites of two days give away together.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        minimum_users: int = MINIMUM_USERS,
        rounded: bool = False,
        closed: str | None = None,
        now: datetime | None = None,
        private: bool = False,
    ) -> None:
        self.snapshot = snapshot
        self.private = private
        self.minimum_users = 0 if private else minimum_users
        self.now = (now or datetime.now(UTC)).replace(tzinfo=None)
        self.shared = Shared(self.minimum_users, self.now, rounded and not private)
        self.until = None if private or closed is None else _began(closed, self.now)
        self.connection = connect(snapshot, private=private, until=self.until)
        # A cluster holds what it likes.
        self.loaded = Loaded(self.connection) if snapshot.cluster is None else None
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._made: dict[str, tuple[tuple[Any, ...], Page, list[Fault]]] = {}

    @property
    def updated(self) -> datetime | None:
        """When the last compaction run that succeeded began, or until when is shown; None before the first."""
        runs = [entry["started"] for entry in self.snapshot.ledger if entry.get("error") is None]
        last = datetime.fromisoformat(max(runs)) if runs else None
        return last if last is None or self.until is None else min(last, self.until.replace(tzinfo=UTC))

    @property
    def sample(self) -> list[str]:
        """Names of applications that have data and whose sessions are generated."""
        registry = self.snapshot.registry
        return [registry[id].name for id, files in self.snapshot.sizes.items() if files and registry[id].sample]

    def want(self, sources: Iterable[str]) -> None:
        """Takes note of what pages will read: what all of them read is loaded at once, if it is known at the start."""
        if self.loaded:
            for source in sources:
                self.loaded.want(source)

    def page(self, markdown: str, *, file: str, source: str, name: str, root: str, row: Row | None = None) -> Page:
        """Runs a page's blocks. Faults are collected, not raised, so that a build shows all of them.

        `file` is its path for messages, `source` the file's whole text, `name` its name without ending, `root` the
        relative URL of the site's root, and `row` what it is about, if it is made of a template.
        """
        given = (markdown, file, source, root, row)
        before = self._made.get(name)
        if before is None or before[0] != given:
            self.want([source])
            with self.connection.cursor() as cursor:
                application, wrong = self._application(file, source)
                queries, registry = Queries(cursor, application, row, self.loaded), self.snapshot.registry
                making = Making(
                    queries, self.shared, registry, markdown, file=file, source=source, name=name, root=root
                )
                before = self._made[name] = (given, making.page(), wrong + making.faults)
                self.warnings += [one for one in making.warnings if one not in self.warnings]
        _, page, faults = before
        # The pages of a template share its mistakes.
        self.faults += [fault for fault in faults if fault not in self.faults]
        return page

    def of_data(self, page: Page) -> bool:
        """Whether a page shows anything that was read, and not only values that stand in its own queries."""
        return any(one.published.people is not None or _tables(self.connection, one) & DATA for one in page.series)

    def made(
        self, sources: Mapping[str, str], file: Callable[[str], str], run: Callable[[str], Page]
    ) -> dict[str, list[entities.Made]]:
        """The pages that each template among these makes. `sources` are all pages' texts by path in the site.

        `file` gives a page's path for messages, `run` the page itself, made.
        """

        def published(path: str, name: str) -> Published | None:
            return run(path).named.get(name)

        found: dict[str, list[entities.Made]] = {}
        for path in entities.templates(sources):
            with self.connection.cursor() as cursor:
                pages, without, fault = entities.make(cursor, path, file(path), sources, published)
            self.faults += [] if fault is None else [fault]
            if without:
                # Its mistakes are named before there is anybody's data.
                name, body = path.removesuffix(".md"), front_matter(sources[path])[1]
                self.page(body, file=file(path), source=sources[path], name=name, root="./", row=without)
            found[path] = pages
        return found

    def _application(self, file: str, source: str) -> tuple[str | None, list[Fault]]:
        """The application that a page's front matter narrows it to, or what is wrong with it."""
        given = front_matter(source)[0].get("application")
        if given is None:
            return None, []
        known = [id for id in self.snapshot.registry if id != PROBE]
        if given in known:
            return str(given), []
        message = f'no application "{given}" in the registry; {near(str(given), known)}'
        return None, [Fault(file, key_line(source, "application"), message, 1)]


def _tables(connection: duckdb.DuckDBPyConnection, series: Series) -> set[str]:
    """All that a block and the queries behind it read, in small letters."""
    return {series.block.data.lower()}.union(*(tables(walk(parse(connection, sql))) for _, sql in series.queries))


def _began(period: str, now: datetime) -> datetime:
    """When the day, week or month began."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if period == "month" else day - timedelta(days=day.weekday() * (period == "week"))
