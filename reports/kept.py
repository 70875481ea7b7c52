"""Whether a bucket keeps what is deleted from it."""

import secrets
from contextlib import suppress

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

__all__ = ["keeps_versions"]


def keeps_versions(store: ObjectStore) -> bool:
    """Tries it: deletes an object of its own and asks for the version that it was.

    True where versioning is on (S3, R2, GCS, Azure). Soft delete cannot be seen from outside: it does not hand out what
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
