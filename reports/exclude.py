"""Times whose sessions are kept out of all views: a flood, forged or by mistake. Nothing is deleted.

It goes by when a session came in, which the server's own clock says; what a session says of itself can be made up. An
exclusion is an object `excluded/<name>.json`, written once; removing it brings the sessions back.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import table
from reports.duck import open_duckdb
from reports.mirror import columns

__all__ = ["NEVER", "ExcludeError", "Exclusion", "condition", "count", "exclude", "exclusions", "moment", "remove"]

PREFIX = "excluded/"
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class ExcludeError(Exception):
    """Why nothing was changed, and what to do."""


@dataclass(frozen=True)
class Exclusion:
    """Sessions that came in from `start` up to, not including, `end` (UTC), of one application or of all."""

    start: datetime
    end: datetime
    application: str | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """What it is called in the bucket, and by `--remove`; the same for the same sessions."""
        return f"{self.start:%Y%m%dT%H%M%SZ}-{self.end:%Y%m%dT%H%M%SZ}-{self.application or 'all'}"


def moment(text: str) -> datetime:
    """A time as an operator writes it, in UTC unless it says otherwise. Raises `ExcludeError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ExcludeError(f"{text!r} is not a time such as 2026-05-01 or 2026-05-01T13:30") from None
    if found.microsecond:
        raise ExcludeError(f"{text!r} has parts of a second; give whole seconds")
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def exclude(store: ObjectStore, wanted: Exclusion, now: datetime) -> bool:
    """Keeps it; False when the same is kept already. Raises `ExcludeError` for an interval that has no time in it."""
    if wanted.end <= wanted.start:
        raise ExcludeError("the end must come after the start; sessions of the end itself are not excluded")
    packed = {**asdict(wanted), "set": now}
    with suppress(AlreadyExistsError):
        store.put(f"{PREFIX}{wanted.name}.json", json.dumps(packed, default=_time).encode(), mode="create")
        return True
    return False


def _time(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}"


def exclusions(store: ObjectStore) -> list[Exclusion]:
    """All of a bucket, by their start."""
    found = []
    for page in store.list(PREFIX):
        for meta in page:
            given = json.loads(bytes(store.get(meta["path"]).bytes()))
            start, end = (datetime.fromisoformat(given[key]) for key in ("start", "end"))
            found.append(Exclusion(start, end, given["application"], given["why"]))
    return sorted(found, key=lambda one: one.name)


def remove(store: ObjectStore, name: str) -> None:
    """Lets its sessions back in. Raises `ExcludeError` when there is none of that name."""
    there = [one.name for one in exclusions(store)]
    if name not in there:
        raise ExcludeError(f"no exclusion {name!r}; there are {', '.join(there) or 'none'}")
    store.delete(f"{PREFIX}{name}.json")


def condition(excluded: Sequence[Exclusion], application: str) -> str:
    """Which rows of an application's table no view has, as SQL; empty for none."""
    return " OR ".join(
        f"(ingestion_time >= TIMESTAMPTZ '{_time(one.start)}' AND ingestion_time < TIMESTAMPTZ '{_time(one.end)}')"
        for one in excluded
        if one.application in (None, application)
    )


def count(store: ObjectStore, bucket: str, registry: Mapping[str, Application], wanted: Exclusion) -> tuple[int, int]:
    """How many sessions in the tables it keeps out, and of how many people."""
    parts, paths = [], []
    for id in registry:
        handle = table.load(bucket, id) if wanted.application in (None, id) else None
        files = [] if handle is None else [(f"tables/{id}/{file.path}", file.bytes) for file in table.files(handle)]
        if files:
            paths.append([str(path) for path in columns(store, bucket, files, ["user_id", "ingestion_time"])])
            source = f"read_parquet(${len(paths)}, hive_partitioning = false)"
            parts.append(f"SELECT user_id FROM {source} WHERE {condition([wanted], id)}")
    if not parts:
        return 0, 0
    with open_duckdb() as connection:
        sql = f"SELECT count(*), count(DISTINCT user_id) FROM ({' UNION ALL '.join(parts)})"
        found: tuple[int, int] = connection.execute(sql, paths).fetchall()[0]
    return found
