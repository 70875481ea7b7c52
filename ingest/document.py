"""A request body as a JSON object, read so strictly that nothing in it is lost or stands for something else."""

import json
from collections import Counter
from math import isfinite
from typing import Any, NoReturn

__all__ = ["SessionError", "Twice", "Unstorable", "document", "echo", "json_type", "not_valid", "short"]


class SessionError(Exception):
    """A session that is refused: a message and, when the body parsed, every fault of its content."""

    def __init__(self, message: str, faults: list[dict[str, Any]] | None = None, *, retired: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.faults = faults
        self.retired = retired


class Twice(dict[str, Any]):
    """An object in which members were given twice: `names`."""

    names: list[str]


class Unstorable(str):
    """A number as it was written, which no 64-bit integer or float can hold."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    counts = Counter(name for name, _ in pairs)
    twice = Twice(made)
    twice.names = [name for name, count in counts.items() if count > 1]
    return twice


def _integer(text: str) -> int | Unstorable:
    # Python refuses to read more than 4,300 digits; 20 are enough to know.
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
    """What JSON calls a value."""
    names = {str: "a string", bool: "a boolean", list: "an array", type(None): "null", dict: "an object"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a number")


def short(text: str) -> str:
    """A name for a message."""
    return text if len(text) <= 64 else text[:64] + "…"


def echo(value: Any, depth: int = 3) -> Any:
    """An invalid value for the answer: as sent, but neither large, nor deep, nor itself not JSON."""
    if isinstance(value, str):
        return str(value) if len(value) <= 256 else value[:256] + "…"
    if isinstance(value, list):
        return [echo(item, depth - 1) for item in value[:8]] if depth else "…"
    if isinstance(value, dict):
        return {short(name): echo(value[name], depth - 1) for name in list(value)[:8]} if depth else "…"
    return value
