"""Deletes people from tables and their old versions, from raw sessions and from quarantine.

It first writes a marker for each person, so that compaction drops later sessions. Then it makes a commit in every
table, even if it found nobody there: this stops a compaction that read the markers earlier. Then it deletes the
people's data elsewhere. It can run again at any time.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from reports.blocks.format import plural
from reports.storage import damage, ledger, mirror, raw, table
from reports.storage.explained import OUTER
from reports.storage.versioning import keeps_versions
from reports.writers import brakes, rewrite
from reports.writers.leftovers import leftovers
from reports.writers.search import PIECE, Found, among, code, inflated, search

__all__ = ["ForgetError", "Forgotten", "forget", "marker"]

USER_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CODE = re.compile(r"[0-9a-f]{64}")
ATTEMPTS = 20
# Somebody has probably typed up to so many ids. More ids come from a file, which may be the wrong one.
FEW = 10


class ForgetError(Exception):
    """The reason why not everything was deleted, with the fix."""


@dataclass
class Forgotten:
    """What was deleted: rows by application, raw sessions, quarantined objects, and old or unfinished table files.

    `found` says the same for each id, by its marker; nothing for an id without data. An object of several people counts
    for each. `unreadable` are raw and quarantined objects that cannot be unpacked and may contain these people. With
    `versions_kept`, versioning is on and the bucket still has all data. `copies_in_use` are local copies of table files
    that another command is reading.
    """

    people: int
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    raw_sessions: int = 0
    quarantined: int = 0
    old_files: int = 0
    unreadable: list[str] = field(default_factory=list)
    versions_kept: bool = False
    copies_in_use: int = 0

    @property
    def whole(self) -> bool:
        """Whether no known data of these people is left."""
        return not (self.unreadable or self.versions_kept or self.copies_in_use)

    def add(self, what: str, people: Iterable[str], number: int = 1) -> None:
        """Notes that each of these people, by their codes, was found."""
        for one in people:
            of = self.found[f"forgotten/{one}"]
            of[what] = of.get(what, 0) + number


def marker(user: str) -> str:
    """The marker of a forgotten person in the bucket. The person is named by the id or its code."""
    return f"forgotten/{user if CODE.fullmatch(user) else code(user.encode())}"


def forget(
    store: ObjectStore,
    bucket: str,
    users: Iterable[str],
    *,
    progress: Callable[[str], None] = lambda text: None,
    anyway: bool = False,
) -> Forgotten:
    """Deletes everything about these users, each given by the id or its code (the SHA-256 of the id).

    Raises `ForgetError` for an invalid user id. Without `anyway`, raises `brakes.Held` for many people with more than a
    tenth of a table, and deletes nothing.
    """
    wanted = list(dict.fromkeys(user.strip().lower() for user in users if user.strip()))
    wrong = sum(not (USER_ID.fullmatch(user) or CODE.fullmatch(user)) for user in wanted)
    if wrong or not wanted:
        what = (
            f"{plural(wrong, 'of these is not a user id', 'of these are not user ids')}"
            if wanted
            else "no user ids were given"
        )
        # Not the ids themselves, because this may appear in a public log.
        raise ForgetError(
            f"{what}; a user id is a lower-case UUID of version 4, and a deletion code has 64 digits and letters; "
            f"give one on each line; nothing was deleted"
        )
    result = Forgotten(0, {marker(user): {} for user in wanted})
    result.people = len(result.found)
    entry = ledger.begin("forget")
    # SeaweedFS says that a bucket does not exist if it is listed, but to a writer that a right is missing.
    next(iter(store.list("forgotten/")), None)
    try:
        brakes.check_clock(store, datetime.fromisoformat(entry.started))
    except brakes.Held:  # deleting people does not depend on the clock, but the ledger must not have a wrong time
        entry.clock_doubted = True
    digests = [one.partition("/")[2] for one in result.found]
    if not anyway and len(wanted) > FEW:
        _check_amount(store, bucket, digests)
    for one in result.found:
        store.put(one, datetime.now(UTC).isoformat(timespec="seconds").encode())
    people = frozenset(digests)
    tables = damage.tables(store)
    for id in tables:
        progress(f"table of {id}")
        removed = _rows(store, bucket, id, digests, entry.run)
        if removed is not None:
            result.rows[id] = sum(removed.values())
            entry.applications[id] = ledger.Counts(removed=result.rows[id])
            for digest, number in removed.items():
                result.add("row", [digest], number)
    # How many, not who.
    ledger.record(store, entry)
    progress("raw sessions")
    _raw(store, people, result)
    progress("quarantine")
    _quarantine(store, people, result)
    for id in tables:
        progress(f"old files of {id}")
        _old_files(store, bucket, id, people, result)
    progress("partly written files")
    _leftovers(store, people, result)
    result.versions_kept = keeps_versions(store)
    return result


def _of(digests: list[str]) -> rewrite.Rows:
    return "sha256(user_id) IN (SELECT unnest($digests::VARCHAR[]))", {"digests": digests}, ["user_id"]


def _check_amount(store: ObjectStore, bucket: str, digests: list[str]) -> None:
    """Raises `brakes.Held` if these people have more than a tenth of a table, because a wrong file may name
    everybody.
    """
    for id in damage.tables(store):
        if (handle := table.load(bucket, id)) is not None:
            files = table.files(handle)
            going = sum(rewrite.counted(store, bucket, id, files, _of(digests)).values())
            brakes.check_amount(f"{id}: of its sessions", going, sum(file.rows for file in files))


def _rows(store: ObjectStore, bucket: str, application: str, digests: list[str], run: str) -> dict[str, int] | None:
    """How many rows of each person were removed. None if there is no table."""
    gone = _of(digests)
    for _ in range(ATTEMPTS):
        handle = table.load(bucket, application)
        if handle is None:
            return None
        with suppress(table.Overtaken):
            try:
                of = rewrite.counted(store, bucket, application, table.files(handle), gone, "sha256(user_id)")
                rewrite.remove(store, bucket, application, handle, gone, {"run": run, "forgotten": "true"})
                return of
            except OUTER:
                # Another deletion was faster, and has deleted the old files before this one could read them.
                fresh = table.load(bucket, application)
                if fresh is None or fresh.version() == handle.version():
                    raise
    raise ForgetError(
        f"{application}: {ATTEMPTS} times another writer was faster; the markers are set, but rows are left; "
        "run it again when no compaction runs"
    )


def _objects(store: ObjectStore, prefix: str, people: frozenset[str]) -> Iterator[tuple[str, int, Found]]:
    """Key, size, and whether the people are in it."""
    for page in store.list(prefix):
        for meta in page:
            with suppress(FileNotFoundError):  # compacted or expired meanwhile
                parts = store.get(meta["path"]).stream(min_chunk_size=PIECE)
                yield meta["path"], meta["size"], search((bytes(part) for part in parts), people)


def _raw(store: ObjectStore, people: frozenset[str], result: Forgotten) -> None:
    for key, size, found in _objects(store, "raw/", people):
        if not found.whole:
            result.unreadable.append(key)
        if not found.people:
            continue
        if size > raw.OBJECT_BYTES or found.bytes > raw.INFLATED_BYTES:
            # No run would compact it.
            result.raw_sessions += 1
            result.add("raw session", found.people)
            store.delete(key)
            continue
        lines = list(BytesIO(_content(bytes(store.get(key).bytes()))))
        kept = [line for line in lines if not among(line, people)]
        result.raw_sessions += len(lines) - len(kept)
        for line in lines:
            result.add("raw session", among(line, people))
        if kept and found.whole:
            store.put(key, zlib.compress(b"".join(kept), 6, wbits=31))
        else:
            store.delete(key)


def _content(packed: bytes) -> bytes:
    """As much of the content as can be unpacked."""
    parts: list[bytes] = []
    with suppress(zlib.error):
        parts.extend(inflated(iter([packed])))
    return b"".join(parts)


def _quarantine(store: ObjectStore, people: frozenset[str], result: Forgotten) -> None:
    for key, _, found in _objects(store, "quarantine/", people):
        if found.people:
            store.delete(key)
            if not key.endswith(".reason.json"):
                result.quarantined += 1
                result.add("quarantined object", found.people)
        elif not found.whole:
            result.unreadable.append(key)


def _old_files(store: ObjectStore, bucket: str, application: str, people: frozenset[str], result: Forgotten) -> None:
    """Deletes files with these people that the table no longer uses, or has never used.

    No later commit can use such a file, because its writer read the table before the removal.
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
            there = _users(pa.BufferReader(bytes(store.get(key).bytes())), people)
            if there is None or there:
                store.delete(key)
                result.old_files += 1
                result.add("old file", there or ())
    result.copies_in_use += mirror.prune(store, bucket, application, current)


def _users(source: Any, people: frozenset[str]) -> frozenset[str] | None:
    """Which of these people have rows in a table file. None for a partly written file, which nobody can use."""
    try:
        users = pq.read_table(source, columns=["user_id"])["user_id"]
    except (pa.ArrowException, OSError, KeyError):
        return None
    return people.intersection(code(user.encode()) for user in users.unique().to_pylist() if user)


def _leftovers(store: ObjectStore, people: frozenset[str], result: Forgotten) -> None:
    """Deletes partly written files of killed writers that contain these people, or that cannot be read."""
    for path in leftovers(store):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if ".parquet#" in path.name:
                there = _users(file, people)
            else:
                found = search(iter(partial(file.read, PIECE), b""), people)
                there = found.people or (frozenset() if found.whole else None)
            if there is None or there:
                path.unlink()
                result.old_files += 1
                result.add("old file", there or ())
