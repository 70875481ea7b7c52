"""Whether a run may be recorded: one table of rules.

A no for this run has priority over a yes. A yes for this run has priority over the stored answer. Without an answer, it
is a silent no.
"""

from __future__ import annotations

import os

from abaculus import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from abaculus.tool import Tool

__all__ = ["PROJECT_FILE", "RULES", "Circumstances", "allowed", "decide", "remember", "remembered"]

# A project has this file at its root to switch off telemetry for everybody who works in it.
PROJECT_FILE = ".do-not-track"
NO = ("0", "false", "no", "off")
YES = ("1", "true", "yes", "on")
COMPLETION = ("COMP_LINE", "_ARGCOMPLETE", "COMP_WORDS")


class Circumstances:
    """The facts for the rules. Each is looked up when a rule first needs it."""

    def __init__(self, tool: Tool, off: bool = False) -> None:
        self.tool = tool
        self.off = off
        self.variable = os.environ.get(tool.variable, "").strip().lower()
        self._remembered: tuple[str, frozenset[str]] | None = None

    @property
    def answer(self) -> str:
        """The stored answer: allowed, denied, retired, or empty."""
        return self._answered()[0]

    @property
    def more(self) -> list[str]:
        """The paths that are collected now, but were not when the user answered."""
        return sorted((self.tool.collects or frozenset()) - self._answered()[1])

    def _answered(self) -> tuple[str, frozenset[str]]:
        if self._remembered is None:
            self._remembered = remembered(self.tool.directory or "")
        return self._remembered


def _completes(here: Circumstances) -> bool:
    # Pressing Tab is not a run. Click's variable has the name of the program, such as _MY_TOOL_COMPLETE, which may
    # differ from the application's.
    return any(name in COMPLETION or (name[0] == "_" and name.endswith("_COMPLETE")) for name in os.environ)


def _refused_by_project(here: Circumstances) -> bool:
    try:
        place = os.getcwd()
    except OSError:
        return False  # somebody deleted the directory during the run
    while not os.path.lexists(os.path.join(place, PROJECT_FILE)):
        above = os.path.dirname(place)
        if above == place:
            return False
        place = above
    return True


def _do_not_track(here: Circumstances) -> bool:
    return os.environ.get("DO_NOT_TRACK", "").strip().lower() not in ("", *NO)


def _no_place(here: Circumstances) -> bool:
    directory = here.tool.directory
    return directory is None or not (state.is_ours(directory) and state.is_writable(directory))


# The first rule that applies decides: its name, whether it allows, when it applies, and what `telemetry status` says.
# Any other value of the variable is a no: somebody wanted something, and a no harms nobody.
RULES: tuple[tuple[str, bool, Callable[[Circumstances], bool], str], ...] = (
    ("switch", False, lambda here: here.off, "the tool switched it off for this run"),
    ("DO_NOT_TRACK", False, _do_not_track, "DO_NOT_TRACK is set"),
    ("variable=0", False, lambda here: here.variable not in ("", *YES), "{variable} says no"),
    ("project", False, _refused_by_project, f"a file {PROJECT_FILE} here or in a directory above forbids it"),
    ("completion", False, _completes, "the shell asks for completions"),
    ("endpoint", False, lambda here: not here.tool.endpoint, "there is no https:// address to send to"),
    ("place", False, _no_place, "there is no directory of yours for its files"),
    ("retired", False, lambda here: here.answer == "retired", "the server no longer accepts sessions of this tool"),
    ("variable=1", True, lambda here: here.variable in YES, "{variable} says yes"),
    ("denied", False, lambda here: here.answer == "denied", "you said no"),
    ("more", False, lambda here: here.answer == "allowed" and bool(here.more), "it collects more than you allowed"),
    ("allowed", True, lambda here: here.answer == "allowed", "you said yes"),
    ("unasked", False, lambda here: True, "you have not been asked"),
)


def decide(here: Circumstances) -> tuple[str, bool]:
    """The name of the rule that decides, and whether the run may be recorded."""
    for name, allows, applies, _ in RULES:
        if applies(here):
            return name, allows
    raise AssertionError("the last rule always applies")


def allowed(tool: Tool) -> bool:
    """Whether a run may be recorded now, without asking anybody."""
    return decide(Circumstances(tool))[1]


def remembered(directory: str) -> tuple[str, frozenset[str]]:
    """The stored answer, and what it was given for."""
    answer, *paths = state.read(os.path.join(directory, "consent")).split("\n") if directory else ("",)
    if answer not in ("allowed", "denied", "retired"):
        return "", frozenset()
    return answer, frozenset(path for path in paths if path)


def remember(directory: str, answer: str, collects: frozenset[str] | None = None) -> None:
    """Stores an answer, even on a full disk. Any answer except a yes deletes waiting sessions. Raises OSError."""
    path, data = os.path.join(directory, "consent"), "\n".join([answer, *sorted(collects or ()), ""]).encode()
    if answer == "allowed":
        state.write(path, data)
        return
    for name in ("queue", "aside"):
        state.remove_all(os.path.join(directory, name))
    try:
        state.write(path, data)
    except OSError:
        try:
            state.overwrite(path, data)
        except OSError:
            os.remove(path)  # better to ask again than to keep a yes that was withdrawn
