"""The `abaculus` command: reads options, calls one function, prints what came of it."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click

from ingest import registry
from ingest.bucket import BucketError, open_bucket
from reports import author, operate, workflow
from reports.engine import EngineError
from reports.job import engine_of, run_build, run_compact, tell
from reports.telemetry import current, telemetry
from reports.terminal import bucket_option, engine_option, fail, load_registry, progress, say

__all__ = ["main"]

OUT = click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where the site goes."
)


class Commands(click.Group):
    """Turns what a maintainer can mend into a sentence and exit code 1; a bug keeps its traceback."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """Runs the program, as a session of its own if its user lets it."""
        given = sys.argv[1:] if args is None else args
        with telemetry.session(off=list(given[:1]) == ["telemetry"]) as session:
            session.environment()
            return super().main(args, *rest, obj=session, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except (BucketError, EngineError, registry.RegistryError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            say.print("stopped; nothing is lost: what was not finished is done by the next run")
            raise SystemExit(130) from None
        except BrokenPipeError:
            # The reader of our output went away, as `head` does. Python would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="abaculus", message="%(package)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Telemetry for command-line tools at nearly no cost, read as a static site."""
    current().attribute("commandName", context.invoked_subcommand)
    _end_in_order(context)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


def _end_in_order(context: click.Context) -> None:
    """Has a run that is asked to stop (SIGTERM) leave as one that fails: people's rows may lie in its scratch files."""

    def stop(number: int, frame: FrameType | None) -> None:
        # Whoever asks again must not interrupt the leaving.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    def restore() -> None:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, before)

    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, stop)
        context.call_on_close(restore)


@main.command()
@bucket_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
def ingest(bucket: str, host: str, port: int) -> None:
    """Serve the ingest function until it is stopped."""
    from ingest.asgi import serve
    from ingest.settings import SettingsError

    load_registry()
    try:
        serve(bucket, host, port)
    except (SettingsError, OSError) as error:
        fail(str(error))


@main.command("compact")
@bucket_option
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print the ledger entry as JSON.")
def compact_command(bucket: str, engine: str | None, as_json: bool) -> None:
    """Move new sessions into the table, exactly once."""
    entry = run_compact(bucket, engine=engine)
    if as_json:
        click.echo(json.dumps(asdict(entry), indent=1))
    else:
        tell(entry)


@main.command("build")
@bucket_option
@engine_option
@OUT
def build_command(bucket: str, engine: str | None, out: Path | None) -> None:
    """Build the site that mkdocs.yml describes, strictly."""
    click.echo(f"site: {run_build(bucket, out, engine)}")


@main.command()
@bucket_option
@engine_option
@click.option("--application", metavar="ID", help="Only this application.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--json", "form", flag_value="json", help="Print an array of objects, and nothing else.")
@click.argument("query", metavar="SELECT")
def sql(bucket: str, engine: str | None, application: str | None, form: str | None, query: str) -> None:
    """Ask a question of your own. The answer is not gated: do not publish it."""
    from reports import ask

    loaded = load_registry()
    if application is not None:
        if application not in loaded:
            fail(f"no application {application!r} in the registry; there are {', '.join(loaded)}")
        loaded = {application: loaded[application]}
    try:
        with progress("Asking"):
            answer = ask.ask(open_bucket(bucket), bucket, loaded, query, engine_of(engine))
    except ask.AskError as error:
        fail(str(error))
    if form is None:
        say.print("Not gated: this shows single people's runs. Do not publish it.", style="yellow")
    click.echo(ask.FORMS[form or "table"](answer), nl=False)


@main.command()
@click.argument("url")
@click.option("--bucket", metavar="URL", help="Look whether the session lies in this bucket, too.")
def probe(url: str, bucket: str | None) -> None:
    """Test a deployed ingest function: send one session twice."""
    from reports.probe import ProbeError
    from reports.probe import probe as run_probe

    try:
        run_probe(url, open_bucket(bucket) if bucket else None, click.echo)
    except ProbeError as error:
        fail(str(error))


@main.group("registry")
def registry_group() -> None:
    """Work on the registry: the list of all that an application may send."""


@registry_group.command()
def check() -> None:
    """Load every registry file and name every fault."""
    for id, application in load_registry().items():
        if id != registry.PROBE.id:
            counts = (len(application.attributes), len(application.events), len(application.spans))
            click.echo("{}: {} attributes, {} types of event, {} types of span".format(id, *counts))


@registry_group.command()
@click.option("--minimum-users", default=10, show_default=True, help="How many people your site shows at least.")
def privacy(minimum_users: int) -> None:
    """Print a privacy text for your users, as Markdown, made from the registry."""
    from reports.collected import privacy as text

    click.echo(text(load_registry(), minimum_users))


@registry_group.command()
@click.argument("application", metavar="ID")
def paths(application: str) -> None:
    """Print all that an application may send, a path a line, as the client's `collects` takes it."""
    loaded = load_registry()
    if application not in loaded:
        fail(f"no application {application!r} in the registry; there are {', '.join(loaded)}")
    click.echo("\n".join(loaded[application].paths))


@registry_group.command()
@click.argument("files", nargs=-1, type=click.File("rb"), metavar="[FILE]...")
@bucket_option
def suggest(files: tuple[Any, ...], bucket: str) -> None:
    """Print TOML for what is not declared yet: from sessions in FILEs (JSON or NDJSON, .gz too, - for standard input),
    or, without any, from the names that were left out of the sessions in the bucket."""
    from ingest import suggest as suggesting
    from reports import leftout

    loaded = load_registry()
    if files:
        try:
            found = suggesting.from_sessions(session for file in files for session in leftout.sessions(file))
        except ValueError as error:
            fail(str(error))
    else:
        paths = leftout.paths(open_bucket(bucket), bucket, loaded)
        found = {id: suggesting.from_paths(counts) for id, counts in paths.items()}
    said = False
    for id, seen in sorted(found.items()):
        if text := suggesting.toml(seen, loaded.get(id)):
            click.echo(f"# for the application {json.dumps(id)}\n{text}")
            said = True
    if not said:
        say.print("nothing to suggest: all that was found is declared")


@main.command()
@click.option("--dir", "directory", default="build/demo", show_default=True, metavar="DIR",
              type=click.Path(file_okay=False, path_type=Path), help="Where its bucket and site go.")  # fmt: skip
@click.option("--sessions", default=20_000, show_default=True, type=click.IntRange(1), metavar="N",
              envvar="ABACULUS_DEMO_SESSIONS", show_envvar=True)  # fmt: skip
@click.option("--seed", default=0, show_default=True, metavar="S")
@click.option("--no-serve", is_flag=True, help="Stop when the site is built.")
def demo(directory: Path, sessions: int, seed: int, no_serve: bool) -> None:
    """From nothing to a site: send made-up sessions over HTTP, compact them, build, and serve."""
    from reports import demo as demo_module

    load_registry()
    demo_module.demo(directory, sessions, seed, send_progress=progress, compact=run_compact, tell=tell, build=run_build)
    if not no_serve:
        demo_module.serve(directory / "site")


for command in (*operate.COMMANDS, *author.COMMANDS, *workflow.COMMANDS):
    main.add_command(command)
main.add_command(telemetry.click_group())


if __name__ == "__main__":
    main()
