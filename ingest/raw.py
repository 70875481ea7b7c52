"""The raw object: the key and the bytes under which sessions lie in the bucket."""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from ingest.session import Session

__all__ = ["Create", "Unavailable", "batch", "single"]

# Writes an object under a key that does not exist yet. True: it is there now, and was not before. False: it is proven
# to have been there already. Raises `Unavailable` when neither is known.
Create = Callable[[str, bytes], Awaitable[bool]]


class Unavailable(Exception):
    """The store did not confirm: the session may or may not be there, and has to be sent again."""


def single(session: Session, ingestion: str) -> tuple[str, bytes]:
    """The object of one session."""
    key = f"raw/v1/{session.application}/{session.start[:10]}/{session.id}.json.gz"
    return key, _gzip(session.line(ingestion))


def batch(sessions: Sequence[Session], ingestion: str) -> tuple[str, bytes]:
    """The object of several sessions of one application. The same sessions name the same object, in any order."""
    content = b"".join(sorted(session.content for session in sessions))
    date = min(session.start for session in sessions)[:10]
    key = f"raw/v1/{sessions[0].application}/{date}/batch-{sha256(content).hexdigest()}.ndjson.gz"
    return key, _gzip(b"".join(session.line(ingestion) for session in sessions))


def _gzip(data: bytes) -> bytes:
    # 16: with a gzip header, whose mtime zlib leaves at 0. A short text needs no window larger than itself, and setting
    # one up takes longer than filling it.
    window = 12 if len(data) <= 1 << 12 else 15
    packer = zlib.compressobj(wbits=16 + window)
    return packer.compress(data) + packer.flush()
