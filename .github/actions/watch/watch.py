"""What workflows ask GitHub and the live site, and the one issue in which they say what is wrong.

    pages     is GitHub Pages on?
    live      does $PAGE_URL show the build $STAMP? Waits for it; if it does not come, starts one fresh attempt
    age       is the build that the live site shows younger than $HOURS?
    schedule  did the schedule start each of $WORKFLOWS within $HOURS?
    awake     enables $WORKFLOWS again: GitHub stops schedules after 60 days without a commit
    issue     opens, comments or closes the status issue, by $RESULTS of the jobs

Needs nothing but Python, so that the jobs that only look install nothing.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

LABEL = "abaculus"
TITLE = "Telemetry: something is wrong"
STATE = "<!-- abaculus: "
BOT = "github-actions[bot]"
MARKER = "abaculus-build.json"
# How long Pages may take to show what it said it has, and how often to look.
PATIENCE = float(os.environ.get("WATCH_SECONDS", "300"))
PAUSE = min(10.0, PATIENCE / 10)
# Job -> what it means when it fails, and what to do.
REMEDIES = {
    "build": "New sessions were not brought in, or a page has a mistake. Nothing is lost: sessions wait in the bucket, "
    "and the published site stays as it was. The summary of the run names what to mend.",
    "deploy": "GitHub Pages did not take the site. If it was never on: Settings > Pages > Source: GitHub Actions.",
    "verify": "GitHub Pages says that it has the new site, and goes on serving an old one. If a second attempt was not "
    "started by itself, start the workflow again; if that does not help, look at GitHub's status page.",
    "delete": "A person's data could not be deleted, or not all of it. It can be started again at any time.",
    "probe": "The ingest function does not take sessions. Tools keep theirs and come again, so nothing is lost yet. "
    "`abaculus probe` names what fails.",
    "data": "Something in the bucket wants to be looked at: `abaculus status` says what, and what to do.",
    "site": "The live site is old, or a schedule did not start. Look under Actions whether the workflow `report` runs, "
    "and whether GitHub has switched it off.",
    "awake": "The schedules could not be kept alive. Look under Actions whether GitHub has switched a workflow off.",
}


def main(command: str) -> None:
    """Runs a command; ends with exit code 1 and an annotation when something is wrong."""
    commands = {"pages": pages, "live": live, "age": age, "schedule": schedule, "awake": awake, "issue": issue}
    commands[command]()


def pages() -> None:
    """Is GitHub Pages on, and does it take sites from workflows?"""
    status, found = api("GET", "/pages")
    if status == 404 or (status == 200 and found.get("build_type") != "workflow"):
        fail(
            "GitHub Pages is not set up",
            f"at {web('settings/pages')}, under Build and deployment, set Source to GitHub Actions; start this again",
        )
    print(f"GitHub Pages is on: {found.get('html_url', 'its address cannot be read')}")


def live() -> None:
    """Waits until the live site shows this build."""
    url, wanted = os.environ["PAGE_URL"], os.environ["STAMP"]
    end = time.monotonic() + PATIENCE
    shown = None
    while True:
        shown = marker(url)
        if shown and shown.get("run") == wanted:
            say(f"Live: {url} shows the build of {shown['built']}.")
            return
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    # A run that a workflow started is the fresh attempt itself.
    again = os.environ["GITHUB_ACTOR"] != BOT
    if again:
        file, ref = os.environ["GITHUB_WORKFLOW_REF"].split("/.github/workflows/")[1].split("@")
        status, _ = api("POST", f"/actions/workflows/{file}/dispatches", {"ref": ref})
        again = status in (200, 204)
    is_there = f"shows the build {shown.get('run')!r}" if shown else f"has no {MARKER}"
    then = "a fresh attempt was started" if again else "start the workflow again, and look at GitHub's status page"
    fail("The live site is an old one", f"{url} {is_there} after {PATIENCE:.0f} s, expected {wanted!r}; {then}")


def age() -> None:
    """Is the live build young enough?"""
    status, found = api("GET", "/pages")
    if status != 200:
        fail("GitHub Pages is not set up", f"at {web('settings/pages')}, set Source to GitHub Actions")
    shown = marker(found["html_url"])
    if not shown:
        fail("The live site has no marker", f"{found['html_url']} has no {MARKER}; start the workflow report")
    old = datetime.now(UTC) - datetime.fromisoformat(shown["built"])
    if old > limit():
        fail(
            "The live site is old",
            f"it was built {hours(old)} ago, more than {hours(limit())}; start the workflow report",
        )
    say(f"The live site was built {hours(old)} ago.")


def schedule() -> None:
    """Did the schedules start what they should?"""
    wrong = []
    for file in os.environ["WORKFLOWS"].split():
        status, found = api("GET", f"/actions/workflows/{file}/runs?event=schedule&per_page=1")
        runs = found.get("workflow_runs", []) if status == 200 else []
        # Before its first start, from when GitHub has known it.
        known = api("GET", f"/actions/workflows/{file}")[1] if not runs else runs[0]
        if "created_at" not in known:
            wrong.append(f"{file} is not there")
        elif datetime.now(UTC) - datetime.fromisoformat(known["created_at"]) > limit():
            wrong.append(f"{file} was last started on {known['created_at']}" if runs else f"{file} was never started")
    if wrong:
        fail("A schedule does not fire", f"{'; '.join(wrong)}; at {web('actions')}, see whether it is disabled")


def awake() -> None:
    """Enables the scheduled workflows."""
    refused = []
    for file in os.environ["WORKFLOWS"].split():
        status, _ = api("PUT", f"/actions/workflows/{file}/enable")
        if status not in (200, 204):
            refused.append(f"{file} ({status})")
    if refused:
        fail(
            "A schedule cannot be kept alive", f"GitHub refused for {', '.join(refused)}; enable it at {web('actions')}"
        )


def issue() -> None:
    """Keeps one issue for all workflows: which jobs of which fail."""
    results = {job: found["result"] for job, found in json.loads(os.environ["RESULTS"]).items()}
    failed = [job for job, result in results.items() if result == "failure"]
    # What did not run says nothing of what is wrong.
    if not failed and "success" not in results.values():
        return
    workflow = os.environ["GITHUB_WORKFLOW"]
    status, found = api(
        "GET", f"/issues?state=open&labels={LABEL}&creator={BOT.replace('[', '%5B').replace(']', '%5D')}"
    )
    if status == 410:
        print("::warning::Issues are off here, so nobody is told; switch them on under Settings > General > Features")
        return
    opened = next((one for one in found if one["title"] == TITLE), None) if status == 200 else None
    before: dict[str, list[str]] = state(opened["body"]) if opened else {}
    # A job that did not run, or is another workflow's part of this one, is as it was.
    still = [job for job in before.get(workflow, []) if results.get(job) not in ("success", "failure")]
    after = {name: jobs for name, jobs in {**before, workflow: sorted({*still, *failed})}.items() if jobs}
    if opened is None:
        if after:
            sent, made = api("POST", "/issues", {"title": TITLE, "labels": [LABEL], "body": body(after)})
            if sent != 201:
                fail(
                    "The status issue cannot be opened",
                    f"GitHub answered {sent}; are Issues on, under Settings > General?",
                )
            say(f"Opened {made['html_url']}")
        return
    number = opened["number"]
    if after != before:
        api("PATCH", f"/issues/{number}", {"body": body(after)})
    if not after:
        api("POST", f"/issues/{number}/comments", {"body": f"It works again: {run()}"})
        api("PATCH", f"/issues/{number}", {"state": "closed"})
    elif failed and (after != before or stale(opened)):
        text = f"`{workflow}` fails, at {', '.join(failed)}: {run()}"
        api("POST", f"/issues/{number}/comments", {"body": text})


def stale(opened: dict[str, Any]) -> bool:
    """Whether nothing was said for a day: an hourly run must not fill the issue."""
    return datetime.now(UTC) - datetime.fromisoformat(opened["updated_at"]) > timedelta(days=1)


def body(failing: dict[str, list[str]]) -> str:
    """What the issue says."""
    lines = ["The workflows keep this issue: they comment while it lasts, and close it when all works again.", ""]
    for workflow, jobs in failing.items():
        lines += [
            f"- **{workflow}**, {job}: {REMEDIES.get(job, 'The log of the run says what happened.')}" for job in jobs
        ]
    return "\n".join([*lines, "", f"First seen by {run()}.", "", f"{STATE}{json.dumps(failing)} -->"])


def state(text: str) -> dict[str, list[str]]:
    """Which jobs of which workflow fail, as the issue says it."""
    try:
        found: dict[str, list[str]] = json.loads(text.split(STATE, 1)[1].split(" -->", 1)[0])
        return found
    except (IndexError, ValueError):
        return {}  # somebody has edited it


def marker(url: str) -> dict[str, Any] | None:
    """The live site's stamp, past every cache."""
    request = urllib.request.Request(
        f"{url.rstrip('/')}/{MARKER}?at={time.time_ns()}", headers={"Cache-Control": "no-cache"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None


def api(method: str, path: str, content: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Status and answer of GitHub's API for this repository."""
    url = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}{path}"
    headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, headers | {"X-GitHub-Api-Version": "2022-11-28"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        return error.code, {}


def limit() -> timedelta:
    """How old is too old."""
    return timedelta(hours=float(os.environ["HOURS"]))


def hours(length: timedelta) -> str:
    """A length of time in hours."""
    return f"{length.total_seconds() / 3600:.0f} h"


def web(path: str) -> str:
    """A page of this repository."""
    return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/{path}"


def run() -> str:
    """The page of this run."""
    return web(f"actions/runs/{os.environ['GITHUB_RUN_ID']}")


def say(text: str) -> None:
    """In the log and in the summary."""
    print(text)
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a") as file:
        file.write(f"{text}\n\n")


def fail(title: str, text: str) -> NoReturn:
    """In the log, the summary, and beside the run; ends it."""
    say(f"{title}: {text}")
    print(f"::error title={title}::{text}")
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
