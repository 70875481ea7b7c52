"""Opens a bucket from its one URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

__all__ = ["DEFAULT", "BucketError", "open_bucket"]

DEFAULT = "data/bucket"


class BucketError(Exception):
    """A bucket that cannot be opened, with what to do about it."""


def open_bucket(url: str, *, retries: bool = True) -> ObjectStore:
    """The object store at `file:///…`, `s3://…`, `gs://…` or `az://…`, or in a local directory given by its path.

    Credentials come from the environment, under the names that the cloud's own tools use; so does Azure's account
    (AZURE_STORAGE_ACCOUNT_NAME), since what follows `az://` is the container. Without `retries`, one call is one
    request: the caller has a better idea of when to try again.
    Raises `BucketError` when the URL is not one of these.
    """
    parts = urlsplit(url)
    try:
        match parts.scheme:
            case "" | "file":
                path = Path(unquote(parts.path)) if parts.scheme else Path(url)
                return LocalStore(path.absolute(), mkdir=True)
            case "memory":
                return MemoryStore()
            case "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss":
                return from_url(url, retry_config=None if retries else {"max_retries": 0})
    except (BaseError, OSError, ValueError) as error:
        raise BucketError(f"bucket {url!r} cannot be opened: {error}") from None
    raise BucketError(f"bucket {url!r}: unknown scheme; use file:///path, s3://name, gs://name or az://container")
