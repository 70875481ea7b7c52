"""Numbers, shares, durations and times as people read them. All text here is plain: escape it in the output."""

import math
import re
import unicodedata
from datetime import datetime

from reports.blocks.kinds import Measure
from reports.blocks.published import Column, Share, Value

__all__ = [
    "axis",
    "between",
    "brief",
    "change",
    "heading",
    "inert",
    "label",
    "plural",
    "sentence",
    "some",
    "unbroken",
    "value",
    "words",
]

PERIODS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%b %Y", "year": "%Y"}
OF = {"sum": "Sum of", "mean": "Mean", "gmean": "Geometric mean of", "p50": "Median"} | {
    f"p{n}": f"{n}th percentile of" for n in (10, 25, 75, 90, 95, 99)
}
LONGEST = 80
NOTHING = "\u2013"


def inert(text: str, longest: int = LONGEST) -> str:
    """A text that cannot reorder or hide the text around it, cut to the length of a label."""
    # Control and format characters (bidi overrides, zero width) are invisible and change the text around them.
    seen = "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not _joins(text, at) else one
        for at, one in enumerate(text)
    )
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"


def brief(error: BaseException) -> str:
    """The message of an exception on one line: libraries append backtraces and colors."""
    said = re.split(r"\n\s*(?:0: |Debug source|stack backtrace)", re.sub(r"\x1b\[[0-9;]*m", "", str(error)))[0]
    return inert(" ".join(said.replace("\u21b3", " ").split()), 300) or type(error).__name__


def unbroken(text: str) -> str:
    """The text in which no line begins with the percent sign of a number."""
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)


def plural(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 session", "0 sessions", "2,000 people" (`many` is "people")."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def some(number: int, one: str, many: str | None = None) -> str:
    """Whether there are any, for public places that must not show the number: "some sessions"."""
    return f"{'some' if number else 'no'} {many or one + 's'}"


def _joins(text: str, at: int) -> bool:
    """Whether a joiner or non-joiner is between two characters that it shapes: emoji, or letters as in Persian."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return text[at] in "\u200c\u200d" and len(around) == 2 and not any(one.isascii() or one.isspace() for one in around)


def words(name: str) -> str:
    """A column's name in words: "failure_reason", "containerCount" → "failure reason", "container count"."""
    if "_" in name:
        spaced = name.replace("_", " ").strip()
    else:
        parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+", name)
        spaced = " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)
    spaced = spaced.removesuffix(" ms")
    return {"os": "operating system", "ci": "CI", "ci system": "CI system"}.get(spaced, spaced)


def sentence(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def heading(measure: Measure, unit: str) -> str:
    """A measure as the title of a column. `unit` says what is counted: runs, events, spans, rows."""
    if measure.name == "column":
        return sentence(words(measure.column or ""))
    if measure.column is None:
        return {
            "count": unit.capitalize(),
            "people": "People",
            "per_person": f"{unit.capitalize()} per person",
            "share": f"Share of {unit}",
        }[measure.name]
    named = words(measure.column)
    return sentence(named) if measure.name == "share" else f"{OF[measure.name]} {named}"


def axis(measure: Measure, unit: str) -> str:
    """A measure as the title of an axis. The title of the chart says of what it is a share."""
    return f"Share of {unit}" if measure.name == "share" else heading(measure, unit)


def value(column: Column, given: Value) -> str:
    """A published number with three significant digits (whole from 100 on) and its unit."""
    if given is None or (isinstance(given, float) and not math.isfinite(given)):
        return NOTHING
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, datetime):
        return f"{given:%Y-%m-%d %H:%M} UTC"
    if isinstance(given, str):
        return inert(given, len(given))
    if column.kind == "share":
        return _share(given)
    if column.kind == "milliseconds":
        return _duration(given)
    return f"{given:,}" if isinstance(given, int) else _number(given)


def between(column: Column, low: float | None, high: float | None, *, exact: bool = False) -> str:
    """A bin from `low` up to `high`. Without one of them, the bin is open there. `exact` has all digits of both."""
    said = _exactly if exact else value
    if low is None:
        return f"under {said(column, high)}"
    if high is None:
        return f"{said(column, low)} or more"
    if column.kind == "number" and low == int(low) and high == low + 1:
        return f"{int(low):,}"
    return f"{said(column, low)} to {said(column, high)}"


def _exactly(column: Column, given: Value) -> str:
    if not isinstance(given, int | float):
        return value(column, given)
    if column.kind == "share":
        return f"{given * 100:.15g} %"
    return f"{given:.15g} ms" if column.kind == "milliseconds" else f"{given:,.15g}"


def _number(given: float) -> str:
    if given == 0:
        return "0"
    decimals = max(0, min(2 - math.floor(math.log10(abs(given))), 9))
    shown = f"{given:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def change(measure: Measure, column: Column, by: float) -> str:
    """A difference with its sign: in points for a share, in per cent for a geometric mean, else in the unit of its
    column.
    """
    sign = "\N{MINUS SIGN}" if by < 0 else "+"
    if measure.name == "gmean":
        return f"{sign}{_number(round(abs(by) * 100, 1))} %"
    return f"{sign}{abs(by) * 100:.1f} points" if column.kind == "share" else sign + value(column, abs(by))


def _share(given: float) -> str:
    """Never 0 % or 100 % for a share that is only nearly so."""
    if isinstance(given, Share) and not given and given.rounding:
        return f"under {given.rounding * 100:.1f} %" if given.rounding >= 0.001 else "< 0.1 %"
    if 0 < given < 0.001:
        return "< 0.1 %"
    if 0.999 < given < 1:
        return "> 99.9 %"
    return f"{given * 100:.0f} %" if given in (0, 1) else f"{given * 100:.1f} %"


def _duration(milliseconds: float) -> str:
    for limit, unit, name in ((1_000, 1, "ms"), (60_000, 1_000, "s"), (3_600_000, 60_000, "min")):
        if abs(milliseconds) < limit:
            return f"{_number(milliseconds / unit)} {name}"
    return f"{_number(milliseconds / 3_600_000)} h"


def label(given: Value, grain: str | None) -> str:
    """A dimension's value: a category, or the period that begins at a time."""
    if isinstance(given, datetime):
        if grain == "quarter":
            return f"{given:%Y} Q{(given.month + 2) // 3}"
        return given.strftime(PERIODS.get(grain or "", "%Y-%m-%d %H:%M"))
    return inert(NOTHING if given is None else str(given))
