"""What a run tells about itself: attributes, events and spans, kept in memory until the run ends.

Nothing here raises into the tool: what the server would refuse is left out, and said to the tool's log at debug.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from abaculus.telemetry import Telemetry

    Scalar = str | int | float | bool | None
    # By lower-case name, because the server takes names that differ only in case for one.
    Attributes = dict[str, tuple[str, Scalar]]

__all__ = ["Session", "Span"]

# The server's own limits.
ATTRIBUTES = 200
ENTRIES = 1_000
NAME = 64
TEXT = 4_096


def debug(message: str) -> None:
    """Says it to the tool's log, if the tool has one: who has not imported logging cannot be listening."""
    logging = sys.modules.get("logging")
    if logging is not None:
        try:
            logging.getLogger("abaculus").debug(message)
        except Exception:  # noqa: S110 (a broken log handler is no reason to break the tool)
            pass


def is_name(name: object) -> bool:
    """Whether the server takes this as a name: a letter, then letters and digits."""
    return isinstance(name, str) and 0 < len(name) <= NAME and name.isascii() and name.isalnum() and name[0].isalpha()


def storable(value: object) -> bool:
    """Whether the server takes this as a value."""
    if isinstance(value, str):
        if len(value) > TEXT or "\0" in value:
            return False
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor not a number
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None


