"""Sends what waits: in a process of its own, or for `telemetry flush`. The only module that knows the network.

A file is removed when the server has said 201 or 304 for its session, and not before. When this process dies between
the two, the session is sent again under the same id, and counts once.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.request
from typing import Any

from abaculus import consent, detach, queue, state

__all__ = ["Upload", "main"]

BATCH = 100  # sessions a request
BATCH_BYTES = 1 << 20
FAILURES = 5  # a run
GIVE_UP = 30 * 86_400.0  # seconds
LONGEST_WAIT = 86_400.0  # that a server can ask for
PATIENCE = 10.0  # seconds without a byte from the server
LIFETIME = 120.0  # of the process, whatever hangs
ASIDE = 50  # refused sessions that are kept
LEFTOVER = 86_400.0  # after which a half-written file is nobody's any more


class Upload:
    """One upload of what waits in a directory. `counts` says what became of it, `said` why it ended early."""

    def __init__(self, directory: str, endpoint: str, leave: str = "") -> None:
        self.directory = directory
        self.url = f"{endpoint}/v1/sessions"
        self.leave = leave
        self.counts = dict.fromkeys(queue.COUNTS, 0)
        self.failures = 0
        self.failed: set[str] = set()
        self.said = ""
        self.over = False
        # No handler for redirects: a session goes where the tool's user was told it goes. The system's proxy for https
        # is used, which sees the server's name and nothing else; certificates are verified.
        proxies = {name: url for name, url in urllib.request.getproxies().items() if name == "https"}
        self.opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.UnknownHandler(),
        ):
            self.opener.add_handler(handler)

    def run(self) -> None:
        """Sends all, in random order, so that no file stands before the others for ever."""
        self._tidy()
        names = [name for name in queue.names(self.directory) if name != self.leave]
        random.shuffle(names)
        batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
        while batches and not self.over:
            batch: list[str] = []
            lines: list[bytes] = []
            total = 0
            todo = batches.pop()
            for position, name in enumerate(todo):
                line = self._line(name)
                if line is None:
                    continue
                if batch and total + len(line) > BATCH_BYTES:
                    batches.append(todo[position:])
                    break
                batch.append(name)
                lines.append(line)
                total += len(line)
            if batch and not self._send(batch, lines) and len(batch) > 1:
                # One of them may be what breaks the request: the halves tell.
                batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        for name in self.failed:
            self._keep(name)
        queue.count(self.directory, **self.counts)

    def _line(self, name: str) -> bytes | None:
        """The session of a file; None when it is gone, or is no session, as after a power cut."""
        try:
            with open(queue.path(self.directory, name), "rb") as file:
                line = file.read(queue.SESSION_BYTES + 1)
            whole = json.loads(line)["sessionId"] == queue.session_id(name) and b"\n" not in line
        except OSError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            self._aside(name, "not a whole session; it was not sent")
            return None
        return line

    def _send(self, batch: list[str], lines: list[bytes]) -> bool:
        """Sends a batch and does with each file what the answer says; False when nothing of it was accepted."""
        status, headers, answer = self._ask(b"".join(line + b"\n" for line in lines))
        if status == 410:
            self._retire(_message(answer))
        elif status == 200 and (results := _results(answer, batch)) is not None:
            self.failed.difference_update(batch)
            for name, result in zip(batch, results, strict=True):
                self._settle(name, result)
            if any(result.get("status") in (429, 503) for result in results):
                self._wait(headers)
        elif status in (400, 413) and len(batch) == 1:
            self._aside(batch[0], f"{status} {_message(answer)}")
        else:
            if status in (429, 503):
                self._wait(headers)
            self._fail(batch, status, _message(answer))
            return False
        return True

    def _ask(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The answer's status, headers and body; status 0 and the reason when there was none."""
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "User-Agent": "abaculus"}
        request = urllib.request.Request(  # noqa: S310 (`usable` lets https pass, and http on loopback)
            self.url, gzip.compress(body, mtime=0), headers, method="POST"
        )
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read(4 << 20)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            return 0, http.client.HTTPMessage(), f"no answer: {why}".encode("utf-8", "replace")

    def _settle(self, name: str, result: dict[str, Any]) -> None:
        status, why = result.get("status"), result.get("error")
        message = _message(json.dumps(why).encode()) if why else ""
        if status in (201, 304):
            state.log(self.directory, f"{status}  {queue.session_id(name)}")
            state.remove(queue.path(self.directory, name))
            self.counts["sent"] += 1
        elif status in (400, 413):
            self._aside(name, f"{status} {message}")
        elif status == 410:
            self._retire(message)
        else:
            self.failed.add(name)

    def _fail(self, batch: list[str], status: int, message: str) -> None:
        self.failures += 1
        self.failed.update(batch)
        self.said = f"{status} {message}" if status else message
        state.log(self.directory, f"failed  {len(batch)} sessions: {self.said}")
        if self.failures >= FAILURES:
            self.over = True
            self.counts["stopped"] += 1

    def _keep(self, name: str) -> None:
        """Leaves a session for a later run, unless it has waited long enough."""
        if queue.age(name, time.time()) < GIVE_UP:
            self.counts["failed"] += 1
        elif state.remove(queue.path(self.directory, name)):
            state.log(self.directory, f"given up  {queue.session_id(name)}")
            self.counts["givenUp"] += 1

    def _aside(self, name: str, why: str) -> None:
        aside = os.path.join(self.directory, "aside")
        id = queue.session_id(name)
        self.failed.discard(name)
        try:
            state.write(os.path.join(aside, f"{id}.answer"), why.encode("utf-8", "replace"))
            os.replace(queue.path(self.directory, name), os.path.join(aside, f"{id}.json"))
        except OSError:
            return  # deleted meanwhile by `telemetry off`, or there is no room: a later run looks again
        state.log(self.directory, f"refused  {id}  {why}")
        self.counts["refused"] += 1
        answers = [entry for entry in os.scandir(aside) if entry.name.endswith(".answer")]
        for entry in sorted(answers, key=lambda one: one.stat().st_mtime_ns)[:-ASIDE]:
            state.remove(entry.path)
            state.remove(entry.path.removesuffix(".answer") + ".json")

    def _retire(self, message: str) -> None:
        state.log(self.directory, f"410  {message}; nothing is recorded or sent any more")
        consent.remember(self.directory, "retired")
        self.said, self.over = f"410 {message}", True
        self.failed.clear()

    def _wait(self, headers: http.client.HTTPMessage) -> None:
        """Ends this run, and keeps later ones from starting before the time that the server names."""
        self.over = True
        seconds = _seconds(headers.get("Retry-After", ""))
        if seconds is None:
            return
        path = os.path.join(self.directory, "retry")
        moment = time.time() + min(seconds, LONGEST_WAIT - 1)
        try:
            state.write(path, b"")
            os.utime(path, (moment, moment))
        except OSError:
            pass

    def _tidy(self) -> None:
        state.remove(os.path.join(self.directory, "retry"))
        for place in (self.directory, os.path.join(self.directory, "queue"), os.path.join(self.directory, "aside")):
            if os.path.isdir(place):
                for entry in os.scandir(place):
                    if entry.name.startswith(".") and time.time() - entry.stat().st_mtime > LEFTOVER:
                        state.remove(entry.path)


