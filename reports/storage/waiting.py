"""Remembers raw objects that wait for another registry, so that a run does not read them again.

An object `waiting/<application>.json` lists them for one state of the registry. If it is damaged, the objects are only
read again.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from obstore.store import ObjectStore

from reports.storage.objects import Damaged, document

__all__ = ["Waiting", "keep", "known"]


@dataclass
class Waiting:
    """Objects by key, each with its size and number of sessions. `stale` says that the list is for another registry, or
    damaged.
    """

    objects: dict[str, tuple[int, int]] = field(default_factory=dict)
    stale: bool = False

    @property
    def sessions(self) -> int:
        """How many sessions wait."""
        return sum(sessions for _, sessions in self.objects.values())

    def split(self, listed: pa.Table) -> "tuple[pa.Table, Waiting]":
        """Splits listed objects into objects to read and objects that wait."""
        if not self.objects:
            return listed, Waiting()
        pairs = list(zip(listed["path"].to_pylist(), listed["size"].to_pylist(), strict=True))
        waits = [self.objects.get(key, (None,))[0] == size for key, size in pairs]
        still = {key: self.objects[key] for (key, _), yes in zip(pairs, waits, strict=True) if yes}
        return listed.filter(pa.array([not yes for yes in waits])), Waiting(still)


def _name(application: str) -> str:
    return f"waiting/{application}.json"


def _told(expected: pa.Schema, waiting: Waiting) -> dict[str, Any]:
    return {
        "registry": hashlib.sha256(expected.serialize().to_pybytes()).hexdigest(),
        "objects": {key: list(of) for key, of in sorted(waiting.objects.items())},
    }


def known(store: ObjectStore, application: str, expected: pa.Schema) -> Waiting:
    """The objects that waited after the last run, if the registry is unchanged."""
    with suppress(Damaged, KeyError, TypeError, ValueError, AttributeError):
        try:
            found = document(store, _name(application))
        except FileNotFoundError:
            return Waiting()
        if found["registry"] == _told(expected, Waiting())["registry"]:
            objects = {str(key): (int(size), int(sessions)) for key, (size, sessions) in found["objects"].items()}
            return Waiting(objects)
    return Waiting(stale=True)


def keep(store: ObjectStore, application: str, expected: pa.Schema, waiting: Waiting, before: Waiting) -> None:
    """Stores the waiting objects, if they differ from `before`."""
    if waiting == before:
        return
    if waiting.objects:
        store.put(_name(application), json.dumps(_told(expected, waiting)).encode())
    else:
        with suppress(FileNotFoundError):
            store.delete(_name(application))
