"""What differs between systems, tried with Python alone: ci.yml runs this on Windows and macOS, a test runs it here.

python tests/client/systems.py
"""

import gzip
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "ingest" / "client"
TOOL = """
import sys
from abaculus import Telemetry
telemetry = Telemetry("my-tool", version="1", endpoint="", upload=sys.argv[2])
with telemetry.session() as session:
    session.environment()
sys.exit(int(sys.argv[1]))
"""
COMMAND = """
import sys
from abaculus import Telemetry
sys.exit(Telemetry("my-tool", version="1", endpoint="").command(sys.argv[1:]))
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Stores everything."""

    sent: list[dict[str, object]] = []

    def do_POST(self) -> None:
        """Answers a batch as the function does."""
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        sessions = [json.loads(line) for line in body.splitlines()]
        self.sent.extend(sessions)
        results = [{"line": at, "sessionId": one["sessionId"], "status": 201} for at, one in enumerate(sessions, 1)]
        answer = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Ends with an AssertionError where something is not as it should be."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        home = Path(scratch).resolve()
        place = {
            "win32": home / "AppData" / "Local",
            "darwin": home / "Library" / "Application Support",
        }.get(sys.platform, home / ".local" / "state")
        state = place / "my-tool" / "telemetry"
        left_out = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "XDG_STATE_HOME", "DO_NOT_TRACK")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        environment |= {
            "HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home / "AppData" / "Local"),
            "PYTHONPATH": str(CLIENT), "MY_TOOL_TELEMETRY": "1",
            "MY_TOOL_TELEMETRY_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        }  # fmt: skip

        def run(code: str, *arguments: str) -> tuple[int, str]:
            command = [sys.executable, "-c", code, *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=300)
            assert done.stderr == "", done.stderr
            return done.returncode, done.stdout

        def waiting() -> list[Path]:
            return sorted((state / "queue").glob("[0-9]*.json"))

        assert run(TOOL, "3", "later")[0] == 3
        (first,) = waiting()
        assert json.loads(first.read_bytes())["attributes"]["exitCode"] == 3
        began, rest = first.name.split("-", 1)
        first.rename(first.with_name(f"{int(began) - 4_000_000:015d}-{rest}"))
        assert run(TOOL, "0", "later")[0] == 0
        end = time.monotonic() + 300
        while len(waiting()) != 1:
            log = state / "log"
            assert time.monotonic() < end, log.read_text(encoding="utf-8") if log.exists() else "nothing in the log"
            time.sleep(0.05)
        assert len(Handler.sent) == 1
        # On a busy machine the first process may still send, or the two seconds of a run may be too few.
        runs = 2
        while runs == 2 or (waiting() and runs < 20):
            assert run(TOOL, "0", "inline")[0] == 0
            runs += 1
        assert (len(Handler.sent), waiting()) == (runs, [])
        code, said = run(COMMAND, "status", "--json")
        assert (code, json.loads(said)["on"]) == (0, True)
        assert run(COMMAND, "off")[0] == 0
        environment["MY_TOOL_TELEMETRY"] = ""
        assert run(TOOL, "0", "later")[0] == 0
        assert waiting() == []
    server.shutdown()
    print(f"the client works on {sys.platform}")


if __name__ == "__main__":
    main()
