"""Searches for people in an object of any size. It reads and inflates the object in pieces."""

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["PIECE", "Found", "among", "code", "inflated", "search"]

IDS = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ID_BYTES = 36
# The bytes that are inflated at once, and their compressed size. So a search still finds text before a damaged place.
PIECE = 1 << 20
STEP = 256


@dataclass
class Found:
    """The result of a search: the people who were found, whether all could be read, and the number of bytes."""

    people: frozenset[str] = frozenset()
    whole: bool = True
    bytes: int = 0


def code(user: bytes) -> str:
    """The SHA-256 of a user id, for places that must not contain the id. Nobody can guess the id from it."""
    return hashlib.sha256(user).hexdigest()


def among(content: bytes, people: frozenset[str]) -> frozenset[str]:
    """Which of these people, by their codes, have an id in a text."""
    return people.intersection(code(id.lower()) for id in set(IDS.findall(content)))


def search(parts: Iterable[bytes], people: frozenset[str]) -> Found:
    """Searches for people in an object that comes in parts: in its bytes, and in the inflated bytes."""
    found = Found()
    packed = unpacked = b""

    def seen() -> Iterator[bytes]:
        nonlocal packed
        for part in parts:
            found.people |= among(packed + part, people)
            packed = part[-ID_BYTES:]
            yield part

    try:
        for piece in inflated(seen()):
            found.bytes += len(piece)
            found.people |= among(unpacked + piece, people)
            unpacked = (unpacked + piece)[-ID_BYTES:]
    except zlib.error:
        found.whole = False
        for _ in seen():
            pass
    return found


def inflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The content of an object, in pieces of bounded size. Anything but gzip is returned unchanged. Raises
    zlib.error.
    """
    member = None
    begun = False
    for part in parts:
        if not begun:
            begun = True
            if not part.startswith(b"\x1f\x8b"):
                yield part
                yield from parts
                return
        rest = part
        while rest:
            member = member or zlib.decompressobj(wbits=31)
            step, rest = rest[:STEP], rest[STEP:]
            while step:
                yield member.decompress(step, PIECE)
                step = member.unconsumed_tail
            if member.eof:
                rest, member = member.unused_data + rest, None
    if member is not None:
        raise zlib.error("it ends before its content does")
