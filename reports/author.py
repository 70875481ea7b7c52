"""The commands of who writes pages: check."""

import os
from pathlib import Path

import click

from ingest.bucket import open_bucket
from ingest.registry import RegistryError
from reports.terminal import bucket_option, fail, load_registry, progress, say

__all__ = ["COMMANDS"]


@click.command("check")
@bucket_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, and nothing else.")
def check_command(bucket: str, as_json: bool) -> None:
    """Name every mistake of every page, without building the site."""
    from reports import check, warehouse
    from reports.site import Site

    loaded = load_registry()
    try:
        pages = check.project(Path())
        with progress("Checking the pages"):
            site = Site(warehouse.fetch(open_bucket(bucket), bucket, loaded), minimum_users=pages.minimum_users)
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


COMMANDS: list[click.Command] = [check_command]
