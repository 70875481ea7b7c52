"""The order of categories: from the block, from their names, or by size."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from reports.query.macros import version_key

__all__ = ["ordered"]

VERSION = re.compile(r"\d+(\.\d+)+([-+].*)?")
WEEK = re.compile(r"(\d{4})-?W(\d{1,2})(?:-?(\d))?")
RUNS = (
    ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
     "december"),
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ("none", "tiny", "small", "medium", "large", "huge"),
    ("xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl"),
    ("never", "rarely", "sometimes", "often", "always"),
)  # fmt: skip
# Names that begin or end at a number: `<10`, `10-99`, `1 to 9`, `100+`, `under 5 s`, `1 MB or more`.
NUMBER = r"(\d[\d,_]*(?:\.\d+)?)\s*([A-Za-z%]*)"
CLASS = re.compile(
    rf"(?P<sign><=?|>=?|≤|≥|under|over|up to|less than|more than|at least)?\s*{NUMBER}"
    rf"(?:\s*(?:-|\N{{EN DASH}}|\N{{EM DASH}}|to|\.\.)\s*{NUMBER})?\s*(?:\+|or more|and more|or less)?"
)
UNITS = {
    "k": 1e3, "m": 1e6, "b": 1, "kb": 1e3, "kib": 1024, "mb": 1e6, "mib": 2**20, "gb": 1e9, "gib": 2**30, "tb": 1e12,
    "us": 1e-3, "ms": 1, "s": 1e3, "sec": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7, "day": 8.64e7,
    "days": 8.64e7, "": 1, "%": 1,
}  # fmt: skip
BELOW, ABOVE = ("<", "<=", "≤", "under", "up to", "less than"), (">", "over", "more than")


def ordered(labels: Sequence[str], order: str | tuple[str, ...] | None) -> list[str]:
    """The labels in the order that a block gives: "value" (unchanged), "label", or a list, whose labels come first."""
    if isinstance(order, tuple):
        return [*(one for one in order if one in labels), *(one for one in labels if one not in order)]
    if order == "value":
        return list(labels)
    if order == "label":
        return sorted(labels, key=lambda one: (one.casefold(), one))
    for key in (_run, _version, _week, _class):
        found = key(labels)
        if found:
            return sorted(labels, key=lambda one, found=found: (found(one), one))  # type: ignore[misc]
    return list(labels)


Key = Callable[[str], Any]


def _run(labels: Sequence[str]) -> Key | None:
    """Weekdays, months, sizes."""
    names = [label.casefold() for label in labels]
    run = next((one for one in RUNS if len(names) > 1 and set(names) <= set(one)), None)
    return None if run is None else lambda label: run.index(label.casefold())


def _version(labels: Sequence[str]) -> Key | None:
    return version_key if all(VERSION.match(label) for label in labels) else None


def _week(labels: Sequence[str]) -> Key | None:
    if not all(WEEK.fullmatch(label) for label in labels):
        return None
    return lambda label: [int(part or 0) for part in WEEK.fullmatch(label).groups()]  # type: ignore[union-attr]


def _class(labels: Sequence[str]) -> Key | None:
    """Size classes, by their lower end."""
    found = {label: CLASS.fullmatch(label.strip().casefold()) for label in labels}
    starts: dict[str, tuple[float, int]] = {}
    for label, match in found.items():
        if match is None:
            return None
        sign, number, unit, _, other = match.groups()
        # In `1-5 MB` the unit is at the end.
        unit = unit or other or ""
        if unit not in UNITS:
            return None
        start = float(re.sub("[,_]", "", number)) * UNITS[unit]
        starts[label] = (start, -1 if sign in BELOW else 1 if sign in ABOVE else 0)
    return starts.__getitem__
