"""Describes an exception by a public class name and by places in the tool's own files.

A tool may run its user's code, whose names and files stay private.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from abaculus.tool import Tool

__all__ = ["describe", "is_end"]

FRAMES = 20
# A framework ends a run with its own exceptions. The exit code is enough.
FRAMEWORKS = ("click", "typer")


def is_end(error: BaseException) -> bool:
    """Whether an exception is a way to end a run, and not an error."""
    return isinstance(error, SystemExit) or type(error).__module__.partition(".")[0] in FRAMEWORKS


def describe(error: BaseException, tool: Tool) -> tuple[str, str | None]:
    """The nearest class of the standard library or of the tool, and the places in the tool that the exception
    passed.
    """
    named = next((kind for kind in type(error).__mro__ if _known(kind, tool)), BaseException)
    name = named.__qualname__ if named.__module__ == "builtins" else f"{named.__module__}.{named.__qualname__}"
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if tool.owns(module) and _within(code.co_filename, module, tool):
            places.append(f"{module}.{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return name, " ".join(places[-FRAMES:]) or None  # the innermost tell most


def _known(kind: type, tool: Tool) -> bool:
    """Whether a class really is where it claims to be, and this is in the standard library or in the tool."""
    name = kind.__module__
    found: object = sys.modules.get(name)
    file = getattr(found, "__file__", None)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not kind:
        return False
    if tool.owns(name):
        return _within(file, name, tool)
    return name.partition(".")[0] in sys.stdlib_module_names and (file is None or _in_standard_library(file))


def _in_standard_library(file: str) -> bool:
    return file.startswith(os.path.dirname(os.__file__) + os.sep) and "-packages" not in file


def _within(file: str | None, module: str, tool: Tool) -> bool:
    """Whether a file belongs to the package of the module's name."""
    if not file:
        return False
    if getattr(sys, "frozen", False) and not os.path.isabs(file):
        return not file.startswith("<")  # a file of the bundle; a file from elsewhere has a path
    if module == "__main__":
        return file in tool.main
    package = sys.modules.get(next((one for one in tool.packages if f"{module}.".startswith(f"{one}.")), ""))
    own = getattr(package, "__file__", None)
    places = [os.path.abspath(place) + os.sep for place in getattr(package, "__path__", ())]
    path = os.path.abspath(file)
    return path == os.path.abspath(own or "") or any(path.startswith(place) for place in places)
