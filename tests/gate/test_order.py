import random

import pytest

from reports.gate.order import ordered


@pytest.mark.parametrize(
    "labels",
    [
        ["2025-W52", "2026-W01", "2026-W02", "2026-W10"],
        ["2026W9", "2026W10"],
        ["<10", "10-99", "100-999", "1000+"],
        ["0", "1 to 9", "10 to 99", "100 or more"],
        ["under 5 s", "5 s to 1 min", "1 min to 1 h", "over 1 h"],
        ["500 kB", "1 MB", "2 GB"],
        ["1-5", "6-20", ">20"],
        ["Monday", "Tuesday", "Sunday"],
        ["Jan", "Feb", "Oct"],
        ["small", "medium", "large"],
        ["1.2.0", "1.9.0", "1.10.0-rc.1", "1.10.0"],
    ],
)
def test_names_that_have_an_order_are_in_it(labels: list[str]) -> None:
    for seed in range(5):
        mixed = random.Random(seed).sample(labels, len(labels))
        assert ordered(mixed, None) == labels


def test_other_names_stay_by_size() -> None:
    for labels in (["zsh", "bash", "fish"], ["s", "zsh"], ["10", "x"], ["5 apples", "3 pears"]):
        assert ordered(labels, None) == labels


def test_a_block_says_another_order() -> None:
    labels = ["10-99", "b", "<10", "A"]
    assert ordered(labels, "value") == labels
    assert ordered(labels, "label") == ["10-99", "<10", "A", "b"]
    assert ordered(labels, ("b", "<10", "not there")) == ["b", "<10", "10-99", "A"]