def _results(answer: bytes, batch: list[str]) -> list[dict[str, Any]] | None:
    """The result of each session of a batch; None when the answer is not one to it, but some gateway's page."""
    try:
        results = json.loads(answer)["results"]
        if [result["line"] for result in results] != list(range(1, len(batch) + 1)):
            return None
        for name, result in zip(batch, results, strict=True):
            if result["status"] in (201, 304) and result["sessionId"] != queue.session_id(name):
                return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return list(results)


def _message(answer: bytes) -> str:
    """What an answer says, in one short line that can do a terminal no harm."""
    try:
        said = json.loads(answer)
        faults = [str(fault.get("message", "")) for fault in said.get("validationErrors", [])[:3]]
        text = "; ".join([str(said.get("message", "")), *faults])
    except (ValueError, AttributeError, TypeError, RecursionError):
        text = answer.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300].strip()


def _seconds(text: str) -> float | None:
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    import email.utils

    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def main(arguments: list[str]) -> None:
    """The process: `DIRECTORY ENDPOINT LEAVE`, the lock held through an inherited descriptor."""
    directory, endpoint, leave = arguments
    try:
        if hasattr(os, "setsid"):
            try:
                os.setsid()
            except OSError:
                pass  # it was started as the leader already
            os.chdir("/")  # a directory that the tool's user may want to delete or unmount
            if leave:
                os.nice(10)  # only where no run waits for it, as it does in CI
        killer = threading.Timer(LIFETIME, os._exit, (1,))
        killer.daemon = True
        killer.start()
        if sys.platform == "win32" and detach.lock(directory) is None:
            return
        Upload(directory, endpoint, leave).run()
    except Exception as error:
        try:
            state.log(directory, f"stopped  {type(error).__name__}: {error}")
        except OSError:
            pass  # nobody is left to be told
