"""Messages and progress on standard error, and the options that commands share."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from rich.console import Console

from ingest.function import registry
from ingest.function.bucket_url import DEFAULT
from reports.query.engine import ENGINES

__all__ = ["anyway_option", "bucket_option", "engine_option", "fail", "load_registry", "progress", "say"]

# Progress and messages go to standard error, so standard output has only the result.
say = Console(stderr=True, highlight=False, markup=False)


def fail(message: str) -> NoReturn:
    """Says what is wrong and what to do, and ends with exit code 1."""
    say.print(f"abaculus: {message}", soft_wrap=True)
    raise SystemExit(1)


@contextmanager
def progress(doing: str) -> Iterator[Any]:
    """A line with the progress of long work. A pipe gets none, even with FORCE_COLOR, which is only about colors."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with say.status(doing) as status:
        yield lambda text: status.update(f"{doing}: {text}")


def load_registry(*needed: str | None) -> dict[str, registry.Application]:
    """The registry. If it has faults, prints all and ends, also if an application is `needed` that it does not have."""
    try:
        loaded = registry.load()
    except registry.RegistryError as error:
        fail(str(error))
    for id in sorted(filter(None, needed)):
        if id not in loaded:
            known = ", ".join(sorted(loaded.keys() - {registry.PROBE.id}))
            fail(f"no application {id!r} in the registry; there are {known}")
    return loaded


def bucket_option(command: Any) -> Any:
    """`--bucket URL`."""
    return click.option(
        "--bucket",
        metavar="URL",
        default=lambda: os.environ.get("ABACULUS_BUCKET") or DEFAULT,
        show_default=f"$ABACULUS_BUCKET, else {DEFAULT}",
        help="The bucket: file:///…, s3://…, gs://…, or az://…",
    )(command)


def engine_option(command: Any) -> Any:
    """`--engine NAME`."""
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        show_default="from mkdocs.yml, else $ABACULUS_ENGINE, else duckdb",
        help="Count with DuckDB here, or with the Spark cluster at $SPARK_REMOTE.",
    )(command)


def anyway_option(command: Any) -> Any:
    """`--remove-anyway`."""
    return click.option("--remove-anyway", "anyway", is_flag=True, help="Delete more than the limit allows.")(command)
