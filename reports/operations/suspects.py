"""How much of the tables is left out of all views, because its times are impossible."""

from collections.abc import Mapping
from dataclasses import dataclass

from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.query.snapshot import PROBE
from reports.storage import clock, table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import columns

__all__ = ["Suspects", "suspects"]

TIMES = (
    "start_time", "end_time", "ingestion_time", "events.list.element.time", "spans.list.element.start_time",
    "spans.list.element.end_time",
)  # fmt: skip


@dataclass
class Suspects:
    """Finds sessions with impossible times, and events and spans with impossible times in other sessions."""

    sessions: int = 0
    events: int = 0
    spans: int = 0


def suspects(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> dict[str, Suspects]:
    """The left-out data of each application that has any."""
    found: dict[str, Suspects] = {}
    rows = f"(SELECT *, NOT {clock.sound()} AS own FROM read_parquet($1, hive_partitioning = false))"
    events = f"(SELECT *, unnest(events) AS item FROM {rows} WHERE NOT own)"
    spans = f"(SELECT *, unnest(spans) AS item FROM {rows} WHERE NOT own)"
    event, span = clock.possible("item.time"), clock.possible("item.start_time", "item.end_time")
    asked = ((rows, "own"), (events, f"NOT {event}"), (spans, f"NOT {span}"))
    with open_duckdb() as connection:
        for id in registry:
            handle = None if id == PROBE else table.load(bucket, id)
            objects = [] if handle is None else table.keys(id, table.files(handle))
            if not objects:
                continue
            paths = [str(path) for path in columns(store, bucket, objects, TIMES)]
            counts = [
                connection.execute(f"SELECT count(*) FROM {relation} WHERE {wrong}", [paths]).fetchall()[0][0]
                for relation, wrong in asked
            ]
            if any(counts):
                found[id] = Suspects(*counts)
    return found
