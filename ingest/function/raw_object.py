"""The raw object: the key and the bytes of sessions in the bucket."""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from ingest.function.session_format import Session

__all__ = ["Create", "Unavailable", "batch", "single"]

# Writes an object under a key that does not exist yet. True: the object is new. False: it is certain that it existed
# before. Raises `Unavailable` if neither is known.
Create = Callable[[str, bytes], Awaitable[bool]]


class Unavailable(Exception):
    """Raised if the store did not confirm. The session may be stored or not, and must be sent again."""


def single(session: Session, ingestion: str) -> tuple[str, bytes]:
    """The object of one session."""
    key = f"raw/v1/{session.application}/{session.start[:10]}/{session.id}.json.gz"
    return key, _gzip(session.line(ingestion))


def batch(sessions: Sequence[Session], ingestion: str) -> tuple[str, bytes]:
    """The object of several sessions of one application. The same sessions name the same object, in any order."""
    digest = sha256()
    # All heads have the same length, so this is the order of the lines.
    for session in sorted(sessions, key=lambda session: (session.head, session.tail)):
        for part in (session.head, session.tail, b"\n"):
            digest.update(part)
    date = min(session.start for session in sessions)[:10]
    key = f"raw/v1/{sessions[0].application}/{date}/batch-{digest.hexdigest()}.ndjson.gz"
    # Line by line, because together they can be many times larger than the compressed result.
    packer = _packer(15)
    packed = [packer.compress(session.line(ingestion)) for session in sessions]
    return key, b"".join((*packed, packer.flush()))


def _gzip(data: bytes) -> bytes:
    # A short text needs no larger window, and creating a window takes longer than filling it.
    packer = _packer(12 if len(data) <= 1 << 12 else 15)
    return packer.compress(data) + packer.flush()


def _packer(window: int) -> "zlib._Compress":
    return zlib.compressobj(wbits=16 + window)  # 16: with a gzip header, whose mtime zlib leaves at 0
