"""Runs all pages of a build: the parts that pages share, and the pages that templates generate. It does not know
MkDocs: sources go in, figures and files come out. reports/pages/page_run.py runs a single page.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import duckdb

from ingest.function.roles import EVENT_ATTRIBUTE_ROLES, EVENT_ROLES, ROLES
from reports.blocks.block import parse as parse_block
from reports.blocks.fault import Fault
from reports.blocks.names import near, words
from reports.blocks.published import Published
from reports.gate.rules import Rules
from reports.pages import generated_pages
from reports.pages.build_cache import Shared
from reports.pages.page_result import Page, Series
from reports.pages.page_run import run
from reports.pages.page_views import Row
from reports.pages.queries import Queries
from reports.pages.scope import OF_RELEASES
from reports.pages.source import Source
from reports.query.column_cache import Loaded
from reports.query.quoting import quote
from reports.query.sandbox import parse, tables, walk
from reports.query.snapshot import PROBE, Snapshot
from reports.query.views import VIEWS, connect

__all__ = ["PUBLIC", "Page", "Pages", "Series", "Site"]

PUBLIC = Rules()
EVERYBODY = parse_block("type: number\ndata: sessions\ny: people")
# Sources of data. A query without these has only constants, and charts come from these too.
DATA = VIEWS.keys() | {"page"}


class Site:
    """One build, or several builds in a row: a snapshot of the data, and the faults so far. An unchanged page does not
    run again. A private site is not protected: it shows runs of single people and free text. It is only for `abaculus
    serve --private` on this machine. `rules` protect the numbers of all other sites.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        rules: Rules = PUBLIC,
        now: datetime | None = None,
        private: bool = False,
    ) -> None:
        self.snapshot = snapshot
        self.private = private
        self.rules = Rules(0, rounding=False) if private else rules
        self.now = (now or datetime.now(UTC)).replace(tzinfo=None)
        self.shared = Shared(self.rules, self.now)
        self.connection = connect(snapshot, private=private)
        # A cluster decides itself what it keeps in memory.
        self.loaded = Loaded(self.connection) if snapshot.cluster is None else None
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._pages: dict[str, tuple[tuple[Source, Row | None], Page]] = {}

    @property
    def updated(self) -> datetime | None:
        """When the last successful compaction run began. None before the first."""
        runs = [entry["started"] for entry in self.snapshot.ledger if entry.get("error") is None]
        return datetime.fromisoformat(max(runs)) if runs else None

    @property
    def sample(self) -> list[str]:
        """Names of applications that have generated sessions."""
        registry = self.snapshot.registry
        return [registry[id].name for id, files in self.snapshot.sizes.items() if files and registry[id].sample]

    def run(self, sources: Mapping[str, Source]) -> "Pages":
        """Runs all pages, by path. Collects faults instead of raising them, so that a build shows all."""
        if self.loaded:
            # Columns that all pages read are loaded together, if they are known at the start.
            for source in sources.values():
                self.loaded.want((one.text for one in source.blocks), words(str(source.front.meta)))
        for source in sources.values():
            self.shared.expect(one.text for one in source.blocks if one.kind == "chart")
        templates = generated_pages.templates(sources)
        pages = {path: self.page(source) for path, source in sources.items() if path not in templates}
        generated = {path: self._generated(path, sources, pages) for path in templates}
        for path, found in generated.items():
            pages |= {f"{one.name}.md": self.page(sources[path], one.name, one.row) for one in found}
        self.warnings += self._empty([series for page in pages.values() for series in page.series])
        return Pages(pages, generated)

    def page(self, source: Source, name: str | None = None, row: Row | None = None) -> Page:
        """Runs one page, unless it is the same as before. `row` is the template's row for it, if there is one."""
        name = name or source.path.removesuffix(".md")
        before = self._pages.get(name)
        if before is None or before[0] != (source, row):
            if self.loaded:
                self.loaded.want((one.text for one in source.blocks), words(str(source.front.meta)))
            with self.connection.cursor() as cursor:
                application, wrong = self._application(source)
                queries = Queries(cursor, application, row, self.loaded)
                page = run(source, name, queries, self.shared, self.snapshot.registry)
                page.faults += wrong
                before = self._pages[name] = ((source, row), page)
        page = before[1]
        # The pages of a template share its mistakes.
        self.faults += [fault for fault in page.faults if fault not in self.faults]
        self.warnings += [one for one in page.warnings if one not in self.warnings]
        return page

    def lacks(self, page: Page, minimum: int) -> list[str]:
        """What the public page cannot show yet, and how to change that. It has exact numbers, so it is for the private
        view only.
        """
        assert self.private
        said = []
        read = set[str]().union(*(_tables(self.connection, one) for one in page.series))
        if read & VIEWS.keys():
            people = self._one("SELECT count(DISTINCT user_id) FROM sessions WHERE NOT coalesce(ci, false)")
            if people < minimum:
                said.append(f"Readers see no numbers before there are {minimum} people: {people} so far.")
            # A chart with a role that no attribute has shows the registry entry on its page.
            for role in ROLES if people else ():
                held = [one for of in self.snapshot.registry.values() for one in of.with_role(role) if one.current]
                if role in page.source.words and held and not self._one(f"SELECT count({quote(role)}) FROM sessions"):
                    said.append(f"No session has the role {role}: the tool does not send `attributes.{held[0].name}`.")
        if "releases" in page.source.words and not self.snapshot.releases:
            said.append("No releases are known yet. Store them with `abaculus releases TOOL FILE-OR-URL`.")
        return said

    def _one(self, sql: str) -> int:
        number: int = self.connection.execute(sql).fetchall()[0][0]
        return number

    def of_data(self, page: Page) -> bool:
        """Whether a page shows any data, and not only constants of its own queries."""
        return any(one.published.people is not None or _tables(self.connection, one) & DATA for one in page.series)

    def _generated(
        self, path: str, sources: Mapping[str, Source], pages: Mapping[str, Page]
    ) -> list[generated_pages.Made]:
        """The pages of a template."""

        def published(of: str, name: str) -> Published | None:
            return pages[of].named.get(name)

        with self.connection.cursor() as cursor:
            found, without, fault = generated_pages.make(cursor, path, sources, published)
        self.faults += [] if fault is None else [fault]
        if without:
            # Its mistakes are reported even before there is data.
            self.page(sources[path], row=without)
        return found

    def _empty(self, all_series: Iterable[Series]) -> Iterator[Fault]:
        """Blocks that say "too few people" although enough people use the tool, and somebody sent what they read."""
        with self.connection.cursor() as cursor:
            enough = not self.shared.publish(Queries(cursor, loaded=self.loaded), EVERYBODY).empty
        counted = cache(self._one)
        for one in all_series if enough else ():
            if one.published.empty == "too few people" and all(map(counted, self._sources(one))):
                message = (
                    f'nothing of "{one.title}" can be published yet: no group has {one.published.minimum_users} '
                    "people; use coarser groups, or wait for more people"
                )
                yield Fault(one.file, one.line, message, code="shows-nothing")

    def _sources(self, series: Series) -> Iterator[str]:
        """Counts of what a block reads: rows of its views, and values of its roles. A new tool has not sent all of it,
        as `abaculus status` says too.
        """
        read = _tables(self.connection, series)
        named = set().union(*(words(sql) for _, sql in series.queries))
        releases = {"releases"} if named & OF_RELEASES else set()
        for view in sorted((read | releases) & VIEWS.keys()):
            yield f"SELECT count(*) FROM (SELECT 1 FROM {view} LIMIT 1)"
        block = series.block
        steps = [column for _, column in block.steps]
        for role in (block.x, block.color, *block.more, *steps, *(measure.column for measure in block.y)):
            if role in ROLES:
                yield f"SELECT count({role}) FROM sessions"
            elif role in EVENT_ATTRIBUTE_ROLES:
                yield f"SELECT count({role}) FROM events"
        for role in sorted(named & EVENT_ROLES.keys()) if "events" in read else ():
            yield f"SELECT count(*) FROM events WHERE role = '{role}'"

    def _application(self, source: Source) -> tuple[str | None, list[Fault]]:
        """The application to which the front matter limits a page, or what is wrong with it."""
        given = source.front.meta.get("application")
        if given is None:
            return None, []
        known = [id for id in self.snapshot.registry if id != PROBE]
        if given in known:
            return str(given), []
        message = f'no application "{given}" in the registry; {near(str(given), known)}'
        return None, [Fault(source.file, source.front.line("application"), message, 1, "page-application")]


@dataclass(frozen=True)
class Pages:
    """All pages of a site by path, and the pages that each template has generated."""

    by_path: Mapping[str, Page]
    generated: Mapping[str, list[generated_pages.Made]]


def _tables(connection: duckdb.DuckDBPyConnection, series: Series) -> set[str]:
    """All names that a block and the queries behind it read, in lower case."""
    return {series.block.data.lower()}.union(*(tables(walk(parse(connection, sql))) for _, sql in series.queries))
