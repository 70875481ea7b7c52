"""A tool's version in the form that the server takes: `1.4`, `1.4.0-rc1`, `1.4.0-dev3+g12ab`."""

from __future__ import annotations

__all__ = ["normal"]


def normal(text: str) -> str:
    """The version, what is not of that form moved behind a hyphen: Python's `1.4.0.dev3` becomes `1.4.0-dev3`."""
    head, _, build = text.strip().removeprefix("v").partition("+")
    main, hyphen, rest = head.partition("-")
    numbers: list[str] = []
    at = 0
    while len(numbers) < 3:
        start = at
        while at < len(main) and main[at] in "0123456789":
            at += 1
        if start == at:
            at = max(start - 1, 0)  # what was read before it was a dot that belongs to the rest
            break
        numbers.append(main[start:at])
        if main[at : at + 1] != "." or len(numbers) == 3:
            break
        at += 1
    extra = _clean(main[at:].lstrip(".") + hyphen + rest)
    build = _clean(build)
    if not extra and not build and numbers:
        return ".".join(numbers)
    full = ".".join([*numbers, "0", "0", "0"][:3])
    return full + (f"-{extra}" if extra else "") + (f"+{build}" if build else "")


def _clean(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text)
    return kept.strip(".-")[:60]
