"""Sessions on the disk: whole, bounded, and fast to look at."""

import enum
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaculus import detach, queue, state
from tests.hosts import CLIENT, Home
from tests.waiting import PATIENCE

ID = "2ad4b0a0-4f5c-4b7a-9d7e-0d8f6c1f3b11"


def fill(directory: Path, count: int, bytes: int = 10, first: int = 0) -> list[str]:
    """Lays files into a queue as earlier runs left them."""
    (directory / "queue").mkdir(parents=True, exist_ok=True)
    made = [f"{first + number:015d}-{bytes}-{state.new_id()}.json" for number in range(count)]
    for name in made:
        (directory / "queue" / name).write_bytes(b"x" * bytes)
    return made


def put(directory: Path, size: int = 10) -> str:
    return queue._put(str(directory), state.new_id(), b"x" * size, 10**12, queue.names(str(directory)))


def test_of_more_than_500_files_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    made = fill(tmp_path, 510)
    new = put(tmp_path)
    assert queue.names(str(tmp_path)) == [*made[11:], new]
    assert queue.tell((tmp_path / "tally").read_text(encoding="utf-8"))["dropped"] == 11


def test_of_more_than_five_megabytes_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    made = fill(tmp_path, 5, bytes=1_000_000)
    new = put(tmp_path, size=1_000_001)
    assert queue.names(str(tmp_path)) == [*made[2:], new]
    assert queue.tell((tmp_path / "tally").read_text(encoding="utf-8"))["dropped"] == 2


def test_runs_that_end_together_stay_within_the_bounds(tmp_path: Path) -> None:
    home = Home(tmp_path, MY_TOOL_TELEMETRY="1")
    fill(home.state, 499, first=10**11)
    held = detach.lock(str(home.state))  # nothing is sent meanwhile
    assert held is not None
    runs = [home.start("work") for _ in range(4)]
    assert [run.communicate(timeout=PATIENCE)[0] for run in runs] == ["worked 1\n"] * 4
    assert len(queue.names(str(home.state))) <= 503, "each may have counted before the others put theirs"
    home.run("work")
    assert len(queue.names(str(home.state))) == 500
    os.close(held)


def test_files_that_are_not_ours_are_neither_sent_nor_deleted(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    for name in ("notes.txt", ".000-1-x.json", "a-b.json", f"1-2-{ID}.json.bak"):
        (tmp_path / "queue" / name).touch()
    assert len(queue.names(str(tmp_path))) == 1


@pytest.mark.parametrize("milliseconds", [0, -5, 10**12, 10**15])
def test_a_name_tells_when_how_large_and_who(milliseconds: int, tmp_path: Path) -> None:
    name = queue._put(str(tmp_path), ID, b"12345", milliseconds, [])
    assert (queue.size(name), queue.session_id(name)) == (5, ID)
    assert queue.age(name, 2e9) == pytest.approx(2e9 - max(milliseconds, 0) / 1000)
    assert queue.names(str(tmp_path)) == [name]


@pytest.mark.parametrize(("text", "sums"), [("", 0), ("sent=1\nsent=2 failed=x\nevil=9\nsent=\nsent=-1\n\0\n", 3)])
def test_a_damaged_tally_is_summed_as_far_as_it_goes(text: str, sums: int) -> None:
    assert queue.tell(text)["sent"] == sums


def test_ids_are_random_uuids_of_version_4() -> None:
    made = {state.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(state.is_id(one) for one in made)
    assert not any(
        map(state.is_id, ("", ID.upper(), ID[:-1], ID.replace("-", "_"), ID[:14] + "1" + ID[15:], ID + "\n"))
    )


def test_processes_that_race_for_the_first_id_agree_on_one(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait()
        found.append(state.user_id(str(tmp_path)))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "id"]


@pytest.mark.parametrize("damaged", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_a_damaged_id_is_replaced(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "id").write_text(damaged, encoding="utf-8")
    made = state.user_id(str(tmp_path))
    assert state.is_id(made)
    assert state.user_id(str(tmp_path)) == made


def test_a_file_is_whole_or_not_there_when_its_writer_is_killed(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CLIENT)!r})\nfrom abaculus import queue\nn = 0\nprint(flush=True)\n"
        f"while True:\n n += 1\n queue._put({str(tmp_path)!r}, '{ID}', b'x' * 100_000, n, [])"
    )
    for round in range(0, 15, 3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(0.01 + round / 1000)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        for name in queue.names(str(tmp_path)):
            assert Path(queue.path(str(tmp_path), name)).stat().st_size == queue.size(name) == 100_000


def test_what_a_killed_writer_left_is_tidied_after_a_day(tmp_path: Path) -> None:
    from abaculus.upload import Upload

    (tmp_path / "queue").mkdir()
    for name, age in (("old", 90_000), ("new", 0)):
        path = tmp_path / "queue" / f".{name}.abc"
        path.touch()
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    Upload(str(tmp_path), "https://x.invalid").run()
    assert [path.name for path in (tmp_path / "queue").iterdir()] == [".new.abc"]


def test_the_log_is_bounded_and_its_newest_lines_stay(tmp_path: Path) -> None:
    for number in range(4000):
        state.log(str(tmp_path), f"201  {ID} {number}")
    assert (tmp_path / "log").stat().st_size <= state.LOG_BYTES
    assert (tmp_path / "log").read_text(encoding="utf-8").endswith(f"{ID} 3999\n")


def test_each_system_has_its_own_place_for_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    for platform, environment, place in (
        ("linux", {}, "/home/ann/.local/state/my-tool/telemetry"),
        ("linux", {"XDG_STATE_HOME": "/state"}, "/state/my-tool/telemetry"),
        ("linux", {"XDG_STATE_HOME": "relative"}, "/home/ann/.local/state/my-tool/telemetry"),
        ("darwin", {}, "/home/ann/Library/Application Support/my-tool/telemetry"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/my-tool/telemetry"),
        ("win32", {}, "/home/ann/AppData/Local/my-tool/telemetry"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert state.directory("my-tool", environment) == place
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "nowhere")
    assert state.directory("my-tool", {}) is None
    assert state.directory("my-tool", {"XDG_STATE_HOME": "/state"}) == "/state/my-tool/telemetry"


# Their JSON

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_written_reads_as_what_it_was(value: Any) -> None:
    written = queue.encode(value)
    assert json.loads(written) == value
    assert "\n" not in written
    assert written == queue.encode(json.loads(written))


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    def __str__(self) -> str:
        return "something else"


def test_subclasses_are_written_as_what_they_hold() -> None:
    assert queue.encode({"a": Level.HIGH, "b": Name("x"), "c": True}) == '{"a":3,"b":"x","c":true}'


@pytest.mark.parametrize("value", [object(), b"", {1}, (1,), {"a": object()}])
def test_what_is_not_json_is_no_session(value: object) -> None:
    with pytest.raises(TypeError, match="is not JSON"):
        queue.encode(value)
