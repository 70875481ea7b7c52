"""The end of the process: the exit code that its caller sees, and signals that would end it before a session is stored.

At the end of a `with`, neither the result of `main` is known, nor whether an exception is caught later. So a session
with an exit code is stored when the interpreter ends, because then the code is certain.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import CodeType, FrameType
    from typing import Any, NoReturn, Protocol

    class Session(Protocol):
        """The state of a session in this process."""

        @property
        def waits(self) -> bool: ...

        def settle(self, code: int | None) -> None: ...

else:
    import _signal as signal  # the core of the module `signal`, without its enumerations

__all__ = ["begin", "done", "exit_code", "settle_waiting", "status", "watch"]

SIGNALS = ("SIGHUP", "SIGTERM")
OUTERMOST = ("<module>", "_run_module_as_main")

_open: list[Session] = []
_code: int | None = None
_last: object = None  # an earlier uncaught exception, as in a notebook
_watching = False
_tool: int | None = None


def begin(session: Session) -> None:
    """Ends a session with the process, however the process ends. An earlier session that waits for the exit code is
    stored first, because the process continues with another run.
    """
    settle_waiting()
    if not _open:
        atexit.register(_at_exit)
        _take_signals()
    _open.append(session)


def settle_waiting() -> None:
    """Stores the sessions that have ended and wait for the exit code."""
    for session in _open.copy():
        if session.waits:
            session.settle(None)


def done(session: Session) -> None:
    """Forgets a stored session."""
    if session in _open:
        _open.remove(session)
    if not _open:
        atexit.unregister(_at_exit)
        _give_signals_back()
        _look_away()


def watch() -> None:
    """From here on, observes how the process ends. Not earlier, because each exception then costs a little more."""
    global _watching, _last
    if not _watching:
        _watching = True
        _last = getattr(sys, "last_value", None)
        _look()


def exit_code(error: BaseException) -> int:
    """The exit code of a process that an uncaught exception ends."""
    if isinstance(error, SystemExit):
        return status(error.code)
    if isinstance(error, KeyboardInterrupt):
        if sys.platform == "win32":
            from abaculus.windows import INTERRUPTED

            return INTERRUPTED
        return 130
    return 1


def status(code: object) -> int:
    """The exit code that the caller sees for this argument of `SystemExit`."""
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1  # it is printed
    if sys.platform == "win32":
        from abaculus.windows import exit_status

        return exit_status(code)
    return int(code) & 0xFF if -(2**63) <= code < 2**63 else 0xFF


def _at_exit() -> None:
    code = _code
    error = getattr(sys, "last_value", None)
    if code is None and isinstance(error, BaseException) and error is not _last:
        code = exit_code(error)
    if code is None and _tool is not None:
        code = 0  # no exception has left the outermost frame
    for session in _open.copy():
        session.settle(code)


if sys.version_info >= (3, 12):  # novm
    # The interpreter says which exception leaves which frame.

    def _look() -> None:
        global _tool
        monitoring = sys.monitoring
        for number in (4, 3):  # tool ids other than those for debuggers, coverage and profilers
            if monitoring.get_tool(number) is None:
                monitoring.use_tool_id(number, "abaculus")
                monitoring.register_callback(number, monitoring.events.PY_UNWIND, _unwinds)
                monitoring.set_events(number, monitoring.events.PY_UNWIND)
                _tool = number
                return

    def _unwinds(code: CodeType, offset: int, error: BaseException) -> None:
        global _code
        if code.co_name in OUTERMOST and sys._getframe(1).f_back is None:
            _code = exit_code(error)

    def _look_away() -> None:
        global _code, _tool, _watching
        if _tool is not None:
            sys.monitoring.set_events(_tool, 0)
            sys.monitoring.free_tool_id(_tool)
        _code, _tool, _watching = None, None, False

else:
    # `sys.exit` raises a SystemExit that notices when the interpreter itself, outside of all frames, reads its code. It
    # must be in place early, because `sys.exit(main())` looks up the function before it calls `main`.

    class _Exit(SystemExit):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self._given = super().code

        @property
        def code(self) -> Any:
            global _code
            try:
                sys._getframe(1)
            except ValueError:
                _code = status(self._given)
            return self._given

        @code.setter
        def code(self, value: Any) -> None:
            self._given = value

    _Exit.__name__ = _Exit.__qualname__ = "SystemExit"
    _Exit.__module__ = "builtins"
    _exit_before = sys.exit

    def _exit(status: Any = None, /) -> NoReturn:
        raise _Exit() if status is None else _Exit(status)

    def _look() -> None:
        if sys.exit is _exit_before:  # not a replacement by the tool
            sys.exit = _exit

    def _look_away() -> None:
        global _code, _watching
        if sys.exit is _exit:
            sys.exit = _exit_before
        _code, _watching = None, False


# A signal that ends the process by default would end it before the session is stored.


def _take_signals() -> None:
    for name in SIGNALS:
        number = getattr(signal, name, None)
        try:
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _ended_by)
        except ValueError:
            return  # not in the main thread


def _give_signals_back() -> None:
    for name in SIGNALS:
        number = getattr(signal, name, None)
        try:
            if number is not None and signal.getsignal(number) is _ended_by:
                signal.signal(number, signal.SIG_DFL)
        except (ValueError, TypeError):
            return


def _ended_by(number: int, frame: FrameType | None) -> None:
    for session in _open.copy():
        session.settle(128 + number)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
