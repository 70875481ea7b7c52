"""Create-only writes to a bucket, told apart by what they prove; and group commit over them."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
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

from ingest.raw import Create, Unavailable, batch, single
from ingest.session import Session
from ingest.settings import Settings

__all__ = ["Group", "Store", "creator", "proves_existence"]

STATUS = re.compile(r"status code: (\d{3})")
# Trying these again within seconds changes nothing.
FINAL = (PermissionDeniedError, UnauthenticatedError, NotSupportedError, InvalidPathError, FileNotFoundError)


class Store(Protocol):
    """What is used of an obstore store: nothing that reads, lists, or deletes."""

    def put_async(self, path: str, file: bytes, *, mode: Literal["create"], use_multipart: bool) -> Awaitable[object]:
        """Puts `file` at `path` unless something is there."""


def creator(store: Store, settings: Settings) -> Create:
    """The function that writes an object into `store` if its key is free. It never reads, lists or overwrites."""

    async def create(key: str, data: bytes) -> bool:
        clock = asyncio.get_running_loop().time
        end = clock() + settings.store_seconds
        why = "no time to try"
        for attempt in range(settings.store_tries):
            if attempt:
                # Two writers that raced would race again if both waited equally long.
                spread = random.uniform(0.5, 1.5)  # noqa: S311 # it hides nothing
                await asyncio.sleep(settings.store_seconds / 100 * 2**attempt * spread)
                if clock() >= end:
                    break
            try:
                # Half of the time for one try: an answer that is lost in the first can still be had from a second.
                async with asyncio.timeout_at(min(end, clock() + settings.store_seconds / 2)):
                    # In one part: multipart uploads are not create-only.
                    await store.put_async(key, data, mode="create", use_multipart=False)
                return True
            except TimeoutError:
                why = "no answer in time"
            except FINAL as error:
                raise Unavailable(_brief(error)) from error
            except (BaseError, OSError) as error:
                if proves_existence(error):
                    return False
                why = _brief(error)
        raise Unavailable(why)

    return create


def proves_existence(error: Exception) -> bool:
    """Whether a failed create proves that the key exists.

    obstore raises one error for 412 and 409. S3's 409 only says that two creates met, and neither may have won.
    """
    if not isinstance(error, AlreadyExistsError | PreconditionError):
        return False
    text = str(error)
    status = STATUS.search(text)
    if status is None:
        return isinstance(error, AlreadyExistsError)  # a local directory or memory: the operating system said so
    return status[1] == "412" or (status[1] == "409" and "BlobAlreadyExists" in text)


def _brief(error: Exception) -> str:
    # obstore appends pages of debug output; the key, which holds the session's id, stands in the first line.
    status = STATUS.search(str(error))
    return f"{type(error).__name__} {status[1] if status else ''}".rstrip()


class Group:
    """Sessions of one application that arrive within a short time become one object, and one bill for it."""

    def __init__(self, create: Create, settings: Settings, clock: Callable[[], str]) -> None:
        self._create = create
        self._settings = settings
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    async def keep(self, session: Session) -> bool:
        """Stores a session with its neighbours. Answers as `Create` does, and only after the object is confirmed."""
        window = self._windows.get(session.application)
        if window is None:
            window = self._windows[session.application] = _Window()
            window.done = asyncio.create_task(self._commit(session.application, window))
        first = window.add(session)
        if len(window.sessions) >= self._settings.batch_lines or window.bytes >= self._settings.body_bytes * 4:
            window.full.set()
            self._windows.pop(session.application, None)
        # Shielded: a client that hangs up must not take its neighbours' sessions along.
        created = await asyncio.shield(window.done)
        return created and first

    async def _commit(self, application: str, window: "_Window") -> bool:
        try:
            async with asyncio.timeout(self._settings.group_commit_ms / 1000):
                await window.full.wait()
        except TimeoutError:
            if self._windows.get(application) is window:
                del self._windows[application]
        sessions = list(window.sessions.values())
        make = single(sessions[0], self._clock()) if len(sessions) == 1 else batch(sessions, self._clock())
        return await self._create(*make)


class _Window:
    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.bytes = 0
        self.full = asyncio.Event()
        self.done: asyncio.Task[bool]

    def add(self, session: Session) -> bool:
        """Whether the session was not in the window yet."""
        if session.id in self.sessions:
            return False
        self.sessions[session.id] = session
        self.bytes += len(session.head) + len(session.tail)
        return True
