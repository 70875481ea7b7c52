"""The Delta table: its schema, commits that come once, and a registry that contradicts it."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from ingest.function.registry import Application
from reports.storage import table
from tests.buckets import NOTES, NOW, REGISTRY, UTF8_NAMES, registry, rows, uuid

APPLICATION = REGISTRY["notes"]
BARE = registry('id = "notes"\n')["notes"]


def some(*numbers: int, application: Application = APPLICATION, **columns: Any) -> pa.Table:
    """Table rows for these sessions."""
    made = {"user_id": uuid(1_000_000), "application_version": "1", "start_time": NOW, "end_time": NOW}
    made |= {"ingestion_time": NOW, "clock_suspect": False, "month": "2026-03"} | columns
    return pa.Table.from_pylist(
        [{"session_id": uuid(number), **made} for number in numbers], schema=table.schema(application)
    )


def ids(bucket: str) -> list[str]:
    return sorted(row["session_id"] for row in rows(bucket))


def test_there_is_no_table_before_the_first_compaction(bucket: str) -> None:
    assert table.load(bucket, "notes") is None


def test_the_table_is_created_empty_and_opened_the_next_time(bucket: str) -> None:
    assert table.load_or_create(bucket, APPLICATION).version() == 0
    handle = table.load_or_create(bucket, APPLICATION)
    assert (handle.version(), table.sequence(handle), table.files(handle)) == (0, 0, [])
    assert handle.metadata().partition_columns == ["month"]


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_bucket_is_named_by_its_path_or_its_url(tmp_path: Path, form: str) -> None:
    directory = tmp_path / "a bucket"
    table.load_or_create(form.format(str(directory).replace(" ", "%20" if "file" in form else " ")), APPLICATION)
    assert (directory / "tables" / "notes" / "_delta_log").is_dir()


@pytest.mark.parametrize("name", [
    pytest.param("ü 日本語 😀", marks=UTF8_NAMES), "a b", "100%", "a#b?c", "{a}", "it's",
    "repo[1]", "feature%2Flogin", "a%20b", "back\\slash", "a^b|c", "two\nlines",
])  # fmt: skip
def test_a_directory_of_any_name_holds_a_table(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    first, second = (table.load_or_create(one, APPLICATION) for one in (str(directory), directory.as_uri()))
    table.append(first, some(1, 2), 1, {})
    with pytest.raises(table.Overtaken):
        table.append(second, some(3), 1, {})
    table.overwrite(first, {"2026-03"}, some(1).to_batches(), 2, {})
    assert ids(str(directory)) == [uuid(1)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (directory / "tables" / "notes" / "_delta_log").is_dir()


def test_a_link_to_a_directory_of_any_name_holds_a_table(tmp_path: Path) -> None:
    (tmp_path / "repo[1]").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "repo[1]")
    table.append(table.load_or_create(str(tmp_path / "link"), APPLICATION), some(1), 1, {})
    assert ids(str(tmp_path / "repo[1]")) == [uuid(1)]


def test_a_cloud_bucket_keeps_its_url() -> None:
    assert table.uri("s3://name/", "notes") == "s3://name/tables/notes"
    assert table.uri("gs://name/below", "notes") == "gs://name/below/tables/notes"
    assert table.uri("az://container/below", "notes") == "az://container/below/tables/notes"


def test_rows_are_added_in_one_commit_that_carries_the_number(bucket: str) -> None:
    handle = table.load_or_create(bucket, APPLICATION)
    table.append(handle, some(1, 2), 1, {"run": "r"})
    fresh = table.load(bucket, "notes")
    assert fresh is not None
    assert (fresh.version(), table.sequence(fresh)) == (1, 1)
    assert fresh.history(1)[0]["run"] == "r"
    assert ids(bucket) == [uuid(1), uuid(2)]
    (file,) = table.files(fresh)
    assert file.rows == 2
    assert file.bytes == (Path(bucket) / "tables" / "notes" / file.path).stat().st_size


def test_of_two_writers_with_the_same_handle_one_is_overtaken(bucket: str) -> None:
    table.load_or_create(bucket, APPLICATION)
    first, second = (table.load_or_create(bucket, APPLICATION) for _ in range(2))
    table.append(first, some(1), 1, {})
    with pytest.raises(table.Overtaken):
        table.append(second, some(2), 1, {})
    assert ids(bucket) == [uuid(1)]


def test_a_deletion_that_finds_nobody_still_stops_an_older_handle_by_its_number(bucket: str) -> None:
    stale = table.load_or_create(bucket, APPLICATION)
    number = table.sequence(stale)
    table.append(table.load_or_create(bucket, APPLICATION), some(), number + 1, {})
    with pytest.raises(table.Overtaken):
        table.append(stale, some(1), number + 1, {})


@pytest.mark.parametrize("error", [CommitFailedError("409"), DeltaError("no answer"), OSError("reset")])
def test_a_commit_whose_answer_is_lost_has_succeeded(
    bucket: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = table.write_deltalake

    def lose(*args: Any, **options: Any) -> None:
        write(*args, **options)
        raise error

    handle = table.load_or_create(bucket, APPLICATION)
    stale = DeltaTable(handle.table_uri)
    monkeypatch.setattr(table, "write_deltalake", lambda to, *args, **options: lose(stale, *args, **options))
    table.append(handle, some(1), 1, {})
    assert ids(bucket) == [uuid(1)]
    assert handle.version() == 1


@pytest.mark.parametrize("error", [DeltaError("no answer"), OSError("reset")])
def test_a_commit_that_failed_raises_what_it_failed_with(
    bucket: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    handle = table.load_or_create(bucket, APPLICATION)
    table.append(handle, some(1), 1, {})
    monkeypatch.setattr(table, "write_deltalake", fail)
    with pytest.raises(type(error), match=str(error)):
        table.append(handle, some(2), 2, {})
    assert ids(bucket) == [uuid(1)]


def test_the_log_holds_no_ids_and_no_free_text(bucket: str) -> None:
    handle = table.load_or_create(bucket, APPLICATION)
    table.append(handle, some(1, attributes={"comment": "told in confidence"}), 1, {})
    handle.create_checkpoint()
    log = Path(bucket) / "tables" / "notes" / "_delta_log"
    written = b"".join(path.read_bytes() for path in log.iterdir())
    for secret in (uuid(1), uuid(1_000_000), "told in confidence"):
        assert secret.encode() not in written


# A registry that moves


def test_a_new_attribute_widens_the_table_and_older_rows_have_none(bucket: str) -> None:
    table.append(table.load_or_create(bucket, BARE), some(1, application=BARE), 1, {})
    wide = some(
        2, attributes={"memory": 1.5}, start_time=datetime(2026, 3, 5, tzinfo=UTC),
        events=[{"type": "Opened", "time": NOW, "attributes": {"how": "key"}}],
    )  # fmt: skip
    table.append(table.load_or_create(bucket, APPLICATION), wide, 2, {})
    first, second = rows(bucket)
    assert first["attributes"] is None
    assert second["attributes"]["memory"] == 1.5
    assert second["events"][0]["attributes"] == {"how": "key"}


def test_a_registry_that_is_behind_the_table_can_still_write(bucket: str) -> None:
    opened = [{"type": "Opened", "time": NOW}]
    table.append(table.load_or_create(bucket, APPLICATION), some(1, attributes={"memory": 1.5}), 1, {})
    table.append(table.load_or_create(bucket, BARE), some(2, application=BARE, events=opened), 2, {})
    assert [row["attributes"] and row["attributes"]["memory"] for row in rows(bucket)] == [1.5, None]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("[attributes.exitCode]\ntype = 'integer'", "[attributes.exitCode]\ntype = 'string'", "attributes.exitCode"),
        ("[attributes.memory]\ntype = 'number'", "[attributes.memory]\ntype = 'boolean'", "attributes.memory"),
        ("[spans.Save.attributes.size]\ntype = 'integer'", "[spans.Save.attributes.size]\ntype = 'string'", "spans"),
    ],
)
def test_a_changed_type_is_refused_with_both_types_and_what_to_do(bucket: str, old: str, new: str, path: str) -> None:
    table.load_or_create(bucket, APPLICATION)
    changed = NOTES.replace(old.replace("'", '"'), new.replace("'", '"')).replace('role = "exit_code"\n', "")
    with pytest.raises(table.TableError) as raised:
        table.load_or_create(bucket, registry(changed)["notes"])
    message = str(raised.value)
    assert message.startswith(f"notes: {path}")
    for part in (" in the table but ", " in the registry; restore the old type, or declare the new one under another"):
        assert part in message


def test_every_changed_type_is_named_at_once(bucket: str) -> None:
    table.load_or_create(bucket, APPLICATION)
    changed = NOTES.replace('"number"', '"boolean"').replace('"timestamp"', '"integer"')
    with pytest.raises(table.TableError) as raised:
        table.load_or_create(bucket, registry(changed)["notes"])
    assert len(str(raised.value).splitlines()) == 2


def test_an_application_that_declares_nothing_has_a_table(bucket: str) -> None:
    handle = table.load_or_create(bucket, BARE)
    table.append(handle, some(1, application=BARE, undeclared=["events.Opened"]), 1, {})
    (row,) = rows(bucket)
    assert "attributes" not in row
    assert row["undeclared"] == ["events.Opened"]


# Races between processes

RACE = """
import sys
from deltalake.exceptions import DeltaError
from reports.storage import table
from tests.storage.test_table import APPLICATION, some
bucket, number = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for session in range(number * 100, number * 100 + 5):
    while True:
        handle = table.load_or_create(bucket, APPLICATION)
        try:
            table.append(handle, some(session), table.sequence(handle) + 1, {})
            break
        except table.Overtaken:
            print("overtaken", flush=True)
"""


@pytest.mark.slow
def test_writers_that_race_to_create_and_append_lose_nothing(bucket: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, bucket, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", cwd=Path(__file__).parents[2],
        )
        for number in range(3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert ids(bucket) == sorted(uuid(number * 100 + at) for number in range(3) for at in range(5))
    log = sorted((Path(bucket) / "tables" / "notes" / "_delta_log").glob("*.json"))
    numbers = [
        action["txn"]["version"]
        for path in log
        for action in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if "txn" in action
    ]
    assert numbers == list(range(1, 16))
