"""The record of a run: attributes, events and spans, in memory until the run ends. Nothing here raises into the tool.
Data that the server would refuse is left out, and logged at debug.
"""

from __future__ import annotations

import os
import time

from abaculus.tool import debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from abaculus.tool import Tool

    Scalar = str | int | float | bool | None
    # By lower-case name, because the server treats names that differ only in case as one.
    Attributes = dict[str, tuple[str, Scalar]]

__all__ = ["Session", "Span"]

# The server's own limits.
ATTRIBUTES = 200
ENTRIES = 1_000
NAME = 64
TEXT = 4_096


def is_name(name: object) -> bool:
    """Whether the server accepts this as a name: a letter, then letters and digits."""
    return isinstance(name, str) and 0 < len(name) <= NAME and name.isascii() and name.isalnum() and name[0].isalpha()


def storable(value: object) -> bool:
    """Whether the server accepts this as a value."""
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
    """One run. `Telemetry.session` creates it. If the run may not be recorded, its methods do nothing.

    `sink` takes the finished session instead of the queue. With `dry` nothing is stored, but left-out data is still
    reported.
    """

    def __init__(
        self, tool: Tool | None, sink: Callable[[dict[str, object]], None] | None = None, dry: bool = False
    ) -> None:
        self._tool = tool
        self._sink = sink
        self._dry = dry
        if tool is None:
            return
        from abaculus import ending

        self._kept_for = tool
        self._pid = os.getpid()
        self._open = [True]
        # All times are measured from here, so that a change of the clock during the run cannot put an end before its
        # start.
        self._wall = time.time_ns()
        self._clock = time.monotonic_ns()
        self._end: int | None = None
        self._attributes: Attributes = {}
        self._events: list[tuple[str, int, Attributes]] = []
        self._spans: list[Span] = []
        self._entered = False
        self._wants_exit_code = False
        self._exit_code: int | None = None
        if not dry:
            ending.begin(self)

    @property
    def recording(self) -> bool:
        """Whether this run is recorded. If not, the tool need not compute attributes."""
        return self._tool is not None and not self._dry

    def attribute(self, name: str, value: Scalar) -> None:
        """Records a fact about the run."""
        if self._tool is not None:
            self._put(self._attributes, "", name, value)

    def event(self, type: str, /, **attributes: Scalar) -> None:
        """Records that something happened now."""
        if self._tool is None or not (type := self._takes("events", type, len(self._events))):
            return
        held: Attributes = {}
        for name, value in attributes.items():
            self._put(held, f"events.{type}.", name, value)
        self._events.append((type, self._now(), held))

    def span(self, type: str, /, **attributes: Scalar) -> Span:
        """Records how long something takes: `with session.span("LoadConfiguration") as span:`."""
        span = Span(self, type)
        if self._tool is not None and (type := self._takes("spans", type, len(self._spans))):
            span.type = type
            span._begin = self._now()
            self._spans.append(span)
            for name, value in attributes.items():
                span.attribute(name, value)
        return span

    def environment(self) -> None:
        """Records where the run takes place, and at its end the exit code: see `registry.toml` of this package."""
        if self._tool is None:
            return
        try:
            from abaculus.environment import facts

            self._wants_exit_code = self._tool.collected("attributes.exitCode") is not None
            if self._wants_exit_code and not self._entered:
                from abaculus import ending

                ending.watch()
            for name, value in facts().items():
                if self._tool.collected(f"attributes.{name}"):
                    self.attribute(name, value)
        except Exception as error:
            debug(f"telemetry: no environment: {error!r}")

    def exception(self, error: BaseException) -> None:
        """Records the type of an error and its places in the tool's own code, but never its message."""
        tool = self._tool
        if tool is None:
            return
        try:
            from abaculus.errors import describe

            name, frames = describe(error, tool)
            if tool.collected("events.ExceptionRaised"):
                told = {"exceptionType": name, "frames": frames}
                path = "events.ExceptionRaised.attributes."
                self.event("ExceptionRaised", **{one: text for one, text in told.items() if tool.collected(path + one)})
        except Exception as problem:
            debug(f"telemetry: an exception was not recorded: {problem!r}")

    def end(self) -> None:
        """Ends the run and queues the session. The end of the `with` calls this, or the end of the interpreter."""
        if self._tool is not None:
            self._stop()
            self.settle(None)

    def settle(self, code: int | None) -> None:
        """Queues the session, with the exit code if it is known and wanted. For `abaculus.ending`."""
        self._stop()
        try:
            self._open.pop()  # only one of two threads gets it
        except IndexError:
            return
        try:
            if os.getpid() == self._pid and not self._dry:  # a fork is not the run itself
                from abaculus import ending, queue

                ending.done(self)
                code = self._exit_code if code is None else code
                if self._wants_exit_code and code is not None:
                    self._attributes.setdefault("exitcode", ("exitCode", code))
                if self._sink is not None:
                    self._sink(self._document())
                else:
                    queue.keep(self._kept_for, self._document(), self._wall // 1_000_000)
        except Exception as error:
            debug(f"telemetry: the session was not stored: {error!r}")

    @property
    def waits(self) -> bool:
        """Whether the run has ended and only waits for the exit code. For `abaculus.ending`."""
        return self._tool is None

    def __enter__(self) -> Session:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tool is None:
            return
        try:
            if error is not None:
                from abaculus.errors import is_end

                if not is_end(error):
                    self.exception(error)
            if self._wants_exit_code and "exitcode" not in self._attributes:
                from abaculus import ending

                self._exit_code = ending.exit_code(error) if isinstance(error, SystemExit) else None
                self._stop()
                ending.watch()
                return
        except Exception as problem:
            debug(f"telemetry: the end of the run was not understood: {problem!r}")
        self.end()

    def _stop(self) -> None:
        if self._tool is not None:
            self._end = self._now()
            self._tool = None

    def _now(self) -> int:
        return self._wall + time.monotonic_ns() - self._clock

    def _takes(self, list_name: str, type: object, count: int) -> str:
        """The type as it is sent. Empty if it is left out."""
        name = self._name(f"{list_name}.", type)
        if name and count >= ENTRIES:
            self._left_out(f"{list_name}.{name}", f"there are {ENTRIES} already")
            return ""
        return name

    def _name(self, at: str, name: object) -> str:
        """A name in the form of the registry. Empty if it is left out."""
        tool = self._kept_for
        if isinstance(name, str) and tool.collects is not None and (path := tool.collected(f"{at}{name}")):
            return path[len(at) :]
        if not is_name(name):
            self._left_out(f"{at}{name}", "a name has letters and digits, as in the registry, such as containerCount")
        elif tool.collects is not None:
            self._left_out(f"{at}{name}", "it is not in the tool's `collects`")
        else:
            return str(name)
        return ""

    def _left_out(self, path: str, why: str) -> None:
        self._kept_for.left_out(f"telemetry: {path} is left out: {why}")

    def _put(self, into: Attributes, at: str, name: str, value: Scalar) -> None:
        try:
            stored = storable(value)
        except Exception as error:  # for example, a string with methods that fail
            debug(f"telemetry: an attribute was left out: {error!r}")
            return
        sent = self._name(f"{at}attributes.", name)
        if not sent:
            return
        held = into.get(sent.lower())
        if not stored:
            self._left_out(f"{at}attributes.{sent}", f"the server would refuse this {type(value).__name__}")
        elif held is None and len(into) >= ATTRIBUTES:
            self._left_out(f"{at}attributes.{sent}", f"there are {ATTRIBUTES} already")
        elif held is not None and held[0] != sent:
            self._left_out(f"{at}attributes.{sent}", f"it differs from {held[0]} in case only")
        else:
            into[sent.lower()] = sent, value

    def _document(self) -> dict[str, object]:
        """The session as it is sent, without the members that belong to the tool and its user."""
        end = self._end or self._now()
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
                    "endTime": moment(span._end or end),  # a span of another thread may still be open
                    "attributes": dict(span._attributes.copy().values()),
                }
                for span in self._spans.copy()
            ],
        }


class Span:
    """Something that takes time. It begins when it is created, and ends with its `with`."""

    def __init__(self, session: Session, type: str) -> None:
        self.type = type
        self._session = session
        self._begin: int | None = None  # None: not recorded
        self._end: int | None = None
        self._attributes: Attributes = {}

    def attribute(self, name: str, value: Scalar) -> None:
        """Records a fact about it."""
        if self._begin is not None and self._session._tool is not None:
            self._session._put(self._attributes, f"spans.{self.type}.", name, value)

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *error: object) -> None:
        if self._begin is not None and self._end is None:
            self._end = self._session._now()


def moment(nanoseconds: int) -> str:
    """A time in UTC, in the server's format."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{rest // 1000:06d}Z"
