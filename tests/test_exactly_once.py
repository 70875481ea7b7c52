"""Exactly once, proven: a run fails at each of its operations in each way, and nothing is lost or counted twice.

A plain run of the tests tries a few of the cases, others each day; with ABACULUS_ALL=1 it tries every one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from obstore.store import ObjectStore

from ingest.registry import Application
from reports import raw, table
from tests import faults

STEP = 1 if os.environ.get("ABACULUS_ALL") else 40


@pytest.fixture(scope="module", params=[True, False], ids=["a table", "no table"])
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
    chosen = fitting[date.today().toordinal() % step :: step]
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

    def eager(store: ObjectStore, application: Application, objects: list[raw.RawObject]) -> raw.Chunk:
        chunk = read(store, application, objects)
        raw.delete(store, chunk.taken)
        return chunk

    return patch.object(raw, "read", eager)


BROKEN: dict[str, tuple[Callable[[], AbstractContextManager[Any]], str, str]] = {
    "a commit without its number": (without_number, "another run", "list forgotten/"),
    "a commit on a fresh snapshot": (without_handle, "another run", "list forgotten/"),
    "a deletion before the commit": (deleted_before_the_commit, "killed before", "commit"),
}


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
                assert f'-m tests.faults "{fault}" {at}' in str(error)
                yield True
