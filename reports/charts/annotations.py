"""`annotate:` draws dates (of releases, or from a query of the page) as lines across an axis of time."""

import html
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import duckdb

from reports.blocks import format
from reports.blocks.published import Published
from reports.charts.html import leading
from reports.query.quoting import describe, quote
from reports.query.sandbox import QueryError

__all__ = ["across"]

Mark = tuple[datetime, str]
# More lines than this would hide the chart, so only the newest are drawn.
MOST = 24
# Nobody reads a longer list.
MOST_SAID = 8
LONGEST = 24
LABELS = ("label", "version")


def across(
    cursor: duckdb.DuckDBPyConnection,
    relation: str,
    relations: Mapping[str, str],
    published: Published,
    plot: dict[str, Any] | None,
) -> str:
    """Draws the annotations across a figure, if there is one, and returns them in words, as HTML. Raises
    `QueryError`. A mark with a page links to it. The script puts the same link into the figure.
    """
    column, marks = _read(cursor, relation, relations)
    if plot is None:
        return ""
    marks = _shown(marks, published)
    _draw(plot, marks)
    if not marks:
        return ""
    each = [f"{leading(column, label)} on {when:%Y-%m-%d}" for when, label in marks]
    few = len(each) <= MOST_SAID
    said = "; ".join(each) if few else f"{len(each)}, from {each[0]} to {each[-1]}"
    rest = "" if few else f'<template class="ab-marks">{"".join(each)}</template>'
    return f'<p class="ab-note ab-marks">Marked: {said}</p>{rest}'


def _read(cursor: duckdb.DuckDBPyConnection, relation: str, relations: Mapping[str, str]) -> tuple[str, list[Mark]]:
    """Dates and labels of a relation without people's rows, by date, and the column that the labels are values of."""
    name = relation.lower()
    if name not in relations:
        there = ", ".join(one for one in relations if not relations[one])
        raise QueryError(f'nothing is named "{relation}"; there are {there}')
    if relations[name]:
        raise QueryError(
            f"\"{relation}\" has people's rows, and a mark would show a person's row; use releases, or a query of it"
        )
    columns = describe(cursor, quote(name))
    times = [column for column, kind in columns.items() if kind == "DATE" or kind.startswith("TIMESTAMP")]
    texts = [column for column, kind in columns.items() if kind == "VARCHAR"]
    if not times or not texts:
        lacks = "time" if not times else "text to write beside it"
        raise QueryError(f'"{relation}" has no {lacks}; SELECT a time and a label')
    label = next((one for known in LABELS for one in texts if one.lower() == known), texts[0])
    rows = cursor.execute(
        f"SELECT {quote(times[0])}, {quote(label)} FROM {quote(name)} "
        f"WHERE {quote(times[0])} IS NOT NULL AND {quote(label)} IS NOT NULL ORDER BY ALL"
    ).fetchall()
    marks = [(_time(when), format.inert(text, LONGEST)) for when, text in rows]
    # The column of sessions with the version of a release.
    return "application_version" if name == "releases" else label.lower(), marks


def _time(when: date) -> datetime:
    return when if isinstance(when, datetime) else datetime.combine(when, time())


def _shown(marks: Sequence[Mark], published: Published) -> list[Mark]:
    """The marks within the time that is drawn."""
    times = [row[0] for row in published.rows if isinstance(row[0], datetime)]
    return [mark for mark in marks if min(times) <= mark[0] <= max(times)][-MOST:] if times else []


def _draw(plot: dict[str, Any], marks: Sequence[Mark]) -> None:
    """Puts the marks on a figure, which must have an axis of time."""
    layout = plot["layout"]
    if layout.get("xaxis", {}).get("type") != "date":
        raise QueryError("annotate draws on an axis of time; put a time on x, or remove annotate")
    lines, texts = [], []
    for when, label in marks:
        at = f"{when:%Y-%m-%dT%H:%M:%S}"
        lines.append({
            "type": "line", "xref": "x", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1,
            "layer": "below", "opacity": 0.5, "line": {"dash": "dot", "width": 1},
        })  # fmt: skip
        texts.append({
            "text": html.escape(label, quote=False), "xref": "x", "x": at, "yref": "paper", "y": 1, "yanchor": "bottom",
            "showarrow": False, "font": {"size": 10},
        })  # fmt: skip
    layout["shapes"] = [*layout.get("shapes", ()), *lines]
    layout["annotations"] = [*layout.get("annotations", ()), *texts]
    if texts:
        # Room for them, below the legend.
        layout["margin"] = {**layout.get("margin", {}), "t": 24}
        layout["legend"] = {**layout.get("legend", {}), "y": 1.1}
