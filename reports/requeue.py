"""Puts what was set aside back among the raw sessions, after whatever was wrong has been mended."""

import hashlib
import json
import zlib
from collections.abc import Collection
from typing import Any

from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

__all__ = ["requeue"]

NOTE = ".reason.json"


def requeue(store: ObjectStore, keys: Collection[str] = ()) -> list[str]:
    """Moves these quarantined objects back to `raw/`, or all of them, byte for byte; gives the keys there.

    Stopped half way, it has put something back and not yet deleted it here: compaction counts it once all the same.
    Raises FileNotFoundError for a key that is not in quarantine.
    """
    names = [meta["path"] for page in store.list("quarantine/") for meta in page if not meta["path"].endswith(NOTE)]
    if missing := sorted(set(keys) - set(names)):
        raise FileNotFoundError(f"{missing[0]} is not in quarantine")
    return [_put_back(store, name) for name in sorted(keys or names)]


def _put_back(store: ObjectStore, name: str) -> str:
    note = _note(store, name)
    key = str(note.get("key") or name.removeprefix("quarantine/"))
    if note.get("line") is None:
        try:
            store.copy(name, key, overwrite=False)
        except AlreadyExistsError:  # its session was sent again meanwhile
            key = f"{key}.requeued"
            store.copy(name, key)
    else:
        line = bytes(store.get(name).bytes())
        key = f"{key.rpartition('/')[0]}/requeued-{hashlib.sha256(line).hexdigest()}.ndjson.gz"
        store.put(key, zlib.compress(line, 6, wbits=31))
    store.delete(name)
    store.delete(name + NOTE)
    return key


def _note(store: ObjectStore, name: str) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(bytes(store.get(name + NOTE).bytes()))
    except FileNotFoundError:  # the run was stopped before it could write the note
        return {"line": 1} if ".line-" in name else {}
    return note
