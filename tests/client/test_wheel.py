"""The client's own wheel: nothing below it, typed, and at work on every Python that is here."""

import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from ingest.function.registry import parse
from tests.hosts import CLIENT, HOST, Home, function, interpreters, stored

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "-w", str(directory), str(CLIENT)], check=True)
    (made,) = directory.glob("abaculus_client-*.whl")
    return made


def test_it_holds_the_package_and_depends_on_nothing(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        said = Parser().parsestr(archive.read(metadata).decode())
        shipped = archive.read("abaculus/registry.toml").decode()
    assert said["Name"] == "abaculus-client"
    assert said["Requires-Python"] == ">=3.10"
    assert said.get_all("Requires-Dist") is None
    assert "abaculus/py.typed" in names
    assert {name.partition("/")[0].removesuffix("-0.1.0.dist-info") for name in names} == {
        "abaculus",
        "abaculus_client",
    }
    assert parse('id = "x"\n' + shipped).attributes["osName"].role == "os"


@pytest.mark.parametrize("python", interpreters())
def test_it_works_in_an_environment_that_has_nothing_else(wheel: Path, tmp_path: Path, python: str) -> None:
    clean = tmp_path / "clean"
    if python == sys.executable:
        venv.create(clean, with_pip=True)
    else:
        subprocess.run([python, "-m", "venv", str(clean)], check=True)
    install = [
        str(clean / "bin" / "pip"),
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True)
    with function(tmp_path / "function") as (url, bucket):
        home = Home(tmp_path / "home", url, MY_TOOL_TELEMETRY="1", PYTHONPATH="")
        tool = [str(clean / "bin" / "python"), "-W", "error", str(HOST)]
        for arguments in (["work"], ["work", "--threads"], ["telemetry", "flush"]):
            done = subprocess.run(
                [*tool, *arguments], cwd=home.project, env=home.environment, capture_output=True, encoding="utf-8"
            )
            assert (done.returncode, done.stderr) == (0, "")
        home.until(lambda: home.queued() == [])
        versions = {session["attributes"]["runtimeVersion"] for session in stored(bucket)}
        assert len(stored(bucket)) == 2
        assert all(not session["undeclared"] for session in stored(bucket))
    said = subprocess.check_output([python, "--version"], encoding="utf-8").strip()
    assert versions == {said}
