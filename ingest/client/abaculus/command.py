"""`telemetry …` for the tool's users: whether it is on and why, what would be sent, what was sent, and how to say no.

A tool adds it in every run, so its actions are in another module, which only `telemetry …` itself imports.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    import click
    import typer

    from abaculus.tool import Tool

__all__ = ["HELP", "TEXTS", "add_to", "click_group", "run", "run_arguments", "typer_app"]

HELP = "Show what this tool sends about its runs, and switch it on or off."
JSON_HELP = "Print it as JSON."
# Action -> its text in --help.
TEXTS = {
    "status": "Print whether telemetry is on, and which rule decided.",
    "on": "Say yes.",
    "off": "Say no, and delete waiting sessions.",
    "show": "Print the exact bytes that would be sent next.",
    "flush": "Send waiting sessions now, and print the result.",
    "log": "Print what was sent, when, and the answer.",
    "id": "Print your random id. You need it to ask for deletion.",
    "reset": "Delete your id, waiting sessions and the log.",
}


def run(tool: Tool, action: str, as_json: bool = False) -> int:
    """See `actions.run`."""
    from abaculus import actions

    return actions.run(tool, action, as_json)


def run_arguments(tool: Tool, arguments: Sequence[str]) -> int:
    """See `Telemetry.command`."""
    from abaculus.actions import complain, piped, say

    name, *rest = [*arguments] or ["status"]
    if name in TEXTS and (not rest or (name == "status" and rest == ["--json"])):
        return run(tool, name, bool(rest))
    usage = f"usage: {tool.application} telemetry [{'|'.join(TEXTS)}]\n"
    if name in ("-h", "--help"):
        actions = "".join(f"  {one:8}{text}\n" for one, text in TEXTS.items())
        return piped(lambda: say(f"{usage}\n{HELP}\n\n{actions}"))
    complain(f"{usage}telemetry: {' '.join(arguments)!r} is none of these\n")
    return 2


def add_to(tool: Tool, commands: argparse._SubParsersAction[Any]) -> None:
    """See `Telemetry.add_to`."""
    parser = commands.add_parser("telemetry", help=HELP, description=HELP)
    parser.set_defaults(run=lambda arguments: run(tool, "status"))
    actions = parser.add_subparsers(metavar="ACTION")
    for name, text in TEXTS.items():
        one = actions.add_parser(name, help=text, description=text)
        if name == "status":
            one.add_argument("--json", action="store_true", dest="as_json", help=JSON_HELP)
        one.set_defaults(run=lambda arguments, name=name: run(tool, name, getattr(arguments, "as_json", False)))


def click_group(tool: Tool) -> click.Group:
    """See `Telemetry.click_group`."""
    import click

    def command(name: str) -> Callable[..., None]:
        return lambda as_json=False: sys.exit(run(tool, name, as_json))

    @click.group("telemetry", help=HELP, invoke_without_command=True)
    @click.pass_context
    def group(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            sys.exit(run(tool, "status"))

    for name, text in TEXTS.items():
        options: list[click.Parameter] = []
        if name == "status":
            options.append(click.Option(["--json", "as_json"], is_flag=True, help=JSON_HELP))
        group.add_command(click.Command(name, callback=command(name), help=text, params=options))
    return group


def typer_app(tool: Tool) -> typer.Typer:
    """See `Telemetry.typer_app`."""
    import typer

    app = typer.Typer(help=HELP, invoke_without_command=True)

    def status(context: Any) -> None:
        if context.invoked_subcommand is None:
            raise typer.Exit(run(tool, "status"))

    # Typer reads these, and would look for names in this module.
    status.__annotations__ = {"context": typer.Context}
    app.callback()(status)

    def command(name: str) -> Callable[..., None]:
        def plain() -> None:
            raise typer.Exit(run(tool, name))

        def with_json(as_json: Any = typer.Option(False, "--json", help=JSON_HELP)) -> None:  # noqa: B008
            raise typer.Exit(run(tool, name, as_json))

        with_json.__annotations__ = {"as_json": bool}
        return with_json if name == "status" else plain

    for name, text in TEXTS.items():
        app.command(name, help=text)(command(name))
    return app
