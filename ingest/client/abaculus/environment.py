"""Facts about where a run takes place, each from a short list of names; `registry.toml` beside this file has them."""

from __future__ import annotations

import os
import sys

__all__ = ["CI_SYSTEMS", "ci_system", "facts"]

OPERATING_SYSTEMS = {"linux": "Linux", "darwin": "macOS", "win32": "Windows", "cygwin": "Windows", "freebsd": "FreeBSD"}
ARCHITECTURES = {
    "x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64", "i386": "x86", "i686": "x86",
    "x86": "x86", "armv7l": "arm", "armv6l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
}  # fmt: skip
SHELLS = ("bash", "zsh", "fish", "sh", "dash", "ksh", "tcsh", "nu", "pwsh", "xonsh", "elvish")
# By the variables that terminals set, or by TERM_PROGRAM.
TERMINALS = {
    "WT_SESSION": "Windows Terminal",
    "KITTY_WINDOW_ID": "kitty",
    "ALACRITTY_WINDOW_ID": "Alacritty",
    "KONSOLE_VERSION": "Konsole",
    "GNOME_TERMINAL_SCREEN": "GNOME Terminal",
}
TERM_PROGRAMS = {
    "iTerm.app": "iTerm", "Apple_Terminal": "Terminal", "vscode": "VS Code", "WezTerm": "WezTerm", "ghostty": "Ghostty",
    "WarpTerminal": "Warp", "Hyper": "Hyper", "tmux": "tmux",
}  # fmt: skip
# By the variables that each system sets.
CI_SYSTEMS = {
    "GITHUB_ACTIONS": "GitHub Actions",
    "GITLAB_CI": "GitLab CI",
    "JENKINS_URL": "Jenkins",
    "CIRCLECI": "CircleCI",
    "BUILDKITE": "Buildkite",
    "TF_BUILD": "Azure Pipelines",
    "TRAVIS": "Travis CI",
    "TEAMCITY_VERSION": "TeamCity",
    "BITBUCKET_BUILD_NUMBER": "Bitbucket Pipelines",
    "CODEBUILD_BUILD_ID": "AWS CodeBuild",
    "APPVEYOR": "AppVeyor",
    "DRONE": "Drone",
}
NO = ("", "0", "false", "no", "off")


def facts() -> dict[str, str | bool]:
    """The known facts. Unknown ones are left out."""
    ci = ci_system()
    known = {
        "osName": next((name for key, name in OPERATING_SYSTEMS.items() if sys.platform.startswith(key)), "other"),
        "cpuArchitecture": ARCHITECTURES.get(_machine().lower(), "other"),
        "shellName": _shell(),
        "terminalName": _terminal(),
        "ciSystem": ci,
        "runtimeVersion": f"Python {'.'.join(map(str, sys.version_info[:3]))}",
    }
    told: dict[str, str | bool] = {name: value for name, value in known.items() if value is not None}
    streams = (sys.stdin, sys.stdout)
    told["consoleIsInteractive"] = all(one is not None and not one.closed and one.isatty() for one in streams)
    told["runningInCi"] = ci is not None
    return told


def ci_system() -> str | None:
    """The name of the continuous integration system, `other` for an unknown one, None outside of CI."""
    for variable, name in CI_SYSTEMS.items():
        if os.environ.get(variable, "").strip().lower() not in NO:
            return name
    return "other" if os.environ.get("CI", "").strip().lower() not in NO else None


def _machine() -> str:
    return os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")


def _shell() -> str | None:
    path = os.environ.get("SHELL", "")
    if not path:
        if sys.platform != "win32":
            return None
        # PowerShell adds the user's modules to the path that every console has.
        return "powershell" if len(os.environ.get("PSMODULEPATH", "").split(os.pathsep)) > 2 else "cmd"
    name = os.path.basename(path).lower().removesuffix(".exe")
    return name if name in SHELLS else "other"


def _terminal() -> str | None:
    program = TERM_PROGRAMS.get(os.environ.get("TERM_PROGRAM", ""))
    if program is not None:
        return program
    if "jetbrains" in os.environ.get("TERMINAL_EMULATOR", "").lower():
        return "JetBrains"
    return next((name for variable, name in TERMINALS.items() if os.environ.get(variable)), None)
