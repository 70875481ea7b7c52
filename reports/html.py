"""A published block as HTML: the figure, its caption, the same numbers as a table, the SQL, the downloads.

Everything is made from the published cells and escaped here. A page's Markdown never sees it.
"""

import html
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from reports import bodies, format
from reports.block import Block
from reports.published import Column, Published, Value

__all__ = ["banner", "figure", "freshness", "linked", "parts", "script_json", "table", "text", "title"]


def text(given: str) -> str:
    """Plain text as HTML."""
    return html.escape(given)


def script_json(given: Any) -> str:
    """JSON inside a script element: nothing in it can end the element or begin a comment."""
    packed = json.dumps(given, separators=(",", ":"), ensure_ascii=True)
    return packed.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# A value that may have a page of its own. No text can look like it: "<" is escaped, for scripts, too.
VALUE = re.compile(r'<a data-column="([^"]*)" data-value="([^"]*)">(.*?)</a>')


def linked(piece: str, to: Callable[[str, str], str | None]) -> str:
    """A figure's HTML whose values lead to the URL that `to` has for a column and a value; without one they are text.

    It comes last: which pages are made is known only once the charts that they are made of are.
    """

    def link(found: re.Match[str]) -> str:
        url = to(html.unescape(found[1]), html.unescape(found[2]))
        return found[3] if url is None else f'<a href="{text(url)}">{found[3]}</a>'

    return VALUE.sub(link, piece)


def title(block: Block, unit: str) -> str:
    """The title given, or one made of what is counted and by what."""
    if block.title:
        return block.title
    if block.type == "funnel":
        return f"From {block.steps[0][0]} to {block.steps[-1][0]}"
    if block.type == "retention":
        return "People who come back"
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
) -> str:
    """The whole block. `plot` is None for kinds that are HTML; `downloads` is the URL of its files without ending.

    `marked` are the words for what it is annotated with, `choices` the templates of its filters.
    """
    kind = "number" if block.type == "number" else "chart"
    body, numbers = parts(block, published, plot, marked)
    extras = "" if published.empty else _extras(numbers, sql, downloads, bool(choices))
    return (
        f'<figure class="ab-{kind}" id="{text(id)}">'
        f'<figcaption class="ab-title">{text(title(block, published.unit))}'
        f'<a class="headerlink" href="#{text(id)}" title="Link to this block" aria-label="Link to this block">¶</a>'
        f"</figcaption>{body}{extras}{choices}</figure>"
    )


def parts(block: Block, published: Published, plot: dict[str, Any] | None, marked: str = "") -> tuple[str, str]:
    """What of a block its filters change: the figure with its caption, and the table, where there is one below."""
    blank = _blank(published)
    body = blank or BODIES.get(block.type, _plot)(block, published, plot)
    note = "" if blank else _note(block, published)
    said = f'<p class="ab-note">{text(note)}</p>' if note else ""
    whole = blank or block.type in WHOLE or not published.dimensions
    # A card shows one period: what is not shown of others is said below the table of them all.
    aside = text(" · ".join(_held_back(block, published))) if block.type == "number" else ""
    below = table(block, published) + (f'<p class="ab-note">{aside}</p>' if aside else "")
    return (
        f'<div class="ab-body">{body}{said}{marked}</div>',
        "" if whole else f'<div class="ab-numbers">{below}</div>',
    )


