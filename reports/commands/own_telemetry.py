"""What `abaculus` records about its own runs. It is off until somebody says yes, and never asks."""

from abaculus import Telemetry

__all__ = ["COLLECTS", "telemetry"]

EVENTS = {
    "ExceptionRaised": ("exceptionType", "frames"),
    "TelemetryReport": ("sent", "failed", "refused", "givenUp", "dropped", "stopped"),
}
ATTRIBUTES = (
    "osName", "cpuArchitecture", "shellName", "terminalName", "consoleIsInteractive", "runningInCi", "ciSystem",
    "runtimeVersion", "exitCode", "commandName",
)  # fmt: skip
# Paths of the registry. Nothing else can be recorded.
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
    # We have no function for the sessions of all installations. Name your own in ABACULUS_TELEMETRY_ENDPOINT.
    endpoint="",
    collects=COLLECTS,
    packages=("ingest", "reports"),
)
