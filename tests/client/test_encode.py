"""The client's own JSON is JSON."""

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaculus.encode import encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_written_reads_as_what_it_was(value: Any) -> None:
    written = encode(value)
    assert json.loads(written) == value
    assert "\n" not in written
    assert written == encode(json.loads(written))


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    def __str__(self) -> str:
        return "something else"


def test_subclasses_are_written_as_what_they_hold() -> None:
    assert encode({"a": Level.HIGH, "b": Name("x"), "c": True}) == '{"a":3,"b":"x","c":true}'


@pytest.mark.parametrize("value", [object(), b"", {1}, (1,), {"a": object()}])
def test_what_is_not_json_is_no_session(value: object) -> None:
    with pytest.raises(TypeError, match="is not JSON"):
        encode(value)
