"""A damaged table stops its own application and no other, and whoever looks is told which."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.operations.status import status
from reports.storage import table
from reports.writers.compact import Unfinished, compact
from tests.buckets import NOTES, content, keep, keys, registry, rows, session, uuid

pytestmark = pytest.mark.slow

OTHER = NOTES.replace('id = "notes"', 'id = "other"')
REGISTRY = registry(NOTES, OTHER)


def log(bucket: Path) -> list[Path]:
    return sorted((bucket / "tables/notes/_delta_log").glob("*.json"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    path.unlink()


def of_data(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda bucket: damage(min(bucket.glob("tables/notes/month=*/*.parquet")))


def of_log(number: int, damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda bucket: damage(log(bucket)[number])


def of_checkpoint(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda bucket: damage(min(bucket.glob("tables/notes/_delta_log/*.checkpoint.parquet")))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a file that is gone": of_data(gone),
    "a file that was cut": of_data(cut),
    "a file of other bytes": of_data(lambda path: path.write_bytes(b"x" * path.stat().st_size)),
    "the last entry of the log cut": of_log(-1, cut),
    "an entry of the log gone": of_log(-2, gone),
    "an entry of the log cut": of_log(-2, cut),
    "a checkpoint that is gone": of_checkpoint(gone),
    "a checkpoint that was cut": of_checkpoint(cut),
    "no log": lambda bucket: shutil.rmtree(bucket / "tables/notes/_delta_log"),
}


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    """Two tables; that of notes has a checkpoint in its log, and two entries after it."""
    found = open_bucket(bucket)
    for number in range(4):
        keep(found, session(number), session(100 + number, applicationId="other"), known=REGISTRY)
        compact(found, bucket, REGISTRY)
        handle = table.load(bucket, "notes")
        assert handle is not None
        if number == 1:
            handle.create_checkpoint()
    keep(found, session(50), session(150, applicationId="other"), known=REGISTRY)
    return found


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_table_stops_its_application_and_no_other(
    store: ObjectStore, bucket: str, damage: Callable[[Path], None]
) -> None:
    damage(Path(bucket))
    before = {key: content(store, key) for key in keys(store, "tables/notes/")}
    with pytest.raises(Unfinished) as raised:
        compact(store, bucket, REGISTRY)
    assert all(line.startswith("notes: ") for line in str(raised.value).splitlines())
    assert uuid(150) in [row["session_id"] for row in rows(bucket, "other")]
    # Nothing of it was taken, nothing written.
    assert len(keys(store, "raw/v1/notes/")) == 1 and keys(store, "raw/v1/other/") == []
    assert {key: content(store, key) for key in keys(store, "tables/notes/")} == before
    (entry,) = [key for key in keys(store, "ledger/") if raised.value.entry.run in key]
    assert json.loads(content(store, entry))["error"].startswith("notes: ")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_status_and_the_summary_name_it(
    store: ObjectStore, bucket: str, damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applications = tmp_path / "applications"
    applications.mkdir()
    for id, text in (("notes", NOTES), ("other", OTHER)):
        (applications / f"{id}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(applications))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.chdir(tmp_path)
    damage(Path(bucket))
    done = CliRunner().invoke(main, ["run", "--bucket", bucket], catch_exceptions=False)
    assert done.exit_code == 1
    assert re.search(r"Not done.*notes", (tmp_path / "summary.md").read_text(encoding="utf-8"))
    found = status(store, bucket, REGISTRY)
    assert any("notes" in line for line in found.verdict)
    assert found.tables["other"].rows == 5


def test_a_name_that_differs_by_capitals_alone_stops_its_application_and_is_named(
    store: ObjectStore, bucket: str
) -> None:
    renamed = registry(NOTES.replace("[attributes.osName]", "[attributes.osname]"), OTHER)
    with pytest.raises(
        Unfinished, match=r"attributes\.osName.*attributes\.osName|attributes\.osname.*attributes\.osName"
    ):
        compact(store, bucket, renamed)
    assert len(rows(bucket, "other")) == 5 and len(keys(store, "raw/v1/notes/")) == 1
