"""How the commands speak: messages and progress on standard error, and the options that they share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from rich.console import Console

from ingest import registry
from ingest.bucket import DEFAULT
from reports.engine import ENGINES

__all__ = ["bucket_option", "engine_option", "fail", "load_registry", "progress", "say"]

# Progress and messages go to standard error: standard output has only what was asked for.
say = Console(stderr=True, highlight=False, markup=False)


def fail(message: str) -> NoReturn:
    """Says what is wrong and what to do, and ends with exit code 1."""
    say.print(f"abaculus: {message}", soft_wrap=True)
    raise SystemExit(1)


@contextmanager
def progress(doing: str) -> Iterator[Any]:
    """A line that says how far long work has come; nothing in a pipe."""
    if not say.is_terminal:
        yield lambda text: None
        return
    with say.status(doing) as status:
        yield lambda text: status.update(f"{doing}: {text}")


def load_registry() -> dict[str, registry.Application]:
    """The registry, or an end with all of its faults."""
    try:
        return registry.load()
    except registry.RegistryError as error:
        fail(str(error))


def bucket_option(command: Any) -> Any:
    """`--bucket URL`."""
    return click.option(
        "--bucket",
        metavar="URL",
        default=lambda: os.environ.get("ABACULUS_BUCKET") or DEFAULT,
        show_default=f"$ABACULUS_BUCKET, else {DEFAULT}",
        help="Where sessions and tables lie: file:///…, s3://…, gs://…, az://…",
    )(command)


def engine_option(command: Any) -> Any:
    """`--engine NAME`."""
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        show_default="as mkdocs.yml says, else $ABACULUS_ENGINE, else duckdb",
        help="What counts: DuckDB here, or the Spark cluster at $SPARK_REMOTE.",
    )(command)
