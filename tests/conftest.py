"""Fixtures for all tests."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers import azure_server, moto_server, s3_server


def pytest_configure() -> None:
    """Forgets the workflow that may run the tests: commands say less in one, and its summary is not theirs to write."""
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A real S3 server with the bucket `abaculus`; the environment in which obstore and deltalake find it.

    Only tests marked `s3` may ask for it: starting it takes seconds. By hand: `weed server -s3 -dir=…`
    with the options in tests/servers.py, then the same variables in the shell.
    """
    with s3_server(tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """As `s3`, of another make: moto keeps objects in memory."""
    with moto_server(tmp_path_factory.mktemp("moto")) as environment:
        yield environment


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Azure's storage emulator with the container `abaculus`, for tests marked `azure`; npm installs it first."""
    with azure_server(tmp_path_factory.mktemp("azure")) as environment:
        yield environment


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """The path of a local bucket that does not exist yet."""
    return str(tmp_path / "bucket")
