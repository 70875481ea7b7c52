"""Chart kinds: each a function from published cells to a Plotly figure, in one dict.

Figures carry no template and no colours of the page: the script in the page sets those for light and dark. Labels come
from sessions, and Plotly renders a subset of HTML in text, so every label is escaped here.
"""

import html
import math
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from reports import format
from reports.block import ADD_UP, Block, Measure
from reports.published import OTHER, UNKNOWN, Column, Published, Value

__all__ = ["CHARTS", "colors", "figure"]

# Okabe and Ito's colours, which people with any common colour blindness can tell apart, in an order in which neighbours
# differ in lightness too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A100")
GREY = "#8A8F98"
# What is nearly the same everywhere is the same colour everywhere.
FIXED = {"yes": 0, "no": 1}
# From little to much, on light paper and on dark: both ends can be told from the page and from each other.
SCALE = ((0.0, "#DCE9F5"), (0.25, "#9CC4E4"), (0.5, "#4E97CC"), (0.75, "#1C68A8"), (1.0, "#08366B"))
SCALE_DARK = ((0.0, "#1D4468"), (0.25, "#25649A"), (0.5, "#3C86BF"), (0.75, "#7FB8E4"), (1.0, "#D3E9FA"))
# A legend this long pushes the drawing away.
MOST_LABELS = 8
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
    axis: dict[str, Any] = {
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
    } | more


def _ticks(column: Column, published: Published) -> dict[str, Any]:
    if column.kind == "share":
        largest = _largest(published)
        return {"tickformat": ".0%" if largest > 0.05 else ".1%" if largest > 0.005 else ".2%"}
    return {}


def _largest(published: Published) -> float:
    depth = len(published.dimensions)
    return max((value for row in published.rows for value in row[depth:] if isinstance(value, int | float)), default=0)


def _scale(column: Column, published: Published) -> tuple[float, str]:
    """By what durations are divided so that the axis reads in ms, s or min, and the unit's name."""
    return _unit(_largest(published)) if column.kind == "milliseconds" else (1, "")


def _unit(largest: float) -> tuple[float, str]:
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


def colors(groups: Iterable[Value]) -> dict[Value, str]:
    """The colour of each group: its own, whichever chart it is in, unless a group before it has the same."""
    made: dict[Value, str] = {}
    taken: set[int] = set()
    for group in groups:
        if group in (OTHER, UNKNOWN):
            made[group] = GREY
            continue
        label = str(group)
        first = FIXED.get(label, zlib.crc32(label.encode()) % len(PALETTE))
        free = [(first + step) % len(PALETTE) for step in range(len(PALETTE))]
        number = next((one for one in free if one not in taken), first)
        taken = set() if len(taken | {number}) == len(PALETTE) else taken | {number}
        made[group] = PALETTE[number]
    return made


def _colors(published: Published) -> dict[Value, str]:
    return colors(published.groups) if len(published.dimensions) > 1 else {None: PALETTE[0]}


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
    color = _colors(published)
    for group, points in _series(published).items():
        values = dict(points)
        # A period that is not shown is a gap: nothing is drawn through it.
        line = [(time, values.get(time)) for time in times]
        made.add_trace(
            go.Scatter(
                x=[f"{time:%Y-%m-%dT%H:%M:%S}" for time, _ in line],
                y=[value / divisor if isinstance(value, int | float) else None for _, value in line],
                name=_name(group) if group is not None else "",
                mode="lines+markers" if len(times) <= 40 else "lines",
                line={"color": color[group], "width": 2},
                marker={"size": 5},
                connectgaps=False,
                **_hover(published, group, line),
                **style,
            )
        )
    made.update_layout(**_layout(published, block, "yaxis", xaxis=_time_axis(published, times)))
    made.layout.yaxis.title.text += unit
    return made


