"""The findings of a build, for people, workflows and programs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from reports.blocks.fault import Fault
from reports.blocks.format import plural

__all__ = ["Checked", "annotations", "as_json", "counted", "lines", "summary"]

# How many warnings of one kind are printed.
MOST_ALIKE = 3


@dataclass(frozen=True)
class Checked:
    """The findings: faults stop a build, warnings do not."""

    pages: int
    blocks: int
    faults: Sequence[Fault]
    warnings: Sequence[Fault]


def counted(found: Checked) -> str:
    """How many pages and blocks were checked."""
    return f"{plural(found.pages, 'page')}, {plural(found.blocks, 'block')}"


def lines(found: Checked) -> Iterator[str]:
    """Each fault, then each warning. Many warnings of one kind become one, with the number of similar ones."""
    yield from map(str, found.faults)
    for code, alike in groupby(sorted(found.warnings, key=attrgetter("code")), attrgetter("code")):
        warnings = list(alike)
        if not code or len(warnings) <= MOST_ALIKE:
            yield from (f"{one} (warning)" for one in warnings)
        else:
            yield f"{warnings[0]} (warning, and {len(warnings) - 1} more like it; --json lists them)"


def annotations(found: Checked, title: str) -> Iterator[str]:
    """Workflow commands that put each fault beside its line in a pull request."""
    for kind, faults in (("error", found.faults), ("warning", found.warnings)):
        for fault in faults:
            place = {"file": fault.file, "line": fault.line, "col": fault.column, "title": title}
            marks = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in place.items() if value is not None)
            yield f"::{kind} {marks}::{_escaped(fault.message)}"


def _escaped(text: str, more: str = "") -> str:
    """No text can end the command or begin another."""
    return "".join(f"%{ord(one):02X}" if one in "%\r\n" + more else one for one in text)


def summary(found: Checked, title: str) -> str:
    """The same as Markdown, for the summary of a workflow run. Without pages, nothing was counted."""
    if not found.faults and not found.warnings:
        return f"### {title}\n\n{counted(found)}: no mistakes.\n"
    rows = "".join(
        f"| {kind} | {_cell(f'{fault.file}:{fault.line}')} | {_cell(fault.message)} |\n"
        for kind, faults in (("error", found.faults), ("warning", found.warnings))
        for fault in faults
    )
    head = f"{counted(found)}.\n\n" if found.pages else ""
    return f"### {title}\n\n{head}| | where | what |\n|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table. Characters with a meaning in Markdown or HTML become their number."""
    return re.sub(r"[^\w\s.,:;/()?-]", lambda one: f"&#{ord(one[0])};", " ".join(text.split()))


def as_json(found: Checked) -> str:
    """For programs: counts, and each fault with file, line, column (or null), code and message."""

    def packed(faults: Sequence[Fault]) -> list[Mapping[str, Any]]:
        return [asdict(fault) for fault in faults]

    said = {"pages": found.pages, "blocks": found.blocks}
    return json.dumps(said | {"errors": packed(found.faults), "warnings": packed(found.warnings)}, indent=1)
