"""Partly written objects of killed processes in a local bucket, under names that no listing shows."""

import re
from datetime import datetime, timedelta
from pathlib import Path

from obstore.store import ObjectStore

from reports.storage.mirror import local

__all__ = ["leftovers", "sweep"]

# The local store writes `name#1` and renames it when it is whole.
STAGED = re.compile(r".+#\d+")
# Longer than it takes to write any object.
KEEP = timedelta(days=1)


def leftovers(store: ObjectStore) -> list[Path]:
    """Unfinished files, perhaps still being written. A cloud has none, because its stores show only whole objects."""
    root = local(store)
    return [] if root is None else sorted(path for path in root.rglob("*#*") if STAGED.fullmatch(path.name))


def sweep(store: ObjectStore, now: datetime) -> int:
    """Deletes those that nobody writes any more, and returns how many."""
    old = [path for path in leftovers(store) if path.stat().st_mtime < (now - KEEP).timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
