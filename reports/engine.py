"""Which engine counts: DuckDB on this machine, or a Spark cluster. The one place that knows that there are two."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.spark import Cluster

__all__ = ["ENGINE", "ENGINES", "EngineError", "chosen", "cluster"]

ENGINES = ("duckdb", "spark")
# What is used where neither the command nor mkdocs.yml says one.
ENGINE = "ABACULUS_ENGINE"


class EngineError(Exception):
    """Why there is nothing to count with, and what to do."""


def chosen(*given: str | None) -> str:
    """The first that is given, else what the environment says, else DuckDB. Raises `EngineError`."""
    engine = next((one for one in (*given, os.environ.get(ENGINE)) if one), ENGINES[0])
    if engine not in ENGINES:
        raise EngineError(f"{ENGINE} is one of {', '.join(ENGINES)}, not {engine!r}")
    return engine


def cluster(engine: str, bucket: str) -> "Cluster | None":
    """The cluster that SPARK_REMOTE names, connected; None where DuckDB counts. Raises `EngineError`."""
    if engine != "spark":
        return None
    try:
        from reports.spark import Cluster
    except ModuleNotFoundError as error:
        raise EngineError(
            f"the engine spark needs packages that are not here ({error.name}); pip install 'abaculus[spark]'"
        ) from None
    return Cluster(bucket)
