"""Files of a site that are for machines, besides the downloads of its blocks."""

from importlib.metadata import version
from typing import Any

from ingest.schema import openapi, session_schema

__all__ = ["documents"]


def documents() -> dict[str, Any]:
    """Name -> JSON: what the ingest function takes and answers."""
    return {"openapi.json": openapi(version("abaculus")), "session.schema.json": session_schema()}
