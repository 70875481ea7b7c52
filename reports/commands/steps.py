"""The steps of a run, which commands and workflows share: compact, build, and report the result."""

import os
from collections.abc import Collection
from contextlib import closing, nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingest.function.bucket_url import open_bucket, open_or_empty
from reports.blocks.format import inert, plural
from reports.commands.own_telemetry import telemetry
from reports.commands.terminal import fail, load_registry, progress, say
from reports.storage.ledger import Entry

if TYPE_CHECKING:
    from reports.building.report import Checked
    from reports.gate.rules import Rules
    from reports.pages.registry_page import Uses

__all__ = ["engine_of", "in_workflow", "mark", "pages_by_name", "rules", "run_build", "run_compact", "stop", "tell"]


def in_workflow() -> bool:
    """Whether this is a workflow. Its log may be as public as the repository."""
    return bool(os.environ.get("GITHUB_ACTIONS"))


def rules() -> "Rules":
    """The rules that protect public numbers, from mkdocs.yml in this directory."""
    from reports.building.settings import SettingsError, settings
    from reports.gate.rules import Rules

    try:
        return settings(Path()).rules
    except SettingsError:
        return Rules()


def pages_by_name() -> "Uses | None":
    """Which pages of the site in this directory read which names. None if there is no readable site."""
    from reports.building.build import BuildError, pages
    from reports.pages.registry_page import uses

    try:
        return uses(pages())
    except BuildError:
        return None


def engine_of(given: str | None) -> str:
    """The engine that counts: from the command, else from mkdocs.yml in this directory, else from the environment."""
    from reports.building.settings import SettingsError, settings
    from reports.query.engine import chosen

    try:
        return chosen(given, settings(Path()).engine)
    except SettingsError:
        return chosen(given)


def run_compact(
    bucket: str,
    applications: Collection[str] = (),
    since: date | None = None,
    engine: str | None = None,
    *,
    anyway: bool = False,
) -> Entry:
    """One compaction run with its progress. The entry's `error` says what failed; see `stop`."""
    from reports.query.snapshot import cluster
    from reports.writers.compact import Unfinished, compact

    loaded = load_registry(*applications)
    try:
        with progress("Compacting") as told, telemetry.current.span("Compact"):
            there = cluster(engine_of(engine), bucket)
            with nullcontext() if there is None else closing(there):
                known = None if there is None else there.known
                return compact(
                    open_bucket(bucket),
                    bucket,
                    loaded,
                    applications=applications,
                    since=since,
                    progress=told,
                    known=known,
                    anyway=anyway,
                )
    except Unfinished as error:
        return error.entry


def stop(entry: Entry) -> None:
    """Ends with exit code 1 if a compaction run left something undone, and says what."""
    if entry.error:
        fail(entry.error)


def tell(entry: Entry) -> None:
    """Prints the results of a compaction run, one line for each application. In a workflow it prints only public
    results. Then `stop`.
    """
    from reports.commands.workflow_summary import MOST, spoken

    public = rules() if in_workflow() else None
    for id, counts in entry.applications.items():
        parts = [f"{number} {what}" for what, number in spoken(counts, public)]
        if public is None:
            # If a client sends each session at once, an object is one session.
            parts[0] = f"{plural(counts.sessions, 'session')} in {plural(counts.objects, 'object')}"
        click.echo(f"{id}: {', '.join(parts)}")
    if not entry.applications:
        click.echo("nothing new")
    for id in entry.unregistered[:MOST]:
        # Anyone who may create raw objects can choose this name.
        say.print(f"raw/v1/{inert(id)}/ waits, because no registry file has this id; add one")
    stop(entry)


def mark(found: "Checked", title: str) -> None:
    """In a workflow, shows each mistake beside its line, and all in the summary, because GitHub shows only ten beside
    lines.
    """
    from reports.building.report import annotations, summary

    if not in_workflow() or not (found.pages or found.faults):
        return
    for line in annotations(found, title):
        click.echo(line, err=True)
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(summary(found, title))


def run_build(bucket: str, out: Path | None, engine: str | None = None, *, marked: bool = False) -> Path:
    """Builds the site and shows the progress. If pages have mistakes, lists all of them and ends with exit code 1.

    With `marked`, pages with mistakes are built and show them; then only `check` reports them to a workflow.
    """
    from reports.building.build import BuildError, build

    load_registry()
    if absent := open_or_empty(bucket)[1]:
        say.print(absent)
    try:
        with progress("Building the site"), telemetry.current.span("Build"):
            site = build(bucket, out, engine, marked=marked, say=lambda line: click.echo(line, err=True))
    except BuildError as error:
        if not marked:
            mark(error.found, "abaculus build")
        say.print(str(error), soft_wrap=True, markup=False)
        fail("the site has mistakes; fix the mistakes above")
    return site
