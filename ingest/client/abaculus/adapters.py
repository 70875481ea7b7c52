"""Records runs of tools that use argparse, click or Typer, with their command, after the arguments are parsed.
`--help`, `--version`, completions, `telemetry …` and command lines that do not parse are not runs.
"""

from __future__ import annotations

from abaculus import command

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any

    import click
    import typer

    from abaculus.session import Session
    from abaculus.tool import Tool

    Begin = Callable[[str], Session]

__all__ = ["ParsedArguments", "record_click", "record_typer"]

OURS = "telemetry"


class ParsedArguments:
    """See `Telemetry.argparse`."""

    def __init__(
        self, tool: Tool, begin: Begin, parser: argparse.ArgumentParser, arguments: Sequence[str] | None
    ) -> None:
        self._tool, self._begin, self._parser, self._arguments = tool, begin, parser, arguments
        self._session: Session | None = None

    def __enter__(self) -> argparse.Namespace:
        path: list[str] = []
        for action in _choices(self._parser):
            if OURS not in action.choices:
                command.add_to(self._tool, action)
        _note(self._parser, path)
        parsed = self._parser.parse_args(self._arguments)
        if path[:1] == [OURS]:
            raise SystemExit(parsed.run(parsed))
        self._session = self._begin(" ".join(path)).__enter__()
        self._session.environment()
        return parsed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            self._session.__exit__(kind, error, trace)


def _choices(parser: argparse.ArgumentParser) -> list[Any]:
    """The action of a parser that chooses a sub-command."""
    import argparse

    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _note(parser: argparse.ArgumentParser, path: list[str]) -> None:
    """Notes the names of the chosen sub-commands, because argparse stores them only if the tool gives a `dest`."""
    for action in _choices(parser):
        kind = type(action)

        class Noting(kind):  # type: ignore[misc, valid-type]
            """The same, and notes the chosen command."""

            def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
                chosen = self.choices.get(values[0])
                # By its first name, even if the user typed an alias.
                path.append(next((name for name, one in self.choices.items() if one is chosen), ""))
                super().__call__(parser, namespace, values, option_string)

        action.__class__ = Noting
        for inner in {id(one): one for one in action.choices.values()}.values():
            _note(inner, path)


def record_click(tool: Tool, begin: Begin, root: click.Command) -> None:
    """See `Telemetry.click`."""
    if hasattr(root, "add_command"):
        root.add_command(command.click_group(tool))
    _record(root, begin)


def _record(one: Any, begin: Begin) -> None:
    """Records the runs of a command, and of all commands below a group when click looks them up."""
    if "invoke" in vars(one):
        return  # it is recorded already
    if hasattr(one, "resolve_command"):
        resolve = one.resolve_command

        def resolved(context: Any, arguments: list[str]) -> Any:
            name, found, rest = resolve(context, arguments)
            if found is not None and name != OURS:
                _record(found, begin)
            return name, found, rest

        one.resolve_command = resolved
    one.invoke = _recorded(one.invoke, begin)


def _recorded(invoke: Callable[[Any], Any], begin: Begin) -> Callable[[Any], Any]:
    def invoked(context: Any) -> Any:
        # A group with a sub-command is not a run yet.
        if getattr(context, "_protected_args", None) or (hasattr(context.command, "commands") and context.args):
            return invoke(context)
        with begin(_path(context)) as session:
            session.environment()
            return invoke(context)

    return invoked


def _path(context: Any) -> str:
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.command.name or context.info_name or "")
        context = context.parent
    return " ".join(names)


def record_typer(tool: Tool, begin: Begin, app: typer.Typer) -> None:
    """See `Telemetry.typer`."""
    from typer.core import TyperCommand

    def record(one: Any) -> None:
        for info in one.registered_commands:
            kind = info.cls or TyperCommand
            info.cls = type(kind.__name__, (kind,), {"invoke": _recorded_method(kind, begin)})
        for group in one.registered_groups:
            record(group.typer_instance)

    record(app)
    if app.registered_groups or app.registered_callback or len(app.registered_commands) > 1:
        app.add_typer(command.typer_app(tool), name=OURS)


def _recorded_method(kind: Any, begin: Begin) -> Callable[[Any, Any], Any]:
    def invoke(self: Any, context: Any) -> Any:
        with begin(_path(context)) as session:
            session.environment()
            return kind.invoke(self, context)

    return invoke
