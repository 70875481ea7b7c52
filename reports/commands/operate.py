"""Commands for operators: status, verify, delete a person, retry quarantined objects, store releases."""

import json
import textwrap
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import PROBE
from reports.blocks.format import inert, plural, some
from reports.commands.steps import in_workflow, pages_by_name, rules
from reports.commands.terminal import anyway_option, bucket_option, fail, load_registry, progress, say

if TYPE_CHECKING:
    from reports.operations.hints import Hint

__all__ = ["COMMANDS"]

# How many of the left-out paths are named.
MOST_NAMED = 20
# How many hints of a topic are printed.
MOST_HINTS = 10


def _size(count: int) -> str:
    """Bytes as people read them."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _json(found: Any) -> str:
    """A result as JSON. In a public log, each number is "some" or "no"."""

    def worded(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: worded(one) for name, one in value.items()}
        if isinstance(value, list):
            return [worded(one) for one in value]
        return value if isinstance(value, bool) or not isinstance(value, int) else "some" if value else "no"

    given = asdict(found)
    return json.dumps(worded(given) if in_workflow() else given, indent=1)


@click.command()
@bucket_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(bucket: str, as_json: bool) -> None:
    """Show waiting and stored sessions, what pages need, and what to do. Exit code 1 if something is wrong.

    In a workflow, where others may read the log, it prints words instead of counts.
    """
    from reports.operations.status import status as look

    public, loaded = in_workflow(), load_registry()
    amount = some if public else plural
    with progress("Looking"):
        store = open_bucket(bucket, create=False)
        found = look(store, bucket, loaded, minimum=rules().minimum, used=pages_by_name(), public=public)
    if as_json:
        click.echo(_json(found))
        raise SystemExit(1 if found.verdict else 0)
    for id, waiting in found.raw.items():
        more = "" if public else f", {_size(waiting.bytes)}, the oldest of {waiting.oldest}"
        click.echo(f"raw    {id}: {amount(waiting.objects, 'object')}{more}")
    for id, stored in found.tables.items():
        if id == PROBE.id and not stored.rows:
            continue
        months = f"{stored.months[0]} to {stored.months[-1]}" if stored.months else "no month"
        more = f", {months}, {plural(stored.files, 'file')}, {_size(stored.bytes)}, version {stored.version}"
        click.echo(f"table  {id}: {amount(stored.rows, 'session')}{'' if public else more}")
    for run in found.runs[:3]:
        stored_now = sum(counts.get("stored", 0) for counts in run["applications"].values())
        done = "failed" if run.get("error") else f"{amount(stored_now, 'session')} stored"
        click.echo(f"run    {run['started']}: {done}")
    _tell_hints(found.hints)
    for line in found.verdict:
        click.echo(f"to do  {line}")
    hints = f"; {plural(len(found.hints), 'hint')}, each with its fix" if found.hints else ""
    wrong = f"{plural(len(found.verdict), 'thing')} to do" if found.verdict else "nothing is wrong"
    click.echo(f"{wrong}{hints}" if found.verdict or found.hints else "all is well")
    raise SystemExit(1 if found.verdict else 0)


def _tell_hints(hints: "list[Hint]") -> None:
    """Prints what pages are missing and what they leave out: at most ten hints of a topic."""
    told: Counter[tuple[str, str]] = Counter()
    for hint in hints:
        told[hint.topic, hint.application] += 1
        if told[hint.topic, hint.application] <= MOST_HINTS:
            about = f"{hint.application}: {hint.about + ': ' if hint.about else ''}{hint.what}"
            # TOML is on lines of its own, so that people can copy it.
            end = f"; {hint.remedy}" if "\n" not in hint.remedy else f":\n{textwrap.indent(hint.remedy, '    ')}"
            click.echo(f"hint   {hint.topic}, {about}{end}")
    for (topic, application), number in told.items():
        if number > MOST_HINTS:
            click.echo(f"hint   {topic}, {application}: and {number - MOST_HINTS:,} more; --json prints all")


@click.command()
@bucket_option
def verify(bucket: str) -> None:
    """Compare the ledger with the tables. Reads every table file."""
    from reports.operations.status import verify as recount

    with progress("Counting"):
        faults = recount(open_bucket(bucket, create=False), bucket, load_registry())
    for fault in faults:
        click.echo(fault)
    if faults:
        raise SystemExit(1)
    click.echo("the ledger and the tables agree")


@click.command()
@bucket_option
@click.option("--file", "files", multiple=True, type=click.File("rb"),
              help="File with user ids, one on each line; - is standard input.")  # fmt: skip
@anyway_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("users", nargs=-1, metavar="[USER_ID]...")
def forget(bucket: str, files: tuple[Any, ...], anyway: bool, as_json: bool, users: tuple[str, ...]) -> None:
    """Delete all sessions of people, and drop later ones. You can repeat it.

    A deletion code, the SHA-256 of an id, can replace the id. People can send it in public.
    Says for each id what was found. Exit code 1 if some of their data may be left.
    """
    from reports.writers.brakes import Held
    from reports.writers.forget import ForgetError, marker
    from reports.writers.forget import forget as delete

    given = [*users]
    for file in files:
        try:
            given += file.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            fail(f"{file.name}: save it as UTF-8 text; nothing was deleted")
    try:
        with progress("Deleting") as told:
            result = delete(open_bucket(bucket, create=False), bucket, given, progress=told, anyway=anyway)
    except (ForgetError, Held) as error:
        fail(str(error))
    # A workflow's log may be public, and must not show how often one person ran the tool.
    amount = some if in_workflow() else plural
    if as_json:
        click.echo(_json(result))
    else:
        ids = {marker(id): id for id in (user.strip().lower() for user in given) if id}
        for number, (one, found) in enumerate(result.found.items(), 1):
            parts = ", ".join(amount(count, what) for what, count in found.items())
            # No public log shows any part of an id.
            name = f"id {number}" if in_workflow() else f"{ids[one][:8]}…"
            nothing = "nothing was stored under this id; later sessions will be dropped"
            click.echo(f"{name}: {f'deleted {parts}' if parts else nothing}")
        for application, rows in result.rows.items():
            if application == PROBE.id and not rows:
                continue
            click.echo(f"  {amount(rows, 'row')} of the table {application}")
        click.echo(
            f"  {amount(result.raw_sessions, 'raw session')}, {amount(result.quarantined, 'quarantined object')}"
        )
        click.echo(f"  {amount(result.old_files, 'old file')} of the tables and their logs")
        click.echo("Later sessions with these ids are dropped. Build the site again, so that no page counts them.")
    if result.unreadable:
        say.print(
            f"{amount(len(result.unreadable), 'object')} could not be read, and may contain these people; delete "
            f"them, or wait: quarantine is deleted after 30 days:",
            soft_wrap=True,
        )
        for key in [] if in_workflow() else result.unreadable:
            say.print(f"  {inert(key, 300)}", soft_wrap=True)
    if result.copies_in_use:
        say.print(
            f"Another command on this machine still reads {amount(result.copies_in_use, 'copy', 'copies')} of old "
            f"table files: run this command again when the other one has ended.",
            soft_wrap=True,
        )
    if result.versions_kept:
        say.print(
            "This bucket has versioning on, so it still keeps the data: switch it off, delete the old versions (with a "
            "lifecycle rule, or in the cloud's console), and run this command again.",
            soft_wrap=True,
        )
    elif not bucket.startswith("file:") and "://" in bucket:
        say.print("If soft delete is on for this bucket, the cloud still keeps the data: switch it off.")
    if not result.whole:
        raise SystemExit(1)


@click.command()
@bucket_option
@click.option("--apply", "remedies", multiple=True, metavar="REMEDY",
              help="Apply this remedy, by its name in the list; all applies every one.")  # fmt: skip
def repair(bucket: str, remedies: tuple[str, ...]) -> None:
    """List damage, its remedies and what each remedy loses; with --apply, repair it. Exit code 1 if damage is left."""
    from reports.writers import repair as repairs

    if unknown := sorted(set(remedies) - {*repairs.REMEDIES, "all"}):
        fail(f"no remedy is called {unknown[0]!r}; there are {', '.join(repairs.REMEDIES)}, and all")
    loaded, store = load_registry(), open_bucket(bucket, create=False)
    if remedies:
        chosen = set(repairs.REMEDIES) if "all" in remedies else set(remedies)
        with progress("Repairing") as told:
            for line in repairs.repair(store, bucket, loaded, chosen, told):
                click.echo(f"done  {line}")
    with progress("Looking"):
        found = repairs.find(store, bucket, loaded)
    for one in found:
        click.echo(f"{one.application or 'bucket'}: {one.what}")
        click.echo(f"    --apply {one.remedy}: {repairs.REMEDIES[one.remedy]}; loses {one.loses}")
    if found:
        raise SystemExit(1)
    click.echo("nothing is damaged")


@click.command()
@bucket_option
@click.argument("keys", nargs=-1, metavar="[KEY]...")
def requeue(bucket: str, keys: tuple[str, ...]) -> None:
    """Retry quarantined objects after a fix: the given ones, or all."""
    from reports.writers.requeue import requeue as put_back

    try:
        moved = put_back(open_bucket(bucket, create=False), keys)
    except FileNotFoundError as error:
        fail(f"{error}; `abaculus status` says how many are stored")
    for key in moved:
        click.echo(key)
    say.print(f"{plural(len(moved), 'object')} put back; now run `abaculus compact`")


@click.command()
@bucket_option
@click.argument("application")
@click.argument("source", metavar="[FILE|URL]", required=False)
def releases(bucket: str, application: str, source: str | None) -> None:
    """Store the versions and dates of an APPLICATION, from its code host or a file.

    A URL is the address of the repository, such as https://github.com/OWNER/NAME, or of its releases API. The default
    is the `repository` in the registry. A token in $GITHUB_TOKEN is sent to GitHub only. A file is CSV with the columns
    version,released, or JSON with the same members."""
    from reports.storage.releases import ReleaseError, from_api, from_file, keep

    known = load_registry(application)[application]
    source = source or known.repository
    if not source:
        fail(f'give a file or a URL, or write in the registry file of {application}: repository = "https://…"')
    try:
        with progress("Reading"):
            read = from_api(source, known) if "://" in source else from_file(Path(source), known)
            keep(open_bucket(bucket, create=False), application, read.releases)
    except ReleaseError as error:
        fail(str(error))
    newest = read.releases[-1]
    click.echo(
        f"{application}: {plural(len(read.releases), 'release')}, the newest {inert(newest['version'])} of "
        f"{newest['released']}"
    )
    for tag, why in read.left_out[:MOST_NAMED]:
        click.echo(f"left out {inert(tag)!r}: {inert(why, 200)}")
    if (more := len(read.left_out) - MOST_NAMED) > 0:
        click.echo(f"left out: {more:,} more")


@click.command("exclude")
@bucket_option
@click.option("--from", "start", metavar="TIME", help="Start, such as 2026-05-01T13:00 (UTC).")
@click.option("--to", "end", metavar="TIME", help="End; sessions that arrived at this moment are not excluded.")
@click.option("--application", metavar="ID", help="Only this application.")
@click.option("--why", default="", metavar="TEXT", help="The reason, for readers of the list.")
@click.option("--list", "listed", is_flag=True, help="List exclusions with the number of their sessions.")
@click.option("--remove", metavar="NAME", help="Remove this exclusion.")
def exclude_command(
    bucket: str,
    start: str | None,
    end: str | None,
    application: str | None,
    why: str,
    listed: bool,
    remove: str | None,
) -> None:
    """Exclude the sessions that arrived in a period, such as a flood, from all pages. Deletes nothing."""
    from reports.storage import exclude

    known = load_registry(application)
    store = open_bucket(bucket, create=False)
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
        counted = f"{plural(sessions, 'session')} of {plural(people, 'person', 'people')}"
        click.echo(f"{one.name}: {counted}{f' ({inert(one.why, 200)})' if one.why else ''}")
    if not listed:
        say.print(f"Build the site again. To undo it: abaculus exclude --remove {wanted.name}", soft_wrap=True)
    elif not shown:
        say.print("nothing is excluded")


COMMANDS = [status, verify, repair, forget, exclude_command, requeue, releases]
