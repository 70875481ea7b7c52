"""`telemetry …` for the tool's users: what is on and why, what would be sent, what was, and how to say no.

A tool adds it in every run, so what it does lies in another module, which only `telemetry …` itself imports.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    import click

    from abaculus.telemetry import Telemetry

__all__ = ["HELP", "TEXTS", "add_to", "click_group", "complain", "run", "say"]

HELP = "What this tool tells about its runs, and how to say no."
# By the name of each action, what --help says.
TEXTS = {
    "status": "Say whether it is on, and which rule decided.",
    "on": "Say yes.",
    "off": "Say no, and delete what waits.",
    "show": "Print the exact bytes that would be sent next.",
    "flush": "Send what waits now, and say what came of it.",
    "log": "Print what was sent, when, and the answer.",
    "id": "Print your random id, with which you can ask for deletion.",
    "reset": "Delete your id, what waits and the log.",
}


def run(telemetry: Telemetry, action: str) -> int:
    """Runs one of the actions; its exit code. What programs may want to read goes to standard output."""
    if telemetry.directory is None:
        complain("telemetry: off, because you have no home directory to keep anything in; set HOME\n")
        return 0 if action == "status" else 1
    from abaculus.actions import ACTIONS

    try:
        return ACTIONS[action](telemetry, telemetry.directory)
    except OSError as error:
        complain(f"telemetry: {error}; nothing else was changed\n")
        return 1


def say(text: str) -> None:
    """Writes to standard output, if it is open."""
    if sys.stdout is not None:
        sys.stdout.write(text)


def complain(text: str) -> None:
    """Writes to standard error, if it is open."""
    if sys.stderr is not None:
        sys.stderr.write(text)


def add_to(telemetry: Telemetry, commands: argparse._SubParsersAction[Any]) -> None:
    """See `Telemetry.add_to`."""
    parser = commands.add_parser("telemetry", help=HELP, description=HELP)
    parser.set_defaults(run=lambda arguments: run(telemetry, "status"))
    actions = parser.add_subparsers(metavar="ACTION")
    for name, text in TEXTS.items():
        one = actions.add_parser(name, help=text, description=text)
        one.set_defaults(run=lambda arguments, name=name: run(telemetry, name))


def click_group(telemetry: Telemetry) -> click.Group:
    """See `Telemetry.click_group`."""
    import click

    def command(name: str) -> Callable[[], None]:
        return lambda: sys.exit(run(telemetry, name))

    @click.group("telemetry", help=HELP, invoke_without_command=True)
    @click.pass_context
    def group(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            sys.exit(run(telemetry, "status"))

    for name, text in TEXTS.items():
        group.add_command(click.Command(name, callback=command(name), help=text))
    return group
