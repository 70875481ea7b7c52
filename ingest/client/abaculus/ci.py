"""The continuous integration system of a run, by the variables that each system sets."""

from __future__ import annotations

import os

__all__ = ["SYSTEMS", "system"]

SYSTEMS = {
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


def system() -> str | None:
    """The system's name, `other` for an unknown one, None outside of CI."""
    for variable, name in SYSTEMS.items():
        if os.environ.get(variable, "").strip().lower() not in NO:
            return name
    return "other" if os.environ.get("CI", "").strip().lower() not in NO else None
