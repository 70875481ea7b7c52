"""Versions and dates of an application's releases: from its code host's API, or from a file, into the bucket."""

import csv
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from obstore.store import ObjectStore

from ingest.session import VERSION

__all__ = ["ReleaseError", "from_api", "from_file", "keep"]

TIMEOUT = 30
MOST_PAGES = 50
Release = dict[str, str]


class ReleaseError(Exception):
    """What could not be read as releases, where, and what to do."""


def from_api(url: str) -> list[Release]:
    """Published releases from an API in GitHub's form (GitHub, Gitea, Forgejo), all pages of it."""
    found: list[Release] = []
    token = os.environ.get("GITHUB_TOKEN")
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    following: str | None = url
    host = urlsplit(url).netloc
    for _ in range(MOST_PAGES):
        if following is None:
            break
        try:
            answer = requests.get(following, headers=headers, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise ReleaseError(f"{following}: {error}; give the URL of the releases API") from None
        if not isinstance(page, list):
            raise ReleaseError(f"{following}: a list of releases was expected; give the URL of the releases API")
        for number, release in enumerate(page, 1):
            if isinstance(release, dict) and not release.get("draft"):
                version, time = release.get("tag_name"), release.get("published_at")
                found += _release(version, time, f"{following}: release {number}", strict=False)
        following = answer.links.get("next", {}).get("url")
        if following and urlsplit(following).netloc != host:
            raise ReleaseError(f"{url}: its next page is on another host, {following!r}, which is not followed")
    return _checked(found, url)


def from_file(path: Path) -> list[Release]:
    """Releases from CSV (a header with version and released) or JSON (a list of objects with both)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReleaseError(f"{path}: a list of releases was expected")
    found: list[Release] = []
    for number, row in enumerate(rows, 1):
        found += _release(row.get("version"), row.get("released"), f"{path}: release {number}", strict=True)
    return _checked(found, str(path))


def _release(version: Any, time: Any, where: str, *, strict: bool) -> Iterable[Release]:
    """One release; a tag that is no version (nightly, docs-1) is passed over unless `strict`."""
    name = str(version or "").removeprefix("v")
    if not VERSION.fullmatch(name):
        if strict:
            raise ReleaseError(f"{where}: {version!r} is not a version such as 1.2.3")
        return
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        raise ReleaseError(f"{where}: {time!r} is not a date such as 2026-05-01 or 2026-05-01T12:00:00Z") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    yield {"version": name, "released": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _checked(found: list[Release], where: str) -> list[Release]:
    """In order of time; of a version that was released twice, the first. Raises when there is none."""
    if not found:
        raise ReleaseError(f"{where}: no release has a version such as 1.2.3 (or v1.2.3) for its name")
    first: dict[str, Release] = {}
    for release in sorted(found, key=lambda one: one["released"]):
        first.setdefault(release["version"], release)
    return list(first.values())


def keep(store: ObjectStore, application: str, found: list[Release]) -> None:
    """Writes them where the `releases` view reads them, in place of what was there."""
    store.put(f"releases/{application}.json", json.dumps(found, indent=1).encode())
