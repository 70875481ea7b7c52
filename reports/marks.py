"""`annotate:` draws dated things (releases, or a query of one's own) as lines across an axis of time."""

import html
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import duckdb

from reports import format
from reports.published import Published
from reports.sandbox import QueryError
from reports.warehouse import describe, quote

__all__ = ["across"]

Mark = tuple[datetime, str]
# More lines than this would hide what they are drawn across: the newest are kept.
MOST = 24
# More than this are a list that nobody reads.
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
    """Draws them across a figure, if there is one, and says them in words, as HTML. Raises `QueryError`."""
    marks = _read(cursor, relation, relations)
    if plot is None:
        return ""
    marks = _shown(marks, published)
    _draw(plot, marks)
    each = [f"{label} on {when:%Y-%m-%d}" for when, label in marks]
    said = "; ".join(each) if len(each) <= MOST_SAID else f"{len(each)}, from {each[0]} to {each[-1]}"
    return f'<p class="ab-note ab-marks">Marked: {html.escape(said)}</p>' if said else ""


def _read(cursor: duckdb.DuckDBPyConnection, relation: str, relations: Mapping[str, str]) -> list[Mark]:
    """Dates and labels of a relation that is not people's, by date."""
    name = relation.lower()
    if name not in relations:
        there = ", ".join(one for one in relations if not relations[one])
        raise QueryError(f'nothing is named "{relation}"; there are {there}')
    if relations[name]:
        raise QueryError(
            f'"{relation}" is people\'s rows, and a mark would be a row of one; use releases, or a query of it'
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
    return [(_time(when), format.inert(text, LONGEST)) for when, text in rows]


def _time(when: date) -> datetime:
    return when if isinstance(when, datetime) else datetime.combine(when, time())


def _shown(marks: Sequence[Mark], published: Published) -> list[Mark]:
    """Those within the time that is drawn."""
    times = [row[0] for row in published.rows if isinstance(row[0], datetime)]
    return [mark for mark in marks if min(times) <= mark[0] <= max(times)][-MOST:] if times else []


def _draw(plot: dict[str, Any], marks: Sequence[Mark]) -> None:
    """Puts the marks on a figure, which must have an axis of time."""
    layout = plot["layout"]
    if layout.get("xaxis", {}).get("type") != "date":
        raise QueryError("annotate draws on an axis of time; put a time on x, or remove it")
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
