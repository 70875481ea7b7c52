"""The vectors of the specification, which every client runs: Python here, Go and TypeScript with their compilers."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abaculus import Session, backoff, consent, queue, state, upload
from abaculus.session import moment, storable
from abaculus.tool import Tool, usable
from abaculus.version import normal
from ingest.function.session_format import VERSION
from reports.clients.go import TEMPLATE
from tests.clients.builds import GO, HERE, NODE, VECTORS, go_source, run_go
from tests.hosts import CLEAN

ENDPOINT = "https://telemetry.my-tool.dev"


def ids(one: dict[str, Any], _: Path) -> None:
    assert state.is_id(one["text"]) == one["valid"]


def times(one: dict[str, Any], _: Path) -> None:
    assert moment(one["microseconds"] * 1000) == one["sent"]


def versions(one: dict[str, Any], _: Path) -> None:
    assert normal(one["given"]) == one["sent"]
    assert VERSION.fullmatch(one["sent"])


def values(one: dict[str, Any], _: Path) -> None:
    assert storable(one["of"] * one["times"]) == one["kept"]


def names(one: dict[str, Any], tmp_path: Path) -> None:
    name = queue._put(str(tmp_path), one["id"], b"x" * one["bytes"], one["began"], [])
    assert name == one["name"]
    assert (queue.age(name, 0.0), queue.size(name)) == (-max(one["began"], 0) / 1000, one["bytes"])
    assert queue.session_id(name) == one["id"]


def limits(one: dict[str, Any], _: Path) -> None:
    waiting = [f"0-{bytes}-{state.new_id()}.json" for count, bytes in one["waiting"] for _ in range(count)]
    assert queue.surplus(waiting, one["bytes"]) == one["dropped"]


def due(one: dict[str, Any], _: Path) -> None:
    now = 1_800_000_000
    waiting = [f"{(now - one['oldest']) * 1000:015d}-2-{state.new_id()}.json"] * one["waiting"]
    assert queue.due(waiting, now) == one["due"]


def batches(one: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    for number in range(one["waiting"]):
        id = state.new_id()
        line = f'{{"sessionId":"{id}"}}'.ljust(one["bytes"]).encode()
        queue._put(str(tmp_path), id, line, number, [])
    sent = upload.Upload(str(tmp_path), "http://127.0.0.1:9")
    requests: list[int] = []

    def post(body: bytes) -> tuple[int, None, bytes]:
        found = [json.loads(line)["sessionId"] for line in body.splitlines()]
        requests.append(len(found))
        results = [{"line": line, "sessionId": id, "status": 201} for line, id in enumerate(found, 1)]
        return 200, None, json.dumps({"results": results}).encode()

    sent.transport.post = post  # type: ignore[method-assign, assignment]
    sent.run()
    assert sorted(requests) == one["requests"]


def delays(one: dict[str, Any], _: Path) -> None:
    assert backoff.delay(one["failures"], one["chance"]) == one["seconds"]


def endpoints(one: dict[str, Any], _: Path) -> None:
    assert usable(one["given"]) == one["used"]


def consents(one: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "project")
        for name in set(os.environ) - {*CLEAN, "PATH"}:
            patch.delenv(name)
        environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")} | one.get("environment", {})
        for name, value in environment.items():
            patch.setenv(name, value)
        tool = Tool("my-tool", "1", one.get("endpoint", ENDPOINT), ["attributes.exitCode"])
        if "consent" in one:
            state.write(str(Path(tool.directory or "", "consent")), one["consent"].encode())
        if one.get("projectFile"):
            (tmp_path / ".do-not-track").touch()
        assert consent.decide(consent.Circumstances(tool)) == (one["rule"], one["recorded"])


def sessions(one: dict[str, Any], _: Path) -> None:
    clock = [one["start"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: clock[0] * 1000)
        patch.setattr(time, "monotonic_ns", lambda: clock[0] * 1000)
        session = Session(Tool("my-tool", one["version"], ENDPOINT), dry=True)
        for name, value in one["attributes"].items():
            session.attribute(name, value)
        for event in one["events"]:
            clock[0] = event["time"]
            session.event(event["type"], **event["attributes"])
        for part in one["spans"]:
            clock[0] = part["start"]
            span = session.span(part["type"], **part["attributes"])
            if part["end"] is not None:
                clock[0] = part["end"]
                span.__exit__()
        clock[0] = one["end"]
        written = queue.document(session._kept_for, session._document(), one["id"], one["user"])
        session._open.clear()
    text = queue.encode(written)
    assert ("\n" in text, json.loads(text)) == (False, one["document"])


SECTIONS: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "ids": ids, "times": times, "versions": versions, "values": values, "names": names, "limits": limits, "due": due,
    "batches": batches, "delays": delays, "endpoints": endpoints, "consent": consents, "sessions": sessions,
}  # fmt: skip


def test_every_section_is_run() -> None:
    assert SECTIONS.keys() == VECTORS.keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_the_client_for_python_does_as_the_vectors_say(tmp_path: Path, section: str) -> None:
    for number, one in enumerate(VECTORS[section]):
        place = tmp_path / str(number)
        place.mkdir()
        SECTIONS[section](one, place)


def clean(home: Path) -> dict[str, str]:
    """An environment that says nothing about telemetry."""
    kept = {name: os.environ[name] for name in (*CLEAN, "GOCACHE", "GOROOT") if name in os.environ}
    return kept | {"HOME": str(home), "VECTORS": str(HERE / "vectors.json")}


@pytest.mark.slow
@pytest.mark.skipif(not GO, reason="Go is not installed (apt-get install golang-go)")
def test_the_client_for_go_does_as_the_vectors_say(tmp_path: Path) -> None:
    source = go_source(tmp_path / "source", TEMPLATE.read_text(encoding="utf-8"))
    (source / "telemetry" / "vectors_test.go").write_text(
        (HERE / "vectors_test.go").read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert run_go(source, "test", "-c", "-o", "vectors", "./telemetry").stderr == ""
    done = subprocess.run(["./vectors"], cwd=source, env=clean(tmp_path), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_client_for_typescript_does_as_the_vectors_say(tmp_path: Path, compiled: tuple[Path, str]) -> None:
    command = [NODE, str(compiled[0] / "vectors.js")]
    done = subprocess.run(command, cwd=tmp_path, env=clean(tmp_path), capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "0 wrong\n")
