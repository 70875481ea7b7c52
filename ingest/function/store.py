"""Create-only writes to a bucket, and what their results prove."""

import asyncio
import random
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Literal, Protocol

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore

from ingest.function.raw_object import Create, Unavailable
from ingest.function.settings import Settings

__all__ = ["Store", "creator", "proves_existence"]

STATUS = re.compile(r"status code: (\d{3})")
# For these errors, trying again within seconds is useless.
FINAL = (PermissionDeniedError, UnauthenticatedError, NotSupportedError, InvalidPathError, FileNotFoundError)


class Store(Protocol):
    """The part of an obstore store that the function uses, without reading, listing and deleting."""

    def put_async(self, path: str, file: bytes, *, mode: Literal["create"], use_multipart: bool) -> Awaitable[object]:
        """Writes `file` to `path` unless it exists."""


def creator(store: Store, settings: Settings) -> Create:
    """The function that writes an object into `store` if its key is free. It never reads, lists or overwrites."""

    root = Path(str(store.prefix)) if isinstance(store, LocalStore) else None

    async def create(key: str, data: bytes) -> bool:
        if root is not None and not root.is_dir():
            # For example, a disk that is not mounted: nobody would find a file that is written in its place.
            raise Unavailable(f"the bucket's directory is gone: {root}")
        clock = asyncio.get_running_loop().time
        end = clock() + settings.store_seconds
        why = "no time to try"
        for attempt in range(settings.store_tries):
            if attempt:
                # Two writers that raced would race again if both waited for the same time.
                spread = random.uniform(0.5, 1.5)  # noqa: S311 # it hides nothing
                await asyncio.sleep(settings.store_seconds / 100 * 2**attempt * spread)
                if clock() >= end:
                    break
            try:
                # Half of the time for one try, so that a second try is possible if the first answer is lost.
                async with asyncio.timeout_at(min(end, clock() + settings.store_seconds / 2)):
                    # In one part, because multipart uploads are not create-only.
                    await store.put_async(key, data, mode="create", use_multipart=False)
                return True
            except TimeoutError:
                why = "no answer in time"
            except FINAL as error:
                raise Unavailable(_reason(error)) from error
            except (BaseError, OSError) as error:
                if proves_existence(error):
                    return False
                why = _reason(error)
        raise Unavailable(why)

    return create


def proves_existence(error: Exception) -> bool:
    """Whether a failed create proves that the key exists. obstore raises the same error for 412 and 409. S3's 409 only
    says that two creates met. Perhaps neither was stored.
    """
    if not isinstance(error, AlreadyExistsError | PreconditionError):
        return False
    text = str(error)
    status = STATUS.search(text)
    if status is None:
        return isinstance(error, AlreadyExistsError)  # a local directory or memory: the operating system reports this
    return status[1] == "412" or (status[1] == "409" and "BlobAlreadyExists" in text)


# Each needs another action of the operator. Texts of errors, which may also contain names of files and hosts. So each
# of these has inner capitals or a blank.
REASONS = (
    (("StorageFull", "QuotaExceeded", "status code: 507"), "disk full"),
    (("ConnectionRefused",), "connection refused"),
    (("dns error",), "host name not found"),
    (("status code: 429", "SlowDown", "ServerBusy", "status code: 503"), "throttled"),
    (("UnauthenticatedError", "status code: 401"), "credentials not accepted"),
    (("PermissionDenied", "ReadOnlyFilesystem", "status code: 403"), "no right to write"),
    (("NoSuchBucket", "ContainerNotFound", "status code: 404"), "no such bucket"),
    (("status code: 409",), "other writers of the same object"),
)


def _reason(error: Exception) -> str:
    # The error's own text contains the key with the session's id, and is pages long.
    name = type(error).__name__
    text = f"{name} {error}"
    status = STATUS.search(text)
    what = next((reason for words, reason in REASONS if any(word in text for word in words)), "the store failed")
    return f"{what} ({name}{f' {status[1]}' if status else ''})"
