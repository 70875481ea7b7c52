"""What the ingest function is compared with: an ASGI application that writes each body to the store, unchecked."""

import asyncio
import os
import uuid

from ingest.function.asgi import Receive, Scope, Send
from ingest.function.bucket_url import open_bucket
from ingest.function.server import run
from ingest.function.settings import Settings

STORE = open_bucket(os.environ["BARE_BUCKET"])


class Bare:
    """The application, with what a server asks of it besides."""

    working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await STORE.put_async(f"raw/{uuid.uuid4()}", body, mode="create", use_multipart=False)
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def stop(self) -> None:
        pass


if __name__ == "__main__":
    asyncio.run(run(Bare(), Settings(), 1024, "127.0.0.1", 0, "bare"))  # type: ignore[arg-type]
