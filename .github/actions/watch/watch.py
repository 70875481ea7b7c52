"""The questions of workflows to GitHub and the live site, and the issue in which they report problems.

    pages      is GitHub Pages on?
    published  what is the live site built from, and is the status issue open? For later steps
    live       does $PAGE_URL show the build $STAMP? Waits for it, or starts one new attempt
    site       is the build that the live site shows younger than $HOURS?
    schedule   did the schedule start each of $WORKFLOWS within $HOURS?
    awake      enables $WORKFLOWS again: GitHub stops schedules after 60 days without a commit
    issue      opens, comments or closes the status issue, by $RESULTS of jobs and $STEPS of this one

It needs only Python, so that jobs that only check install nothing.
"""

import json
import os
import re
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from github import BOT, PATIENCE, PAUSE, TIMEOUT, Answer, Unsure, api, fail, say, web
from status import issue, may_be_open

MARKER = "abaculus-build.json"
# A site of this age is built again even if nothing is new, because pages name days, and `site` requires a recent one.
FRESH = timedelta(hours=20)
REPORT = "report.yml"


def main(command: str) -> None:
    """Runs a command. If something is wrong, ends with exit code 1 and an annotation."""
    commands = {
        "pages": pages, "published": published, "live": live, "site": site, "schedule": schedule, "awake": awake,
        "issue": report,
    }  # fmt: skip
    commands[command]()


def pages() -> None:
    """Is GitHub Pages on, and does it accept sites from workflows?"""
    answer = api("GET", "/pages")
    if answer.status == 404 and api("GET", "").content.get("private"):
        fail(
            "GitHub Pages is not set up",
            f"at {web('settings/pages')}, set Source to GitHub Actions. If that page offers no source: Pages for a "
            "private repository needs a paid plan. Change the plan, make the repository public, or set "
            f"`publish: false` under `with:` in {REPORT}: each run then keeps the site as an artifact",
        )
    if answer.status == 404 or (answer.good and answer.content.get("build_type") != "workflow"):
        fail(
            "GitHub Pages is not set up",
            f"at {web('settings/pages')}, under Build and deployment, set Source to GitHub Actions; start this again",
        )
    if not answer.good:
        fail("GitHub Pages cannot be checked", str(answer))
    print(f"GitHub Pages is on: {answer.content['html_url']}")


def published() -> None:
    """Outputs: `inputs` of the live site, empty if the site must be built in any case; `open`."""
    answer = api("GET", "/pages")
    shown = marker(answer.content["html_url"]) if answer.good and public(answer) else None
    fresh = shown is not None and datetime.now(UTC) - datetime.fromisoformat(shown["built"]) < FRESH
    inputs = str(shown.get("inputs", "")) if shown and fresh else ""
    output("inputs", inputs if re.fullmatch(r"[0-9a-f]+", inputs) else "")
    output("open", str(may_be_open()).lower())


def live() -> None:
    """Waits until the live site shows this build."""
    url, wanted = os.environ["PAGE_URL"], os.environ["STAMP"]
    answer = api("GET", "/pages")
    if answer.good and not public(answer):
        say(f"{url} is visible to members only, so a workflow cannot see whether it is live.")
        return
    end = time.monotonic() + PATIENCE
    while True:
        shown = marker(url)
        if shown and shown.get("run") == wanted:
            say(f"Live: {url} shows the build of {shown['built']}.")
            return
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    is_there = f"shows the build {shown.get('run')!r}" if shown else f"has no {MARKER}"
    fail("The live site is an old one", f"{url} {is_there} after {PATIENCE:.0f} s, expected {wanted!r}; {again()}")


def again() -> str:
    """Starts `report` once more, unless a workflow has started this run, and reports the result."""
    by_hand = f"start the workflow {REPORT} again, and check GitHub's status page"
    if os.environ["GITHUB_ACTOR"] == BOT:
        return by_hand
    try:
        answer = api("POST", f"/actions/workflows/{REPORT}/dispatches", {"ref": os.environ["GITHUB_REF"]})
    except Unsure as error:
        return f"it is unknown whether a new attempt was started ({error}); check {web('actions')}"
    return "a fresh attempt was started" if answer.good else f"no new attempt could be started ({answer}); {by_hand}"


