"""Reads, publishes and draws the chart blocks of a page, each with its table and downloads."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from ingest.function.registry import Application
from reports.blocks.block import Block, BlockError
from reports.blocks.expect import fails
from reports.blocks.fault import Fault
from reports.blocks.format import inert
from reports.blocks.page_filter import PageFilter
from reports.blocks.published import Filter, Published
from reports.charts import annotations, choices, download, html, plotly_kinds
from reports.gate.statement import statement
from reports.pages import placeholder, values
from reports.pages.addresses import Addresses
from reports.pages.block_reader import at_its_line, read_block
from reports.pages.build_cache import Shared
from reports.pages.markdown_blocks import BRACES, VALUE
from reports.pages.page_result import Figure, Page, Series
from reports.pages.queries import Queries
from reports.pages.scope import Scope
from reports.pages.source import Found, not_a_value

__all__ = ["Figures"]


class Figures:
    """Adds their published cells to `page`. `addresses` has the addresses of the page's blocks so far."""

    def __init__(
        self, page: Page, queries: Queries, shared: Shared, registry: Mapping[str, Application], filter: PageFilter
    ) -> None:
        self.page, self.queries, self.shared, self.registry, self.filter = page, queries, shared, registry, filter
        self.addresses = Addresses()

    def figure(self, fence: Found) -> tuple[Figure, bool]:
        """Reads a block, and says whether it waits for the registry because no session has its data. Raises
        `BlockError`.
        """
        found = self.page.source.found
        below = set().union(*(one.names() for one in found[found.index(fence) + 1 :] if one.kind and one.shown))
        block = read_block(fence.text, self.queries, self.shared, self.filter, below)
        data = block.data.lower()
        unit = self.queries.relations[data]
        with at_its_line(block):
            id, earlier = self.addresses.of(block, unit, fence.text)
        with at_its_line(block):
            columns = self.shared.columns(self.queries, block.data)
            if unit and (lacking := placeholder.lacking(self.queries.cursor, block, columns, self.registry)):
                self.page.ids.append(f"chart-{id}")
                waiting = placeholder.figure(block, lacking, unit, f"chart-{id}")
                return (lambda root: waiting), True
            published = self.shared.publish(self.queries, block)
        _expected(block, published, self.queries)
        with at_its_line(block, "name"):
            if block.name:
                self.queries.publish(block.name, published)
        with at_its_line(block, "title"):
            # A number of everything is not true of what a reader chooses. The row of the page is a table too.
            self._braces(block, fence)
            plain = replace(block, title=None) if _names(block.title) - {"page"} else None
            block = replace(block, title=_titled(block.title, self.queries))
        with at_its_line(block, "annotate"):
            plot, marked = self._drawn(block, published)
            found_in = self.shared.scope(self.queries, block)
            scope = found_in.said(block) if found_in else ""
            others = self._choices(plain or block, published, fence, html.title(plain, unit) if plain else "")
        sql = _definition(self.queries, block, published)
        path = f"data/{self.page.name}/{id}"
        if not published.empty:
            self.page.files[f"{path}.csv"] = download.csv_text(published).encode()
            self.page.files[f"{path}.parquet"] = download.parquet(published)
        for ending in (".csv", ".parquet") if earlier and not published.empty else ():
            # Links to the addresses of earlier versions still work.
            self.page.files.setdefault(f"data/{self.page.name}/{earlier}{ending}", self.page.files[f"{path}{ending}"])
        self.page.ids += [f"chart-{one}" for one in (id, earlier) if one]
        self.page.series.append(
            Series(
                self.page.name, self.page.source.file, _line(self.page, fence), id,
                html.title(block, published.unit), sql,
                tuple((used, self.queries.named[used].sql) for used in self.queries.behind(data)), block, published,
                self.queries.application, earlier, scope,
            )
        )  # fmt: skip
        made = partial(_html, block, published, plot, id, earlier, sql, path, marked, others, scope, found_in)
        return made, False

    def _drawn(self, block: Block, published: Published) -> tuple[dict[str, Any] | None, str]:
        """The figure, for kinds that Plotly draws, and its annotations in words."""
        plot = (
            plotly_kinds.figure(block, published) if block.type in plotly_kinds.CHARTS and not published.empty else None
        )
        if block.annotate is None:
            return plot, ""
        return plot, annotations.across(self.queries.cursor, block.annotate, self.queries.relations, published, plot)

    def _braces(self, block: Block, fence: Found) -> None:
        """Warns about texts in the title that look like values."""
        for found in re.finditer(BRACES, re.sub(VALUE, " ", block.title or "")):
            line = _line(self.page, fence) + 1 + block.lines["title"]
            self.page.warnings.append(not_a_value(self.page.source.file, found[0], line))

    def _choices(self, block: Block, published: Published, fence: Found, heading: str) -> str:
        """The choices of its filters, as HTML. Warns if the choices are too large."""

        def drawn(shown: Published, filter: Filter, value: str) -> tuple[str, str]:
            found = self.shared.scope(self.queries, block, filter.column)
            scope = found.said(block, value if filter.windows else None) if found else ""
            return html.parts(block, shown, *self._drawn(block, shown), scope)

        made, wrong = choices.templates(published, drawn, self.filter.columns, heading)
        if wrong:
            line = 1 + block.lines["filter"] if "filter" in block.lines else 0
            self.page.warnings.append(
                Fault(self.page.source.file, _line(self.page, fence) + line, wrong, code="filter-too-large")
            )
        return made


