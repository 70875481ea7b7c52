"""What the ingest function is compared with: an ASGI application that writes each body to the store, unchecked."""

import asyncio
import os
import uuid

from ingest.asgi import Receive, Scope, Send, _serve
from ingest.bucket import open_bucket
from ingest.settings import Settings

STORE = open_bucket(os.environ["BARE_BUCKET"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await STORE.put_async(f"raw/{uuid.uuid4()}", body, mode="create", use_multipart=False)
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    asyncio.run(_serve(app, Settings(), "127.0.0.1", 0, "bare"))  # type: ignore[arg-type]
