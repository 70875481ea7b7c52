"""The Lambda handler, called with events as API Gateway and function URLs send them (payload format 2.0)."""

import base64
import gzip
import importlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reports.sample import cairn_sessions


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.setenv("ABACULUS_BUCKET", tmp_path.as_uri())
    monkeypatch.setenv("ABACULUS_APPLICATIONS", "ingest/applications")
    module = importlib.reload(importlib.import_module("ingest.function.aws"))
    yield module
    if module._loop is not None:
        module._loop.close()


def event(method: str, path: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}},
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def session() -> bytes:
    return json.dumps(next(cairn_sessions.sessions(1, users=1, end=datetime.now(UTC) - timedelta(minutes=1)))).encode()


def test_a_session_is_stored_once_and_the_answer_has_every_header(aws: ModuleType, tmp_path: Path) -> None:
    body = session()
    first = aws.handler(event("PUT", "/v1/sessions", body, content_type="application/json"), None)
    second = aws.handler(event("PUT", "/v1/sessions", body, content_type="application/json"), None)
    assert (first["statusCode"], second["statusCode"]) == (201, 304)
    assert first["headers"]["x-content-type-options"] == "nosniff"
    (stored,) = tmp_path.glob("raw/v1/cairn/*/*.json.gz")
    assert json.loads(gzip.decompress(stored.read_bytes()))["sessionId"] == json.loads(body)["sessionId"]


def test_a_gzip_batch_is_taken(aws: ModuleType) -> None:
    packed = gzip.compress(session() + b"\n")
    answer = aws.handler(
        event("POST", "/v1/sessions", packed, content_type="application/x-ndjson", content_encoding="gzip"), None
    )
    assert answer["statusCode"] == 200
    assert [result["status"] for result in json.loads(answer["body"])["results"]] == [201]


def test_a_text_body_that_is_not_base64_is_read_as_it_is(aws: ModuleType) -> None:
    sent = event("PUT", "/v1/sessions", content_type="application/json") | {"body": "{", "isBase64Encoded": False}
    answer = aws.handler(sent, None)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["message"].startswith("Request body is not valid")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/ping", 200), ("GET", "/", 204), ("GET", "/x", 404)])
def test_the_other_routes_answer_too(aws: ModuleType, method: str, path: str, status: int) -> None:
    assert aws.handler(event(method, path), None)["statusCode"] == status


def test_a_log_line_says_nothing_of_who_asked(aws: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    body = session()
    aws.handler(event("PUT", "/v1/sessions", body, content_type="application/json", user_agent="secret-agent"), None)
    said = capsys.readouterr().out
    assert json.loads(said)["status"] == 201
    for secret in ("192.0.2.1", "secret-agent", json.loads(body)["userId"], json.loads(body)["sessionId"]):
        assert secret not in said
