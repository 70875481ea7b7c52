"""Sessions in files, and the names that were left out of those in a bucket."""

import gzip
import io
import json

import pytest

from reports.operations.undeclared import sessions


def file(content: bytes) -> io.BytesIO:
    made = io.BytesIO(content)
    made.name = "sessions.ndjson"
    return made


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n{"a": 2}\n',
        b'[{"a": 1}, {"a": 2}]',
        b'\n{"a": 1}\n\n{"a": 2}',
        gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0),
    ],
)
def test_json_and_ndjson_are_read(content: bytes) -> None:
    assert list(sessions(file(content))) == [{"a": 1}, {"a": 2}]


def test_one_session_is_read() -> None:
    assert list(sessions(file(json.dumps({"a": 1}, indent=2).encode()))) == [{"a": 1}]


@pytest.mark.parametrize(("content", "place"), [(b'{"a": 1}\n{"a"\n', ":2: not JSON"), (b"{}\n7\n", ":2: a session")])
def test_a_line_that_is_no_session_is_named(content: bytes, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        list(sessions(file(content)))
