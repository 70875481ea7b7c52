"""A published block as HTML: the figure, its caption, the same numbers as a table, the SQL, the downloads.

Everything comes from the published cells and is escaped here. The Markdown of a page never sees it.
"""

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from reports.blocks import format
from reports.blocks.block import Block
from reports.blocks.kinds import Measure
from reports.blocks.published import Column, Published, Value
from reports.charts import html_kinds

__all__ = ["figure", "linked", "parts", "script_json", "table", "text", "title"]


def text(given: str) -> str:
    """Plain text as HTML."""
    return html.escape(given)


def cell(given: str) -> str:
    """The text of a table's cell as HTML."""
    return text(format.unbroken(given))


def script_json(given: Any) -> str:
    """JSON inside a script element. Nothing in it can end the element or begin a comment."""
    packed = json.dumps(given, separators=(",", ":"), ensure_ascii=True)
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# A value that may have a page of its own. No text can look like it, because "<" is always escaped, also in scripts.
VALUE = re.compile(r'<a data-column="([^"]*)" data-value="([^"]*)">(.*?)</a>')


def leading(column: str, value: str, said: str | None = None) -> str:
    """A value that may have a page, with what is said of it (itself, if nothing is), as HTML."""
    return f'<a data-column="{text(column)}" data-value="{text(value)}">{text(value) if said is None else said}</a>'


def linked(piece: str, to: Callable[[str, str], str | None]) -> str:
    """The HTML of a figure. The HTML with links: `to` returns the URL for a column and a value, or None. This comes
    last, because generated pages depend on the charts of other pages.
    """

    def link(found: re.Match[str]) -> str:
        url = to(html.unescape(found[1]), html.unescape(found[2]))
        return found[3] if url is None else f'<a href="{text(url)}">{found[3]}</a>'

    return VALUE.sub(link, piece)


def title(block: Block, unit: str) -> str:
    """The title of the block, or one from the measure and its groups."""
    if block.title:
        return block.title
    if block.type == "funnel":
        return f"From {block.steps[0][0]} to {block.steps[-1][0]}"
    if block.type == "retention":
        return "People who come back"
    if block.type == "scan":
        return "What stands out"
    over_time = block.type in ("number", "band")
    by = [] if over_time else [format.words(name) for name in (block.x, block.color, *block.more) if name]
    measure = block.y[1 if block.type == "band" else 0] if block.y else None
    counted = format.heading(measure, unit) if measure else format.sentence(format.words(block.data))
    return counted + (f" by {', '.join(by[:-1])}{' and ' if by[:-1] else ''}{by[-1]}" if by else "")


def figure(
    block: Block,
    published: Published,
    plot: dict[str, Any] | None,
    id: str,
    sql: str,
    downloads: str,
    marked: str = "",
    choices: str = "",
    scope: str = "",
    absent: bool = False,
) -> str:
    """The whole block. `plot` is None for kinds that are HTML. `downloads` is the URL of its files without ending.
    `marked` are its annotations in words, `choices` the templates of its filters, and `scope` its window and
    population. `absent` says that it needs releases that are not known.
    """
    kind = "number" if block.type == "number" else "chart"
    body, numbers = parts(block, published, plot, marked, scope, absent)
    named = text(title(block, published.unit))
    menu = "" if published.empty else _menu(named, bool(numbers), downloads, bool(choices))
    said = "" if published.empty else f'<pre class="ab-sql">{text(sql)}</pre>'
    return (
        f'<figure class="ab-{kind}" id="{text(id)}">'
        f'<figcaption class="ab-title">{named}'
        f'<a class="headerlink" href="#{text(id)}" title="Link to this block" aria-label="Link to this block">¶</a>'
        f"</figcaption>{menu}{numbers}{said}{body}{choices}</figure>"
    )


