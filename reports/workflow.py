"""The commands that workflows run, and those that set up a project."""

import json
import os
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from ingest.bucket import open_bucket
from reports.job import engine_of, in_workflow, minimum_users, run_build, run_compact, tell
from reports.ledger import Entry
from reports.terminal import bucket_option, engine_option, fail, load_registry, progress

__all__ = ["COMMANDS"]


def _ids(context: click.Context, option: click.Parameter, given: str) -> tuple[str, ...]:
    return tuple(id for id in re.split(r"[\s,]+", given) if id)


def _day(context: click.Context, option: click.Parameter, given: str) -> date | None:
    try:
        return date.fromisoformat(given) if given else None
    except ValueError:
        raise click.BadParameter(f"must be a day such as 2026-01-31, got {given!r}") from None


@click.command()
@bucket_option
@engine_option
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where the site goes.")
@click.option("--applications", default="", metavar="IDS", callback=_ids,
              help="Bring in sessions of these only, separated by commas; the site shows all.")  # fmt: skip
@click.option("--since", default="", metavar="DAY", callback=_day,
              help="Bring in sessions of this day and later only.")  # fmt: skip
@click.option("--mode", type=click.Choice(["incremental", "rebuild"]), default="incremental", show_default=True,
              help="rebuild: try again what was set aside, and recount the tables, first.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Change nothing in the bucket: say what waits, and build what is there.")
def run(
    bucket: str,
    engine: str | None,
    out: Path | None,
    applications: tuple[str, ...],
    since: date | None,
    mode: str,
    dry_run: bool,
) -> None:
    """Compact, then build: what the workflow runs. Appends to $GITHUB_STEP_SUMMARY what came of it."""
    from reports import warehouse

    engine = engine_of(engine)
    notes: list[str] = []
    entry: Entry | None = None
    site: Path | None = None
    try:
        if dry_run:
            notes.append("A dry run: nothing in the bucket was changed.")
            notes += _waiting(bucket)
        else:
            if mode == "rebuild":
                notes += _again(bucket)
            if engine == "duckdb":
                # The build reads all of every file: they come whole, and not first the columns of compaction.
                warehouse.fetch(open_bucket(bucket), bucket, load_registry())
            entry = run_compact(bucket, applications, since, engine)
            tell(entry)
        if mode == "rebuild":
            _recount(bucket)
        site = run_build(bucket, out, engine)
        click.echo(f"site: {site}")
    except SystemExit:
        notes.append("**This run failed.** The log of its step says where and why; the site that is published stays.")
        raise
    finally:
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(_summary(bucket, engine, entry, site, notes))


def _again(bucket: str) -> list[str]:
    """Puts back what was set aside."""
    from reports.requeue import requeue

    moved = requeue(open_bucket(bucket), ())
    return [f"{len(moved)} objects that were set aside were tried again."] if moved else []


def _recount(bucket: str) -> None:
    """Ends with exit code 1 when the ledger and the tables do not agree."""
    from reports.status import verify

    with progress("Counting"):
        faults = verify(open_bucket(bucket), bucket, load_registry())
    if faults:
        fail("\n".join(faults))


def _waiting(bucket: str) -> list[str]:
    """What waits in raw/, without saying how little."""
    from reports import raw
    from reports.format import inert
    from reports.summary import MOST, cell

    found = [inert(id) for id in raw.applications(open_bucket(bucket))][:MOST]
    for id in found:
        click.echo(f"waiting: sessions of {id}")
    return [f"Sessions of {', '.join(map(cell, found))} wait." if found else "No session waits."]


def _summary(bucket: str, engine: str, entry: Entry | None, site: Path | None, notes: list[str]) -> str:
    from reports import summary, warehouse
    from reports.plugin import STAMP

    minimum = minimum_users()
    stamp: dict[str, Any] = {}
    last = None
    store = open_bucket(bucket)
    if site is not None:
        stamp = json.loads((site / STAMP).read_text())
        last = summary.newest(warehouse.fetch(store, bucket, load_registry(), engine), minimum)
    aside = (
        summary.reasons(store, entry.run)
        if entry and any(one.quarantined for one in entry.applications.values())
        else {}
    )
    return summary.summary(
        entry=entry, aside=aside, site=site, seconds=summary.fields(stamp), last=last,
        now=datetime.now(UTC).replace(tzinfo=None), minimum=minimum, notes=notes,
    )  # fmt: skip


@click.command()
@bucket_option
@click.option("--hours", default=26.0, show_default=True, help="How old the last compaction may be.")
@click.option("--aside", default=0.01, show_default=True, help="Share of a day's sessions that may be set aside.")
@click.option("--waiting", default=0.1, show_default=True, help="Share that may wait for the registry.")
def health(bucket: str, hours: float, aside: float, waiting: float) -> None:
    """Say whether something is wrong that nobody would notice: the daily check. Exit code 1 when it is."""
    from reports import ledger
    from reports.health import health as look

    now = datetime.now(UTC)
    wrong = look(ledger.entries(open_bucket(bucket)), now, hours=hours, aside=aside, waiting=waiting)
    for line in wrong:
        click.echo(line)
        if in_workflow():
            click.echo(f"::error title=abaculus health::{line}")
    if wrong:
        raise SystemExit(1)
    click.echo("all is well")


@click.command("init")
@click.option("--id", metavar="ID", help="Id of the tool in sessions; DIR's name without -telemetry, unless given.")
@click.option("--name", metavar="NAME", help="Name of the tool, as people know it; the id, unless given.")
@click.option("--workflows", "source", metavar="OWNER/NAME[@TAG]", help="Whose workflows to call.")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def init_command(directory: Path, id: str | None, name: str | None, source: str | None) -> None:
    """Make a small project of your own in DIR: registry, pages, workflows. It builds at once."""
    from reports import init

    id = id or directory.absolute().name.removesuffix("-telemetry").lower()
    try:
        written = init.init(directory, id, name or id, source or init.SOURCE)
    except init.InitError as error:
        fail(str(error))
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"Next: say in applications/{id}.toml what your tool sends, then\n  cd {directory} && abaculus demo")


@click.command()
@bucket_option
@click.option("--endpoint", metavar="URL", envvar="ABACULUS_ENDPOINT", help="Try the ingest function there, too.")
@click.option("--site", metavar="URL", help="Look at the published site, too.")
@click.option("--as-function", is_flag=True,
              help="With the function's own credentials: see that they create in raw/ and nothing else.")  # fmt: skip
def doctor(bucket: str, endpoint: str | None, site: str | None, as_function: bool) -> None:
    """Check a set-up from the outside in. Each failure comes with its remedy; exit code 1 when there is one."""
    from reports import doctor as checks

    loaded = load_registry()
    store = open_bucket(bucket, retries=False)
    found = list(checks.function(store)) if as_function else []
    if not as_function:
        if site:
            found += checks.site(site)
        if endpoint:
            found += checks.endpoint(endpoint, store)
        found += checks.compaction(store, bucket, loaded)
    for one in found:
        click.echo(f"ok      {one.what}" if one.wrong is None else f"WRONG   {one.what}: {one.wrong}")
        if one.wrong and one.remedy:
            click.echo(f"        to do: {one.remedy}")
    wrong = sum(one.wrong is not None for one in found)
    if wrong:
        fail(f"{wrong} of {len(found)} are wrong")
    click.echo("all is well")


COMMANDS: list[click.Command] = [run, health, init_command, doctor]
