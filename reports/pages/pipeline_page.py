"""The pipeline page: whether all sessions are accounted for, how large the bucket is, and what it costs.

Sessions of each tool are counted through the gate. Counts of deleted, quarantined or waiting sessions are never public.
Names that clients sent are not here; `abaculus status` has them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reports.blocks.block import parse
from reports.blocks.format import plural, value
from reports.blocks.published import Column
from reports.pages.queries import Queries
from reports.pages.site import Site

__all__ = ["bookkeeping"]

# Counts of a run: sessions that arrived and were not stored.
ASIDE = ("repeated", "recovered", "forgotten", "waiting", "quarantined")
# The requests of a session and of a run: a run lists, reads the table's log, and writes the ledger.
WRITES_A_SESSION, READS_A_SESSION = 1, 1
WRITES_A_RUN, READS_A_RUN = 28, 79
# From the price lists of the stores. Free each month: writes and listings, reads, gigabytes. Then dollars for a million
# writes, a million reads, and a gigabyte. S3 in us-east-1, Google in a region of the United States, Azure's hot tier
# with LRS in East US.
PRICED = "September 2026"
STORES: Mapping[str, tuple[float, ...]] = {
    "Cloudflare R2": (1_000_000, 10_000_000, 10, 4.5, 0.36, 0.015),
    "Google Cloud Storage": (5_000, 50_000, 5, 5.0, 0.4, 0.02),
    "Amazon S3": (0, 0, 0, 5.0, 0.4, 0.023),
    "Azure Blob Storage": (0, 0, 0, 5.5, 0.44, 0.018),
}
MONTH = 30.4


NUMBER = Column("", "number")
# The sessions of each tool, as in any table of a page.
SESSIONS = parse("type: table\ndata: sessions\nx: application\ny: count\nlimit: 50")


def bookkeeping(site: Site) -> str:
    """The pipeline's page, as Markdown."""
    runs = [entry for entry in site.snapshot.ledger if entry.get("ended")]
    if not runs:
        return "No run has updated the data yet."
    with site.connection.cursor() as cursor:
        published = site.shared.publish(Queries(cursor, loaded=site.loaded), SESSIONS)
    sessions = {str(row[0]): row[1] for row in published.rows if row[0] in site.snapshot.registry}
    stored = {id: number for id, number in sessions.items() if isinstance(number, int) and number}
    if not stored:
        return f"Too few people yet: no sum is shown for fewer than {site.rules.minimum} people."
    return "\n\n".join([_received(runs), _size(site, stored), _cost(site, runs, stored)])


def _sum(runs: list[dict[str, Any]], *names: str) -> int:
    return sum(int(counts.get(name) or 0) for run in runs for counts in run["applications"].values() for name in names)


def _received(runs: list[dict[str, Any]]) -> str:
    """Only one bit, because the numbers of quarantined sessions and of deleted people's sessions are not public."""
    adds_up = _sum(runs, "sessions", "waiting") == _sum(runs, "stored", *ASIDE)
    verdict = "It adds up" if adds_up else "It does not add up: run `abaculus verify`"
    since = datetime.fromisoformat(runs[0]["started"])
    return (
        f"## Is everything accounted for?\n\nSince {since:%Y-%m-%d}, {plural(len(runs), 'run')} updated the data. "
        f"{verdict}: each session that arrived is stored, was stored before, waits for the registry, or is in "
        f"quarantine."
    )


def _size(site: Site, stored: Mapping[str, int]) -> str:
    rows = []
    for id, number in sorted(stored.items()):
        files, rules = site.snapshot.sizes[id], site.rules
        size = sum(files)
        megabytes, each = (value(NUMBER, rules.value(one, 0)) for one in (size / 1e6, size / number))
        name = site.snapshot.registry[id].name
        rows.append(f"| {name} | {number:,} | {len(files):,} | {megabytes} MB | {each} bytes |\n")
    return (
        "## How large is it?\n\n| tool | sessions | files | size | a session |\n|---|---:|---:|---:|---:|\n"
        + "".join(rows).rstrip("\n")
    )


def _cost(site: Site, runs: list[dict[str, Any]], stored: Mapping[str, int]) -> str:
    """The cost of a month, from the days that the runs cover, at least one."""
    first, last = (datetime.fromisoformat(run["started"]) for run in (runs[0], runs[-1]))
    months = max((last - first).total_seconds() / 86_400, 1.0 if len(runs) > 1 else MONTH) / MONTH
    sessions, times = sum(stored.values()) / months, len(runs) / months
    writes = sessions * WRITES_A_SESSION + times * WRITES_A_RUN
    reads = sessions * READS_A_SESSION + times * READS_A_RUN
    gigabytes = sum(sum(files) for files in site.snapshot.sizes.values()) / 1e9
    rows = []
    for name, (free_writes, free_reads, free_space, *prices) in STORES.items():
        asked = zip(
            (writes, reads, gigabytes), (free_writes, free_reads, free_space), prices, (1e6, 1e6, 1), strict=True
        )
        dollars = sum(max(0.0, used - free) / unit * price for used, free, price, unit in asked)
        part = f"{writes / free_writes * 100:.1f} %" if free_writes else "none is free"
        rows.append(f"| {name} | {part} | ${dollars:,.2f} |\n")
    return (
        f"## What does it cost?\n\nAt this rate, a month needs about {writes:,.0f} "
        f"writes and {reads:,.0f} reads: one of each for a session that is sent alone, and some for each run. "
        f"At the prices of {PRICED} this would cost, without the free offers for new accounts:\n\n"
        "| store | of the free writes | a month |\n|---|---:|---:|\n" + "".join(rows).rstrip("\n")
    )
