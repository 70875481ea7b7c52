"""Shared parts of charts: the layout of axes, labels from data, periods of time, hover texts.

Labels come from sessions, and Plotly renders a subset of HTML in text, so every label is escaped here.
"""

import html
from datetime import datetime, timedelta
from typing import Any

from reports.blocks import format
from reports.blocks.block import Block
from reports.blocks.published import Column, Published, Value

__all__ = [
    "escaped",
    "hover",
    "largest",
    "layout",
    "named",
    "periods",
    "scale",
    "scaled",
    "series",
    "stamp",
    "ticks",
    "time_axis",
]

# Longer names would leave no room for bars on a phone. The whole name is in the hover text and the table.
LONGEST_NAME = 24
# How Plotly writes times: as reports/blocks/format.py does.
PERIODS = {
    "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "Week of %Y-%m-%d", "month": "%b %Y", "quarter": "%Y Q%q",
    "year": "%Y",
}  # fmt: skip
DAY = 86_400_000
TICKS = [
    {"dtickrange": [None, DAY - 1], "value": "%H:%M\n%Y-%m-%d"},
    {"dtickrange": [DAY, 27 * DAY], "value": "%Y-%m-%d"},
    {"dtickrange": ["M1", "M6"], "value": "%b %Y"},
    {"dtickrange": ["M6", None], "value": "%Y"},
]
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


def escaped(text: str) -> str:
    """A text in which Plotly finds no markup."""
    return html.escape(text, quote=False)


def named(label: Value, grain: str | None = None) -> str:
    """A label, short enough for its place."""
    return escaped(format.inert(format.label(label, grain), LONGEST_NAME))


def layout(published: Published, block: Block, value_axis: str, **more: Any) -> dict[str, Any]:
    """The layout of a chart whose measure is on `value_axis`."""
    column = published.measures[0]
    axis: dict[str, Any] = {
        "title": {"text": escaped(format.axis(block.y[0], published.unit))},
        "automargin": True,
        "rangemode": "tozero",
    }
    axis |= ticks(column)
    groups = len(published.dimensions) == 2
    return {
        value_axis: axis,
        "showlegend": groups,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "hovermode": "x unified" if value_axis == "yaxis" else "closest",
    } | more


def ticks(column: Column) -> dict[str, Any]:
    """The format of numbers along an axis, as everywhere on the site."""
    return {"separatethousands": True, "exponentformat": "none"} | (
        {"ticksuffix": " %"} if column.kind == "share" else {}
    )


def largest(published: Published) -> float:
    """The largest of all values."""
    depth = len(published.dimensions)
    return max((value for row in published.rows for value in row[depth:] if isinstance(value, int | float)), default=0)


def scale(column: Column, published: Published) -> tuple[float, str]:
    """The divisor of values for an axis in %, ms, s or min, and the unit's name for its title."""
    if column.kind == "share":
        return 0.01, ""
    return _unit(largest(published)) if column.kind == "milliseconds" else (1, "")


def scaled(value: Any, divisor: float) -> Any:
    """A value as it is drawn, without the digits that the division adds. None for a gap."""
    if not isinstance(value, int | float):
        return None
    return value if divisor == 1 else round(value / divisor, 9)


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
    """Every period from the first to the last shown one, including hidden and empty periods."""
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


def hover(
    published: Published, group: Value, points: list[tuple[Value, Value]], places: list[Value] | None = None
) -> dict[str, Any]:
    """The hover text of each point."""
    texts = [escaped(format.value(published.measures[0], value)) for _, value in points]
    if places:
        names = [escaped(format.label(place, published.grain)) for place in places]
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    # A name is data, so no part of it may act as a part of the template.
    name = f"{escaped(format.label(group, None))}: ".replace("%", "&#37;") if group is not None else ""
    return {"customdata": texts, "hovertemplate": f"{name}%{{customdata}}<extra></extra>"}


def time_axis(published: Published, times: list[Value]) -> dict[str, Any]:
    """An axis of periods."""
    # If names are close, the script leaves some out instead of turning all.
    axis: dict[str, Any] = {
        "automargin": True, "type": "date", "tickangle": 0,
        "hoverformat": PERIODS.get(published.grain or "", "%Y-%m-%d %H:%M"), "tickformatstops": TICKS,
    }  # fmt: skip
    if len(times) == 1 or (published.grain in MONTHS and len(times) <= 12):
        # A tick for each period. Other ticks would repeat its name, or show hours.
        axis |= {"tickvals": [stamp(time) for time in times]}
        axis |= {"ticktext": [format.label(time, published.grain) for time in times]}
    return axis


def stamp(time: Value) -> str:
    """A time as Plotly reads it."""
    return f"{time:%Y-%m-%dT%H:%M:%S}"
