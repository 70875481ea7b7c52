"""Commands for who runs the thing: look, verify, delete a person, put back what was set aside, bring in releases."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ingest.bucket import open_bucket
from reports.format import inert
from reports.job import in_workflow
from reports.terminal import bucket_option, fail, load_registry, progress, say

__all__ = ["COMMANDS"]


def _size(count: int) -> str:
    """Bytes as people read them."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _amount(number: int, public: bool) -> str:
    """How many; where everybody reads it, only whether there were any."""
    return ("some" if number else "no") if public else f"{number:,}"


@click.command()
@bucket_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(bucket: str, as_json: bool) -> None:
    """Say what waits, what is stored, what is odd, and what to do. Exit code 1 when something is to be done."""
    from reports.status import status as look

    with progress("Looking"):
        found = look(open_bucket(bucket), bucket, load_registry())
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
        raise SystemExit(1 if found.verdict else 0)
    for id, waiting in found.raw.items():
        click.echo(f"raw    {id}: {waiting.objects:,} objects, {_size(waiting.bytes)}, the oldest of {waiting.oldest}")
    for id, stored in found.tables.items():
        months = f"{stored.months[0]} to {stored.months[-1]}" if stored.months else "no month"
        click.echo(
            f"table  {id}: {stored.rows:,} sessions, {months}, {stored.files} files, {_size(stored.bytes)}, "
            f"version {stored.version}"
        )
    for id, paths in found.left_out.items():
        for path, count in list(paths.items())[:10]:
            # A name comes from whoever sent it.
            click.echo(f"left out  {id}: {inert(path)} in {count:,} sessions; `abaculus registry suggest` prints TOML")
    for name, count in found.excluded.items():
        click.echo(f"excluded  {name}: {count:,} sessions are in no view; `abaculus exclude --remove` brings them back")
    for run in found.runs[:3]:
        stored_now = sum(counts.get("stored", 0) for counts in run["applications"].values())
        click.echo(f"run    {run['started']}: {stored_now:,} stored{', failed' if run.get('error') else ''}")
    for line in found.verdict:
        click.echo(f"to do  {line}")
    click.echo("all is well" if not found.verdict else f"{len(found.verdict)} to do")
    raise SystemExit(1 if found.verdict else 0)


@click.command()
@bucket_option
def verify(bucket: str) -> None:
    """Recount the ledger against the tables. Reads every table file."""
    from reports.status import verify as recount

    with progress("Counting"):
        faults = recount(open_bucket(bucket), bucket, load_registry())
    for fault in faults:
        click.echo(fault)
    if faults:
        raise SystemExit(1)
    click.echo("the ledger and the tables agree")


@click.command()
@bucket_option
@click.option("--file", "files", multiple=True, type=click.File("r"), help="User ids, one a line; - is standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
@click.argument("users", nargs=-1, metavar="[USER_ID]...")
def forget(bucket: str, files: tuple[Any, ...], as_json: bool, users: tuple[str, ...]) -> None:
    """Delete everything about people, now and for what comes later. Can be run again."""
    from reports.forget import ForgetError
    from reports.forget import forget as delete

    given = [*users, *(line for file in files for line in file)]
    try:
        with progress("Deleting") as told:
            result = delete(open_bucket(bucket), bucket, given, progress=told)
    except ForgetError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps(asdict(result), indent=1))
    else:
        click.echo(f"{result.people} {'person' if result.people == 1 else 'people'} forgotten:")
        # A workflow's log may be public, and how often one person ran the tool is theirs.
        public = in_workflow()
        for id, rows in result.rows.items():
            click.echo(f"  {_amount(rows, public)} rows of the table {id}")
        raw, aside = _amount(result.raw_sessions, public), _amount(result.quarantined, public)
        click.echo(f"  {raw} raw sessions, {aside} quarantined objects")
        click.echo(f"  {_amount(result.old_files, public)} old files of the tables and their logs")
        click.echo("Whatever of theirs is uploaded later is dropped. Rebuild the site, so that no page counts them.")
    if result.unreadable:
        say.print(f"{len(result.unreadable)} objects cannot be read, so nobody knows who is in them:", soft_wrap=True)
        for key in [] if in_workflow() else result.unreadable:
            say.print(f"  {inert(key, 300)}", soft_wrap=True)
    if result.versions_kept:
        say.print(
            "This bucket has versioning on and still keeps every byte: switch it off, delete the old versions (with a "
            "lifecycle rule, or in the cloud's console), and run this again.",
            soft_wrap=True,
        )
    elif not bucket.startswith("file:") and "://" in bucket:
        say.print("If soft delete is on for this bucket, the cloud keeps the bytes for its time: switch it off.")


