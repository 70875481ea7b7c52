"""A chart block of a page into HTML: what it publishes, drawn, with its table, its SQL and its downloads."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from ingest.registry import Application
from reports import charts, choices, download, format, html, marks, missing
from reports.block import Block, BlockError, parse
from reports.cells import statement
from reports.expect import fails
from reports.made import Page, Series
from reports.page import Fault, Fence
from reports.page_filter import PageFilter
from reports.published import Published
from reports.queries import Queries
from reports.sandbox import QueryError, check, explain
from reports.warehouse import describe, quote

__all__ = ["Figures", "Publish"]

# What may be shown of a block over what is counted there ("runs", …, "" if not people's).
Publish = Callable[[Queries, Block, str], Published]


class Figures:
    """The blocks of one page, one after the other: downloads and series are put into `page`.

    `file` is the page's path for messages, `first` the line of its file on which its text begins, and `root` the
    relative URL of the site's root.
    """

    def __init__(
        self,
        page: Page,
        queries: Queries,
        publish: Publish,
        registry: Mapping[str, Application],
        filter: PageFilter,
        file: str,
        first: int,
        root: str,
    ) -> None:
        self.page, self.queries, self.publish, self.registry = page, queries, publish, registry
        self.filter, self.file, self.first, self.root = filter, file, first, root
        self.warnings: list[Fault] = []
        self._ids: set[str] = set()

    def figure(self, fence: Fence) -> tuple[str, bool]:
        """A block as HTML, and whether it waits for the registry: nobody sends what it shows. Raises `BlockError`."""
        block = self.filter.of(parse(fence.content), self.queries)
        data = block.data.lower()
        unit = self.queries.relations.get(data, "")
        id = self._id(block, unit)
        with _at_its_line(block):
            if data not in self.queries.relations:
                check(self.queries.cursor, f"FROM {quote(block.data)}", self.queries.relations)
            if lacking := self._lacking(block, unit):
                return missing.figure(block, lacking, unit, f"chart-{id}"), True
            published = self.publish(self.queries, block, unit)
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
                tuple(self.queries.named[used].sql for used in self.queries.behind(data)), block, published,
                self.queries.application,
            )
        )  # fmt: skip
        return html.figure(block, published, plot, f"chart-{id}", sql, f"{self.root}{path}", marked, others), False

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
        columns = describe(self.queries.cursor, quote(block.data))
        lacking = missing.roles(block, self.registry)
        there = [role for role in lacking if role in {name.lower() for name in columns}]
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
def _at_its_line(block: Block, option: str = "data") -> Iterator[None]:
    """Makes what is wrong with a query a fault of the block, at the option that it names, or else at this one."""
    try:
        yield
    except QueryError as error:
        line = block.lines.get(error.option or option, block.lines["data"])
        raise BlockError([(line, error.message)]) from None
    except duckdb.Error as error:
        relation = block.annotate if option == "annotate" else block.data
        message = explain(error, relation or "", values=False).message
        raise BlockError([(block.lines.get(option, block.lines["data"]), message)]) from None
