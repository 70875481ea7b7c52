"""Commands that workflows run, and commands that set up a project."""

import json
import os
import re
import shlex
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.blocks.format import inert, plural
from reports.commands.steps import engine_of, in_workflow, pages_by_name, rules, run_build, run_compact, tell
from reports.commands.terminal import anyway_option, bucket_option, engine_option, fail, load_registry, progress
from reports.storage.ledger import Entry

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
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Directory of the site.")
@click.option("--applications", default="", metavar="IDS", callback=_ids,
              help="Compact only these applications, separated by commas. The site shows all.")  # fmt: skip
@click.option("--since", default="", metavar="DAY", callback=_day,
              help="Compact only sessions of this day and later.")  # fmt: skip
@click.option("--mode", type=click.Choice(["incremental", "rebuild"]), default="incremental", show_default=True,
              help="rebuild: first retry quarantined objects and count the tables again.")  # fmt: skip
@click.option("--live-inputs", default="", metavar="DIGEST",
              help="`inputs` in the stamp of the published site: equal inputs build nothing.")  # fmt: skip
@anyway_option
@click.option(
    "--dry-run", is_flag=True, help="Change nothing in the bucket: show waiting sessions, and build the site."
)
def run(
    bucket: str,
    engine: str | None,
    out: Path | None,
    applications: tuple[str, ...],
    since: date | None,
    mode: str,
    live_inputs: str,
    anyway: bool,
    dry_run: bool,
) -> None:
    """Compact, then build, as the workflow does. Appends a summary to $GITHUB_STEP_SUMMARY."""
    from reports.building.inputs import inputs
    from reports.query.snapshot import fetch
    from reports.storage.explained import OUTER
    from reports.storage.table import TableError

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
                # The build reads whole files, so fetch them whole, not only the columns for compaction.
                with suppress(TableError, *OUTER):  # a damaged table stops its application, and the build reports it
                    fetch(open_bucket(bucket), bucket, load_registry())
            entry = run_compact(bucket, applications, since, engine, anyway=anyway)
            tell(entry)
            notes += _releases(bucket)
        if mode == "rebuild":
            _recount(bucket)
        if live_inputs and live_inputs == inputs(open_bucket(bucket)):
            notes.append("Nothing new: the published site is current.")
            click.echo("nothing new: the published site is current")
        else:
            site = run_build(bucket, out, engine)
            click.echo(f"site: {site}")
    except SystemExit:
        notes.append("**This run failed.** The log of the failed step says where and why. The published site stays.")
        raise
    finally:
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(_summary(bucket, engine, entry, site, notes))


def _releases(bucket: str) -> list[str]:
    """Stores the releases of all repositories that the registry names. If a repository does not answer, its releases do
    not change.
    """
    from reports.storage.releases import ReleaseError, from_api, keep

    store, notes = open_bucket(bucket), []
    for id, application in load_registry().items():
        if not application.repository:
            continue
        try:
            with progress(f"Reading the releases of {id}"):
                new = keep(store, id, from_api(application.repository, application).releases)
        except ReleaseError as error:
            notes.append(f"The releases of {id} did not change: {inert(str(error), 300)}")
            click.echo(f"{'::warning title=abaculus run::' if in_workflow() else ''}{notes[-1]}", err=True)
        else:
            click.echo(f"{id}: {'new releases' if new else 'no new release'}")
    return notes


def _again(bucket: str) -> list[str]:
    """Retries quarantined objects."""
    from reports.writers.requeue import requeue

    moved = requeue(open_bucket(bucket, create=False), ())
    return ["Quarantined objects were retried."] if moved else []


def _recount(bucket: str) -> None:
    """Ends with exit code 1 if the ledger and the tables differ."""
    from reports.operations.status import verify

    with progress("Counting"):
        faults = verify(open_bucket(bucket, create=False), bucket, load_registry())
    if faults and in_workflow():
        fail("the ledger and the tables do not agree; `abaculus verify` says where")
    if faults:
        fail("\n".join(faults))


def _waiting(bucket: str) -> list[str]:
    """What waits in raw/, without small numbers."""
    from reports.commands.workflow_summary import MOST, cell
    from reports.storage import raw

    found = [inert(id) for id in raw.applications(open_bucket(bucket, create=False))][:MOST]
    for id in found:
        click.echo(f"waiting: sessions of {id}")
    return [f"Sessions of {', '.join(map(cell, found))} wait." if found else "No session waits."]


