"""The workflows `report` and `forget`, run whole by act on this machine: only what belongs to others is replaced."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from ingest.bucket import open_bucket
from tests import buckets, sites
from tests.runner import ROOT, GitHub

pytestmark = pytest.mark.act

PAGE = "# Notes\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
# Actions of others -> what their stand-ins do: the artifact is a directory, and Pages serves it.
STUBS = {
    "astral-sh/setup-uv": "true",
    "aws-actions/configure-aws-credentials": "exit 1",
    "Azure/login": "exit 1",
    "actions/upload-pages-artifact": 'mkdir -p "$PAGES" && cp -R "$RUNNER_TEMP/site" "$PAGES/$NAME"',
    "actions/upload-artifact": 'mkdir -p "$PAGES" && cp -R "$RUNNER_TEMP/site" "$PAGES/$NAME"',
    "actions/deploy-pages": 'cp -R "$PAGES/$ARTIFACT" "$PAGES/live" && echo "page_url=$LIVE" >> "$GITHUB_OUTPUT"',
}


class Act:
    """A repository in a directory of its own, and what GitHub and Pages made of it."""

    def __init__(self, directory: Path, github: GitHub) -> None:
        self.directory, self.github = directory, github
        self.repository, self.pages = directory / "repository", directory / "pages"
        sites.project(self.repository, {"index.md": PAGE})
        for name in ("ingest", "reports", ".github"):
            shutil.copytree(
                ROOT / name, self.repository / name, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__", "applications", ".*_cache"),
            )  # fmt: skip
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.repository)
        for path in self.repository.glob(".github/*/**/*.yml"):
            path.write_text(adapted(path.read_text()))
        git = ["git", "-c", "user.name=me", "-c", "user.email=me@my-tool.dev"]
        for command in (["init", "-q", "-b", "main"], ["remote", "add", "origin", "https://github.com/me/my-tool.git"],
                        ["add", "-A"], ["commit", "-q", "-m", "all"]):  # fmt: skip
            subprocess.run([*git, *command], cwd=self.repository, check=True)

    def run(
        self, workflow: str = "report", inputs: Mapping[str, str] | None = None, **variables: str
    ) -> tuple[int, str]:
        """Starts a workflow by hand with these inputs and repository variables; the exit code and the log."""
        event = self.directory / "event.json"
        event.write_text(json.dumps({"inputs": inputs or {}}))
        replaced = []
        found = {
            match[1]: match[2]
            for path in ROOT.glob(".github/*/**/*.yml")
            for match in re.finditer(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", path.read_text())
        }
        for action, commit in found.items():
            if action in STUBS:
                stub = self.directory / "stubs" / action.replace("/", "-")
                stub.mkdir(parents=True, exist_ok=True)
                (stub / "action.yml").write_text(json.dumps(stand_in(action)))
                replaced += ["--local-repository", f"{action}@{commit}={stub}"]
        given = {"GITHUB_API_URL": self.github.url, "PAGES": str(self.pages), "LIVE": f"{self.github.url}/site/"}
        given |= {"GITHUB_WORKFLOW_REF": f"me/my-tool/.github/workflows/{workflow}.yml@refs/heads/main"}  # act has none
        # uv is in this environment, as setup-uv would have it; and how this machine reaches packages.
        given |= {"WATCH_SECONDS": "5", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        given |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_", "npm_"))}
        options = [f"--env={name}={value}" for name, value in given.items()]
        options += [f"--var={name}={value}" for name, value in variables.items()]
        done = subprocess.run(
            [Path(sys.executable).with_name("act"), "workflow_dispatch", "-W", f".github/workflows/{workflow}.yml",
             "-e", str(event),
             "-P", "ubuntu-24.04=-self-hosted", "--container-daemon-socket", "-", "--actor", "me",
             "-s", "GITHUB_TOKEN=token", *replaced, *options],
            cwd=self.repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500,
            env=os.environ | {"XDG_CACHE_HOME": str(self.directory / "cache")},
        )  # fmt: skip
        return done.returncode, done.stdout


def adapted(text: str) -> str:
    """act knows no `$/`, and reads `./` from a checkout, which the jobs that only look do without; nor `queue`."""
    document = yaml.safe_load(text)
    if True in document:  # YAML's idea of `on`
        document["on"] = document.pop(True)
        document["concurrency"].pop("queue", None)
    for job in document.get("jobs", {}).values():
        if "steps" in job and not any(CHECKOUT in step.get("uses", "") for step in job["steps"]):
            job["steps"].insert(0, {"uses": CHECKOUT})
    return json.dumps(document).replace('"uses": "$/', '"uses": "./')


def stand_in(action: str) -> dict[str, object]:
    inputs = ("name", "path", "artifact_name", "retention-days", "python-version", "enable-cache",
              "cache-dependency-glob", "role-to-assume", "aws-region", "client-id", "tenant-id",
              "allow-no-subscriptions")  # fmt: skip
    environment = {"NAME": "${{ inputs.name }}", "ARTIFACT": "${{ inputs.artifact_name }}"}
    step = {"id": "it", "shell": "bash", "env": environment, "run": STUBS[action]}
    return {
        "name": action,
        "description": "stands in",
        "inputs": {name: {"description": "as there", "default": ""} for name in inputs},
        "outputs": {"page_url": {"description": "as there", "value": "${{ steps.it.outputs.page_url }}"}},
        "runs": {"using": "composite", "steps": [step]},
    }


@pytest.fixture
def act() -> Iterator[Act]:
    # act's own paths are long: not below pytest's.
    with tempfile.TemporaryDirectory() as name, GitHub().running() as github:
        yield Act(Path(name), github)


def test_a_report_goes_from_raw_sessions_to_a_live_site(act: Act) -> None:
    bucket = act.directory / "bucket"
    start = datetime.now(UTC) - timedelta(days=1)
    made = [buckets.session(number, **one) for number, one in enumerate(sites.runs(1, 12, start=start))]
    store = open_bucket(str(bucket))
    buckets.batch(store, *made, known=buckets.registry(sites.APPLICATION), ingested=datetime.now(UTC))
    act.github.site = act.pages / "live"
    code, log = act.run(ABACULUS_BUCKET=bucket.as_uri())
    assert code == 0, log
    for job in ("compact and build", "publish", "see that it is live", "say what is wrong"):
        assert re.search(rf"\[report/{job} *\] 🏁 +Job succeeded", log), job
    assert (len(buckets.rows(bucket)), buckets.keys(store, "raw/")) == (12, [])
    assert "12" in (act.pages / "live/index.html").read_text()
    assert act.github.issues == []


def test_a_report_that_fails_opens_the_issue_and_one_that_works_closes_it(act: Act) -> None:
    code, log = act.run(ABACULUS_BUCKET="s3://telemetry")
    assert code == 1
    assert "the variable AWS_ROLE_ARN" in log
    (issue,) = act.github.issues
    assert (issue["state"], "report" in issue["body"]) == ("open", True)
    # The live site goes on showing another build.
    act.github.stamp = {"built": "2026-01-01T00:00:00Z", "run": "0-1"}
    code, log = act.run(ABACULUS_BUCKET=(act.directory / "empty").as_uri())
    assert code == 1
    assert act.github.dispatched == [("report.yml", {"ref": "refs/heads/main"})]
    assert "goes on serving an old one" in issue["body"]
    shutil.rmtree(act.pages)
    act.github.site = act.pages / "live"
    code, log = act.run(ABACULUS_BUCKET=(act.directory / "empty").as_uri())
    assert (code, issue["state"]) == (0, "closed"), log


def test_a_person_is_deleted_and_the_site_published_without_them_and_no_log_names_them(act: Act) -> None:
    bucket = act.directory / "bucket"
    start = datetime.now(UTC) - timedelta(days=1)
    sites.fill(bucket, sites.runs(1, 11, start=start))
    person = buckets.uuid(1_000_001)
    act.github.site = act.pages / "live"
    code, log = act.run("forget", {"user_id": person}, ABACULUS_BUCKET=bucket.as_uri())
    assert code == 0, log
    assert person not in log
    assert "1 person forgotten" in log and "some rows of the table notes" in log
    assert {row["user_id"] for row in buckets.rows(bucket)} == {buckets.uuid(1_000_000 + n) for n in range(2, 12)}
    assert "see that it is live" in log
    assert json.loads((act.pages / "live/abaculus-build.json").read_text())["run"] == "1-1"