def _plot(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    height = (plot or {}).get("layout", {}).get("height", 360)
    return (
        f'<div class="ab-plot" role="img" aria-label="{text(_alternative(block, published))}" '
        f'style="min-height:{int(height)}px">'
        # In a template, for instant navigation runs every other script that it finds, whatever its type.
        f'<template><script type="application/json">{script_json(plot)}</script></template></div>'
        "<noscript><p>The chart needs JavaScript; the table below has the same numbers.</p></noscript>"
    )


def _number(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return bodies.number(block, published)


def _funnel(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return bodies.funnel(block, published, title(block, published.unit))


def _retention(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return bodies.retention(block, published, title(block, published.unit))


def _table(block: Block, published: Published, plot: dict[str, Any] | None) -> str:
    return table(block, published)


BODIES = {"number": _number, "table": _table, "funnel": _funnel, "retention": _retention}
# Bodies that show all the published numbers themselves.
WHOLE = ("table", "funnel")


def _blank(published: Published) -> str:
    """What stands in the place of a figure that would show nothing, or nothing but dashes; empty where there is one."""
    depth = len(published.dimensions)
    if not published.empty and any(value is not None for row in published.rows for value in row[depth:] or row):
        return ""
    if published.empty == "no data" or published.people is None:
        said = "No data yet."
    elif not published.empty:
        said = "Too few people yet to show this."
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
    if period and block.type != "number":
        parts.append(
            f"by {period}, UTC; this {period} is not over: so far"
            if published.partial
            else f"by {period}, UTC; the current {period} is not shown yet"
        )
    if published.interval and block.type != "number":
        parts.append("with 95 % intervals, people drawn at random")
    if published.rounded:
        parts.append(f"rounded, counts to multiples of {published.rounded}")
    if block.type != "number" or not published.dimensions:
        parts += _held_back(block, published)
    return " · ".join(parts)


# What a cell of a kind is called in a caption.
CELLS = {"funnel": "step", "histogram": "bin", "retention": "group"}


def _held_back(block: Block, published: Published) -> list[str]:
    """How much is not shown, and why."""
    alone = len(published.dimensions) == 1
    what = CELLS.get(block.type) or (published.grain if alone and published.grain else "group")
    few, more = published.withheld, published.withheld_more
    small = f"{few} {what}{'s' if few > 1 else ''} of fewer than {published.minimum_users} people"
    parts = []
    if few and more:
        parts.append(f"{small}, and {more} more that would give away such a one, are not shown")
    elif few:
        parts.append(f"{small} {'are' if few > 1 else 'is'} not shown")
    elif more:
        said = f"{more} {what}{'s' if more > 1 else ''} that would give away a smaller one"
        parts.append(f"{said} {'are' if more > 1 else 'is'} not shown")
    if published.withheld_measures:
        parts.append("figures that too few people stand behind are left out")
    return parts


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
    """The chart in words, for those who do not see it."""
    first, last = published.rows[0], published.rows[-1]
    said = f"{KINDS[block.type]}: {title(block, published.unit)}."
    if block.type == "histogram":
        return f"{said} {_shape(published)}"
    timed = published.dimensions[0].kind == "time"
    if timed:
        said += f" From {format.label(first[0], published.grain)} to {format.label(last[0], published.grain)}"
        said += ", which is not over." if published.partial else "."
        last = published.whole[-1]
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
        return f"{shown[0]} ({shown[1]} to {shown[2]})"
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
    """A heat map in words: where there is most and least."""
    rows: list[tuple[Any, ...]] = [row for row in published.rows if isinstance(row[2], int | float)]
    ends = [("Most", max), ("Least", min)]
    told = []
    for word, pick in ends if rows else []:
        row: tuple[Any, ...] = pick(rows, key=_third)
        names = ", ".join(format.label(value, published.grain) for value in row[:2])
        told.append(f"{word}: {names}, {format.value(published.measures[0], row[2])}.")
    return " ".join(told)


def _extras(numbers: str, sql: str, downloads: str, filtered: bool) -> str:
    files = " · ".join(
        f'<a href="{text(downloads)}.{ending}" download>{name}</a>'
        for ending, name in (("csv", "CSV"), ("parquet", "Parquet"))
    )
    return (
        f'<details class="ab-more"><summary>{"Table, SQL" if numbers else "SQL"} and downloads</summary>'
        f'{numbers}<pre class="ab-sql">{text(sql)}</pre>'
        f"<p>{files}{' of everything' if filtered else ''}</p></details>"
    )


def table(block: Block, published: Published) -> str:
    """The published cells as an HTML table."""
    names = [format.sentence(format.words(column.name)) for column in published.dimensions]
    names += [_measure(block, published, number) for number in range(len(published.measures))]
    head = "".join(
        f'<th scope="col"{_align(column)}>{text(name)}</th>'
        for name, column in zip(names, published.columns, strict=True)
    )
    longest = _longest(published) if block.type == "table" else {}
    rows = "".join(f"<tr>{_cells(row, published, longest, block.type == 'table')}</tr>" for row in published.rows)
    named = text(title(block, published.unit))
    return (
        f'<div class="ab-table" tabindex="0" role="region" aria-label="{named}, as a table">'
        f'<table class="ab-cells ab-sort" data-depth="{len(published.dimensions)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _measure(block: Block, published: Published, number: int) -> str:
    """The heading of a measure's column."""
    name = published.measures[number].name
    if published.interval and number:
        return f"95 % {name.rsplit(' ', 1)[-1]}"
    known = {str(measure): measure for measure in block.y}
    return format.heading(known[name], published.unit) if name in known else format.sentence(format.words(name))


def _longest(published: Published) -> dict[int, float]:
    """What a bar in a cell is measured by, for columns whose numbers are parts or amounts."""
    depth = len(published.dimensions)
    found: dict[int, float] = {}
    # The ends of an interval are read beside their value, not as amounts.
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
            shown += " (so far)" if value is not None and value == published.unfinished else ""
            said = text(shown)
            # The same time begins an hour and a month, and no name of a period is a page's.
            if linking and value is not None and not isinstance(value, datetime):
                said = f'<a data-column="{text(column.name.lower())}" data-value="{text(str(value))}">{said}</a>'
            cells.append(f'<th scope="row"{_align(column)}{_sort(column, value)}>{said}</th>')
        else:
            drawn = isinstance(value, int | float) and number in longest
            bar = bodies.bar(value / longest[number]) if drawn else ""
            cells.append(f"<td{_align(column)}{_sort(column, value)}>{bar}{text(format.value(column, value))}</td>")
    return "".join(cells)


def _sort(column: Column, value: Value) -> str:
    """What a cell is sorted by, where that is not its text: a number, or nothing for none."""
    if isinstance(value, datetime):
        return f' data-sort="{value.replace(tzinfo=UTC).timestamp():.0f}"'
    if column.kind not in ("number", "share", "milliseconds"):
        return ""
    return f' data-sort="{value if isinstance(value, int | float) else ""}"'


def _align(column: Column) -> str:
    return ' class="ab-right"' if column.kind in ("number", "share", "milliseconds") else ""


def banner(samples: list[str]) -> str:
    """Says, above everything else on a page, that its data is made up. Nothing for real data."""
    if not samples:
        return ""
    names = " and ".join(text(name) for name in samples)
    return (
        '<div class="admonition warning ab-sample">'
        f"<p><strong>Made-up data.</strong> The sessions of {names} were generated to show what these pages look like; "
        "no person is behind any number here.</p></div>"
    )


def freshness(updated: datetime | None, built: datetime, excluded: Sequence[tuple[datetime, datetime]] = ()) -> str:
    """When the data was last brought in, when the page was made, and what the maintainer keeps out of it."""
    if updated is None:
        return '<p class="ab-fresh">No data has been compacted yet.</p>'
    times = ", ".join(f"from {_time(start)} to {_time(end)}" for start, end in excluded)
    out = f" · left out is what came in {times}" if times else ""
    return f'<p class="ab-fresh">Data of {_time(updated)} · page built {_time(built)}{out}</p>'


def _time(time: datetime) -> str:
    return f'<time datetime="{time:%Y-%m-%dT%H:%M:%SZ}">{time:%Y-%m-%d %H:%M} UTC</time>'
