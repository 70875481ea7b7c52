"""GitHub's API for this repository, and messages of a step in its log and its summary."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["BOT", "PATIENCE", "PAUSE", "TIMEOUT", "TRIES", "Answer", "Unsure", "api", "fail", "run", "say", "web"]

BOT = "github-actions[bot]"
# How long to wait for late results, such as a site that Pages reports, and the time between two checks.
PATIENCE = float(os.environ.get("WATCH_SECONDS", "300"))
PAUSE = min(10.0, PATIENCE / 10)
TIMEOUT = float(os.environ.get("WATCH_TIMEOUT", "30"))
TRIES = 4
# Status of GitHub's answer -> its meaning here. GitHub's own message is added.
MEANINGS = {
    401: "the workflow's token is not valid",
    403: "the workflow's token may not do this; compare `permissions` of your workflow file with a new project's",
    404: "there is no such thing, or the workflow's token may not see it",
    410: "this is switched off",
    422: "GitHub does not accept the request",
    429: "too many requests",
}


@dataclass(frozen=True)
class Answer:
    """What GitHub answered. Status 0 means that there was no answer."""

    status: int
    content: Any
    reason: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def __str__(self) -> str:
        """The answer for people: the status, GitHub's own message, and its meaning."""
        if self.status == 0:
            return f"GitHub did not answer ({self.reason})"
        meaning = MEANINGS.get(self.status, "GitHub has a fault; see its status page" if self.status >= 500 else "")
        return ": ".join(part for part in (f"GitHub answered {self.status}", self.reason, meaning) if part)


class Unsure(Exception):
    """Raised if the answer to a POST was lost. GitHub may have done it."""


def api(method: str, path: str, content: dict[str, Any] | None = None) -> Answer:
    """Sends a request, and repeats it after a fault of GitHub or of the network. It sends a POST only once, because
    GitHub could do it twice. Raises `Unsure` if it is not known whether GitHub did it.
    """
    found = _ask(method, path, content)
    for turn in range(1, TRIES):
        if not _passing(found[0]) or method == "POST":
            break
        time.sleep(min(PATIENCE, max(PAUSE * turn, found[1])))
        found = _ask(method, path, content)
    if method == "POST" and (found[0].status == 0 or found[0].status >= 500):
        raise Unsure(str(found[0]))
    return found[0]


def _ask(method: str, path: str, content: dict[str, Any] | None) -> tuple[Answer, float]:
    """One request: its answer, and the seconds after which GitHub accepts another try."""
    url = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}{path}"
    headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, headers | {"X-GitHub-Api-Version": "2022-11-28"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read()
            return Answer(answer.status, json.loads(text) if text else {}), 0
    except urllib.error.HTTPError as error:
        wait = error.headers.get("Retry-After", "")
        limited = bool(wait) or error.headers.get("X-RateLimit-Remaining") == "0"
        # A limit comes as 403, too.
        status = 429 if error.code == 403 and limited else error.code
        return Answer(status, {}, _reason(error)), float(wait) if wait.isdigit() else 0
    except (OSError, ValueError) as error:  # no connection, no answer in time, no JSON
        return Answer(0, {}, str(getattr(error, "reason", error))), 0


def _reason(error: urllib.error.HTTPError) -> str:
    """GitHub's own message, in one line."""
    try:
        message = json.loads(error.read())["message"]
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    return " ".join(str(message).split())[:200]


def _passing(answer: Answer) -> bool:
    """Whether the same request may get another answer later."""
    return answer.status in (0, 429) or answer.status >= 500


def web(path: str) -> str:
    """A page of this repository."""
    return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/{path}"


def run() -> str:
    """The page of this run."""
    return web(f"actions/runs/{os.environ['GITHUB_RUN_ID']}")


def say(text: str) -> None:
    """Prints a message in the log and in the summary."""
    print(text)
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n\n")


def fail(title: str, text: str) -> NoReturn:
    """Prints a fault in the log, in the summary and beside the run, and ends the run."""
    say(f"{title}: {text}")
    print(f"::error title={title}::{text}")
    sys.exit(1)
