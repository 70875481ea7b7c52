"""What a site says of its own pipeline: whether all that came in is accounted for, how large it is, what it costs.

What one run counted is not public, for a quiet hour's run is one person's: only sums are, and only once enough people
are behind them. Names that clients sent are not here; `abaculus status` has them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reports.format import NOTHING
from reports.site import Site

__all__ = ["bookkeeping"]

# Counts of a run that were not stored, by what is said of them.
ASIDE = (
    ("repeated", "sent again, and counted once"),
    ("recovered", "stored already by a run that was stopped"),
    ("forgotten", "of people whose data was deleted"),
    ("waiting", "waiting for the registry"),
    ("quarantined", "unreadable, set aside"),
)
# What a session and a run ask of a bucket: a run lists, reads the table's log, and writes the ledger.
WRITES_A_SESSION, READS_A_SESSION = 1, 1
WRITES_A_RUN, READS_A_RUN = 28, 79
# Free each month, by the stores' own price lists: writes and listings, reads, gigabytes; then dollars for a million
# writes, a million reads, and a gigabyte: S3's of us-east-1, Google's of a region in the United States, Azure's of the
# hot tier, LRS, in East US.
PRICED = "September 2026"
STORES: Mapping[str, tuple[float, ...]] = {
    "Cloudflare R2": (1_000_000, 10_000_000, 10, 4.5, 0.36, 0.015),
    "Google Cloud Storage": (5_000, 50_000, 5, 5.0, 0.4, 0.02),
    "Amazon S3": (0, 0, 0, 5.0, 0.4, 0.023),
    "Azure Blob Storage": (0, 0, 0, 5.5, 0.44, 0.018),
}
MONTH = 30.4


def bookkeeping(site: Site) -> str:
    """The sums of the runs that the site knows, as Markdown."""
    runs = [entry for entry in site.snapshot.ledger if entry.get("ended")]
    if not runs:
        return "No run has brought in data yet."
    people = site.connection.execute("SELECT count(DISTINCT user_id) FROM sessions").fetchall()[0][0]
    if people < site.minimum_users:
        return f"Too few people yet: no sum is shown of fewer than {site.minimum_users} people."
    return "\n\n".join([_received(runs), _size(site), _cost(site, runs)])


def _sum(runs: list[dict[str, Any]], name: str) -> int:
    return sum(int(counts.get(name) or 0) for run in runs for counts in run["applications"].values())


def _received(runs: list[dict[str, Any]]) -> str:
    stored, received = _sum(runs, "stored"), _sum(runs, "sessions") + _sum(runs, "waiting")
    rows = [("stored", stored)] + [(said, _sum(runs, name)) for name, said in ASIDE]
    adds_up = received == sum(number for _, number in rows)
    verdict = "It adds up." if adds_up else "It does not add up: run `abaculus verify`."
    lines = "".join(f"| {said} | {number:,} |\n" for said, number in rows)
    since = datetime.fromisoformat(runs[0]["started"])
    times = f"{len(runs):,} run{'s' if len(runs) > 1 else ''}"
    return (
        f"## Is everything accounted for?\n\nSince {since:%Y-%m-%d}, {times} received {received:,} sessions. "
        f"{verdict}\n\n| of these | sessions |\n|---|---:|\n{lines}| **received** | **{received:,}** |"
    )


def _size(site: Site) -> str:
    rows = []
    for id, files in sorted(site.snapshot.sizes.items()):
        size = sum(files)
        count = site.connection.execute("SELECT count(*) FROM sessions WHERE application = $1", [id]).fetchall()[0][0]
        each = f"{size / count:,.0f} bytes" if count else NOTHING
        rows.append(
            f"| {site.snapshot.registry[id].name} | {count:,} | {len(files):,} | {size / 1e6:,.1f} MB | {each} |\n"
        )
    return (
        "## How large is it?\n\n| tool | sessions | files | size | a session |\n|---|---:|---:|---:|---:|\n"
        + "".join(rows).rstrip("\n")
    )


def _cost(site: Site, runs: list[dict[str, Any]]) -> str:
    """What a month like the last would cost: by the days that the runs cover, one at least."""
    first, last = (datetime.fromisoformat(run["started"]) for run in (runs[0], runs[-1]))
    months = max((last - first).total_seconds() / 86_400, 1.0 if len(runs) > 1 else MONTH) / MONTH
    sessions, times = _sum(runs, "sessions") / months, len(runs) / months
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
        f"## What does it cost?\n\nAt the pace of these runs, a month asks the bucket for about {writes:,.0f} "
        f"writes and {reads:,.0f} reads: one of each for a session that comes alone, and some for each run. "
        f"By the price lists as of {PRICED} that would be, without what new accounts are given,\n\n"
        "| store | of the free writes | a month |\n|---|---:|---:|\n" + "".join(rows).rstrip("\n")
    )
