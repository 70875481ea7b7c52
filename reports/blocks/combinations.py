"""Checks which options of a chart block fit together."""

from collections.abc import Callable, Collection
from typing import Any

from reports.blocks.kinds import (
    ADD_UP,
    BY_SEVERAL,
    ESTIMATED,
    MOST_DIMENSIONS,
    MOST_SCANNED,
    NEEDS,
    ONLY,
    PERCENTILES,
    SEVERAL,
    TYPES,
    USUAL,
    Measure,
)
from reports.blocks.options import read_measure

__all__ = ["Instead", "together"]

# What to write instead of a word under `y`, by the name of the data and the word. None if nothing is known.
Instead = Callable[[str, str], str | None]

MISSING = {
    "type": "`type: bar`, or another kind",
    "data": "`data: sessions`, or the name of a query above",
    "y": "`y: people`, or another measure",
}


def together(
    read: dict[str, Any], given: Collection[str], lines: dict[str, int], instead: Instead
) -> list[tuple[int, str]]:
    """Faults as (line, message), of the options in `read`, which are valid by themselves. `given` are the names of all
    options.
    """
    faults: list[tuple[int, str]] = []

    def fault(option: str, message: str) -> None:
        faults.append((lines.get(option, 0), message))

    kind, people = str(read.get("type")), read.get("people", True)
    for key in ("type", "data", "y"):
        if key not in given and not (key == "y" and (kind in USUAL or (kind == "table" and not people))):
            fault(key, f"{key} is missing; add {MISSING[key]}")
    if kind in TYPES:
        for key, kinds in NEEDS.items():
            if kind in kinds and key not in given:
                fault("type", f"a {kind} needs {key}; add `{key}: {'' if key == 'steps' else 'column'}`")
        for key, kinds in ONLY.items():
            if key in given and kind not in kinds:
                remedy = "call it rows" if (kind, key) == ("heatmap", "color") else "remove it, or use type: table"
                fault(key, f"a {kind} has no {key}; {remedy}")
    x = read.get("x", ())
    if len(x) > 1 and kind not in BY_SEVERAL:
        fault("x", f"a {kind} has one x; keep one, or use type: table")
    elif kind == "scan":
        if len(x) > MOST_SCANNED:
            fault("x", f"a scan looks through up to {MOST_SCANNED} columns; remove the others")
    elif len(x) > MOST_DIMENSIONS or (len(x) > 1 and "color" in given):
        fault("x", f"a table groups by up to {MOST_DIMENSIONS} columns, all named in x; remove the others")
    if "color" in given and "x" not in given and kind == "table":
        fault("color", "color needs x; call it x")
    if "trend" in given and "x" not in given:
        fault("trend", "a trend needs rows; add `x: column`")
    if read.get("panels"):
        if "color" not in given:
            fault("panels", "panels need groups; add `color: column`")
        for key in ("annotate", "interval"):
            if key in given:
                fault(key, f"panels have no {key}; remove one of the two")
    for key in ("color", "rows", "trend"):
        if key in read and read[key].lower() in [name.lower() for name in x]:
            fault(key, f"{key} is x again; remove it")
    if len({name.lower() for name in x}) < len(x):
        fault("x", "x names a column twice; keep one")
    measures: list[Measure] = []
    for text in read.get("y", ()):
        try:
            measures.append(read_measure(text, people))
        except ValueError as error:
            fault("y", f"y: {instead(read.get('data', ''), text) or error}")
    for twice in sorted({one for one in measures if measures.count(one) > 1}, key=str):
        fault("y", f"y: {twice} is given twice; keep one")
    if len(read.get("y", ())) > 1 and kind in TYPES and kind not in SEVERAL:
        verb = "shows" if kind in ("number", "funnel", "retention") else "draws"
        fault("y", f"a {kind} {verb} one measure; keep one, or use type: table")
    filters = [name.lower() for name in read.get("filter", ((), None))[0]]
    for name in sorted({name for name in filters if filters.count(name) > 1}):
        fault("filter", f"filter names {name} twice; keep one")
    shown = [name.lower() for name in (*x, read.get("color", ""), read.get("rows", ""))]
    for name in [name for name in filters if name in shown]:
        fault("filter", f"{name} is an axis already; remove it from filter")
    if people:
        _measured(kind, read, measures, fault)
    else:
        for key in ("grain", "limit", "interval", "filter", "order", "trend"):
            if key in given:
                fault(key, f"{key} is for rows that are counted, but `people: none` shows them unchanged; remove it")
        if kind == "number" and "x" in given:
            fault("x", "a number of `people: none` has no x; remove it, or use type: table")
    return faults


def _measured(kind: str, read: dict[str, Any], measures: list[Measure], fault: Callable[[str, str], None]) -> None:
    """Faults of the measures, for the kind that shows them."""
    bare_share = Measure("share") in measures
    adds_up = all(measure.name in ADD_UP or measure == Measure("share") for measure in measures)
    if kind == "area" and "color" in read and not adds_up:
        fault("y", "an area stacks measures that add up: count, share or sum(c); use type: line")
    if read.get("bars") == "stacked" and not adds_up:
        fault("bars", "bars stack measures that add up: count, share or sum(c); remove it")
    if kind == "share" and measures not in ([], [Measure("share")]):
        fault("y", "a share draws each group's part of all rows; remove y")
    if kind == "histogram" and any(str(measure) not in ("count", "people", "share") for measure in measures):
        fault("y", "a histogram counts count, people or share; use one of them")
    if kind == "funnel" and any(str(measure) not in ("count", "people") for measure in measures):
        fault("y", "a funnel counts people, or with `y: count` rows; use one of them")
    if kind == "retention" and any(str(measure) != "people" for measure in measures):
        fault("y", "retention counts people; remove y")
    if kind == "band" and measures:
        parts = [PERCENTILES.get(measure.name, 0) for measure in measures]
        if {measure.name for measure in measures} - PERCENTILES.keys() or len({one.column for one in measures}) > 1:
            fault("y", "a band draws percentiles of one column; use y: p50(c), or y: [p10(c), p50(c), p90(c)]")
        elif len(parts) not in (1, 3) or parts != sorted(parts) or (len(parts) == 1 and parts != [0.5]):
            fault("y", "a band has a lower edge, a middle and an upper edge, as in y: [p10(c), p50(c), p90(c)]")
    if kind in ("number", "heatmap") and bare_share:
        fault("y", f"a {kind} has no groups; use share(c), of a true or false column c")
    if kind == "scan" and (bare_share or any(measure.name not in ESTIMATED for measure in measures)):
        fault("y", "a scan compares share(c), mean(c) or gmean(c) of a column c; use these")
    estimated = len(measures) == 1 and measures[0].name in ESTIMATED and not bare_share
    if read.get("interval") and not estimated:
        fault("interval", "an interval is for one share(c), mean(c) or gmean(c); remove it")
