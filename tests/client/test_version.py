"""Versions on their way: in the server's form, and in the order that Python has them in."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from abaculus.version import normal
from ingest.function.session_format import VERSION
from reports.query.macros import version_key


@given(st.text() | st.from_regex(r"[0-9.a-z+!-]{0,20}"))
def test_every_version_is_sent_in_a_form_that_the_function_takes(text: str) -> None:
    assert VERSION.fullmatch(normal(text))


SMALL = st.integers(0, 11)


@st.composite
def versions(draw: st.DrawFn) -> str:
    """Versions as PEP 440 has them, near to each other."""
    made = draw(st.sampled_from(["", "", "1!", "10!"]))
    made += ".".join(map(str, draw(st.lists(SMALL, min_size=1, max_size=5))))
    for part in (("a", "b", "rc"), (".post",), (".dev",)):
        if draw(st.booleans()):
            made += f"{draw(st.sampled_from(part))}{draw(SMALL)}"
    return made


@given(versions(), versions())
def test_pythons_versions_keep_their_order(one: str, other: str) -> None:
    first, second = Version(one), Version(other)
    a, b = version_key(normal(one)), version_key(normal(other))
    assert (a < b, a == b) == (first < second, first == second)


def test_neighbours_keep_their_order() -> None:
    numbers = ("1.0", "1.0.0.1", "1.0.0.10", "1.0.1", "1!0.9")
    ends = (".dev9", ".dev10", "a1.dev1", "a1", "a1.post1", "rc9", "rc10", "", ".post1.dev1", ".post1", ".post10")
    ordered = [number + end for number in numbers for end in ends]
    assert sorted(ordered, key=Version) == ordered
    keys = [version_key(normal(one)) for one in ordered]
    assert all(one < other for one, other in itertools.pairwise(keys))
