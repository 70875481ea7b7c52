"""Group commit: stores sessions that arrive within a short time as one object, which is paid once."""

import asyncio
from collections.abc import Callable

from ingest.function.raw_object import Create, batch, single
from ingest.function.session_format import Session
from ingest.function.settings import Settings

__all__ = ["Group"]


class Group:
    """The sessions that wait to be stored, by application."""

    def __init__(self, create: Create, settings: Settings, clock: Callable[[], str]) -> None:
        self._create = create
        self._settings = settings
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    async def keep(self, session: Session) -> bool:
        """Stores a session together with others. Answers like `Create`, and only after the object is confirmed."""
        window = self._windows.get(session.application)
        if window is None:
            window = self._windows[session.application] = _Window()
            window.done = asyncio.create_task(self._commit(session.application, window))
        first = window.add(session)
        if len(window.sessions) >= self._settings.batch_lines or window.bytes >= self._settings.body_bytes * 4:
            window.full.set()
            self._windows.pop(session.application, None)
        # Shielded, so that a client that hangs up does not cancel the sessions of others.
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
        """Whether the session is new in this window."""
        if session.id in self.sessions:
            return False
        self.sessions[session.id] = session
        self.bytes += session.size
        return True
