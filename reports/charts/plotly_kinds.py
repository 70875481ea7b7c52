"""Chart kinds: each a function from published cells to a Plotly figure, in one dict.

Figures have no template and no colours of the page. The script in the page sets these for light and dark. Kinds with
bins and cells are in reports/charts/bin_charts.py.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io

from reports.blocks import format
from reports.blocks.block import Block
from reports.blocks.kinds import ADD_UP, GRAINS, Measure
from reports.blocks.published import Published, Value
from reports.charts import axes, colors
from reports.charts.bin_charts import BAR_HEIGHT, heatmap, histogram
from reports.charts.colors import PALETTE

__all__ = ["CHARTS", "figure"]

# Otherwise Plotly adds a copy of a template to each figure, which we would have to remove. The layout is set at once,
# because update_layout() takes nine times as long, which is most of the time of a figure.
plotly.io.templates.default = None
# The height of a row of panels.
PANEL = 130
DAY = 86_400_000  # in milliseconds, as on Plotly's axes of time
# A longer legend leaves too little room for the drawing.
MOST_LABELS = 8


def figure(block: Block, published: Published) -> dict[str, Any]:
    """The figure of a block as Plotly's JSON. Plotly checks it."""
    return dict(CHARTS[block.type](block, published.drawn).to_plotly_json())


def _over_time(block: Block, published: Published, **style: Any) -> go.Figure:
    column = published.measures[0]
    divisor, unit = axes.scale(column, published)
    made = go.Figure()
    times = axes.periods(published)
    color = colors.of_groups(published)
    for group, points in axes.series(published).items():
        values = dict(points)
        # A hidden period is a gap. Nothing is drawn across it.
        line = [(time, values.get(time)) for time in times]
        made.add_trace(
            go.Scatter(
                x=[axes.stamp(time) for time, _ in line],
                y=[axes.scaled(value, divisor) for _, value in line],
                name=axes.named(group) if group is not None else "",
                **_marked(line, color[group]),
                connectgaps=False,
                **axes.hover(published, group, line),
                **style,
            )
        )
    made.layout = axes.layout(published, block, "yaxis", xaxis=axes.time_axis(published, times))
    made.layout.yaxis.title.text += unit
    return made


def _marked(line: Sequence[Any], color: str) -> dict[str, Any]:
    """A line, with its points if there are few."""
    mode = "lines+markers" if len(line) <= 40 else "lines"
    return {"mode": mode, "line": {"color": color, "width": 2}, "marker": {"size": 5}}


def line(block: Block, published: Published) -> go.Figure:
    """A measure over time with a line for each group, and with intervals if the block asks for them."""
    made = _over_time(block, published)
    if block.panels and len(published.groups) > 1:
        return _panels(made, published)
    if len(published.groups) <= MOST_LABELS:
        # The script writes names at the ends of lines if there is room. Otherwise the legend stays.
        last = axes.stamp(published.rows[-1][0])
        made.layout.meta = {"ends": last if published.groups else False}
    if published.interval:
        divisor, _ = axes.scale(published.measures[0], published)
        depth = len(published.dimensions)
        for group in axes.series(published):
            ends = {row[0]: (row[depth + 1], row[depth + 2]) for row in published.rows if depth == 1 or row[1] == group}
            points = [(time, *ends.get(time, (None, None))) for time in axes.periods(published)]
            _ribbon(made, points, colors.of_groups(published)[group], divisor)
    return made


