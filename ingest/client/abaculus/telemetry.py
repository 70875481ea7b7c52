"""The telemetry of a tool: the functions that the tool calls."""

from __future__ import annotations

import os
import sys

from abaculus import consent
from abaculus.session import Session
from abaculus.tool import Tool, debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Any

    from click import Command, Group
    from typer import Typer

    from abaculus.adapters import ParsedArguments

__all__ = ["Recorded", "Telemetry"]


class Telemetry:
    """The telemetry of one tool.

    `application` is its id in the registry, `endpoint` the ingest function's address. `prompt` is the question to ask
    on a terminal. Without it, nobody is asked, and users say yes with `telemetry on`. `link` is the address of the page
    about collected data. `collects` lists the registry's paths (`attributes.shell`,
    `events.Upgraded.attributes.automated`). Nothing else is recorded, and users who said yes are asked again when the
    list grows. `packages` are the tool's own packages, whose places an exception may name. The default is the package
    with the name of the application. Set `upload` to `inline` if the disk is lost after the run. The run then sends its
    own session, and waits at most 2 seconds.
    """

    def __init__(
        self,
        application: str,
        *,
        version: str,
        endpoint: str,
        collects: Iterable[str] | None = None,
        prompt: str | None = None,
        link: str | None = None,
        packages: Iterable[str] | None = None,
        upload: str = "later",
    ) -> None:
        if upload not in ("later", "inline"):
            raise ValueError(f"upload: {upload!r}: 'later' or 'inline'")
        self.tool = Tool(application, version, endpoint, collects, prompt, link, packages, upload)
        self._sink: Callable[[dict[str, object]], None] | None = None
        self._current = Session(None)
        if getattr(sys, "frozen", False) and (given := os.environ.get(f"{self.tool.variable}_UPLOADS")):
            from abaculus import upload as uploading

            uploading.in_frozen_tool(self.tool, given)
        if sys.version_info < (3, 12) and self.allowed():
            from abaculus import ending

            ending.watch()

    def session(self, *, off: bool = False, ask: bool = True) -> Session:
        """Begins a run. `off` is the tool's own switch for a run that must not be recorded. With `ask=False` nobody is
        asked, for example if a program reads the output.
        """
        self._current = self._begin(off, ask)
        return self._current

    def _begin(self, off: bool, ask: bool) -> Session:
        try:
            if self._sink is not None:
                return Session(self.tool, self._sink)
            here = consent.Circumstances(self.tool, off or _own_command())
            rule, allowed = consent.decide(here)
            if ask and self.tool.prompt and rule in ("unasked", "more") and _at_terminal():
                from abaculus import question

                allowed = question.may_ask() and question.ask(here)
            if not allowed and sys.flags.dev_mode:
                return Session(self.tool, dry=True)
            return Session(self.tool if allowed else None)
        except Exception as error:
            debug(f"telemetry: off: {error!r}")
            return Session(None)

    @property
    def current(self) -> Session:
        """The latest session. Before the first one, a session that records nothing."""
        return self._current

    def allowed(self) -> bool:
        """Whether a run may be recorded now, without asking anybody."""
        return consent.allowed(self.tool)

    def recorded(self) -> Recorded:
        """For the tool's tests: `with telemetry.recorded() as sessions:` records every session into this list, with or
        without consent, and raises ValueError if something would be left out.
        """
        return Recorded(self)

    def argparse(self, parser: ArgumentParser, arguments: Sequence[str] | None = None) -> ParsedArguments:
        """Parses arguments, and records the run that follows: `with telemetry.argparse(parser) as arguments:`."""
        from abaculus.adapters import ParsedArguments

        return ParsedArguments(self.tool, self._run, parser, arguments)

    def click(self, command: Command) -> None:
        """Records every command of a click tool, and adds `telemetry …` to a group."""
        from abaculus.adapters import record_click

        record_click(self.tool, self._run, command)

    def typer(self, app: Typer) -> None:
        """Records every command that a Typer tool has so far, and adds `telemetry …` if it has sub-commands."""
        from abaculus.adapters import record_typer

        record_typer(self.tool, self._run, app)

    def _run(self, path: str) -> Session:
        """Begins the run of a command."""
        session = self.session()
        if path and session._tool is not None and self.tool.collected("attributes.commandName"):
            session.attribute("commandName", path)
        return session

    def command(self, arguments: Sequence[str]) -> int:
        """Runs `telemetry …` for a tool without a framework, and returns its exit code. `arguments` are those after
        `telemetry`.
        """
        from abaculus.command import run_arguments

        return run_arguments(self.tool, arguments)

    def add_to(self, commands: _SubParsersAction[Any]) -> None:
        """Adds `telemetry …` to an argparse parser's sub-commands; `arguments.run(arguments)` runs it."""
        from abaculus.command import add_to

        add_to(self.tool, commands)

    def click_group(self) -> Group:
        """The command `telemetry …` for a click group: `main.add_command(telemetry.click_group())`."""
        from abaculus.command import click_group

        return click_group(self.tool)

    def typer_app(self) -> Typer:
        """The command `telemetry …` for a Typer tool: `app.add_typer(telemetry.typer_app(), name="telemetry")`."""
        from abaculus.command import typer_app

        return typer_app(self.tool)


class Recorded:
    """See `Telemetry.recorded`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._sessions: list[dict[str, Any]] = []

    def __enter__(self) -> list[dict[str, Any]]:
        self._telemetry._sink = self._sessions.append
        self._telemetry.tool.strict = True
        return self._sessions

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from abaculus import ending

        ending.settle_waiting()
        self._telemetry._sink = None
        self._telemetry.tool.strict = False


def _own_command() -> bool:
    """Whether this run is `telemetry …`, which is not recorded."""
    return next((one for one in sys.argv[1:] if not one.startswith("-")), "") == "telemetry"


def _at_terminal() -> bool:
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(one is not None and not one.closed and one.isatty() for one in streams)
