"""Undeclared members: names that were left out of stored sessions, and sessions in files."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.query.macros import version_key
from reports.query.snapshot import PROBE
from reports.storage import table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns

__all__ = ["LeftOut", "paths", "sessions"]


@dataclass(frozen=True)
class LeftOut:
    """In how many sessions something was left out, in which versions of the tool, and when the last of these sessions
    arrived.
    """

    sessions: int
    versions: tuple[str, ...]
    last: datetime


def paths(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> dict[str, dict[str, LeftOut]]:
    """Paths of left-out members, such as `attributes.foo`, by application, the most frequent first.

    They were not declared when the session arrived, or had a value of another type.
    """
    found: dict[str, dict[str, LeftOut]] = {}
    names = ["undeclared", "application_version", "ingestion_time"]
    with open_duckdb() as connection:
        for id in registry:
            handle = None if id == PROBE else table.load(bucket, id)
            objects = [] if handle is None else table.keys(id, table.files(handle))
            if objects:
                rows = connection.execute(
                    "SELECT path, count(*), list(DISTINCT application_version), max(ingestion_time) FROM "
                    "(SELECT *, unnest(undeclared) AS path FROM read_parquet($1, hive_partitioning = false)) "
                    "GROUP BY path ORDER BY count(*) DESC, path",
                    [[str(path) for path in columns(store, bucket, objects, names)]],
                ).fetchall()
                found[id] = {
                    path: LeftOut(count, tuple(sorted(versions, key=version_key)), last)
                    for path, count, versions, last in rows
                }
    return found


def sessions(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Sessions in a file of JSON or NDJSON, gzip or not. Raises ValueError with the place of anything else."""
    content = file.read()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    try:
        whole = json.loads(content)
        found = [(1, one) for one in (whole if isinstance(whole, list) else [whole])]
    except ValueError:
        found = [(number, _line(file.name, number, line)) for number, line in _lines(content)]
    for number, session in found:
        if not isinstance(session, dict):
            raise ValueError(f"{file.name}:{number}: a session must be an object, but this is {str(session)[:40]!r}")
        yield session


def _lines(content: bytes) -> list[tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]


def _line(name: str, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name}:{number}: not JSON: {error}; write one session on each line") from None