@click.command()
@bucket_option
@click.argument("keys", nargs=-1, metavar="[KEY]...")
def requeue(bucket: str, keys: tuple[str, ...]) -> None:
    """Put quarantined objects back among the raw sessions, after a fix: these, or all."""
    from reports.requeue import requeue as put_back

    try:
        moved = put_back(open_bucket(bucket), keys)
    except FileNotFoundError as error:
        fail(f"{error}; `abaculus status` says how many are there")
    for key in moved:
        click.echo(key)
    say.print(f"{len(moved)} put back; `abaculus compact` takes them")


@click.command()
@bucket_option
@click.argument("application")
@click.argument("source", metavar="FILE|URL")
def releases(bucket: str, application: str, source: str) -> None:
    """Bring versions and dates of an APPLICATION into the bucket: from its code host's API, or from a file.

    A URL is that of the releases API, such as https://api.github.com/repos/OWNER/NAME/releases (a token in
    $GITHUB_TOKEN is used); a file is CSV with the columns version,released or JSON with the same members.
    """
    from reports.releases import ReleaseError, from_api, from_file, keep

    if application not in load_registry():
        fail(f"no application {application!r} in the registry")
    try:
        with progress("Reading"):
            found = from_api(source) if "://" in source else from_file(Path(source))
            keep(open_bucket(bucket), application, found)
    except ReleaseError as error:
        fail(str(error))
    newest = max(found, key=lambda one: one["released"])
    click.echo(f"{application}: {len(found)} releases, the newest {inert(newest['version'])} of {newest['released']}")


@click.command("exclude")
@bucket_option
@click.option("--from", "start", metavar="TIME", help="From when on, as 2026-05-01T13:00 (UTC).")
@click.option("--to", "end", metavar="TIME", help="Until when; what came in at that moment stays.")
@click.option("--application", metavar="ID", help="Only this application.")
@click.option("--why", default="", metavar="TEXT", help="For whoever reads the list.")
@click.option("--list", "listed", is_flag=True, help="Name what is excluded, and how much that is.")
@click.option("--remove", metavar="NAME", help="Bring these sessions back.")
def exclude_command(
    bucket: str,
    start: str | None,
    end: str | None,
    application: str | None,
    why: str,
    listed: bool,
    remove: str | None,
) -> None:
    """Keep sessions that came in within a time, a flood, out of all pages and answers. Nothing is deleted."""
    from reports import exclude

    known = load_registry()
    store = open_bucket(bucket)
    if application is not None and application not in known:
        fail(f"no application {application!r} in the registry; there are {', '.join(known)}")
    if sum([listed, remove is not None, start is not None or end is not None]) != 1 or (start is None) != (end is None):
        fail("give --from and --to, or --list, or --remove NAME")
    try:
        if remove is not None:
            exclude.remove(store, remove)
            click.echo(f"{remove}: its sessions are back; build the site again")
            return
        if start is not None and end is not None:
            wanted = exclude.Exclusion(exclude.moment(start), exclude.moment(end), application, why)
            if not exclude.exclude(store, wanted, datetime.now(UTC)):
                say.print(f"{wanted.name} is excluded already")
    except exclude.ExcludeError as error:
        fail(str(error))
    shown = exclude.exclusions(store) if listed else [wanted]
    for one in shown:
        with progress("Counting"):
            sessions, people = exclude.count(store, bucket, known, one)
        counted = f"{sessions:,} sessions of {people:,} people"
        click.echo(f"{one.name}: {counted}{f' ({inert(one.why, 200)})' if one.why else ''}")
    if not listed:
        say.print(f"Build the site again. To undo it: abaculus exclude --remove {wanted.name}", soft_wrap=True)
    elif not shown:
        say.print("nothing is excluded")


COMMANDS = [status, verify, forget, exclude_command, requeue, releases]
