"""How tests wait: for what they need, not for a time."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")

# Seconds after which a test gives up. Only a test that fails waits that long, so a busy machine fails none.
PATIENCE = 300.0


def until(
    holds: Callable[[], Found], by: "subprocess.Popen[Any] | None" = None, said: Callable[[], str] = lambda: ""
) -> Found:
    """What `holds` returns as soon as it is true. An OSError of it means "not yet".

    Fails with `said()` when the process that is to bring it about, `by`, has ended, or after PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while True:
        ended = by is not None and by.poll() is not None  # before the look: what it did last counts
        problem = "it is not so"
        try:
            if found := holds():
                return found
        except OSError as error:
            problem = str(error)
        assert not ended, f"the process has ended: {said()}"
        assert time.monotonic() < end, f"after {PATIENCE:.0f} s: {problem}: {said()}"
        time.sleep(0.05)
