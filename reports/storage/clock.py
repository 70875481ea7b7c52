"""Times that can be. Others come from a machine with a wrong clock, or were invented.

The function no longer accepts such times. Earlier ones are in tables, and views leave them out.
"""

from ingest.function.settings import Settings

__all__ = ["possible", "sound"]

# The function's default limits, in microseconds from the arrival of a session.
AHEAD = Settings().future_hours * 3_600 * 1_000_000
BEHIND = Settings().past_days * 86_400 * 1_000_000


def sound(start: str = "start_time", end: str = "end_time", ingestion: str = "ingestion_time") -> str:
    """SQL: whether a session's own times are possible. It began before it arrived, and did not end long after."""
    return f"({start} <= {ingestion} AND epoch_us({end}) <= epoch_us({ingestion}) + {AHEAD})"


def possible(*times: str) -> str:
    """SQL: whether the times of an event or a span are possible, beside the columns of its session.

    A function with a setting for older sessions accepts their events too: no event is both too old and before the
    start.
    """
    earliest = f"least(epoch_us(start_time), epoch_us(ingestion_time) - {BEHIND})"
    latest = f"epoch_us(ingestion_time) + {AHEAD}"
    checks = [f"epoch_us({time}) <= {latest} AND epoch_us({time}) >= {earliest}" for time in times]
    # A row without a time is not an outlier.
    return f"coalesce({' AND '.join(checks)}, true)"
