"""What telemetry costs a run of a tool, and what its uploads cost the machine and the server.

    python3 .ci/venv python tests/benchmarks/client.py [runs] [uploads] [--rounds 40]

`runs` compares whole processes side by side, with posthog and sentry_sdk set up for the same.

The tool does nothing; what is measured is all that a run takes longer. Each round starts every tool once, in another
order; the best of each are compared, because whatever else the machine does can only add. The peers are installed into
an environment of their own, from the package index, and send to a server of this machine that accepts everything. They
do so before a run ends, as they are made to.

`uploads` has a tool run 100 and 1,000 times, one after the other, before a server that stores everything and one that
always fails, and counts the processes that upload, their requests and the processor time that they take. It becomes the
parent of these processes, so that none is missed.
"""

import argparse
import contextlib
import ctypes
import gzip
import http.server
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "ingest" / "client"
PEERS = ("posthog", "sentry-sdk")

BARE = "import sys\nsys.stdout.write('done\\n')\n"
ABACULUS = """
import sys
from abaculus import Telemetry
telemetry = Telemetry("my-tool", version="1.4.0", endpoint={url!r}, prompt="May we?")
with telemetry.session() as session:
    for number in range(20):
        session.attribute(f"attribute{{number}}", number)
    for number in range(5):
        session.event("Happened", number=number)
    for number in range(10):
        with session.span("Worked") as span:
            span.attribute("number", number)
    sys.stdout.write("done\\n")
"""
POSTHOG = """
import sys
from posthog import Posthog
posthog = Posthog("phc_key", host={url!r})
attributes = {{f"attribute{{number}}": number for number in range(20)}}
for number in range(5):
    posthog.capture("Happened", distinct_id="ann", properties={{**attributes, "number": number}})
for number in range(10):
    posthog.capture("Worked", distinct_id="ann", properties={{"number": number, "duration": 0.1}})
sys.stdout.write("done\\n")
"""
SENTRY = """
import sys
import sentry_sdk
sentry_sdk.init({dsn!r}, traces_sample_rate=1.0)
with sentry_sdk.start_transaction(op="run", name="my-tool") as transaction:
    for number in range(20):
        transaction.set_data(f"attribute{{number}}", number)
    for number in range(5):
        sentry_sdk.add_breadcrumb(message="Happened", data={{"number": number}})
    for number in range(10):
        with sentry_sdk.start_span(op="Worked") as span:
            span.set_data("number", number)
    sys.stdout.write("done\\n")
"""


class Server:
    """Answers as `answer` says, and counts requests."""

    def __init__(self, answer: Callable[[bytes], tuple[int, bytes]]) -> None:
        self.answer = answer
        self.requests = 0
        self.port = 0


def nothing(body: bytes) -> tuple[int, bytes]:
    """For the client an answer that is none, so that what waits goes on waiting; the peers take it for a yes."""
    return 200, b"{}"


def stores(body: bytes) -> tuple[int, bytes]:
    """What the ingest function says when it stores every session."""
    ids = [json.loads(line)["sessionId"] for line in gzip.decompress(body).splitlines()]
    results = [{"line": line, "sessionId": id, "status": 201} for line, id in enumerate(ids, 1)]
    return 200, json.dumps({"results": results}).encode()


def fails(body: bytes) -> tuple[int, bytes]:
    """What a broken server says."""
    return 500, b""


