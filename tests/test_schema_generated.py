"""Requests made from the published document: whatever comes, it names the answer.

They are made when this file is collected, which takes seconds in every worker; tests/conftest.py leaves it out of a
plain run whole.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from obstore.store import MemoryStore
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from ingest import registry
from ingest.asgi import App
from ingest.function import Function
from ingest.schema import openapi
from ingest.settings import Settings
from ingest.store import creator

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def asgi(scope, receive, send):  # type: ignore[no-untyped-def]
    """The application over a store in memory, without a server."""
    function = Function(
        registry.load(Path("ingest/applications")), creator(MemoryStore(), Settings()), Settings(), lambda: NOW
    )
    await App(function)(scope, receive, send)


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: schemathesis.SerializationContext, value: object) -> bytes:
    """A generated text as it is: any text can be sent as lines."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


schema = schemathesis.openapi.from_dict(openapi("0"))


@pytest.mark.slow
@schema.include(path="/v1/sessions").parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_in_the_answer_is_one_that_the_document_names(case: schemathesis.Case) -> None:
    answered = case.call(app=asgi, base_url="http://ingest")
    assert answered.status_code != 500
    case.validate_response(answered, checks=[response_schema_conformance, content_type_conformance])
    documented = openapi("0")["paths"]["/v1/sessions"]
    if case.method.lower() in documented:
        assert str(answered.status_code) in documented[case.method.lower()]["responses"]
    else:
        assert answered.status_code == 405
