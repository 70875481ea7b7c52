"""Deletes people: from tables and their old versions, raw sessions and quarantine, and for what comes later.

First a marker for each, so that compaction drops what is uploaded from now on. Then a commit to every table, found or
not: it stops a compactor that read the markers before. Then what lies elsewhere. Can be run again at any time.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from reports import ledger, mirror, table
from reports.kept import keeps_versions

__all__ = ["ForgetError", "Forgotten", "forget"]

USER_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
IDS = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ATTEMPTS = 20
# People in one condition on a table: each is 64 characters in the log.
AT_ONCE = 1000


class ForgetError(Exception):
    """Why nothing, or not everything, was deleted, and what to do."""


@dataclass
class Forgotten:
    """What was removed: rows by application, raw sessions, quarantined objects, and old or unfinished table files.

    `unreadable` are raw and quarantined objects that do not unpack, so that nobody can tell who is in them. With
    `versions_kept`, the bucket has versioning on, and still has all of it.
    """

    people: int
    rows: dict[str, int] = field(default_factory=dict)
    raw_sessions: int = 0
    quarantined: int = 0
    old_files: int = 0
    unreadable: list[str] = field(default_factory=list)
    versions_kept: bool = False


def forget(
    store: ObjectStore, bucket: str, users: Iterable[str], *, progress: Callable[[str], None] = lambda text: None
) -> Forgotten:
    """Deletes everything about these users. Raises `ForgetError` for what is no user id, before anything is deleted."""
    wanted = sorted({user.strip().lower() for user in users} - {""})
    wrong = sum(not USER_ID.fullmatch(user) for user in wanted)
    if wrong or not wanted:
        what = f"{wrong} of {len(wanted)} are not user ids" if wanted else "no user ids were given"
        # Not the ids themselves: this may end in a public log.
        raise ForgetError(f"{what}; a user id is a lower-case UUID of version 4, one a line; nothing was deleted")
    result = Forgotten(len(wanted))
    entry = ledger.begin("forget")
    digests = [hashlib.sha256(user.encode()).hexdigest() for user in wanted]
    for digest in digests:
        store.put(f"forgotten/{digest}", datetime.now(UTC).isoformat(timespec="seconds").encode())
    people = frozenset(user.encode() for user in wanted)
    found = store.list_with_delimiter("tables/")["common_prefixes"]
    tables = sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found)
    for id in tables:
        progress(f"table of {id}")
        removed = _rows(bucket, id, digests, entry.run)
        if removed is not None:
            result.rows[id] = removed
            entry.applications[id] = ledger.Counts(removed=removed)
    # How many, not who.
    ledger.record(store, entry)
    progress("raw sessions")
    _raw(store, people, result)
    progress("quarantine")
    _quarantine(store, people, result)
    for id in tables:
        progress(f"old files of {id}")
        _old_files(store, bucket, id, people, result)
    result.versions_kept = keeps_versions(store)
    return result


def _rows(bucket: str, application: str, digests: list[str], run: str) -> int | None:
    """How many rows were removed; None where there is no table."""
    total = 0
    for at in range(0, len(digests), AT_ONCE):
        listed = ", ".join(f"'{digest}'" for digest in digests[at : at + AT_ONCE])
        # By digest: the condition stays in the log.
        condition = f"encode(sha256(user_id), 'hex') IN ({listed})"
        for _ in range(ATTEMPTS):
            handle = table.load(bucket, application)
            if handle is None:
                return None
            try:
                note = {"run": run, "forgotten": "true"}
                total += table.remove(handle, condition, table.sequence(handle) + 1, note)
                break
            except table.Overtaken:
                continue
        else:
            raise ForgetError(
                f"{application}: {ATTEMPTS} times another writer was faster; the markers are set, but rows are left; "
                "run it again when no compaction runs"
            )
    return total


def _objects(store: ObjectStore, prefix: str) -> Iterator[tuple[str, bytes, bytes, bool]]:
    """Key, bytes, unpacked bytes, and whether all of it could be unpacked."""
    for page in store.list(prefix):
        for meta in page:
            try:
                packed = bytes(store.get(meta["path"]).bytes())
            except FileNotFoundError:
                continue  # compacted or expired meanwhile
            yield meta["path"], packed, *_unpack(packed)


def _unpack(packed: bytes) -> tuple[bytes, bool]:
    """As much as can be unpacked, and whether that is all; what is not gzip is as it is."""
    if not packed.startswith(b"\x1f\x8b"):
        return packed, True
    parts: list[bytes] = []
    try:
        while packed:
            member = zlib.decompressobj(wbits=31)
            # In small steps: what comes before a broken place is still found.
            for at in range(0, len(packed), 256):
                parts.append(member.decompress(packed[at : at + 256]))
            if not member.eof:
                return b"".join(parts), False
            packed = member.unused_data
    except zlib.error:
        return b"".join(parts), False
    return b"".join(parts), True


def _among(content: bytes, people: frozenset[bytes]) -> bool:
    return any(found.lower() in people for found in IDS.findall(content))


def _raw(store: ObjectStore, people: frozenset[bytes], result: Forgotten) -> None:
    for key, _, content, whole in _objects(store, "raw/"):
        if not whole:
            result.unreadable.append(key)
        if not _among(content, people):
            continue
        lines = list(BytesIO(content))
        kept = [line for line in lines if not _among(line, people)]
        result.raw_sessions += len(lines) - len(kept)
        if kept and whole:
            store.put(key, zlib.compress(b"".join(kept), 6, wbits=31))
        else:
            store.delete(key)


def _quarantine(store: ObjectStore, people: frozenset[bytes], result: Forgotten) -> None:
    for key, packed, content, whole in _objects(store, "quarantine/"):
        if _among(content, people) or _among(packed, people):
            store.delete(key)
            result.quarantined += not key.endswith(".reason.json")
        elif not whole:
            result.unreadable.append(key)


def _old_files(store: ObjectStore, bucket: str, application: str, people: frozenset[bytes], result: Forgotten) -> None:
    """Deletes table files with these people that the table does not have any more, or never came to have.

    No commit can still refer to such a file: whoever wrote it read the table before the removal.
    """
    handle = table.load(bucket, application)
    if handle is None:
        return
    prefix = f"tables/{application}/"
    current = {prefix + file.path for file in table.files(handle)}
    for page in store.list(prefix):
        for meta in page:
            key = meta["path"]
            if key in current or key.startswith(f"{prefix}_delta_log/") or not key.endswith(".parquet"):
                continue
            if _has_user(bytes(store.get(key).bytes()), people):
                store.delete(key)
                result.old_files += 1
    mirror.prune(store, bucket, application, current)


def _has_user(content: bytes, people: frozenset[bytes]) -> bool:
    try:
        users = pq.read_table(pa.BufferReader(content), columns=["user_id"])["user_id"]
    except pa.ArrowException:
        return True  # what was written by half is of no use to anybody
    return any(user.encode() in people for user in users.unique().to_pylist() if user)
