"""The page "The first hour", walked as it stands: each of its commands, in one shell, against a real S3 server."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from ingest.function.bucket_url import open_bucket
from tests.runner import ROOT
from tests.servers import free_ports
from tests.waiting import until

PAGE = ROOT / "site/docs/first-hour.md"


def commands() -> list[tuple[str, str]]:
    """(Step, its commands) of the page."""
    found = []
    for step in re.split(r"(?m)^## (?=\d)", PAGE.read_text(encoding="utf-8"))[1:]:
        name, _, rest = step.partition("\n")
        found.append((name, "\n".join(re.findall(r"(?ms)^```console\n(.*?)^```", rest))))
    return found


@pytest.mark.s3
def test_the_first_hour_ends_with_a_session_of_ones_own_tool_on_a_page(
    s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, other = free_ports(2)
    lines = ["set -eo pipefail", f'PATH="{Path(sys.executable).parent}:$PATH"', "trap 'kill $(jobs -p)' EXIT"]
    for name, script in commands():
        # Nothing of this page calls a workflow, and the tests run from any checkout.
        script = script.replace("abaculus init", f"abaculus init --workflows me/abaculus@{'0' * 40}")
        lines += [f"echo '== {name}'; SECONDS=0", script.replace("8080", str(port)), 'echo "-- $SECONDS s"']
    lines += [f"abaculus serve --private --port {other} &", "sleep 1000"]
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ABACULUS_APPLICATIONS")}
    environment |= dict(s3) | {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONUNBUFFERED": "1",
    }
    environment |= {"ABACULUS_BUCKET": "s3://abaculus", "ABACULUS_DEMO_SESSIONS": "600"}
    environment["PATH"] = os.environ["PATH"]
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as out:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{other}/"
        with until(lambda: urllib.request.urlopen(address), shell, lambda: log.read_text(encoding="utf-8")) as answer:
            page = answer.read().decode()
        said = log.read_text(encoding="utf-8")
        assert "ab-private" in page, said
        print(said)
        assert re.search(r"1\.0\.0.*(Linux|macOS).*run", said), said
        for name, value in s3.items():
            monkeypatch.setenv(name, value)
        tables = {meta["path"].split("/")[1] for part in open_bucket("s3://abaculus").list("tables/") for meta in part}
        assert "my-tool" in tables
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(30)