def _summary(bucket: str, engine: str, entry: Entry | None, site: Path | None, notes: list[str]) -> str:
    from reports.building.hooks import STAMP
    from reports.commands import workflow_summary
    from reports.query.snapshot import fetch

    public = rules()
    stamp: dict[str, Any] = {}
    last = None
    store = open_bucket(bucket, create=False)
    if site is not None:
        stamp = json.loads((site / STAMP).read_text(encoding="utf-8"))
        last = workflow_summary.newest(fetch(store, bucket, load_registry(), engine), public.minimum)
    aside = (
        workflow_summary.reasons(store, entry.run)
        if entry and any(one.quarantined for one in entry.applications.values())
        else ()
    )
    return workflow_summary.summary(
        entry=entry, aside=aside, site=site, seconds=workflow_summary.fields(stamp), last=last,
        now=datetime.now(UTC).replace(tzinfo=None), rules=public, notes=notes,
    )  # fmt: skip


@click.command()
@bucket_option
@click.option("--hours", default=26.0, show_default=True, help="Largest age of the last compaction.")
@click.option(
    "--quarantined", default=0.01, show_default=True, help="Share of a day's sessions that may be quarantined."
)
@click.option("--waiting", default=0.1, show_default=True, help="Share of sessions that may wait for the registry.")
def health(bucket: str, hours: float, quarantined: float, waiting: float) -> None:
    """Check for problems that nobody would notice, once a day. Exit code 1 if something is wrong."""
    from reports.operations.health import health as look
    from reports.storage import ledger

    now = datetime.now(UTC)
    wrong = look(
        ledger.entries(open_bucket(bucket, create=False)), now, hours=hours, quarantined=quarantined, waiting=waiting
    )
    for line in wrong:
        click.echo(line)
        if in_workflow():
            click.echo(f"::error title=abaculus health::{line}")
    if wrong:
        raise SystemExit(1)
    click.echo("all is well")


@click.command("init")
@click.option("--id", metavar="ID", help="Id of the tool in sessions. Default: the name of DIR.")
@click.option("--name", metavar="NAME", help="Name of the tool for readers. Default: the id.")
@click.option("--workflows", metavar="OWNER/NAME[@COMMIT]",
              help="Repository of the workflows. Default: that of this installation.")  # fmt: skip
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def init_command(directory: Path, id: str | None, name: str | None, workflows: str | None) -> None:
    """Write a project into DIR: registry, pages and workflows. It builds at once."""
    from reports.commands import init

    id = id or directory.absolute().name
    try:
        written = init.init(directory, id, name or id, workflows)
    except init.InitError as error:
        fail(str(error))
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(
        f"\nYour tool sends the id {id} in its sessions. Declare in applications/{id}.toml what it sends. Next:\n"
    )
    for line in [f"cd {shlex.quote(str(directory))}", *init.commands(directory)]:
        click.echo(f"  {line}")


@click.command()
@bucket_option
@click.option("--endpoint", metavar="URL", envvar="ABACULUS_ENDPOINT", help="Also test the ingest function there.")
@click.option("--site", metavar="URL", help="Also check the published site.")
@click.option("--as-function", is_flag=True,
              help="Check that these credentials of the function can only create in raw/.")  # fmt: skip
@click.option("--session", is_flag=True,
              help="Only show the newest session beside the registry. It is the data of one person.")  # fmt: skip
def doctor(bucket: str, endpoint: str | None, site: str | None, as_function: bool, session: bool) -> None:
    """Check bucket, rights, endpoint and site. Names a fix for each failure; exit code 1 if there is one."""
    from reports.operations import doctor as checks

    loaded = load_registry()
    store = open_bucket(bucket, retries=False, create=False)
    if session:
        _tell_newest(store, bucket, loaded)
        return
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
        fail(f"{wrong:,} of {plural(len(found), 'check')} failed")
    click.echo("all is well")


def _tell_newest(store: ObjectStore, bucket: str, loaded: dict[str, Application]) -> None:
    """Prints the newest session of each application, with a line for each path of the session and the registry."""
    from reports.operations.newest_session import newest

    if in_workflow():
        fail("a session is the data of one person: run this where nobody else can read the output")
    with progress("Looking"):
        found = list(newest(store, bucket, loaded, pages_by_name()))
    for one in found:
        came = "" if one.came is None else f" {inert(one.version)} arrived at {one.came:%Y-%m-%d %H:%M:%S} UTC, in"
        click.echo(f"{one.application}{came or ','} {one.place}{f': {one.wrong}' if one.wrong else ''}")
        for part in one.parts:
            what = f": {part.what}" if part.what else ""
            read = f" (read by {', '.join(part.pages)})" if part.pages else ""
            click.echo(f"  {part.state:<10}  {part.path}{what}{read}")
    if not found:
        fail("no session has arrived; run your tool, or test the function with `abaculus probe URL`")
    if any(one.wrong for one in found):
        raise SystemExit(1)


COMMANDS: list[click.Command] = [run, health, init_command, doctor]
