"""Reads a body, compressed or not, piece by piece, so that its inflated form is never held whole."""

import zlib
from collections.abc import Iterator

from ingest.function.document import not_valid

__all__ = ["TooLarge", "lines", "pieces"]

COMPRESSED = 16 << 10  # bytes that are inflated at once
PIECE = 64 << 10


class TooLarge(Exception):
    """Raised for more bytes than a body may have."""


def pieces(body: bytes, *, gzip: bool, limit: int) -> Iterator[bytes]:
    """The content of a body. Raises `TooLarge` beyond the limit, and `SessionError` if it is not one gzip member."""
    size = 0
    for piece in _inflated(body) if gzip else (body,):
        size += len(piece)
        if size > limit:
            raise TooLarge
        yield piece


def _inflated(body: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    for start in range(0, len(body), COMPRESSED):
        if stream.eof:
            raise not_valid("there are bytes after the gzip stream")
        data = body[start : start + COMPRESSED]
        while True:
            try:
                piece = stream.decompress(data, PIECE)
            except zlib.error:
                raise not_valid("not gzip, though Content-Encoding says so") from None
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if not data and len(piece) < PIECE:
                break
    if not stream.eof:
        raise not_valid("the gzip stream ends early")
    if stream.unused_data:
        raise not_valid("there are bytes after the gzip stream")


def lines(content: Iterator[bytes], limit: int) -> Iterator[bytes | None]:
    """The lines of a body, without their newlines. None for a line beyond the limit, which is dropped."""
    rest: list[bytes] = []
    length = 0
    for piece in content:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            length += end - start
            yield b"".join((*rest, piece[start:end])) if length <= limit else None
            rest, length, start = [], 0, end + 1
        length += len(piece) - start
        if length <= limit:
            rest.append(piece[start:])
        else:
            rest.clear()
    yield b"".join(rest) if length <= limit else None
