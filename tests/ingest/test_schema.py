"""The published documents, checked against the function that they describe."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from obstore.store import MemoryStore

from ingest.function import registry
from ingest.function.routes import Function, Request
from ingest.function.settings import Settings
from ingest.function.store import creator
from ingest.schema import session_schema
from reports.sample import cairn_sessions
from tests.hostile import PAGE, table

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JSON = {"content-type": "application/json"}
VALIDATOR = jsonschema.Draft202012Validator(session_schema())
GENERATED = list(cairn_sessions.sessions(40, users=10, seed=3, end=NOW - timedelta(hours=1)))


def answer(body: bytes) -> int:
    function = Function(
        registry.load(Path("ingest/applications")), creator(MemoryStore(), Settings()), Settings(), lambda: NOW
    )
    return asyncio.run(function(Request("PUT", "/v1/sessions", JSON, body))).status


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(session_schema())


def test_what_the_function_takes_the_schema_allows() -> None:
    for session in GENERATED:
        VALIDATOR.validate(session)
        assert answer(json.dumps(session).encode()) == 201


@pytest.mark.parametrize(
    "change",
    [
        {"sessionId": "A" * 36},
        {"sessionId": GENERATED[0]["sessionId"].upper()},
        {"userId": None},
        {"sessionStartTime": "yesterday"},
        {"sessionStartTime": "2026-11-22T10:00:00"},
        {"sessionEndTime": "2026-11-22T10:00:00.1234567890Z"},
        {"applicationVersion": "v1"},
        {"applicationId": ""},
        {"attributes": {"a b": 1}},
        {"attributes": {"a": [1]}},
        {"attributes": {"a": "\0"}},
        {"attributes": {"a": 2**63}},
        {"attributes": {"a": "x" * 4097}},
        {"attributes": {f"a{n}": n for n in range(201)}},
        {"events": [{"type": "X"}]},
        {"events": [{"type": "", "time": "2026-11-22T10:00:00Z"}]},
        {"spans": [{"type": "X", "startTime": "2026-11-22T10:00:00Z"}]},
        {"spans": {}},
        {"extra": 1},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_the_schema_forbids_the_function_refuses(change: dict[str, object]) -> None:
    session = GENERATED[0] | change
    assert not VALIDATOR.is_valid(session)
    assert answer(json.dumps(session).encode()) == 400


def test_the_page_about_http_names_every_hostile_case() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(table()), "run python -m tests.hostile"
