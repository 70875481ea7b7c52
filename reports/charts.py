"""Chart kinds: each a function from published cells to a Plotly figure, in one dict.

Figures carry no template and no colours of the page: the script in the page sets those for light and dark. Labels come
from sessions, and Plotly renders a subset of HTML in text, so every label is escaped here.
"""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from reports import format
from reports.block import ADD_UP, Block, Measure
from reports.published import OTHER, UNKNOWN, Column, Published, Value

__all__ = ["CHARTS", "figure"]

# Okabe and Ito's colours, which people with any common colour blindness can tell apart, in an order in which neighbours
# differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A100")
GREY = "#8A8F98"
BAR_HEIGHT = 34
# Longer names would leave no room for bars on a phone. The whole name is in the hover text and the table.
LONGEST_NAME = 24
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


def figure(block: Block, published: Published) -> dict[str, Any]:
    """The figure of a block as Plotly's JSON. Plotly checks it."""
    made = CHARTS[block.type](block, published)
    made.layout.template = None
    return dict(made.to_plotly_json())


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _name(label: Value, grain: str | None = None) -> str:
    return _escaped(format.inert(format.label(label, grain), LONGEST_NAME))


def _layout(published: Published, block: Block, value_axis: str, **more: Any) -> dict[str, Any]:
    column = published.measures[0]
    axis = {
        "title": {"text": _escaped(format.axis(block.y[0], published.unit))},
        "automargin": True,
        "rangemode": "tozero",
    }
    axis |= _ticks(column, published)
    groups = len(published.dimensions) == 2
    return {
        value_axis: axis,
        "showlegend": groups,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "hovermode": "x unified" if value_axis == "yaxis" else "closest",
        **more,
    }


def _ticks(column: Column, published: Published) -> dict[str, Any]:
    if column.kind == "share":
        largest = _largest(published)
        return {"tickformat": ".0%" if largest > 0.05 else ".1%" if largest > 0.005 else ".2%"}
    return {}


def _largest(published: Published) -> float:
    return max((row[-1] for row in published.rows if isinstance(row[-1], int | float)), default=0)


def _scale(column: Column, published: Published) -> tuple[float, str]:
    """By what durations are divided so that the axis reads in ms, s or min, and the unit's name."""
    if column.kind != "milliseconds":
        return 1, ""
    largest = _largest(published)
    for limit, divisor, name in ((1_000, 1, "ms"), (120_000, 1_000, "s"), (7_200_000, 60_000, "min")):
        if largest < limit:
            return divisor, f" ({name})"
    return 3_600_000, " (h)"


def _series(published: Published) -> dict[Value, list[tuple[Value, Value]]]:
    """Points by colour group, in the published order."""
    if len(published.dimensions) < 2:
        return {None: [(row[0], row[1]) for row in published.rows]}
    return {group: [(row[0], row[2]) for row in published.rows if row[1] == group] for group in published.groups}


def _periods(published: Published) -> list[Value]:
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


def _color(group: Value, number: int) -> str:
    return GREY if group in (OTHER, UNKNOWN) else PALETTE[number % len(PALETTE)]


def _hover(
    published: Published, group: Value, points: list[tuple[Value, Value]], places: list[Value] | None = None
) -> dict[str, Any]:
    texts = [_escaped(format.value(published.measures[0], value)) for _, value in points]
    if places:
        texts = [f"{_escaped(format.label(place, None))}: {text}" for place, text in zip(places, texts, strict=True)]
    # A name is data: no part of it may be taken for a piece of the template.
    name = f"{_escaped(format.label(group, None))}: ".replace("%", "&#37;") if group is not None else ""
    return {"customdata": texts, "hovertemplate": f"{name}%{{customdata}}<extra></extra>"}


def _over_time(block: Block, published: Published, **style: Any) -> go.Figure:
    column = published.measures[0]
    divisor, unit = _scale(column, published)
    made = go.Figure()
    times = _periods(published)
    for number, (group, points) in enumerate(_series(published).items()):
        values = dict(points)
        # A period that is not shown is a gap: nothing is drawn through it.
        line = [(time, values.get(time)) for time in times]
        made.add_trace(
            go.Scatter(
                x=[f"{time:%Y-%m-%dT%H:%M:%S}" for time, _ in line],
                y=[value / divisor if isinstance(value, int | float) else None for _, value in line],
                name=_name(group) if group is not None else "",
                mode="lines+markers" if len(times) <= 40 else "lines",
                line={"color": _color(group, number), "width": 2},
                marker={"size": 5},
                connectgaps=False,
                **_hover(published, group, line),
                **style,
            )
        )
    made.update_layout(**_layout(published, block, "yaxis", xaxis={"automargin": True, "type": "date"}))
    made.layout.yaxis.title.text += unit
    return made


def line(block: Block, published: Published) -> go.Figure:
    """A measure over time, a line a group."""
    return _over_time(block, published)


def area(block: Block, published: Published) -> go.Figure:
    """A measure over time, groups stacked."""
    made = _over_time(block, published, stackgroup="one")
    made.update_traces(mode="lines", line={"width": 0.5})
    if block.y[0] == Measure("share"):
        made.update_yaxes(range=[0, 1])
    return made


def bar(block: Block, published: Published) -> go.Figure:
    """A measure by category, sideways so that names can be read; upright over time."""
    upright = published.dimensions[0].kind == "time"
    divisor, unit = _scale(published.measures[0], published)
    made = go.Figure()
    # Bars stand at numbers, which names label: two names may be cut to the same text.
    numbered = {place: number for number, place in enumerate(dict.fromkeys(row[0] for row in published.rows))}
    for number, (group, points) in enumerate(_series(published).items()):
        values = [value / divisor if isinstance(value, int | float) else None for _, value in points]
        if upright:
            places = {"x": [f"{time:%Y-%m-%dT%H:%M:%S}" for time, _ in points], "y": values}
        else:
            places = {"x": values, "y": [numbered[place] for place, _ in points], "orientation": "h"}
        made.add_trace(
            go.Bar(
                **places,
                name=_name(group) if group is not None else "",
                marker={"color": _color(group, number)},
                text=[_escaped(format.value(published.measures[0], value)) for _, value in points],
                textposition="none" if upright else "auto",
                **_hover(published, group, points, None if upright else [place for place, _ in points]),
            )
        )
    if upright:
        layout = _layout(published, block, "yaxis", xaxis={"automargin": True, "type": "date"})
    else:
        layout = _layout(published, block, "xaxis", height=90 + BAR_HEIGHT * len(numbered))
        layout["yaxis"] = {
            "automargin": True,
            "autorange": "reversed",
            "tickvals": list(numbered.values()),
            "ticktext": [_name(place, published.grain) for place in numbered],
        }
    measure = block.y[0]
    additive = measure.name in ADD_UP or measure == Measure("share")
    made.update_layout(**layout, barmode="stack" if additive else "group", bargap=0.25)
    (made.layout.yaxis if upright else made.layout.xaxis).title.text += unit
    return made


CHARTS: dict[str, Callable[[Block, Published], go.Figure]] = {"line": line, "area": area, "bar": bar}
