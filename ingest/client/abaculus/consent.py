"""Whether a run may be recorded: one table of rules, and the question that is asked once.

Any no for this run beats a yes; a yes for this run beats what was remembered; without an answer it is a silent no.
"""

from __future__ import annotations

import os
import sys

from abaculus import state

TYPE_CHECKING = False  # what type checkers read; the module of that name is not imported while a tool runs
if TYPE_CHECKING:
    from collections.abc import Callable

    from abaculus.telemetry import Telemetry

__all__ = ["PROJECT_FILE", "RULES", "Circumstances", "ask", "decide", "may_ask", "remember", "remembered"]

# A project that wants no telemetry from anybody who works in it has this file at its root.
PROJECT_FILE = ".do-not-track"
NO = ("0", "false", "no", "off")
YES = ("1", "true", "yes", "on")
COMPLETION = ("COMP_LINE", "_ARGCOMPLETE", "COMP_WORDS")


class Circumstances:
    """What the rules look at, each looked up when a rule first asks for it."""

    def __init__(self, telemetry: Telemetry, off: bool = False) -> None:
        self.telemetry = telemetry
        self.off = off
        self.variable = os.environ.get(telemetry.variable, "").strip().lower()
        self._remembered: tuple[str, frozenset[str]] | None = None

    @property
    def answer(self) -> str:
        """What was remembered: allowed, denied, retired, or nothing."""
        return self._answered()[0]

    @property
    def more(self) -> list[str]:
        """What is collected now and was not when the answer was given."""
        return sorted((self.telemetry.collects or frozenset()) - self._answered()[1])

    def _answered(self) -> tuple[str, frozenset[str]]:
        if self._remembered is None:
            self._remembered = remembered(self.telemetry.directory or "")
        return self._remembered


def _completes(here: Circumstances) -> bool:
    # Pressing Tab is no run. Click's variable is named after the tool: _MY_TOOL_COMPLETE.
    return any(name in os.environ for name in (*COMPLETION, f"_{here.telemetry.prefix}_COMPLETE"))


def _refused_by_project(here: Circumstances) -> bool:
    try:
        place = os.getcwd()
    except OSError:
        return False  # the directory was deleted under the run
    while not os.path.lexists(os.path.join(place, PROJECT_FILE)):
        above = os.path.dirname(place)
        if above == place:
            return False
        place = above
    return True


def _do_not_track(here: Circumstances) -> bool:
    return os.environ.get("DO_NOT_TRACK", "").strip().lower() not in ("", *NO)


# The first rule that applies decides: its name, whether it allows, when it applies, and what `telemetry status` says.
# A value of the variable that is neither yes nor no is a no: somebody wanted something, and silence harms nobody.
RULES: tuple[tuple[str, bool, Callable[[Circumstances], bool], str], ...] = (
    ("switch", False, lambda here: here.off, "it was switched off for this run"),
    ("DO_NOT_TRACK", False, _do_not_track, "DO_NOT_TRACK is set"),
    ("variable=0", False, lambda here: here.variable not in ("", *YES), "{variable} says no"),
    ("project", False, _refused_by_project, f"a file {PROJECT_FILE} here or in a directory above forbids it"),
    ("completion", False, _completes, "the shell asks for completions"),
    ("endpoint", False, lambda here: not here.telemetry.endpoint, "there is no https:// address to send to"),
    ("place", False, lambda here: here.telemetry.directory is None, "you have no home directory to keep it in"),
    ("retired", False, lambda here: here.answer == "retired", "the server takes no more sessions of this tool"),
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


def remembered(directory: str) -> tuple[str, frozenset[str]]:
    """The remembered answer and what it was given for."""
    answer, *paths = state.read(os.path.join(directory, "consent")).split("\n") if directory else ("",)
    if answer not in ("allowed", "denied", "retired"):
        return "", frozenset()
    return answer, frozenset(path for path in paths if path)


def remember(directory: str, answer: str, collects: frozenset[str] | None = None) -> None:
    """Keeps an answer. What is not a yes deletes what waits. Raises OSError."""
    state.write(os.path.join(directory, "consent"), "\n".join([answer, *sorted(collects or ()), ""]).encode())
    if answer != "allowed":
        for name in ("queue", "aside"):
            state.remove_all(os.path.join(directory, name))


def may_ask(here: Circumstances) -> bool:
    """Whether somebody is there who can be asked and whose output is no program's input."""
    telemetry = here.telemetry
    if not telemetry.prompt or telemetry.directory is None or "--json" in sys.argv:
        return False
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None or stream.closed or not stream.isatty():
            return False
    from abaculus.ci import system

    if system() is not None:
        return False
    # An answer that cannot be kept would be asked for again with every run.
    place = telemetry.directory
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return os.access(place, os.W_OK | os.X_OK)


def ask(here: Circumstances) -> bool:
    """Asks on the terminal and remembers the answer; Enter means no."""
    telemetry = here.telemetry
    lines = [telemetry.prompt or ""]
    if here.answer == "allowed":
        lines.append(f"New since you last said yes: {', '.join(here.more)}.")
    if telemetry.link:
        lines.append(f"What is collected and why: {telemetry.link}")
    lines.append("Send it? [y/N] ")
    sys.stderr.write("\n".join(lines))
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")  # the terminal was closed, or Ctrl-D pressed: no new line was typed
    yes = answer.strip().lower() in ("y", "yes")
    remember(telemetry.directory or "", "allowed" if yes else "denied", telemetry.collects if yes else None)
    return yes
