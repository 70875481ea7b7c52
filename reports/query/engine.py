"""Which engine counts: DuckDB on this machine, or a Spark cluster."""

import os

__all__ = ["ENGINE", "ENGINES", "EngineError", "chosen"]

ENGINES = ("duckdb", "spark")
# The variable for the engine, if neither the command nor mkdocs.yml names one.
ENGINE = "ABACULUS_ENGINE"


class EngineError(Exception):
    """The reason why the engine cannot count, with the fix."""


def chosen(*given: str | None) -> str:
    """The first given engine, else that of the environment, else DuckDB. Raises `EngineError`."""
    engine = next((one for one in (*given, os.environ.get(ENGINE)) if one), ENGINES[0])
    if engine not in ENGINES:
        raise EngineError(f"{ENGINE} is one of {', '.join(ENGINES)}, not {engine!r}")
    return engine
