"""`abaculus client …`: clients that are typed from the registry."""

from collections.abc import Callable
from pathlib import Path

import click

from ingest.function.registry import Application
from reports.clients.go import go
from reports.clients.python import python
from reports.clients.typescript import typescript
from reports.commands.terminal import fail, load_registry

__all__ = ["COMMANDS"]

LANGUAGES: dict[str, Callable[[Application], str]] = {"python": python, "go": go, "typescript": typescript}


@click.command("client")
@click.argument("language", type=click.Choice(list(LANGUAGES)))
@click.argument("application", metavar="ID")
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def client(language: str, application: str, out: Path | None) -> None:
    """Print a client in LANGUAGE with a typed function for each declared member."""
    text = LANGUAGES[language](load_registry(application)[application])
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{out}: {error.strerror}; give another file with --out")
    click.echo(f"wrote {out}")


COMMANDS: list[click.Command] = [client]
