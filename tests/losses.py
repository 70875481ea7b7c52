"""What protection costs: over the pages of this project, how many numbers are shown, and how far from the truth.

    python3 .ci/venv python -m tests.losses [--people 50 --people 300 --people 3000]

The truth is the same block with exact numbers (`protect: threshold`), so that what is not shown is the same in both but
for rule 4. "Numbers" are those of the private view. Shares are off by points, all others by parts of the truth.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.gate.rules import Rules
from reports.pages.site import Site
from reports.query.snapshot import Snapshot, fetch
from reports.sample import cairn_sessions
from reports.storage.releases import keep
from tests.sites import fill, source

__all__ = ["losses", "numbers"]

ROOT = Path(__file__).parents[1]
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
Place = tuple[Any, ...]


def data(directory: Path, people: int) -> Snapshot:
    """A bucket with so many people of Cairn, ten runs each."""
    known = registry.load(ROOT / "ingest" / "applications")
    fill(directory, cairn_sessions.sessions(10 * people, users=people, seed=1, end=END), known)
    dates = [
        {"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in cairn_sessions.releases(END)
    ]
    keep(open_bucket(str(directory)), cairn_sessions.APPLICATION, dates)
    return fetch(open_bucket(str(directory)), str(directory), known)


def numbers(site: Site) -> Iterator[tuple[Place, str, float]]:
    """Every number about people on the pages of this project: where it stands, which measure it is, and the number."""
    for path in sorted(ROOT.glob("site/*.md")):
        read = source(path.read_text(encoding="utf-8"), path=path.name)
        if "for" in read.front.meta:
            continue
        page = site.page(read)
        for one in page.series:
            depth = len(one.published.dimensions)
            if one.published.people is None:
                continue
            for row in one.published.rows:
                for column, value in zip(one.published.measures, row[depth:], strict=True):
                    ends = column.name.endswith((" from", " to"))
                    if isinstance(value, int | float) and not isinstance(value, bool) and not ends:
                        place = (path.stem, one.id, one.published.grain, *row[:depth], column.name)
                        measure = "share" if column.kind == "share" else column.name.partition("(")[0]
                        yield place, measure, float(value)


def losses(snapshot: Snapshot) -> tuple[int, int, dict[str, list[float]]]:
    """How many numbers there are, how many are shown, and how far each of these is from the truth, as parts of it."""
    found: dict[str, dict[Place, tuple[str, float]]] = {}
    for name, given in (
        ("public", {"rules": Rules()}), ("exact", {"rules": Rules(rounding=False)}), ("private", {"private": True}),
    ):  # fmt: skip
        site = Site(snapshot, now=END, **given)  # type: ignore[arg-type]
        with site.connection:
            found[name] = {place: (measure, value) for place, measure, value in numbers(site)}
    away: dict[str, list[float]] = defaultdict(list)
    for place, (measure, value) in found["public"].items():
        truth = found["exact"][place][1] if place in found["exact"] else 0.0
        if truth:
            away[measure].append(abs(value - truth) / (1 if measure == "share" else truth))
    return len(found["private"]), len(found["public"]), away


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what protection costs.")
    parser.add_argument("--people", type=int, action="append", help="how many; may be given several times")
    options = parser.parse_args()
    print("| people | numbers | shown | measure | of these | median off | nine in ten within |\n|---:|" + "---:|" * 6)
    for people in options.people or [50, 300, 3_000]:
        with tempfile.TemporaryDirectory(prefix="abaculus-") as directory:
            whole, shown, away = losses(data(Path(directory) / "bucket", people))
        for measure, off in sorted(away.items()):
            if len(off) > 1:
                middle, within = median(off), quantiles(off, n=10)[-1]
                cells = (
                    f"{people:,}",
                    f"{whole:,}",
                    f"{shown:,}",
                    measure,
                    f"{len(off):,}",
                    f"{middle:.1%}",
                    f"{within:.1%}",
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
