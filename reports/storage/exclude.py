"""Exclusions: times whose sessions no view has, such as a flood. Nothing is deleted.

It uses the time of arrival by the server's clock, because the times of a session can be forged. An
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

from ingest.function.registry import Application
from reports.storage import table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns
from reports.storage.objects import Damaged, document, objects

__all__ = ["ExcludeError", "Exclusion", "condition", "count", "exclude", "exclusions", "moment", "remove"]

PREFIX = "excluded/"


class ExcludeError(Exception):
    """The reason why nothing was changed, with the fix."""


@dataclass(frozen=True)
class Exclusion:
    """Sessions of one application or of all that arrived from `start` until before `end` (UTC)."""

    start: datetime
    end: datetime
    application: str | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The name in the bucket and for `--remove`. Equal exclusions have equal names."""
        return f"{self.start:%Y%m%dT%H%M%SZ}-{self.end:%Y%m%dT%H%M%SZ}-{self.application or 'all'}"


def moment(text: str) -> datetime:
    """A time that an operator wrote, in UTC unless it has a zone. Raises `ExcludeError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ExcludeError(f"{text!r} is not a time such as 2026-05-01 or 2026-05-01T13:30") from None
    if found.microsecond:
        raise ExcludeError(f"{text!r} has parts of a second; give whole seconds")
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def exclude(store: ObjectStore, wanted: Exclusion, now: datetime) -> bool:
    """Stores an exclusion. False if the same one is stored already. Raises `ExcludeError` for an empty period."""
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
    """All exclusions of a bucket, by their start."""
    found = []
    for key, _ in objects(store, PREFIX, ".json"):
        given = document(store, key)
        try:
            start, end = (datetime.fromisoformat(given[name]) for name in ("start", "end"))
            found.append(Exclusion(start, end, given["application"], given["why"]))
        except (KeyError, TypeError, ValueError):
            raise Damaged(f"{key} is a damaged exclusion; delete it, and exclude the period again") from None
    return sorted(found, key=lambda one: one.name)


def remove(store: ObjectStore, name: str) -> None:
    """Removes an exclusion, so that its sessions count again. Raises `ExcludeError` if there is none with this name."""
    there = [one.name for one in exclusions(store)]
    if name not in there:
        raise ExcludeError(f"no exclusion {name!r}; there are {', '.join(there) or 'none'}")
    store.delete(f"{PREFIX}{name}.json")


def condition(excluded: Sequence[Exclusion], application: str) -> str:
    """SQL for the rows of an application's table that no view has. Empty for none."""
    return " OR ".join(
        f"(ingestion_time >= TIMESTAMPTZ '{_time(one.start)}' AND ingestion_time < TIMESTAMPTZ '{_time(one.end)}')"
        for one in excluded
        if one.application in (None, application)
    )


def count(store: ObjectStore, bucket: str, registry: Mapping[str, Application], wanted: Exclusion) -> tuple[int, int]:
    """How many sessions in the tables it excludes, and of how many people."""
    parts, paths = [], []
    for id in registry:
        handle = table.load(bucket, id) if wanted.application in (None, id) else None
        files = [] if handle is None else table.keys(id, table.files(handle))
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
