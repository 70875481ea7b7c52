"""Every command that changes or reads a bucket, several at once, killed, throttled, and with answers that are lost.

    python -m tests.fire --minutes 30 --seed 1

A bucket lives for some rounds, in a directory or on an S3 server, in turns. After each of these lives, every session
that was accepted must be in its table once, nobody who was forgotten, and the ledger must agree. The last line says
what was survived; what is lost, doubled or brought back ends it with exit code 1 and the line that replays it.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from obstore.exceptions import GenericError
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.operations.status import status, verify
from reports.storage import ledger, raw, table
from reports.writers import compact as compaction
from reports.writers import upkeep
from reports.writers.forget import ForgetError, forget
from reports.writers.repair import REMEDIES, repair
from reports.writers.requeue import requeue
from tests import servers, sites
from tests.buckets import REGISTRY, batch, keep, keys, session, uuid

ROOT = Path(__file__).parent.parent
# To rebuild a log, nothing else may run.
SAFE = [remedy for remedy in REMEDIES if remedy not in ("rebuild", "register")]
# How a command may end under fire. An OSError: another was faster with an object, or the answer to a commit was lost.
MAY = (GenericError, compaction.Unfinished, ForgetError, table.Overtaken, OSError)
USERS = 12
ROUNDS = 6
PAGE = "# Runs\n\n```yaml chart\ntype: number\ndata: sessions\ny: count\n```\n"


class Throttled:
    """A bucket that sometimes does not answer, or answers late, or has done what it does not answer to."""

    def __init__(self, store: ObjectStore, choose: random.Random) -> None:
        self._store, self._choose = store, choose

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._store, operation)

        def call(*arguments: Any, **options: Any) -> Any:
            luck = self._choose.random()
            if luck < 0.01:
                raise GenericError(f"{operation}: 503 SlowDown")
            if luck < 0.04:
                time.sleep(0.02)
            found = method(*arguments, **options)
            if luck > 0.995 and operation in ("put", "delete", "copy"):
                raise GenericError(f"{operation}: no answer")
            return found

        return call


def work(command: str, bucket: str, seed: int, user: str) -> int:
    """One command, in a process of its own. Gives 3 when it ended as a fault that was put in may end it."""
    choose = random.Random(seed)
    store: Any = open_bucket(bucket)
    if throttled := choose.random() < 0.5:
        store = Throttled(store, choose)
    write = table.write_deltalake

    def commit(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        if throttled and choose.random() < 0.05:
            raise OSError("commit: no answer")

    small = (
        patch.object(raw, "CHUNK_OBJECTS", choose.choice([2, 5, 20])),
        patch.object(upkeep, "SMALL_FILES", choose.choice([2, 3, 6])),
        patch.object(upkeep, "COMMITS", choose.choice([3, 8])),
        patch.object(table, "write_deltalake", commit),
    )
    with contextlib.ExitStack() as stack:
        for one in small:
            stack.enter_context(one)
        try:
            match command:
                case "compact":
                    compaction.compact(store, bucket, REGISTRY)
                case "forget":
                    forget(store, bucket, [user])
                case "requeue":
                    requeue(store)
                case "repair":
                    repair(store, bucket, REGISTRY, SAFE)
                case _:
                    status(store, bucket, REGISTRY)
                    verify(store, bucket, REGISTRY)
        except MAY as error:
            print(error, file=sys.stderr)
            return 3
    return 0


def until_done(command: Callable[[], object]) -> None:
    """Runs a command again where it says so, as an operator does: a store may do late what a killed process asked."""
    for left in reversed(range(5)):
        try:
            command()
            return
        except MAY as error:
            if not left:
                raise
            print(f"  again, after: {str(error)[:200]}", flush=True)


class Life:
    """A bucket from its first session to its last look, and what has to be true of it."""

    def __init__(self, bucket: str, directory: Path, choose: random.Random, count: Counter[str]) -> None:
        self.bucket, self.directory, self.choose, self.count = bucket, directory, choose, count
        self.store = open_bucket(bucket)
        self.sessions: dict[str, str] = {}
        self.poison: set[bytes] = set()
        self.asked: set[str] = set()
        self.next = 0
        self.project = sites.project(directory / "project", {"index.md": PAGE})

    def put(self) -> None:
        """Sessions come in: alone, in batches, some again, some broken."""
        now = datetime.now(UTC)
        made = []
        for _ in range(self.choose.randrange(5, 40)):
            again = self.next and self.choose.random() < 0.2
            number = self.choose.randrange(self.next) if again else self.next
            self.next += not again
            one = session(number, user=number % USERS, start=now - timedelta(days=(number % 3) * 20))
            self.sessions[one["sessionId"]] = one["userId"]
            made.append(one)
        half = len(made) // 2
        keep(self.store, *made[:half], ingested=now)
        if made[half:]:
            batch(self.store, *{one["sessionId"]: one for one in made[half:]}.values(), ingested=now)
        if self.choose.random() < 0.4:
            self.poison.add(content := f"broken {self.choose.random()}".encode())
            self.store.put(f"raw/v1/notes/2026-03-04/{len(self.poison)}.json.gz", content)

    def command(self) -> list[str]:
        """What a process is started with."""
        kind = self.choose.choices(
            ["compact", "forget", "requeue", "repair", "look", "build", "serve"], [8, 2, 2, 2, 1, 1, 1]
        )[0]
        self.count[kind] += 1
        if kind in ("build", "serve"):
            options = (
                ["--out", str(self.directory / "out")] if kind == "build" else ["--port", str(servers.free_ports(1)[0])]
            )
            return [sys.executable, "-m", "reports.cli", kind, "--bucket", self.bucket, *options]
        user = uuid(1_000_000 + self.choose.randrange(USERS))
        if kind == "forget":
            self.asked.add(user)
        seed = str(self.choose.randrange(1 << 30))
        return [
            sys.executable,
            "-m",
            "tests.fire",
            "--work",
            kind,
            "--bucket",
            self.bucket,
            "--seed",
            seed,
            "--user",
            user,
        ]

    def round(self) -> None:
        """Some commands at once, each killed at some moment or left to its end."""
        self.put()
        running: list[tuple[list[str], subprocess.Popen[str], float]] = []
        for _ in range(self.choose.randrange(1, 4)):
            command = self.command()
            where = self.project if "reports.cli" in command else ROOT
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.directory / "cache")}
            process = subprocess.Popen(
                command, cwd=where, env=environment, encoding="utf-8", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            endless = "serve" in command
            life = self.choose.uniform(0.5, 6) if endless or self.choose.random() < 0.6 else 300.0
            running.append((command, process, time.monotonic() + life))
        for command, process, until in running:
            try:
                said = process.communicate(timeout=max(0.01, until - time.monotonic()))[1]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                self.count["killed"] += 1
                continue
            if process.returncode == 3:
                print(
                    f"  {command[4] if '--work' in command else command[3]}: {said.strip().splitlines()[-1][:200]}",
                    flush=True,
                )
                self.count["failed as they may"] += 1
            elif "Traceback" in said or process.returncode < 0:
                raise AssertionError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")

    def check(self) -> None:
        """Lets everything end, and looks."""
        for user in sorted(self.asked):
            until_done(partial(forget, self.store, self.bucket, [user]))
        for _ in range(2):
            # What a brake holds, such as a chunk that is mostly poison, is for an operator to read.
            with contextlib.suppress(compaction.Unfinished):
                compaction.compact(self.store, self.bucket, REGISTRY)
        until_done(partial(repair, self.store, self.bucket, REGISTRY, REMEDIES))
        with contextlib.suppress(compaction.Unfinished):
            compaction.compact(self.store, self.bucket, REGISTRY)
        found = Counter(self.rows())
        expected = {id for id, user in self.sessions.items() if user not in self.asked}
        assert [id for id, times in found.items() if times > 1] == [], "stored twice"
        assert sorted(expected - set(found)) == [], "lost"
        assert sorted(set(found) - expected) == [], "brought back"
        assert keys(self.store, "raw/") == [], "left in raw/"
        aside = {bytes(self.store.get(key).bytes()) for key in keys(self.store, "quarantine/") if "reason" not in key}
        assert aside == self.poison, "quarantine"
        lost = [
            entry for entry in ledger.entries(self.store) for one in entry["applications"].values() if one.get("lost")
        ]
        assert lost == [], "a loss was booked"
        assert verify(self.store, self.bucket, REGISTRY) == [], "the ledger"
        self.count["sessions"] += len(found)
        self.count["people forgotten"] += len(self.asked)

    def rows(self) -> Iterator[str]:
        handle = table.load(self.bucket, "notes")
        assert handle is not None
        yield from handle.to_pyarrow_dataset().to_table(["session_id"])["session_id"].to_pylist()


def fire(seed: int, seconds: float, *, s3: bool) -> Counter[str]:
    """Lives of buckets, one after the other, until the time is over."""
    count: Counter[str] = Counter()
    end = time.monotonic() + seconds
    scratch = tempfile.TemporaryDirectory(prefix="fire-", ignore_cleanup_errors=True)
    with scratch as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        if s3:
            os.environ.update(stack.enter_context(servers.s3_server(directory / "s3")))
        number = 0
        while time.monotonic() < end or number < 2:
            here = directory / str(number)
            bucket = f"s3://abaculus/{number}" if s3 and number % 2 else str(here / "bucket")
            os.environ["XDG_CACHE_HOME"] = str(here / "cache")
            life = Life(bucket, here, random.Random(f"{seed} {number}"), count)
            try:
                for _ in range(ROUNDS):
                    life.round()
                    count["rounds"] += 1
                life.check()
            except BaseException:
                print(f"life {number} of: python -m tests.fire --seed {seed}; {bucket}", flush=True)
                raise
            count["buckets"] += 1
            shutil.rmtree(here)
            number += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="Every command under fire.")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-s3", action="store_true", help="local buckets only")
    for name in ("--work", "--bucket", "--user"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        raise SystemExit(work(options.work, options.bucket, options.seed, options.user))
    began = time.monotonic()
    count = fire(options.seed, options.minutes * 60, s3=not options.no_s3)
    minutes = (time.monotonic() - began) / 60
    said = ", ".join(f"{number:,} {name}" for name, number in sorted(count.items()))
    print(f"{minutes:.1f} minutes, seed {options.seed}: {said}; nothing was lost, doubled or brought back")


if __name__ == "__main__":
    main()
