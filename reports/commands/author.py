"""The commands for authors of pages: new, serve, check."""

from pathlib import Path

import click

from ingest.function.bucket_url import open_or_empty
from reports.blocks.format import plural
from reports.commands.steps import mark
from reports.commands.terminal import bucket_option, engine_option, fail, load_registry, progress, say

__all__ = ["COMMANDS"]


@click.command("check")
@bucket_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print only JSON.")
def check_command(bucket: str, engine: str | None, as_json: bool) -> None:
    """List every mistake of every page, as `build` does, without writing the site."""
    from reports.building import build, report

    load_registry()
    if (absent := open_or_empty(bucket)[1]) and not as_json:
        say.print(absent)
    try:
        with progress("Checking the pages"):
            found = build.check(bucket, engine)
    except build.BuildError as error:
        fail(str(error))
    mark(found, "abaculus check")
    if as_json:
        click.echo(report.as_json(found))
    else:
        for line in report.lines(found):
            click.echo(line)
        say.print(f"{report.counted(found)}, {plural(len(found.faults), 'mistake')}")
    if found.faults:
        raise SystemExit(1)


@click.command("new")
@click.argument("name")
def new_command(name: str) -> None:
    """Write site/NAME.md, a working page that you can change."""
    from reports.building.settings import SettingsError, settings
    from reports.commands import new_page

    try:
        path = new_page.new(settings(Path()).docs, name)
    except (SettingsError, new_page.NewError) as error:
        fail(str(error))
    click.echo(f"wrote {path}\nSee it: abaculus serve")


@click.command("serve")
@bucket_option
@engine_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--private", is_flag=True, help="Show exact, unprotected numbers on this machine only.")
def serve_command(bucket: str, engine: str | None, host: str, port: int, private: bool) -> None:
    """Serve the site, and build it again when a page changes."""
    from reports.building.build import BuildError
    from reports.building.serve import serve

    load_registry()
    try:
        serve(bucket, host, port, private=private, say=lambda line: say.print(line, soft_wrap=True), engine=engine)
    except BuildError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port")


COMMANDS: list[click.Command] = [new_command, serve_command, check_command]
