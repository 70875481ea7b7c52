"""Chart kinds of bins and cells: histogram and heat map."""

import math
import re
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from reports.blocks import format
from reports.blocks.block import Block
from reports.blocks.published import OTHER, UNKNOWN, Column, Published, Value
from reports.charts import axes
from reports.charts.colors import PALETTE

__all__ = ["BAR_HEIGHT", "heatmap", "histogram"]

# From small to large, on a light and a dark page. Both ends differ from the page and from each other.
SCALE = ((0.0, "#DCE9F5"), (0.25, "#9CC4E4"), (0.5, "#4E97CC"), (0.75, "#1C68A8"), (1.0, "#08366B"))
SCALE_DARK = ((0.0, "#1D4468"), (0.25, "#25649A"), (0.5, "#3C86BF"), (0.75, "#7FB8E4"), (1.0, "#D3E9FA"))
# From below to above a middle, which is near the page's colour.
DIVERGING = ((0.0, "#8F4700"), (0.25, "#E6A45C"), (0.5, "#F1F0EC"), (0.75, "#4E97CC"), (1.0, "#08366B"))
DIVERGING_DARK = ((0.0, "#FFC98F"), (0.25, "#B3670F"), (0.5, "#33363F"), (0.75, "#2F7CB8"), (1.0, "#CFE8FA"))
BAR_HEIGHT = 34
# For bins and versions, readers can tell from two names what lies between them.
BIN = re.compile(r"(under )?[\d.]")
RANGE = re.compile(r"^under \d|\d.* to \d|\d.* or more$|^-?\d+$")
APART = (OTHER, UNKNOWN)
# The cells of a larger heat map have no numbers.
MOST_WRITTEN = 120
NOT_SHOWN = "not shown"


def _said(published: Published, one: Value, values: dict[tuple[Value, ...], Value], group: Value) -> str:
    """The hover text of a cell."""
    if (one, group) not in values:
        return NOT_SHOWN
    return axes.escaped(format.value(published.measures[0], values[one, group]))


def histogram(block: Block, published: Published) -> go.Figure:
    """A histogram. Bins have equal width on the drawn scale, and the outermost bins are open."""
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
            y=[axes.scaled(value, axes.scale(published.measures[0], published)[0]) for *_, value in bars],
            width=[(right - left) * 0.96 for left, right, *_ in bars],
            marker={"color": PALETTE[0], "opacity": [0.5 if opened else 1 for _, _, opened, *_ in bars]},
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    ticks = _bin_ticks(known, place, published)
    made.layout = axes.layout(published, block, "yaxis", hovermode="closest", bargap=0, showlegend=False)
    words = axes.escaped(format.sentence(format.words(block.x or "")))
    open_ends = " (open at the ends)" if any(opened for _, _, opened, *_ in bars) else ""
    made.layout.xaxis = {
        "automargin": True, "tickangle": 0, "zeroline": False,
        "tickvals": [at for at, _ in ticks], "ticktext": [text for _, text in ticks],
        "title": {"text": words + (", logarithmic" if published.logarithmic else "") + open_ends}, "showgrid": False,
        "range": [min(left for left, *_ in bars) - 0.3, max(right for _, right, *_ in bars) + 0.3],
    }  # fmt: skip
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
        made.layout.margin.t = 42
    return made


def _place(value: Value, otherwise: float, published: Published) -> float:
    """The place of a value on the scale of the bins."""
    if not isinstance(value, int | float):
        return otherwise
    return math.log10(value) if published.logarithmic else float(value)


