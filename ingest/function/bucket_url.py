"""Opens a bucket by its URL."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

__all__ = ["DEFAULT", "BucketError", "open_bucket", "open_or_empty"]

DEFAULT = "data/bucket"
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")  # read by obstore


class BucketError(Exception):
    """The reason why a bucket cannot be opened, with the fix."""


def open_bucket(url: str, *, retries: bool = True, create: bool = True) -> ObjectStore:
    """The object store at `file:///…`, `s3://…`, `gs://…` or `az://…`, or in a local directory given by its path.

    Credentials come from the environment, under the names that the cloud's own tools use. So does Azure's account
    (AZURE_STORAGE_ACCOUNT_NAME), because `az://` has only the container. Without `retries`, one call is one request,
    and the caller decides when to try again. A missing local directory is created, or without `create` is an error,
    because a mistyped name must not look like an empty bucket. Raises `BucketError` if the URL is not one of these, or
    if an endpoint in the environment is not a URL.
    """
    parts = urlsplit(url)
    try:
        match parts.scheme:
            case "" | "file":
                path = (Path(unquote(parts.path)) if parts.scheme else Path(url)).absolute()
                try:
                    str(path).encode()  # deltalake and DuckDB take no other path
                except UnicodeEncodeError:
                    raise BucketError(
                        f"bucket {os.fsencode(path)!r}: Python cannot read this path in this locale; set PYTHONUTF8=1, "
                        "or choose a directory whose path is UTF-8"
                    ) from None
                if not create and not path.is_dir():
                    raise BucketError(
                        f"there is no bucket at {path}; name it with --bucket, or create it: `abaculus compact`, "
                        "`abaculus ingest` and `abaculus demo` do"
                    )
                if path.exists() and not path.is_dir():
                    raise BucketError(f"bucket {url!r} is a file; name a directory")
                return LocalStore(path, mkdir=True)
            case "memory":
                return MemoryStore()
            case "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss":
                for name in ENDPOINTS:  # obstore panics at the first request to an endpoint without a scheme
                    if (endpoint := os.environ.get(name)) and urlsplit(endpoint).scheme not in ("http", "https"):
                        raise BucketError(f"{name}={endpoint} is not a URL; begin it with https:// or http://")
                return from_url(url, retry_config=None if retries else {"max_retries": 0})
    except (BaseError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or re.sub(r" \(os error \d+\)", "", str(error))
        remedy = "; name a directory that you may read and write" if parts.scheme in ("", "file") else ""
        raise BucketError(f"bucket {url!r} cannot be opened: {why}{remedy}") from None
    raise BucketError(f"bucket {url!r}: unknown scheme; use file:///path, s3://name, gs://name or az://container")


def open_or_empty(url: str) -> tuple[ObjectStore, str | None]:
    """The bucket for a build, and a message about it.

    The default bucket may be missing: then the site is built without data, and the message says so. Raises
    `BucketError` if a named bucket is missing.
    """
    if url == DEFAULT and not Path(url).is_dir():
        return (
            MemoryStore(),
            f"there is no bucket at {url} yet: the site is built without data (`abaculus demo` has some)",
        )
    return open_bucket(url, create=False), None
