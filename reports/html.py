"""A published block as HTML: the figure, its caption, the same numbers as a table, the SQL, the downloads.

Everything is made from the published cells and escaped here. A page's Markdown never sees it.
"""

import html
import json
from datetime import datetime
from typing import Any

from reports import format
from reports.block import Block
from reports.published import Column, Published

__all__ = ["banner", "figure", "freshness", "script_json", "table", "title"]


def text(given: str) -> str:
    """Plain text as HTML."""
    return html.escape(given)


def script_json(given: Any) -> str:
    """JSON inside a script element: nothing in it can end the element or begin a comment."""
    packed = json.dumps(given, separators=(",", ":"), ensure_ascii=True)
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def title(block: Block, unit: str) -> str:
    """The title given, or one made of what is counted and by what."""
    if block.title:
        return block.title
    by = [format.words(name) for name in (block.x, block.color) if name]
    counted = format.heading(block.y[0], unit) if block.y else format.sentence(format.words(block.data))
    return counted + (f" by {' and '.join(by)}" if by else "")


def figure(block: Block, published: Published, plot: dict[str, Any] | None, id: str, sql: str, downloads: str) -> str:
    """The whole block. `plot` is None for kinds that are HTML; `downloads` is the URL of its files without ending."""
    kind = "number" if block.type == "number" else "chart"
    body = _empty(block, published) if published.empty else BODIES.get(block.type, _plot)(block, published, plot)
    extras = "" if published.empty else _extras(block, published, sql, downloads)
    note = _note(block, published)
    return (
        f'<figure class="ab-{kind}" id="{text(id)}">'
        f'<figcaption class="ab-title">{text(title(block, published.unit))}'
        f'<a class="headerlink" href="#{text(id)}" title="Link to this block" aria-label="Link to this block">¶</a>'
        f"</figcaption>{body}" + (f'<p class="ab-note">{text(note)}</p>' if note else "") + f"{extras}</figure>"
    )


def _plot(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    height = (plot or {}).get("layout", {}).get("height", 360)
    return (
        f'<div class="ab-plot" role="img" aria-label="{text(_alternative(block, published))}" '
        f'style="min-height:{int(height)}px">'
        f'<script type="application/json">{script_json(plot)}</script></div>'
        "<noscript><p>The chart needs JavaScript; the table below has the same numbers.</p></noscript>"
    )


def _number(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    column, value = published.measures[0], published.rows[0][-1]
    shown = text(format.value(column, value))
    if isinstance(value, datetime):
        shown = _time(value)
    return f'<p class="ab-value">{shown}</p>'


def _table(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return table(block, published)


BODIES = {"number": _number, "table": _table}


def _empty(block: Block, published: Published) -> str:
    if published.empty == "no data":
        said = "No data yet."
    else:
        said = f"Too few people yet: nothing is shown of fewer than {published.minimum_users} people."
    return f'<p class="ab-empty">{said}</p>'


def _note(block: Block, published: Published) -> str:
    """What is counted, of how many people, and what is not shown."""
    if published.empty or published.people is None:
        return ""
    # A card that counts people says so itself.
    parts = [] if block.type == "number" and block.y[0].name == "people" else [f"{published.people:,} people"]
    period = published.grain or ""
    if period:
        parts.append(
            f"by {period}, UTC; {'this' if published.partial else 'the current'} {period} is "
            f"{'not over' if published.partial else 'left out until it is over'}"
        )
    if published.withheld:
        what = period if len(published.dimensions) == 1 and period else "group"
        number = published.withheld
        parts.append(
            f"{number} {what}{'s' if number > 1 else ''} of fewer than {published.minimum_users} people "
            f"{'are' if number > 1 else 'is'} not shown"
        )
    if published.withheld_measures:
        parts.append("figures that too few people stand behind are left out")
    return " · ".join(parts)


def _alternative(block: Block, published: Published) -> str:
    """The chart in words, for those who do not see it."""
    first, last = published.rows[0], published.rows[-1]
    kind = {"line": "Line chart", "area": "Stacked area chart", "bar": "Bar chart"}[block.type]
    said = f"{kind}: {title(block, published.unit)}."
    if published.dimensions[0].kind == "time":
        said += f" From {format.label(first[0], published.grain)} to {format.label(last[0], published.grain)}."
    ends = (
        [row for row in published.rows if row[0] == last[0]]
        if published.dimensions[0].kind == "time"
        else published.rows
    )
    told = [
        ", ".join(format.label(value, published.grain) for value in row[: len(published.dimensions)])
        + f": {format.value(published.measures[0], row[-1])}"
        for row in ends[:8]
    ]
    return f"{said} {'; '.join(told)}."


def _extras(block: Block, published: Published, sql: str, downloads: str) -> str:
    files = " · ".join(
        f'<a href="{text(downloads)}.{ending}" download>{name}</a>'
        for ending, name in (("csv", "CSV"), ("parquet", "Parquet"))
    )
    numbers = "" if block.type in BODIES else table(block, published)
    return (
        f'<details class="ab-more"><summary>{"SQL" if block.type in BODIES else "Table, SQL"} and downloads</summary>'
        f"{numbers}<pre><code>{text(sql)}</code></pre><p>{files}</p></details>"
    )


def table(block: Block, published: Published) -> str:
    """The published cells as an HTML table."""
    names = [format.sentence(format.words(column.name)) for column in published.dimensions]
    names += [format.heading(measure, published.unit) for measure in block.y] or [
        format.sentence(format.words(column.name)) for column in published.measures
    ]
    head = "".join(
        f'<th scope="col"{_align(column)}>{text(name)}</th>'
        for name, column in zip(names, published.columns, strict=True)
    )
    rows = "".join(f"<tr>{_cells(row, published)}</tr>" for row in published.rows)
    named = text(title(block, published.unit))
    return (
        f'<div class="ab-table" tabindex="0" role="region" aria-label="{named}, as a table">'
        f'<table class="ab-cells"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cells(row: tuple[Any, ...], published: Published) -> str:
    depth = len(published.dimensions)
    cells = [f'<th scope="row">{text(format.label(value, published.grain))}</th>' for value in row[:depth]]
    cells += [
        f"<td{_align(column)}>{text(format.value(column, value))}</td>"
        for column, value in zip(published.measures, row[depth:], strict=True)
    ]
    return "".join(cells)


def _align(column: Column) -> str:
    return ' class="ab-right"' if column.kind in ("number", "share", "milliseconds") else ""


def banner(samples: list[str]) -> str:
    """Says, above everything else on a page, that its data is made up. Nothing for real data."""
    if not samples:
        return ""
    names = " and ".join(text(name) for name in samples)
    return (
        '<div class="admonition warning ab-sample">'
        f"<p><strong>Made-up data.</strong> {names} is a tool that does not exist. Its sessions were generated to show "
        "what these pages look like; no person is behind any number here.</p></div>"
    )


def freshness(updated: datetime | None, built: datetime) -> str:
    """When the data was last brought in, and when the page was made."""
    if updated is None:
        return '<p class="ab-fresh">No data has been compacted yet.</p>'
    return f'<p class="ab-fresh">Data of {_time(updated)} · page built {_time(built)}</p>'


def _time(time: datetime) -> str:
    return f'<time datetime="{time:%Y-%m-%dT%H:%M:%SZ}">{time:%Y-%m-%d %H:%M} UTC</time>'
