"""Fixtures for all tests."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader
from mkdocs.theme import Theme

from reports.pages.site import Site
from reports.query.snapshot import Snapshot
from tests import sparks
from tests.attack import examples
from tests.hosts import Proxy, function, proxy
from tests.servers import azure_server, moto_server, s3_server
from tests.sites import NOW

# Marks of tests that take long, alone or together.
HEAVY = ("jvm", "spark", "browser", "act", "wheel", "s3", "azure", "slow")


@cache
def theme_files(*directories: str) -> list[str]:
    """All files of a theme but its 14,000 icons, whose folder MkDocs leaves out of every site."""
    return [name for name in FileSystemLoader(directories).list_templates() if not name.startswith(".")]


@pytest.fixture(scope="session", autouse=True)
def themes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lists the theme's files and compiles its templates once, not for each site: for a small one that is most work."""
    compiled, made = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates"))), Theme.get_env

    def get_env(theme: Theme) -> Environment:
        environment = made(theme)
        environment.bytecode_cache = compiled
        listed = theme_files(*theme.dirs)
        environment.list_templates = lambda extensions=None, filter_func=None: [*filter(filter_func, listed)]
        return environment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Theme, "get_env", get_env)
        yield


def pytest_configure() -> None:
    """Forgets where the tests were started.

    In a workflow commands say less, and its summary is not theirs to write. In the background of a shell Ctrl-C is
    ignored, and every process that is started would ignore it, too. Where nothing compiled is kept, each worker would
    compile all tests anew, for some seconds.
    """
    sys.dont_write_bytecode = False
    # A worker's main module has no file. pyspark concludes from that that its own doctests run, and ends the worker.
    sys.modules["__main__"].__dict__.setdefault("__file__", __file__)
    # A machine that is busy is no fault of the example that was tried just then. Examples are the same in every run, so
    # that a change fails for what it changes. tests/attack.py looks further.
    same = not os.environ.get("ABACULUS_EXAMPLES")
    settings.register_profile("patient", deadline=None, max_examples=examples(100), derandomize=same)
    settings.load_profile("patient")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take longest: at the end, no worker waits for one that has just begun with such."""
    heavy = {item.path for item in items if any(map(item.get_closest_marker, HEAVY))}
    items.sort(key=lambda item: item.path not in heavy)


def pytest_xdist_auto_num_workers() -> int:
    """A worker more than processors: much is waiting for what comes in time or not at all."""
    return (os.cpu_count() or 1) + 1


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


@pytest.fixture(scope="session")
def sail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `sc://` URL of Sail's Spark Connect server, for tests marked `spark`."""
    with sparks.sail(tmp_path_factory.mktemp("sail")) as url:
        yield url


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As `sail`, of Apache Spark itself with Delta, for tests marked `jvm`."""
    with sparks.apache(tmp_path_factory.mktemp("apache")) as url:
        yield url


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL and the bucket of the real function, with the registry of tests/hosts.py."""
    with function(tmp_path_factory.mktemp("function")) as found:
        yield found


@pytest.fixture
def between(served: tuple[str, Path]) -> Iterator[Proxy]:
    """A proxy before it, which puts faults in."""
    with proxy(served[0]) as made:
        yield made


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """The path of a local bucket that does not exist yet."""
    return str(tmp_path / "bucket")


@pytest.fixture(scope="module")
def opened(snapshot: Snapshot) -> Iterator[Site]:
    """A site over the `snapshot` of the module that asks for it."""
    made = Site(snapshot, now=NOW)
    yield made
    made.connection.close()


@pytest.fixture
def site(snapshot: Snapshot) -> Iterator[Site]:
    """The same, new for each test."""
    made = Site(snapshot, now=NOW)
    yield made
    made.connection.close()


@pytest.fixture
def again(opened: Site) -> Site:
    """A site that has made pages before, as that of `abaculus serve` has: their mistakes are not those of the next."""
    opened.faults.clear()
    return opened
