"""The workflows of a new project, from its first push to a deletion, run whole by act on this machine.

The project is what `abaculus init` writes. What its workflows call is an archive of this repository, as a release is.
Only what belongs to others is replaced: their actions, GitHub's API and Pages, and the command line of AWS.
"""

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

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.commands.init import init
from reports.sample import invent
from reports.sample.demo import ingest_server
from tests import buckets
from tests.runner import ROOT, Fault, GitHub

pytestmark = pytest.mark.act

SOURCE, COMMIT = "me/abaculus", "c" * 40
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
# Actions of others -> what their stand-ins do: an artifact is a directory, and Pages serves it.
UPLOAD = 'mkdir -p "$PAGES"; rm -rf "${PAGES:?}/$NAME"; cp -R "$FROM" "$PAGES/$NAME"'
STUBS = {
    "astral-sh/setup-uv": "true",
    "aws-actions/configure-aws-credentials": "true",
    "Azure/login": "exit 1",
    "actions/upload-pages-artifact": UPLOAD,
    "actions/upload-artifact": UPLOAD,
    "actions/deploy-pages": 'rm -rf "$PAGES/live" && cp -R "$PAGES/$ARTIFACT" "$PAGES/live"\n'
    'echo "page_url=$LIVE" >> "$GITHUB_OUTPUT"',
}
AWS = """#!/usr/bin/env bash
case "$2" in
  describe-stack-resource) echo the-function ;;
  get-function-configuration) echo ingest.function.aws.handler ;;
  update-function-code) cp "${{6#fileb://}}" {place}/code.zip ;;
esac
"""


