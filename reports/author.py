"""The commands of who writes pages: new, serve, check."""

import os
from pathlib import Path

import click

from ingest.bucket import open_bucket
from ingest.registry import RegistryError
from reports.engine import chosen
from reports.terminal import bucket_option, engine_option, fail, load_registry, progress, say

__all__ = ["COMMANDS"]


@click.command("check")
@bucket_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, and nothing else.")
def check_command(bucket: str, engine: str | None, as_json: bool) -> None:
    """Name every mistake of every page, without building the site."""
    from reports import check, warehouse
    from reports.site import Site

    loaded = load_registry()
    try:
        pages = check.project(Path())
        with progress("Checking the pages"):
            site = Site(
                warehouse.fetch(open_bucket(bucket), bucket, loaded, chosen(engine, pages.engine)),
                minimum_users=pages.minimum_users,
                rounded=pages.rounded,
                closed=pages.closed,
            )
            with site.connection:
                found = check.check(site, pages, Path())
    except (check.ProjectError, RegistryError) as error:
        fail(str(error))
    if os.environ.get("GITHUB_ACTIONS"):
        for line in check.annotations(found):
            click.echo(line, err=True)
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(check.summary(found))
    if as_json:
        click.echo(check.as_json(found))
    else:
        for fault in found.faults:
            click.echo(str(fault))
        for fault in found.warnings:
            click.echo(f"{fault} (warning)")
        say.print(f"{found.pages} pages, {found.blocks} blocks, {_mistakes(len(found.faults))}")
    if found.faults:
        raise SystemExit(1)


def _mistakes(number: int) -> str:
    return "1 mistake" if number == 1 else f"{number or 'no'} mistakes"


@click.command("new")
@click.argument("name")
def new_command(name: str) -> None:
    """Write a page that works, to be changed: site/NAME.md."""
    from reports import check, new

    try:
        pages = check.project(Path())
        path = new.new(pages.docs, name)
    except (check.ProjectError, new.NewError) as error:
        fail(str(error))
    place = path.relative_to(pages.docs).as_posix()
    click.echo(f"wrote {path}")
    if pages.nav:
        click.echo(f"Add it to nav in mkdocs.yml:\n  - {new.title(place.removesuffix('.md'))}: {place}")
    click.echo("See it: abaculus serve")


@click.command("serve")
@bucket_option
@engine_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--private", is_flag=True, help="Show everything, ungated, on this machine only.")
def serve_command(bucket: str, engine: str | None, host: str, port: int, private: bool) -> None:
    """Build and serve the site, and build it again when a page changes."""
    from reports.plugin import BuildError, serve

    load_registry()
    try:
        serve(bucket, host, port, private=private, say=lambda line: say.print(line, soft_wrap=True), engine=engine)
    except BuildError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port")


COMMANDS: list[click.Command] = [new_command, serve_command, check_command]
