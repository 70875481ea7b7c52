"""Names of a registry in the spelling of a language."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from ingest.function.registry import Field, Kind

__all__ = ["current", "pascal", "snake", "words"]

Declared = TypeVar("Declared", Field, Kind)


def current(declared: Mapping[str, Declared]) -> list[Declared]:
    """The members that a tool may write now: nothing that is removed, and no former name."""
    return [one for one in declared.values() if not one.removed and not getattr(one, "replaced_by", None)]


def words(name: str) -> list[str]:
    """Splits `newHTTPVersion2` into new, HTTP, Version2."""
    return re.findall(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+", name)


def snake(name: str) -> str:
    """`newVersion` as new_version."""
    return "_".join(words(name)).lower()


def pascal(text: str, taken: Iterable[str] = ()) -> str:
    """Any text as a name in camel case that is not taken yet."""
    name = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", text)) or "Empty"
    number, found = 2, name
    while found in set(taken):
        found, number = f"{name}{number}", number + 1
    return found