def _bin_ticks(known: list[float], place: Callable[[Value], float], published: Published) -> list[tuple[float, str]]:
    """A few round values along the bins, with their places."""
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
    """A measure by two columns. Larger values differ more from the colour of the page, and hidden cells have none."""
    timed = published.dimensions[0].kind == "time"
    across = axes.periods(published) if timed else [*published.across] or _order(published)
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
    light, dark = (SCALE, SCALE_DARK) if block.middle is None else (DIVERGING, DIVERGING_DARK)
    scale = [list(one) for one in light]
    hidden = [[None if value is not None else 0 for value in row] for row in cells]
    grid: dict[str, Any] = {
        "x": list(range(len(across))), "y": list(range(len(down))), "customdata": texts,
        "hovertemplate": "%{customdata}<extra></extra>", "xgap": 2, "ygap": 2, "hoverongaps": False,
    }  # fmt: skip
    made = go.Figure(
        go.Heatmap(
            z=[[axes.scaled(value, divisor) for value in row] for row in cells],
            colorscale=scale,
            **grid,
            **_colored(block, published, divisor),
            colorbar={"thickness": 12, "outlinewidth": 0, "len": 1, "title": {"side": "right", "text":
                      axes.escaped(format.axis(block.y[0], published.unit)) + unit}, **axes.ticks(column)},
        )
    )  # fmt: skip
    if any(0 in row for row in hidden):
        # A hidden or empty cell is a cell too. The script gives it a colour of the page.
        made.add_trace(go.Heatmap(z=hidden, name=NOT_SHOWN, showscale=False, **grid))
    every = max(1, math.ceil(len(across) / 12))
    made.layout = {
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "height": 110 + BAR_HEIGHT * len(down),
        "hovermode": "closest",
        "meta": {"scales": [scale, [list(one) for one in dark]]},
        "xaxis": {
            "automargin": True, "showgrid": False, "zeroline": False, "tickvals": list(range(len(across)))[::every],
            "ticktext": names[::every], "title": {"text": _axis_name(published, 0)},
        },
        "yaxis": {
            "automargin": True, "showgrid": False, "zeroline": False,
            # Numbers rise, as on any axis. Names begin at the top.
            "autorange": True if all(RANGE.search(str(group)) for group in down if group not in APART) else "reversed",
            "tickvals": list(range(len(down))), "ticktext": [axes.named(group) for group in down],
        },
    }  # fmt: skip
    if published.dimensions[0].kind != "text" or all(BIN.match(str(one)) for one in across):
        # A few names are enough for something in order.
        made.layout.xaxis.tickangle = 0
    if len(across) * len(down) <= MOST_WRITTEN and len(across) <= 12:
        # If there is room, each cell shows its number. The script removes the numbers on narrow screens.
        made.data[0].text = [[_short(column, value) for value in row] for row in cells]
        made.data[0].texttemplate = "%{text}"
        for trace in made.data[1:]:
            trace.text = [[format.NOTHING if value == 0 else "" for value in row] for row in hidden]
            trace.texttemplate = "%{text}"
    return made


def _colored(block: Block, published: Published, divisor: float) -> dict[str, float]:
    """The colours of amounts begin at zero, and those of shares and durations at the smallest value. With a middle,
    values at equal distances above and below it have equally deep colours.
    """
    column = published.measures[0]
    if block.middle is not None:
        numbers = [row[2] for row in published.rows if isinstance(row[2], int | float)]
        far = max((abs(number - block.middle) for number in numbers), default=0) or 1
        return {f"z{end}": axes.scaled(block.middle + by * far, divisor) for end, by in (("min", -1), ("max", 1))}
    if column.kind != "number" or published.measures[0].name not in ("count", "people"):
        return {}
    return {"zmin": 0, "zmax": axes.scaled(axes.largest(published), divisor)}


def _short(column: Column, value: Value) -> str:
    return "" if value is None else axes.escaped(format.value(column, value))


def _axis_name(published: Published, number: int) -> str:
    column = published.dimensions[number]
    return "" if column.kind == "time" else axes.escaped(format.sentence(format.words(column.name)))


def _order(published: Published) -> list[Value]:
    """Categories in the published order."""
    return list(dict.fromkeys(row[0] for row in published.rows))
