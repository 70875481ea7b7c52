"""A chart block of a page into HTML: what it publishes, drawn, with its table, its SQL and its downloads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import duckdb

from ingest.registry import Application
from reports import charts, choices, download, format, html, marks, missing
from reports.block import Block, BlockError, read
from reports.cells import statement
from reports.expect import fails
from reports.fit import misfits
from reports.made import Page, Series
from reports.page import Fault, Fence, words
from reports.page_filter import PageFilter
from reports.published import Published
from reports.queries import Queries
from reports.sandbox import QueryError, check, explain
from reports.shared import Shared
from reports.warehouse import VIEWS, quote

__all__ = ["Figures"]


class Figures:
    """The blocks of one page, one after the other: what they make is put into `page`, what to warn of into `warnings`.

    `file` is the page's path for messages, `first` the line of its file on which its text begins, and `root` the
    relative URL of the site's root.
    """

    def __init__(
        self,
        page: Page,
        queries: Queries,
        shared: Shared,
        registry: Mapping[str, Application],
        filter: PageFilter,
        file: str,
        first: int,
        root: str,
        warnings: list[Fault],
    ) -> None:
        self.page, self.queries, self.shared, self.registry = page, queries, shared, registry
        self.filter, self.file, self.first, self.root = filter, file, first, root
        self.warnings = warnings
        self._ids: set[str] = set()

    def figure(self, fence: Fence) -> tuple[str, bool]:
        """A block as HTML, and whether it waits for the registry: nobody sends what it shows. Raises `BlockError`."""
        block = self._read(fence.content)
        data = block.data.lower()
        unit = self.queries.relations[data]
        id = self._id(block, unit)
        with _at_its_line(block):
            if lacking := self._lacking(block, unit):
                return missing.figure(block, lacking, unit, f"chart-{id}"), True
            published = self.shared.publish(self.queries, block)
        self._expected(block, published)
        with _at_its_line(block, "name"):
            if block.name:
                self.queries.publish(block.name, published, block)
        with _at_its_line(block, "annotate"):
            plot, marked = self._drawn(block, published)
            others = self._choices(block, published, fence)
        sql = self._sql(block, published)
        path = f"data/{self.page.name}/{id}"
        if not published.empty:
            self.page.files[f"{path}.csv"] = download.csv_text(published).encode()
            self.page.files[f"{path}.parquet"] = download.parquet(published)
        self.page.series.append(
            Series(
                self.page.name, self.file, self.first + fence.start, id, html.title(block, published.unit), sql,
                tuple((used, self.queries.named[used].sql) for used in self.queries.behind(data)), block, published,
                self.queries.application,
            )
        )  # fmt: skip
        return html.figure(block, published, plot, f"chart-{id}", sql, f"{self.root}{path}", marked, others), False

    def _read(self, text: str) -> Block:
        """The block, filtered as its page is. Raises `BlockError` with every fault of it and of the columns in it."""
        block, faults = read(text, self._instead)
        if block is None:
            raise BlockError(faults)
        if block.data.lower() not in self.queries.relations:
            with _at_its_line(block, "data", faults):
                check(self.queries.cursor, f"FROM {quote(block.data)}", self.queries.relations)
        block = self.filter.of(block, self._columns(block.data))
        unit = self.queries.relations[block.data.lower()]
        seen = {line for line, _ in faults}
        for error in misfits(block, self._columns(block.data), unit, self._behind(block.data)):
            line = block.lines.get(error.option or "data", block.lines["data"])
            # What y is told to be instead says it all.
            if line not in seen and not (error.option is None and block.lines.get("y") in seen):
                faults.append((line, error.message))
        if faults:
            raise BlockError(sorted(faults, key=itemgetter(0)))
        return block

    def _columns(self, relation: str) -> Mapping[str, str]:
        return self.shared.columns(self.queries, relation)

    def _behind(self, data: str) -> dict[str, Mapping[str, str]]:
        """The views of people's rows that a query reads, with their columns."""
        named = self.queries.named
        used = set().union(*(words(named[name].sql) for name in self.queries.behind(data.lower())))
        return {view: self._columns(view) for view, unit in VIEWS.items() if unit and view in used}

    def _instead(self, data: str, name: str) -> str | None:
        """What to say in place of a column under `y`, if it is one: a chart counts rows, and shows no values."""
        unit = self.queries.relations.get(data.lower())
        columns: Mapping[str, str] = {} if unit is None else self._columns(data)
        kind = next((kind for there, kind in columns.items() if there.lower() == name.lower()), None)
        if kind is None:
            return None
        if not unit:
            return f'"{name}" is a column of "{data}", which has no people\'s rows; add `people: none`, and it is shown'
        if "user_id" not in {there.lower() for there in columns}:
            return (
                f'"{name}" is counted by "{data}" already, and a chart counts people\'s rows itself; there SELECT '
                "user_id and what to count by, without GROUP BY, and here say y: count or y: people"
            )
        ways = f"share({name})" if kind == "BOOLEAN" else f"sum({name}), mean({name}) or p50({name})"
        return f'"{name}" is a column, and y says what is counted of it; say {ways}'

    def _drawn(self, block: Block, published: Published) -> tuple[dict[str, Any] | None, str]:
        """The figure, for kinds that are drawn, and what it is annotated with in words."""
        plot = charts.figure(block, published) if block.type in charts.CHARTS and not published.empty else None
        if block.annotate is None:
            return plot, ""
        return plot, marks.across(self.queries.cursor, block.annotate, self.queries.relations, published, plot)

    def _choices(self, block: Block, published: Published, fence: Fence) -> str:
        """What its filters show, as HTML. Says so where it is too much."""
        made, wrong = choices.templates(
            published, lambda shown: html.parts(block, shown, *self._drawn(block, shown)), self.filter.columns
        )
        if wrong:
            line = fence.start + 1 + block.lines["filter"] if "filter" in block.lines else fence.start
            self.warnings.append(Fault(self.file, self.first + line, wrong))
        return made

    def _sql(self, block: Block, published: Published) -> str:
        """All that a block's numbers come from."""
        only, row = self.queries.application, self.queries.row
        sql = f"-- of the application {only}\n\n" if only else ""
        if row is not None and row.values is not None:
            pairs = zip(row.columns, row.values, strict=True)
            sql += f"-- page: {', '.join(f'{name} = {format.inert(str(value))}' for (name, _), value in pairs)}\n\n"
        for used in self.queries.behind(block.data.lower()):
            sql += f"-- {used}\n{self.queries.named[used].sql.strip()}\n\n"
        return sql + ("-- what is counted\n" if sql else "") + statement(block, published)

    def _lacking(self, block: Block, unit: str) -> list[str]:
        """Roles that no attribute has, if the block reads one of people and there is nothing in its place."""
        if not unit:
            return []
        lacking = missing.roles(block, self.registry)
        there = [role for role in lacking if role in {name.lower() for name in self._columns(block.data)}]
        sql = f"SELECT {', '.join(f'count({quote(role)})' for role in there)} FROM {quote(block.data)}"
        # A query may have made a column of that name from something else.
        counted = self.queries.cursor.execute(sql).fetchall()[0] if there else ()
        return [role for role, number in zip(there, counted, strict=True) if number == 0]

    def _expected(self, block: Block, published: Published) -> None:
        """Raises `BlockError` with every `expect` that does not hold."""
        if self.queries.row and self.queries.row.values is None:
            return
        wrong: list[str | None] = []
        for expected in block.expect:
            try:
                wrong.append(fails(expected, published))
            except ValueError as error:
                wrong.append(str(error))
        if faults := [(block.lines["expect"], message) for message in wrong if message]:
            raise BlockError(faults)

    def _id(self, block: Block, unit: str) -> str:
        """A block's name in addresses: its name or title, in the way of headings; numbered where it is taken."""
        base = re.sub(r"[^a-z0-9]+", "-", (block.name or html.title(block, unit)).lower()).strip("-") or "block"
        id, number = base, 1
        while id in self._ids:
            number += 1
            id = f"{base}-{number}"
        self._ids.add(id)
        return id


@contextmanager
def _at_its_line(block: Block, option: str = "data", before: Sequence[tuple[int, str]] = ()) -> Iterator[None]:
    """Makes what is wrong with a query a fault of the block, at the option that it names, or else at this one.

    It joins the faults that were found `before`.
    """
    try:
        yield
    except QueryError as error:
        line = block.lines.get(error.option or option, block.lines["data"])
        raise BlockError(sorted([*before, (line, error.message)], key=itemgetter(0))) from None
    except duckdb.Error as error:
        relation = block.annotate if option == "annotate" else block.data
        message = explain(error, relation or "", values=False).message
        raise BlockError([(block.lines.get(option, block.lines["data"]), message)]) from None
