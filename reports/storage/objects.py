"""Our objects in a bucket, without files that a file manager or an editor left there, and their JSON."""

import json
from typing import Any

from obstore.store import ObjectStore

__all__ = ["Damaged", "document", "is_ours", "objects"]


class Damaged(Exception):
    """An object with wrong content, with the fix."""


def objects(store: ObjectStore, prefix: str, end: str = "") -> list[tuple[str, int]]:
    """Keys and sizes below a prefix with this ending, in order. `.DS_Store`, `._x.json` and `x.json~` do not count."""
    found = [(meta["path"], meta["size"]) for page in store.list(prefix) for meta in page]
    return sorted((key, size) for key, size in found if key.endswith(end) and is_ours(key))


def is_ours(key: str) -> bool:
    """Whether an object can be ours. The names of ours begin with a letter or a digit."""
    return key.rpartition("/")[2][:1].isalnum() and not key.endswith("~")


def document(store: ObjectStore, key: str) -> Any:
    """An object's JSON. Raises `Damaged`, and FileNotFoundError."""
    try:
        return json.loads(bytes(store.get(key).bytes()))
    except ValueError:
        raise Damaged(f"{key} is not JSON: it was cut or changed; restore it, or delete it") from None
