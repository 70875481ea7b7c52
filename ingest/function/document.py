"""Reads a request body as a JSON object, so strictly that no value is lost or changed."""

import json
from itertools import islice
from math import isfinite
from typing import Any, NoReturn

__all__ = ["SessionError", "Twice", "Unstorable", "document", "echo", "json_type", "not_valid", "short"]

ECHO = 1024  # bytes of an invalid value in an answer


class SessionError(Exception):
    """A refused session: a message and, if the body parsed, the first faults of its content. `count` is the number of
    all faults.
    """

    def __init__(
        self,
        message: str,
        faults: list[dict[str, Any]] | None = None,
        *,
        count: int | None = None,
        retired: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.faults = faults
        self.count = len(faults or ()) if count is None else count
        self.retired = retired


class Twice(dict[str, Any]):
    """An object with repeated members: `names`."""

    __slots__ = ("names",)

    def __init__(self, members: dict[str, Any], pairs: list[tuple[str, Any]]) -> None:
        super().__init__(members)
        seen: set[str] = set()
        again: dict[str, None] = {}
        for name, _ in pairs:
            if name in seen:
                again[name] = None
            seen.add(name)
        self.names = list(again)


class Unstorable(str):
    """A number that no 64-bit integer or float can hold, as it was written."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Twice(made, pairs)


def _integer(text: str) -> int | Unstorable:
    # Python refuses to read more than 4,300 digits, and 20 are enough to decide.
    if len(text) <= 18 or (len(text) <= 20 and -(1 << 63) <= int(text) < 1 << 63):
        return int(text)
    return Unstorable(text)


def _float(text: str) -> float | Unstorable:
    number = float(text)
    return number if isfinite(number) else Unstorable(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def document(body: bytes) -> dict[str, Any]:
    """The object in a body. Raises `SessionError`, whatever the bytes."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_valid(f"not UTF-8 at byte {error.start}") from None
    try:
        made = _DECODER.decode(text)
    except RecursionError:
        raise not_valid("nested too deeply") from None
    except json.JSONDecodeError as error:
        end = len(text.rstrip(" \t\r\n"))
        if end == 0:
            raise not_valid("EOF") from None
        if error.pos >= end or error.msg.startswith("Unterminated"):
            raise not_valid("unexpected EOF") from None
        raise not_valid(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except ValueError as error:
        raise not_valid(str(error)) from None
    if not isinstance(made, dict):
        raise not_valid(f"a session must be an object, got {json_type(made)}")
    return made


def not_valid(why: str) -> SessionError:
    """The error for a body that does not parse."""
    return SessionError(f"Request body is not valid: {why}")


def json_type(value: Any) -> str:
    """The name of a value's type in JSON."""
    names = {str: "a string", bool: "a boolean", list: "an array", type(None): "null", dict: "an object"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")


def short(text: str) -> str:
    """A name for a message."""
    return text if len(text) <= 64 else text[:64] + "…"


def echo(value: Any) -> Any:
    """An invalid value for the answer, as it was sent, but small, flat and valid JSON."""
    shown = _shallow(value, 3)
    if len(json.dumps(shown)) <= ECHO:
        return shown
    # At most twelve bytes for each character, because JSON writes some as two escapes.
    text = shown if isinstance(shown, str) else json.dumps(shown)
    return text[: ECHO // 12] + "…"


def _shallow(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return str(value) if len(value) <= 256 else value[:256] + "…"
    if isinstance(value, list):
        return [_shallow(item, depth - 1) for item in value[:8]] if depth else "…"
    if isinstance(value, dict):
        return {short(name): _shallow(value[name], depth - 1) for name in islice(value, 8)} if depth else "…"
    return value
