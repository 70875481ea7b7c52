"""What waits is sent to the real function, with faults between; every session counts once."""

import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from abaculus import backoff, consent, queue, state, upload
from abaculus.session import moment
from ingest.function.bucket_url import open_bucket
from reports.writers.compact import compact
from tests.buckets import rows
from tests.hosts import APPLICATION, CLIENT, HOST, Home, Proxy, again, proxy, resets, respond, says, stalls, stored
from tests.messages import mentions
from tests.waiting import PATIENCE

DAY = 86_400


@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "queue").mkdir()
    return str(tmp_path)


def put(directory: str, days_ago: float = 0, **members: Any) -> str:
    """Queues a session; its id."""
    id = state.new_id()
    began = time.time_ns() - int(days_ago * DAY * 1e9)
    session = {"sessionId": id, "userId": state.new_id(), "applicationId": "my-tool", "applicationVersion": "1.4.0",
               "sessionStartTime": moment(began), "sessionEndTime": moment(began)} | members  # fmt: skip
    queue._put(directory, id, json.dumps(session).encode(), began // 1_000_000, [])
    return id


def send(directory: str, url: str, leave: str = "") -> upload.Upload:
    made = upload.Upload(directory, url, leave)
    made.run()
    return made


def waiting(directory: str) -> set[str]:
    return {queue.session_id(name) for name in queue.names(directory)}


def arrived(served: tuple[str, Path]) -> list[str]:
    return [session["sessionId"] for session in stored(served[1])]


# Through the tool


def test_a_later_run_sends_what_an_earlier_one_left(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1")
    home.run("work", "--count", "1")
    time.sleep(0.3)
    (first,) = home.queued()
    assert first["sessionId"] not in arrived(served), "nothing is sent by the run itself"
    home.grow_old()
    home.run("work", "--count", "2")
    home.until(lambda: len(home.queued()) == 1)
    assert home.queued()[0]["attributes"]["count"] == 2, "nor by the process that it starts"
    assert arrived(served).count(first["sessionId"]) == 1
    (kept,) = [session for session in stored(served[1]) if session["sessionId"] == first["sessionId"]]
    assert kept["undeclared"] == []
    assert kept["attributes"] == first["attributes"]
    assert f"201  {first['sessionId']}" in home.log()


def test_the_next_session_tells_what_became_of_the_upload(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: (home.state / "tally").exists())
    home.run("work")
    *_, last = home.queued()
    (report,) = [event for event in last["events"] if event["type"] == "TelemetryReport"]
    assert report["attributes"] == {"sent": 1, "failed": 0, "refused": 0, "givenUp": 0, "dropped": 0, "stopped": 0}


def test_in_ci_a_session_is_sent_at_once(tmp_path: Path, served: tuple[str, Path]) -> None:
    home = Home(tmp_path, served[0], MY_TOOL_TELEMETRY="1", CI="true", GITHUB_ACTIONS="true")
    again(lambda: home.run("work", "--count", "77"), lambda: home.queued() == [])
    session, *_ = [session for session in stored(served[1]) if session["attributes"].get("count") == 77]
    assert session["attributes"]["ciSystem"] == "GitHub Actions"


@pytest.mark.slow
def test_in_ci_nothing_is_waited_for_longer_than_two_seconds(tmp_path: Path, between: Proxy) -> None:
    between.fault = stalls
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1", CI="true")
    ran = home.run("work")
    assert ran.seen == (0, "worked 1\n", "")
    assert 1.9 < ran.seconds < 4
    assert len(home.queued()) == 1


@pytest.mark.slow
def test_of_eight_runs_at_once_one_starts_an_upload(tmp_path: Path, between: Proxy) -> None:
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    home.run("work")
    home.grow_old()
    between.fault = lambda handler, body: bool(time.sleep(1.5))
    runs = [home.start("work") for _ in range(8)]
    assert [run.communicate(timeout=PATIENCE)[0] for run in runs] == ["worked 1\n"] * 8
    home.until(lambda: len(between.bodies) >= 1 and "  201  " in home.log())
    assert len(between.bodies) == 1
    assert len({session["userId"] for session in home.queued()}) == 1


def test_the_process_holds_nothing_of_the_tools(tmp_path: Path, between: Proxy) -> None:
    between.fault = stalls
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1", SECRET="x")
    home.run("work")
    home.grow_old()
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    with subprocess.Popen(
        [sys.executable, str(CLIENT.parent.parent / "tests" / "host.py"), "work"], cwd=home.project,
        env=home.environment, pass_fds=[writer], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as run:  # fmt: skip
        os.close(writer)
        assert run.stdout is not None
        # Each would stay open as long as the process that uploads, had it taken them along.
        assert run.stdout.read() == b"worked 1\n"
        assert os.read(reader, 1) == b""
    os.close(reader)
    home.until(lambda: len(between.bodies) == 1)
    (child,) = [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(home.state).encode() in read(one)]
    process = child.parent
    assert set(read(process / "environ").decode().rstrip("\0").split("\0")) <= {
        f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH')}", "",
    }  # fmt: skip
    stat = read(process / "stat").decode().rpartition(")")[2].split()
    assert stat[3] == process.name, "it leads a session of its own"
    assert (process / "cwd").readlink() == Path("/")
    open_files = {str(one.readlink()) for one in (process / "fd").iterdir()}
    assert {name for name in open_files if not name.startswith(("socket:", "anon_inode:"))} == {
        "/dev/null", str(home.state / "lock"), str(home.state / "log"),
    }  # fmt: skip
    os.kill(int(process.name), signal.SIGKILL)
    # What a killed process held is free: the next run sends.
    between.fault = lambda handler, body: False
    home.until(home.is_unlocked)
    home.grow_old()
    home.run("work")
    home.until(lambda: home.log().count("  201  ") == 2)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# When it is worth it


def test_many_runs_start_few_processes(tmp_path: Path, between: Proxy) -> None:
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    for _ in range(queue.MANY - 1):
        put(str(home.state))
    home.run("work")
    assert between.bodies == [], "none is an hour old"
    home.run("work")
    home.until(lambda: len(home.queued()) == 1)
    assert len(between.bodies) == 1


@pytest.mark.parametrize("age", [-4000, 3500, 3700])
def test_what_has_waited_an_hour_is_sent(age: float) -> None:
    now = 1_800_000_000.0
    names = [f"{int((now - age) * 1000):015d}-2-{state.new_id()}.json"]
    assert queue.due(names, now) == (age != 3500)
    assert not queue.due([], now)


def test_a_server_that_fails_is_not_asked_again_by_the_runs_that_follow(tmp_path: Path, between: Proxy) -> None:
    between.fault = says(500)
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: "failed  1 session: 500" in home.log())
    for _ in range(queue.MANY):
        put(str(home.state))
    for _ in range(2):
        home.run("work")
    assert len(between.bodies) == 1
    between.fault = lambda handler, body: False
    flushed = home.run("telemetry", "flush")
    assert (flushed.code, flushed.out) == (0, f"telemetry: {queue.MANY + 4} sent\n"), "the user may try at any time"


# The process


def test_pythons_own_modules_come_before_what_lies_beside_the_package(tmp_path: Path, between: Proxy) -> None:
    packages = tmp_path / "site-packages"
    shutil.copytree(CLIENT / "abaculus", packages / "abaculus")
    for name in ("typing", "json", "random", "threading"):
        (packages / f"{name}.py").write_text("raise RuntimeError('a backport of long ago')", encoding="utf-8")
    home = Home(tmp_path / "home", between.url, MY_TOOL_TELEMETRY="1")
    # As an installation has it: site-packages comes after Python's own modules.
    tool = f"import sys; sys.path.append({str(packages)!r}); sys.argv = ['my-tool', 'work']\n"
    tool += f"import runpy; runpy.run_path({str(HOST)!r}, run_name='__main__')"
    for _ in range(2):
        home.grow_old()
        done = subprocess.run([sys.executable, "-c", tool], env=home.environment | {"PYTHONPATH": ""})
        assert done.returncode == 0
    home.until(lambda: "  201  " in home.log())


def test_a_process_that_cannot_even_begin_says_so_in_the_log(tmp_path: Path, between: Proxy) -> None:
    packages = tmp_path / "site-packages"
    shutil.copytree(CLIENT / "abaculus", packages / "abaculus")
    (packages / "abaculus" / "upload.py").write_text(
        "raise ImportError('what a broken installation says')", encoding="utf-8"
    )
    home = Home(tmp_path / "home", between.url, MY_TOOL_TELEMETRY="1", PYTHONPATH=str(packages))
    home.run_and_send()
    home.until(lambda: "ImportError: what a broken installation says" in home.log())
    assert "ImportError" in home.run("telemetry", "log").out


# What each answer does


def test_sessions_go_in_compressed_batches_and_are_removed_when_stored(
    directory: str, between: Proxy, served: tuple[str, Path]
) -> None:
    ids = {put(directory) for _ in range(250)}
    made = send(directory, between.url)
    assert waiting(directory) == set()
    assert made.counts["sent"] == 250
    assert sorted(map(len, between.sent)) == [50, 100, 100]
    assert ids <= set(arrived(served))
    assert sum(map(len, between.bodies)) < 250 * 150


def test_a_repeat_is_answered_and_removed(directory: str, served: tuple[str, Path]) -> None:
    put(directory)
    (name,) = queue.names(directory)
    data = Path(queue.path(directory, name)).read_bytes()
    for _ in range(2):
        Path(queue.path(directory, name)).write_bytes(data)
        assert send(directory, served[0]).counts["sent"] == 1
        assert waiting(directory) == set()
    assert [line.split()[1] for line in Path(directory, "log").read_text(encoding="utf-8").splitlines()] == [
        "201",
        "304",
    ]


def test_what_is_refused_is_set_aside_with_the_answer_and_the_rest_is_sent(
    directory: str, served: tuple[str, Path]
) -> None:
    good, bad = put(directory), put(directory, applicationVersion="x")
    made = send(directory, served[0])
    assert waiting(directory) == set()
    assert (made.counts["sent"], made.counts["refused"]) == (1, 1)
    assert good in arrived(served)
    aside = Path(directory, "aside")
    assert json.loads((aside / f"{bad}.json").read_bytes())["sessionId"] == bad
    assert mentions((aside / f"{bad}.answer").read_text(encoding="utf-8"), "400", "applicationVersion")


def test_no_more_than_fifty_refused_sessions_are_kept(directory: str, served: tuple[str, Path]) -> None:
    for _ in range(60):
        put(directory, applicationVersion="x")
    assert send(directory, served[0]).counts["refused"] == 60
    assert len(list(Path(directory, "aside").glob("*.json"))) == 50


@pytest.mark.parametrize("torn", [b"", b'{"sessionId":', b"\0" * 100, b"[]", b"{}", b"1", b"[" * 100_000, b"\xff\n"])
def test_a_file_that_a_power_cut_tore_holds_nobody_up(directory: str, served: tuple[str, Path], torn: bytes) -> None:
    put(directory)
    (name,) = queue.names(directory)
    Path(queue.path(directory, name)).write_bytes(torn)
    whole = put(directory)
    made = send(directory, served[0])
    assert (made.counts["sent"], made.counts["refused"]) == (1, 1)
    assert whole in arrived(served)


@pytest.mark.parametrize(
    "fault",
    [resets, says(500), says(502, b"<html>"), says(404), says(401), says(204), says(400, b"<html>"),
     says(200, b"<html>hotel</html>"),
     says(200, b'{"results": []}'), says(200, b"[]"),
     says(200, b'{"results": [{"line": 1, "sessionId": "x", "status": 201}]}'),
     says(200, b'{"results": 7}'), says(200, b"[" * 100_000)],
)  # fmt: skip
def test_without_a_proper_answer_all_is_kept_and_the_server_is_left_alone(directory: str, fault: Any) -> None:
    ids = {put(directory) for _ in range(120)}
    with proxy() as broken:
        broken.fault = fault
        made = send(directory, broken.url)
        assert len(broken.bodies) == 1
    assert waiting(directory) == ids
    assert {name: number for name, number in made.counts.items() if number} == {"failed": 120, "stopped": 1}
    assert queue.tell(Path(directory, "tally").read_text(encoding="utf-8")) == made.counts
    assert backoff.pause(directory) > 0


def test_no_server_at_all_keeps_all(directory: str) -> None:
    ids = {put(directory), put(directory)}
    made = send(directory, "http://127.0.0.1:9")
    assert waiting(directory) == ids
    assert "Connection refused" in made.said
    assert made.counts["failed"] == 2


def test_a_server_that_never_answers_is_given_up_on(
    directory: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PATIENCE", 0.2)
    between.fault = stalls
    put(directory)
    began = time.monotonic()
    made = send(directory, between.url)
    assert (made.counts["failed"], time.monotonic() - began < 3) == (1, True)


def test_each_session_of_a_batch_goes_by_its_own_answer(directory: str) -> None:
    ids = [put(directory) for _ in range(8)]
    answers = dict(zip(ids, (201, 304, 400, 413, 500, 503, None, "201"), strict=True))

    def fault(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> bool:
        results = [
            {"line": line, "sessionId": session["sessionId"], "status": answers[session["sessionId"]]}
            for line, session in enumerate(broken.sent[-1], 1)
        ]
        respond(handler, 200, json.dumps({"results": results}).encode(), {"Retry-After": "50"})
        return True

    with proxy() as broken:
        broken.fault = fault
        made = send(directory, broken.url)
        assert len(broken.bodies) == 1
    assert waiting(directory) == set(ids[4:])
    assert {path.stem for path in Path(directory, "aside").iterdir()} == set(ids[2:4])
    assert {name: number for name, number in made.counts.items() if number} == {"sent": 2, "refused": 2, "failed": 4}
    assert backoff.pause(directory) > 0, "one of them could not be taken now, and the server said when"


def test_redirects_are_not_followed(directory: str, served: tuple[str, Path]) -> None:
    id = put(directory)
    with proxy() as elsewhere:
        for status in (301, 302, 307, 308):
            elsewhere.fault = says(status, Location=f"{served[0]}/v1/sessions")
            send(directory, elsewhere.url)
    assert waiting(directory) == {id}
    assert id not in arrived(served)


@pytest.mark.parametrize(("status", "answer"), [(413, b"<html>too large"), (400, b'{"message": "not valid"}')])
def test_a_batch_that_the_server_cannot_take_is_sent_in_halves(
    directory: str, between: Proxy, served: tuple[str, Path], status: int, answer: bytes
) -> None:
    ids = {put(directory) for _ in range(32)}
    bad = random.choice(sorted(ids))

    def filter(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> bool:
        return any(one["sessionId"] == bad for one in between.sent[-1]) and says(status, answer)(handler, body)

    between.fault = filter
    send(directory, between.url)
    assert waiting(directory) == set()
    assert ids - {bad} <= set(arrived(served))
    assert Path(directory, "aside", f"{bad}.json").exists()
    assert len(between.bodies) == 11, "a batch of 32, then two halves of each that has the bad one"


def test_uploads_that_fail_become_rarer_until_one_is_answered(directory: str, served: tuple[str, Path]) -> None:
    put(directory)
    waits = []
    for _ in range(9):
        send(directory, "http://127.0.0.1:9")
        waits.append(backoff.pause(directory))
    for failures, wait in enumerate(waits, 1):
        assert backoff.delay(failures, 0) - 5 <= wait <= backoff.delay(failures, 1)
    assert 290 < waits[0] <= 600
    assert 40_000 < waits[-1] < DAY
    assert send(directory, served[0]).counts["sent"] == 1
    assert (backoff.pause(directory), backoff.failures(directory)) == (0, 0)


@pytest.mark.parametrize("text", ["", "many", "-1", "99999999999999999999", "\0\xff", "7 asked"])
def test_a_damaged_count_of_failures_is_none(directory: str, text: str) -> None:
    Path(directory, "retry").write_text(text, encoding="utf-8")
    assert backoff.failures(directory) == (7 if text == "7 asked" else 0)
    put(directory)
    send(directory, "http://127.0.0.1:9")
    assert 0 < backoff.pause(directory) < DAY


@pytest.mark.parametrize(("status", "form"), [(429, "seconds"), (503, "date")])
def test_a_server_that_asks_to_wait_is_left_alone_for_so_long(
    tmp_path: Path, between: Proxy, status: int, form: str
) -> None:
    later = datetime.fromtimestamp(time.time() + 100, UTC)
    wanted = "100" if form == "seconds" else later.strftime("%a, %d %b %Y %H:%M:%S GMT")
    between.fault = says(status, b"{}", Retry_After=wanted)
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: f"failed  1 session: {status}" in home.log())
    between.fault = lambda handler, body: False
    home.grow_old()
    home.run("work")
    assert home.run("telemetry", "flush").code == 1
    assert len(between.bodies) == 1, "nothing was sent meanwhile"
    assert 60 < backoff.pause(str(home.state)) <= 100
    os.utime(home.state / "retry", (time.time() - 1,) * 2)  # as if that time had passed
    home.grow_old()
    home.run("work")
    home.until(lambda: len(home.queued()) == 1)


@pytest.mark.parametrize("wanted", ["", "soon", "-1", "99999999999999999999", "Thu, 99 Foo", "\u0663"])
def test_nonsense_is_no_time_to_wait(directory: str, wanted: str) -> None:
    put(directory)
    with proxy() as broken:
        broken.fault = says(503, Retry_After=wanted.encode().decode("latin-1"))
        send(directory, broken.url)
    assert backoff.pause(directory) <= DAY
    assert len(waiting(directory)) == 1


def test_a_retired_application_stops_for_good(tmp_path: Path, between: Proxy) -> None:
    between.fault = says(410, b'{"message": "application \'my-tool\' is retired and takes no more sessions"}')
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    home.run_and_send()
    home.until(lambda: "410" in home.log())
    home.until(home.idle)
    assert home.queued() == []
    before = home.files()
    assert home.run("work").seen == (0, "worked 1\n", "")
    assert home.files() == before
    assert len(between.bodies) == 1
    assert '"rule": "retired"' in home.run("telemetry", "status", "--json").out


def test_after_thirty_days_of_failure_a_session_is_given_up(directory: str) -> None:
    young = put(directory, days_ago=29)
    put(directory, days_ago=31)
    made = send(directory, "http://127.0.0.1:9")
    assert waiting(directory) == {young}
    assert (made.counts["failed"], made.counts["givenUp"]) == (1, 1)


def test_a_session_that_is_old_is_tried_once_more(directory: str, served: tuple[str, Path]) -> None:
    id = put(directory, days_ago=60)  # or the clock was wrong, now or then
    assert send(directory, served[0]).counts["sent"] == 1
    assert id in arrived(served)


# Nothing twice, nothing lost

KILLED = """
import os, sys
sys.path.insert(0, {client!r})
from abaculus import detach, upload
def audit(event, arguments):
    global steps
    if event in ("open", "os.remove", "os.rename", "socket.connect", "os.listdir", "os.scandir"):
        if {directory!r} in str(arguments) or event == "socket.connect":
            steps += 1
            if steps == {step}:
                os.kill(os.getpid(), 9)
steps = 0
sys.addaudithook(audit)
upload.Upload({directory!r}, {url!r}).run()
"""


@pytest.mark.slow
def test_a_kill_at_any_step_loses_nothing_and_counts_nothing_twice(tmp_path: Path, served: tuple[str, Path]) -> None:
    ids = set()
    for step in range(1, 100):
        directory = str(tmp_path / "home" / str(step))
        Path(directory, "queue").mkdir(parents=True)
        ids |= (mine := {put(directory) for _ in range(3)})
        code = KILLED.format(client=str(CLIENT), directory=directory, url=served[0], step=step)
        killed = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, encoding="utf-8")
        if killed.returncode == 0:
            assert waiting(directory) == set()
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert waiting(directory) | set(arrived(served)) >= mine, f"lost at step {step}"
        send(directory, served[0])
        assert waiting(directory) == set()
    assert 8 < step < 99
    compact(open_bucket(str(served[1])), str(served[1]), {"my-tool": APPLICATION})
    counted = [row["session_id"] for row in rows(str(served[1]), "my-tool")]
    assert len(counted) == len(set(counted))
    assert ids <= set(counted)


def test_a_kill_between_the_answer_and_the_deletion_sends_the_same_session_again(
    tmp_path: Path, between: Proxy, served: tuple[str, Path]
) -> None:
    home = Home(tmp_path, between.url, MY_TOOL_TELEMETRY="1")
    home.run("work")
    (first,) = home.queued()

    killed = threading.Event()

    def kill() -> None:
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            if str(home.state).encode() in read(one):
                os.kill(int(one.parent.name), signal.SIGKILL)
        killed.set()

    between.after = kill
    home.grow_old()
    home.run("work")
    # A session is in the bucket before its answer is here.
    home.until(killed.is_set)
    assert first["sessionId"] in arrived(served)
    assert first in home.queued()
    between.after = lambda: None
    assert home.run("telemetry", "flush").code == 0
    assert home.queued() == []
    assert home.log().count(first["sessionId"]) == 1
    assert [session for request in between.sent for session in request].count(first) == 2


def test_two_uploads_at_once_count_nothing_twice(directory: str, served: tuple[str, Path]) -> None:
    ids = {put(directory) for _ in range(50)}
    threads = [threading.Thread(target=send, args=(directory, served[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waiting(directory) == set()
    assert ids <= set(arrived(served))


def test_a_full_disk_does_not_keep_what_was_stored_from_being_removed(
    directory: str, served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(directory)
    put(directory, applicationVersion="x")
    real = os.open

    def full(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", full)
    send(directory, served[0])
    assert len(queue.names(directory)) == 1  # the refused one, which cannot be set aside


# The network


def test_a_certificate_that_nobody_vouches_for_is_refused(directory: str, tmp_path: Path) -> None:
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            respond(self, 503, b"reached", {})

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...

    put(directory)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://localhost:{server.server_port}"
        assert "CERTIFICATE_VERIFY_FAILED" in send(directory, url).said
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(certificate))
            patch.setenv("no_proxy", "*")
            assert "503 reached" in send(directory, url).said
        server.shutdown()


PROXIES = ("no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_systems_proxy_is_asked_to_connect_and_sees_no_session(
    directory: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    put(directory)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[bytes] = []

        def accept() -> None:
            connection, _ = listener.accept()
            seen.append(connection.recv(4096))
            connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{listener.getsockname()[1]}")
        send(directory, "https://telemetry.invalid")
        thread.join()
    assert seen[0].startswith(b"CONNECT telemetry.invalid:443 ")
    assert b"sessionId" not in seen[0]
    assert len(waiting(directory)) == 1


def test_a_proxy_that_python_cannot_use_is_named(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(directory)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    assert "socks5h proxy" in send(directory, "https://telemetry.invalid").said
    assert len(waiting(directory)) == 1


def test_what_is_said_no_to_during_an_upload_is_not_sent_any_more(directory: str, between: Proxy) -> None:
    for _ in range(upload.BATCH + 1):
        put(directory)
    between.after = lambda: consent.remember(directory, "denied")
    made = send(directory, between.url)
    assert len(between.bodies) == 1
    assert made.counts["failed"] == 0
