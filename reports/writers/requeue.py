"""Moves quarantined objects back to raw/, after somebody has fixed the cause."""

import hashlib
import zlib
from collections.abc import Collection
from typing import Any

from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from reports.storage.objects import Damaged, document, objects

__all__ = ["requeue"]

NOTE = ".reason.json"


def requeue(store: ObjectStore, keys: Collection[str] = ()) -> list[str]:
    """Moves these quarantined objects, or all, back to `raw/`, byte for byte. Returns the keys there.

    If this is interrupted, an object may be in both places. Compaction still counts its sessions once.
    Raises FileNotFoundError for a key that is not in quarantine.
    """
    names = [key for key, _ in objects(store, "quarantine/") if not key.endswith(NOTE)]
    if missing := sorted(set(keys) - set(names)):
        raise FileNotFoundError(f"{missing[0]} is not in quarantine")
    return [_put_back(store, name) for name in sorted(keys or names)]


def _put_back(store: ObjectStore, name: str) -> str:
    note = _note(store, name)
    key = str(note.get("key") or name.removeprefix("quarantine/"))
    content = bytes(store.get(name).bytes())
    folder, _, last = key.rpartition("/")
    # The name comes from the content, so writing it again changes nothing.
    other = f"{folder}/requeued-{hashlib.sha256(content).hexdigest()}"
    if note.get("line") is None:
        key = _create(store, key, content, f"{other}-{last}")
    else:
        key = f"{other}.ndjson.gz"
        store.put(key, zlib.compress(content, 6, wbits=31))
    store.delete(name)
    store.delete(name + NOTE)
    return key


def _create(store: ObjectStore, key: str, content: bytes, other: str) -> str:
    """Writes an object under the first key if it is free, else under the other key. S3 has no conditional copy."""
    try:
        store.put(key, content, mode="create", use_multipart=False)
    except AlreadyExistsError:  # somebody has sent its session again meanwhile
        store.put(other, content, use_multipart=False)
        return other
    return key


def _note(store: ObjectStore, name: str) -> dict[str, Any]:
    try:
        note: dict[str, Any] = document(store, name + NOTE)
    except (FileNotFoundError, Damaged):  # the run was stopped before it could write the note
        return {"line": 1} if ".line-" in name else {}
    return note
