"""One run, step by step, as the commands and the workflows share it: compact, build, and say what came of it."""

import os
from collections.abc import Collection
from contextlib import closing, nullcontext
from datetime import date
from pathlib import Path

import click

from ingest.bucket import open_bucket
from reports.format import inert
from reports.ledger import Entry
from reports.telemetry import current
from reports.terminal import fail, load_registry, progress, say

__all__ = ["engine_of", "in_workflow", "minimum_users", "run_build", "run_compact", "tell"]


def in_workflow() -> bool:
    """Whether a workflow runs this, so that what is printed may be as public as its repository."""
    return bool(os.environ.get("GITHUB_ACTIONS"))


def minimum_users() -> int:
    """How many people a published number needs, as mkdocs.yml of this directory says it."""
    from reports.check import ProjectError, project
    from reports.site import MINIMUM_USERS

    try:
        return project(Path()).minimum_users
    except ProjectError:
        return MINIMUM_USERS


def engine_of(given: str | None) -> str:
    """What counts: as the command says, else as mkdocs.yml of this directory does, else as the environment does."""
    from reports.check import ProjectError, project
    from reports.engine import chosen

    try:
        return chosen(given, project(Path()).engine)
    except ProjectError:
        return chosen(given)


def run_compact(
    bucket: str, applications: Collection[str] = (), since: date | None = None, engine: str | None = None
) -> Entry:
    """One compaction run with its progress; ends with exit code 1 on what a maintainer can mend."""
    from reports.compact import compact
    from reports.engine import cluster
    from reports.table import Overtaken, TableError

    loaded = load_registry()
    if unknown := sorted(set(applications) - set(loaded)):
        fail(f"no application {unknown[0]!r} in the registry; there are {', '.join(loaded)}")
    try:
        with progress("Compacting") as told, current().span("Compact"):
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
                )
    except (TableError, Overtaken) as error:
        fail(str(error))


def tell(entry: Entry) -> None:
    """What a compaction run did, a line an application; in a workflow no number that is of few people."""
    from reports.summary import MOST, spoken

    minimum = minimum_users() if in_workflow() else None
    for id, counts in entry.applications.items():
        (_, received), *others = spoken(counts, minimum)
        # An object of a client that sends each session at once is a session.
        objects = f" in {counts.objects:,} objects" if minimum is None else ""
        parts = [f"{received} sessions{objects}", *(f"{number} {what}" for what, number in others)]
        click.echo(f"{id}: {', '.join(parts)}")
    if not entry.applications:
        click.echo("nothing new")
    for id in entry.unregistered[:MOST]:
        # Anyone who may create raw objects chose it.
        say.print(f"raw/v1/{inert(id)}/ waits: no registry file has this id; add one")


def run_build(bucket: str, out: Path | None, engine: str | None = None) -> Path:
    """Builds the site with its progress; ends with exit code 1 and every fault of every page."""
    from reports.assets import small_bundle
    from reports.check import Checked, annotations
    from reports.plugin import BuildError, build

    load_registry()
    try:
        with progress("Building the site"), current().span("Build"):
            site = build(bucket, out, engine)
    except BuildError as error:
        if in_workflow():
            for line in annotations(Checked(0, 0, list(error.faults), []), "abaculus build"):
                click.echo(line, err=True)
        say.print(str(error), soft_wrap=True)
        fail("the site was not built; mend what is named above")
    if small_bundle() is None:
        say.print(
            "Charts load plotly's full bundle; with Node, reinstall abaculus for one a third its size.", soft_wrap=True
        )
    return site
