"""What can be set about the function: read from the environment once, at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

__all__ = ["Settings", "SettingsError", "from_environment"]


class SettingsError(Exception):
    """Every setting that cannot be used, a line each."""


@dataclass(frozen=True)
class Settings:
    """Limits and times. Each can be set as ABACULUS_ and its name in capitals: ABACULUS_BODY_BYTES=65536."""

    # A session.
    body_bytes: int = 1 << 20  # inflated bytes of one session
    batch_bytes: int = 10 << 20  # inflated bytes of a batch
    batch_lines: int = 1000
    max_attributes: int = 200  # in one object
    max_events: int = 1000
    max_spans: int = 1000
    name_length: int = 64  # attribute names, types of events and spans; in characters
    string_length: int = 4096  # characters of a string value
    future_hours: int = 24  # how far ahead of ours a client's clock may be
    past_days: int = 400  # how long a client may keep a session before it sends it

    # The store.
    store_seconds: float = 8.0  # from the first try to the answer; below the 10 s that most clouds grant on a stop
    store_tries: int = 4
    group_commit_ms: int = 0  # sessions that arrive within it become one object; 0: an object each

    # The edge.
    stall_seconds: float = 10.0  # a client that sends nothing for so long is closed
    request_seconds: float = 60.0  # a client that drips is closed, too
    header_bytes: int = 16 << 10
    max_requests: int = 256  # at once; more are told to come again
    max_flight_bytes: int = 64 << 20  # bodies held at once
    retry_after_seconds: int = 30
    log: bool = True  # a JSON line a request on stderr


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of this process. Raises `SettingsError` with every fault."""
    given: dict[str, int | float | bool] = {}
    faults = []
    for setting in fields(Settings):
        name = f"ABACULUS_{setting.name.upper()}"
        text = environment.get(name, "").strip()
        if not text:
            continue
        least = 0 if setting.name == "group_commit_ms" else 1
        try:
            if isinstance(setting.default, bool):
                given[setting.name] = {"1": True, "true": True, "0": False, "false": False}[text.lower()]
            elif isinstance(setting.default, float):
                if not 0.001 <= (seconds := float(text)) <= 86_400:
                    raise ValueError(text)
                given[setting.name] = seconds
            elif (number := int(text)) >= least:
                given[setting.name] = number
            else:
                raise ValueError(text)
        except (ValueError, KeyError):
            wanted = {"bool": "0 or 1", "float": "a number of seconds, 0.001 or more"}
            kind = wanted.get(type(setting.default).__name__, f"a whole number, {least} or more")
            faults.append(f"{name}: must be {kind}, got {text!r}")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**given)  # type: ignore[arg-type] # each was made in its field's own type above
