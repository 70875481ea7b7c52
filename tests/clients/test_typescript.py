"""The client for TypeScript as a file: compiled strictly, and with functions for what is declared alone."""

from pathlib import Path

import pytest

from tests.clients.builds import TYPESCRIPT_TOOL, WRONG_TYPESCRIPT

pytestmark = pytest.mark.slow  # installs the compiler


def test_the_template_and_every_registry_of_ours_compile_and_what_is_not_declared_does_not(
    compiled: tuple[Path, str],
) -> None:
    first = TYPESCRIPT_TOOL.split("\n").index("run.setCount(4);") + 1
    places = [line.partition(",")[0] for line in compiled[1].splitlines() if not line.startswith(" ")]
    assert places == [f"wrong.ts({first + at}" for at in range(len(WRONG_TYPESCRIPT))], compiled[1]
