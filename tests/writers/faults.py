"""A compaction run on a bucket and a table that fail on purpose, at each of their operations in turn.

A case is a fault and the number of the operation at which it happens. To replay one:

    python -m tests.writers.faults "killed after" 17
"""

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from copy import copy
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from obstore.exceptions import GenericError
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.storage import raw, table
from reports.writers import compact as compaction
from reports.writers.forget import forget
from tests.buckets import NOTES, NOW, REGISTRY, batch, content, keep, keys, registry, rows, session, uuid

NEWER = registry(NOTES + '[attributes.shiny]\ntype = "string"\nvalues = ["very"]\nwhy = "New"\n')
CHUNK = 4
FORGOTTEN, FORGOTTEN_LATER = uuid(1_000_050), uuid(1_000_060)

# Fault -> the operations that it can happen to.
EVERY = frozenset({"list", "list_with_delimiter", "get", "put", "delete", "copy", "open", "create", "commit"})
FAULTS: dict[str, frozenset[str]] = {
    "fails before": EVERY,
    "answer lost": EVERY,
    "killed before": EVERY,
    "killed after": EVERY,
    "misses": frozenset({"list"}),
    "repeats": frozenset({"list"}),
    "stale": frozenset({"list"}),
    "cut short": frozenset({"get"}),
    "does nothing": frozenset({"delete"}),
    "another run": EVERY,  # a whole run of another compactor comes in between
    "a deletion": EVERY,  # a person is forgotten in between
}


class Killed(BaseException):
    """The process is gone: no handler may have an effect after it."""


class Plan:
    """Counts operations and does what was planned at one of them."""

    def __init__(self, fault: str = "", at: int = 0, between: Callable[[], None] = lambda: None) -> None:
        self.fault, self.at, self.between = fault, at, between
        self.done: list[str] = []
        self.dead = False

    def run(self, operation: str, what: str, effect: Callable[[], Any]) -> Any:
        """Carries out an operation, or what the plan makes of it."""
        if self.dead:
            raise Killed
        self.done.append(f"{operation} {what}")
        if len(self.done) != self.at or operation not in FAULTS[self.fault]:
            return effect()
        match self.fault:
            case "fails before":
                raise GenericError(f"{operation} {what}: no connection")
            case "answer lost":
                effect()
                raise GenericError(f"{operation} {what}: no answer")
            case "killed before" | "killed after":
                self.dead = True
                if self.fault == "killed after":
                    effect()
                raise Killed
            case "another run" | "a deletion":
                self.between()
            case "does nothing":
                return None
            case _ if "forgotten/" in what:
                # Stores list what is there. A marker that is not seen cannot be obeyed, so this one is relied upon.
                pass
            case "misses":
                return [_rows(page, lambda number: range(0, number, 2)) for page in effect()]
            case "repeats":
                return [_rows(page, lambda number: [*range(number)] * 2) for page in effect()]
            case "stale":
                found = list(effect())
                self.between()
                return found
            case "cut short":
                return _Cut(effect())
        return effect()


def _rows(page: Any, chosen: Callable[[int], Any]) -> Any:
    """Some rows of a page of a listing, in whichever form it was asked for."""
    if isinstance(page, list):
        return [page[at] for at in chosen(len(page))]
    batch = pa.record_batch(page)
    return batch.take(pa.array(chosen(batch.num_rows)))


class _Cut:
    def __init__(self, result: Any) -> None:
        self.content = bytes(result.bytes())

    def bytes(self) -> bytes:
        return self.content[: len(self.content) // 2]

    def stream(self) -> Iterator[bytes]:
        yield self.bytes()


class FaultyBucket:
    """A bucket whose operations go through a plan. It is no local directory, so table files are mirrored."""

    def __init__(self, store: ObjectStore, plan: Plan) -> None:
        self._store, self._plan = store, plan

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._store, operation)
        return lambda *args, **options: self._plan.run(operation, str(args[0])[:80], lambda: method(*args, **options))


class _FaultyTable:
    """`DeltaTable` as `reports.storage.table` uses it, through a plan."""

    def __init__(self, real: Any, plan: Plan) -> None:
        self._real, self._plan = real, plan

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._plan.run("open", "table", lambda: self._real(*args, **options))

    def create(self, *args: Any, **options: Any) -> Any:
        return self._plan.run("create", "table", lambda: self._real.create(*args, **options))


