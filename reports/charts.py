"""Chart kinds: each a function from published cells to a Plotly figure, in one dict.

Figures carry no template and no colours of the page: the script in the page sets those for light and dark. Those of
bins and cells are in reports/binned.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io

from reports import axes, colors, format
from reports.binned import BAR_HEIGHT, heatmap, histogram
from reports.block import Block
from reports.colors import PALETTE
from reports.kinds import ADD_UP, Measure
from reports.published import Published, Value

__all__ = ["CHARTS", "figure"]

# Else each figure gets a copy of one, to be taken away again.
plotly.io.templates.default = None
# A legend this long pushes the drawing away.
MOST_LABELS = 8


def figure(block: Block, published: Published) -> dict[str, Any]:
    """The figure of a block as Plotly's JSON. Plotly checks it."""
    return dict(CHARTS[block.type](block, published).to_plotly_json())


def _over_time(block: Block, published: Published, **style: Any) -> go.Figure:
    column = published.measures[0]
    divisor, unit = axes.scale(column, published)
    made = go.Figure()
    times = axes.periods(published)
    color = colors.of_groups(published)
    for group, points in axes.series(published).items():
        values = dict(points)
        # A period that is not shown is a gap: nothing is drawn through it.
        line = [(time, values.get(time)) for time in times]
        if not style:
            _dotted(made, published, line, color[group], divisor)
            line = _apart(published, line)
        made.add_trace(
            go.Scatter(
                x=[axes.stamp(time) for time, _ in line],
                y=[value / divisor if isinstance(value, int | float) else None for _, value in line],
                name=axes.named(group) if group is not None else "",
                **_marked(published, line, color[group]),
                connectgaps=False,
                **axes.hover(published, group, line),
                **style,
            )
        )
    made.update_layout(**axes.layout(published, block, "yaxis", xaxis=axes.time_axis(published, times)))
    made.layout.yaxis.title.text += unit
    return made


def _apart(published: Published, line: list[tuple[Value, Any]]) -> list[tuple[Value, Any]]:
    """The points of a line, with a gap before the period that is not over."""
    return line if published.unfinished is None else [*line[:-1], (line[-1][0], None), line[-1]]


def _marked(published: Published, line: Sequence[tuple[Value, Any]], color: str) -> dict[str, Any]:
    """A line with its points where they are few; that of the period that is not over is always there, and open."""
    few, before = len(line) <= 40, len(line) - 1
    drawn = {"mode": "lines+markers" if few else "lines", "line": {"color": color, "width": 2}, "marker": {"size": 5}}
    if published.unfinished is None:
        return drawn
    marker = {"size": [5 if few else 0] * before + [7], "symbol": ["circle"] * before + ["circle-open"]}
    return drawn | {"mode": "lines+markers", "marker": marker}


