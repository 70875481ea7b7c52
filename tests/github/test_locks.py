"""The locks: each holds all that its environment needs, in the versions that developers test with."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
SPARK = PROJECT["project"]["optional-dependencies"]["spark"]
LOCKS = {
    "requirements.txt": RUN,
    "requirements-spark.txt": [*RUN, *SPARK],
    "requirements-dev.txt": [
        *RUN,
        *SPARK,
        *(one for one in PROJECT["dependency-groups"]["dev"] if isinstance(one, str)),
    ],
    "ingest/deploy/requirements.txt": PROJECT["dependency-groups"]["function"],
}


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9-]+==[^ ]+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_pyproject_asks_for(lock: str) -> None:
    assert {name(one) for one in LOCKS[lock]} <= {one.partition("==")[0] for one in pins(lock)}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_lock_has_the_versions_that_developers_test_with(lock: str) -> None:
    assert pins(lock) <= pins("requirements-dev.txt")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


def test_the_function_needs_nothing_that_the_project_does_not() -> None:
    assert set(PROJECT["dependency-groups"]["function"]) <= {name(one) for one in RUN}


def test_every_install_from_a_lock_takes_the_lock_as_it_is() -> None:
    """With --no-deps, so that nothing is resolved anew; tests may show what happens without."""
    listed = subprocess.check_output(["git", "ls-files", "-z", ":!tests", ":!*.py"], cwd=ROOT, encoding="utf-8").split(
        "\0"
    )
    commands = []
    for path in (ROOT / name for name in listed):
        if path.is_file() and path.suffix in ("", ".sh", ".yml", ".md"):
            lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
            commands += [line for line in lines if re.search(r'pip"? install .*-r ', line)]
    assert len(commands) >= 4  # the wheel, the action, the container, the function on AWS
    for command in commands:
        assert {"--no-deps", "--require-hashes"} <= set(command.split()), command


# The script that charts are drawn with

BUNDLE = "reports/assets/plotly-cartesian.min.js"
PACKAGE = json.loads((ROOT / "reports/assets/package.json").read_text(encoding="utf-8"))["dependencies"]


def test_the_bundle_is_the_version_that_is_pinned() -> None:
    assert f"v{PACKAGE['plotly.js-cartesian-dist-min']}\n" in (ROOT / BUNDLE).read_text(encoding="utf-8")[:200]


@pytest.mark.wheel
def test_the_bundle_is_byte_for_byte_what_npm_has(tmp_path: Path) -> None:
    """npm compares what it gets with the integrity in the lock."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "reports/assets" / name, tmp_path)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=tmp_path, check=True)
    theirs = tmp_path / "node_modules/plotly.js-cartesian-dist-min" / Path(BUNDLE).name
    assert theirs.read_bytes() == (ROOT / BUNDLE).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_nothing_is_built_without_the_bundle(tmp_path: Path, target: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "data", "dist", "tests", "__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path / "dist")]
    (copy / BUNDLE).rename(tmp_path / "kept")
    done = subprocess.run(build, cwd=copy, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert BUNDLE in done.stderr
    assert not list(tmp_path.glob("dist/*"))
    (tmp_path / "kept").rename(copy / BUNDLE)
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (built,) = tmp_path.glob("dist/*")
    shutil.unpack_archive(built, tmp_path / "unpacked", "zip" if target == "wheel" else "gztar")
    (carried,) = (tmp_path / "unpacked").rglob(Path(BUNDLE).name)
    assert carried.read_bytes() == (ROOT / BUNDLE).read_bytes()
