"""Explains mistakes in YAML, in the words of the author's text."""

import re

import yaml

__all__ = ["explain"]

# Characters that look like a space, but are not a space in YAML.
NO_SPACES = {
    "\u00a0": "a no-break space", "\u2007": "a figure space", "\u202f": "a narrow no-break space",
    "\u3000": "an ideographic space", "\u200b": "a space without width",
}  # fmt: skip
PAIR = re.compile(r"\s*(?:- )?([\w-]+):\s+(.*\S)")
# A line of a mapping or a list.
LINE = re.compile(r"\s*(#|- |-$|[\w\"'-]+\s*:(\s|$))")


def explain(error: yaml.YAMLError, text: str) -> tuple[int, int, str]:
    """The line and column of a mistake, counted from 0, and the fix."""
    line, column, what = _what(error, text)
    return line, column, f"not valid YAML: {what}"


def _what(error: yaml.YAMLError, text: str) -> tuple[int, int, str]:
    mark, began = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    problem, context = str(getattr(error, "problem", None) or error), str(getattr(error, "context", ""))
    lines = text.split("\n")
    for number, one in enumerate(lines):
        option = re.match(r"\s*(?:[\w-]+\s*:?)?\s*", one)
        start = option[0] if option else ""
        indent = one[: len(one) - len(one.lstrip())]
        if "\t" in indent:
            return number, one.index("\t"), "a tab indents this line; use spaces"
        if found := next((sign for sign in NO_SPACES if sign in start), None):
            return number, one.index(found), f"{NO_SPACES[found]} is here; write a plain space"
    # YAML reports a missing end at the end of the text, but the mistake is at the beginning of the value.
    if began is not None and "quoted scalar" in context:
        return began.line, began.column, "this text has no end; add the closing quote"
    if began is not None and "flow" in context:
        return began.line, began.column, "this list has no end, or no comma; write it as [a, b, c]"
    line, column = (mark.line, mark.column) if mark else (0, 0)
    written = lines[line] if line < len(lines) else ""
    if pair := PAIR.match(written):
        place = (line, written.index(pair[2], pair.end(1)))
        quoted = f"put it in quotes: {pair[1]}: {_quoted(pair[2])}"
        if "mapping values are not allowed" in problem and re.search(r":(?:\s|$)", pair[2]):
            return *place, f"this text contains a colon; {quoted}"
        if "mapping values are not allowed" in problem and written[0] == " ":
            return line, 0, "this line is indented, by spaces or a tab; indent it like the others"
        if pair[2][0] in "&*!%@`|>":
            return *place, f"a text cannot begin with {pair[2][0]}; {quoted}"
    wrong = next((number for number, one in enumerate(lines) if one.strip() and not LINE.match(one)), None)
    if wrong is None:
        return line, column, f"{problem}; write `option: value`"
    said = lines[wrong]
    return wrong, len(said) - len(said.lstrip()), f"this line is not `option: value`; {_remedy(said)}"


def _remedy(said: str) -> str:
    if equals := re.match(r"\s*([\w-]+)\s*=\s*(.*)", said):
        return f"write `{equals[1]}: {equals[2]}`"
    if close := re.match(r"\s*([\w-]+):(\S.*)", said):
        return f"write a space after the colon: `{close[1]}: {close[2]}`"
    return "write `option: value`"


def _quoted(text: str) -> str:
    """The text in a form that YAML accepts."""
    return "'" + text.replace("'", "''") + "'" if '"' in text else f'"{text}"'
