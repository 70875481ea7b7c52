"""Patterns of the registry: linear time, ASCII classes, and a named fault for what RE2 does not take."""

import pytest

from ingest.function.pattern import PatternError, compiled, fits
from ingest.function.registry import RegistryError, parse


@pytest.mark.parametrize(
    ("expression", "value", "whole"),
    [
        (r"\d+(\.\d+)*", "6.1.0", True),
        (r"\d+(\.\d+)*", "6.1.0\n", False),
        (r"\d+(\.\d+)*", "x6.1", False),
        (r"\d+", "\u0661\u0662\u0663", False),
        (r"\w+", "na\u00efve", False),
        (r"\s", "\u2028", False),
        ("(?i)linux", "LINUX", True),
        ("Zo\u00eb|\u4e2d+", "\u4e2d\u4e2d", True),
        ("a|ab", "ab", True),
        ("", "", True),
        ("[a-z]+", "\ud800", False),
    ],
)
def test_the_whole_of_a_value_must_match_and_classes_are_ascii(expression: str, value: str, whole: bool) -> None:
    assert fits(compiled(expression), value) is whole


@pytest.mark.parametrize("expression", ["(a+)+b", "(a|aa)+b", "(a|a?)+b", "a?" * 100 + "a" * 100 + "b", "(.*)*b"])
def test_no_pattern_takes_longer_than_in_proportion_to_the_value(expression: str) -> None:
    """A matcher that goes back would be at the first of these for longer than the universe is old."""
    assert not fits(compiled(expression), "a" * 4096)


MISTAKES = {
    "look ahead": r"(?=a)b",
    "look behind": r"(?<=a)b",
    "a back-reference": r"(a)\1",
    "an end that RE2 writes otherwise": r"a\Z",
    "a possessive quantifier": r"a++b",
    "a group that is not closed": "(",
    "too many repetitions": "a{2000}",
    "too large": r"(\pL{0,100}){10}",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_expression_that_re2_does_not_take_is_a_fault_with_its_place(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    expression = MISTAKES[name]
    with pytest.raises(PatternError):
        compiled(expression)
    text = f'id = "tool"\n[attributes.x]\ntype = "string"\npattern = \'{expression}\'\nwhy = "to test"\n'
    with pytest.raises(RegistryError) as raised:
        parse(text, "tool.toml")
    (fault,) = raised.value.faults
    assert fault.startswith("tool.toml: attributes.x.pattern: ") and repr(expression) in fault
    assert capfd.readouterr().err == "", "RE2's own words beside ours"