def _html(
    block: Block, published: Published, plot: dict[str, Any] | None, id: str, earlier: str | None, sql: str, path: str,
    marked: str, others: str, scope: str, found_in: Scope | None, root: str,
) -> str:  # fmt: skip
    files, absent = f"{root}{quote(path)}", found_in is not None and found_in.no_releases
    made = html.figure(block, published, plot, f"chart-{id}", sql, files, marked, others, scope, absent)
    if earlier is None:
        return made
    return made.replace("<figcaption", f'<span id="chart-{html.text(earlier)}"></span><figcaption', 1)


def _names(title: str | None) -> set[str]:
    """The tables from which a title takes values."""
    return {name.lower() for name, _ in re.findall(VALUE, title or "")}


def _titled(title: str | None, queries: Queries) -> str | None:
    """A title with its values, from the block or from results above it. None if a value is missing."""
    found = [values.read(queries, name.lower(), column) for name, column in re.findall(VALUE, title or "")]
    if title is None or None in found:
        return None
    said = iter(found)
    return re.sub(VALUE, lambda _: next(said) or "", title)


def _line(page: Page, fence: Found) -> int:
    """The line of the file on which a block begins. The first line of the page if an extension added it."""
    return page.source.front.first + (fence.start or 0)


def _expected(block: Block, published: Published, queries: Queries) -> None:
    """Raises `BlockError` with every `expect` that does not hold."""
    if queries.row and queries.row.values is None:
        return
    wrong: list[str | None] = []
    for expected in block.expect:
        try:
            wrong.append(fails(expected, published))
        except ValueError as error:
            wrong.append(str(error))
    if faults := [(block.lines["expect"], message) for message in wrong if message]:
        raise BlockError(faults)


def _definition(queries: Queries, block: Block, published: Published) -> str:
    """The whole SQL behind a block's numbers, for people to read."""
    only, row = queries.application, queries.row
    sql = f"-- of the application {only}\n\n" if only else ""
    if row is not None and row.values is not None:
        pairs = zip(row.columns, row.values, strict=True)
        sql += f"-- page: {', '.join(f'{name} = {inert(str(value))}' for (name, _), value in pairs)}\n\n"
    for used in queries.behind(block.data.lower()):
        sql += f"-- {used}\n{queries.named[used].sql.strip()}\n\n"
    return sql + ("-- what is counted\n" if sql else "") + statement(block, published)