def site() -> None:
    """Is the live build recent enough?"""
    if state(REPORT).content.get("state") == "disabled_manually":
        say(f"{REPORT} was disabled by hand, so the site may be old.")
        return
    answer = api("GET", "/pages")
    if answer.status == 404:  # if a site must be published, `pages` reports this
        say("GitHub Pages is not set up, so there is no site to check.")
        return
    if not answer.good:
        fail("GitHub Pages cannot be checked", str(answer))
    url = answer.content["html_url"]
    if not public(answer):
        say(f"{url} is visible to members only, so a workflow cannot see how old it is.")
        return
    shown = marker(url)
    if not shown:
        fail("The live site has no marker", f"{url} has no {MARKER}; start the workflow {REPORT}")
    old = datetime.now(UTC) - datetime.fromisoformat(shown["built"])
    if old > limit():
        fail(
            "The live site is old",
            f"it was built {hours(old)} ago, more than {hours(limit())}; start the workflow {REPORT}",
        )
    say(f"The live site was built {hours(old)} ago.")


def schedule() -> None:
    """Checks that the schedules started their workflows."""
    wrong = []
    for file in os.environ["WORKFLOWS"].split():
        known = state(file)
        if not known.good:
            wrong.append(f"{file} cannot be checked ({known})")
            continue
        if known.content.get("state") == "disabled_manually":
            say(f"{file} was disabled by hand, so its schedule does not run.")
            continue
        runs = api("GET", f"/actions/workflows/{file}/runs?event=schedule&per_page=1")
        if not runs.good:
            wrong.append(f"the runs of {file} cannot be checked ({runs})")
            continue
        last = next(iter(runs.content["workflow_runs"]), None)
        # Before the first start, the age counts from the creation of the workflow.
        since = (last or known.content)["created_at"]
        if datetime.now(UTC) - datetime.fromisoformat(since) > limit():
            wrong.append(f"{file} was last started on {since}" if last else f"{file} was never started")
    if wrong:
        fail("A schedule does not fire", f"{'; '.join(wrong)}; at {web('actions')}, see whether it is disabled")


def awake() -> None:
    """Enables the scheduled workflows, except those that a maintainer has disabled."""
    refused = []
    for file in os.environ["WORKFLOWS"].split():
        known = state(file)
        if known.content.get("state") == "disabled_manually":
            say(f"{file} was disabled by hand, and stays disabled.")
            continue
        answer = api("PUT", f"/actions/workflows/{file}/enable") if known.good else known
        if not answer.good:
            refused.append(f"{file} ({answer})")
    if refused:
        fail("A schedule cannot be kept alive", f"{', '.join(refused)}; enable it at {web('actions')}")


def report() -> None:
    """Updates the status issue, and tells later jobs that this was done."""
    issue()
    output("reported", "true")


def state(file: str) -> Answer:
    """A workflow on GitHub. `state` is active, disabled_inactivity, disabled_manually and so on."""
    return api("GET", f"/actions/workflows/{file}")


def public(answer: Answer) -> bool:
    """Whether everybody can see the site. With access control, GitHub redirects a request from here to a login."""
    return answer.content.get("public") is not False


def marker(url: str) -> dict[str, Any] | None:
    """The live site's stamp, without caches."""
    request = urllib.request.Request(
        f"{url.rstrip('/')}/{MARKER}?at={time.time_ns()}", headers={"Cache-Control": "no-cache"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            found: dict[str, Any] = json.load(answer)
            datetime.fromisoformat(found["built"])
            return found
    except (OSError, ValueError, TypeError, KeyError):
        return None


def output(name: str, value: str) -> None:
    """Outputs for later steps and jobs."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}={value}\n")


def limit() -> timedelta:
    """The largest allowed age."""
    return timedelta(hours=float(os.environ["HOURS"]))


def hours(length: timedelta) -> str:
    """A duration in hours."""
    return f"{length.total_seconds() / 3600:.0f} h"


if __name__ == "__main__":
    main(sys.argv[1])
