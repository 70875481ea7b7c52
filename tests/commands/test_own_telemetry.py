"""The command's own telemetry: off without a yes, and with one no more than its registry file says."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.function import registry
from reports.commands.own_telemetry import COLLECTS, telemetry
from tests.buckets import rows
from tests.hosts import CLEAN, ROOT

CLI = [sys.executable, "-m", "reports.cli"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {name: os.environ[name] for name in CLEAN if name in os.environ} | {
        "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip


def run(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    done = subprocess.run([*CLI, *arguments], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == code, done.stderr
    return done.stdout


def test_it_can_record_what_its_registry_file_declares_and_nothing_else() -> None:
    ours = registry.load(ROOT / "ingest" / "applications")["abaculus"]
    assert sorted(ours.paths) == sorted(COLLECTS)


def test_the_registrys_paths_are_printed_for_collects(environment: dict[str, str]) -> None:
    assert run(environment, "registry", "paths", "abaculus").split() == registry.load()["abaculus"].paths
    removed = registry.parse(
        'id = "x"\n[attributes.a]\ntype = "string"\nwhy = "?"\nremoved = true\n[events.E]\nwhy = "?"\n'
        '[events.E.attributes.b]\ntype = "string"\nwhy = "?"\n[spans.S]\nwhy = "?"\nremoved = true\n'
    )
    assert removed.paths == ["events.E", "events.E.attributes.b"]


def test_it_says_the_version_that_is_installed() -> None:
    assert (
        telemetry.tool.version
        == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    )


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_without_a_yes_nothing_is_recorded(tmp_path: Path, environment: dict[str, str], endpoint: str) -> None:
    run(environment | {"ABACULUS_TELEMETRY_ENDPOINT": endpoint}, "registry", "check")
    assert not (tmp_path / "state").exists()


def test_without_an_address_a_yes_records_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    run(environment | {"ABACULUS_TELEMETRY": "1"}, "registry", "check")
    assert not (tmp_path / "state").exists()


@pytest.fixture
def served(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [*CLI, "ingest", "--port", "0", "--bucket", str(tmp_path / "bucket")]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        found = re.search(r"http://[^\s,]+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


@pytest.mark.slow
def test_real_sessions_of_its_own_commands_lie_next_to_those_of_the_demo(
    tmp_path: Path, environment: dict[str, str], served: str
) -> None:
    bucket = str(tmp_path / "bucket")
    own = environment | {"ABACULUS_TELEMETRY": "1", "ABACULUS_TELEMETRY_ENDPOINT": served}
    run(own, "registry", "check")
    run(own, "compact", "--bucket", bucket)
    run(own, "sql", "--bucket", bucket, "SELECT wrong", code=1)
    run(own, "sql", "--wrong", code=2)
    run(own, "registry", "check", "--help")
    # What is left: each run had those before it sent.
    assert "sent" in run(own, "telemetry", "flush")
    run(environment, "compact", "--bucket", bucket)
    query = "SELECT command, exit_code FROM sessions ORDER BY start_time"
    assert json.loads(run(environment, "sql", "--json", "--bucket", bucket, query)) == [
        {"command": "registry check", "exit_code": 0},
        {"command": "compact", "exit_code": 0},
        {"command": "sql", "exit_code": 1},
    ]
    assert [row["undeclared"] for row in rows(bucket, "abaculus")] == [[], [], []]
    spans = "SELECT type, duration_ms > 0 AS took_time, session.os FROM spans"
    assert json.loads(run(environment, "sql", "--json", "--bucket", bucket, spans)) == [
        {"type": "Compact", "took_time": True, "os": "Linux"}
    ]
