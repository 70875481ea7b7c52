"""Checks before a run deletes anything: whether the clock is right, and whether the amount is expected.

The limit for deletions that cannot be undone: the expected amount plus a tenth of the whole.
"""

import secrets
from datetime import datetime, timedelta

from obstore.store import ObjectStore

from reports.storage import ledger
from reports.storage.mirror import local

__all__ = ["ANYWAY", "Held", "check_amount", "check_clock", "last_run", "mostly"]

ANYWAY = "--remove-anyway"
SHARE = 0.1
# A share of fewer sessions says nothing.
ENOUGH = 10
# The allowed difference from a store's clock: longer than any answer takes.
APART = timedelta(hours=1)
# A local bucket has this machine's clock, so its last run is the only hint. This allows a run every month.
IDLE = timedelta(days=35)


class Held(Exception):
    """A deletion above the limit, with the reason and the option that allows it. The text may be public, so it has no
    counts.
    """


def check_clock(store: ObjectStore, now: datetime) -> None:
    """Raises `Held` if the store's clock differs too much from this one. For a local bucket, compares with its last
    run.
    """
    if local(store) is None:
        there, apart, whose = _time(store), APART, "the store's clock says"
    else:
        there, apart, whose = last_run(store, now) or now, IDLE, "the last successful run was at"
    if abs(now - there) > apart:
        raise Held(
            f"this machine's clock says {now:%Y-%m-%d %H:%M}, but {whose} {there:%Y-%m-%d %H:%M}: nothing was deleted "
            f"or merged; set the clock, or, if the clock is right, run the command again with {ANYWAY}"
        )


def _time(store: ObjectStore) -> datetime:
    """The time by a store's clock, from an object that this writes."""
    key = f"probe/{secrets.token_hex(8)}"
    store.put(key, b"written to see what time it is here\n")
    try:
        written: datetime = store.head(key)["last_modified"]
    finally:
        store.delete(key)
    return written


def last_run(store: ObjectStore, now: datetime) -> datetime | None:
    """When the last successful run before `now` began, by a clock that was not in doubt."""
    return ledger.last(store, now, lambda entry: not entry.get("error") and not entry.get("clock_doubted"))


def mostly(quarantined: int, sound: int) -> bool:
    """Whether most of a chunk could not be read. Then the cause is not a single broken object."""
    return quarantined >= ENOUGH and quarantined > sound


def check_amount(what: str, going: int, there: int, expected: int = 0) -> None:
    """Raises `Held` when the removal exceeds `expected` plus a tenth of the whole."""
    if going - expected > there * SHARE:
        raise Held(
            f"{what}: {going / there:.0%} would be deleted, of which {(going - expected) / there:.0%} is unexpected, "
            f"more than {SHARE:.0%}: nothing was deleted; to allow it, run the command again with {ANYWAY}"
        )
