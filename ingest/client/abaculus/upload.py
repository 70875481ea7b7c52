"""Sends waiting sessions: in a process of its own, or for `telemetry flush`.

A file is removed only after the server has answered 201 or 304 for its session. If this process dies in between, the
session is sent again under the same id, and counts once. This is the only module that knows the network.
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
from typing import TYPE_CHECKING, Any

from abaculus import backoff, consent, detach, queue, state

if TYPE_CHECKING:
    from abaculus.tool import Tool

__all__ = ["Upload", "in_frozen_tool", "main"]

BATCH = 100  # sessions a request
BATCH_BYTES = 1 << 20
GIVE_UP = 30 * 86_400.0  # seconds
LIFETIME = 120.0  # of the process, in any case
ASIDE = 50  # refused sessions that are kept
LEFTOVER = 86_400.0  # after which nobody needs a partly written file
PATIENCE = 10.0  # seconds without a byte from the server
ANSWER_BYTES = 4 << 20


class Upload:
    """One upload of the waiting sessions in a directory. `counts` has its results, and `said` why it ended early."""

    def __init__(self, directory: str, endpoint: str, leave: str = "") -> None:
        self.directory = directory
        self.leave = leave
        self.counts = dict.fromkeys(queue.COUNTS, 0)
        self.left: set[str] = set()
        self.failed: set[str] = set()
        self.said = ""
        self.over = False
        self.transport = Transport(endpoint)

    def run(self) -> None:
        """Sends all sessions, in random order, so that no file blocks the others. The first failure ends it."""
        self._tidy()
        names = [name for name in queue.names(self.directory) if name != self.leave]
        self.left = set(names)
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
            if batch:
                batches += self._send(batch, lines)
        for name in self.failed:
            self._keep(name)
        queue.count(self.directory, **self.counts)

    def _line(self, name: str) -> bytes | None:
        """The session in a file. None if the file is gone, or damaged, for example by a power cut."""
        try:
            with open(queue.path(self.directory, name), "rb") as file:
                line = file.read(queue.SESSION_BYTES + 1)
            whole = json.loads(line)["sessionId"] == queue.session_id(name) and b"\n" not in line
        except OSError:
            self.left.discard(name)
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            self._aside(name, "not a complete session; it was not sent")
            return None
        return line

    def _send(self, batch: list[str], lines: list[bytes]) -> list[list[str]]:
        """Sends a batch and handles each file as the answer says. Sends smaller batches if the answer requires it."""
        status, headers, answer = self.transport.post(b"".join(line + b"\n" for line in lines))
        if status == 410:
            self._retire(_message(answer))
        elif status == 200 and (results := _results(answer, batch)) is not None:
            self.left.difference_update(batch)
            for name, result in zip(batch, results, strict=True):
                self._settle(name, result)
            if any(result.get("status") in (429, 503) for result in results):
                self._leave_alone(headers)
            else:
                backoff.clear(self.directory)
        elif status == 413 or (status == 400 and _is_of_function(answer)):
            # It cannot accept one of them, and the halves show which.
            if len(batch) > 1:
                return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            self._aside(batch[0], f"{status} {_message(answer)}")
        else:
            self._leave_alone(headers if status in (429, 503) else None)
            self.said = f"{status} {_message(answer)}" if status else _message(answer)
            state.log(self.directory, f"failed  {_sessions(len(batch))}: {self.said}")
            self.failed |= self.left
            self.counts["stopped"] += 1
        return []

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
        self.left.discard(name)
        try:
            state.write(os.path.join(aside, f"{id}.answer"), why.encode("utf-8", "replace"))
            os.replace(queue.path(self.directory, name), os.path.join(aside, f"{id}.json"))
        except OSError:
            return  # deleted meanwhile by `telemetry off`, or the disk is full: a later run tries again
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

    def _leave_alone(self, headers: http.client.HTTPMessage | None) -> None:
        """Ends this upload. The next one may start at the time that the server names, or after a pause that grows with
        each failure in a row.
        """
        self.over = True
        failures = backoff.failures(self.directory) + 1
        seconds = _seconds(headers.get("Retry-After", "")) if headers is not None else None
        if seconds is None:
            backoff.put_off(self.directory, backoff.delay(failures, random.random()), failures)  # noqa: S311
        else:
            backoff.put_off(self.directory, seconds, failures, asked=True)

    def _tidy(self) -> None:
        for place in (self.directory, os.path.join(self.directory, "queue"), os.path.join(self.directory, "aside")):
            if os.path.isdir(place):
                for entry in os.scandir(place):
                    if entry.name.startswith(".") and time.time() - entry.stat().st_mtime > LEFTOVER:
                        state.remove(entry.path)


def _results(answer: bytes, batch: list[str]) -> list[dict[str, Any]] | None:
    """The result of each session of a batch. None if the answer comes from a gateway and not from the function."""
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


def _is_of_function(answer: bytes) -> bool:
    """Whether an error comes from the function, and not from a gateway."""
    try:
        return isinstance(json.loads(answer).get("message"), str)
    except (ValueError, AttributeError, RecursionError):
        return False


def _sessions(number: int) -> str:
    return f"{number} session{'' if number == 1 else 's'}"


def _message(answer: bytes) -> str:
    """The message of an answer, in one short line that is harmless for a terminal."""
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


class Transport:
    """Posts batches to one address."""

    def __init__(self, endpoint: str) -> None:
        self.url = f"{endpoint}/v1/sessions"
        self.proxy = _proxy()
        # No handler for redirects, so that a session goes only to the address that the tool names. A proxy only
        # connects, and sees only the server's name. Certificates are verified.
        self.opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler({"https": self.proxy} if self.proxy else {}),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.UnknownHandler(),
        ):
            self.opener.add_handler(handler)

    def post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The status, headers and body of the answer. Without an answer, status 0 and the reason."""
        scheme = self.proxy.partition("://")[0].lower() if "://" in self.proxy else "http"
        if self.url.startswith("https:") and scheme not in ("http", "https"):
            return 0, http.client.HTTPMessage(), f"no answer: a {scheme} proxy, and only http ones can be used".encode()
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "User-Agent": "abaculus"}
        request = urllib.request.Request(  # noqa: S310 (`tool.usable` lets https pass, and http on loopback)
            self.url, gzip.compress(body, mtime=0), headers, method="POST"
        )
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read(ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            return 0, http.client.HTTPMessage(), f"no answer: {why}".encode("utf-8", "replace")


def _proxy() -> str:
    """The system's proxy for https: HTTPS_PROXY, else ALL_PROXY, else the system's setting."""
    known = urllib.request.getproxies()
    return known.get("https") or known.get("all") or ""


def in_frozen_tool(tool: Tool, given: str) -> None:
    """In a process that `detach.start` started from a frozen tool: uploads, and ends the process."""
    leave, _, directory = given.partition("|")
    main([directory, tool.endpoint, leave])
    os._exit(0)


def main(arguments: list[str]) -> None:
    """The process: `DIRECTORY ENDPOINT LEAVE`, the lock held through an inherited descriptor."""
    directory, endpoint, leave = arguments
    try:
        if sys.platform != "win32":
            try:
                os.setsid()
            except OSError:
                pass  # it was started as the leader already
            os.chdir("/")  # leave the directory, which the user may want to delete or unmount
            if leave:
                os.nice(10)  # only if no run waits for it, as in CI
        elif detach.lock(directory) is None:
            return
        killer = threading.Timer(LIFETIME, os._exit, (1,))
        killer.daemon = True
        killer.start()
        Upload(directory, endpoint, leave).run()
    except Exception as error:
        try:
            state.log(directory, f"stopped  {type(error).__name__}: {error}")
        except OSError:
            pass  # nobody can read it any more
