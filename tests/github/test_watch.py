"""What the workflows ask GitHub and the live site, and the status issue; also where GitHub says no, or nothing."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.messages import mentions
from tests.runner import ROOT, Fault, GitHub, Runner

pytestmark = pytest.mark.slow


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "temp")


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub().running() as server:
        yield server


def watch(runner: Runner, github: GitHub, command: str, **given: str) -> Any:
    environment = {
        "GITHUB_API_URL": github.url, "PAGE_URL": f"{github.url}/site/", "STAMP": "77-1", "HOURS": "26",
        "RESULTS": "{}", "STEPS": "{}", "WORKFLOWS": "report.yml health.yml", "WATCH_SECONDS": "0.3",
    }  # fmt: skip
    return runner.step("actions/watch/action.yml", "Watch", COMMAND=command, **environment | given)


def stamp(run: str = "77-1", age: timedelta = timedelta(), **more: str) -> dict[str, str]:
    return {"built": f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}", "run": run} | more


# Pages and the live site


def test_pages_that_are_off_are_named_with_the_click(runner: Runner, github: GitHub) -> None:
    assert watch(runner, github, "pages").code == 0
    for github.pages in (None, {"build_type": "legacy"}):
        done = watch(runner, github, "pages")
        assert done.code == 1
        assert "https://github.com/me/my-tool/settings/pages" in done.files["GITHUB_STEP_SUMMARY"]
        assert "paid plan" not in done.log


def test_pages_that_a_private_repository_may_not_have_are_named_with_the_ways_out(
    runner: Runner, github: GitHub
) -> None:
    github.pages, github.private = None, True
    done = watch(runner, github, "pages")
    assert (done.code, "paid plan" in done.log, "publish: false" in done.log) == (1, True, True)


def test_a_site_that_shows_this_build_is_live(runner: Runner, github: GitHub) -> None:
    github.stamp = stamp()
    done = watch(runner, github, "live")
    assert (done.code, github.dispatched) == (0, [])
    assert f"Live: {github.url}/site/" in done.files["GITHUB_STEP_SUMMARY"]


@pytest.mark.parametrize("workflow", ["report", "forget"])
def test_a_site_that_stays_old_gets_one_fresh_report_and_not_two(runner: Runner, github: GitHub, workflow: str) -> None:
    """Also within `forget`, which would ask for the person once more."""
    for github.stamp in (stamp("76-1"), None):
        github.dispatched.clear()
        done = watch(runner, github, "live", GITHUB_WORKFLOW=workflow)
        assert (done.code, github.dispatched) == (1, [("report.yml", {"ref": "refs/heads/main"})])
    done = watch(runner, github, "live", GITHUB_ACTOR="github-actions[bot]")
    assert (done.code, len(github.dispatched)) == (1, 1)


def test_a_fresh_report_that_github_refuses_or_may_have_started_is_said_to_be_so(
    runner: Runner, github: GitHub
) -> None:
    github.states["report.yml"] = "disabled_manually"
    assert "GitHub answered 422: Cannot trigger" in watch(runner, github, "live").log
    github.states.clear()
    github.faults = [Fault("POST /actions/workflows/report.yml/dispatches", 502, done=True)]
    assert "GitHub answered 502" in watch(runner, github, "live").log
    assert len(github.dispatched) == 1


def test_a_site_for_members_only_cannot_be_looked_at_and_that_is_no_fault(runner: Runner, github: GitHub) -> None:
    github.pages = {"build_type": "workflow", "public": False}
    for command in ("live", "site"):
        done = watch(runner, github, command)
        assert (done.code, "members only" in done.log, github.dispatched) == (0, True, [])
    assert watch(runner, github, "published").outputs()["inputs"] == ""


def test_an_old_site_and_a_schedule_that_does_not_fire_are_noticed(runner: Runner, github: GitHub) -> None:
    github.stamp = stamp(age=timedelta(hours=3))
    assert watch(runner, github, "site").code == 0
    github.stamp = stamp(age=timedelta(hours=30))
    assert "30 h ago" in watch(runner, github, "site").log
    assert "never started" in watch(runner, github, "schedule").log
    github.runs = {name: [{"created_at": stamp()["built"]}] for name in ("report.yml", "health.yml")}
    assert watch(runner, github, "schedule").code == 0
    github.runs["report.yml"] = [{"created_at": stamp(age=timedelta(days=3))["built"]}]
    done = watch(runner, github, "schedule")
    assert (done.code, mentions(done.log, "report.yml"), mentions(done.log, "health.yml")) == (1, True, False)


def test_a_new_projects_schedule_has_a_day_to_fire(runner: Runner, github: GitHub) -> None:
    github.created = datetime.now(UTC) - timedelta(hours=2)
    assert watch(runner, github, "schedule").code == 0


def test_the_schedules_are_kept_alive(runner: Runner, github: GitHub) -> None:
    github.states["report.yml"] = "disabled_inactivity"
    assert watch(runner, github, "awake").code == 0
    assert github.enabled == ["report.yml", "health.yml"]


def test_a_workflow_that_a_maintainer_disabled_stays_so_and_is_not_missed(runner: Runner, github: GitHub) -> None:
    github.states["report.yml"] = "disabled_manually"
    github.stamp = stamp(age=timedelta(days=30))
    for command in ("awake", "site"):
        done = watch(runner, github, command)
        assert (done.code, "disabled by hand" in done.log) == (0, True)
    done = watch(runner, github, "schedule", WORKFLOWS="report.yml")
    assert (done.code, "disabled by hand" in done.log) == (0, True)
    assert github.enabled == ["health.yml"]


# What is published, for a run in which nothing came


def test_the_inputs_of_the_live_site_are_said_while_it_is_fresh(runner: Runner, github: GitHub) -> None:
    github.stamp = stamp(inputs="ab12")
    assert watch(runner, github, "published").outputs() == {"inputs": "ab12", "open": "false"}
    github.stamp = stamp(inputs="ab12", age=timedelta(hours=21))
    assert watch(runner, github, "published").outputs()["inputs"] == ""
    for github.stamp in (None, stamp(), stamp(inputs="a\nopen=false"), {"built": "yesterday", "run": "1-1"}):
        assert watch(runner, github, "published").outputs()["inputs"] == ""


def test_what_cannot_be_seen_of_the_live_site_and_the_issue_is_taken_as_something_to_do(
    runner: Runner, github: GitHub
) -> None:
    github.stamp = stamp(inputs="ab12")
    github.faults = [Fault("GET /pages", 502, times=9), Fault("GET /issues", 403, times=9)]
    done = watch(runner, github, "published")
    assert (done.code, done.outputs()) == (0, {"inputs": "", "open": "true"})


# The status issue


def results(**jobs: str) -> str:
    return json.dumps({job: {"result": result, "outputs": {}} for job, result in jobs.items()})


def outcomes(**steps: str) -> str:
    return json.dumps(
        {step: {"outcome": outcome, "conclusion": outcome, "outputs": {}} for step, outcome in steps.items()}
    )


def test_one_issue_is_opened_commented_and_closed(runner: Runner, github: GitHub) -> None:
    bad, good = results(build="failure", publish="skipped"), results(build="success", publish="success")
    watch(runner, github, "issue", RESULTS=good)
    assert github.issues == []
    for _ in range(2):
        done = watch(runner, github, "issue", RESULTS=bad)
        assert (done.code, done.outputs()) == (0, {"reported": "true"})
    (issue,) = github.issues
    assert "actions/runs/77" in issue["body"] and "bucket" in issue["body"]
    assert github.comments == [], "an hourly run must not fill the issue"
    issue["updated_at"] = stamp(age=timedelta(days=2))["built"]
    watch(runner, github, "issue", RESULTS=bad)
    watch(runner, github, "issue", RESULTS=results(publish="failure"))
    assert [number for number, _ in github.comments] == [1, 1]
    watch(runner, github, "issue", RESULTS=good)
    assert (issue["state"], github.comments[-1][1].startswith("It works again")) == ("closed", True)
    watch(runner, github, "issue", RESULTS=bad)
    assert len(github.issues) == 2


@pytest.mark.parametrize("result", ["failure", "cancelled", "timed_out"])
def test_a_job_that_ran_out_of_time_or_was_cancelled_is_reported(runner: Runner, github: GitHub, result: str) -> None:
    watch(runner, github, "issue", RESULTS=results(delete=result), GITHUB_WORKFLOW="forget")
    (issue,) = github.issues
    assert "**forget**, delete" in issue["body"]


def test_the_steps_of_a_job_are_reported_one_by_one(runner: Runner, github: GitHub) -> None:
    def run(**steps: str) -> None:
        watch(
            runner, github, "issue", RESULTS=results(build="success"), STEPS=outcomes(**steps), GITHUB_JOB="publish"
        )  # fmt: skip

    run(pages="success", deploy="failure", live="skipped", issue="")
    (issue,) = github.issues
    assert "**report**, deploy" in issue["body"] and "issue" not in issue["body"].partition("<!--")[2]
    run(pages="success", deploy="success", live="failure")
    assert "**report**, live" in issue["body"] and "deploy" not in issue["body"].partition("<!--")[2]
    # The job as a whole, which another job reported when this one died.
    watch(runner, github, "issue", RESULTS=results(build="success", publish="failure"))
    assert "**report**, publish" in issue["body"]
    run(pages="success", deploy="success", live="success")
    assert issue["state"] == "closed"


def test_a_check_that_a_job_gives_as_its_output_is_reported_by_its_name(runner: Runner, github: GitHub) -> None:
    def run(result: str, **outputs: str) -> None:
        needs = json.dumps({"look": {"result": result, "outputs": outputs}})
        watch(runner, github, "issue", RESULTS=needs, GITHUB_WORKFLOW="health")

    run("failure", probe="failure", data="success")
    (issue,) = github.issues
    assert "**health**, probe" in issue["body"] and "**health**, look" not in issue["body"]
    run("failure", probe="success", data="skipped")
    assert "**health**, look" in issue["body"] and "**health**, probe" not in issue["body"]
    run("success", probe="success", data="success")
    assert issue["state"] == "closed"


def test_what_one_workflow_mends_does_not_hide_what_another_found(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(look="failure"), GITHUB_WORKFLOW="health")
    watch(runner, github, "issue", RESULTS=results(build="failure"))
    watch(runner, github, "issue", RESULTS=results(build="success"))
    (issue,) = github.issues
    assert issue["state"] == "open"
    assert "**report**" not in issue["body"] and "**health**, look" in issue["body"]
    watch(runner, github, "issue", RESULTS=results(look="success"), GITHUB_WORKFLOW="health")
    assert issue["state"] == "closed"


def test_a_job_that_did_not_run_mends_nothing(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(build="success", publish="failure"), GITHUB_WORKFLOW="forget")
    # The same run's other part, which only deletes.
    watch(runner, github, "issue", RESULTS=results(delete="success"), GITHUB_WORKFLOW="forget")
    watch(runner, github, "issue", RESULTS=results(build="failure", publish="skipped"), GITHUB_WORKFLOW="forget")
    (issue,) = github.issues
    assert (issue["state"], "**forget**, publish" in issue["body"]) == ("open", True)
    watch(runner, github, "issue", RESULTS=results(build="success", publish="success"), GITHUB_WORKFLOW="forget")
    assert issue["state"] == "closed"


def test_what_did_not_run_says_nothing_and_issues_may_be_off(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(build="skipped", publish="skipped"))
    github.has_issues = False
    done = watch(runner, github, "issue", RESULTS=results(build="failure"))
    assert (done.code, "::warning::Issues are off" in done.log, github.issues) == (0, True, [])


def test_the_issue_is_known_again_whatever_somebody_has_changed_of_it(runner: Runner, github: GitHub) -> None:
    bad = results(build="failure")
    watch(runner, github, "issue", RESULTS=bad)
    (issue,) = github.issues
    marked = issue["body"]
    for change in (
        {"title": "Numbers are stale", "labels": []},
        {"body": "Who looks into this?", "labels": []},
        {"body": None, "title": "Hm"},
    ):
        issue |= {"title": "Telemetry: something is wrong", "body": marked, "labels": [{"name": "abaculus"}]} | change
        watch(runner, github, "issue", RESULTS=bad)
        assert len(github.issues) == 1
        assert "<!-- abaculus: " in issue["body"]


def test_another_issue_or_pull_request_of_the_same_bot_is_not_taken_for_it(runner: Runner, github: GitHub) -> None:
    other = {"state": "open", "title": "Bump", "body": "", "labels": [], "html_url": "", "updated_at": stamp()["built"]}
    github.issues = [{"number": number} | other for number in range(1, 121)]
    github.issues[0]["title"] = "Telemetry: something is wrong"
    github.issues[1] |= {"title": "Telemetry: something is wrong", "pull_request": {}}
    watch(runner, github, "issue", RESULTS=results(build="failure"))
    # Found on the second page, and nothing else touched.
    assert len(github.issues) == 120
    assert [one["number"] for one in github.issues if "**report**" in one["body"]] == [1]


# Where GitHub does not answer, or says no

TIMES_OUT, REFUSED, MISSING, INVALID, BROKEN = 0, 403, 404, 422, 502
# The request that each command stands on.
STANDS_ON = {
    "pages": "GET /pages",
    "site": "GET /pages",
    "schedule": "GET /actions/workflows/report.yml",
    "awake": "PUT /actions/workflows/report.yml/enable",
    "issue": "GET /issues",
}


@pytest.mark.parametrize("status", [TIMES_OUT, BROKEN, 429])
@pytest.mark.parametrize("command", STANDS_ON)
def test_a_fault_that_passes_is_waited_for(runner: Runner, github: GitHub, command: str, status: int) -> None:
    github.stamp, github.created = stamp(), datetime.now(UTC)
    github.faults = [Fault(STANDS_ON[command], status, times=2)]
    done = watch(runner, github, command, RESULTS=results(build="failure"), WATCH_TIMEOUT="0.3")
    assert done.code == 0, done.log
    assert github.asked_for.count(STANDS_ON[command]) == 3


@pytest.mark.parametrize(
    ("answer", "requests", "said"),
    re.findall(
        r"(?m)^\| (nothing|\d{3})[^|]* \| (\d) \| `([^`]+)` \|$",
        (ROOT / "site/docs/where-it-works.md").read_text(encoding="utf-8"),
    ),
)
def test_each_answer_is_asked_for_again_and_named_as_the_page_says(
    runner: Runner, github: GitHub, answer: str, requests: str, said: str
) -> None:
    status = 0 if answer == "nothing" else int(answer)
    github.faults = [Fault("GET /actions/workflows/report.yml", status, times=99)]
    done = watch(runner, github, "schedule", WORKFLOWS="report.yml", WATCH_TIMEOUT="0.3")
    assert done.code == 1
    assert len(github.asked_for) == int(requests)
    assert said in done.log and (not status or f"GitHub answered {status}: a fault {status}" in done.log)


def test_the_page_has_a_row_for_each_answer() -> None:
    rows = re.findall(
        r"(?m)^\| (nothing|\d{3})[^|]* \| \d \|", (ROOT / "site/docs/where-it-works.md").read_text(encoding="utf-8")
    )
    assert rows == ["nothing", "401", "403", "404", "410", "422", "429", "502"]


def test_a_limit_that_github_names_is_kept(runner: Runner, github: GitHub) -> None:
    github.faults = [Fault("GET /pages", 403, headers={"Retry-After": "1"})]
    began = datetime.now(UTC)
    assert watch(runner, github, "pages", WATCH_SECONDS="5").code == 0
    assert datetime.now(UTC) - began >= timedelta(seconds=1)


@pytest.mark.parametrize("status", [TIMES_OUT, REFUSED, MISSING, INVALID, BROKEN])
@pytest.mark.parametrize("command", STANDS_ON)
def test_a_fault_that_stays_is_named_as_what_it_is(runner: Runner, github: GitHub, command: str, status: int) -> None:
    github.stamp, github.created = stamp(), datetime.now(UTC)
    github.faults = [Fault(STANDS_ON[command], status, times=99)]
    done = watch(runner, github, command, RESULTS=results(build="failure"), WATCH_TIMEOUT="0.3")
    if (command, status) == ("site", MISSING):
        assert done.code == 0, "without Pages there is no site that could be old; `pages` says so to a report"
        return
    assert done.code == 1
    (error,) = [line for line in done.log.splitlines() if line.startswith("::error ")]
    if (command, status) == ("pages", MISSING):
        assert "settings/pages" in error, "404 is GitHub's word for Pages that are off"
    else:
        assert ("did not answer" if status == TIMES_OUT else f"GitHub answered {status}: a fault {status}") in error
    assert github.issues == []


@pytest.mark.parametrize("status", [TIMES_OUT, BROKEN])
@pytest.mark.parametrize("done", [True, False])
def test_the_issue_is_neither_doubled_nor_lost_when_the_answer_to_its_opening_is(
    runner: Runner, github: GitHub, status: int, done: bool
) -> None:
    github.faults = [Fault("POST /issues", status, done=done)]
    assert watch(runner, github, "issue", RESULTS=results(build="failure"), WATCH_TIMEOUT="0.3").code == 0
    assert len(github.issues) == 1


def test_no_issue_is_opened_while_nobody_can_say_whether_there_is_one(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(build="failure"))
    github.faults = [Fault("GET /issues", BROKEN, times=99)]
    assert watch(runner, github, "issue", RESULTS=results(build="failure")).code == 1
    assert len(github.issues) == 1


@pytest.mark.parametrize("request_", ["PATCH /issues/1", "POST /issues/1/comments"])
def test_an_issue_that_could_not_be_changed_is_closed_by_the_next_run(
    runner: Runner, github: GitHub, request_: str
) -> None:
    watch(runner, github, "issue", RESULTS=results(build="failure"))
    github.faults = [Fault(request_, REFUSED, times=99)]
    done = watch(runner, github, "issue", RESULTS=results(build="success"))
    assert (done.code, "permissions" in done.log) == (1, True)
    github.faults = []
    watch(runner, github, "issue", RESULTS=results(build="success"))
    assert [one["state"] for one in github.issues] == ["closed"]