class Act:
    """A project in a directory of its own, and what GitHub and Pages made of it."""

    def __init__(self, directory: Path, github: GitHub, packages: Path) -> None:
        self.directory, self.github, self.packages = directory, github, packages
        self.repository, self.ours, self.pages = directory / "my-tool-numbers", directory / "ours", directory / "pages"
        archive(self.ours)
        for path in self.ours.glob(".github/*/**/*.yml"):
            path.write_text(adapted(path.read_text(encoding="utf-8")), encoding="utf-8")
        init(self.repository, "my-tool", "My tool", f"{SOURCE}@{COMMIT}")
        self.git("init", "-q", "-b", "trunk")
        self.git("remote", "add", "origin", "https://github.com/me/my-tool.git")
        self.commit("Start")
        (directory / "bin").mkdir()
        (directory / "bin/aws").write_text(AWS.format(place=directory), encoding="utf-8")
        (directory / "bin/aws").chmod(0o755)

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=me", "-c", "user.email=me@my-tool.dev"]
        subprocess.run(["git", *who, *arguments], cwd=self.repository, check=True)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def run(
        self, workflow: str, event: str = "workflow_dispatch", inputs: Mapping[str, str] | None = None, **variables: str
    ) -> tuple[int, str]:
        """Starts a workflow by an event, with these inputs and repository variables; the exit code and the log."""
        payload = {"inputs": inputs or {}}
        if event != "schedule":
            payload |= {"repository": {"default_branch": "trunk"}}
        (self.directory / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        found = {
            match[1]: match[2]
            for path in ROOT.glob(".github/*/**/*.yml")
            for match in re.finditer(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", path.read_text(encoding="utf-8"))
        }
        replaced = ["--local-repository", f"{SOURCE}@{COMMIT}={self.ours}"]
        for action, commit in found.items():
            if action in STUBS:
                stub = self.directory / "stubs" / action.replace("/", "-")
                stub.mkdir(parents=True, exist_ok=True)
                (stub / "action.yml").write_text(json.dumps(stand_in(action)), encoding="utf-8")
                replaced += ["--local-repository", f"{action}@{commit}={stub}"]
        given = {"GITHUB_API_URL": self.github.url, "PAGES": str(self.pages), "LIVE": f"{self.github.url}/site/"}
        # uv is in this environment, as setup-uv would have it; and how this machine reaches packages.
        path = f"{self.directory / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        given |= {"WATCH_SECONDS": "5", "WATCH_TIMEOUT": "5", "ABACULUS_DEMO_SESSIONS": "600", "PATH": path}
        given["UV_CACHE_DIR"] = str(self.packages)
        given |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_", "npm_"))}
        options = [f"--env={name}={value}" for name, value in given.items()]
        options += [f"--var={name}={value}" for name, value in variables.items()]
        done = subprocess.run(
            [Path(sys.executable).with_name("act"), event, "-W", f".github/workflows/{workflow}.yml",
             "-e", str(self.directory / "event.json"), "--defaultbranch", "trunk",
             "-P", "ubuntu-24.04=-self-hosted", "--container-daemon-socket", "-", "--actor", "me",
             "-s", "GITHUB_TOKEN=token", *replaced, *options],
            cwd=self.repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=500,
            env=os.environ | {"XDG_CACHE_HOME": str(self.directory / "cache")},
        )  # fmt: skip
        return done.returncode, done.stdout


def archive(place: Path) -> None:
    """What a release of this repository has in it: what git knows, with the changes that are not committed."""
    place.mkdir()
    if not (ROOT / ".git").exists():  # these tests run from such an archive themselves
        shutil.copytree(ROOT, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".venv", "build", "__pycache__"))
        return
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@my-tool.dev"]
    changed = subprocess.run(
        [*git, "stash", "create"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout
    packed = subprocess.run([*git, "archive", changed.strip() or "HEAD"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(place)], input=packed.stdout, check=True)


def adapted(text: str) -> str:
    """act does not know `$/`, which stands for the repository and commit of the file, nor `queue`."""
    document = yaml.safe_load(text)
    if True in document:  # YAML's idea of `on`
        document["on"] = document.pop(True)
        document["concurrency"].pop("queue", None)
    for job in document.get("jobs", {}).values():
        job.get("concurrency", {}).pop("queue", None)
    return re.sub(r'"uses": "\$/([^"]+)"', rf'"uses": "{SOURCE}/\1@{COMMIT}"', json.dumps(document))


def stand_in(action: str) -> dict[str, object]:
    inputs = ("name", "path", "artifact_name", "retention-days", "python-version", "enable-cache",
              "cache-dependency-glob", "role-to-assume", "aws-region", "client-id", "tenant-id",
              "allow-no-subscriptions", "if-no-files-found")  # fmt: skip
    environment = {name: f"${{{{ inputs.{value} }}}}" for name, value in
                   {"NAME": "name", "FROM": "path", "ARTIFACT": "artifact_name"}.items()}  # fmt: skip
    step = {"id": "it", "shell": "bash", "env": environment, "run": STUBS[action]}
    return {
        "name": action,
        "description": "stands in",
        "inputs": {name: {"description": "as there", "default": ""} for name in inputs},
        "outputs": {"page_url": {"description": "as there", "value": "${{ steps.it.outputs.page_url }}"}},
        "runs": {"using": "composite", "steps": [step]},
    }


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What uv has fetched, as a runner keeps it from one run to the next."""
    return tmp_path_factory.mktemp("uv")


@pytest.fixture
def act(packages: Path) -> Iterator[Act]:
    # act's own paths are long: not below pytest's.
    with tempfile.TemporaryDirectory() as name, GitHub().running() as github:
        yield Act(Path(name), github, packages)


def succeeded(log: str) -> list[str]:
    """The jobs that came to a good end, in order."""
    return [found.rpartition("/")[2].strip() for found in re.findall(r"\[([^\]]+)\] 🏁 +Job succeeded", log)]


def sessions(act: Act, seed: int, count: int = 400) -> list[str]:
    """Sends sessions of thirty people into the project's bucket; their ids."""
    text = (act.repository / "applications/my-tool.toml").read_text(encoding="utf-8")
    known = {"my-tool": registry.parse(text)}
    now = datetime.now(UTC)
    made = list(invent.sessions(known["my-tool"], count, users=30, seed=seed, end=now - timedelta(minutes=1)))
    buckets.batch(open_bucket(str(act.directory / "bucket")), *made, known=known, ingested=now)
    return sorted({one["userId"] for one in made})


BUILD, PUBLISH, TELL = "compact and build", "publish, and see that it is live", "say what is wrong"
COMPARE = "compare the registry with the tables"


def test_a_new_project_from_its_first_push_to_a_deletion(act: Act) -> None:
    live = act.github.site = act.pages / "live"
    bucket = {"ABACULUS_BUCKET": (act.directory / "bucket").as_uri()}

    # The first push: there is no bucket, and nothing starts.
    for event in ("push", "schedule"):
        code, log = act.run("report", event)
        assert (code, succeeded(log)) == (0, []), log

    # The button: the demo.
    code, log = act.run("report")
    assert (code, succeeded(log)) == (0, [BUILD, PUBLISH]), log
    assert "ab-sample" in (live / "index.html").read_text(encoding="utf-8")

    # Sessions came, and the schedule fires.
    people = sessions(act, 1)
    code, log = act.run("report", "schedule", **bucket)
    assert (code, succeeded(log)) == (0, [BUILD, PUBLISH]), log
    assert "ab-sample" not in (live / "index.html").read_text(encoding="utf-8")
    assert len(buckets.rows(act.directory / "bucket", "my-tool")) == 400

    # It fires again, and nothing came.
    stamp = (live / "abaculus-build.json").read_text(encoding="utf-8")
    code, log = act.run("report", "schedule", **bucket)
    assert (code, succeeded(log)) == (0, [BUILD]), log
    assert (live / "abaculus-build.json").read_text(encoding="utf-8") == stamp

    # A page is merged.
    with (act.repository / "site/about.md").open("a", encoding="utf-8") as page:
        page.write("\nA sentence of my own.\n")
    act.commit("A page")
    code, log = act.run("report", "push", **bucket)
    assert (code, succeeded(log)) == (0, [BUILD, PUBLISH]), log
    assert "A sentence of my own" in (live / "about.html").read_text(encoding="utf-8")

    # Somebody wants to be forgotten.
    code, log = act.run("forget", inputs={"user_id": people[0]}, **bucket)
    assert code == 0, log
    assert succeeded(log)[:2] == ["wait for approval", "delete"]
    assert {BUILD, PUBLISH} <= set(succeeded(log))
    assert people[0] not in log
    assert people[0] not in {row["user_id"] for row in buckets.rows(act.directory / "bucket", "my-tool")}

    # The daily look.
    act.github.runs = {"report.yml": [{"created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}]}
    with ingest_server(str(act.directory / "bucket"), act.directory / "log") as endpoint:
        code, log = act.run("health", "schedule", ABACULUS_ENDPOINT=endpoint, **bucket)
    assert (code, len(succeeded(log))) == (0, 2), log
    assert act.github.enabled == ["report.yml", "health.yml"]
    assert act.github.issues == []


def test_a_report_that_fails_opens_the_issue_and_one_that_works_closes_it(act: Act) -> None:
    code, log = act.run("report", ABACULUS_BUCKET="s3://telemetry")
    assert (code, succeeded(log)) == (1, [TELL])
    assert "the variable AWS_ROLE_ARN" in log
    (issue,) = act.github.issues
    assert (issue["state"], "**report**, build" in issue["body"]) == ("open", True)
    # The live site goes on showing another build; GitHub loses the answer to the first question.
    act.github.stamp = {"built": "2026-01-01T00:00:00Z", "run": "0-1"}
    act.github.faults = [Fault("GET /pages", 502), Fault("GET /issues", 0)]
    empty = {"ABACULUS_BUCKET": (act.directory / "empty").as_uri()}
    code, log = act.run("report", **empty)
    assert code == 1
    assert act.github.dispatched == [("report.yml", {"ref": "refs/heads/trunk"})]
    assert "**report**, live" in issue["body"] and "**report**, build" not in issue["body"]
    shutil.rmtree(act.pages)
    act.github.site = act.pages / "live"
    code, log = act.run("report", **empty)
    assert (code, issue["state"]) == (0, "closed"), log


def test_the_functions_registry_is_brought_up_to_date_by_a_push(act: Act) -> None:
    code, log = act.run("deploy-ingest", "push")
    assert (code, succeeded(log)) == (0, []), log
    role = {"AWS_DEPLOY_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_REGION": "eu-central-1"}
    code, log = act.run("deploy-ingest", "push", **role)
    assert (code, succeeded(log)) == (0, ["wait for approval", COMPARE, "deploy to AWS", TELL]), log
    assert (act.directory / "code.zip").is_file()
    (act.repository / "applications/my-tool.toml").write_text("id = 3", encoding="utf-8")
    act.commit("A fault")
    code, log = act.run("deploy-ingest", "push", **role)
    assert (code, succeeded(log)) == (1, ["wait for approval", TELL])
    assert "**deploy-ingest**, registry" in act.github.issues[0]["body"]


def test_a_pull_request_gets_its_site_and_one_mark_for_each_mistake(act: Act) -> None:
    act.commit("A change, as the merge of a pull request has its base before it")
    with (act.repository / "site/about.md").open("a", encoding="utf-8") as page:
        page.write("\n```yaml chart\ntype: bar\ndata: sessions\nx: shel\ny: people\n```\n")
    code, log = act.run("preview", "pull_request")
    assert code == 1
    assert len(re.findall(r"::error file=site/about\.md,", log)) == 1
    # The site is uploaded all the same, and its page shows the mistake.
    assert "ab-sample" in (act.pages / "preview/index.html").read_text(encoding="utf-8")
    assert "ab-mistakes" in (act.pages / "preview/about.html").read_text(encoding="utf-8")
    assert act.github.asked_for == [], "it has no right to ask"
