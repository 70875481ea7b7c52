"""A minute of every command under fire. For longer, and other seeds: python -m tests.fire --minutes 30 --seed 2."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from tests.fire import Throttled

MINUTES = os.environ.get("ABACULUS_FIRE_MINUTES", "1")


@pytest.mark.s3
def test_nothing_is_lost_doubled_or_brought_back_under_fire() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fire", "--minutes", MINUTES, "--seed", "1"],
        cwd=Path(__file__).parents[2], capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_the_fire_burns() -> None:
    class Store:
        def get(self, key: str) -> str:
            return key

    store = Throttled(Store(), random.Random(1))  # type: ignore[arg-type] # it has one operation of a store
    refused = 0
    for _ in range(1_000):
        try:
            store.get("x")
        except GenericError:
            refused += 1
    assert 2 < refused < 40
