"""`abaculus doctor`: checks a set-up from the outside in, by trying it; each failure comes with its remedy."""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import requests
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from ingest.registry import PROBE, Application
from reports import ledger, table
from reports.kept import keeps_versions
from reports.probe import ProbeError, probe

__all__ = ["Finding", "compaction", "endpoint", "function", "site"]

PREFIX = "probe/"
MARKER = "abaculus-build.json"
OLD_HOURS = 26


@dataclass(frozen=True)
class Finding:
    """What was tried, and, if it did not go as it should, what happened and what to do."""

    what: str
    wrong: str | None = None
    remedy: str | None = None


def _tried(what: str, action: Callable[[], Any], remedy: str) -> Finding:
    try:
        action()
    except (BaseError, OSError, table.TableError) as error:
        return Finding(what, _brief(error), remedy)
    return Finding(what)


def _refused(what: str, action: Callable[[], Any], remedy: str) -> Finding:
    """Right when it fails for want of rights: a 404 would say that it had looked."""
    try:
        action()
    except FileNotFoundError:
        return Finding(what, "it could look, and found nothing", remedy)
    except (BaseError, OSError) as error:
        if isinstance(error, PermissionError) or re.search(
            r"\b40[13]\b|denied|forbidden|unauthori[sz]ed", str(error), re.I
        ):
            return Finding(what)
        return Finding(what, _brief(error), remedy)
    return Finding(what, "it could", remedy)


def compaction(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> Iterator[Finding]:
    """What the workflow that compacts needs of a bucket, with the credentials that it has."""
    key = f"{PREFIX}{secrets.token_hex(8)}"
    rights = "give the role of the workflow list, read, write and delete on the whole bucket (page Cloud settings)"
    first = _tried("the bucket can be listed", lambda: next(iter(store.list("ledger/")), None), rights)
    yield first
    if first.wrong:
        return
    written = _tried("an object can be written", lambda: store.put(key, b"doctor"), rights)
    yield written
    if written.wrong:
        return
    yield _tried("and read", lambda: store.get(key).bytes(), rights)
    yield _creates_once(store, key)
    deleted = _tried("and deleted", lambda: store.delete(key), rights)
    yield deleted
    if deleted.wrong:
        return
    if keeps_versions(store):
        yield Finding(
            "what is deleted is gone", "versioning is on, so that deleted people stay", "switch versioning off"
        )
    else:
        yield Finding("what is deleted is gone (that soft delete is off, only the cloud's own console shows)")
    for id in registry:
        if id != PROBE.id:
            yield _tried(f"the table of {id} can be read", partial(table.load, bucket, id), "abaculus verify")
    runs = [entry for entry in ledger.entries(store) if entry.get("kind", "compact") == "compact"]
    if not runs:
        yield Finding("compaction runs", "it never ran", "start the workflow report, or run `abaculus compact`")
    else:
        age = (datetime.now(UTC) - datetime.fromisoformat(runs[-1]["started"])).total_seconds() / 3600
        old = f"the last run was {age:.0f} hours ago" if age > OLD_HOURS else None
        yield Finding("compaction runs", old, "see under Actions whether the workflow report is enabled")


def _creates_once(store: ObjectStore, key: str) -> Finding:
    what = "the store creates only what is not there"
    try:
        store.put(key, b"again", mode="create", use_multipart=False)
    except AlreadyExistsError:
        return Finding(what)
    except (BaseError, OSError) as error:
        return Finding(what, _brief(error), "the store must answer 412 to a conditional write; update or change it")
    return Finding(what, "it overwrote", "this store ignores If-None-Match and would lose sessions; use another")


def function(store: ObjectStore) -> Iterator[Finding]:
    """What the ingest function may do with the credentials that it has: create in raw/, and nothing else."""
    remedy = "give it create-only rights on raw/ (page Cloud settings); with more, whoever takes it over has everything"
    key = f"raw/v1/{PROBE.id}/{datetime.now(UTC):%Y-%m-%d}/doctor-{secrets.token_hex(8)}.json.gz"

    def create(key: str) -> None:
        store.put(key, b"", mode="create", use_multipart=False)

    created = _tried("it can create in raw/", lambda: create(key), "give it the right to create objects in raw/")
    yield created
    if created.wrong:
        return
    yield _refused("it cannot overwrite", lambda: store.put(key, b"other", use_multipart=False), remedy)
    yield _refused("it cannot read", lambda: store.get(key).bytes(), remedy)
    yield _refused("it cannot list", lambda: list(store.list("raw/")), remedy)
    yield _refused("it cannot create elsewhere", lambda: create(f"tables/doctor-{secrets.token_hex(8)}"), remedy)
    yield _refused("it cannot delete", lambda: store.delete(key), remedy)


def endpoint(url: str, store: ObjectStore | None) -> Iterator[Finding]:
    """Whether the function at a URL takes sessions, and, with a store, whether they arrive."""
    if not url.startswith("https://") and not re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", f"{url}/"):
        yield Finding("the endpoint has a certificate", f"{url} is not https", "clients send over https only")
    try:
        probe(url, store, lambda line: None)
    except ProbeError as error:
        what, _, remedy = str(error).partition("; ")
        yield Finding("the endpoint takes sessions", what, remedy or "look at the function's log")
    else:
        yield Finding("the endpoint takes sessions" + (", and they lie in the bucket" if store else ""))


def site(url: str) -> Iterator[Finding]:
    """Whether a published site is there, is ours and is fresh."""
    pages = "Settings > Pages > Source: GitHub Actions, then start the workflow report"
    try:
        answer = requests.get(f"{url.rstrip('/')}/{MARKER}", params={"at": secrets.token_hex(4)}, timeout=30)
        answer.raise_for_status()
        built = datetime.fromisoformat(answer.json()["built"])
    except (requests.RequestException, ValueError, KeyError) as error:
        yield Finding("the site is published", f"{url} has no {MARKER}: {_brief(error)}", pages)
        return
    yield Finding("the site is published")
    age = (datetime.now(UTC) - built).total_seconds() / 3600
    old = f"it was built {age:.0f} hours ago" if age > OLD_HOURS else None
    yield Finding("the site is fresh", old, "see under Actions whether the workflow report runs")


def _brief(error: BaseException) -> str:
    """One line: obstore appends pages of debug output."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
