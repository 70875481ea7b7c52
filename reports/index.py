"""What of a site is for programs: an index of all published series, and a badge for each number.

Addresses are relative to the site's root and stay as they are while a block keeps its page, and its name or title.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from reports import format
from reports.site import Series

__all__ = ["INDEX", "badge", "index"]

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
    files = {} if published.empty else {"csv": f"{path}.csv", "parquet": f"{path}.parquet"}
    if badge(one):
        files["badge"] = f"{path}.badge.json"
    return {
        "page": one.page,
        "id": one.id,
        "title": format.inert(one.title),
        "type": one.block.type,
        "url": f"{url}#chart-{one.id}",
        "files": files,
        "definition": one.sql,
        "columns": [{"name": column.name, "kind": column.kind} for column in published.columns],
        "counts": published.unit or None,
        "grain": published.grain,
        "unfinished": _time(published.unfinished) if isinstance(published.unfinished, datetime) else None,
        "rows": len(published.rows),
        "people": published.people,
        "empty": published.empty,
    }


def badge(one: Series) -> dict[str, Any] | None:
    """A block's number as shields.io reads it (an endpoint badge); None for blocks that are not one number."""
    if one.block.type != "number" or one.published.empty:
        return None
    shown = one.published
    value = format.value(shown.measures[0], shown.rows[-1][len(shown.dimensions)])
    return {"schemaVersion": 1, "label": format.inert(one.title), "message": value, "color": "blue"}


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
