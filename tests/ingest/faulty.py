"""A store that fails on purpose, as buckets and networks do, around a real one."""

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError
from obstore.store import MemoryStore

# What may happen to a create. "then" means that it had its effect all the same.
FAULTS = (
    "ok",
    "fails before",
    "fails, then stored",
    "409",
    "409, then stored",
    "412, another was first",
    "409 BlobAlreadyExists, another was first",
    "429",
    "500",
    "500, then stored",
    "503",
    "403",
    "stalls",
    "stalls, then stored",
)


class FaultyStore:
    """Has nothing but create-only puts; what happens to each is taken from `faults`, and "ok" when they run out."""

    def __init__(self, faults: Iterable[str] = ()) -> None:
        self.faults = iter(faults)
        self.inner = MemoryStore()
        self.calls = 0
        self.effects: Counter[str] = Counter()

    async def put_async(self, path: str, file: bytes, *, mode: Literal["create"], use_multipart: bool) -> object:
        assert mode == "create"
        assert not use_multipart
        self.calls += 1
        fault = next(self.faults, "ok")
        if fault == "ok" or "stored" in fault or "another was first" in fault:
            try:
                await self.inner.put_async(path, file, mode="create")
                self.effects[path] += 1
            except AlreadyExistsError:
                raise AlreadyExistsError(_answered(path, "412 Precondition Failed")) from None
        match fault.split(",")[0]:
            case "ok":
                return None
            case "fails before" | "fails":
                raise GenericError(
                    "Generic S3 error: error sending request, connection closed before message completed"
                )
            case "stalls":
                await asyncio.sleep(3600)
            case "409":
                raise AlreadyExistsError(_answered(path, "409 Conflict: <Code>ConditionalRequestConflict</Code>"))
            case "409 BlobAlreadyExists":
                raise AlreadyExistsError(_answered(path, "409 Conflict: <Code>BlobAlreadyExists</Code>"))
            case "412":
                raise AlreadyExistsError(_answered(path, "412 Precondition Failed"))
            case "403":
                raise PermissionDeniedError(_answered(path, "403 Forbidden"))
            case status:
                raise GenericError(_answered(path, status))
        raise AssertionError("unreachable")

    def lines(self) -> list[bytes]:
        """Every stored line, read behind the function's back."""
        keys = [entry["path"] for page in self.inner.list() for entry in page]
        objects = (zlib.decompress(bytes(self.inner.get(key).bytes()), wbits=31) for key in keys)
        return [line for data in objects for line in data.splitlines(keepends=True)]

    def ids(self) -> Counter[str]:
        """How often each session is stored."""
        return Counter(json.loads(line)["sessionId"] for line in self.lines())


def _answered(path: str, answer: str) -> str:
    # As obstore words it, debug output and all.
    return (
        f"Object at location {path} already exists: Error performing PUT https://bucket/{path} in 3.4ms - "
        f"Server returned non-2xx status code: {answer}\n\nDebug source:\nAlreadyExists {{ path: {path!r} }}"
    )
