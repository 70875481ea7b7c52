"""A bucket with damages: what is said of each, what each remedy loses, and that all is well afterwards."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from obstore.store import ObjectStore

from ingest.function import registry as registries
from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.operations.status import status, verify
from reports.storage import ledger, table
from reports.writers import rewrite
from reports.writers.compact import compact
from reports.writers.forget import forget
from reports.writers.repair import REMEDIES, find, repair
from tests.buckets import NOTES, REGISTRY, content, keep, keys, registry, rows, session, uuid
from tests.writers.test_damage import cut, gone, log, of_checkpoint, of_log

pytestmark = pytest.mark.slow


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    """Eight sessions of eight runs, the first of them forgotten; a checkpoint, and commits after it."""
    found = open_bucket(bucket)
    for number in range(8):
        keep(found, session(number, user=number))
        compact(found, bucket, REGISTRY)
        if number == 3:
            handle = table.load(bucket, "notes")
            assert handle is not None
            handle.create_checkpoint()
    forget(found, bucket, [uuid(1_000_000)])
    return found


def ids(bucket: str) -> list[str]:
    return sorted(row["session_id"] for row in rows(bucket))


ALL = [uuid(number) for number in range(1, 8)]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def no_log(bucket: Path) -> None:
    shutil.rmtree(bucket / "tables/notes/_delta_log")


def cleaned(bucket: Path) -> None:
    """A log whose older commits are gone, as they are after a while, and its checkpoint cut."""
    for path in log(bucket)[:4]:
        path.unlink()
    of_checkpoint(cut)(bucket)


# Damage -> the remedies that it takes, and which sessions are there afterwards.
DAMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a checkpoint that is gone": (of_checkpoint(gone), ["checkpoint"]),
    "a checkpoint that was cut": (of_checkpoint(cut), ["checkpoint"]),
    "the last commit cut": (of_log(-1, cut), ["rebuild", "take-back"]),
    "the last commit emptied": (of_log(-1, emptied), ["take-back"]),
    "a commit gone": (of_log(-2, gone), ["rebuild", "take-back"]),
    "no log": (no_log, ["rebuild", "take-back"]),
    "no older commits and no checkpoint": (cleaned, ["rebuild", "take-back"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_log_that_was_damaged_costs_no_session_and_brings_nobody_back(
    store: ObjectStore, bucket: str, damage: str
) -> None:
    broken, remedies = DAMAGES[damage]
    # The last commit is a deletion, whose file replaced the others: one more, for the log to lose.
    keep(store, session(20))
    compact(store, bucket, REGISTRY)
    broken(Path(bucket))
    before = {key: content(store, key) for key in keys(store)}
    found = find(store, bucket, REGISTRY)
    assert found[0].remedy == remedies[0]
    assert {key: content(store, key) for key in keys(store)} == before
    repair(store, bucket, REGISTRY, remedies)
    assert ids(bucket) == [*ALL, uuid(20)]
    repair(store, bucket, REGISTRY, REMEDIES)
    assert find(store, bucket, REGISTRY) == []
    assert (verify(store, bucket, REGISTRY), status(store, bucket, REGISTRY).verdict) == ([], [])
    assert all(entry["applications"].get("notes", {}).get("lost", 0) == 0 for entry in ledger.entries(store))
    keep(store, session(21), session(20))
    compact(store, bucket, REGISTRY)
    assert ids(bucket) == [*ALL, uuid(20), uuid(21)]


@pytest.mark.parametrize("damage", [gone, cut, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_broken_file_is_taken_out_and_its_loss_booked(
    store: ObjectStore, bucket: str, damage: Callable[[Path], None]
) -> None:
    keep(store, session(20))
    compact(store, bucket, REGISTRY)
    handle = table.load(bucket, "notes")
    assert handle is not None
    (file,) = [file for file in table.files(handle) if file.rows == 7]
    damage(Path(bucket) / "tables/notes" / file.path)
    (finding,) = [one for one in find(store, bucket, REGISTRY) if one.remedy == "isolate"]
    assert finding.application == "notes" and "7" in finding.loses and file.path in finding.what
    repair(store, bucket, REGISTRY, ["isolate"])
    # Nothing else was lost, and its own sessions are where they were before they were merged: not yet deleted.
    assert ids(bucket) == [uuid(20)]
    assert (verify(store, bucket, REGISTRY), status(store, bucket, REGISTRY).verdict) == ([], [])
    assert ledger.entries(store)[-1]["applications"]["notes"]["lost"] == 7


def test_a_loss_is_booked_only_when_that_is_told(store: ObjectStore, bucket: str) -> None:
    handle = table.load(bucket, "notes")
    assert handle is not None
    handle.delete(f"session_id = '{uuid(3)}'")
    repair(store, bucket, REGISTRY, [remedy for remedy in REMEDIES if remedy != "book"])
    assert len(verify(store, bucket, REGISTRY)) == 1
    (finding,) = find(store, bucket, REGISTRY)
    assert finding.remedy == "book" and "1 session" in finding.loses
    repair(store, bucket, REGISTRY, ["book"])
    assert (verify(store, bucket, REGISTRY), status(store, bucket, REGISTRY).verdict) == ([], [])


def test_a_table_without_a_registry_file_gets_one_that_reads_it(store: ObjectStore, bucket: str) -> None:
    opened = [{"type": "Opened", "time": "2026-03-04T05:06:08Z", "attributes": {"how": "key"}}]
    keep(store, session(30, events=opened, attributes={"memory": 1.5, "inCi": True}))
    compact(store, bucket, REGISTRY)
    (finding,) = find(store, bucket, {})
    assert (finding.application, finding.remedy) == ("notes", "register")
    (text,) = repair(store, bucket, {}, ["register"])
    known = {"notes": registries.parse(text.partition(": ")[2].replace('why = ""', 'why = "?"'), "notes.toml")}
    assert {name: field.type for name, field in known["notes"].attributes.items()} == {
        name: field.type for name, field in REGISTRY["notes"].attributes.items()
    }
    assert list(known["notes"].events) == ["Opened"]
    keep(store, session(31, attributes={"exitCode": 3}), known=known)
    assert compact(store, bucket, known).applications["notes"].stored == 1


def test_what_lies_in_no_commit_and_is_known_is_swept(store: ObjectStore, bucket: str) -> None:
    path = next((Path(bucket) / "tables/notes").glob("month=*/*.parquet"))
    shutil.copy(path, path.with_name("part-orphan.parquet"))
    path.with_name("part-half.parquet").write_bytes(b"half")
    path.with_name("part-begun.parquet#1").write_bytes(b"half")
    assert {one.remedy for one in find(store, bucket, REGISTRY)} == {"sweep"}
    before = ids(bucket)
    repair(store, bucket, REGISTRY, ["sweep"])
    assert find(store, bucket, REGISTRY) == [] and ids(bucket) == before
    assert not path.with_name("part-begun.parquet#1").exists()


def test_five_kinds_of_damage_in_one_bucket_are_named_and_repaired(
    store: ObjectStore, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, third = (NOTES.replace('id = "notes"', f'id = "{id}"') for id in ("other", "third"))
    known = registry(NOTES, other, third)
    for number in range(40, 43):
        keep(store, session(number, applicationId="other"), session(number + 10, applicationId="third"), known=known)
        compact(store, bucket, known)
    applications = tmp_path / "applications"
    applications.mkdir()
    for id, text in (("notes", NOTES), ("other", other)):
        (applications / f"{id}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(applications))
    of_checkpoint(cut)(Path(bucket))  # of notes
    gone(max((Path(bucket) / "tables/other/month=2026-03").glob("*.parquet")))
    cut(Path(bucket) / keys(store, "ledger/")[0])
    (Path(bucket) / "tables/notes/month=2026-03/part-9.parquet#3").write_bytes(b"half")
    # third has no registry file any more.
    said = CliRunner().invoke(main, ["repair", "--bucket", bucket], catch_exceptions=False)
    assert said.exit_code == 1
    remedies = ["book", "sweep", "checkpoint", "isolate", "register"]
    assert [remedy for remedy in remedies if f"--apply {remedy}:" not in said.stdout] == []
    done = CliRunner().invoke(main, ["repair", "--bucket", bucket, "--apply", "all"], catch_exceptions=False)
    (applications / "third.toml").write_text(third, encoding="utf-8")
    assert done.exit_code == 1, "the registry file is for the operator to add"
    for command in ("repair", "verify", "status"):
        after = CliRunner().invoke(main, [command, "--bucket", bucket], catch_exceptions=False)
        assert after.exit_code == 0, after.output
    assert len(rows(bucket, "other")) == 2 and ids(bucket) == ALL


def test_a_remedy_that_is_not_there_is_said(bucket: str, store: ObjectStore) -> None:
    said = CliRunner().invoke(main, ["repair", "--bucket", bucket, "--apply", "magic"])
    assert said.exit_code == 1 and "take-back" in said.stderr


# A drill: a bucket restored from what was copied while runs went on


@pytest.mark.parametrize("seed", range(6))
def test_a_bucket_copied_at_any_moment_is_clean_after_repair_or_says_what_is_missing(
    store: ObjectStore, bucket: str, tmp_path: Path, seed: int
) -> None:
    choose = random.Random(seed)
    restored = tmp_path / "restored"
    copied: dict[str, bytes] = {}
    accepted = set(ALL)

    def some(share: float) -> None:
        """Copies a part of what is there now, as a tool does that goes through a bucket while it changes."""
        for key in keys(store):
            if key not in copied and choose.random() < share:
                copied[key] = bytes(store.get(key).bytes())

    for number in range(50, 56):
        some(0.3)
        keep(store, session(number, user=number))
        accepted.add(uuid(number))
        compact(store, bucket, REGISTRY)
        if number == 52:
            handle = table.load(bucket, "notes")
            assert handle is not None
            rewrite.rewrite(store, bucket, "notes", handle, ["2026-03"], {"merged": "2026-03"})
    some(1.0 if seed % 2 else 0.8)
    copy = open_bucket(str(restored))
    for key, held in copied.items():
        copy.put(key, held)
    missing = bool(find(copy, str(restored), REGISTRY))
    repair(copy, str(restored), REGISTRY, REMEDIES)
    compact(copy, str(restored), REGISTRY)
    assert (verify(copy, str(restored), REGISTRY), status(copy, str(restored), REGISTRY).verdict) == ([], [])
    there = set(ids(str(restored)))
    assert there <= accepted, "somebody came back"
    lost = sum(entry["applications"].get("notes", {}).get("lost", 0) for entry in ledger.entries(copy))
    assert missing or not lost
    if seed % 2 == 0:
        return
    assert there == accepted, "all was copied, at one time or another"
