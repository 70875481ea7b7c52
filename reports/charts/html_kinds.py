"""Kinds that are HTML: a card with one number, a funnel, a retention triangle, findings, each from published cells."""

import html
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from reports.blocks import format
from reports.blocks.block import Block
from reports.blocks.published import Column, Published, Share, Value
from reports.charts import axes

__all__ = ["bar", "findings", "funnel", "number", "retention", "trend"]

SPARK_WIDTH, SPARK_HEIGHT = 120, 28


def number(block: Block, published: Published) -> str:
    """A number. Over time: the last period, its difference from the one before, and a line of all periods."""
    column, depth = published.measures[0], len(published.dimensions)
    value = published.rows[-1][depth]
    shown = html.escape(format.value(column, value))
    if isinstance(value, int | float):
        # The unit stays on the line of the number; "under" may be on the line above.
        shown = shown.replace(" ", "\N{NO-BREAK SPACE}").replace("under\N{NO-BREAK SPACE}", "under ")
    if isinstance(value, datetime):
        shown = f'<time datetime="{value:%Y-%m-%dT%H:%M:%SZ}">{value:%Y-%m-%d %H:%M} UTC</time>'
    made = f'<p class="ab-value">{shown}</p>'
    if published.interval:
        ends = published.rows[-1][depth + 1 : depth + 3]
        between = html.escape(" to ".join(format.value(column, end) for end in ends))
        made += f'<p class="ab-change">95 % interval: {between}</p>'
    if depth:
        period = f"{published.grain} of {format.label(published.rows[-1][0], published.grain)}"
        line = sparkline([row[1] for row in published.rows])
        made += f'<p class="ab-change">{_change(published)} <span>{html.escape(period)}</span></p>{line}'
    return made


def _change(published: Published) -> str:
    """The direction and size of the change from the period before to the last one."""
    places = [row for row in published.rows if isinstance(row[1], int | float)]
    grain = published.grain
    if len(places) < 2 or places[-1] is not published.rows[-1] or published.partial:
        return "nothing to compare with"
    then, now = places[-2][1], places[-1][1]
    assert isinstance(then, int | float)
    assert isinstance(now, int | float)
    if published.measures[0].kind == "share":
        by = f"{abs(now - then) * 100:.1f} points"
    else:
        by = f"{abs(now / then - 1) * 100:.1f} %" if then else "from nothing"
    before = f'<span class="ab-whole">{html.escape(format.label(places[-2][0], grain))}</span>'
    if abs(now - then) <= _rounding(then, published) + _rounding(now, published) or by.startswith("0.0 "):
        return f"no change from {before}"
    mark, word = ("▲", "more") if now > then else ("▼", "less")
    return f'<span aria-hidden="true">{mark}</span> {by} {word} than {before};'


def _rounding(value: float, published: Published) -> float:
    """Slightly more than rounding may have moved a value. A smaller difference is no change."""
    if not published.rounded:
        return 0.0
    if isinstance(value, Share):
        return (1 + value) * value.rounding
    if isinstance(value, int):
        return published.rounded / 2
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 1) * 1.01 if value else 0.0


def sparkline(given: Sequence[Value]) -> str:
    """Values as a line without axes. It begins at zero, like the axis of a chart. A hidden value is a gap."""
    values = [value if isinstance(value, int | float) else None for value in given]
    largest = max((value for value in values if value is not None), default=0)
    if len(values) < 3 or largest <= 0:
        return ""
    paths: list[list[str]] = [[]]
    end = ""
    for place, value in enumerate(values):
        if value is None:
            paths.append([])
            continue
        x = place / (len(values) - 1) * (SPARK_WIDTH - 6) + 3
        y = SPARK_HEIGHT - 3 - max(value, 0) / largest * (SPARK_HEIGHT - 6)
        paths[-1].append(f"{x:.1f},{y:.1f}")
        end = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"></circle>'
    drawn = "".join(f'<polyline points="{" ".join(points)}"></polyline>' for points in paths if len(points) > 1)
    return (
        f'<svg class="ab-spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" aria-hidden="true" focusable="false">'
        f"{drawn}{end}</svg>"
    )


