"""Writes JSON. Importing Python's own module for this takes longer than everything else in a run."""

from __future__ import annotations

__all__ = ["encode"]

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def encode(value: object) -> str:
    """A value as JSON: the objects, lists, strings, finite numbers, booleans and None of sessions."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _string(str.__str__(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)  # not an enumeration's own
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, dict):
        return f"{{{','.join([f'{encode(name)}:{encode(member)}' for name, member in value.items()])}}}"
    if isinstance(value, list):
        return f"[{','.join(map(encode, value))}]"
    raise TypeError(f"{type(value).__name__} is not JSON")


def _string(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        text = "".join(ESCAPES.get(one) or (one if one >= " " else f"\\u{ord(one):04x}") for one in text)
    return f'"{text}"'