def _dotted(made: go.Figure, published: Published, line: list[tuple[Value, Value]], color: str, divisor: float) -> None:
    """The way to the period that is not over. It is pointed at in the line itself."""
    ends = [value / divisor for _, value in line[-2:] if isinstance(value, int | float)]
    if published.unfinished is None or len(ends) < 2:
        return
    made.add_trace(
        go.Scatter(
            x=[axes.stamp(time) for time, _ in line[-2:]],
            y=ends,
            mode="lines",
            line={"color": color, "width": 2, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
        )
    )


def line(block: Block, published: Published) -> go.Figure:
    """A measure over time, a line a group, with its interval where one is asked for."""
    made = _over_time(block, published)
    if len(published.groups) <= MOST_LABELS:
        # The script writes names at the ends of lines where there is room, and the legend stays where there is none.
        last = axes.stamp(published.whole[-1][0])
        made.update_layout(meta={"ends": last if published.groups else False})
    if published.interval:
        divisor, _ = axes.scale(published.measures[0], published)
        depth = len(published.dimensions)
        for group in axes.series(published):
            ends = {row[0]: (row[depth + 1], row[depth + 2]) for row in published.rows if depth == 1 or row[1] == group}
            points = [(time, *ends.get(time, (None, None))) for time in axes.periods(published)]
            _ribbon(made, points, colors.of_groups(published)[group], divisor)
    return made


def _ribbon(made: go.Figure, points: list[tuple[Value, Value, Value]], color: str, divisor: float) -> None:
    """A band from the lower to the upper values, in pieces: nothing is drawn where there is none."""
    piece: list[tuple[Value, float, float]] = []
    for time, low, high in [*points, (None, None, None)]:
        if isinstance(low, int | float) and isinstance(high, int | float):
            piece.append((time, low / divisor, high / divisor))
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
    _dotted(made, published, [(time, middle) for time, _, middle, _ in points], PALETTE[0], divisor)
    texts = []
    apart = [(time, values) for time, *values in points]
    apart = [(time, values or [None] * 3) for time, values in _apart(published, apart)]
    for time, values in apart:
        low, middle, high = (format.value(published.measures[1], value) for value in values)
        texts.append(axes.told(published, time, f"{middle} ({low} to {high})"))
    made.add_trace(
        go.Scatter(
            x=[axes.stamp(time) for time, _ in apart],
            y=[middle / divisor if isinstance(middle, int | float) else None for _, (_, middle, _) in apart],
            **_marked(published, apart, PALETTE[0]),
            connectgaps=False,
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    made.update_layout(**axes.layout(published, block, "yaxis", xaxis=axes.time_axis(published, times)))
    low, middle, high = (measure.name for measure in block.y)
    made.layout.yaxis.title.text = f"{axes.escaped(format.axis(block.y[1], published.unit))}, {low} to {high}{unit}"
    return made


def area(block: Block, published: Published) -> go.Figure:
    """A measure over time, groups stacked: as bars where a period is not shown, or there is only one."""
    shown = {row[0] for row in published.rows if row[-1] is not None}
    # A stack has no gaps: it would fall to nothing where nothing is known. Nor has one period a width.
    if len(shown) < 2 or shown != set(axes.periods(published)):
        made = bar(block, published)
        if block.y[0] == Measure("share"):
            made.update_yaxes(range=[0, 1])
        return made
    made = _over_time(block, published, stackgroup="one")
    made.update_traces(mode="lines", line={"width": 0.5})
    made.update_layout(shapes=axes.veil(published))
    # A group that is not there adds nothing.
    for trace in made.data:
        trace.y = [0 if value is None else value for value in trace.y]
    if len(published.dimensions) == 1:
        made.update_traces(line={"width": 2})
    if block.y[0] == Measure("share"):
        made.update_yaxes(range=[0, 1])
    return made


def share(block: Block, published: Published) -> go.Figure:
    """Each group's part of all rows over time, stacked to 100 %."""
    return area(block, published)


def bar(block: Block, published: Published) -> go.Figure:
    """A measure by category, sideways so that names can be read; upright over time."""
    upright = published.dimensions[0].kind == "time"
    divisor, unit = axes.scale(published.measures[0], published)
    made = go.Figure()
    color = colors.of_groups(published)
    depth = len(published.dimensions)
    stacked = depth == 1 or _mode(block) == "stack"
    # Bars stand at numbers, which names label: two names may be cut to the same text.
    numbered = {place: number for number, place in enumerate(dict.fromkeys(row[0] for row in published.rows))}
    for group, points in axes.series(published).items():
        values = [value / divisor if isinstance(value, int | float) else None for _, value in points]
        if upright:
            places = {"x": [axes.stamp(time) for time, _ in points], "y": values}
        else:
            places = {"x": values, "y": [numbered[place] for place, _ in points], "orientation": "h"}
        made.add_trace(
            go.Bar(
                **places,
                name=axes.named(group) if group is not None else "",
                marker=_hatched(published, [place for place, _ in points], color[group]),
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
        # Beside each other, each group keeps its place where another has no bar.
        lines = len(numbered) if stacked else len(numbered) * (len(published.groups) * 0.55 + 0.3)
        layout = axes.layout(published, block, "xaxis", height=90 + int(BAR_HEIGHT * lines))
        layout["yaxis"] = {
            "automargin": True,
            "autorange": "reversed",
            "tickvals": list(numbered.values()),
            "ticktext": [axes.named(place, published.grain) for place in numbered],
        }
    made.update_layout(**layout, barmode=_mode(block), bargap=0.25)
    (made.layout.yaxis if upright else made.layout.xaxis).title.text += unit
    return made


def _hatched(published: Published, places: list[Value], color: str) -> dict[str, Any]:
    """Bars of one colour, that of the period that is not over in stripes of it."""
    if published.unfinished is None:
        return {"color": color}
    shapes = ["/" if place == published.unfinished else "" for place in places]
    return {"color": color, "pattern": {"shape": shapes, "fillmode": "overlay", "size": 7, "solidity": 0.45}}


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
            ends = [value / divisor if isinstance(value, int | float) else 0.0 for value in row[depth:]]
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
