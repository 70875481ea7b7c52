"""The question to a person at a terminal, and the cases in which nobody is asked."""

from __future__ import annotations

import sys

from abaculus import consent
from abaculus.environment import ci_system

__all__ = ["ask", "may_ask"]

# A person who types one of these wants something else now, or a program reads the output.
NO_TIME = ("--json", "--help", "-h", "--version", "telemetry")
COMPLETION = ("--show-completion", "--install-completion")


def may_ask() -> bool:
    """Whether a person can be asked: nobody else reads the output, and nothing else was typed."""
    if any(one in NO_TIME or one.startswith(COMPLETION) for one in sys.argv[1:]):
        return False
    return ci_system() is None and _free_to_answer()


def ask(here: consent.Circumstances) -> bool:
    """Asks on the terminal. Only a typed yes or no is stored. After any other input, the next run asks again. Raises
    `SystemExit` after Ctrl-C.
    """
    tool = here.tool
    lines = [tool.prompt or ""]
    if here.answer == "allowed":
        lines.append(f"New since you last said yes: {', '.join(here.more)}.")
    if tool.link:
        lines.append(f"What is collected and why: {tool.link}")
    lines.append("Send it? [yes/no] ")
    try:
        sys.stderr.write("\n".join(lines))
        sys.stderr.flush()
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise SystemExit(130) from None
    if not typed.endswith("\n"):
        sys.stderr.write("\n")  # the terminal was closed, or the user pressed Ctrl-D, without a new line
    answer = typed.strip().lower()
    if answer in ("y", "yes"):
        consent.remember(tool.directory or "", "allowed", tool.collects)
        return True
    if answer in ("n", "no"):
        consent.remember(tool.directory or "", "denied")
    else:
        sys.stderr.write("That is neither a yes nor a no. Nothing is sent, and you will be asked again.\n")
    return False


def _free_to_answer() -> bool:
    """Whether this process may read from the terminal, and nothing was typed before the question. Earlier input is
    meant for the shell, and is not an answer.
    """
    if sys.platform == "win32":
        from abaculus import windows

        return not windows.types_already()
    from abaculus import posix

    return posix.in_foreground(sys.stdin) and not posix.types_already(sys.stdin)
