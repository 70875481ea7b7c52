"""`abaculus registry …` and `abaculus client …`: work on the registry, and generate clients from it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.blocks.format import inert, plural
from reports.clients.go import go
from reports.clients.python import python
from reports.clients.typescript import typescript
from reports.commands.steps import in_workflow
from reports.commands.terminal import bucket_option, fail, load_registry, say

if TYPE_CHECKING:
    from reports.operations.registry_changes import Change

__all__ = ["COMMANDS"]

LANGUAGES: dict[str, Callable[[registry.Application], str]] = {"python": python, "go": go, "typescript": typescript}


@click.group("registry")
def registry_group() -> None:
    """Work on the registry, which lists everything that applications may send."""


@registry_group.command()
@click.option("--against", metavar="BUCKET|GIT-REF",
              help="Say what changes since the last compaction of a bucket, or since a commit.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def check(against: str | None, as_json: bool) -> None:
    """List every fault of every registry file; with --against, the effects of a change on sessions, clients and pages.

    Exit code 1 if there is a fault, if compaction would refuse a change, or if data would be lost.
    """
    loaded = load_registry()
    if against is None:
        if as_json:
            raise click.UsageError("--json prints changes; also give --against")
        for id, application in loaded.items():
            if id != registry.PROBE.id:
                counts = (len(application.attributes), len(application.events), len(application.spans))
                what = (("attribute", None), ("type of event", "types of event"), ("type of span", "types of span"))
                click.echo(f"{id}: {', '.join(plural(n, *names) for n, names in zip(counts, what, strict=True))}")
        return
    if not against:
        raise click.UsageError("--against names nothing; give a bucket or a commit, such as HEAD")
    found = _changes(against, loaded)
    harm = [one for one in found if one.refused or one.lost]
    if as_json:
        click.echo(json.dumps({"against": against, "changes": [asdict(one) for one in found]}, indent=1))
        raise SystemExit(1 if harm else 0)
    for one in found:
        mark = "REFUSED" if one.refused else "LOSES  " if one.lost else "ok     "
        where = f"{inert(one.application)}: {inert(one.path)}" if one.path else inert(one.application)
        said = f"{where}: {one.kind}{f' ({inert(one.detail, 200)})' if one.detail else ''}"
        click.echo(f"{mark} {said}")
        click.echo(f"        stored sessions: {one.stored}")
        click.echo(f"        older versions: {one.clients}")
        click.echo(f"        pages: {one.pages}")
        if one in harm and in_workflow():
            click.echo(f"::error title=abaculus registry check::{said}; pages: {one.pages}")
    click.echo(f"{plural(len(found), 'change')}, {len(harm):,} refused or with a loss")
    raise SystemExit(1 if harm else 0)


def _changes(against: str, loaded: dict[str, registry.Application]) -> "list[Change]":
    from reports.operations import registry_changes

    if "://" in against or Path(against).is_dir():
        return registry_changes.with_tables(open_bucket(against, create=False), against, loaded)
    try:
        return registry_changes.between(registry_changes.at_commit(registry.directory(), against), loaded)
    except registry_changes.AgainstError as error:
        fail(f"--against {against}: {error}")


@registry_group.command()
@click.option("--minimum-users", default=10, show_default=True, help="`minimum_users` of your site.")
def privacy(minimum_users: int) -> None:
    """Print a privacy text for your users as Markdown, from the registry."""
    from reports.pages.registry_page import privacy as text

    click.echo(text(load_registry(), minimum_users))


@registry_group.command()
@click.argument("application", metavar="ID")
def paths(application: str) -> None:
    """Print everything that an application may send, one path on each line, for the client's `collects`."""
    click.echo("\n".join(load_registry(application)[application].paths))


@registry_group.command()
@click.argument("files", nargs=-1, type=click.File("rb"), metavar="[FILE]...")
@bucket_option
def suggest(files: tuple[Any, ...], bucket: str) -> None:
    """Print TOML for undeclared members. It reads sessions from FILEs (JSON or NDJSON, also .gz; - is standard input).
    Without a FILE, it reads the names of members that were left out of the sessions in the bucket.
    """
    from ingest import suggest as suggesting
    from reports.operations import undeclared

    loaded = load_registry()
    if files:
        try:
            found = suggesting.from_sessions(session for file in files for session in undeclared.sessions(file))
        except ValueError as error:
            fail(str(error))
    else:
        paths = undeclared.paths(open_bucket(bucket, create=False), bucket, loaded)
        found = {id: suggesting.from_paths(counts) for id, counts in paths.items()}
    said = False
    for id, seen in sorted(found.items()):
        if text := suggesting.toml(seen, loaded.get(id)):
            click.echo(f"# for the application {json.dumps(id)}\n{text}")
            said = True
    if not said:
        what = "nothing to suggest: every member is declared; `abaculus status` names values of another type"
        say.print(what, soft_wrap=True)


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


COMMANDS: list[click.Command] = [client, registry_group]
