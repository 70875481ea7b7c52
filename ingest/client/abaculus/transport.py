"""One request to the server. This is the only module that knows the network."""

from __future__ import annotations

import gzip
import http.client
import urllib.request

__all__ = ["Transport"]

PATIENCE = 10.0  # seconds without a byte from the server
ANSWER_BYTES = 4 << 20


class Transport:
    """Posts batches to one address."""

    def __init__(self, endpoint: str) -> None:
        self.url = f"{endpoint}/v1/sessions"
        self.proxy = _proxy()
        # No handler for redirects, so that a session goes only to the address that the tool names. A proxy only
        # connects, and sees only the server's name. Certificates are verified.
        self.opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler({"https": self.proxy} if self.proxy else {}),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.UnknownHandler(),
        ):
            self.opener.add_handler(handler)

    def post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The status, headers and body of the answer. Without an answer, status 0 and the reason."""
        scheme = self.proxy.partition("://")[0].lower() if "://" in self.proxy else "http"
        if self.url.startswith("https:") and scheme not in ("http", "https"):
            return 0, http.client.HTTPMessage(), f"no answer: a {scheme} proxy, and only http ones can be used".encode()
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "User-Agent": "abaculus"}
        request = urllib.request.Request(  # noqa: S310 (`tool.usable` lets https pass, and http on loopback)
            self.url, gzip.compress(body, mtime=0), headers, method="POST"
        )
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read(ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            return 0, http.client.HTTPMessage(), f"no answer: {why}".encode("utf-8", "replace")


def _proxy() -> str:
    """The system's proxy for https: HTTPS_PROXY, else ALL_PROXY, else the system's setting."""
    known = urllib.request.getproxies()
    return known.get("https") or known.get("all") or ""
