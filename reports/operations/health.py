"""Finds problems of the bucket that nobody would notice, with thresholds over the ledger of the last day.

The text may be public, so it has thresholds and ages, but no counts and no shares.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from reports.blocks.format import plural

__all__ = ["health"]

DAY = timedelta(days=1)
# A share of fewer sessions says nothing.
ENOUGH = 100


def health(
    entries: Iterable[Mapping[str, Any]], now: datetime, *, hours: float, quarantined: float, waiting: float
) -> list[str]:
    """Problems with their fixes, one on each line. Empty if there is none.

    `hours` is the largest age of the last run. `quarantined` and `waiting` are the largest shares of a day's sessions
    that may be quarantined or wait for the registry.
    """
    runs = [entry for entry in entries if entry.get("kind", "compact") == "compact"]
    if not runs:
        return ["no compaction has run yet; start the workflow report"]
    wrong = []
    last = runs[-1]
    age = now - datetime.fromisoformat(last["started"])
    ago = plural(round(age / timedelta(hours=1)), "hour")
    if age > timedelta(hours=hours):
        wrong.append(
            f"the last compaction was {ago} ago, more than {hours:.0f}; check under Actions whether the workflow "
            f"report is scheduled and enabled"
        )
    if last.get("error"):
        # Not the error's text, because it may quote what was sent.
        wrong.append("the last compaction failed; `abaculus status` says why")
    recent = [one for one in runs if now - datetime.fromisoformat(one["started"]) <= DAY]
    received, kept_apart = _sum(recent, "sessions"), _sum(recent, "quarantined")
    if received >= ENOUGH and kept_apart / received > quarantined:
        wrong.append(f"more than {quarantined:.1%} of the day's sessions are in quarantine; `abaculus status` says why")
    held = _sum([last], "waiting")
    if received + held >= ENOUGH and held / (received + held) > waiting:
        wrong.append(
            f"more than {waiting:.1%} of the day's sessions wait for the registry; "
            "update this registry to the function's"
        )
    return wrong


def _sum(runs: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(int(counts.get(name, 0)) for run in runs for counts in run["applications"].values())
