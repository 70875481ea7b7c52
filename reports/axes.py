"""What all charts share: the layout of their axes, labels that are data, periods of time, hover texts.

Labels come from sessions, and Plotly renders a subset of HTML in text, so every label is escaped here.
"""

import html
from datetime import datetime, timedelta
from typing import Any

from reports import format
from reports.block import Block
from reports.published import Column, Published, Value

__all__ = [
    "escaped",
    "hover",
    "largest",
    "layout",
    "named",
    "periods",
    "scale",
    "series",
    "stamp",
    "ticks",
    "time_axis",
    "told",
    "veil",
]

# Longer names would leave no room for bars on a phone. The whole name is in the hover text and the table.
LONGEST_NAME = 24
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


def escaped(text: str) -> str:
    """A text that Plotly takes for no markup."""
    return html.escape(text, quote=False)


def named(label: Value, grain: str | None = None) -> str:
    """A label, short enough to stand beside what it names."""
    return escaped(format.inert(format.label(label, grain), LONGEST_NAME))


def layout(published: Published, block: Block, value_axis: str, **more: Any) -> dict[str, Any]:
    """The layout of a chart whose measure is on `value_axis`."""
    column = published.measures[0]
    axis: dict[str, Any] = {
        "title": {"text": escaped(format.axis(block.y[0], published.unit))},
        "automargin": True,
        "rangemode": "tozero",
    }
    axis |= ticks(column, published)
    groups = len(published.dimensions) == 2
    return {
        value_axis: axis,
        "showlegend": groups,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "hovermode": "x unified" if value_axis == "yaxis" else "closest",
    } | more


def ticks(column: Column, published: Published) -> dict[str, Any]:
    """How numbers along an axis are written."""
    if column.kind == "share":
        most = largest(published)
        return {"tickformat": ".0%" if most > 0.05 else ".1%" if most > 0.005 else ".2%"}
    return {}


def largest(published: Published) -> float:
    """The largest of all values."""
    depth = len(published.dimensions)
    return max((value for row in published.rows for value in row[depth:] if isinstance(value, int | float)), default=0)


def scale(column: Column, published: Published) -> tuple[float, str]:
    """By what durations are divided so that the axis reads in ms, s or min, and the unit's name."""
    return _unit(largest(published)) if column.kind == "milliseconds" else (1, "")


def _unit(largest: float) -> tuple[float, str]:
    for limit, divisor, name in ((1_000, 1, "ms"), (120_000, 1_000, "s"), (7_200_000, 60_000, "min")):
        if largest < limit:
            return divisor, f" ({name})"
    return 3_600_000, " (h)"


def series(published: Published) -> dict[Value, list[tuple[Value, Value]]]:
    """Points by colour group, in the published order."""
    if len(published.dimensions) < 2:
        return {None: [(row[0], row[1]) for row in published.rows]}
    return {group: [(row[0], row[2]) for row in published.rows if row[1] == group] for group in published.groups}


def periods(published: Published) -> list[Value]:
    """Every period from the first to the last that is shown. One that is held back, or empty, is among them."""
    times = list(dict.fromkeys(row[0] for row in published.rows))
    grain, last = published.grain, times[-1]
    if grain is None or not isinstance(last, datetime):
        return times
    every: list[Value] = []
    time = times[0]
    assert isinstance(time, datetime)
    while time <= last:
        every.append(time)
        if grain in DAYS:
            time += DAYS[grain]
        else:
            month = time.month - 1 + MONTHS[grain]
            time = time.replace(year=time.year + month // 12, month=month % 12 + 1)
    return every


def told(published: Published, place: Value, text: str) -> str:
    """What is said of a point: of the period that is not over, that it is so far."""
    return escaped(f"{text} so far" if place is not None and place == published.unfinished else text)


def hover(
    published: Published, group: Value, points: list[tuple[Value, Value]], places: list[Value] | None = None
) -> dict[str, Any]:
    """What is shown of each point when it is pointed at."""
    texts = [told(published, place, format.value(published.measures[0], value)) for place, value in points]
    if places:
        texts = [f"{escaped(format.label(place, None))}: {text}" for place, text in zip(places, texts, strict=True)]
    # A name is data: no part of it may be taken for a piece of the template.
    name = f"{escaped(format.label(group, None))}: ".replace("%", "&#37;") if group is not None else ""
    return {"customdata": texts, "hovertemplate": f"{name}%{{customdata}}<extra></extra>"}


def time_axis(published: Published, times: list[Value]) -> dict[str, Any]:
    """An axis of periods."""
    # Where names are close, the script leaves some of them out rather than turn them all.
    axis: dict[str, Any] = {"automargin": True, "type": "date", "tickangle": 0}
    if published.grain in MONTHS and len(times) <= 12:
        # A tick for each period; those between would repeat its name.
        axis |= {"tickvals": [stamp(time) for time in times]}
        axis |= {"ticktext": [format.label(time, published.grain) for time in times]}
    return axis


def stamp(time: Value) -> str:
    """A time as Plotly reads it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}"


def veil(published: Published) -> list[dict[str, Any]]:
    """What the script lays over the period that is not over, in the page's colour: it is not as low as it looks."""
    times = periods(published)
    if published.unfinished is None or len(times) < 2:
        return []
    edges = {"x0": stamp(times[-2]), "x1": stamp(times[-1])}
    return [{"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "opacity": 0.6, "line": {"width": 0}, **edges}]
