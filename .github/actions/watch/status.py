"""The issue in which all workflows report problems: which check of which workflow fails."""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from github import BOT, PAUSE, TRIES, Answer, Unsure, api, fail, run, say

__all__ = ["issue", "may_be_open"]

LABEL = "abaculus"
TITLE = "Telemetry: something is wrong"
STATE = "<!-- abaculus: "
# Results that are not faults. The result of a step that did not run is empty.
QUIET = {"success", "skipped", ""}
# A job or a step -> what its failure means, and what to do.
REMEDIES = {
    "build": "Compaction failed, or a page has a mistake. Nothing is lost: sessions wait in the bucket, "
    "and the published site stays as it was. The summary of the run names what to fix.",
    "pages": "GitHub Pages is not set up: Settings > Pages > Source: GitHub Actions.",
    "deploy": "GitHub Pages refused the site. The published site stays as it was.",
    "live": "GitHub Pages reports the new site, but still serves an old one. If there was no automatic second "
    "attempt, start the workflow `report`. If that does not help, check GitHub's status page.",
    "publish": "The site was built, but not published. The log of the run shows the step that failed.",
    "delete": "A person's data could not be deleted, or not all of it. Start it again: you can repeat it at any time.",
    "function": "The ingest function was not updated. The running function continues with its registry, and leaves "
    "out members that it does not know.",
    "look": "The daily check did not finish.",
    "probe": "The ingest function does not accept sessions. Tools keep their sessions and try again, so nothing is "
    "lost yet. "
    "`abaculus probe` names what fails.",
    "data": "Something in the bucket is wrong: `abaculus status` names it and the fix.",
    "site": "The live site is old. Check under Actions whether the workflow `report` runs.",
    "schedule": "A schedule did not start its workflow. Check under Actions whether GitHub has disabled it.",
    "awake": "The schedules could not be enabled again. Check under Actions whether GitHub has disabled a workflow.",
}


def issue() -> None:
    """Opens, comments or closes the issue, by the results of jobs and steps. Starts again if an answer was lost."""
    results = dict(_results())
    # Checks that did not run say nothing.
    if set(results.values()) <= {"skipped", ""}:
        return
    for turn in range(TRIES):
        try:
            _keep(results)
            return
        except Unsure as error:  # a moment later, the list of issues shows whether it was done
            print(f"{error}; checking whether it succeeded")
            time.sleep(PAUSE * (turn + 1))
    fail("The status issue could not be updated", f"GitHub loses answers; this run is not in it: {results}")


def may_be_open() -> bool:
    """Whether there is an open issue, as far as this can be seen."""
    answer = _list(1)
    return not answer.good or _ours(answer.content) is not None


def _results() -> Iterator[tuple[str, str]]:
    """Check -> result: of jobs, of their steps if a job outputs them, and of the steps of this job.

    GitHub cancels a job that reaches its time limit, so every result except success and skipped is reported.
    """
    for job, found in json.loads(os.environ["RESULTS"] or "{}").items():
        parts = {name: result for name, result in (found.get("outputs") or {}).items() if name in REMEDIES}
        yield from parts.items()
        if found["result"] == "success" or set(parts.values()) <= QUIET:
            yield job, found["result"]
    steps = json.loads(os.environ.get("STEPS") or "{}")
    if steps:  # this job got so far that it can report, whatever the results of its steps
        yield os.environ["GITHUB_JOB"], "success"
    for step, found in steps.items():
        if step in REMEDIES:
            yield step, found["outcome"]


def _keep(results: dict[str, str]) -> None:
    """Compares the results with the open issue, and reports changes."""
    workflow = os.environ["GITHUB_WORKFLOW"]
    failed = sorted(check for check, result in results.items() if result not in QUIET)
    opened = _opened()
    before = _state(opened["body"] or "") if opened else {}
    # A check that did not run, or that belongs to another workflow, does not change.
    still = [check for check in before.get(workflow, []) if results.get(check, "") in ("skipped", "")]
    after = {name: checks for name, checks in {**before, workflow: sorted({*still, *failed})}.items() if checks}
    if opened is None:
        if after:
            content = {"title": TITLE, "labels": [LABEL], "body": _body(after)}
            say(f"Opened {_sure(api('POST', '/issues', content), 'opened').content['html_url']}")
        return
    place = f"/issues/{opened['number']}"
    how = ", ".join(f"{check} ({results[check]})" for check in failed)
    if not after:
        _sure(api("POST", f"{place}/comments", {"body": f"It works again: {run()}"}), "commented")
        _sure(api("PATCH", place, {"body": _body(after), "state": "closed"}), "closed")
        return
    if failed and (after != before or _stale(opened)):
        _sure(api("POST", f"{place}/comments", {"body": f"`{workflow}` fails at {how}: {run()}"}), "commented")
    if after != before:
        _sure(api("PATCH", place, {"body": _body(after)}), "changed")


def _opened() -> dict[str, Any] | None:
    """The open issue, or None."""
    found: list[dict[str, Any]] = []
    for page in range(1, 11):
        answer = _sure(_list(page), "looked for")
        found += answer.content
        if len(answer.content) < 100:
            break
    return _ours(found)


def _list(page: int) -> Answer:
    creator = BOT.replace("[", "%5B").replace("]", "%5D")
    return api("GET", f"/issues?state=open&creator={creator}&per_page=100&page={page}")


def _ours(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Finds it by its mark, its title or its label, because somebody may have changed the others. If there are two, the
    oldest.
    """
    ours = [
        one
        for one in found
        if "pull_request" not in one
        and (
            STATE in (one["body"] or "")
            or one["title"] == TITLE
            or LABEL in [label["name"] for label in one.get("labels", [])]
        )
    ]
    return min(ours, key=lambda one: int(one["number"]), default=None)


def _sure(answer: Answer, what: str) -> Answer:
    """A successful answer. Otherwise ends this run with a message."""
    if answer.status == 410:
        print("::warning::Issues are off, so nobody gets a message; switch them on: Settings > General > Features")
        sys.exit(0)
    if not answer.good:
        fail("The status issue could not be updated", f"it could not be {what}: {answer}")
    return answer


def _stale(opened: dict[str, Any]) -> bool:
    """Whether there was no comment for a day, because an hourly run must not fill the issue."""
    return datetime.now(UTC) - datetime.fromisoformat(opened["updated_at"]) > timedelta(days=1)


def _body(failing: dict[str, list[str]]) -> str:
    """What the issue says."""
    lines = [
        "The workflows manage this issue. They comment while the problem lasts, and close the issue when "
        "everything works again.",
        "",
    ]
    for workflow, checks in failing.items():
        lines += [
            f"- **{workflow}**, {check}: {REMEDIES.get(check, 'The log of the run has the details.')}"
            for check in checks
        ]
    return "\n".join([*lines, "", f"Last changed by {run()}.", "", f"{STATE}{json.dumps(failing)} -->"])


def _state(text: str) -> dict[str, list[str]]:
    """The list of failing checks of a workflow, as in the issue."""
    try:
        found = json.loads(text.split(STATE, 1)[1].split(" -->", 1)[0])
        return {str(name): [str(check) for check in checks] for name, checks in found.items()}
    except (IndexError, ValueError, AttributeError, TypeError):
        return {}  # somebody has edited it
