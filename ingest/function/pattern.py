"""Patterns of the registry: RE2 expressions, which take time in proportion to the length of the text.

https://github.com/google/re2/wiki/Syntax lists the syntax. There is no look-around and no
back-reference, and `\\d`, `\\w` and `\\s` stand for ASCII.
"""

from functools import lru_cache
from typing import Any

import re2

__all__ = ["PatternError", "compiled", "fits"]

# The memory of a compiled expression and its cache. The default, 8 MiB each, is too much for dozens of patterns in a
# function with 256 MB.
MEMORY = 1 << 20


class PatternError(Exception):
    """Raised for an invalid or too large expression."""


def compiled(expression: str) -> Any:
    """The expression, ready for `fits`. Raises `PatternError`."""
    options = re2.Options()
    options.max_mem = MEMORY
    options.never_capture = True
    options.log_errors = False  # RE2 would write to stderr, beside our own faults
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        (why,) = error.args
        raise PatternError(why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)) from None


# There are few different versions, systems and so on. A cached result takes a fiftieth of the time of matching.
@lru_cache(maxsize=512)
def fits(pattern: Any, value: str) -> bool:
    """Whether the whole of a string matches."""
    # As bytes, because RE2 accepts nothing else, and half a surrogate pair, which is refused elsewhere, must not raise
    # here.
    return pattern.fullmatch(value.encode("utf-8", "surrogatepass")) is not None
