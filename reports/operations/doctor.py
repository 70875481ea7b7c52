"""`abaculus doctor`: checks a set-up by using it. Each failure comes with its remedy."""

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

from ingest.function.registry import PROBE, Application
from reports.blocks.format import plural
from reports.operations.probe import ProbeError, probe
from reports.storage import ledger, table
from reports.storage.explained import explained
from reports.storage.versioning import keeps_versions

__all__ = ["Finding", "compaction", "endpoint", "function", "site"]

PREFIX = "probe/"
MARKER = "abaculus-build.json"
OLD_HOURS = 26


@dataclass(frozen=True)
class Finding:
    """What was tested. If it failed, also what happened and what to do."""

    what: str
    wrong: str | None = None
    remedy: str | None = None


def _tried(what: str, action: Callable[[], Any], remedy: str) -> Finding:
    try:
        action()
    except (BaseError, OSError, table.TableError) as error:
        cause = explained(error)
        # A missing right leads here, and the remedy names the right.
        if cause is None or "abaculus doctor" in cause:
            return Finding(what, _brief(error), remedy)
        return Finding(what, cause)
    return Finding(what)


def _refused(what: str, action: Callable[[], Any], remedy: str) -> Finding:
    """Passes if a right is missing. A 404 would mean that it could read."""
    try:
        action()
    except FileNotFoundError:
        return Finding(what, "it could read the bucket (the object does not exist)", remedy)
    except (BaseError, OSError) as error:
        if isinstance(error, PermissionError) or re.search(
            r"\b40[13]\b|denied|forbidden|unauthori[sz]ed", str(error), re.I
        ):
            return Finding(what)
        return Finding(what, _brief(error), remedy)
    return Finding(what, "it could", remedy)


def compaction(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> Iterator[Finding]:
    """Tests the rights that compaction needs, with the credentials of the workflow."""
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
            "deleted objects are gone", "versioning is on and keeps the data of deleted people", "switch versioning off"
        )
    else:
        yield Finding("deleted objects are gone (only the cloud's console shows whether soft delete is off)")
    for id, one in registry.items():
        if id != PROBE.id:
            yield _tried(f"the table of {id} can be read", partial(table.load, bucket, id), "abaculus verify")
            yield _tried(
                f"the registry fits the table of {id}",
                partial(_fits, bucket, one),
                f"`abaculus registry check --against {bucket}` says what each change does",
            )
    runs = [entry for entry in ledger.entries(store) if entry.get("kind", "compact") == "compact"]
    if not runs:
        yield Finding("compaction runs", "it never ran", "start the workflow report, or run `abaculus compact`")
    else:
        age = (datetime.now(UTC) - datetime.fromisoformat(runs[-1]["started"])).total_seconds() / 3600
        old = f"the last run was {plural(round(age), 'hour')} ago" if age > OLD_HOURS else None
        yield Finding("compaction runs", old, "check under Actions whether the workflow report is enabled")


def _fits(bucket: str, application: Application) -> None:
    if (handle := table.load(bucket, application.id)) is not None:
        table.check(handle, application)


def _creates_once(store: ObjectStore, key: str) -> Finding:
    what = "the store refuses to overwrite"
    try:
        store.put(key, b"again", mode="create", use_multipart=False)
    except AlreadyExistsError:
        return Finding(what)
    except (BaseError, OSError) as error:
        return Finding(
            what, _brief(error), "the store must answer 412 to a conditional write; update it or use another"
        )
    return Finding(what, "it overwrote", "this store ignores If-None-Match and would lose sessions; use another")


def function(store: ObjectStore) -> Iterator[Finding]:
    """Tests the rights of the ingest function, with its credentials: create in raw/, and nothing else."""
    remedy = "give it create-only rights on raw/ (page Cloud settings); an attacker in it could use any other right"
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
    """Whether the function at a URL accepts sessions and, with a store, whether they arrive."""
    if not url.startswith("https://") and not re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", f"{url}/"):
        yield Finding("the endpoint has a certificate", f"{url} is not https", "clients send over https only")
    try:
        probe(url, store, lambda line: None)
    except ProbeError as error:
        what, _, remedy = str(error).partition("; ")
        yield Finding("the endpoint takes sessions", what, remedy or "look at the function's log")
    else:
        yield Finding("the endpoint takes sessions" + (", and they are in the bucket" if store else ""))


def site(url: str) -> Iterator[Finding]:
    """Whether a published site exists, comes from Abaculus and is recent."""
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
    old = f"it was built {plural(round(age), 'hour')} ago" if age > OLD_HOURS else None
    yield Finding("the site is fresh", old, "check under Actions whether the workflow report runs")


def _brief(error: BaseException) -> str:
    """Only the first line, because obstore appends pages of debug output."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
