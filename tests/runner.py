"""What a runner gives to a step, and as much of GitHub's API as the workflows ask for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

__all__ = ["ROOT", "Done", "Fault", "GitHub", "Runner", "documents", "steps"]

ROOT = Path(__file__).parent.parent
FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")


@cache
def documents() -> dict[str, dict[str, Any]]:
    """Every workflow and every action by its path below .github/."""
    found = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]
    return {
        str(path.relative_to(ROOT / ".github")): yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
        for path in found
    }


def steps(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a workflow's jobs, or of an action."""
    for job in document["jobs"].values() if "jobs" in document else [document["runs"]]:
        yield from job.get("steps", [])


@dataclass
class Done:
    """What a step left behind."""

    code: int
    log: str
    files: dict[str, str]

    def outputs(self, file: str = "GITHUB_OUTPUT") -> dict[str, str]:
        """Name and value of what it said to the steps to come."""
        return dict(line.split("=", 1) for line in self.files[file].splitlines())


@dataclass
class Runner:
    """Runs steps in bash as a runner does, in a checkout, with files that are empty before each."""

    temp: Path
    checkout: Path = ROOT
    # As of a push or a press of the button; on a schedule there is less in it.
    payload: dict[str, Any] = field(default_factory=lambda: {"repository": {"default_branch": "main"}})
    environment: dict[str, str] = field(default_factory=dict)

    def step(self, file: str, name: str, **environment: str) -> Done:
        """Runs the step of that name (or id) of a workflow or an action. Fails if there is none, or more than one."""
        (found,) = [one for one in steps(documents()[file]) if name in (one.get("name"), one.get("id"))]
        assert found.get("shell") == "bash", "the default shell has no pipefail"
        action = {"GITHUB_ACTION_PATH": str(ROOT / ".github" / Path(file).parent)}
        return self.bash(found["run"], **action if file.startswith("actions/") else {}, **environment)

    def bash(self, script: str, **environment: str) -> Done:
        """Runs a script as a step."""
        self.temp.mkdir(parents=True, exist_ok=True)
        paths = {name: self.temp / name.lower() for name in FILES}
        for path in paths.values():
            path.write_text("", encoding="utf-8")
        (self.temp / "step.sh").write_text(script, encoding="utf-8")
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.payload), encoding="utf-8")
        given = {
            "GITHUB_ACTIONS": "true", "CI": "true", "RUNNER_TEMP": str(self.temp), "HOME": str(self.temp),
            "GITHUB_REPOSITORY": "me/my-tool", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "me", "GITHUB_WORKFLOW": "report", "GITHUB_TOKEN": "token",
            "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": "c" * 40, "GITHUB_EVENT_PATH": str(event),
            "GITHUB_JOB": "job",
            "ABACULUS_DEMO_SESSIONS": "600",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        # How this machine reaches packages.
        ways = ("UV_", "PIP_", "SSL_", "REQUESTS_", "NPM_", "npm_")
        kept = {name: value for name, value in os.environ.items() if name.startswith(ways)}
        files = {name: str(path) for name, path in paths.items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(self.temp / "step.sh")],
            cwd=self.checkout, env=kept | given | files | self.environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=300,
        )  # fmt: skip
        return Done(
            done.returncode, done.stdout, {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
        )


@dataclass
class Fault:
    """What the next requests of a kind ("POST /issues", an expression) are answered: 0 is no answer at all.

    With `done`, the request is carried out and its answer lost.
    """

    request: str
    status: int
    times: int = 1
    done: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class GitHub:
    """A server that answers as GitHub's API does for one repository, and as its live site."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.comments: list[tuple[int, str]] = []
        self.dispatched: list[tuple[str, Any]] = []
        self.enabled: list[str] = []
        # Workflow -> its state, where it is not active.
        self.states: dict[str, str] = {}
        self.private = False
        self.faults: list[Fault] = []
        self.asked_for: list[str] = []
        self.stamp: dict[str, Any] | None = None
        self.site: Path | None = None
        self.pages: dict[str, Any] | None = {"build_type": "workflow"}
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.has_issues = True
        self.created = datetime.now(UTC) - timedelta(days=9)
        self.url = ""
        self.stopped = Event()

    @contextmanager
    def running(self) -> Iterator["GitHub"]:
        """Serves on a free port of loopback."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer("GET")

            def do_POST(self) -> None:
                self.answer("POST")

            def do_PUT(self) -> None:
                self.answer("PUT")

            def do_PATCH(self) -> None:
                self.answer("PATCH")

            def answer(self, method: str) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content, headers = api.faulty(method, self.path, json.loads(sent) if sent else {})
                if status == 0:
                    api.stopped.wait(10)  # longer than anybody waits
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if content is None else json.dumps(content).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def faulty(self, method: str, path: str, sent: Any) -> tuple[int, Any, dict[str, str]]:
        """As `asked`, with the next fault of this request in its place; and headers."""
        request = f"{method} {path.partition('?')[0].removeprefix('/repos/me/my-tool')}"
        self.asked_for.append(request)
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.request, request):
                fault.times -= 1
                if fault.done:
                    self.asked(method, path, sent)
                return fault.status, {"message": f"a fault {fault.status}"}, fault.headers
        return *self.asked(method, path, sent), {}

    def asked(self, method: str, path: str, sent: Any) -> tuple[int, Any]:
        """Status and content of an answer."""
        path, _, query = path.partition("?")
        path = path.removeprefix("/repos/me/my-tool")
        match method, path.split("/")[1:]:
            case "GET", ["site", "abaculus-build.json"] if self.site:
                return 200, json.loads((self.site / "abaculus-build.json").read_text(encoding="utf-8"))
            case "GET", ["site", "abaculus-build.json"]:
                return (404, None) if self.stamp is None else (200, self.stamp)
            case "GET", ["pages"]:
                return (404, None) if self.pages is None else (200, self.pages | {"html_url": f"{self.url}/site/"})
            case _, ["issues", *_] if not self.has_issues:
                return 410, {"message": "Issues are disabled for this repo"}
            case "GET", ["issues"]:
                page = int(
                    re.fullmatch(r"state=open&creator=github-actions%5Bbot%5D&per_page=100&page=(\d+)", query)[1]
                )
                found = [one for one in reversed(self.issues) if one["state"] == "open"]
                return 200, found[100 * (page - 1) : 100 * page]
            case "POST", ["issues"]:
                number = len(self.issues) + 1
                made = {"number": number, "state": "open", "html_url": f"{self.url}/{number}", "updated_at": _now()}
                made |= {"title": sent["title"], "body": sent["body"]}
                self.issues.append(made | {"labels": [{"name": name} for name in sent["labels"]]})
                return 201, self.issues[-1]
            case "PATCH", ["issues", number]:
                self.issues[int(number) - 1] |= sent
                return 200, self.issues[int(number) - 1]
            case "POST", ["issues", number, "comments"]:
                self.comments.append((int(number), sent["body"]))
                return 201, {}
            case "POST", ["actions", "workflows", file, "dispatches"] if self.states.get(file, "").startswith(
                "disabled"
            ):
                return 422, {"message": "Cannot trigger a 'workflow_dispatch' on a disabled workflow"}
            case "POST", ["actions", "workflows", file, "dispatches"]:
                self.dispatched.append((file, sent))
                return 204, None
            case "PUT", ["actions", "workflows", file, "enable"]:
                self.enabled.append(file)
                return 204, None
            case "GET", ["actions", "workflows", file, "runs"]:
                assert query == "event=schedule&per_page=1"
                return 200, {"workflow_runs": self.runs.get(file, [])}
            case "GET", ["actions", "workflows", file]:
                state = self.states.get(file, "active")
                return 200, {"created_at": f"{self.created:%Y-%m-%dT%H:%M:%SZ}", "state": state}
            case "GET", []:
                return 200, {"private": self.private}
        return 404, {"message": "Not Found"}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
