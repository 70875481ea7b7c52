"""The settings of the function, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

__all__ = ["Settings", "SettingsError", "from_environment"]

# The size of the shortest result of a line in the answer to a batch, and of the rest of the answer.
RESULT_BYTES = 48
ANSWER_BYTES = 4096


class SettingsError(Exception):
    """Every invalid setting, one on each line."""


@dataclass(frozen=True)
class Settings:
    """Limits and times. The environment variable of each is ABACULUS_ and its name in capitals:
    ABACULUS_BODY_BYTES=65536.
    """

    # A session.
    body_bytes: int = 1 << 20  # inflated bytes of one session
    batch_bytes: int = 10 << 20  # inflated bytes of a batch
    batch_lines: int = 1000
    max_attributes: int = 200  # in one object
    max_events: int = 1000
    max_spans: int = 1000
    max_undeclared: int = 1000  # paths of undeclared members that are stored with a session
    name_length: int = 64  # attribute names, types of events and spans; in characters
    string_length: int = 4096  # characters of a string value
    future_hours: int = 24  # how far a client's clock may be ahead of ours
    past_days: int = 400  # how long a client may keep a session before it sends it

    # An answer.
    session_faults: int = 20  # listed for one session; the others are counted
    batch_faults: int = 100  # listed for all lines of a batch
    answer_bytes: int = 64 << 10

    # The store.
    store_seconds: float = (
        8.0  # from the first try to the answer; less than the 10 s that most clouds allow for stopping
    )
    store_tries: int = 4
    group_commit_ms: int = 0  # sessions that arrive within this time become one object; 0: one object for each

    # The edge.
    stall_seconds: float = (
        10.0  # in this many seconds, a header must end, and a body must end or arrive at the minimum rate
    )
    body_rate: int = 4 << 10  # the minimum rate, in bytes a second
    request_seconds: float = 60.0  # a body has arrived
    header_bytes: int = 16 << 10
    max_requests: int = 256  # active at once; more must try again later
    max_flight_bytes: int = 48 << 20  # what all requests hold together: bodies, inflated bodies, answers
    batch_wait_seconds: float = 5.0  # until earlier batches are checked; then the client must try again later
    retry_after_seconds: int = 30
    stop_seconds: float = 9.0  # from SIGTERM to the end in any case; most clouds allow 10
    log: bool = True  # a line of JSON on stderr for each request


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
    settings = Settings(**given)  # type: ignore[arg-type] # each was made in its field's own type above
    # Every line of the largest batch must have a result, even if the answer leaves out the rest.
    least = settings.batch_lines * RESULT_BYTES + ANSWER_BYTES
    if not faults and settings.answer_bytes < least:
        faults.append(
            f"ABACULUS_ANSWER_BYTES: must be {least} or more for batches of {settings.batch_lines} lines, "
            f"got {settings.answer_bytes}"
        )
    if faults:
        raise SettingsError("\n".join(faults))
    return settings
