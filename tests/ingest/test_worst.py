"""The worst batches that were found, thirty at once, in the 256 MB that the templates for AWS and Google Cloud give."""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ingest import test_asgi, worst
from tests.ingest.test_asgi import ROOT, Server, serving

MEMORY = 256_000_000
LARGEST_ANSWER = 64 << 10
AT_ONCE = 30
HEADERS = {"Content_Type": "application/x-ndjson", "Content_Encoding": "gzip"}


def flood(server: Server, body: bytes) -> Counter[int]:
    """Sends a batch thirty times at once. How often each status was answered."""

    def send(_: int) -> tuple[int, int]:
        status, _, answer = server.request("POST", "/v1/sessions", body, patience=60, **HEADERS)
        return status, len(answer)

    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(send, range(AT_ONCE)))
    assert max(size for _, size in answers) <= LARGEST_ANSWER
    return Counter(status for status, _ in answers)


@pytest.fixture
def everything_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_asgi, "REGISTRY", worst.REGISTRY)


@pytest.mark.slow
@pytest.mark.usefixtures("everything_allowed")
def test_others_are_answered_while_a_batch_is_in_work(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server, ThreadPoolExecutor(1) as attacker:
        batch = attacker.submit(flood, server, worst.packed("500 empty events a line"))
        answered = 0
        while not batch.done():
            assert server.request("GET", "/ping")[0] == 200
            assert server.put(worst.session(answered).encode()) in (201, 304)
            answered += 1
        assert answered > 3
        assert set(batch.result()) == {200, 503}
        assert server.memory() < MEMORY


@pytest.mark.slow
@pytest.mark.usefixtures("everything_allowed")
def test_the_worst_batches_bring_no_server_down(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        print(f"\nat first: {server.memory() / 1e6:.0f} MB")
        for number, name in enumerate(worst.WORST):
            statuses = flood(server, worst.packed(name))
            print(f"{name}: {server.memory() / 1e6:.0f} MB at most so far; {dict(statuses)}")
            assert statuses.keys() <= {200, 400, 413, 503}, name
            assert statuses.keys() - {503}, "none was even looked at"
            assert server.memory() < MEMORY, name
            assert server.put(worst.session(5000 + number).encode()) == 201
        assert server.stop() == 0
        assert "bug" not in server.log.read_text(encoding="utf-8")


LAMBDA = """
import base64, json, sys
from pathlib import Path
from ingest.function.aws import handler
for line in sys.stdin:
    name, path = json.loads(line)
    event = {
        "rawPath": "/v1/sessions",
        "headers": {"content-type": "application/x-ndjson", "content-encoding": "gzip"},
        "requestContext": {"http": {"method": "POST"}},
        "body": base64.b64encode(Path(path).read_bytes()).decode(),
        "isBase64Encoded": True,
    }
    for _ in range(3):
        answer = handler(event, None)
        del event["body"]
        event["body"] = base64.b64encode(Path(path).read_bytes()).decode()
    memory = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps([name, answer["statusCode"], len(answer["body"]), memory]), flush=True)
"""


@pytest.mark.slow
def test_the_worst_batches_fit_into_the_lambda_function(tmp_path: Path) -> None:
    """One after the other: an instance has one request at a time, and the next one in the same process."""
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications/tool.toml").write_text(worst.REGISTRY, encoding="utf-8")
    asked = ""
    for number, name in enumerate(worst.WORST):
        file = tmp_path / str(number)
        file.write_bytes(worst.packed(name))
        asked += json.dumps([name, str(file)]) + "\n"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "ABACULUS_BUCKET": (tmp_path / "bucket").as_uri(), "ABACULUS_LOG": "0",
        "ABACULUS_APPLICATIONS": str(tmp_path / "applications"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LAMBDA], input=asked, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, *_ in answers] == list(worst.WORST)
    for name, status, size, memory in answers:
        print(f"{name}: {memory / 1e6:.0f} MB at most so far; {status}")
        assert status in (200, 400, 413), name
        assert size <= LARGEST_ANSWER, name
        assert memory < MEMORY, name
