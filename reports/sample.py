"""Generates sessions of Cairn, a tool that does not exist, so that every page has something to show and be tested on.

The same arguments give the same sessions. What is true of them is in `Truths`: a test asks a page's query for a truth
and compares. The fields are declared in ingest/applications/cairn.toml, the format is the wire format of a session.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import inf, log
from random import Random
from typing import Any

__all__ = ["APPLICATION", "Truths", "releases", "sessions"]

APPLICATION = "cairn"

Weights = Mapping[str, float]

SYSTEMS = {"Linux": 0.40, "macOS": 0.42, "Windows": 0.18}
SHELLS = {  # by system
    "Linux": {"fish": 0.40, "bash": 0.33, "zsh": 0.25, "other": 0.02},
    "macOS": {"zsh": 0.57, "fish": 0.34, "bash": 0.08, "other": 0.01},
    "Windows": {"powershell": 0.66, "cmd": 0.21, "bash": 0.11, "other": 0.02},
}
TERMINALS = {
    "Linux": {"GNOME Terminal": 0.38, "VS Code": 0.22, "Konsole": 0.14, "Alacritty": 0.12, "kitty": 0.14},
    "macOS": {"iTerm": 0.46, "Terminal": 0.22, "VS Code": 0.17, "IntelliJ IDEA": 0.10, "kitty": 0.05},
    "Windows": {"Windows Terminal": 0.56, "Console Host": 0.18, "VS Code": 0.20, "IntelliJ IDEA": 0.06},
}
OS_VERSIONS = {
    "Linux": {"24.04": 0.46, "22.04": 0.34, "12": 0.12, "40": 0.08},
    "macOS": {"15.3": 0.48, "14.7": 0.33, "13.7": 0.15, "12.7": 0.04},
    "Windows": {"10.0.22631": 0.52, "10.0.26100": 0.27, "10.0.19045": 0.21},
}
ARM = {"Linux": 0.06, "macOS": 0.78, "Windows": 0.03}
COMPLETION = {"fish": 0.62, "zsh": 0.46, "bash": 0.24}  # share of a shell's people who set tab completion up
CI_SYSTEMS = {
    "GitHub Actions": 0.44, "GitLab CI": 0.20, "Jenkins": 0.14, "CircleCI": 0.10, "Buildkite": 0.07,
    "Azure Pipelines": 0.05,
}  # fmt: skip
CI_WITH_OWN_DISKS = {"Jenkins", "Buildkite"}  # the user id lives on; elsewhere each run makes a new one
RUNTIMES = {"Java 21.0.5": 0.41, "Java 17.0.13": 0.37, "Java 11.0.25": 0.15, "Java 23.0.1": 0.07}
ENGINES = {
    "Docker 27.3.1": 0.39, "Docker 26.1.4": 0.20, "Docker 24.0.7": 0.18, "Docker 25.0.5": 0.12, "Podman 5.2.2": 0.07,
    "Podman 4.9.3": 0.04,
}  # fmt: skip
MEMORY = {"7.8": 0.44, "3.9": 0.14, "15.6": 0.27, "31.2": 0.15}
STARTED_BY = {"": 0.70, "make": 0.14, "npm": 0.09, "just": 0.07}
COMMANDS = {"run": 0.82, "list-tasks": 0.09, "help": 0.05, "cleanup": 0.02, "version": 0.02}
CI_COMMANDS = {"run": 0.97, "cleanup": 0.03}
TOPICS = {"overview": 0.48, "run": 0.27, "configuration": 0.19, "completion": 0.06}
STYLES = {"fancy": 0.78, "simple": 0.12, "all": 0.06, "quiet": 0.04}
REASONS = {
    "TaskFailed": 0.60, "ImageBuildFailed": 0.12, "ConfigurationInvalid": 0.10, "ContainerStartFailed": 0.07,
    "ImagePullFailed": 0.05, "ContainerUnhealthy": 0.04, "EngineUnavailable": 0.02,
}  # fmt: skip
LAST_SPAN = {  # how far a failing run gets
    "TaskNotFound": "LoadConfiguration", "ConfigurationInvalid": "LoadConfiguration",
    "EngineUnavailable": "LoadConfiguration", "ImageBuildFailed": "BuildImage", "ImagePullFailed": "PullImage",
    "ContainerStartFailed": "StartContainer", "ContainerUnhealthy": "StartContainer", "ExecSessionLost": "RunContainer",
}  # fmt: skip
STEPS = {  # of a run: median seconds, sigma of the log-normal, most seconds
    "LoadConfiguration": (0.25, 0.5, 60), "PullImage": (9, 0.9, 360), "BuildImage": (14, 0.8, 360),
    "StartContainer": (0.9, 0.6, 60), "RunContainer": (8, 1.3, 1200), "CleanUp": (1.1, 0.4, 60),
}  # fmt: skip
TASK_EXIT_CODES = {"1": 0.72, "2": 0.14, "101": 0.05, "127": 0.05, "137": 0.04}

HOUR_OF_DAY = (2, 2, 1, 1, 2, 4, 8, 14, 20, 23, 24, 21, 18, 22, 25, 25, 23, 20, 16, 13, 11, 8, 5, 3)  # UTC
DAY_OF_WEEK = (0.96, 1.06, 1.08, 1.04, 0.88, 0.18, 0.16)

SECOND = 1_000_000  # times are whole microseconds since the epoch
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3600 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND
EPOCH = datetime(1970, 1, 1)  # UTC, as all times within
LONGEST = HOUR  # no session is longer (spans are capped), so the last may begin this long before the end


@dataclass(frozen=True)
class Truths:
    """What is true of the generated sessions. Shares are between 0 and 1."""

    weeks: int = 26  # that the sessions cover
    growth: float = 0.004  # more runs per person each week
    there_at_start: float = 0.6  # share of people who used the tool before; the others join over time
    leaving: float = 0.2  # share of people who stop using it at some time
    activity: float = 1.1  # sigma of the log-normal number of runs per person: heavy-tailed
    bursts: float = 0.5  # share of runs that follow another of the same person within minutes or hours

    systems: Weights = field(default_factory=SYSTEMS.copy)  # share of people
    shells: Mapping[str, Weights] = field(default_factory=SHELLS.copy)  # system -> share of its people
    ci_share: float = 0.15  # share of all sessions
    ci_systems: Weights = field(default_factory=CI_SYSTEMS.copy)  # share of CI pipelines

    first_release: int = 14  # days from the first session to the first release among them; not more than the interval
    release_interval: int = 28  # days
    automated_week: int = 13  # releases from this week on upgrade by themselves where people let them
    automated_share: float = 0.75  # of people who let them
    automated_lag: float = 4  # median days from a release to the upgrade by itself
    prompt_share: float = 0.06  # of people who upgrade by hand the next time they run the tool after a notice
    manual_lag: float = 300  # median days from the first notice to the upgrade by hand, for the others
    manual_spread: float = 1.6  # sigma of that between people: from days to years

    task_not_found: float = 0.026  # share of all sessions
    completion: Weights = field(default_factory=COMPLETION.copy)  # shell -> share of its people, at the end
    completion_at_start: float = 0.5  # share of those who had it from the start; the others set it up over time
    completion_effect: float = 0.30  # how much less often they fail with task not found (relative)

    other_failures: float = 0.09  # share of "run" sessions with a task that exists
    windows_factor: float = 1.4  # on other failures
    bad_release: str = "1.6.0"
    bad_release_factor: float = 2.0  # on other failures
    odd_engine: str = "Docker 20.10.15"
    odd_engine_users: int = 6  # people; nobody else has this version
    odd_failure: str = "ExecSessionLost"  # happens with this version only
    odd_failure_share: float = 0.5  # of these people's "run" sessions with a task that exists

    buildkit: tuple[float, float] = (0.25, 0.75)  # share of people at the start and at the end
    builder_ratio: float = 0.6  # duration of a build by BuildKit, over the legacy builder's
    quick_release: str = "1.5.0"
    loading_ratio: float = 0.7  # duration of LoadConfiguration from that release on, over before


USUAL = Truths()


@dataclass(slots=True)
class _Installation:
    """A person, or a CI pipeline: what stays the same between runs, and what they have installed."""

    id: str
    facts: dict[str, Any]
    projects: list[tuple[int, int]]  # tasks, containers
    weight: float  # runs, relative to others
    pace: float  # median lag of upgrades by hand, microseconds
    automated: bool
    release: int  # index into the releases
    joined: float = 0.0  # a share of all the work, as `_Calendar` has it; so is `left`
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
    """Working hours: maps a share of all the work in the weeks to a time and keeps the order."""

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
    """Version and time of every release, oldest first; three of them are older than the first session."""
    begin = end.astimezone(UTC) - timedelta(weeks=truths.weeks)
    days = range(truths.first_release - 3 * truths.release_interval, truths.weeks * 7, truths.release_interval)
    return [(f"1.{minor}.0", begin + timedelta(days=day)) for minor, day in enumerate(days)]


def sessions(
    count: int = 20_000, *, users: int = 2_000, seed: int = 0, end: datetime, truths: Truths = USUAL
) -> Iterator[dict[str, Any]]:
    """Yields `count` sessions of `users` people, ordered by start, in the weeks before `end` (which has a time zone).

    CI runs are among the `count`, but their user ids are not among the `users`. Everybody appears as soon as there are
    as many sessions outside CI as people.
    """
    if users < 1:
        raise ValueError(f"users must be at least 1, got {users}")
    cairn = _Cairn(users, Random(seed), end, truths)
    plan = cairn.plan(count)
    helped = sum(time >= one.completion_from for time, one in plan)
    # So many fail without completion that the share of all sessions comes out as asked for.
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
        """Who runs the tool when, in order."""
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
        one.facts |= {
            "shellName": shell,
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
        one.buildkit_from = self.since(*self.truths.buildkit)
        return one

    def since(self, first: float, last: float) -> float:
        """Since when somebody has what a share `first` has at the start and a share `last` at the end."""
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
        """Looks for a newer release once a day, and upgrades when it is time to. Returns whether it looked."""
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
            elif command == "help":
                happened("HelpShown", topic=self.pick(TOPICS))

        tasks, containers = project = one.projects[int(rng.random() ** 2 * len(one.projects))]
        builder = "buildkit" if time >= one.buildkit_from else "legacy"
        spans, end = self.spans(one, time, command, reason, project, builder)
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
        """Why the run of a task that exists fails, if it does."""
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
        """What took time in a run, one after the other, and when all was done."""
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
