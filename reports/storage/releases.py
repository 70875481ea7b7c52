"""Reads versions and dates of an application's releases from the API of its code host, or from a file, and stores
them.
"""

import csv
import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from obstore.store import ObjectStore

from abaculus.version import exact
from ingest.function.registry import Application

__all__ = ["Found", "ReleaseError", "api", "from_api", "from_file", "keep"]

TIMEOUT = 30
MOST_PAGES = 50
Release = dict[str, str]
# Words before a version in a repository that releases only one thing.
WORDS = ("release", "releases", "rel", "version", "ver")
# `tool@2.1.0`, `tool-v2.0.0`, `tool/v2.0.0`, `@scope/tool@2.1.0`: the name and the version.
TAG = re.compile(r"(?P<name>.*?[^@/_-])[@/_-]+(?P<version>[vV]?[0-9].*)")


class ReleaseError(Exception):
    """Releases that cannot be read, with place and fix."""


@dataclass
class Found:
    """Releases in order of time, and other tags: (tag, why it was left out)."""

    releases: list[Release] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def api(repository: str) -> str:
    """The releases API for the address of a repository, of GitHub, Gitea or Forgejo. An API's stays."""
    parts = urlsplit(repository)
    path = parts.path.strip("/").removesuffix(".git")
    if path.count("/") != 1:
        return repository
    if parts.netloc == "github.com":
        return f"https://api.github.com/repos/{path}/releases"
    return f"{parts.scheme}://{parts.netloc}/api/v1/repos/{path}/releases"


def from_api(url: str, application: Application) -> Found:
    """Published releases of an application from an API in GitHub's form (GitHub, Gitea, Forgejo), all pages of it.

    `url` is the address of the API or of the repository.
    """
    found = Found()
    url = api(url)
    following: str | None = url
    host = urlsplit(url).netloc
    headers = {"Accept": "application/json"}
    # Only to its own host, because the repository may be elsewhere.
    if (token := os.environ.get("GITHUB_TOKEN")) and host == urlsplit(
        os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    ).netloc:
        headers["Authorization"] = f"Bearer {token}"
    for _ in range(MOST_PAGES):
        if following is None:
            break
        try:
            answer = requests.get(following, headers=headers, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
        except (requests.ConnectionError, requests.Timeout):
            raise ReleaseError(f"{following}: there is no answer; check the address and the network") from None
        except (requests.RequestException, ValueError) as error:
            raise ReleaseError(f"{following}: {error}; give the URL of the repository, or of its API") from None
        if not isinstance(page, list):
            raise ReleaseError(f"{following}: expected a list of releases; give the URL of the releases API")
        for number, release in enumerate(page, 1):
            if isinstance(release, dict) and not release.get("draft"):
                where, tag = f"{following}: release {number}", release.get("tag_name")
                try:
                    found.releases.append(_release(tag, release.get("published_at"), where, _names(application, url)))
                except _NoRelease as error:
                    found.left_out.append((str(tag), str(error)))
        following = answer.links.get("next", {}).get("url")
        if following and urlsplit(following).netloc != host:
            raise ReleaseError(f"{url}: its next page is on another host, {following!r}, which is not followed")
    return _checked(found, url)


def from_file(path: Path, application: Application) -> Found:
    """Releases from CSV (a header with version and released) or JSON (a list of objects with both)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{path}: {error}; save it as UTF-8 text") from None
    except OSError as error:
        raise ReleaseError(
            f"{path}: {error.strerror}; give a file that you may read, or the address of the repository with https://"
        ) from None
    except ValueError as error:
        raise ReleaseError(f"{path}: {error}; give CSV or JSON, with the ending .json for JSON") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReleaseError(f"{path}: expected a list of releases")
    found = Found()
    for number, row in enumerate(rows, 1):
        where = f"{path}: release {number}"
        try:
            found.releases.append(_release(row.get("version"), row.get("released"), where, _names(application)))
        except _NoRelease as error:
            raise ReleaseError(f"{where}: {row.get('version')!r}: {error}") from None
    return _checked(found, str(path))


class _NoRelease(Exception):
    """Why something is not a release of this application."""


def _names(application: Application, url: str = "") -> set[str]:
    """Names that may come before a version in a tag of this application, including the name of its repository."""
    repository = urlsplit(url).path.removesuffix("/releases").rpartition("/")[2]
    return {*WORDS, *(_plain(name) for name in (application.id, application.name, repository) if name)}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _release(version: Any, time: Any, where: str, names: Collection[str]) -> Release:
    """One release. Raises `_NoRelease` for anything else, and `ReleaseError` for a number, because 1.10 equals 1.1 in
    JSON.
    """
    if isinstance(version, int | float) and not isinstance(version, bool):
        raise ReleaseError(
            f"{where}: the version {version!r} is a number, and 1.10 is the same number as 1.1; write it in quotes"
        )
    if not isinstance(version, str):
        raise _NoRelease("no version is given")
    name = _version(version.strip(), names)
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        raise _NoRelease(f"{time!r} is not a date such as 2026-05-01 or 2026-05-01T12:00:00Z") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return {"version": name, "released": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _version(tag: str, names: Collection[str]) -> str:
    """The version in a tag, in the form that sessions use. Raises `_NoRelease`."""
    if plain := exact(re.sub(r"^[vV](?=[0-9])", "", tag)):
        return plain
    parts = TAG.fullmatch(tag)
    found = parts and exact(re.sub(r"^[vV]", "", parts["version"]))
    if not parts or not found:
        raise _NoRelease("it is not a version such as 1.2.3, v1.2.3, 1.5.0rc1 or my-tool@1.2.3")
    # In a name with a scope, such as @me/tool, only the last part counts.
    if not {_plain(parts["name"]), _plain(parts["name"].rpartition("/")[2])} & set(names):
        raise _NoRelease(f"{parts['name']!r} is neither the application's id or name nor that of its repository")
    return found


def _checked(found: Found, where: str) -> Found:
    """Releases in order of time. If a version was released twice, the first one counts. Raises when there is none."""
    if not found.releases:
        tags = f"; there are {', '.join(repr(tag) for tag, _ in found.left_out[:5])}" if found.left_out else ""
        raise ReleaseError(f"{where}: no release name contains a version such as 1.2.3{tags}")
    first: dict[str, Release] = {}
    for release in sorted(found.releases, key=lambda one: one["released"]):
        first.setdefault(release["version"], release)
    return Found(list(first.values()), found.left_out)


def keep(store: ObjectStore, application: str, found: list[Release]) -> bool:
    """Replaces the object that the view `releases` reads. False if it did not change."""
    key, packed = f"releases/{application}.json", json.dumps(found, indent=1).encode()
    try:
        if bytes(store.get(key).bytes()) == packed:
            return False
    except FileNotFoundError:
        pass
    store.put(key, packed)
    return True
