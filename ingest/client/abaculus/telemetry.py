"""A tool's telemetry: what the tool says about itself once, and the one place that decides about a run."""

from __future__ import annotations

import os

from abaculus import consent, state
from abaculus.session import Session, debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    import click

__all__ = ["Telemetry"]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Telemetry:
    """The telemetry of one tool.

    `application` is its id in the registry, `endpoint` the ingest function's address. `prompt` is the question to ask
    once on a terminal; without it nobody is asked, and `telemetry on` is how to say yes. `link` says where to read what
    is collected. `collects` lists the registry's paths (`attributes.shell`, `events.Upgraded.attributes.automated`):
    nothing else is recorded, and who said yes is asked again when it grows. `packages` are the tool's own, whose places
    an exception may name; without them, the one that is called like the application.
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
    ) -> None:
        self.application = application
        self.version = version
        self.prefix = prefix(application)
        self.variable: str = f"{self.prefix}_TELEMETRY"
        self.endpoint: str = usable(os.environ.get(f"{self.variable}_ENDPOINT", "").strip() or endpoint)
        self.collects = None if collects is None else frozenset(collects)
        self.prompt = prompt
        self.link = link
        self.packages = frozenset(packages or (application.replace("-", "_"),)) | {"__main__"}
        self.directory: str | None = state.directory(application)

    def session(self, *, off: bool = False, ask: bool = True) -> Session:
        """Begins a run. `off` is the tool's own switch for a run that must not be recorded; with `ask` false nobody is
        asked during it, as when its output is for a program."""
        try:
            here = consent.Circumstances(self, off)
            rule, allowed = consent.decide(here)
            if ask and rule in ("unasked", "more") and consent.may_ask(here):
                allowed = consent.ask(here)
            return Session(self if allowed else None)
        except Exception as error:
            debug(f"telemetry: off: {error!r}")
            return Session(None)

    def allowed(self) -> bool:
        """Whether a run may be recorded now, without asking anybody."""
        return consent.decide(consent.Circumstances(self))[1]

    def add_to(self, commands: argparse._SubParsersAction[Any]) -> None:
        """Adds `telemetry …` to an argparse parser's sub-commands; `arguments.run(arguments)` runs it."""
        from abaculus.command import add_to

        add_to(self, commands)

    def click_group(self) -> click.Group:
        """The command `telemetry …` for a click group: `main.add_command(telemetry.click_group())`."""
        from abaculus.command import click_group

        return click_group(self)


def prefix(application: str) -> str:
    """What a tool's variables begin with: capitals, and `_` for what is neither letter nor digit."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in application).upper()
    return f"_{name}" if name[:1].isdigit() else name  # shells take no variable that begins with a digit


def usable(endpoint: str) -> str:
    """The endpoint without a slash at its end; empty unless it is https, or http to this very machine."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return ""
    place, _, path = rest.partition("/")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host, port = (host, port) if colon else (place, "0")
    if not host or not port.isdigit() or any(letter in endpoint for letter in "?#@\\"):
        return ""
    if scheme.lower() != "https" and not (scheme.lower() == "http" and host.lower() in LOOPBACK):
        return ""
    return f"{scheme.lower()}://{place}/{path}".rstrip("/")
