"""The files of a site for programs: an index of all published series, a badge for each number, and the wire format.

Addresses are relative to the site's root. They stay the same while a block keeps its page, and its name or title.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from ingest.schema import openapi, session_schema
from reports.blocks import format
from reports.pages.site import Series

__all__ = ["INDEX", "badge", "documents", "index"]

INDEX = "data/index.json"


def index(
    series: Iterable[Series], urls: Mapping[str, str], *, built: datetime, updated: datetime | None, minimum_users: int
) -> dict[str, Any]:
    """Every published series with its definition. `urls` are the addresses of pages, by their names."""
    return {
        "version": 1,
        "built": _time(built),
        "updated": None if updated is None else _time(updated),
        "minimum_users": minimum_users,
        "series": [_series(one, urls[one.page]) for one in series],
    }


def _series(one: Series, url: str) -> dict[str, Any]:
    published = one.published
    path = f"data/{one.page}/{one.id}"
    path = quote(path)
    files = {} if published.empty else {"csv": f"{path}.csv", "parquet": f"{path}.parquet"}
    if badge(one):
        files["badge"] = f"{path}.badge.json"
    return {
        "page": one.page,
        "id": one.id,
        "title": format.inert(one.title),
        "type": one.block.type,
        "url": f"{url}#chart-{quote(one.id)}",
        "files": files,
        "definition": one.sql,
        "columns": [
            {"name": name, "kind": column.kind} for name, column in zip(published.names, published.columns, strict=True)
        ],
        "counts": published.unit or None,
        "scope": one.scope or None,
        "grain": published.grain,
        "unfinished": _time(published.unfinished) if isinstance(published.unfinished, datetime) else None,
        "begun": _time(published.begun) if published.begun else None,
        "rows": len(published.rows),
        "people": published.people,
        "empty": published.empty,
    }


def badge(one: Series) -> dict[str, Any] | None:
    """A block's number for shields.io (an endpoint badge). None for blocks that are not one number."""
    if one.block.type != "number" or one.published.empty:
        return None
    shown = one.published
    value = format.value(shown.measures[0], shown.rows[-1][len(shown.dimensions)])
    return {"schemaVersion": 1, "label": format.inert(one.title), "message": value, "color": "blue"}


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def documents() -> dict[str, Any]:
    """Name -> JSON: what the ingest function accepts and answers."""
    return {"openapi.json": openapi(version("abaculus")), "session.schema.json": session_schema()}
