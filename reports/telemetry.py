"""What `abaculus` tells about its own runs, to those who let it: off unless somebody says yes, and never asked for."""

import click

from abaculus import Session, Telemetry

__all__ = ["COLLECTS", "current", "telemetry"]

EVENTS = {
    "ExceptionRaised": ("exceptionType", "frames"),
    "TelemetryReport": ("sent", "failed", "refused", "givenUp", "dropped", "stopped"),
}
ATTRIBUTES = (
    "osName", "cpuArchitecture", "shellName", "terminalName", "consoleIsInteractive", "runningInCi", "ciSystem",
    "runtimeVersion", "exitCode", "commandName",
)  # fmt: skip
# As the registry's paths: nothing else can be recorded.
COLLECTS = (
    *(f"attributes.{name}" for name in ATTRIBUTES),
    *(f"events.{type}" for type in EVENTS),
    *(f"events.{type}.attributes.{name}" for type, names in EVENTS.items() for name in names),
    "spans.Compact",
    "spans.Build",
)

telemetry = Telemetry(
    "abaculus",
    version="0.1.0",
    # There is no function of ours that takes everybody's sessions. Name yours in ABACULUS_TELEMETRY_ENDPOINT.
    endpoint="",
    collects=COLLECTS,
    packages=("ingest", "reports"),
)


def current() -> Session:
    """The session of the command that runs, which records nothing unless its user has said yes."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(Session)) or Session(None)
