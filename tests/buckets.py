"""What tests of compaction and reports share: an application, its sessions, and buckets as the function fills them."""

import json
import sys
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from obstore.store import ObjectStore

from ingest.function import raw_object
from ingest.function.registry import Application, parse
from ingest.function.session_format import parse as parse_session
from ingest.function.session_format import timestamp
from ingest.function.settings import Settings
from reports.storage import table

__all__ = [
    "ANY_TIME",
    "NOTES",
    "NOW",
    "REGISTRY",
    "UTF8_NAMES",
    "batch",
    "content",
    "keep",
    "keys",
    "registry",
    "rows",
    "session",
    "uuid",
]

# In the locale C, Python gives no such name to a library. `abaculus` itself starts again in UTF-8 there.
UTF8_NAMES = pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="names of files are ASCII here")

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
# Of a function that takes any time, as it once did of ends, events and spans.
ANY_TIME = Settings(future_hours=60_000_000, past_days=700_000)
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
    settings: Settings = Settings(),  # noqa: B008 (it cannot be changed)
) -> list[str]:
    """Puts each session into the bucket as the function does, an object each; gives the keys."""
    parsed = [_parse(one, known, ingested, settings) for one in sessions]
    return [_put(store, raw_object.single(one, timestamp(ingested))) for one in parsed]


def batch(
    store: ObjectStore,
    *sessions: Mapping[str, Any],
    known: Mapping[str, Application] = REGISTRY,
    ingested: datetime = NOW,
) -> str:
    """Puts the sessions into the bucket as the function does with a batch, in one object; gives its key."""
    return _put(store, raw_object.batch([_parse(one, known, ingested) for one in sessions], timestamp(ingested)))


def _parse(
    one: Mapping[str, Any], known: Mapping[str, Application], ingested: datetime, settings: Settings | None = None
) -> Any:
    return parse_session(json.dumps(one).encode(), known, ingested, settings or Settings())


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
    files = [] if handle is None else table.files(handle)
    uris = [f"{table.uri(str(bucket), application)}/{file.path}" for file in files]
    if not uris:
        return []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(
            "SELECT * FROM read_parquet($uris, union_by_name = true, hive_types = {'month': VARCHAR})",
            params={"uris": uris},
        ).to_arrow_table()
    return sorted(found.to_pylist(), key=lambda row: (row["start_time"], row["session_id"]))
