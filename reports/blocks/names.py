"""Names that people write: which names a text contains, which one was meant, and unique names."""

import difflib
import re
from collections.abc import Iterable

__all__ = ["distinct", "near", "words"]


def words(text: str) -> set[str]:
    """Every word of a text in lower case: the names that it may mean."""
    return set(re.findall(r"\w+", text.lower()))


def near(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that does not exist."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), names, 1)
    return f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names)}"


def distinct(names: Iterable[str], between: str = "_") -> list[str]:
    """The names. A number is added to each name that exists already, in upper or lower case."""
    made: list[str] = []
    taken: set[str] = set()
    for name in names:
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name}{between}{number}"
        taken.add(free.lower())
        made.append(free)
    return made
