"""Requests generated from the published document: whatever comes, it names the answer."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from ingest.function import registry
from ingest.function.asgi import App
from ingest.function.routes import Function
from ingest.function.settings import Settings
from ingest.function.store import creator
from ingest.schema import openapi

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def asgi(scope, receive, send):  # type: ignore[no-untyped-def]
    """The application over a store in memory, without a server."""
    function = Function(
        registry.load(Path("ingest/applications")), creator(MemoryStore(), Settings()), Settings(), lambda: NOW
    )
    await App(function)(scope, receive, send)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_whatever_comes_in_the_answer_is_one_that_the_document_names(method: str) -> None:
    # Imported here: it takes seconds, and a plain run collects this file, too.
    import schemathesis
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

    @schemathesis.serializer("application/x-ndjson")
    def ndjson(context: schemathesis.SerializationContext, value: object) -> bytes:
        """A generated text as it is: any text can be sent as lines."""
        return value.encode() if isinstance(value, str) else json.dumps(value).encode()

    operation = schemathesis.openapi.from_dict(openapi("0"))["/v1/sessions"][method]
    documented = openapi("0")["paths"]["/v1/sessions"][method.lower()]["responses"]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(map(operation.as_strategy, schemathesis.GenerationMode)))
    def answers(case: schemathesis.Case) -> None:
        answered = case.call(app=asgi, base_url="http://ingest")
        assert answered.status_code != 500
        case.validate_response(answered, checks=[response_schema_conformance, content_type_conformance])
        assert str(answered.status_code) in documented

    answers()
