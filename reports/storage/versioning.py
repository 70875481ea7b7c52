"""Tests whether a bucket keeps deleted objects."""

import secrets
from contextlib import suppress

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

__all__ = ["keeps_versions"]


def keeps_versions(store: ObjectStore) -> bool:
    """Tests this with an object of its own: deletes it and requests its old version.

    True if versioning is on (S3, R2, GCS, Azure). This cannot detect soft delete, which does not return the data that
    it keeps.
    """
    key = f"probe/{secrets.token_hex(8)}"
    store.put(key, b"written to see whether this bucket keeps what is deleted\n")
    try:
        version = store.head(key).get("version")
    finally:
        store.delete(key)
    if version is None:
        return False
    with suppress(BaseError, FileNotFoundError):
        obstore.get(store, key, options={"version": version}).bytes()
        return True
    return False
