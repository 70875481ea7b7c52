"""Generates sessions of Cairn, a tool that does not exist, so that pages and tests have data.

The same arguments generate the same sessions. `Truths` has their true parameters, which tests compare with the results
of pages. ingest/applications/cairn.toml declares the fields. The format is the wire format of a session.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import inf, log
from random import Random
from typing import Any

from reports.sample.cairn_truths import (
    APPLICATION,
    ARM,
    CHANNELS,
    CI_COMMANDS,
    CI_WITH_OWN_DISKS,
    COMMANDS,
    DAY,
    DAY_OF_WEEK,
    ENGINES,
    EPOCH,
    EXCEPTIONS,
    HOUR,
    HOUR_OF_DAY,
    LAST_SPAN,
    LONGEST,
    MEMORY,
    MINUTE,
    OS_VERSIONS,
    REASONS,
    RUNTIMES,
    SECOND,
    STARTED_BY,
    STEPS,
    STYLES,
    TASK_EXIT_CODES,
    TERMINALS,
    TOPICS,
    USUAL,
    WEEK,
    Truths,
    Weights,
)

__all__ = ["APPLICATION", "Truths", "releases", "sessions"]


@dataclass(slots=True)
class _Installation:
    """A person or a CI pipeline: facts that do not change between runs, and installed versions."""

    id: str
    facts: dict[str, Any]
    projects: list[tuple[int, int]]  # tasks, containers
    weight: float  # runs, relative to others
    pace: float  # median lag of upgrades by hand, microseconds
    automated: bool
    release: int  # index into the releases
    joined: float = 0.0  # a share of all work, as in `_Calendar`; so is `left`
    left: float = 1.0
    odd: bool = False
    completion_from: float = inf
    buildkit_from: float = inf
    known: int = 0  # newest release that an update check found
    due: float = inf  # when the upgrade happens
    by_itself: bool = False
    checked: int = 0  # time of the last update check
    last: int = 0  # time of the run planned last


class _Calendar:
    """Working hours: maps a share of the work of all weeks to a time, in the same order."""

    def __init__(self, end: datetime, truths: Truths) -> None:
        self.begin = _micros(end) - truths.weeks * WEEK
        self.last = _micros(end) - LONGEST
        hours = range(self.begin, self.last, HOUR)
        self.work = [0.0, *accumulate(self._pace(hour, truths) for hour in hours)]

    def _pace(self, time: int, truths: Truths) -> float:
        days, hour = divmod(time // HOUR, 24)
        # Day 0 of the epoch was a Thursday.
        growth: float = (1 + truths.growth) ** ((time - self.begin) / WEEK)
        return HOUR_OF_DAY[hour] * DAY_OF_WEEK[(days + 3) % 7] * growth

    def time(self, share: float) -> int:
        work = share * self.work[-1]
        hour = min(bisect_right(self.work, work), len(self.work) - 1) - 1
        return self.begin + int((hour + (work - self.work[hour]) / (self.work[hour + 1] - self.work[hour])) * HOUR)


def releases(end: datetime, truths: Truths = USUAL) -> list[tuple[str, datetime]]:
    """Version and time of every release, oldest first. Three of them are older than the first session."""
    begin = end.astimezone(UTC) - timedelta(weeks=truths.weeks)
    days = range(truths.first_release - 3 * truths.release_interval, truths.weeks * 7, truths.release_interval)
    return [(f"1.{minor}.0", begin + timedelta(days=day)) for minor, day in enumerate(days)]


def sessions(
    count: int = 20_000, *, users: int = 2_000, seed: int = 0, end: datetime, truths: Truths = USUAL
) -> Iterator[dict[str, Any]]:
    """Yields `count` sessions of `users` people, ordered by start, in the weeks before `end` (which has a time zone).

    CI runs are among the `count`, but their user ids are not among the `users`. Everybody appears if there are at least
    as many sessions outside CI as people.
    """
    if users < 1:
        raise ValueError(f"users must be at least 1, got {users}")
    cairn = _Cairn(users, Random(seed), end, truths)
    plan = cairn.plan(count)
    helped = sum(time >= one.completion_from for time, one in plan)
    # The share of failures without completion that gives the requested share of all sessions.
    cairn.task_not_found = truths.task_not_found * count / max(1.0, count - truths.completion_effect * helped)
    for time, one in plan:
        yield cairn.session(one, time)


class _Cairn:
    """The tool with all its people, pipelines and releases."""

    def __init__(self, users: int, rng: Random, end: datetime, truths: Truths) -> None:
        self.rng = rng
        self.truths = truths
        self.calendar = _Calendar(end, truths)
        self.versions = [version for version, _ in releases(end, truths)]
        self.released = [_micros(time) for _, time in releases(end, truths)]
        self.bad = self.versions.index(truths.bad_release) if truths.bad_release in self.versions else -1
        self.quick = self.versions.index(truths.quick_release) if truths.quick_release in self.versions else inf
        self.automated_from = self.calendar.begin + truths.automated_week * WEEK
        self.task_not_found = truths.task_not_found
        self.people = [self.person(odd=number < truths.odd_engine_users) for number in range(users)]
        self.pipelines = [self.pipeline() for _ in range(max(1, users // 20))]

    def plan(self, count: int) -> list[tuple[int, _Installation]]:
        """The persons and times of all runs, in order."""
        in_ci = round(count * self.truths.ci_share)
        who = self.people[: count - in_ci]
        for group, runs in ((self.people, count - in_ci - len(who)), (self.pipelines, in_ci)):
            who += self.rng.choices(group, [one.weight * (one.left - one.joined) for one in group], k=runs)
        plan: list[tuple[int, _Installation]] = []
        for one in who:
            if one.last and self.rng.random() < self.truths.bursts:
                one.last = min(one.last + int(self.lasts(1200, 1.3)), self.calendar.last)
            else:
                one.last = self.calendar.time(self.rng.uniform(one.joined, one.left))
            plan.append((one.last, one))
        return sorted(plan, key=lambda run: run[0])

    def installation(self, system: str) -> _Installation:
        rng, truths = self.rng, self.truths
        tasks = [max(1, round(rng.lognormvariate(log(11), 0.8))) for _ in range(rng.choice((1, 1, 2, 3)))]
        return _Installation(
            id=_uuid(rng),
            facts={
                "osName": system,
                "osVersion": self.pick(OS_VERSIONS[system]),
                "cpuArchitecture": "arm64" if rng.random() < ARM[system] else "x86_64",
                "runtimeVersion": self.pick(RUNTIMES),
                "containerEngineVersion": self.pick(ENGINES),
                "engineMemoryGib": float(self.pick(MEMORY)),
                "usesCacheVolumes": rng.random() < 0.35,
                "usesIncludes": rng.random() < min(0.9, tasks[0] / 40),
            },
            projects=[(size, max(1, round(size * rng.lognormvariate(log(0.4), 0.5)))) for size in tasks],
            weight=rng.lognormvariate(0, truths.activity),
            pace=MINUTE
            if rng.random() < truths.prompt_share
            else self.lasts(truths.manual_lag * 86400, truths.manual_spread),
            automated=rng.random() < truths.automated_share,
            release=rng.choices((0, 1, 2), (0.2, 0.3, 0.5))[0],
        )

    def person(self, *, odd: bool) -> _Installation:
        rng, truths = self.rng, self.truths
        system = self.pick(truths.systems)
        shell = self.pick(truths.shells[system])
        one = self.installation(system)
        one.odd = odd
        channels = CHANNELS[system]
        one.facts |= {
            "shellName": shell,
            # From the id, because another random number here would change all later ones.
            "installedFrom": Random(one.id).choices(list(channels), list(channels.values()))[0],
            "terminalName": self.pick(TERMINALS[system]),
            "runningInCi": False,
            "ciSystem": None,
            "startedBy": self.pick(STARTED_BY) or None,
            "outputStyle": self.pick(STYLES),
        }
        if odd:
            one.facts["containerEngineVersion"] = truths.odd_engine
            one.weight = max(one.weight, 2.0)  # they run it often enough to notice
        if rng.random() >= truths.there_at_start:
            one.joined = rng.random()
            one.release = bisect_right(self.released, self.calendar.time(one.joined)) - 1  # the newest of that day
        if rng.random() < truths.leaving:
            one.left = rng.uniform(one.joined, 1)
        if rng.random() < truths.completion.get(shell, 0):
            one.completion_from = 0 if rng.random() < truths.completion_at_start else self.calendar.time(rng.random())
        one.buildkit_from = self.since(*truths.buildkit)
        return one

    def pipeline(self) -> _Installation:
        one = self.installation("Linux")
        one.facts |= dict.fromkeys(("shellName", "terminalName", "startedBy"))
        one.facts |= {"runningInCi": True, "ciSystem": self.pick(self.truths.ci_systems), "outputStyle": "simple"}
        one.facts["installedFrom"] = "install script"
        one.buildkit_from = self.since(*self.truths.buildkit)
        return one

    def since(self, first: float, last: float) -> float:
        """The time from which somebody has a feature that spreads from the share `first` to the share `last`."""
        share = self.rng.random()
        if share < first:
            return 0
        return self.calendar.time((share - first) / (last - first)) if share < last else inf

    def pick(self, weights: Weights) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def lasts(self, seconds: float, sigma: float, most: float = inf) -> float:
        """A skewed duration in microseconds, by its median."""
        return min(self.rng.lognormvariate(log(seconds), sigma), most) * SECOND

    def update(self, one: _Installation, time: int) -> bool:
        """Checks for a newer release once a day, and upgrades at the time for this person. Returns whether it
        looked.
        """
        looked = time - one.checked >= DAY
        if looked:
            one.checked = time
            newest = bisect_right(self.released, time) - 1
            if newest > max(one.known, one.release):
                one.known = newest
                by_itself = one.automated and self.released[newest] >= self.automated_from
                if by_itself:
                    due = self.released[newest] + self.lasts(self.truths.automated_lag * 86400, 1.0)
                else:
                    due = time + one.pace * self.rng.lognormvariate(0, 0.5)
                if due < one.due:
                    one.due, one.by_itself = due, by_itself
        if time >= one.due:
            one.release, one.due = one.known, inf
        return looked

    def session(self, one: _Installation, time: int) -> dict[str, Any]:
        rng, truths = self.rng, self.truths
        ci = one.facts["runningInCi"]
        interactive = not ci and rng.random() < 0.96
        completion = time >= one.completion_from
        events: list[dict[str, Any]] = []

        def happened(kind: str, **attributes: Any) -> None:
            moment = _stamp(time + (1 + len(events)) * 30_000)
            events.append({"type": kind, "time": moment, "attributes": attributes})

        before = one.release
        looked = self.update(one, time)
        upgraded = one.release > before and not ci
        if upgraded:
            happened("Upgraded", previousVersion=self.versions[before], automated=one.by_itself)
        elif looked and interactive and one.known > one.release:
            happened("UpdateNoticeShown", newVersion=self.versions[one.known])

        reason = None
        if rng.random() < self.task_not_found * (1 - truths.completion_effect * completion):
            command, reason = "run", "TaskNotFound"
            if rng.random() < 0.7:
                happened("TaskSuggestionShown", suggestionCount=rng.choice((1, 1, 1, 2, 3)))
        elif upgraded and not one.by_itself:
            command = "upgrade"
        else:
            command = self.pick(CI_COMMANDS if ci else COMMANDS)
            if command == "run":
                reason = self.failure(one)
                if reason in EXCEPTIONS:
                    happened("ExceptionRaised", exceptionType=EXCEPTIONS[reason])
            elif command == "help":
                happened("HelpShown", topic=self.pick(TOPICS))

        tasks, containers = project = one.projects[int(rng.random() ** 2 * len(one.projects))]
        builder = "buildkit" if time >= one.buildkit_from else "legacy"
        spans, end = self.spans(one, time, command, reason, project, builder)
        end = max(end, time + (1 + len(events)) * 30_000)  # a short run with many spans
        loaded = bool(spans) and reason != "ConfigurationInvalid"
        return {
            "sessionId": _uuid(rng),
            "userId": _uuid(rng) if ci and one.facts["ciSystem"] not in CI_WITH_OWN_DISKS else one.id,
            "sessionStartTime": _stamp(time),
            "sessionEndTime": _stamp(end),
            "applicationId": APPLICATION,
            "applicationVersion": self.versions[one.release],
            "attributes": one.facts
            | {
                "consoleIsInteractive": interactive,
                "commandName": command,
                "exitCode": int(self.pick(TASK_EXIT_CODES)) if reason == "TaskFailed" else -1 if reason else 0,
                "failureReason": reason,
                "usesTabCompletion": completion,
                "imageBuilder": builder if loaded else None,
                "updateCheckTime": _stamp(one.checked),
                "taskCount": tasks if loaded else None,
                "containerCount": containers if loaded else None,
            },
            "events": events,
            "spans": spans,
        }

    def failure(self, one: _Installation) -> str | None:
        """The reason why the run of an existing task fails, if it fails."""
        truths = self.truths
        if one.odd and self.rng.random() < truths.odd_failure_share:
            return truths.odd_failure
        share = truths.other_failures
        share *= truths.bad_release_factor if one.release == self.bad else 1
        share *= truths.windows_factor if one.facts["osName"] == "Windows" else 1
        return self.pick(REASONS) if self.rng.random() < share else None

    def spans(
        self, one: _Installation, time: int, command: str, reason: str | None, project: tuple[int, int], builder: str
    ) -> tuple[list[dict[str, Any]], int]:
        """The spans of a run, one after the other, and their end."""
        rng, last = self.rng, LAST_SPAN.get(reason or "")
        tasks, containers = project
        spans: list[dict[str, Any]] = []
        clock = time + int(self.lasts(0.15, 0.3, 10))
        if command not in ("run", "list-tasks", "cleanup"):
            return spans, clock

        steps = ["LoadConfiguration"]
        if command == "run" and last != "LoadConfiguration":
            needed = min(3, containers, 1 + int(rng.expovariate(1)))
            for _ in range(needed):
                if rng.random() < 0.4:
                    steps.append("BuildImage")
                elif rng.random() < (0.9 if one.facts["runningInCi"] else 0.12):
                    steps.append("PullImage")
                steps.append("StartContainer")
            steps.append("RunContainer")
            if last:
                steps = steps[: steps.index(last) + 1] if last in steps else ["LoadConfiguration", last]
        if command != "list-tasks" and last != "LoadConfiguration":
            steps.append("CleanUp")

        stamp = _stamp(clock)
        for step in steps:
            seconds, sigma, most = STEPS[step]
            facts: dict[str, Any] = {}
            if step == "LoadConfiguration":
                seconds *= (tasks / 11) ** 0.5 * (self.truths.loading_ratio if one.release >= self.quick else 1)
                facts = {"taskCount": tasks, "fileCount": 1 + tasks // 8 * one.facts["usesIncludes"]}
            elif step == "BuildImage":
                seconds *= (containers / 4) ** 0.3 * (self.truths.builder_ratio if builder == "buildkit" else 1)
                facts = {"builder": builder}
            elif step == "StartContainer":
                facts = {"hasHealthCheck": rng.random() < 0.3}
            clock += int(self.lasts(seconds, sigma, most))
            start, stamp = stamp, _stamp(clock)
            spans.append({"type": step, "startTime": start, "endTime": stamp, "attributes": facts})
        if len(steps) > 2:
            facts = {"containerCount": needed}
            spans.insert(
                1, {"type": "RunTask", "startTime": spans[1]["startTime"], "endTime": stamp, "attributes": facts}
            )
        return spans, clock + 20_000


def _uuid(rng: Random) -> str:
    h = f"{rng.getrandbits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) % 4]}{h[17:20]}-{h[20:]}"


def _micros(time: datetime) -> int:
    return (time.astimezone(UTC).replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def _stamp(time: int) -> str:
    return (EPOCH + timedelta(microseconds=time)).isoformat(timespec="microseconds") + "Z"
