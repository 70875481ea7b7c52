"""Finds values of a raw line with a type that differs from the registry, because the function had another registry."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from ingest.function.registry import Field
from ingest.function.session_format import written
from reports.storage.table import DECLARED

__all__ = ["fitted"]

# Exceptions from reading a line that the function did not write.
FOREIGN = (ValueError, RecursionError, OverflowError, AttributeError, LookupError, TypeError)

FIELDS = {kind: Field("", name, "") for kind, name in DECLARED.items()}


def fitted(line: bytes, expected: pa.Schema) -> bytes:
    """The line with null for each such value, and with its path in `undeclared`, as the function writes it.

    A line without such a value, or without a session, stays unchanged, byte for byte.
    """
    try:
        sent = json.loads(line)
        changed = dict(_changed(sent, expected))
    except FOREIGN:
        return line
    return json.dumps(sent | changed).encode() + b"\n" if changed else line


def _changed(sent: Any, expected: pa.Schema) -> Iterator[tuple[str, Any]]:
    """Members that differ from what was sent."""
    left_out: list[str] = []
    attributes = _attributes(sent.get("attributes"), expected.field("attributes").type, "attributes", left_out)
    if attributes:
        yield "attributes", sent["attributes"] | attributes
    for part in ("events", "spans"):
        kind = expected.field(part).type.value_type.field("attributes").type
        entries = [
            _attributes(one.get("attributes"), kind, f"{part}.{one['type']}.attributes", left_out)
            for one in sent.get(part) or ()
        ]
        if any(entries):
            pairs = zip(sent[part], entries, strict=True)
            yield part, [one | {"attributes": one["attributes"] | made} if made else one for one, made in pairs]
    if left_out:
        yield "undeclared", sorted({*(sent.get("undeclared") or ()), *left_out})


def _attributes(given: Mapping[str, Any] | None, kind: pa.DataType, path: str, left_out: list[str]) -> dict[str, Any]:
    """Members with another value than was sent. The paths of those without a value are added to `left_out`."""
    made: dict[str, Any] = {}
    for field in kind:
        value = (given or {}).get(field.name)
        if value is None or isinstance(value, dict | list):
            continue
        fits = written(FIELDS[field.type], value)
        if fits is None:
            left_out.append(f"{path}.{field.name}")
        if fits != value or type(fits) is not type(value):
            made[field.name] = fits
    return made
