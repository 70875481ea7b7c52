"""What tests of compaction and reports share: an application, its sessions, and buckets as the function fills them."""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from obstore.store import ObjectStore

from ingest import raw
from ingest.registry import Application, parse
from ingest.session import parse as parse_session
from ingest.session import timestamp
from ingest.settings import Settings
from reports import table

__all__ = ["NOTES", "NOW", "REGISTRY", "batch", "content", "keep", "keys", "registry", "rows", "session", "uuid"]

NOTES = """
id = "notes"
name = "Notes"

[attributes.osName]
type = "string"
values = ["Linux", "macOS"]
role = "os"
why = "Which systems to support"

[attributes.exitCode]
type = "integer"
role = "exit_code"
why = "How often do runs fail?"

[attributes.inCi]
type = "boolean"
role = "ci"
why = "Build servers are not people"

[attributes.memory]
type = "number"
why = "How much is there?"

[attributes.checkedAt]
type = "timestamp"
why = "When did it look for a new version?"

[attributes.comment]
type = "string"
why = "Free text"

[events.Opened]
role = "update_notice"
why = "Is it used?"

[events.Opened.attributes.how]
type = "string"
values = ["menu", "key"]
why = "How is it opened?"

[events.Closed]
why = "Is it closed?"

[spans.Save]
why = "Is saving fast?"

[spans.Save.attributes.size]
type = "integer"
why = "Does it slow down with size?"
"""
NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def registry(*texts: str) -> dict[str, Application]:
    """Applications by id, from the text of their registry files."""
    applications = [parse(text, "registry.toml") for text in texts]
    return {application.id: application for application in applications}


REGISTRY = registry(NOTES)


def uuid(number: int) -> str:
    """The same version 4 UUID for the same number."""
    return str(UUID(int=number, version=4))


def session(number: int = 1, *, user: int | str = 1, start: datetime = NOW, **members: Any) -> dict[str, Any]:
    """A session as a client sends it."""
    return {
        "sessionId": uuid(number),
        "userId": user if isinstance(user, str) else uuid(1_000_000 + user),
        "sessionStartTime": timestamp(start),
        "sessionEndTime": timestamp(start + timedelta(seconds=2)),
        "applicationId": "notes",
        "applicationVersion": "1.2.3",
        "attributes": {"osName": "Linux", "exitCode": 0},
        **members,
    }


def keep(
    store: ObjectStore,
    *sessions: Mapping[str, Any],
    known: Mapping[str, Application] = REGISTRY,
    ingested: datetime = NOW,
) -> list[str]:
    """Puts each session into the bucket as the function does, an object each; gives the keys."""
    return [_put(store, raw.single(_parse(one, known, ingested), timestamp(ingested))) for one in sessions]


def batch(
    store: ObjectStore,
    *sessions: Mapping[str, Any],
    known: Mapping[str, Application] = REGISTRY,
    ingested: datetime = NOW,
) -> str:
    """Puts the sessions into the bucket as the function does with a batch, in one object; gives its key."""
    return _put(store, raw.batch([_parse(one, known, ingested) for one in sessions], timestamp(ingested)))


def _parse(one: Mapping[str, Any], known: Mapping[str, Application], ingested: datetime) -> Any:
    return parse_session(json.dumps(one).encode(), known, ingested, Settings())


def _put(store: ObjectStore, object: tuple[str, bytes]) -> str:
    key, content = object
    store.put(key, content)
    return key


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """Every key below a prefix."""
    return sorted(meta["path"] for page in store.list(prefix) for meta in page)


def content(store: ObjectStore, key: str) -> bytes:
    """An object's bytes, inflated where it is gzip."""
    data = bytes(store.get(key).bytes())
    return zlib.decompress(data, wbits=31) if key.endswith(".gz") else data


def rows(bucket: Path | str, application: str = "notes") -> list[dict[str, Any]]:
    """The rows of a table in a local bucket, by start; none when there is no table."""
    handle = table.load(str(bucket), application)
    uris = [] if handle is None else handle.file_uris()
    if not uris:
        return []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(
            "SELECT * FROM read_parquet($uris, union_by_name = true, hive_types = {'month': VARCHAR})",
            params={"uris": uris},
        ).to_arrow_table()
    return sorted(found.to_pylist(), key=lambda row: (row["start_time"], row["session_id"]))
