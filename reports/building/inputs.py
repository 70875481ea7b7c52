"""A digest of everything that a site is built from. If the published site has the same digest, a build would change
nothing.
"""

import hashlib
import os
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from obstore.store import ObjectStore

from reports.storage import ledger

__all__ = ["inputs"]

REPORTS = Path(__file__).parent.parent


def inputs(store: ObjectStore) -> str | None:
    """A digest of the commit, the program and the bucket. None outside of a workflow, where no commit identifies the
    pages.

    Compute it before the data is read, so that later sessions are new to the next run.
    """
    commit = os.environ.get("GITHUB_SHA")
    if not commit:
        return None
    digest = hashlib.sha256()
    for part in (commit, *_program(), *_bucket(store)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _program() -> Iterator[str]:
    """The program: the files of this package, and the versions of all others."""
    for path in sorted(path for path in REPORTS.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        yield f"{path.relative_to(REPORTS)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield from sorted({f"{one.name} {one.version}" for one in distributions()})


def _bucket(store: ObjectStore) -> Iterator[str]:
    """The data that pages read: each table's newest commit, releases, exclusions, and the newest run with results."""
    for prefix in sorted(store.list_with_delimiter("tables/")["common_prefixes"]):
        # A commit's name is its number, in twenty digits.
        found = [
            meta for page in store.list(f"{prefix}/_delta_log/") for meta in page if meta["path"].endswith(".json")
        ]
        if found:
            newest = max(found, key=lambda meta: meta["path"])
            # A table that was created again starts from 0 again.
            yield f"{newest['path']} {newest['e_tag'] or newest['last_modified']}"
    for prefix in ("releases/", "excluded/"):
        for page in store.list(prefix):
            yield from sorted(f"{meta['path']} {meta['e_tag'] or meta['last_modified']}" for meta in page)
    yield ledger.newest(store)