def _time_axis(published: Published, times: list[Value]) -> dict[str, Any]:
    axis: dict[str, Any] = {"automargin": True, "type": "date"}
    if published.grain in MONTHS and len(times) <= 12:
        # A tick for each period; those between would repeat its name.
        axis |= {"tickvals": [_stamp(time) for time in times]}
        axis |= {"ticktext": [format.label(time, published.grain) for time in times]}
    return axis


def _stamp(time: Value) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}"


def line(block: Block, published: Published) -> go.Figure:
    """A measure over time, a line a group, with its interval where one is asked for."""
    made = _over_time(block, published)
    if len(published.groups) <= MOST_LABELS:
        # The script writes names at the ends of lines where there is room, and the legend stays where there is none.
        made.update_layout(meta={"ends": bool(published.groups)})
    if published.interval:
        divisor, _ = _scale(published.measures[0], published)
        depth = len(published.dimensions)
        for group in _series(published):
            ends = {row[0]: (row[depth + 1], row[depth + 2]) for row in published.rows if depth == 1 or row[1] == group}
            points = [(time, *ends.get(time, (None, None))) for time in _periods(published)]
            _ribbon(made, points, _colors(published)[group], divisor)
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
                    x=[_stamp(time) for time, _, _ in [*there, *back]],
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
    divisor, unit = _scale(published.measures[0], published)
    times = _periods(published)
    rows: dict[Value, tuple[Any, ...]] = {row[0]: row[1:] for row in published.rows}
    points = [(time, *(rows.get(time) or (None, None, None))[:3]) for time in times]
    made = go.Figure()
    _ribbon(made, [(time, low, high) for time, low, _, high in points], PALETTE[0], divisor)
    texts = []
    for _, *values in points:
        low, middle, high = (_escaped(format.value(published.measures[1], value)) for value in values)
        texts.append(f"{middle} ({low} to {high})")
    made.add_trace(
        go.Scatter(
            x=[_stamp(time) for time in times],
            y=[middle / divisor if isinstance(middle, int | float) else None for _, _, middle, _ in points],
            mode="lines+markers" if len(times) <= 40 else "lines",
            line={"color": PALETTE[0], "width": 2},
            marker={"size": 5},
            connectgaps=False,
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    made.update_layout(**_layout(published, block, "yaxis", xaxis=_time_axis(published, times)))
    low, middle, high = (measure.name for measure in block.y)
    made.layout.yaxis.title.text = f"{_escaped(format.axis(block.y[1], published.unit))}, {low} to {high}{unit}"
    return made


def histogram(block: Block, published: Published) -> go.Figure:
    """How often which values are: bins of equal width on the scale that is drawn, the outermost open to their side."""
    inner = [row for row in published.rows if row[0] is not None and row[1] is not None]
    known = sorted({float(str(end)) for row in published.rows for end in row[:2] if end is not None})
    if not known:
        known = [0.0]
    width = min((_place(row[1], 0, published) - _place(row[0], 0, published) for row in inner), default=1.0)
    first = _place(known[0], 0, published)

    def place(value: Value) -> float:
        """In bins from the first edge."""
        return (_place(value, 0, published) - first) / width

    bars: list[tuple[float, float, bool, tuple[Any, Any], Value]] = []
    for low, high, value, *_ in published.rows:
        left = place(low) if low is not None else place(high) - 1
        right = place(high) if high is not None else place(low) + 1
        bars.append((left, right, low is None or high is None, (low, high), value))
    column = published.dimensions[0]
    texts = [
        f"{_escaped(format.between(column, *ends))}: {_escaped(format.value(published.measures[0], value))}"
        for _, _, _, ends, value in bars
    ]
    made = go.Figure(
        go.Bar(
            x=[(left + right) / 2 for left, right, *_ in bars],
            y=[value for *_, value in bars],
            width=[(right - left) * 0.96 for left, right, *_ in bars],
            marker={"color": PALETTE[0], "opacity": [0.5 if opened else 1 for _, _, opened, *_ in bars]},
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    ticks = _bin_ticks(known, place, published)
    made.update_layout(**_layout(published, block, "yaxis", hovermode="closest", bargap=0, showlegend=False))
    words = _escaped(format.sentence(format.words(block.x or "")))
    open_ends = " (open at the ends)" if any(opened for _, _, opened, *_ in bars) else ""
    made.update_xaxes(
        automargin=True, tickvals=[at for at, _ in ticks], ticktext=[text for _, text in ticks], zeroline=False,
        title={"text": words + (", logarithmic" if published.logarithmic else "") + open_ends}, showgrid=False,
        range=[min(left for left, *_ in bars) - 0.3, max(right for _, right, *_ in bars) + 0.3],
    )  # fmt: skip
    for name, value in published.marks:
        if value is not None and known[0] <= float(str(value)) <= known[-1]:
            label = f"{'median' if name == 'p50' else name} {_escaped(format.value(column, value))}"
            made.add_shape(
                type="line", x0=place(value), x1=place(value), y0=0, y1=1, yref="paper", line={"dash": "dot"}
            )
            made.add_annotation(
                x=place(value), y=1, yref="paper", yanchor="bottom", text=label, showarrow=False,
                xanchor="center", yshift=0 if name == "p50" else 14,
            )  # fmt: skip
    if published.marks:
        made.update_layout(margin={"t": 42})
    return made


def _place(value: Value, otherwise: float, published: Published) -> float:
    """Where a value lies on the scale of the bins."""
    if not isinstance(value, int | float):
        return otherwise
    return math.log10(value) if published.logarithmic else float(value)


def _bin_ticks(known: list[float], place: Callable[[Value], float], published: Published) -> list[tuple[float, str]]:
    """Few round values along the bins, with the places where they are."""
    column = published.dimensions[0]
    if not published.logarithmic:
        every = max(1, math.ceil(len(known) / 7))
        return [(place(value), _escaped(format.value(column, value))) for value in known[::every]]
    values: list[float] = []
    decades = math.log10(known[-1] / known[0]) if known[0] > 0 else 1
    if column.kind == "milliseconds":
        values = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 60_000, 180_000, 600_000, 1_800_000, 3_600_000]
        values = [value for value in values if decades < 4 or str(value)[0] in "16"]
    else:
        steps = (1, 2, 5) if decades < 2.5 else (1,)
        values = [step * 10.0**power for power in range(-9, 16) for step in steps]
    return [(place(value), _escaped(format.value(column, value))) for value in values if known[0] <= value <= known[-1]]


def heatmap(block: Block, published: Published) -> go.Figure:
    """A measure by two columns: the more, the further from the colour of the page. What is not shown is blank."""
    across = _periods(published) if published.dimensions[0].kind == "time" else _order(published)
    down = list(published.groups)
    values = {row[:2]: row[2] for row in published.rows}
    column = published.measures[0]
    divisor, unit = _scale(column, published)
    names = [_name(one, published.grain) for one in across]
    cells = [[values.get((one, group)) for one in across] for group in down]
    texts = [
        [
            f"{_name(one, published.grain)}, {_name(group)}: "
            + (_escaped(format.value(column, values.get((one, group)))) if (one, group) in values else "not shown")
            for one in across
        ]
        for group in down
    ]
    scale = [list(one) for one in SCALE]
    made = go.Figure(
        go.Heatmap(
            x=list(range(len(across))),
            y=list(range(len(down))),
            z=[[value / divisor if isinstance(value, int | float) else None for value in row] for row in cells],
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=scale,
            **_colored(column, published, divisor),
            xgap=2,
            ygap=2,
            hoverongaps=False,
            colorbar={"thickness": 12, "outlinewidth": 0, "len": 1, "title": {"side": "right", "text":
                      _escaped(format.axis(block.y[0], published.unit)) + unit}, **_ticks(column, published)},
        )
    )  # fmt: skip
    every = max(1, math.ceil(len(across) / 12))
    made.update_layout(
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=110 + BAR_HEIGHT * len(down),
        hovermode="closest",
        meta={"scales": [scale, [list(one) for one in SCALE_DARK]]},
        xaxis={
            "automargin": True, "showgrid": False, "zeroline": False, "tickvals": list(range(len(across)))[::every],
            "ticktext": names[::every], "title": {"text": _axis_name(published, 0)},
        },
        yaxis={
            "automargin": True, "showgrid": False, "zeroline": False, "autorange": "reversed",
            "tickvals": list(range(len(down))), "ticktext": [_name(group) for group in down],
        },
    )  # fmt: skip
    if len(across) * len(down) <= MOST_WRITTEN and len(across) <= 12:
        # Where there is room, each cell says its number; the script leaves them out on narrow screens.
        made.update_traces(text=[[_short(column, value) for value in row] for row in cells], texttemplate="%{text}")
    return made


MOST_WRITTEN = 120


def _colored(column: Column, published: Published, divisor: float) -> dict[str, float]:
    """Amounts are coloured from nothing on; what is compared (shares, durations) from its smallest value."""
    if column.kind != "number" or published.measures[0].name not in ("count", "people"):
        return {}
    return {"zmin": 0, "zmax": _largest(published) / divisor}


def _short(column: Column, value: Value) -> str:
    return "" if value is None else _escaped(format.value(column, value))


def _axis_name(published: Published, number: int) -> str:
    column = published.dimensions[number]
    return "" if column.kind == "time" else _escaped(format.sentence(format.words(column.name)))


def _order(published: Published) -> list[Value]:
    """Categories in the published order."""
    return list(dict.fromkeys(row[0] for row in published.rows))


def area(block: Block, published: Published) -> go.Figure:
    """A measure over time, groups stacked."""
    made = _over_time(block, published, stackgroup="one")
    made.update_traces(mode="lines", line={"width": 0.5})
    # A stack is a gap only where nothing of it is shown; a group that is not there adds nothing.
    shown = {row[0] for row in published.rows if row[-1] is not None}
    for trace in made.data:
        trace.y = [
            0 if value is None and time in shown else value
            for time, value in zip(_periods(published), trace.y, strict=True)
        ]
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
    divisor, unit = _scale(published.measures[0], published)
    made = go.Figure()
    color = _colors(published)
    depth = len(published.dimensions)
    stacked = depth == 1 or _mode(block) == "stack"
    # Bars stand at numbers, which names label: two names may be cut to the same text.
    numbered = {place: number for number, place in enumerate(dict.fromkeys(row[0] for row in published.rows))}
    for group, points in _series(published).items():
        values = [value / divisor if isinstance(value, int | float) else None for _, value in points]
        if upright:
            places = {"x": [f"{time:%Y-%m-%dT%H:%M:%S}" for time, _ in points], "y": values}
        else:
            places = {"x": values, "y": [numbered[place] for place, _ in points], "orientation": "h"}
        made.add_trace(
            go.Bar(
                **places,
                name=_name(group) if group is not None else "",
                marker={"color": color[group]},
                text=[_escaped(format.value(published.measures[0], value)) for _, value in points],
                textposition="none" if upright or published.interval else "auto" if stacked else "outside",
                textangle=0,
                constraintext="none" if not stacked else "inside",
                cliponaxis=False,
                **_whiskers(published, group, depth, divisor, upright),
                **_hover(published, group, points, None if upright else [place for place, _ in points]),
            )
        )
    if upright:
        layout = _layout(published, block, "yaxis", xaxis=_time_axis(published, _periods(published)))
    else:
        # Beside each other, each group keeps its place where another has no bar.
        lines = len(numbered) if stacked else len(numbered) * (len(published.groups) * 0.55 + 0.3)
        layout = _layout(published, block, "xaxis", height=90 + int(BAR_HEIGHT * lines))
        layout["yaxis"] = {
            "automargin": True,
            "autorange": "reversed",
            "tickvals": list(numbered.values()),
            "ticktext": [_name(place, published.grain) for place in numbered],
        }
    made.update_layout(**layout, barmode=_mode(block), bargap=0.25)
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