def _panels(made: go.Figure, published: Published) -> go.Figure:
    """Each line in a panel of its own, on the same axes: small multiples. Two fit side by side even on a phone."""
    lines = math.ceil(len(made.data) / 2)
    height, gap = 1 / lines, 30 / (PANEL * lines)
    layout = made.layout
    value, time = layout.yaxis.to_plotly_json(), layout.xaxis.to_plotly_json()
    value["title"] = {"text": ""}
    titles = []
    for number, (trace, (group, points)) in enumerate(zip(made.data, axes.series(published).items(), strict=True)):
        across, top = number % 2, 1 - number // 2 * height
        sides = [across * 0.53, across * 0.53 + 0.47]
        name = str(number + 1) if number else ""
        shown = dict(points)
        points = [(place, shown.get(place)) for place in axes.periods(published)]
        trace.update(
            xaxis=f"x{name}", yaxis=f"y{name}", mode="lines", name="",
            **axes.hover(published, group, points, [place for place, _ in points]),
        )  # fmt: skip
        edge = {"showticklabels": number + 2 >= len(made.data), "nticks": 3} | ({"matches": "x"} if number else {})
        layout[f"xaxis{name}"] = time | {"domain": sides, "anchor": f"y{name}"} | edge
        side = {"showticklabels": not across, "nticks": 4} | ({"matches": "y"} if number else {})
        layout[f"yaxis{name}"] = value | {"domain": [max(top - height, 0), top - gap], "anchor": f"x{name}"} | side
        titles.append({
            "text": axes.named(group), "x": sides[0], "y": top - gap, "xref": "paper", "yref": "paper",
            "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"color": trace.line.color},
        })  # fmt: skip
    made.update_layout(showlegend=False, hovermode="closest", height=40 + PANEL * lines, annotations=titles)
    return made


