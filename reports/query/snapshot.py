"""A snapshot of a bucket for the views: local copies of its files, or tables of a Spark cluster."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import ObjectStore

from ingest.function.registry import Application
from reports.query.engine import EngineError
from reports.storage import exclude, ledger, table
from reports.storage.mirror import mirror, prune
from reports.storage.objects import document, objects

if TYPE_CHECKING:
    from reports.query.spark import Cluster

__all__ = ["PROBE", "Snapshot", "cluster", "fetch"]

# The reserved application of `abaculus probe`. Reports leave it out.
PROBE = "abaculus-probe"
# How many of the newest ledger entries the `pipeline` view reads: about a month of hourly runs.
LEDGER = 750


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Local copies of one state of the bucket: table files by application, releases, compaction runs (newest last).

    `excluded` are the times whose sessions no view has, and `sizes` the bytes of each table file. With a `cluster`,
    there are no copies, because the cluster reads the bucket.
    """

    registry: Mapping[str, Application]
    files: Mapping[str, list[Path]]
    releases: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    excluded: Sequence[exclude.Exclusion] = ()
    sizes: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)
    cluster: "Cluster | None" = None


def fetch(store: ObjectStore, bucket: str, registry: Mapping[str, Application], engine: str = "duckdb") -> Snapshot:
    """Copies new files of the bucket to this machine, and returns their paths.

    With the engine "spark", sessions stay in the bucket. Raises `EngineError` if there is no cluster.
    """
    files: dict[str, list[Path]] = {}
    sizes: dict[str, list[int]] = {}
    spark = cluster(engine, bucket)
    for id in registry:
        if id == PROBE:
            continue
        handle = table.load(bucket, id)
        found = [] if handle is None else table.files(handle)
        sizes[id] = [file.bytes for file in found]
        if spark is not None:
            files[id] = []
            if handle is not None:
                spark.read(id, handle)
            continue
        keys = table.keys(id, found)
        files[id] = mirror(store, bucket, keys)
        prune(store, bucket, id, [key for key, _ in keys])
    releases = [
        {"application": key.rsplit("/", 1)[-1].removesuffix(".json"), **release}
        for key, _ in objects(store, "releases/", ".json")
        for release in document(store, key)  # not mirrored: these change
    ]
    names = ledger.listed(store)[-LEDGER:]
    paths = mirror(store, bucket, names)
    entries = [ledger.parsed(name, path.read_bytes()) for (name, _), path in zip(names, paths, strict=True)]
    runs = [entry for entry in entries if entry.get("kind", "compact") == "compact"]
    return Snapshot(registry, files, releases, runs, exclude.exclusions(store), sizes, spark)


def cluster(engine: str, bucket: str) -> "Cluster | None":
    """A connection to the cluster that SPARK_REMOTE names. None with DuckDB. Raises `EngineError`."""
    if engine != "spark":
        return None
    try:
        from reports.query.spark import Cluster
    except ModuleNotFoundError as error:
        raise EngineError(
            f"the engine spark needs packages that are not installed ({error.name}); pip install 'abaculus[spark]'"
        ) from None
    return Cluster(bucket)
