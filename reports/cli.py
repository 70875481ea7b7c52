"""The `abaculus` command: reads options, calls one function, prints the result."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from ingest.function import registry
from ingest.function.bucket_url import BucketError, open_bucket
from reports.commands import author, operate, registry_group, workflow
from reports.commands.own_telemetry import telemetry
from reports.commands.steps import engine_of, run_build, run_compact, stop, tell
from reports.commands.terminal import anyway_option, bucket_option, engine_option, fail, load_registry, progress, say
from reports.query.engine import EngineError

__all__ = ["main"]

OUT = click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Directory of the site."
)


class Commands(click.Group):
    """Reports a problem that a maintainer can fix in one sentence, with exit code 1. A bug keeps its traceback."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """Runs the program, in UTF-8."""
        if args is None and sys.getfilesystemencoding() != "utf-8":
            # In the locale C, paths and texts that are not ASCII would fail. Start again without it.
            os.environ["PYTHONUTF8"] = "1"
            os.execv(sys.executable, sys.orig_argv)
        return super().main(args, *rest, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except (BucketError, EngineError, registry.RegistryError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            say.print("stopped; nothing is lost, and the next run continues")
            raise SystemExit(130) from None
        except BrokenPipeError:
            # The reader of our output has gone, as `head` does. Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except Exception as error:
            from reports.storage.explained import explained

            if (said := explained(error)) is None:
                raise
            fail(said)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="abaculus", message="%(package)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Telemetry for command-line tools at nearly no cost, published as a static site."""
    _end_in_order(context)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


def _end_in_order(context: click.Context) -> None:
    """Lets SIGTERM end a run like a failure, so that it deletes its scratch files, which may contain people's rows."""

    def stop(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the cleanup.
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
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
def ingest(bucket: str, host: str, port: int) -> None:
    """Serve the ingest function until it is stopped."""
    from ingest.function.server import serve
    from ingest.function.settings import SettingsError

    load_registry()
    try:
        serve(bucket, host, port)
    except (SettingsError, OSError) as error:
        fail(str(error))


@main.command("compact")
@bucket_option
@engine_option
@anyway_option
@click.option("--json", "as_json", is_flag=True, help="Print the ledger entry as JSON.")
def compact_command(bucket: str, engine: str | None, anyway: bool, as_json: bool) -> None:
    """Move new sessions into the table, exactly once."""
    entry = run_compact(bucket, engine=engine, anyway=anyway)
    if as_json:
        click.echo(json.dumps(asdict(entry), indent=1))
        stop(entry)
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
@click.option("--json", "form", flag_value="json", help="Print only JSON, an array of objects.")
@click.argument("query", metavar="SELECT")
def sql(bucket: str, engine: str | None, application: str | None, form: str | None, query: str) -> None:
    """Answer a question in SQL. The answer is not protected: do not publish it."""
    from reports.query import ask

    loaded = load_registry(application)
    if application is not None:
        loaded = {application: loaded[application]}
    try:
        with progress("Asking"):
            answer = ask.ask(open_bucket(bucket, create=False), bucket, loaded, query, engine_of(engine))
    except ask.AskError as error:
        fail(str(error))
    if form is None:
        say.print("Not protected: this shows the runs of single people. Do not publish it.", style="yellow")
    click.echo(ask.FORMS[form or "table"](answer), nl=False)


@main.command()
@click.argument("url")
@click.option("--bucket", metavar="URL", help="Also check that the session is in this bucket.")
def probe(url: str, bucket: str | None) -> None:
    """Test a deployed ingest function: send one session twice."""
    from reports.operations.probe import ProbeError
    from reports.operations.probe import probe as run_probe

    try:
        run_probe(url, open_bucket(bucket, create=False) if bucket else None, click.echo)
    except ProbeError as error:
        fail(str(error))


@main.command()
@click.option("--dir", "directory", default="build/demo", show_default=True, metavar="DIR",
              type=click.Path(file_okay=False, path_type=Path), help="Directory of its bucket and site.")  # fmt: skip
@click.option("--sessions", default=20_000, show_default=True, type=click.IntRange(1), metavar="N",
              envvar="ABACULUS_DEMO_SESSIONS", show_envvar=True)  # fmt: skip
@click.option("--seed", default=0, show_default=True, metavar="S")
@click.option("--no-serve", is_flag=True, help="Do not serve the site.")
def demo(directory: Path, sessions: int, seed: int, no_serve: bool) -> None:
    """Generate sessions, send them over HTTP, compact them, build the site and serve it."""
    from reports.sample import demo as demo_module

    load_registry()
    demo_module.demo(
        directory, sessions, seed, send_progress=progress, compact=run_compact, tell=tell,
        build=partial(run_build, marked=True),
    )  # fmt: skip
    if not no_serve:
        demo_module.serve(directory / "site")


for command in (*operate.COMMANDS, *author.COMMANDS, *workflow.COMMANDS, *registry_group.COMMANDS):
    main.add_command(command)
telemetry.click(main)


if __name__ == "__main__":
    main()