def _ribbon(made: go.Figure, points: list[tuple[Value, Value, Value]], color: str, divisor: float) -> None:
    """A band from the lower to the upper values. It has gaps where there are no values."""
    piece: list[tuple[Value, float, float]] = []
    for time, low, high in [*points, (None, None, None)]:
        if isinstance(low, int | float) and isinstance(high, int | float):
            piece.append((time, axes.scaled(low, divisor), axes.scaled(high, divisor)))
            continue
        if piece:
            there, back = piece, piece[::-1]
            made.add_trace(
                go.Scatter(
                    x=[axes.stamp(time) for time, _, _ in [*there, *back]],
                    y=[high for _, _, high in there] + [low for _, low, _ in back],
                    fill="toself",
                    mode="lines",
                    line={"color": color, "width": 0.5},
                    fillcolor=_faint(color),
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
        piece = []


def _faint(color: str) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.22)"


def band(block: Block, published: Published) -> go.Figure:
    """A percentile over time, in a band from a lower to a higher one."""
    divisor, unit = axes.scale(published.measures[0], published)
    times = axes.periods(published)
    rows: dict[Value, tuple[Any, ...]] = {row[0]: row[1:] for row in published.rows}
    points = [(time, *(rows.get(time) or (None, None, None))[:3]) for time in times]
    made = go.Figure()
    _ribbon(made, [(time, low, high) for time, low, _, high in points], PALETTE[0], divisor)
    texts = []
    for _, *values in points:
        low, middle, high = (format.value(published.measures[1], value) for value in values)
        texts.append(axes.escaped(f"{middle} ({low} to {high})"))
    made.add_trace(
        go.Scatter(
            x=[axes.stamp(time) for time, *_ in points],
            y=[axes.scaled(middle, divisor) for _, _, middle, _ in points],
            **_marked(points, PALETTE[0]),
            connectgaps=False,
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    made.layout = axes.layout(published, block, "yaxis", xaxis=axes.time_axis(published, times))
    low, middle, high = (measure.name for measure in block.y)
    made.layout.yaxis.title.text = f"{axes.escaped(format.axis(block.y[1], published.unit))}, {low} to {high}{unit}"
    return made


def area(block: Block, published: Published) -> go.Figure:
    """A measure over time as a stack of groups. It is drawn as bars if a period is hidden, or if there is only one."""
    shown = {row[0] for row in published.rows if row[-1] is not None}
    part = block.y[0] == Measure("share")
    hidden = not part and len(published.rows) < len(shown) * max(1, len(published.groups))
    # A stack cannot have gaps: it would fall to zero. And a single period has no width.
    if len(shown) < 2 or shown != set(axes.periods(published)) or hidden:
        made = bar(block, published)
        if part:
            made.layout.yaxis.range = [0, 100]
        return made
    made = _over_time(block, published, stackgroup="one")
    made.update_traces(mode="lines", line={"width": 0.5})
    for trace in made.data:
        trace.y = [0 if value is None else value for value in trace.y]
    if len(published.dimensions) == 1:
        made.update_traces(line={"width": 2})
    if part:
        _not_shown(made)
        made.layout.yaxis.range = [0, 100]
    return made


def _not_shown(made: go.Figure) -> None:
    """The missing part up to 100 %, striped, because it may contain a hidden group."""
    rest = [max(0.0, 100 - sum(values)) for values in zip(*(trace.y for trace in made.data), strict=True)]
    if max(rest) < 0.1:
        return
    made.add_trace(
        go.Scatter(
            x=made.data[0].x,
            y=rest,
            name="not shown",
            stackgroup="one",
            mode="lines",
            line={"color": colors.GREY, "width": 0.5},
            fillpattern={"shape": "/", "fgcolor": colors.GREY, "size": 6, "solidity": 0.2},
            customdata=[f"{value:.1f} %" for value in rest],
            hovertemplate="not shown: %{customdata}<extra></extra>",
        )
    )


def share(block: Block, published: Published) -> go.Figure:
    """Each group's part of all rows over time, stacked to 100 %."""
    return area(block, published)


def bar(block: Block, published: Published) -> go.Figure:
    """A measure by category: horizontal, so that names can be read, or vertical over time."""
    upright = published.dimensions[0].kind == "time"
    divisor, unit = axes.scale(published.measures[0], published)
    made = go.Figure()
    color = colors.of_groups(published)
    depth = len(published.dimensions)
    stacked = depth == 1 or _mode(block) == "stack"
    # The positions of bars are numbers with names as labels, because two names may be cut to the same text.
    numbered = {place: number for number, place in enumerate(dict.fromkeys(row[0] for row in published.rows))}
    places: dict[str, Any]
    # Plotly takes the width of bars from the distance between two. A single bar would be a day wide, or as wide as the
    # axis.
    alone: dict[str, Any] = {}
    if upright and published.grain and len(numbered) == 1:
        alone["width"] = 0.8 * GRAINS[published.grain] * DAY / (1 if stacked else len(published.groups))
    for group, points in axes.series(published).items():
        values = [axes.scaled(value, divisor) for _, value in points]
        if upright:
            places = {"x": [axes.stamp(time) for time, _ in points], "y": values}
        else:
            places = {"x": values, "y": [numbered[place] for place, _ in points], "orientation": "h"}
        made.add_trace(
            go.Bar(
                **places,
                **alone,
                name=axes.named(group) if group is not None else "",
                marker={"color": color[group]},
                text=[axes.escaped(format.value(published.measures[0], value)) for _, value in points],
                textposition="none" if upright or published.interval else "auto" if stacked else "outside",
                textangle=0,
                constraintext="none" if not stacked else "inside",
                cliponaxis=False,
                **_whiskers(published, group, depth, divisor, upright),
                **axes.hover(published, group, points, None if upright else [place for place, _ in points]),
            )
        )
    if upright:
        layout = axes.layout(published, block, "yaxis", xaxis=axes.time_axis(published, axes.periods(published)))
    else:
        # Side by side, each group keeps its place even if another group has no bar.
        lines = len(numbered) if stacked else len(numbered) * (len(published.groups) * 0.55 + 0.3)
        layout = axes.layout(published, block, "xaxis", height=90 + int(BAR_HEIGHT * lines))
        layout["yaxis"] = {
            "automargin": True,
            "autorange": "reversed",
            "tickvals": list(numbered.values()),
            "ticktext": [axes.named(place, published.grain) for place in numbered],
        }
    made.layout = layout | {"barmode": _mode(block), "bargap": 0.25}
    (made.layout.yaxis if upright else made.layout.xaxis).title.text += unit
    return made


def _mode(block: Block) -> str:
    """Only what adds up is stacked."""
    measure = block.y[0]
    adds_up = measure.name in ADD_UP or measure == Measure("share")
    return "stack" if adds_up and block.bars != "grouped" else "group"


def _whiskers(published: Published, group: Value, depth: int, divisor: float, upright: bool) -> dict[str, Any]:
    if not published.interval:
        return {}
    above: list[float] = []
    below: list[float] = []
    for row in published.rows:
        if depth == 1 or row[1] == group:
            ends = [axes.scaled(value, divisor) or 0.0 for value in row[depth:]]
            below.append(max(0.0, ends[0] - ends[1]))
            above.append(max(0.0, ends[2] - ends[0]))
    whiskers = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 4}
    return {"error_y" if upright else "error_x": whiskers}


CHARTS: dict[str, Callable[[Block, Published], go.Figure]] = {
    "line": line,
    "area": area,
    "share": share,
    "bar": bar,
    "histogram": histogram,
    "heatmap": heatmap,
    "band": band,
}
