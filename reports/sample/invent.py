"""Generates sessions of any application from its registry file alone, for the pages of a new project. They say nothing
about a tool. Cairn's sessions, which have a story, are in cairn_sessions.py.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from ingest.function.registry import Application, Field
from ingest.function.session_format import timestamp

__all__ = ["releases", "sessions"]

DAYS = 200
VERSIONS = ("1.0.0", "1.1.0", "1.1.1", "1.2.0", "2.0.0")
# The facts of a person that do not change between runs.
LASTING = {
    "os",
    "os_version",
    "arch",
    "shell",
    "terminal",
    "ci",
    "ci_system",
    "runtime",
    "container_engine",
    "install_channel",
    "project_size",
}
FAILS = 0.06


def releases(end: datetime) -> list[tuple[str, datetime]]:
    """Versions with their release dates, the oldest first."""
    start = end - timedelta(days=DAYS)
    return [(version, start + timedelta(days=DAYS * at / len(VERSIONS))) for at, version in enumerate(VERSIONS)]


def sessions(application: Application, count: int, *, users: int, seed: int, end: datetime) -> Iterator[dict[str, Any]]:
    """Sessions of so many people, up to `end`. The same seed and end give the same sessions."""
    rng = Random(f"{application.id} {seed}")
    people = [_Person(application, Random(rng.random()), end) for _ in range(users)]
    # Some run the tool all day, most only sometimes.
    weights = [rng.paretovariate(1.2) for _ in people]
    for person in rng.choices(people, weights, k=count):
        yield person.session(rng)


class _Person:
    def __init__(self, application: Application, rng: Random, end: datetime) -> None:
        self.application = application
        self.id = _uuid(rng)
        self.end = end
        self.began = end - timedelta(days=rng.triangular(1, DAYS, DAYS / 3))
        # How long this person takes to update.
        self.lag = timedelta(days=rng.expovariate(1 / 20))
        fields = application.attributes.values()
        self.lasting = {field.name: _value(field, rng, end) for field in fields if field.role in LASTING}

    def session(self, rng: Random) -> dict[str, Any]:
        """One run."""
        start = self.began + (self.end - self.began) * rng.random()
        length = timedelta(seconds=min(rng.lognormvariate(1, 1.4), 3600))
        failed = rng.random() < FAILS
        made = {
            "sessionId": _uuid(rng),
            "userId": self.id,
            "sessionStartTime": timestamp(start),
            "sessionEndTime": timestamp(start + length),
            "applicationId": self.application.id,
            "applicationVersion": [v for v, out in releases(self.end) if out <= max(start - self.lag, self.began)][-1],
            "attributes": self._attributes(rng, start, failed),
        }
        events = [
            {
                "type": kind.name,
                "time": timestamp(start + length * rng.random()),
                **_carried(kind.attributes, rng, start),
            }
            for kind in self.application.events.values()
            if not kind.removed and rng.random() < 0.2
        ]
        spans = []
        for kind in self.application.spans.values():
            if not kind.removed and rng.random() < 0.8:
                at, for_ = length * rng.random() * 0.5, length * rng.random() * 0.5
                times = {"startTime": timestamp(start + at), "endTime": timestamp(start + at + for_)}
                spans.append({"type": kind.name, **times, **_carried(kind.attributes, rng, start)})
        return made | {"events": events, "spans": spans}

    def _attributes(self, rng: Random, start: datetime, failed: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in self.application.attributes.values():
            if not field.current or (field.role == "failure_reason" and not failed):
                continue
            if field.role == "exit_code":
                found[field.name] = rng.choice((1, 1, 1, 2, 130)) if failed else 0
            else:
                found[field.name] = self.lasting.get(field.name) or _value(field, rng, start)
        return {name: value for name, value in found.items() if value is not None}


def _carried(fields: Mapping[str, Field], rng: Random, start: datetime) -> dict[str, Any]:
    found = {field.name: _value(field, rng, start) for field in fields.values() if field.current}
    return {"attributes": {name: value for name, value in found.items() if value is not None}}


def _value(field: Field, rng: Random, moment: datetime) -> Any:
    """A value that the registry allows, or None."""
    match field.type:
        case "boolean":
            # The share of true values depends on the name, so that columns differ. Build servers are rare.
            return rng.random() < (0.05 if field.role == "ci" else (sum(field.name.encode()) % 7 + 1) / 9)
        case "integer":
            return round(rng.lognormvariate(2, 0.8))
        case "number":
            return round(rng.lognormvariate(2, 0.6), 2)
        case "timestamp":
            return timestamp(moment - timedelta(hours=rng.expovariate(1 / 40)))
    if field.values is not None:
        # The first is the most frequent, as in most lists.
        return rng.choices(field.values, [1 / (at + 1) for at in range(len(field.values))])[0]
    # A pattern cannot generate a value, but the example is a valid one. Free text stays absent.
    if field.pattern is not None and field.example and re.fullmatch(field.pattern, field.example):
        return field.example
    return None


def _uuid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))