@contextmanager
def faulty(bucket: Path, plan: Plan) -> Iterator[ObjectStore]:
    """The bucket at a path, with its table, through a plan."""
    write, real = table.write_deltalake, table.DeltaTable

    def commit(*args: Any, **options: Any) -> None:
        plan.run("commit", "table", lambda: write(*args, **options))

    with (
        patch.object(table, "write_deltalake", commit),
        patch.object(table, "DeltaTable", _FaultyTable(real, plan)),
        # One at a time, so that the same number is the same operation.
        patch.object(raw, "ThreadPoolExecutor", lambda workers: _OneByOne()),
        patch.object(raw, "CHUNK_OBJECTS", CHUNK),
        # Little ahead, so that there are fetches after the first commits.
        patch.object(raw, "AHEAD", 1),
        patch.object(raw, "WINDOW_OBJECTS", 1),
    ):
        yield FaultyBucket(open_bucket(str(bucket)), plan)  # type: ignore[misc] # it quacks like one


class _OneByOne:
    def __enter__(self) -> "_OneByOne":
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], items: Any) -> Iterator[Any]:
        return map(function, items)

    def shutdown(self, **options: bool) -> None:
        pass

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(function(*args))
        return done


class Case:
    """A bucket with a bit of everything, and what has to be true of it in the end."""

    def __init__(self, directory: Path, *, table_there: bool = True) -> None:
        self.bucket = directory / "bucket"
        self.cache = directory / "cache"
        store = self.store = open_bucket(str(self.bucket))
        later = NOW + timedelta(minutes=1)
        self.forgotten = {FORGOTTEN}
        self.expected: dict[str, list[bytes]] = {}  # session -> its lines, the one ingested first leading
        if table_there:
            self.expect(keep(store, session(1), session(2)))
            compaction.compact(store, str(self.bucket), REGISTRY)
            self.expect([batch(store, session(1), session(2), session(3), ingested=later)])
        store.put(f"forgotten/{sha256(FORGOTTEN.encode()).hexdigest()}", b"")
        self.expect(keep(store, *(session(number) for number in range(10, 15))))
        self.expect([batch(store, session(20), session(21), session(10), ingested=later)])
        self.expect([batch(store, session(20), session(22), session(3), ingested=later + timedelta(minutes=1))])
        _, later_key = keep(store, session(30, user=FORGOTTEN), session(31, user=FORGOTTEN_LATER))
        self.later = [content(store, later_key)]
        self.waiting = [batch(store, session(40, attributes={"shiny": "very"}), session(41), known=NEWER)]
        folder = "raw/v1/notes/2026-03-04/"
        self.poison = {f"{folder}broken.json.gz": b"broken"}
        store.put(f"{folder}broken.json.gz", b"broken")
        sound = content(store, f"{folder}{uuid(12)}.json.gz").replace(uuid(12).encode(), uuid(50).encode())
        store.put(f"{folder}mixed.ndjson.gz", raw.zlib.compress(sound + b'{"sessionId": 5}\n', wbits=31))
        self.expected[uuid(50)] = [sound]
        self.poison[f"{folder}mixed.ndjson.gz.line-2"] = b'{"sessionId": 5}\n'

    def expect(self, keys: list[str]) -> None:
        """Sessions that have to be rows."""
        for key in keys:
            for line in content(self.store, key).splitlines(keepends=True):
                lines = self.expected.setdefault(json.loads(line)["sessionId"], [])
                lines.append(line)
                lines.sort(key=lambda one: str(json.loads(one)["ingestionTime"]))

    def run(self) -> compaction.Entry:
        """A run without any fault."""
        with patch.object(raw, "CHUNK_OBJECTS", CHUNK):
            return compaction.compact(self.store, str(self.bucket), REGISTRY)

    def forget(self) -> None:
        """A person is forgotten."""
        forget(self.store, str(self.bucket), [FORGOTTEN_LATER])
        self.forgotten.add(FORGOTTEN_LATER)

    def attempt(self, fault: str, at: int) -> Plan:
        """A run with a fault at one of its operations."""
        plan = Plan(fault, at, self.forget if fault == "a deletion" else lambda: self.run() and None)
        with (
            patch.dict("os.environ", XDG_CACHE_HOME=str(self.cache)),
            faulty(self.bucket, plan) as store,
            suppress(Killed, Exception),
        ):
            compaction.compact(store, str(self.bucket), REGISTRY)
        return plan

    def settle(self) -> None:
        """Runs until there is nothing left to do, which must not take long."""
        before = {}
        for _ in range(4):
            self.run()
            if (after := self.state()) == before:
                return
            before = after
        raise AssertionError("each run still changes something")

    def state(self) -> dict[str, bytes]:
        """Every object but ledger entries."""
        return {key: bytes(self.store.get(key).bytes()) for key in keys(self.store) if not key.startswith("ledger/")}

    def check(self, *, first: bool = True) -> None:
        """Every accepted session is in one place, as it was accepted, and the log counts right.

        Unless `first`, any line of a session that came twice will do: a listing did not have the other.
        """
        found = rows(self.bucket)
        counted = Counter(row["session_id"] for row in found)
        assert [id for id, times in counted.items() if times > 1] == [], "stored twice"
        expected = self.expected | ({} if FORGOTTEN_LATER in self.forgotten else {uuid(31): self.later})
        assert sorted(set(expected) - set(counted)) == [], "lost"
        assert sorted(set(counted) - set(expected)) == [], "came back"
        for row in found:
            lines = expected[row["session_id"]]
            assert _line(row) in [_told(line) for line in (lines[:1] if first else lines)], "another row"
        assert keys(self.store, "raw/") == self.waiting, "raw"
        aside = {key: content for key, content in self.state().items() if key.startswith("quarantine/")}
        notes = [key for key in aside if key.endswith(".reason.json")]
        assert {key.removeprefix("quarantine/"): aside[key] for key in aside if key not in notes} == self.poison
        assert len(notes) == len(self.poison)
        handle = table.load(str(self.bucket), "notes")
        assert handle is not None
        stored = sum(int(commit.get("stored", 0)) for commit in handle.history())
        removed = sum(int(commit.get("removed", 0)) for commit in handle.history())
        assert stored - removed == len(found), "the log counts something else"

    def check_ledger(self) -> None:
        """What runs say that they stored is what they stored, when none of them was killed."""
        entries = [json.loads(content(self.store, key)) for key in keys(self.store, "ledger/")]
        counts = [counts for entry in entries for counts in entry.get("applications", {}).values()]
        handle = table.load(str(self.bucket), "notes")
        assert handle is not None
        stored = sum(int(commit.get("stored", 0)) for commit in handle.history())
        assert sum(count.get("stored", 0) for count in counts) == stored, "the ledger counts something else"


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """Of a row, what `_told` gives of a line."""
    times = {name: row[name].isoformat(timespec="microseconds")[:26] + "Z" for name in ("start_time", "ingestion_time")}
    given = {name: value for name, value in row["attributes"].items() if value is not None}
    return {"user": row["user_id"], "version": row["application_version"], "attributes": given, **times}


