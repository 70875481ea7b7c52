"""Exactly once, proven: a run fails at each of its operations in each way, and nothing is lost or counted twice.

A plain run of the tests tries a few of the cases; with ABACULUS_ALL=1 it tries every one.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application
from reports.operations.status import verify
from reports.storage import raw, table
from reports.writers import brakes
from reports.writers import compact as compaction
from reports.writers.forget import forget
from tests.buckets import NOW, REGISTRY, batch, keep, keys, rows, session, uuid
from tests.writers import faults

STEP = 1 if os.environ.get("ABACULUS_ALL") else 40


@pytest.fixture(
    scope="module",
    params=[pytest.param(True, id="a table"), pytest.param(False, id="no table", marks=pytest.mark.slow)],
)
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.template(tmp_path_factory.mktemp("template"), table_there=request.param)


@pytest.fixture(scope="module")
def operations(template: Path) -> list[str]:
    """What a run without a fault does; that it holds is checked on the way."""
    return faults.operations(template)


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_nothing_is_lost_or_counted_twice_when_an_operation(fault: str, template: Path, operations: list[str]) -> None:
    fitting = [at for at, name in enumerate(operations, 1) if name.split(" ")[0] in faults.FAULTS[fault]]
    step = min(STEP, len(fitting))
    chosen = fitting[::step]
    assert sum(faults.check(template, fault, at) for at in chosen) >= len(chosen) // 2


# The rules, broken on purpose: each must be what keeps the suite green.


def without_number() -> AbstractContextManager[object]:
    real = table.CommitProperties
    return patch.object(
        table, "CommitProperties", lambda custom_metadata, **rest: real(custom_metadata=custom_metadata)
    )


def without_handle() -> AbstractContextManager[object]:
    write = table.write_deltalake
    return patch.object(
        table, "write_deltalake", lambda handle, *args, **options: write(handle.table_uri, *args, **options)
    )


def deleted_before_the_commit() -> AbstractContextManager[object]:
    read = raw.read

    def eager(store: ObjectStore, application: Application, objects: pa.Table) -> Iterator[raw.Chunk]:
        for chunk in read(store, application, objects):
            raw.delete(store, chunk.taken)
            yield chunk

    return patch.object(raw, "read", eager)


BROKEN: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str, str]] = {
    "a commit without its number": (without_number, "another run", "list forgotten/"),
    "a commit on a fresh snapshot": (without_handle, "another run", "list forgotten/"),
    "a deletion before the commit": (deleted_before_the_commit, "killed before", "commit"),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", BROKEN)
def test_the_suite_is_red_with(rule: str, template: Path) -> None:
    broken, fault, operation = BROKEN[rule]
    with broken():
        assert red(template, fault, operation), "this rule could be removed and no test would notice"


def red(template: Path, fault: str, operation: str) -> bool:
    """Whether some case of a fault at an operation of this name fails."""
    return any(cases(template, fault, operation))


def cases(template: Path, fault: str, operation: str) -> Iterator[bool]:
    for at, name in enumerate(faults.operations(template, sound=False), 1):
        if name.startswith(operation):
            try:
                faults.check(template, fault, at)
            except AssertionError as error:
                assert f'-m tests.writers.faults "{fault}" {at}' in str(error)
                yield True


class Histories(RuleBasedStateMachine):
    """Any history of a bucket: what was put, who was forgotten, which runs were stopped where."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.bucket = Path(self.directory.name) / "bucket"
        self.store = open_bucket(str(self.bucket))
        self.known = REGISTRY
        self.clock = NOW
        self.users: dict[str, str] = {}  # session -> user
        self.poison = 0
        self.forgotten: set[str] = set()

    numbers = st.integers(1, 12)

    def sessions(self, numbers: list[int]) -> list[dict[str, Any]]:
        self.clock += timedelta(seconds=1)
        made = [
            session(number, user=number % 4, attributes={"shiny": "very"} if number % 5 == 0 else {})
            for number in numbers
        ]
        self.users |= {one["sessionId"]: one["userId"] for one in made}
        return made

    @rule(numbers=st.lists(numbers, min_size=1, max_size=3, unique=True))
    def put(self, numbers: list[int]) -> None:
        keep(self.store, *self.sessions(numbers), known=faults.NEWER, ingested=self.clock)

    @rule(numbers=st.lists(numbers, min_size=2, max_size=5, unique=True))
    def put_a_batch(self, numbers: list[int]) -> None:
        batch(self.store, *self.sessions(numbers), known=faults.NEWER, ingested=self.clock)

    @rule()
    def put_poison(self) -> None:
        self.poison += 1
        self.store.put(f"raw/v1/notes/2026-03-04/poison-{self.poison}.json.gz", b"poison %d" % self.poison)

    @rule()
    def learn_of_the_new_attribute(self) -> None:
        self.known = faults.NEWER

    @rule()
    def compact(self) -> None:
        with patch.object(raw, "CHUNK_OBJECTS", 3):
            try:
                compaction.compact(self.store, str(self.bucket), self.known)
            except compaction.Unfinished:
                # A chunk that is mostly poison is quarantined, and said.
                assert self.poison >= brakes.ENOUGH

    @rule(user=st.integers(0, 3))
    def forget(self, user: int) -> None:
        forget(self.store, str(self.bucket), [uuid(1_000_000 + user)])
        self.forgotten.add(uuid(1_000_000 + user))

    @rule(fault=st.sampled_from(["killed before", "killed after", "answer lost"]), at=st.integers(1, 30))
    def fail(self, fault: str, at: int) -> None:
        self.attempt(faults.Plan(fault, at))

    @rule(at=st.integers(1, 30))
    def compact_twice_at_once(self, at: int) -> None:
        self.attempt(faults.Plan("another run", at, self.compact))

    @rule(at=st.integers(1, 30), user=st.integers(0, 3))
    def forget_during_a_run(self, at: int, user: int) -> None:
        self.attempt(faults.Plan("a deletion", at, lambda: self.forget(user)))

    def attempt(self, plan: faults.Plan) -> None:
        cache = {"XDG_CACHE_HOME": self.directory.name}
        with (
            patch.dict(os.environ, cache),
            faults.faulty(self.bucket, plan) as store,
            suppress(faults.Killed, Exception),
        ):
            compaction.compact(store, str(self.bucket), self.known)

    def teardown(self) -> None:
        try:
            self.learn_of_the_new_attribute()
            self.compact()
            self.compact()
            assert keys(self.store, "raw/") == []
            found = rows(self.bucket)
            accepted = {id: user for id, user in self.users.items() if user not in self.forgotten}
            assert sorted((row["session_id"], row["user_id"]) for row in found) == sorted(accepted.items())
            aside = [key for key in keys(self.store, "quarantine/") if not key.endswith(".reason.json")]
            assert len(aside) == self.poison
            stored = verify(self.store, str(self.bucket), self.known)
            assert not [fault for fault in stored if "there already" in fault or "log says" in fault]
        finally:
            self.directory.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=300 if os.environ.get("ABACULUS_ALL") else 8,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
