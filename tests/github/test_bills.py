"""Which jobs of a run start, by their own conditions: a private repository pays a minute for each that does."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.runner import documents

WORKFLOWS = {name.removeprefix("workflows/")[:-4]: one for name, one in documents().items() if "jobs" in one}


def holds(condition: str, needs: Mapping[str, Mapping[str, Any]], known: Mapping[str, str]) -> bool:
    """GitHub's answer to an `if`: without a status function it also asks that all needed jobs have succeeded."""
    text = condition.strip().removeprefix("${{").removesuffix("}}")

    def value(found: re.Match[str]) -> str:
        name = found[0]
        match name.split("."):
            case ["needs", job, "result"]:
                return repr(needs[job]["result"])
            case ["needs", job, "outputs", output]:
                return repr(needs[job]["outputs"].get(output, ""))
        return repr(known.get(name, ""))

    python = re.sub(r"\b(?:needs|vars|github)\.[\w.-]+", value, text)
    python = python.replace("always()", "True").replace("&&", " and ").replace("||", " or ")
    succeeded = "always()" in text or all(one["result"] == "success" for one in needs.values())
    return succeeded and bool(eval(python, {}))


def started(workflow: str, known: Mapping[str, str], ends: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The jobs that start, in order; `ends` says what becomes of each that does, success unless it is there."""
    done: dict[str, Mapping[str, Any]] = {}
    for id, job in WORKFLOWS[workflow]["jobs"].items():
        needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        runs = holds(job.get("if", "True"), {name: done[name] for name in needed}, known)
        done[id] = {"outputs": {}, **ends.get(id, {}), "result": ends.get(id, {}).get("result", "success")}
        if not runs:
            done[id] = {"result": "skipped", "outputs": {}}
    return [id for id, one in done.items() if one["result"] != "skipped"]


HOURLY = {"github.event_name": "schedule", "vars.ABACULUS_BUCKET": "s3://b"}
PUSH = {
    "github.event_name": "push", "github.ref_name": "trunk", "github.event.repository.default_branch": "trunk",
    "vars.ABACULUS_BUCKET": "s3://b",
}  # fmt: skip
BUILT = {"outputs": {"published": "true"}}
NOTHING_NEW = {"outputs": {"published": "false", "open": "false"}}
REPORTED = {"outputs": {"reported": "true"}}


@pytest.mark.parametrize(
    ("what", "known", "ends", "jobs"),
    [
        ("nothing came", HOURLY, {"build": NOTHING_NEW}, ["build"]),
        ("a session came", HOURLY, {"build": BUILT, "publish": REPORTED}, ["build", "publish"]),
        ("it cannot be read", HOURLY, {"build": {"result": "failure"}}, ["build", "status"]),
        ("it takes too long", HOURLY, {"build": {"result": "cancelled"}}, ["build", "status"]),
        ("Pages are off", HOURLY, {"build": BUILT, "publish": REPORTED | {"result": "failure"}}, ["build", "publish"]),
        # GitHub lost the machine: nobody has reported it yet.
        (
            "the machine is lost", HOURLY, {"build": BUILT, "publish": {"result": "failure"}},
            ["build", "publish", "status"],
        ),
        ("it works again", HOURLY, {"build": {"outputs": {"published": "false", "open": "true"}}}, ["build", "status"]),
        ("there is no bucket", HOURLY | {"vars.ABACULUS_BUCKET": ""}, {}, []),
        ("a page is merged", PUSH, {"build": BUILT, "publish": REPORTED}, ["build", "publish"]),
        ("a page is pushed to a branch", PUSH | {"github.ref_name": "mine"}, {}, []),
        ("a page is merged, and there is no bucket", PUSH | {"vars.ABACULUS_BUCKET": ""}, {}, []),
        (
            "the button", {"github.event_name": "workflow_dispatch"}, {"build": BUILT, "publish": REPORTED},
            ["build", "publish"],
        ),
    ],
)  # fmt: skip
def test_a_report_starts_two_jobs_at_most_and_none_without_a_bucket(
    what: str, known: dict[str, str], ends: dict[str, Any], jobs: list[str]
) -> None:
    assert started("report", known, ends) == jobs, what


@pytest.mark.parametrize(
    ("known", "ends", "jobs"),
    [
        ({}, {}, []),
        ({"vars.ABACULUS_BUCKET": "s3://b"}, {}, ["look", "site"]),
        ({"vars.ABACULUS_ENDPOINT": "https://x"}, {"look": {"result": "failure"}}, ["look", "site"]),
    ],
)
def test_health_starts_two_jobs_and_none_before_anything_is_set_up(
    known: dict[str, str], ends: dict[str, Any], jobs: list[str]
) -> None:
    assert started("health", known, ends) == jobs


@pytest.mark.parametrize("result", ["failure", "cancelled"])
def test_a_deletion_that_does_not_end_well_is_reported_and_publishes_nothing(result: str) -> None:
    assert started("forget", {}, {"delete": {"result": result}}) == ["approve", "delete", "status"]
    # Somebody said no.
    assert started("forget", {}, {"approve": {"result": result}}) == ["approve"]


def test_a_deployment_that_does_not_end_well_is_reported() -> None:
    known = PUSH | {"vars.AWS_DEPLOY_ROLE_ARN": "arn"}
    jobs = ["approve", "registry", "function", "status"]
    assert started("deploy-ingest", known, {"function": {"result": "cancelled"}}) == jobs
    # What compaction would refuse is not deployed.
    jobs.remove("function")
    assert started("deploy-ingest", known, {"registry": {"result": "failure"}}) == jobs
    assert started("deploy-ingest", PUSH, {}) == []
    assert started("deploy-ingest", known | {"github.ref_name": "mine"}, {}) == []