def _told(line: bytes) -> dict[str, Any]:
    sent = json.loads(line)
    times = {"start_time": sent["sessionStartTime"], "ingestion_time": sent["ingestionTime"]}
    given = {name: value for name, value in sent["attributes"].items() if value is not None}
    return {"user": sent["userId"], "version": sent["applicationVersion"], "attributes": given, **times}


def check(template: Path, fault: str, at: int) -> bool:
    """One case, on a copy of a bucket. False when the run has no such operation, or the fault does not go with it."""
    with tempfile.TemporaryDirectory() as directory:
        case = copy(_CASES[template])
        case.forgotten = set(case.forgotten)
        case.bucket, case.cache = Path(directory) / "bucket", Path(directory) / "cache"
        # With their times: what is older is read first.
        shutil.copytree(template / "bucket", case.bucket)
        case.store = open_bucket(str(case.bucket))
        plan = case.attempt(fault, at)
        operation = plan.done[at - 1] if len(plan.done) >= at else "nothing"
        if operation.split(" ")[0] not in FAULTS[fault]:
            return False
        try:
            case.settle()
            case.check(first=fault != "misses")
            if "killed" not in fault and "ledger/" not in operation:
                case.check_ledger()
        except AssertionError as error:
            what = f"{fault} at {at}, {operation}: {error}"
            raise AssertionError(f'{what}\nreplay: {sys.executable} -m tests.writers.faults "{fault}" {at}') from error
        return True


def operations(template: Path, *, sound: bool = True) -> list[str]:
    """What a run without a fault does, in order; unless `sound`, without a look at what came of it."""
    with tempfile.TemporaryDirectory() as directory:
        case = copy(_CASES[template])
        case.bucket, case.cache = Path(directory) / "bucket", Path(directory) / "cache"
        shutil.copytree(template / "bucket", case.bucket)
        case.store = open_bucket(str(case.bucket))
        plan = case.attempt("fails before", 0)
        if sound:
            case.settle()
            case.check()
            case.check_ledger()
        return plan.done


_CASES: dict[Path, Case] = {}


def template(directory: Path, *, table_there: bool = True) -> Path:
    """A bucket that cases start from."""
    _CASES[directory] = Case(directory, table_there=table_there)
    return directory


def main() -> None:
    """Replays one case."""
    fault, at = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        for there in (True, False):
            where = Path(directory) / str(there)
            print(f"table there: {there}:", "holds" if check(template(where, table_there=there), fault, at) else "none")


if __name__ == "__main__":
    main()
