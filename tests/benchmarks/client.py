"""What telemetry costs a run of a tool: whole processes side by side, with posthog and sentry_sdk set up for the same.

    python3 .ci/venv python tests/benchmarks/client.py [--rounds 40]

The tool does nothing; what is measured is all that a run takes longer. Each round starts every tool once, in another
order; the best of each are compared, because whatever else the machine does can only add. The peers are installed into
an environment of their own, from the package index, and send to a server of this machine that accepts everything. They
do so before a run ends, as they are made to.
"""

import argparse
import contextlib
import http.server
import os
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
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


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Accepts everything; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # For the client: an answer that is none, so that what waits goes on waiting.
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_port
        made.shutdown()


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


def main() -> None:
    parser = argparse.ArgumentParser(description="What telemetry costs a run of a tool.")
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch, server() as port:
        root = Path(scratch)
        venv.create(root / "venv", with_pip=True)
        python = str(root / "venv" / "bin" / "python")
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *PEERS]
        subprocess.run(install, check=True)
        listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
        peers = [line for line in listed.splitlines() if line.split("==")[0] in (*PEERS, "sentry_sdk")]
        # In the same environment, as an installed tool has it: compiled, and found among the other packages.
        package = Path(subprocess.check_output([python, "-c", "import posthog; print(posthog.__path__[0])"], text=True))
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
            (root / f"tool_{name}.py").write_text(text)
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


def wait_for_upload(lock: Path) -> None:
    """Until the process that the run started has ended: the next measurement shall not share the machine with it."""
    import fcntl

    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


if __name__ == "__main__":
    main()
