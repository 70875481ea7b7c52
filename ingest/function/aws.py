"""The function as an AWS Lambda handler, behind an HTTP API or a function URL (payload format 2.0 in both).

The event becomes an ASGI request to the same application as elsewhere, so limits, log lines and answers are the same.
"""

import asyncio
import base64
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from ingest.function.asgi import App, application
from ingest.function.settings import from_environment

__all__ = ["handler"]

_app: App | None = None
_loop: asyncio.AbstractEventLoop | None = None


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answers one request. The first request of an instance sets up everything for the next ones."""
    global _app, _loop
    if _app is None:
        _app = application(os.environ["ABACULUS_BUCKET"], from_environment(os.environ), sys.stdout.write)
        # One loop for the life of the instance, because the store keeps its connections in it.
        _loop = asyncio.new_event_loop()
    assert _loop is not None
    return _loop.run_until_complete(_answer(_app, event))


async def _answer(app: App, event: Mapping[str, Any]) -> dict[str, Any]:
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in event["headers"].items()
    ]
    scope = {
        "type": "http",
        "method": event["requestContext"]["http"]["method"],
        "path": event["rawPath"],
        "headers": headers,
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, content_message = sent
    return {
        "statusCode": start["status"],
        "headers": {name.decode(): value.decode() for name, value in start["headers"]},
        "body": content_message["body"].decode(),
    }