class Session:
    """One run. Made by `Telemetry.session`; when the run may not be recorded, every method does nothing."""

    def __init__(self, telemetry: Telemetry | None) -> None:
        self._telemetry = telemetry
        if telemetry is None:
            return
        self._pid = os.getpid()
        self._open = [True]
        # All times are counted from here: a clock that is set during the run cannot make an end come before its start.
        self._wall = time.time_ns()
        self._clock = time.monotonic_ns()
        self._attributes: Attributes = {}
        self._events: list[tuple[str, int, Attributes]] = []
        self._spans: list[Span] = []
        self._wants_exit_code = False
        atexit.register(self.end)

    @property
    def recording(self) -> bool:
        """Whether this run is recorded: who has to compute an attribute can spare it otherwise."""
        return self._telemetry is not None

    def attribute(self, name: str, value: Scalar) -> None:
        """Records a fact about the run."""
        if self._telemetry is not None:
            self._put(self._attributes, "", name, value)

    def event(self, type: str, /, **attributes: Scalar) -> None:
        """Records that something happened, now."""
        if self._telemetry is None or not self._takes("events", type, len(self._events)):
            return
        held: Attributes = {}
        for name, value in attributes.items():
            self._put(held, f"events.{type}.", name, value)
        self._events.append((type, self._now(), held))

    def span(self, type: str, /, **attributes: Scalar) -> Span:
        """Records how long something takes: `with session.span("LoadConfiguration") as span:`."""
        span = Span(self, type)
        if self._telemetry is not None and self._takes("spans", type, len(self._spans)):
            span._begin = self._now()
            self._spans.append(span)
            for name, value in attributes.items():
                span.attribute(name, value)
        return span

    def environment(self) -> None:
        """Records where the run takes place, and at its end the exit code: see `registry.toml` of this package."""
        if self._telemetry is None:
            return
        try:
            from abaculus.environment import facts

            self._wants_exit_code = True
            for name, value in facts().items():
                self.attribute(name, value)
        except Exception as error:
            debug(f"telemetry: no environment: {error!r}")

    def exception(self, error: BaseException) -> None:
        """Records an error by its type and by where in the tool's own code it passed; never by its message."""
        telemetry = self._telemetry
        if telemetry is None:
            return
        try:
            kind = type(error)
            name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            places = []
            trace = error.__traceback__
            while trace is not None:
                module = str(trace.tb_frame.f_globals.get("__name__", ""))
                if any(f"{module}.".startswith(f"{package}.") for package in telemetry.packages):
                    places.append(f"{module}.{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
                trace = trace.tb_next
            # The innermost tell most.
            self.event("ExceptionRaised", exceptionType=name, frames=" ".join(places[-20:]) or None)
        except Exception as problem:
            debug(f"telemetry: an exception was not recorded: {problem!r}")

    def end(self) -> None:
        """Ends the run and queues the session. `with` calls it, else the interpreter's end does."""
        telemetry = self._telemetry
        if telemetry is None:
            return
        try:
            self._open.pop()  # of two threads, one gets it
        except IndexError:
            return
        self._telemetry = None
        try:
            if os.getpid() == self._pid:  # a fork of the run is not the run
                atexit.unregister(self.end)
                from abaculus import queue

                queue.keep(telemetry, self._document(), self._wall // 1_000_000)
        except Exception as error:
            debug(f"telemetry: the session was not kept: {error!r}")

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telemetry is None:
            return
        code: object = 0
        if isinstance(error, SystemExit):
            code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
        elif error is not None:
            code = 130 if isinstance(error, KeyboardInterrupt) else 1
            self.exception(error)
        if self._wants_exit_code and "exitcode" not in self._attributes:
            self.attribute("exitCode", code)  # type: ignore[arg-type] # an integer in each case
        self.end()

    def _now(self) -> int:
        return self._wall + time.monotonic_ns() - self._clock

    def _takes(self, list_name: str, type: object, count: int) -> bool:
        if not is_name(type) or count >= ENTRIES:
            debug(f"telemetry: {list_name}: {type!r} left out: not a name of letters and digits, or one of too many")
            return False
        return self._collected(f"{list_name}.{type}")

    def _collected(self, path: str) -> bool:
        collects = self._telemetry.collects if self._telemetry is not None else None
        if collects is None or path in collects:
            return True
        debug(f"telemetry: {path} left out: not in what the tool says it collects")
        return False

    def _put(self, into: Attributes, at: str, name: str, value: Scalar) -> None:
        try:
            if not is_name(name) or not storable(value):
                debug(f"telemetry: {at}attributes.{name}: a name or value that the server would refuse was left out")
            elif self._collected(f"{at}attributes.{name}"):
                held = into.get(name.lower())
                if (held is None and len(into) < ATTRIBUTES) or (held is not None and held[0] == name):
                    into[name.lower()] = name, value
                else:
                    debug(f"telemetry: {at}attributes.{name} left out: one too many, or equal to another but for case")
        except Exception as error:  # a string whose methods fail, say
            debug(f"telemetry: an attribute was left out: {error!r}")

    def _document(self) -> dict[str, object]:
        """The session as it is sent, without the members that belong to the tool and its user."""
        end = self._now()
        return {
            "sessionStartTime": moment(self._wall),
            "sessionEndTime": moment(end),
            "attributes": dict(self._attributes.copy().values()),
            "events": [
                {"type": type, "time": moment(at), "attributes": dict(held.values())}
                for type, at, held in self._events.copy()
            ],
            "spans": [
                {
                    "type": span.type,
                    "startTime": moment(span._begin or end),
                    "endTime": moment(span._end or end),  # another thread's may still be open
                    "attributes": dict(span._attributes.copy().values()),
                }
                for span in self._spans.copy()
            ],
        }


class Span:
    """Something that takes time. It begins when it is made and ends with its `with`."""

    def __init__(self, session: Session, type: str) -> None:
        self.type = type
        self._session = session
        self._begin: int | None = None  # None: not recorded
        self._end: int | None = None
        self._attributes: Attributes = {}

    def attribute(self, name: str, value: Scalar) -> None:
        """Records a fact about it."""
        if self._begin is not None and self._session.recording:
            self._session._put(self._attributes, f"spans.{self.type}.", name, value)

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *error: object) -> None:
        if self._begin is not None and self._end is None:
            self._end = self._session._now()


def moment(nanoseconds: int) -> str:
    """A time in UTC as the server reads it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{rest // 1000:06d}Z"
