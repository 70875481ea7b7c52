"""The parameters of Cairn, a tool that does not exist: its people, their environments, and the truths about its
sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["APPLICATION", "USUAL", "Truths"]

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
COMPLETION = {"fish": 0.62, "zsh": 0.46, "bash": 0.24}  # share of a shell's people who set up tab completion
CI_SYSTEMS = {
    "GitHub Actions": 0.44, "GitLab CI": 0.20, "Jenkins": 0.14, "CircleCI": 0.10, "Buildkite": 0.07,
    "Azure Pipelines": 0.05,
}  # fmt: skip
CI_WITH_OWN_DISKS = {"Jenkins", "Buildkite"}  # the user id stays; elsewhere each run generates a new one
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
LAST_SPAN = {  # the last span of a failing run
    "TaskNotFound": "LoadConfiguration", "ConfigurationInvalid": "LoadConfiguration",
    "EngineUnavailable": "LoadConfiguration", "ImageBuildFailed": "BuildImage", "ImagePullFailed": "PullImage",
    "ContainerStartFailed": "StartContainer", "ContainerUnhealthy": "StartContainer", "ExecSessionLost": "RunContainer",
}  # fmt: skip
EXCEPTIONS = {  # failure reason -> the exception that ends the run
    "ConfigurationInvalid": "cairn.config.ConfigurationException", "EngineUnavailable": "java.net.ConnectException",
    "ExecSessionLost": "java.io.EOFException", "ContainerStartFailed": "cairn.engine.ContainerStartException",
}  # fmt: skip
CHANNELS = {  # by system
    "Linux": {"apt": 0.44, "install script": 0.38, "Homebrew": 0.10, "release archive": 0.08},
    "macOS": {"Homebrew": 0.83, "install script": 0.14, "release archive": 0.03},
    "Windows": {"Scoop": 0.64, "release archive": 0.36},
}
STEPS = {  # step of a run -> median seconds, sigma of the log-normal, largest seconds
    "LoadConfiguration": (0.25, 0.5, 60), "PullImage": (9, 0.9, 360), "BuildImage": (14, 0.8, 360),
    "StartContainer": (0.9, 0.6, 60), "RunContainer": (8, 1.3, 1200), "CleanUp": (1.1, 0.4, 60),
}  # fmt: skip
TASK_EXIT_CODES = {"1": 0.72, "2": 0.14, "101": 0.05, "127": 0.05, "137": 0.04}

HOUR_OF_DAY = (2, 2, 1, 1, 2, 4, 8, 14, 20, 23, 24, 21, 18, 22, 25, 25, 23, 20, 16, 13, 11, 8, 5, 3)  # UTC
DAY_OF_WEEK = (0.96, 1.06, 1.08, 1.04, 0.88, 0.18, 0.16)

SECOND = 1_000_000  # times are whole microseconds since the epoch
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3600 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND
EPOCH = datetime(1970, 1, 1)  # UTC, like all times here
LONGEST = HOUR  # no session is longer (spans are capped), so the last may begin this long before the end


@dataclass(frozen=True)
class Truths:
    """The true parameters of the generated sessions. Shares are between 0 and 1."""

    weeks: int = 26  # the time that the sessions cover
    growth: float = 0.004  # more runs per person each week
    there_at_start: float = 0.6  # share of people who used the tool before; the others join over time
    leaving: float = 0.2  # share of people who stop using it at some time
    activity: float = 1.1  # sigma of the log-normal number of runs per person: heavy-tailed
    bursts: float = 0.5  # share of runs that follow another of the same person within minutes or hours

    systems: Weights = field(default_factory=SYSTEMS.copy)  # share of people
    shells: Mapping[str, Weights] = field(default_factory=SHELLS.copy)  # system -> share of its people
    ci_share: float = 0.15  # share of all sessions
    ci_systems: Weights = field(default_factory=CI_SYSTEMS.copy)  # share of CI pipelines

    first_release: int = 14  # days from the first session to the first release; at most the interval between releases
    release_interval: int = 28  # days
    automated_week: int = 13  # from this week on, releases upgrade automatically for people who allow it
    automated_share: float = 0.75  # share of people who allow it
    automated_lag: float = 4  # median days from a release to the automatic upgrade
    prompt_share: float = 0.06  # share of people who upgrade by hand at the next run after a notice
    manual_lag: float = 300  # median days from the first notice to the upgrade by hand, for the others
    manual_spread: float = 1.6  # sigma of this lag between people: from days to years

    task_not_found: float = 0.026  # share of all sessions
    completion: Weights = field(default_factory=COMPLETION.copy)  # shell -> share of its people, at the end
    completion_at_start: float = 0.5  # share of those who had it from the start; the others set it up over time
    completion_effect: float = 0.45  # relative reduction of failures with task not found

    other_failures: float = 0.09  # share of "run" sessions with a task that exists
    windows_factor: float = 1.4  # factor for other failures
    bad_release: str = "1.6.0"
    bad_release_factor: float = 2.0  # factor for other failures
    odd_engine: str = "Docker 20.10.15"
    odd_engine_users: int = 6  # people; nobody else has this version
    odd_failure: str = "ExecSessionLost"  # happens with this version only
    odd_failure_share: float = 0.5  # of these people's "run" sessions with a task that exists

    buildkit: tuple[float, float] = (0.25, 0.75)  # share of people at the start and at the end
    builder_ratio: float = 0.6  # duration of a build by BuildKit, as a ratio to the legacy builder
    quick_release: str = "1.5.0"
    loading_ratio: float = 0.7  # duration of LoadConfiguration from that release on, as a ratio to before


USUAL = Truths()
