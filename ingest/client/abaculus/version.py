"""Converts a tool's version to the wire format, in which Python's versions keep their order.

The server accepts `1`, `1.4`, `1.4.0`, and after three numbers a pre-release and a build: `1.4.0-rc.1+g12ab`. Other
parts of Python's versions go into the build, in this order, where `version_key` of the reports reads them:

    1.4.0rc1         1.4.0-rc.1        1.4.0.post1       1.4.0+post.1
    1.4.0.dev3       1.4.0-0.dev.3     1.4.0rc1.dev2     1.4.0-rc.1+dev.2
    1.2.3.4          1.2.3+rev.4       1!2.0             2.0.0+epoch.1
"""

from __future__ import annotations

__all__ = ["exact", "normal"]

DIGITS = "0123456789"
PRE = {"alpha": "a", "a": "a", "beta": "b", "b": "b", "preview": "rc", "pre": "rc", "rc": "rc", "c": "rc"}
POST = {"post": "post", "rev": "post", "r": "post"}
DEV = {"dev": "dev"}
WORDS = ("epoch", "rev", "post", "dev", "local")
LONGEST = 60  # for versions that are not Python's


def normal(text: str) -> str:
    """The version in the wire format: unchanged if it is valid, converted from Python's format, or the nearest valid
    version.
    """
    text = text.strip()
    return exact(text) or _near(text.removeprefix("v"))


def exact(text: str) -> str | None:
    """The version as it is sent, or None if it is valid neither for the server nor for Python."""
    return text if _is_taken(text) else _of_python(text)


def _is_taken(text: str) -> bool:
    head, plus, build = text.partition("+")
    main, hyphen, pre = head.partition("-")
    numbers = main.split(".")
    return (
        len(numbers) <= 3
        and all(number and not number.strip(DIGITS) for number in numbers)
        and (len(numbers) == 3 or not (plus or hyphen))
        and (not hyphen or pre == _clean(pre) != "")
        and (not plus or build == _clean(build) != "")
    )


class _Reader:
    """Reads a version from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def takes(self, text: str) -> bool:
        """Whether this text follows. If so, reads it."""
        found = self.text.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def separator(self) -> None:
        """Reads one of the characters that may separate parts."""
        _ = self.takes(".") or self.takes("-") or self.takes("_")

    def number(self) -> str:
        """The next number, without leading zeros. Empty if there is none."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in DIGITS:
            self.at += 1
        return self.text[start : self.at].lstrip("0") or self.text[start : self.at][:1]

    def part(self, words: dict[str, str]) -> list[str]:
        """The next word in its normal form, and its number. Nothing if there is none."""
        start = self.at
        self.separator()
        for word, name in words.items():
            if self.takes(word):
                end = self.at
                self.separator()
                number = self.number()
                if not number:
                    self.at = end
                return [name, number or "0"]
        self.at = start
        return []


def _of_python(text: str) -> str | None:
    """A version of PEP 440, or None."""
    reader = _Reader(text.lower())
    reader.takes("v")
    epoch, numbers = "0", [reader.number()]
    if reader.takes("!"):
        epoch, numbers = numbers[0], [reader.number()]
    if not numbers[0] or not epoch:
        return None
    while numbers[-1] and reader.takes("."):
        numbers.append(reader.number())
    if not numbers[-1]:  # the last dot belongs to what follows
        numbers.pop()
        reader.at -= 1
    pre = reader.part(PRE)
    start = reader.at
    number = reader.number() if reader.takes("-") else ""
    if not number:
        reader.at = start
    post = ["post", number] if number else reader.part(POST)
    dev = reader.part(DEV)
    local = _clean(reader.text[reader.at :])[:LONGEST].strip(".-") if reader.takes("+") else ""
    if not local and reader.at < len(reader.text):
        return None
    more = numbers[3:]
    while more and more[-1] == "0":
        more.pop()
    head = pre or ([] if post or not dev else ["0", *dev])
    build = ["epoch", epoch] if epoch != "0" else []
    build += ["rev", *more] if more else []
    build += post
    build += dev if pre or post else []
    if local:
        first = local.replace("-", ".").partition(".")[0]
        build += ["local", local] if first in WORDS or not first.strip(DIGITS) else [local]
    if not head and not build:
        return ".".join(numbers[:3])
    main = ".".join([*numbers, "0", "0"][:3])
    return main + (f"-{'.'.join(head)}" if head else "") + (f"+{'.'.join(build)}" if build else "")


def _near(text: str) -> str:
    """The numbers at the beginning, and the rest after a hyphen."""
    head, _, build = text.partition("+")
    main, hyphen, rest = head.partition("-")
    numbers: list[str] = []
    at = 0
    while len(numbers) < 3:
        start = at
        while at < len(main) and main[at] in DIGITS:
            at += 1
        if start == at:
            at = max(start - 1, 0)  # the dot before it belongs to the rest
            break
        numbers.append(main[start:at])
        if main[at : at + 1] != "." or len(numbers) == 3:
            break
        at += 1
    extra = _clean(main[at:].lstrip(".") + hyphen + rest)[:LONGEST].strip(".-")
    build = _clean(build)[:LONGEST].strip(".-")
    if not extra and not build and numbers:
        return ".".join(numbers)
    full = ".".join([*numbers, "0", "0", "0"][:3])
    return full + (f"-{extra}" if extra else "") + (f"+{build}" if build else "")


def _clean(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text)
    return kept.strip(".-")
