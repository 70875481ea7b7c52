"""The kinds of charts with their options, the measures, and the grains of time."""

import re
from dataclasses import dataclass

__all__ = ["GRAINS", "PERCENTILES", "TYPES", "Measure"]

TYPES = (
    "line", "area", "share", "bar", "histogram", "heatmap", "band", "funnel", "retention", "table", "number",
    "scan",
)  # fmt: skip
# Grains of time, from fine to coarse, with their usual length in days.
GRAINS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4, "quarter": 91.3, "year": 365.25}
PERCENTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
ADD_UP = ("count", "sum")
PLAIN = ("count", "people", "per_person", "share")
OF_COLUMN = ("sum", "mean", "gmean", "share", *PERCENTILES)
MEASURE = re.compile(r"([a-z][a-z0-9_]*)(?:\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*\))?")
MEASURES = f"count, people, per_person, share, {', '.join(f'{name}(c)' for name in OF_COLUMN)}"
# What a kind counts by default.
USUAL = {"share": "share", "histogram": "count", "funnel": "people", "retention": "people"}
NEEDS = {
    "x": ("line", "area", "share", "bar", "histogram", "heatmap", "band", "retention", "scan"),
    "color": ("share",),
    "rows": ("heatmap",),
    "steps": ("funnel",),
}
# Options that only some kinds have.
ONLY = {
    "x": tuple(kind for kind in TYPES if kind != "funnel"),
    "color": ("line", "area", "share", "bar", "table"),
    "grain": tuple(kind for kind in TYPES if kind not in ("histogram", "funnel", "scan")),
    "limit": ("line", "area", "share", "bar", "heatmap", "table", "scan"),
    "people": ("line", "area", "bar", "heatmap", "table", "number"),
    "rows": ("heatmap",),
    "steps": ("funnel",),
    "bars": ("bar",),
    "panels": ("line",),
    "middle": ("heatmap",),
    "trend": ("table",),
    "order": ("line", "area", "share", "bar", "heatmap", "table"),
    "interval": ("line", "bar", "table", "number"),
    "annotate": ("line", "area", "share", "bar", "band"),
    "filter": tuple(kind for kind in TYPES if kind not in ("funnel", "retention", "scan")),
}
SEVERAL = ("table", "band", "scan")
# Kinds that group by several columns: a table by all together, a scan by each alone.
BY_SEVERAL = ("table", "scan")
MOST_STEPS = 12
# The most dimensions of axes, filter and window together. Tables of more reveal too much in combination.
MOST_DIMENSIONS = 3
# The most columns of a scan.
MOST_SCANNED = 20
# Measures with an interval, which separates an effect from chance.
ESTIMATED = ("share", "mean", "gmean")


@dataclass(frozen=True)
class Measure:
    """What `y` counts. `name` is one of the measures, and `column` its column. `name` is "column" under `people:
    none`.
    """

    name: str
    column: str | None = None

    def __str__(self) -> str:
        return (
            self.name
            if self.column is None
            else self.column
            if self.name == "column"
            else f"{self.name}({self.column})"
        )
