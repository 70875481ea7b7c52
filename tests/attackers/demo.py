"""The attackers on a built site: its `data/` folder, and what its pages show of each choice of a filter."""

import csv
import html
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Choice", "choices", "exact", "leftovers", "tables"]

# Measures that are numbers of people or runs.
COUNTS = ("count", "people", "of people", "cohort")
# And those that have few digits.
VALUES = ("mean(", "gmean(", "p10(", "p25(", "p50(", "p75(", "p90(", "p95(", "p99(")
Table = tuple[dict[str, Any], list[dict[str, str]]]


def tables(data: Path) -> Iterator[Table]:
    """Each series of people's rows: its entry in the index, and the rows of its CSV."""
    for one in json.loads((data / "index.json").read_text(encoding="utf-8"))["series"]:
        if one["counts"] and "csv" in one["files"]:
            with (data.parent / one["files"]["csv"]).open(encoding="utf-8") as file:
                yield one, list(csv.DictReader(file))


@dataclass(frozen=True)
class Choice:
    """What a series shows of one value of a column: its people, its grain, and rows as in its CSV."""

    column: str
    value: str
    people: int
    grain: str | None
    rows: list[dict[str, str]]


def choices(data: Path, one: dict[str, Any]) -> Iterator[Choice]:
    """The choices of a series. They stand in its page, and in no file of the folder."""
    path, _, anchor = one["url"].partition("#")
    page = (data.parent / path).read_text(encoding="utf-8")
    (figure,) = re.findall(
        rf'<figure class="[^"]*" id="{re.escape(html.escape(anchor))}">.*?</figure>', page, re.DOTALL
    )
    for piece in figure.split('<template class="ab-choice"')[1:]:
        column, value = (re.findall(f' data-{name}="([^"]*)"', piece) or [""] for name in ("column", "value"))
        people = re.findall(r"(?:>|· )([\d,]+) (?:person|people)(?: ·|<)", piece)
        grain = re.findall(r"· by (\w+), UTC", piece)
        body = re.findall(r"<table class=\"ab-cells.*?<tbody>(.*?)</tbody>", piece, re.DOTALL)
        yield Choice(
            column=html.unescape(column[0]),
            value=html.unescape(value[0]),
            people=int(people[0].replace(",", "")) if people else 0,
            grain=grain[0] if grain else None,
            rows=[_row(row, one["columns"]) for row in re.findall("<tr>(.*?)</tr>", body[0], re.DOTALL)]
            if body
            else [],
        )


def _row(row: str, columns: list[dict[str, str]]) -> dict[str, str]:
    found = {}
    for column, (attributes, said) in zip(columns, re.findall("<t[hd]([^>]*)>(.*?)</t[hd]>", row), strict=False):
        number = re.findall('data-sort="([^"]*)"', attributes)
        text = number[0] if number else html.unescape(re.sub("<[^>]*>", "", said))
        if column["kind"] == "time" and text:
            text = f"{datetime.fromtimestamp(int(text), UTC):%Y-%m-%dT%H:%M:%SZ}"
        found[column["name"]] = text
    return found


def exact(data: Path, step: int = 5) -> list[str]:
    """The published numbers that the rule cannot have made: where, and which."""
    found = []
    for one, rows in tables(data):
        place = f"{one['page']}/{one['id']}"
        if one["people"] % step:
            found.append(f"{place}: {one['people']} people")
        for row in rows:
            for column in one["columns"]:
                text = row[column["name"]]
                if (
                    not text
                    or text.startswith(("under ", "<"))
                    or column["kind"] not in ("number", "milliseconds", "share")
                ):
                    continue
                value = float(text)
                if column["name"] in COUNTS and value % step:
                    found.append(f"{place}: {column['name']} {text}")
                if column["name"].startswith(VALUES) and column["name"].endswith(")") and _digits(value) > 3:
                    found.append(f"{place}: {column['name']} {text}")
                if column["kind"] == "share" and "count" in row and column["name"].startswith("share("):
                    part = value * float(row["count"])
                    if abs(part / step - round(part / step)) > 1e-6:
                        found.append(f"{place}: {column['name']} {text} of {row['count']}")
    return found


def _digits(value: float) -> int:
    """How many significant digits a number has."""
    if not value:
        return 0
    scaled = round(abs(value) / 10 ** (math.floor(math.log10(abs(value))) - 11))
    return len(str(scaled).rstrip("0"))


def leftovers(data: Path) -> dict[str, int]:
    """What is left of all runs when the shown categories of each chart by one column are taken away."""
    found = {}
    for one, rows in tables(data):
        names = [column["name"] for column in one["columns"]]
        if len(names) == 2 and names[1] in ("count", "people") and one["grain"] is None and one["people"]:
            left = one["people"] - sum(float(row[names[1]] or 0) for row in rows)
            if names[1] == "people" and 0 < left < 10:
                found[f"{one['page']}/{one['id']}"] = round(left)
    return found
