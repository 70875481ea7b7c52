"""Starts the process that uploads: independent of the tool, without the tool's files, and only one at a time."""

from __future__ import annotations

import os
import sys
import time

from abaculus import backoff, state
from abaculus.tool import debug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.tool import Tool

__all__ = ["lock", "start"]

# `sys.argv[1]` is the directory or archive with this package. It comes last, so that a package beside it, such as one
# called `typing`, does not replace a module of Python.
CODE = "import sys; sys.path.append(sys.argv[1]); from abaculus.upload import main; main(sys.argv[2:])"
# The environment of the process: what Python needs to start, and the network settings.
PASSED = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
)  # fmt: skip
PASSED_FROZEN = ("HOME", "XDG_STATE_HOME", "LOCALAPPDATA", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "PATH")


def start(tool: Tool, directory: str, *, leave: str = "", wait: float = 0.0) -> None:
    """Starts the upload, unless one is running or there is a pause. `leave` names a file that it must not send. Waits
    at most `wait` seconds for its end.
    """
    if backoff.pause(directory) > 0:
        return
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    program = os.path.basename(sys.executable or "").lower()
    if getattr(sys, "frozen", False):
        # There is no Python except the tool itself. When the tool creates its `Telemetry`, the upload takes over. A
        # tool that does not get so far runs `telemetry flush`.
        arguments = [sys.executable, "telemetry", "flush"]
        environment |= {
            name: os.environ[name] for name in (*PASSED_FROZEN, f"{tool.variable}_ENDPOINT") if name in os.environ
        }
        environment[f"{tool.variable}_UPLOADS"] = f"{leave}|{directory}"
        # A bundle puts its own libraries first, and unpacks them again for every process.
        if "LD_LIBRARY_PATH_ORIG" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH_ORIG"]
        else:
            environment.pop("LD_LIBRARY_PATH", None)
    elif program.startswith(("python", "pypy")):
        place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        arguments = [sys.executable, "-I", "-S", "-c", CODE, place, directory, tool.endpoint, leave]
    else:
        debug("telemetry: not uploaded, because there is no Python interpreter; use `telemetry flush`")
        return
    held = lock(directory)
    if held is None:
        return
    if backoff.pause(directory) > 0:  # the process that has just released the lock has failed
        os.close(held)
        return
    log = None
    try:
        # Errors that it cannot catch, such as an interpreter that does not start, appear in `telemetry log`.
        log = state.open_log(directory)
        if sys.platform == "win32":
            from abaculus import windows

            os.close(held)  # Windows cannot pass on a lock, so the process takes it itself
            held = None
            windows.start(arguments, environment, log, wait)
            return
        from abaculus import posix

        held, log = posix.above_streams(held), posix.above_streams(log)
        child = posix.start(arguments, environment, held, log)
    finally:
        for descriptor in (held, log):
            if descriptor is not None:
                os.close(descriptor)  # the child has the descriptor, and so the lock
    _reap()
    _children.append(child)
    end = time.monotonic() + wait
    while wait and time.monotonic() < end:
        try:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return  # the tool waits for its own children, and has also reaped this one
        time.sleep(0.01)


_children: list[int] = []


def _reap() -> None:
    """Reaps uploads that have ended. Otherwise a long-running tool with many sessions would collect them."""
    for child in _children.copy():
        try:
            if sys.platform != "win32" and not os.waitpid(child, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            pass  # after a fork it was not our child, or the tool has reaped it
        _children.remove(child)


def lock(directory: str) -> int | None:
    """A descriptor that holds the lock until its last copy is closed. None while another process holds the lock.

    Raises OSError.
    """
    descriptor = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform == "win32":
        from abaculus.windows import lock as take
    else:
        from abaculus.posix import lock as take
    if take(descriptor):
        return descriptor
    os.close(descriptor)
    return None
