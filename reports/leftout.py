"""What the registry does not declare: names that were left out of stored sessions, and sessions in files."""

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from obstore.store import ObjectStore

from ingest.registry import Application
from reports import table
from reports.duck import open_duckdb
from reports.mirror import columns
from reports.warehouse import PROBE

__all__ = ["paths", "sessions"]


def paths(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> dict[str, dict[str, int]]:
    """Paths of left-out members, such as `attributes.foo`, and in how many sessions, by application, most first."""
    found: dict[str, dict[str, int]] = {}
    with open_duckdb() as connection:
        for id in registry:
            handle = None if id == PROBE else table.load(bucket, id)
            files = [] if handle is None else table.files(handle)
            objects = [(f"tables/{id}/{file.path}", file.bytes) for file in files]
            if objects:
                rows = connection.execute(
                    "SELECT path, count(*) FROM (SELECT unnest(undeclared) AS path "
                    "FROM read_parquet($1, hive_partitioning = false)) GROUP BY path ORDER BY count(*) DESC, path",
                    [[str(path) for path in columns(store, bucket, objects, ["undeclared"])]],
                ).fetchall()
                found[id] = dict(rows)
    return found


def sessions(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Sessions in a file of JSON or NDJSON, gzip or not. Raises ValueError with the place of what is not one."""
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
            raise ValueError(f"{file.name}:{number}: a session is an object, this is {str(session)[:40]!r}")
        yield session


def _lines(content: bytes) -> list[tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]


def _line(name: str, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name}:{number}: not JSON: {error}; give a session a line") from None
