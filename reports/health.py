"""Is something wrong with the bucket that nobody would notice? Thresholds over the ledger of the last day.

What it says may be as public as a workflow's log: shares and ages, no counts.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

__all__ = ["health"]

DAY = timedelta(days=1)
# Of fewer sessions a share says nothing.
ENOUGH = 100


def health(
    entries: Iterable[Mapping[str, Any]], now: datetime, *, hours: float, aside: float, waiting: float
) -> list[str]:
    """What is wrong and what to do, a line each; nothing when all is well.

    `hours` is how old the last run may be, `aside` and `waiting` are the shares of a day's sessions that may be set
    aside and may wait for the registry.
    """
    runs = [entry for entry in entries if entry.get("kind", "compact") == "compact"]
    if not runs:
        return ["no compaction has run yet; start the workflow report"]
    wrong = []
    last = runs[-1]
    age = now - datetime.fromisoformat(last["started"])
    if age > timedelta(hours=hours):
        wrong.append(
            f"the last compaction was {age / timedelta(hours=1):.0f} hours ago, more than {hours:.0f}; see under "
            "Actions whether the workflow report is scheduled and enabled"
        )
    if last.get("error"):
        # Not its text: it may quote what was sent.
        wrong.append("the last compaction failed; `abaculus status` says why")
    recent = [one for one in runs if now - datetime.fromisoformat(one["started"]) <= DAY]
    received, set_aside = _sum(recent, "sessions"), _sum(recent, "quarantined")
    if received >= ENOUGH and set_aside / received > aside:
        wrong.append(
            f"{set_aside / received:.1%} of the day's sessions were set aside, more than {aside:.1%}; "
            "`abaculus status` says why and what to do"
        )
    held = _sum([last], "waiting")
    if received + held >= ENOUGH and held / (received + held) > waiting:
        wrong.append(
            f"{held / (received + held):.1%} of the day's sessions wait for the registry, more than {waiting:.1%}; "
            "update the registry here to what the function has"
        )
    return wrong


def _sum(runs: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(int(counts.get(name, 0)) for run in runs for counts in run["applications"].values())