@contextlib.contextmanager
def server(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[Server]:
    """A server on a free port."""
    made = Server(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = made.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            made.requests += 1
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        made.port = listening.server_port
        yield made
        listening.shutdown()


def queue(state: Path, count: int) -> None:
    """Lays sessions into the queue of a tool."""
    directory = state / "my-tool" / "telemetry" / "queue"
    directory.mkdir(parents=True)
    for number in range(count):
        id = f"2ad4b0a0-4f5c-4b7a-9d7e-{number:012d}"
        data = f'{{"sessionId":"{id}"}}'.ljust(2000).encode()
        (directory / f"{int(time.time() * 1000) + number:015d}-{len(data)}-{id}.json").write_bytes(data)


def once(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds from the start of a process to its end, and those of a processor that it took."""
    with Path(os.devnull).open("r+b") as quiet:
        actions = [(os.POSIX_SPAWN_DUP2, quiet.fileno(), number) for number in (0, 1)]
        begin = time.perf_counter()
        child = os.posix_spawn(command[0], command, environment, file_actions=actions)
        _, status, used = os.wait4(child, 0)
        took = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{command} failed")
    return took * 1000, (used.ru_utime + used.ru_stime) * 1000


def compare(rounds: int) -> None:
    """Prints what a run costs with each."""
    with tempfile.TemporaryDirectory() as scratch, server(nothing) as found:
        port = found.port
        root = Path(scratch)
        venv.create(root / "venv", with_pip=True)
        python = str(root / "venv" / "bin" / "python")
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *PEERS]
        subprocess.run(install, check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "freeze"], check=True, capture_output=True, encoding="utf-8"
        ).stdout
        peers = [line for line in listed.splitlines() if line.split("==")[0] in (*PEERS, "sentry_sdk")]
        # In the same environment, as an installed tool has it: compiled, and found among the other packages.
        package = Path(
            subprocess.check_output([python, "-c", "import posthog; print(posthog.__path__[0])"], encoding="utf-8")
        )
        shutil.copytree(CLIENT / "abaculus", package.parent / "abaculus")
        subprocess.run([python, "-m", "compileall", "-q", str(package.parent / "abaculus")], check=True)
        url = f"http://127.0.0.1:{port}"
        scripts = {
            "bare": BARE,
            "abaculus": ABACULUS.format(url=url),
            "posthog": POSTHOG.format(url=url),
            "sentry": SENTRY.format(dsn=f"http://key@127.0.0.1:{port}/1"),
        }
        for name, text in scripts.items():
            (root / f"tool_{name}.py").write_text(text, encoding="utf-8")
        base = {"PATH": os.environ["PATH"], "HOME": scratch}
        for name, count in (("empty", 0), ("full", 500)):
            queue(root / name, count)

        def state(name: str, **more: str) -> dict[str, str]:
            return base | {"XDG_STATE_HOME": str(root / name)} | more

        tools = {
            "bare": ("bare", base),
            "abaculus, off": ("abaculus", state("empty")),
            "abaculus, off, 500 waiting": ("abaculus", state("full")),
            "abaculus, on": ("abaculus", state("empty", MY_TOOL_TELEMETRY="1")),
            "abaculus, on, 500 waiting": ("abaculus", state("full", MY_TOOL_TELEMETRY="1")),
            "posthog": ("posthog", base),
            "sentry_sdk": ("sentry", base),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
        order = list(tools)
        for number in range(rounds + 2):
            random.shuffle(order)
            for name in order:
                script, environment = tools[name]
                if name == "abaculus, on":
                    shutil.rmtree(root / "empty" / "my-tool", ignore_errors=True)
                took = once([python, str(root / f"tool_{script}.py")], environment)
                if number >= 2:  # the first two fill the caches
                    times[name].append(took)
                if name == "abaculus, on, 500 waiting":
                    wait_for_upload(root / "full" / "my-tool" / "telemetry" / "lock")
    best = {name: min(wall for wall, _ in all) for name, all in times.items()}
    costs = {name: wall - best["bare"] for name, wall in best.items()}
    least = min(costs["posthog"], costs["sentry_sdk"])
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {', '.join(peers)}; "
        f"{rounds} whole processes each, in milliseconds\n"
    )
    print("| tool | best | median | processor | costs (best) | of the cheaper peer |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, all in times.items():
        share = f"1/{least / costs[name]:.0f}" if name.startswith("abaculus") and costs[name] > 0 else ""
        median, processor = (statistics.median(column) for column in zip(*all, strict=True))
        print(f"| {name} | {best[name]:.1f} | {median:.1f} | {processor:.1f} | {costs[name]:.1f} | {share} |")


def uploads() -> None:
    """Prints what uploads cost."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: processes that their parents leave behind are ours
    print("| server | runs | processes | requests | processor time of uploads | left waiting |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, answer in (("stores", stores), ("fails", fails)):
        for runs in (100, 1000):
            with tempfile.TemporaryDirectory() as scratch, server(answer) as found:
                tool = Path(scratch) / "tool.py"
                tool.write_text(ABACULUS.format(url=f"http://127.0.0.1:{found.port}"), encoding="utf-8")
                environment = {"PATH": os.environ["PATH"], "HOME": scratch, "XDG_STATE_HOME": scratch}
                environment |= {"MY_TOOL_TELEMETRY": "1", "PYTHONPATH": str(CLIENT), "PYTHONDONTWRITEBYTECODE": "1"}
                for _ in range(runs):
                    once([sys.executable, str(tool)], environment)
                processes, seconds = 0, 0.0
                with contextlib.suppress(ChildProcessError):
                    while True:
                        _, _, used = os.wait4(-1, 0)
                        processes += 1
                        seconds += used.ru_utime + used.ru_stime
                waiting = len(list((Path(scratch) / "my-tool" / "telemetry" / "queue").glob("[0-9]*")))
            print(f"| {name} | {runs:,} | {processes} | {found.requests} | {seconds:.1f} s | {waiting} |")


def wait_for_upload(lock: Path) -> None:
    """Until the process that the run started has ended: the next measurement shall not share the machine with it."""
    import fcntl

    with lock.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def main() -> None:
    parser = argparse.ArgumentParser(description="What telemetry costs.")
    parser.add_argument("part", nargs="*", choices=["runs", "uploads"], default=["runs", "uploads"])
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    if "runs" in arguments.part:
        compare(arguments.rounds)
        print()
    if "uploads" in arguments.part:
        uploads()


if __name__ == "__main__":
    main()
