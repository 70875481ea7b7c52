"""The tools in Go and TypeScript, each built once."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.builds import GO, NODE, NPM, build_go, compile_typescript


@pytest.fixture(scope="session")
def go_command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """How the tool in Go is started."""
    if not GO:
        pytest.skip("Go is not installed (apt-get install golang-go)")
    return build_go(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory with everything of TypeScript compiled, and what the compiler has said."""
    if not (NODE and NPM):
        pytest.skip("Node is not installed (apt-get install nodejs npm)")
    directory = tmp_path_factory.mktemp("typescript")
    shutil.copy(Path(__file__).with_name("typescript") / "package.json", directory)
    subprocess.run([NPM, "install", "--no-audit", "--no-fund", "--silent"], cwd=directory, check=True)
    return directory, compile_typescript(directory)


@pytest.fixture(scope="session")
def typescript_command(compiled: tuple[Path, str]) -> tuple[str, ...]:
    """How the tool in TypeScript is started."""
    return NODE, str(compiled[0] / "tool.js")
