"""Chart kinds of bins and cells: histogram and heat map."""

import math
import re
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from reports import axes, format
from reports.block import Block
from reports.colors import PALETTE
from reports.published import Column, Published, Value

__all__ = ["BAR_HEIGHT", "heatmap", "histogram"]

# From little to much, on light paper and on dark: both ends can be told from the page and from each other.
SCALE = ((0.0, "#DCE9F5"), (0.25, "#9CC4E4"), (0.5, "#4E97CC"), (0.75, "#1C68A8"), (1.0, "#08366B"))
SCALE_DARK = ((0.0, "#1D4468"), (0.25, "#25649A"), (0.5, "#3C86BF"), (0.75, "#7FB8E4"), (1.0, "#D3E9FA"))
BAR_HEIGHT = 34
# Bins, and versions, say by their numbers what lies between two of them.
BIN = re.compile(r"(under )?[\d.]")
# Of a heat map with more cells than this, none says its number.
MOST_WRITTEN = 120


def _said(published: Published, one: Value, values: dict[tuple[Value, ...], Value], group: Value) -> str:
    """What is said of a cell when it is pointed at."""
    if (one, group) not in values:
        return "not shown"
    return axes.told(published, one, format.value(published.measures[0], values[one, group]))


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
        f"{axes.escaped(format.between(column, *ends))}: {axes.escaped(format.value(published.measures[0], value))}"
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
    made.update_layout(**axes.layout(published, block, "yaxis", hovermode="closest", bargap=0, showlegend=False))
    words = axes.escaped(format.sentence(format.words(block.x or "")))
    open_ends = " (open at the ends)" if any(opened for _, _, opened, *_ in bars) else ""
    made.update_xaxes(
        automargin=True, tickangle=0, tickvals=[at for at, _ in ticks], ticktext=[text for _, text in ticks],
        zeroline=False,
        title={"text": words + (", logarithmic" if published.logarithmic else "") + open_ends}, showgrid=False,
        range=[min(left for left, *_ in bars) - 0.3, max(right for _, right, *_ in bars) + 0.3],
    )  # fmt: skip
    for name, value in published.marks:
        if value is not None and known[0] <= float(str(value)) <= known[-1]:
            label = f"{'median' if name == 'p50' else name} {axes.escaped(format.value(column, value))}"
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
        return [(place(value), axes.escaped(format.value(column, value))) for value in known[::every]]
    values: list[float] = []
    decades = math.log10(known[-1] / known[0]) if known[0] > 0 else 1
    if column.kind == "milliseconds":
        values = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 60_000, 180_000, 600_000, 1_800_000, 3_600_000]
        values = [value for value in values if decades < 4 or str(value)[0] in "16"]
    else:
        steps = (1, 2, 5) if decades < 2.5 else (1,)
        values = [step * 10.0**power for power in range(-9, 16) for step in steps]
    return [
        (place(value), axes.escaped(format.value(column, value))) for value in values if known[0] <= value <= known[-1]
    ]


def heatmap(block: Block, published: Published) -> go.Figure:
    """A measure by two columns: the more, the further from the colour of the page. What is not shown is blank."""
    across = axes.periods(published) if published.dimensions[0].kind == "time" else _order(published)
    down = list(published.groups)
    values = {row[:2]: row[2] for row in published.rows}
    column = published.measures[0]
    divisor, unit = axes.scale(column, published)
    names = [axes.named(one, published.grain) for one in across]
    cells = [[values.get((one, group)) for one in across] for group in down]
    texts = [
        [
            f"{axes.named(one, published.grain)}, {axes.named(group)}: " + _said(published, one, values, group)
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
                      axes.escaped(format.axis(block.y[0], published.unit)) + unit}, **axes.ticks(column, published)},
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
            "tickvals": list(range(len(down))), "ticktext": [axes.named(group) for group in down],
        },
    )  # fmt: skip
    if published.dimensions[0].kind != "text" or all(BIN.match(str(one)) for one in across):
        # Of what has an order, a few say what the others are.
        made.update_xaxes(tickangle=0)
    if len(across) * len(down) <= MOST_WRITTEN and len(across) <= 12:
        # Where there is room, each cell says its number; the script leaves them out on narrow screens.
        made.update_traces(text=[[_short(column, value) for value in row] for row in cells], texttemplate="%{text}")
    return made


def _colored(column: Column, published: Published, divisor: float) -> dict[str, float]:
    """Amounts are coloured from nothing on; what is compared (shares, durations) from its smallest value."""
    if column.kind != "number" or published.measures[0].name not in ("count", "people"):
        return {}
    return {"zmin": 0, "zmax": axes.largest(published) / divisor}


def _short(column: Column, value: Value) -> str:
    return "" if value is None else axes.escaped(format.value(column, value))


def _axis_name(published: Published, number: int) -> str:
    column = published.dimensions[number]
    return "" if column.kind == "time" else axes.escaped(format.sentence(format.words(column.name)))


def _order(published: Published) -> list[Value]:
    """Categories in the published order."""
    return list(dict.fromkeys(row[0] for row in published.rows))