def parts(
    block: Block,
    published: Published,
    plot: dict[str, Any] | None,
    marked: str = "",
    scope: str = "",
    absent: bool = False,
) -> tuple[str, str]:
    """The parts of a block that its filters change: the figure with its caption, and the table if the figure is not a
    table.
    """
    blank = _blank(published, absent)
    body = blank or BODIES.get(block.type, _plot)(block, published, plot)
    note = "" if blank else _note(block, published, scope)
    said = f'<p class="ab-note">{text(note)}</p>' if note else ""
    whole = blank or block.type in WHOLE or not published.dimensions
    return (
        f'<div class="ab-body">{body}{said}{marked}</div>',
        "" if whole else f'<div class="ab-numbers">{table(block, published)}</div>',
    )


def _plot(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    height = (plot or {}).get("layout", {}).get("height", 360)
    return (
        f'<div class="ab-plot" role="img" aria-label="{text(_alternative(block, published))}" '
        f'style="min-height:{int(height)}px">'
        # In a template, because instant navigation runs every other script, whatever its type.
        f'<template><script type="application/json">{script_json(plot)}</script></template></div>'
        "<noscript><p>The chart needs JavaScript. The table has the same numbers.</p></noscript>"
    )


def _number(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return html_kinds.number(block, published)


def _funnel(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return html_kinds.funnel(block, published, title(block, published.unit))


def _retention(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return html_kinds.retention(block, published, title(block, published.unit))


def _table(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return table(block, published)


def _scan(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return html_kinds.findings(block, published)


BODIES = {"number": _number, "table": _table, "funnel": _funnel, "retention": _retention, "scan": _scan}
# Kinds that show all published numbers themselves.
WHOLE = ("table", "funnel", "scan")


def _blank(published: Published, absent: bool) -> str:
    """The text instead of a figure that would show nothing, or only dashes. Empty if there is a figure."""
    depth = len(published.dimensions)
    if published.compared or (
        not published.empty and any(value is not None for row in published.rows for value in row[depth:] or row)
    ):
        return ""
    if absent:
        said = "No release dates are known yet. Store them with: abaculus releases TOOL FILE-OR-URL."
    elif published.people is None:
        # A query over other charts finds nothing if these have too few people.
        said = "Nothing to show yet."
    elif published.empty == "no data":
        said = "No data yet."
    elif not published.empty:
        said = "Too few people yet to show this."
    else:
        said = f"Too few people yet: nothing is shown about fewer than {published.minimum_users} people."
    return f'<p class="ab-empty">{said}</p>'


def _note(block: Block, published: Published, scope: str) -> str:
    """The caption: window, population, number of people, and what is not shown."""
    if published.empty or published.people is None:
        return ""
    # A card of people shows their number itself, and a card of one period is not about all of them.
    itself = block.type == "number" and (block.y[0].name == "people" or block.x is not None)
    parts = [scope] if scope else []
    parts += [format.plural(published.people, "person", "people")] if published.people and not itself else []
    period = published.grain or ""
    if period and block.type != "number":
        drawn = block.type in KINDS and published.drawn.rows != published.rows
        parts += [f"the first {period} is not whole, and is in the table only"] if drawn and published.begun else []
        so_far = f"is not over yet, and is {'in the table only' if drawn else 'shown so far'}"
        parts.append(f"by {period}, UTC; the current {period} {so_far if published.partial else 'is not shown yet'}")
    if published.interval and block.type != "number":
        parts.append("with 95 % confidence intervals over people")
    if published.compared:
        parts.append(f"{published.compared:,} comparisons, people drawn at random")
        parts.append("intervals of differences are 95 %; if nothing differs, 1 scan in 20 names something")
    if published.rounded:
        parts.append(f"rounded to {published.rounded}")
    if block.type != "number" and published.minimum_users:
        parts.append(f"groups of fewer than {published.minimum_users} people are not shown")
        if _several(block, published):
            parts.append("a person in several groups counts in each")
        if any(value is None for row in published.rows for value in row[len(published.dimensions) :]):
            parts.append("a dash means too few people, or mostly one person")
        if Measure("share") in block.y and _gap(published, block.y.index(Measure("share"))):
            parts.append("what is missing to 100 % is not shown")
    return " · ".join(parts)


def _several(block: Block, published: Published) -> bool:
    """Whether the groups together have more people than there are, even without rounding."""
    depth, place = len(published.dimensions), next((n for n, one in enumerate(block.y) if one.name == "people"), None)
    if place is None or block.type in ("retention", "funnel") or published.grain:
        return False
    people = [row[depth + place] for row in published.rows]
    counted = sum(one for one in people if isinstance(one, int))
    return counted > (published.people or 0) + published.rounded * (len(people) + 1) / 2


def _gap(published: Published, place: int) -> bool:
    """Whether the groups at some place on x do not add up to the whole."""
    depth = len(published.dimensions)
    wholes: dict[Value, float] = {}
    for row in published.rows:
        part, key = row[depth + place], row[0] if depth > 1 else None
        wholes[key] = wholes.get(key, 0.0) + (part if isinstance(part, float) else 0.0)
    return any(whole < 0.999 for whole in wholes.values())


KINDS = {
    "line": "Line chart",
    "area": "Stacked area chart",
    "share": "Area chart stacked to 100 %",
    "bar": "Bar chart",
    "histogram": "Histogram",
    "heatmap": "Heat map",
    "band": "Band of percentiles over time",
}


def _alternative(block: Block, published: Published) -> str:
    """The chart in words, for screen readers."""
    published = published.drawn
    first, last = published.rows[0], published.rows[-1]
    said = f"{KINDS[block.type]}: {title(block, published.unit)}."
    if block.type == "histogram":
        return f"{said} {_shape(published)}"
    timed = published.dimensions[0].kind == "time"
    if timed:
        said += f" From {format.label(first[0], published.grain)} to {format.label(last[0], published.grain)}."
    if block.type == "heatmap":
        return f"{said} {_extremes(published)}"
    told = [
        ", ".join(format.label(value, published.grain) for value in row[: len(published.dimensions)])
        + f": {_told(published, row)}"
        for row in ([row for row in published.rows if row[0] == last[0]] if timed else published.rows)[:8]
    ]
    return f"{said} {'; '.join(told)}."


def _told(published: Published, row: tuple[Value, ...]) -> str:
    """The measures of a row."""
    depth = len(published.dimensions)
    shown = [format.value(column, value) for column, value in zip(published.measures, row[depth:], strict=True)]
    if published.interval:
        differs = ", significantly different" if shown[3:] == ["yes"] else ""
        return f"{shown[0]} ({shown[1]} to {shown[2]}){differs}"
    return " to ".join(shown)


def _shape(published: Published) -> str:
    """A histogram in words: the fullest bin and the percentiles."""
    column = published.dimensions[0]
    low, high, *_ = max(published.rows, key=lambda row: row[2] if isinstance(row[2], int | float) else -1)
    names = {"p50": "Median", "p95": "95th percentile"}
    marks = [f" {names.get(name, name)} {format.value(column, value)}." for name, value in published.marks]
    return f"Most are {format.between(column, low, high)}." + "".join(marks)  # type: ignore[arg-type]


def _third(row: tuple[Any, ...]) -> Any:
    return row[2]


def _extremes(published: Published) -> str:
    """A heat map in words: the places of the largest and smallest values."""
    rows: list[tuple[Any, ...]] = [row for row in published.rows if isinstance(row[2], int | float)]
    ends = [("Most", max), ("Least", min)]
    told = []
    for word, pick in ends if rows else []:
        row: tuple[Any, ...] = pick(rows, key=_third)
        names = ", ".join(format.label(value, published.grain) for value in row[:2])
        told.append(f"{word}: {names}, {format.value(published.measures[0], row[2])}.")
    return " ".join(told)


def _menu(named: str, numbers: bool, downloads: str, filtered: bool) -> str:
    """The menu of a figure. While it is closed, the style sheet hides the table and the SQL beside it. So the table is
    visible without a script.
    """
    files = " · ".join(
        f'<a href="{text(downloads)}.{ending}" download>{name}</a>'
        for ending, name in (("csv", "CSV"), ("parquet", "Parquet"))
    )
    holds = f"{'Table, SQL' if numbers else 'SQL'} and downloads"
    return (
        f'<details class="ab-more"><summary title="{holds}">'
        f'<span aria-hidden="true">⋯</span><span class="ab-hidden">{holds}: {named}</span></summary>'
        f"<p>Download{' everything' if filtered else ''}: {files}</p></details>"
    )


def table(block: Block, published: Published) -> str:
    """The published cells as an HTML table."""
    names = [format.sentence(format.words(column.name)) for column in published.dimensions]
    names += [_measure(block, published, number) for number in range(len(published.measures))]
    head = "".join(
        f'<th scope="col"{_align(column)}>{cell(name)}</th>'
        for name, column in zip(names, published.columns, strict=True)
    )
    longest = _longest(published) if block.type == "table" else {}
    trend = html_kinds.trend(published) if block.type == "table" else {}
    if published.trend and trend:
        head += f'<th scope="col">{text(_measure(block, published, 0))} by {published.trend.grain}</th>'
    depth = len(published.dimensions)
    rows = "".join(
        f"<tr>{_cells(row, published, longest, block.type == 'table')}{trend.get(row[:depth], '')}</tr>"
        for row in published.rows
    )
    named = text(title(block, published.unit))
    return (
        f'<div class="ab-table" tabindex="0" role="region" aria-label="{named}, as a table">'
        f'<table class="ab-cells ab-sort" data-depth="{depth}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _measure(block: Block, published: Published, number: int) -> str:
    """The heading of a measure's column."""
    name = published.measures[number].name
    if published.interval and number:
        return "Differs" if number == 3 else f"95 % {name.rsplit(' ', 1)[-1]}"
    known = {str(measure): measure for measure in block.y}
    return format.heading(known[name], published.unit) if name in known else format.sentence(format.words(name))


def _longest(published: Published) -> dict[int, float]:
    """The number at which a bar in a cell is full, for columns of shares or amounts."""
    depth = len(published.dimensions)
    found: dict[int, float] = {}
    # The ends of an interval belong to their value and are not amounts.
    for number, column in enumerate(published.measures[:1] if published.interval else published.measures, depth):
        values = [row[number] for row in published.rows]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if column.kind == "share":
            found[number] = 1.0
        elif column.kind in ("number", "milliseconds") and len(numbers) > 1 and min(numbers) >= 0 and max(numbers) > 0:
            found[number] = max(numbers)
    return found if published.people is not None else {}


def _cells(row: tuple[Any, ...], published: Published, longest: dict[int, float], linking: bool) -> str:
    depth = len(published.dimensions)
    cells = []
    for number, (column, value) in enumerate(zip(published.columns, row, strict=True)):
        if number < depth:
            plain = column.kind in ("number", "milliseconds") and isinstance(value, int | float)
            shown = format.value(column, value) if plain else format.label(value, published.grain)
            if value is not None and value in (published.unfinished, published.begun):
                shown += " (so far)" if value == published.unfinished else " (not whole)"
            said = cell(shown)
            # An hour and a month can begin at the same time, and no page is about a period.
            if linking and value is not None and not isinstance(value, datetime):
                said = leading(column.name.lower(), str(value), said)
            cells.append(f'<th scope="row"{_align(column)}{_sort(column, value)}>{said}</th>')
        else:
            drawn = isinstance(value, int | float) and number in longest
            bar = html_kinds.bar(value / longest[number]) if drawn else ""
            cells.append(f"<td{_align(column)}{_sort(column, value)}>{bar}{cell(format.value(column, value))}</td>")
    return "".join(cells)


def _sort(column: Column, value: Value) -> str:
    """The value by which a cell is sorted, if it is not the text: a number, or an empty text for none."""
    if isinstance(value, datetime):
        return f' data-sort="{value.replace(tzinfo=UTC).timestamp():.0f}"'
    if column.kind not in ("number", "share", "milliseconds"):
        return ""
    return f' data-sort="{value if isinstance(value, int | float) else ""}"'


def _align(column: Column) -> str:
    return ' class="ab-right"' if column.kind in ("number", "share", "milliseconds") else ""