def trend(published: Published) -> dict[tuple[Value, ...], str]:
    """The trend cell of each row, by the row's dimensions."""
    if published.trend is None or published.trend.empty:
        return {}
    drawn, depth = published.trend.drawn, len(published.dimensions)
    values = {row[: depth + 1]: row[depth + 1] for row in drawn.rows}
    made = {}
    for key in (row[:depth] for row in published.rows):
        line = [values.get((time, *key)) for time in axes.periods(drawn)]
        ends = [value for value in line if isinstance(value, int | float)]
        said = [format.value(drawn.measures[0], end) for end in (*ends[:1], *ends[1:][-1:])] or [format.NOTHING]
        # Sorted by how much it grew.
        grew = f"{ends[-1] / ends[0]:.4f}" if ends and ends[0] else ""
        spark, words = sparkline(line), html.escape(" to ".join(said))
        made[key] = f'<td class="ab-trend" data-sort="{grew}">{spark}<span>{words}</span></td>'
    return made


def funnel(block: Block, published: Published, title: str) -> str:
    """One row for each step: a bar of the people who reached it, and their share."""
    counted = "People" if published.measures[0].name == "people" else format.sentence(published.unit)
    head = f'<th scope="col">Step</th><th scope="col">{html.escape(counted)}</th>' + "".join(
        f'<th scope="col" class="ab-right">{name}</th>' for name in ("Of the first", "Of the step before")
    )
    rows: list[str] = []
    for step, number, of_all, of_before in published.rows:
        part = of_all if isinstance(of_all, float) else 0
        rows.append(
            f'<tr><th scope="row">{html.escape(format.label(step, None))}</th>'
            f"<td>{bar(part)}<span>{html.escape(format.value(published.measures[0], number))}</span></td>"
            f'<td class="ab-right">{_share(published.measures[1], of_all)}</td>'
            f'<td class="ab-right">{_share(published.measures[2], of_before) if rows else format.NOTHING}</td></tr>'
        )
    return _table("ab-funnel", title, head, "".join(rows))


def findings(block: Block, published: Published) -> str:
    """The findings of a scan, one on each line."""
    if not published.rows:
        return (
            f'<p class="ab-empty">Nothing stands out: of {published.compared:,} comparisons, none is significant.</p>'
        )
    lines = []
    for row in published.rows:
        _, attribute, category, value, others, difference, low, high, people = (
            html.escape(format.label(one, None)) for one in row
        )
        name = f'<a data-column="{attribute.lower()}" data-value="{category}">{category}</a>'
        standing = f", {format.plural(int(people), 'person', 'people')}" if row[-1] else ""
        lines.append(
            f"<li><strong>{name}</strong> <span>{html.escape(format.words(str(row[1])))}</span><br>"
            f"{html.escape(format.sentence(format.words(str(row[0]))))}: {value}, all others {others}: "
            f"<strong>{difference}</strong> ({low} to {high}{standing})</li>"
        )
    return f'<ol class="ab-findings">{"".join(lines)}</ol>'


def _share(column: Column, value: Value) -> str:
    return html.escape(format.value(column, value))


def bar(part: float) -> str:
    """A bar in a cell, hidden from screen readers, because the number is beside it."""
    return f'<span class="ab-bar" aria-hidden="true" style="--part:{min(max(part, 0), 1):.4f}"></span>'


def retention(block: Block, published: Published, title: str) -> str:
    """A row for each first period and a column for each later one. A deeper colour means that more people came back."""
    grain = published.grain or "month"
    cohorts: dict[Value, dict[Any, tuple[Value, ...]]] = {}
    for row in published.rows:
        cohorts.setdefault(row[0], {})[row[1]] = row
    since = range(max(int(str(row[1])) for row in published.rows) + 1)
    head = '<th scope="col">First used</th><th scope="col" class="ab-right">People</th>' + "".join(
        f'<th scope="col" class="ab-right"><span class="ab-hidden">{grain} </span>{number}</th>' for number in since[1:]
    )
    rows = []
    for began, cells in cohorts.items():
        size = next(iter(cells.values()))[4]
        made = [f'<th scope="row">{html.escape(format.label(began, grain))}</th><td class="ab-right">{size:,}</td>']
        last = max(cells)
        for number in since[1:]:
            cell = cells.get(number)
            share = cell[3] if cell else None
            if isinstance(share, float):
                shown = (
                    f"{share * 100:.0f} %" if 0.005 <= share <= 0.995 else format.value(published.measures[1], share)
                )
                made.append(f'<td class="ab-heat" style="--part:{share:.4f}">{html.escape(shown)}</td>')
            else:
                made.append(f'<td class="ab-blank">{format.NOTHING if number <= last else ""}</td>')
        rows.append(f"<tr>{''.join(made)}</tr>")
    return _table("ab-retention", title, head, "".join(rows))


def _table(kind: str, title: str, head: str, rows: str) -> str:
    return (
        f'<div class="ab-table" tabindex="0" role="region" aria-label="{html.escape(title)}">'
        f'<table class="ab-cells {kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
