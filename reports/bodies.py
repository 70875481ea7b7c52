"""Kinds that are HTML: a card with one number, a funnel, a retention triangle, each a function from published cells."""

import html
from datetime import datetime
from typing import Any

from reports import format
from reports.block import Block
from reports.published import Column, Published, Value

__all__ = ["funnel", "number", "retention"]

SPARK_WIDTH, SPARK_HEIGHT = 120, 28


def number(block: Block, published: Published) -> str:
    """A number; over time the last period's, how it differs from the one before, and a line of all."""
    column, depth = published.measures[0], len(published.dimensions)
    value = published.rows[-1][depth]
    shown = html.escape(format.value(column, value))
    if isinstance(value, int | float):
        shown = shown.replace(" ", "\N{NO-BREAK SPACE}")  # its unit stays on its line
    if isinstance(value, datetime):
        shown = f'<time datetime="{value:%Y-%m-%dT%H:%M:%SZ}">{value:%Y-%m-%d %H:%M} UTC</time>'
    made = f'<p class="ab-value">{shown}</p>'
    if published.interval:
        ends = published.rows[-1][depth + 1 :]
        between = html.escape(" to ".join(format.value(column, end) for end in ends))
        made += f'<p class="ab-change">95 % interval: {between}</p>'
    if depth:
        period = f"{published.grain} of {format.label(published.rows[-1][0], published.grain)}"
        made += (
            f'<p class="ab-change">{_change(published)} <span>{html.escape(period)}</span></p>{_sparkline(published)}'
        )
    return made


def _change(published: Published) -> str:
    """In which direction, and by how much, the last period differs from the one before it."""
    places = [row for row in published.rows if isinstance(row[1], int | float)]
    grain = published.grain
    if len(places) < 2 or places[-1] is not published.rows[-1] or published.partial:
        return "nothing to compare with"
    then, now = places[-2][1], places[-1][1]
    assert isinstance(then, int | float)
    assert isinstance(now, int | float)
    if published.measures[0].kind == "share":
        by = f"{abs(now - then) * 100:.1f} points"
        same = by == "0.0 points"
    else:
        by = f"{abs(now / then - 1) * 100:.1f} %" if then else "from nothing"
        same = by == "0.0 %" or now == then
    before = html.escape(format.label(places[-2][0], grain))
    if same:
        return f"the same as in {before}"
    mark, word = ("▲", "more") if now > then else ("▼", "less")
    return f'<span aria-hidden="true">{mark}</span> {by} {word} than {before};'


def _sparkline(published: Published) -> str:
    """All periods as a line without axes. It begins at nothing, as a chart's axis does; a gap is a gap."""
    values = [row[1] if isinstance(row[1], int | float) else None for row in published.rows]
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


def funnel(block: Block, published: Published, title: str) -> str:
    """A row a step: a bar of those who got there, and what part that is."""
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


def _share(column: Column, value: Value) -> str:
    return html.escape(format.value(column, value))


def bar(part: float) -> str:
    """A bar as long as a part of its cell, for the eye only: the number stands beside it."""
    return f'<span class="ab-bar" aria-hidden="true" style="--part:{min(max(part, 0), 1):.4f}"></span>'


def retention(block: Block, published: Published, title: str) -> str:
    """A row for each first period, a column for each period since: the deeper the colour, the more came back."""
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
