"""The workflows: what all of them must keep to, and each of their steps, run as a runner runs it."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.function.bucket_url import open_bucket
from reports.writers.compact import compact
from tests import buckets, sites
from tests.runner import ROOT, Runner, documents, steps

pytestmark = pytest.mark.slow

DOCUMENTS = documents()
WORKFLOWS = {name: one for name, one in DOCUMENTS.items() if name.startswith("workflows/")}
JOBS = [(name, id) for name, one in WORKFLOWS.items() for id in one["jobs"]]
# Steps that are run by no test, and why.
ELSEWHERE = {
    "Check everything, and build the wheel": "it is .ci/run, of which this is a part",
    "Lint": "it is a part of .ci/run",
    "Run the plain tests": "it is a part of .ci/run",
    "Run one part of the heavy checks": "it is a part of .ci/run",
    "Build, install and use it": "it is .ci/wheel, which .ci/run runs",
    "Record, upload, say no": "it is tests/client/systems.py, which a test of the client runs",
    "Sign it": "it needs an identity that only GitHub gives",
    "Make the release": "it is one call of GitHub's own command",
    "Publish": "it is one call of uv, which needs an identity that only GitHub gives",
    "Ask Azure for a token to its storage": "it needs Azure; that the token is masked first is tested",
    "Deploy": "tests/ingest/test_deploy.py runs it",
}
TESTED = {
    "Approved", "Install", "Read the settings", "Compact and build", "Watch", "Check and build",
    "Read the id, and hide it", "Delete", "Send a session, twice", "Check the runs of the last day",
    "The tag is the version", "Check the registry", "Compare the registry with the base", "Compare it with the tables",
    "Send it a session, twice",
}  # fmt: skip


def uses() -> list[tuple[str, str, str]]:
    """(File, what it uses, the line) of every reference to an action or a workflow."""
    return [
        (name, found[1], line)
        for name in DOCUMENTS
        for line in (ROOT / ".github" / name).read_text(encoding="utf-8").splitlines()
        if (found := re.match(r"\s*(?:- )?uses: (\S+)", line))
    ]


# What all keep to


def test_everything_from_elsewhere_is_pinned_by_its_whole_hash_with_the_tag_beside_it() -> None:
    pins: dict[str, set[str]] = {}
    for name, used, line in uses():
        if used.startswith("$/"):
            path = ROOT / used.removeprefix("$/")
            assert path.is_file() or (path / "action.yml").is_file(), f"{name}: {used}"
            continue
        assert re.fullmatch(r"\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", line), f"{name}: {line}"
        pins.setdefault(used.split("@")[0], set()).add(line.split("@")[1])
    assert {action: len(versions) for action, versions in pins.items() if len(versions) > 1} == {}
    assert "actions/checkout" in pins


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_grants_nothing_and_never_races_with_itself(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    group = workflow["concurrency"]["group"]
    # A caller and a called workflow that both take the caller's name would cancel each other.
    assert "github.workflow" not in group
    may_cancel = {"workflows/ci.yml", "workflows/preview.yml"}
    assert (workflow["concurrency"]["cancel-in-progress"] == "true") == (name in may_cancel)
    assert len({one["concurrency"]["group"] for one in WORKFLOWS.values()}) == len(WORKFLOWS)


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_has_rights_of_its_own_and_an_end(name: str, job: str) -> None:
    found = WORKFLOWS[name]["jobs"][job]
    assert isinstance(found["permissions"], dict)
    allowed = {"id-token", "pages", "issues", "actions"} | ({"contents"} if name == "workflows/release.yml" else set())
    assert {right for right, level in found["permissions"].items() if level == "write"} <= allowed
    if "uses" not in found:
        assert 1 <= int(found["timeout-minutes"]) <= 90
        # A step that reaches its limit fails, and the steps after it report that; a job is cancelled as a whole.
        limits = [int(step["timeout-minutes"]) for step in found["steps"] if "timeout-minutes" in step]
        assert sum(limits) < int(found["timeout-minutes"])
        systems = found.get("strategy", {}).get("matrix", {}).get("system", [found["runs-on"]])
        assert set(systems) <= {"ubuntu-24.04", "windows-2025", "macos-15"}, "a system is named with its version"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_expression_stands_in_a_script_and_every_script_has_bash(name: str) -> None:
    for step in steps(DOCUMENTS[name]):
        if "run" in step:
            assert "${{" not in step["run"]
            assert step["shell"] == "bash"
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def test_nobodys_data_goes_into_a_cache_or_an_artifact() -> None:
    paths = set()
    for name, used, _ in uses():
        assert not used.startswith("actions/cache"), name
    for document in DOCUMENTS.values():
        for step in steps(document):
            if re.search(r"upload-(pages-)?artifact@", step.get("uses", "")):
                paths.add(step["with"]["path"])
            if "setup-uv@" in step.get("uses", ""):
                assert "cache-local-path" not in step["with"]
    # Sites, which passed the gate, pictures of the demo, and the wheel.
    assert paths == {"${{ runner.temp }}/site", "${{ runner.temp }}/demo/site", "build/screenshots", "dist/"}


def test_the_inputs_are_the_same_by_hand_by_call_and_by_action() -> None:
    on = WORKFLOWS["workflows/report.yml"]["on"]
    defaults = [
        {name: str(one.get("default", "")) for name, one in found["inputs"].items()}
        for found in (on["workflow_dispatch"], on["workflow_call"], DOCUMENTS["actions/report/action.yml"])
    ]
    assert defaults[2].pop("live-inputs") == ""
    assert defaults[0] == defaults[1] == defaults[2]
    assert list(defaults[0]) == ["applications", "since", "mode", "dry-run", "publish"]


def test_the_secrets_that_can_be_given_are_the_same_wherever_the_bucket_is_opened() -> None:
    declared = {
        name: list(one["on"]["workflow_call"]["secrets"])
        for name, one in WORKFLOWS.items()
        if "secrets" in (one["on"].get("workflow_call") or {})
    }
    names = ("report", "forget", "health", "deploy-ingest")
    assert set(declared) == {f"workflows/{name}.yml" for name in names}
    report, forget, health, deploy = (declared[f"workflows/{name}.yml"] for name in names)
    # Only the report counts anything, perhaps on a cluster, and a deletion is followed by one.
    assert report == forget == [*health, "SPARK_REMOTE"] and deploy == health
    jobs = WORKFLOWS["workflows/forget.yml"]["jobs"]
    assert [name for name, job in jobs.items() if "SPARK_REMOTE" in str(job)] == ["publish"]
    given = jobs["publish"]["secrets"]
    assert given == {name: f"${{{{ secrets.{name} }}}}" for name in report}
    text = "".join((ROOT / ".github" / name).read_text(encoding="utf-8") for name in WORKFLOWS)
    assert set(re.findall(r"secrets\.(\w+)", text)) == set(declared["workflows/report.yml"])


LOGS_IN = ("$/.github/actions/login", "aws-actions/configure-aws-credentials", "Azure/login")


def test_what_reaches_data_has_no_environment_and_an_approval_has_no_rights() -> None:
    """GitHub names a job in an environment by that, not by its branch, and whoever can push a branch can make one."""
    waiting = []
    for name, workflow in WORKFLOWS.items():
        for id, job in workflow["jobs"].items():
            reaches = any(step.get("uses", "").startswith(LOGS_IN) for step in job.get("steps", []))
            secret = "secrets." in str(job)
            environment = job.get("environment")
            if reaches or secret:
                assert environment is None, f"{name}: {id}"
            if isinstance(environment, str) and name != "workflows/release.yml":
                waiting.append((name, id, environment))
                assert (job["permissions"], [list(step) for step in job["steps"]]) == ({}, [["name", "shell", "run"]])
                (after,) = [other for other, one in workflow["jobs"].items() if one.get("needs") == id]
                assert workflow["jobs"][after].get("if") is None, "without an approval it does not run"
    assert sorted(waiting) == [
        ("workflows/deploy-ingest.yml", "approve", "ingest"),
        ("workflows/forget.yml", "approve", "forget"),
    ]


def test_every_workflow_that_runs_by_itself_reports_what_is_wrong() -> None:
    """A job in which the status issue is kept needs each job that can fail, and runs whatever became of it."""
    for name in ("report", "forget", "health", "deploy-ingest"):
        jobs = WORKFLOWS[f"workflows/{name}.yml"]["jobs"]
        telling = {id: job for id, job in jobs.items() if "toJSON(needs)" in str(job)}
        reported = {
            one
            for job in telling.values()
            for one in ([job["needs"]] if isinstance(job["needs"], str) else job["needs"])
        }
        # An approval that somebody withholds is no fault, and what `report` does it reports itself.
        assert reported | set(telling) == {id for id in jobs if id != "approve" and "uses" not in jobs[id]}, name
        for id, job in telling.items():
            steps_ = [step for step in job["steps"] if "toJSON(needs)" in str(step)]
            assert job["if"].startswith("always()") or id == "publish"
            assert len(job["steps"]) == 1 or steps_[0]["if"] == "always()"
            assert job["concurrency"]["group"] == "abaculus-status", "two at once would open two issues"


def test_no_log_shows_a_variable_that_is_not_ours() -> None:
    """What an action is given stands in the log: toJSON(vars) has every variable of the organization."""
    passed = set()
    for name in DOCUMENTS:
        text = (ROOT / ".github" / name).read_text(encoding="utf-8")
        assert not re.search(r"toJSON\((vars|secrets|github|env)\)", text, re.IGNORECASE), name
        for step in steps(DOCUMENTS[name]):
            if step.get("uses", "").endswith("actions/login"):
                given = step["with"]["variables"]
                passed.add(given)
                filled = re.sub(r"\$\{\{ toJSON\(vars\.(\w+)\) \}\}", r'"\1"', given)
                assert all(name == value for name, value in json.loads(filled).items())
    (one,) = passed
    table = (ROOT / "site/docs/clouds.md").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"vars\.(\w+)", one) if f"`{name}`" not in table} == set()


def test_a_pull_request_meets_no_secret_and_no_bucket() -> None:
    for name, workflow in WORKFLOWS.items():
        text = (ROOT / ".github" / name).read_text(encoding="utf-8")
        assert "pull_request_target" not in text and "workflow_run" not in text
        if "pull_request" in workflow["on"]:
            assert "secrets." not in text and "vars." not in text and "id-token" not in text, name


def test_a_schedule_fires_at_an_odd_minute() -> None:
    crons = [one["cron"] for flow in WORKFLOWS.values() for one in (flow["on"].get("schedule") or [])]
    assert len(crons) == 2
    assert all(int(cron.split()[0]) % 15 for cron in crons)


def test_the_id_of_a_person_is_no_input_of_a_job_and_no_variable_of_a_step() -> None:
    text = (ROOT / ".github/workflows/forget.yml").read_text(encoding="utf-8")
    assert "inputs.user_id" in text
    assert not re.search(r"\$\{\{[^}]*(inputs|github\.event)", text)
    assert "user_id" not in str(WORKFLOWS["workflows/forget.yml"]["on"]["workflow_call"])


def test_every_step_is_run_by_a_test_or_says_why_not() -> None:
    names = {step["name"] for document in DOCUMENTS.values() for step in steps(document) if "run" in step}
    assert names == TESTED | set(ELSEWHERE)


def test_every_kind_of_test_has_a_job() -> None:
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    parts = WORKFLOWS["workflows/ci.yml"]["jobs"]["heavy"]["strategy"]["matrix"]["part"]
    covered = [mark for part in parts if part != "site" for mark in part.split(" or ")]
    assert sorted(covered) == sorted(mark.partition(":")[0] for mark in marks)


# Each step


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "temp")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of a maintainer's own, and a bucket with sessions of twelve people."""
    page = "# Notes\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
    sites.project(tmp_path / "checkout", {"index.md": page})
    start = datetime.now(UTC) - timedelta(days=1)
    made = [buckets.session(number, **one) for number, one in enumerate(sites.runs(1, 12, start=start))]
    store = open_bucket(str(tmp_path / "bucket"))
    buckets.batch(store, *made, known=buckets.registry(sites.APPLICATION), ingested=datetime.now(UTC))
    return tmp_path / "checkout"


def report(runner: Runner, project: Path, **given: str) -> Any:
    """The step that compacts and builds, in the project's checkout."""
    inputs = {"APPLICATIONS": "", "SINCE": "", "MODE": "incremental", "DRY_RUN": "false", "PUBLISH": "true"}
    runner.checkout = project
    bucket = (project.parent / "bucket").as_uri()
    return runner.step("actions/report/action.yml", "Compact and build", **inputs | {"ABACULUS_BUCKET": bucket} | given)


def test_a_report_is_built_and_its_attempt_named(runner: Runner, project: Path) -> None:
    done = report(runner, project, GITHUB_RUN_ATTEMPT="2")
    assert done.code == 0, done.log
    assert done.outputs() == {"built": "true", "published": "true", "stamp": "77-2"}
    assert "| notes | stored | 10 |" in done.files["GITHUB_STEP_SUMMARY"]
    site = runner.temp / "site"
    assert json.loads((site / "abaculus-build.json").read_text(encoding="utf-8"))["run"] == "77-2"
    assert (site / "index.html").is_file()
    # What is published has neither the bucket nor its local copy.
    assert not [path for path in site.rglob("*") if path.name in ("raw", "tables", "ledger")]


def test_a_report_in_which_nothing_is_new_builds_nothing_and_one_with_something_new_does(
    runner: Runner, project: Path
) -> None:
    report(runner, project)
    site = runner.temp / "site"
    stamp = json.loads((site / "abaculus-build.json").read_text(encoding="utf-8"))

    def again(**given: str) -> dict[str, str]:
        shutil.rmtree(site, ignore_errors=True)
        done = report(runner, project, LIVE_INPUTS=stamp["inputs"], **given)
        assert done.code == 0, done.log
        return {name: done.outputs()[name] for name in ("built", "published")}

    assert again() == {"built": "false", "published": "false"}
    assert not site.exists()
    # A page or the registry changed.
    assert again(GITHUB_SHA="d" * 40)["published"] == "true"
    # A session came.
    made = [buckets.session(99, **one) for one in sites.runs(30, 30, start=datetime.now(UTC) - timedelta(hours=1))]
    store = open_bucket(str(project.parent / "bucket"))
    buckets.batch(store, *made, known=buckets.registry(sites.APPLICATION), ingested=datetime.now(UTC))
    assert again()["published"] == "true"


@pytest.mark.parametrize(("given", "published"), [({"DRY_RUN": "true"}, "false"), ({"PUBLISH": "false"}, "false")])
def test_what_is_not_to_be_published_is_not(
    runner: Runner, project: Path, given: dict[str, str], published: str
) -> None:
    done = report(runner, project, **given)
    assert (done.code, done.outputs()["published"]) == (0, published)
    stored = buckets.keys(open_bucket(str(project.parent / "bucket")), "tables/")
    assert bool(stored) == ("DRY_RUN" not in given)


def test_a_report_that_fails_says_so_and_publishes_nothing(runner: Runner, project: Path) -> None:
    done = report(runner, project, SINCE="$(touch injected); yesterday")
    assert (done.code, done.files["GITHUB_OUTPUT"]) == (2, "")
    assert "2026-01-31" in done.log
    assert not (project / "injected").exists()


def test_without_a_bucket_the_demo_is_published_and_the_click_named(runner: Runner, project: Path) -> None:
    done = report(runner, project, ABACULUS_BUCKET="")
    assert done.code == 0, done.log
    assert done.outputs()["published"] == "true"
    click = "https://github.com/me/my-tool/settings/variables/actions"
    assert f"Set the variable ABACULUS_BUCKET ({click})" in done.log
    assert click in done.files["GITHUB_STEP_SUMMARY"]
    assert "ab-sample" in (runner.temp / "site/index.html").read_text(encoding="utf-8")


def settings(runner: Runner, variables: dict[str, str], **secrets: str) -> Any:
    return runner.step("actions/login/action.yml", "Read the settings", VARIABLES=json.dumps(variables), **secrets)


def test_the_settings_reach_the_steps_to_come_and_what_is_empty_does_not(runner: Runner) -> None:
    assert settings(runner, {}).files["GITHUB_ENV"] == ""
    variables = {"ABACULUS_BUCKET": "s3://b", "AWS_REGION": "auto", "AWS_ENDPOINT_URL": "", "PATH": "/evil"}
    done = settings(runner, variables, AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    assert done.code == 0, done.log
    assert done.outputs("GITHUB_ENV") == {
        "ABACULUS_BUCKET": "s3://b", "AWS_REGION": "auto", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    # The key is used as it is: a login with a role would replace it.
    assert "aws-role" not in done.outputs()
    assert "secret" not in done.log


def test_keyless_logins_are_asked_for_where_there_is_no_key(runner: Runner) -> None:
    role = {"ABACULUS_BUCKET": "s3://b", "AWS_REGION": "eu-central-1", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
    assert settings(runner, role).outputs()["aws-role"] == "arn:aws:iam::1:role/x"
    azure = {
        "ABACULUS_BUCKET": "az://c",
        "AZURE_STORAGE_ACCOUNT_NAME": "a",
        "AZURE_CLIENT_ID": "i",
        "AZURE_TENANT_ID": "t",
    }
    assert settings(runner, azure).outputs()["azure-client"] == "i"
    key = '{\n "type": "service_account"\n}'
    done = settings(runner, {"ABACULUS_BUCKET": "gs://b"}, GOOGLE_SERVICE_ACCOUNT_KEY=key)
    file = Path(done.outputs("GITHUB_ENV")["GOOGLE_SERVICE_ACCOUNT"])
    assert (file.read_text(encoding="utf-8"), file.stat().st_mode & 0o777) == (key, 0o600)


@pytest.mark.parametrize(
    ("bucket", "named"),
    [("s3://b", "the variable AWS_ROLE_ARN"), ("gs://b", "the secret GOOGLE_SERVICE_ACCOUNT_KEY"),
     ("az://c", "the variable AZURE_STORAGE_ACCOUNT_NAME")],
)  # fmt: skip
def test_what_a_bucket_lacks_is_named_with_the_click_that_sets_it(runner: Runner, bucket: str, named: str) -> None:
    done = settings(runner, {"ABACULUS_BUCKET": bucket})
    assert (done.code, done.files["GITHUB_ENV"]) == (1, "")
    assert "::error title=Not set up yet::" in done.log
    assert named in done.log and "/settings/secrets/actions" in done.log


def test_a_setting_cannot_add_another(runner: Runner) -> None:
    done = settings(runner, {"ABACULUS_BUCKET": "file:///b\nLD_PRELOAD=/evil"})
    assert (done.code, done.files["GITHUB_ENV"]) == (1, "")


def test_a_login_that_only_the_default_branch_has_is_not_tried_from_another(runner: Runner) -> None:
    role = {"ABACULUS_BUCKET": "s3://b", "AWS_REGION": "eu-central-1", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
    runner.payload = {"repository": {"default_branch": "trunk"}}
    done = settings(runner, role)
    assert (done.code, "trusts the branch trunk" in done.log) == (1, True)
    assert settings(runner, role, GITHUB_REF="refs/heads/trunk").code == 0
    # A stored key opens the bucket from anywhere; and a schedule fires on the default branch only.
    key = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert settings(runner, role, **key).code == 0
    runner.payload = {"schedule": "23 * * * *"}
    assert settings(runner, role).code == 0


def test_another_server_than_github_com_is_named_before_anything_is_tried(runner: Runner) -> None:
    done = settings(runner, {"ABACULUS_BUCKET": "file:///b"}, GITHUB_SERVER_URL="https://github.example.com")
    assert (done.code, "::error title=Not set up yet::this runs on https://github.example.com" in done.log) == (1, True)


def test_azures_token_is_masked_before_anything_else(runner: Runner) -> None:
    bin = runner.temp / "bin"
    bin.mkdir(parents=True)
    (bin / "az").write_text("#!/bin/sh\necho token-of-azure\n", encoding="utf-8")
    (bin / "az").chmod(0o755)
    done = runner.step("actions/login/action.yml", "Ask Azure for a token to its storage", PATH=f"{bin}:/usr/bin:/bin")
    assert (done.code, done.log) == (0, "::add-mask::token-of-azure\n")
    assert done.outputs("GITHUB_ENV") == {"AZURE_STORAGE_TOKEN": "token-of-azure"}


@pytest.mark.wheel
@pytest.mark.parametrize("engine", ["", "spark"])
def test_the_setup_installs_from_the_lock_and_puts_the_command_on_the_path(runner: Runner, engine: str) -> None:
    # Node is not needed: charts are drawn with a script that lies in the repository.
    (runner.temp / "without").mkdir(parents=True)
    (runner.temp / "without/npm").write_text(f"#!/bin/sh\ntouch {runner.temp}/called\nexit 1\n", encoding="utf-8")
    (runner.temp / "without/npm").chmod(0o755)
    path = f"{runner.temp}/without:{Path(sys.executable).parent}:/usr/bin:/bin"
    done = runner.step("actions/setup/action.yml", "Install", ABACULUS_ENGINE=engine, PATH=path)
    assert done.code == 0, done.log
    assert re.search(r"plotly\.js \(cartesian[^)]*\) v\d", done.log)
    assert not (runner.temp / "called").exists()
    bin = Path(done.files["GITHUB_PATH"].strip())
    said = subprocess.run(
        [bin / "abaculus", "--version"], cwd=runner.temp, capture_output=True, encoding="utf-8", check=True
    )
    assert said.stdout.startswith("abaculus ")
    found = subprocess.run([bin / "python", "-c", "import pyspark"], capture_output=True)
    assert (found.returncode == 0) == bool(engine)


def test_a_preview_has_each_mistake_once_beside_its_line_and_in_the_summary_and_still_has_a_site(
    runner: Runner, project: Path
) -> None:
    """GitHub shows ten of a step beside their lines. Colors are on, which must not come before a mark."""
    runner.checkout = project
    chart = "```yaml chart\ntype: bar\ndata: sessions\nx: {}\ny: people\n```\n\n"
    (project / "site/index.md").write_text(
        "# Notes\n\n" + "".join(chart.format(f"shel{n}") for n in range(13)), encoding="utf-8"
    )
    (project / "site/good.md").write_text("# Good\n\n" + chart.format("shell"), encoding="utf-8")
    done = runner.step("workflows/preview.yml", "Check and build", FORCE_COLOR="1")
    assert done.code == 1
    lines = [6 + 7 * n for n in range(13)]
    marked = [line for line in done.log.splitlines() if line.startswith("::error ")]
    assert [int(re.findall(r"file=site/index.md,line=(\d+)", line)[0]) for line in marked] == lines
    summary = done.files["GITHUB_STEP_SUMMARY"]
    assert [int(line) for line in re.findall(r"(?m)^\| error \| site/index.md:(\d+) ", summary)] == lines
    site = runner.temp / "demo/site"
    assert "shel12" in (site / "index.html").read_text(encoding="utf-8")
    assert "<figure" in (site / "good.html").read_text(encoding="utf-8")


def test_a_preview_is_built_from_made_up_sessions_of_the_projects_own_registry(runner: Runner, project: Path) -> None:
    runner.checkout = project
    done = runner.step("workflows/preview.yml", "Check and build")
    assert done.code == 0, done.log
    page = (runner.temp / "demo/site/index.html").read_text(encoding="utf-8")
    assert "ab-sample" in page and "http" not in "".join(re.findall(r'src="([^"]+)"', page))


# Deleting a person

ID = buckets.uuid(1_000_001)


def forget(runner: Runner, project: Path, given: Any) -> tuple[str, int]:
    """Both steps, with an event as the form sends it; the whole log, and the code of the one that failed."""
    event = project.parent / "event.json"
    event.write_text(json.dumps({"inputs": {"user_id": given}}), encoding="utf-8")
    runner.checkout = project
    first = runner.step("workflows/forget.yml", "Read the id, and hide it", GITHUB_EVENT_PATH=str(event))
    if first.code:
        return first.log, first.code
    bucket = (project.parent / "bucket").as_uri()
    second = runner.step("workflows/forget.yml", "Delete", ABACULUS_BUCKET=bucket)
    return first.log + second.log + second.files["GITHUB_STEP_SUMMARY"], second.code


def shown(log: str) -> str:
    """What a reader of the log sees: the command that masks is not shown, and what is masked neither."""
    lines = log.splitlines()
    masked = [line.removeprefix("::add-mask::") for line in lines if line.startswith("::add-mask::")]
    text = "\n".join(line for line in lines if not line.startswith("::add-mask::"))
    for one in masked:
        text = text.replace(one, "***")
    return text


def test_a_person_is_deleted_and_the_log_does_not_name_them(runner: Runner, project: Path) -> None:
    log, code = forget(runner, project, f" {ID.upper()}\n")
    assert code == 0, log
    # The first line hides it; nothing after it even has to be hidden.
    assert log.startswith(f"::add-mask::{ID}\n")
    assert log.count(ID) == 1
    assert "### Deleted" in log and "id 1: deleted some raw sessions" in log
    assert not (runner.temp / "user-id").exists()
    store = open_bucket(str(project.parent / "bucket"))
    for key in buckets.keys(store):
        data = bytes(store.get(key).bytes())
        assert ID.encode() not in (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data), key


def test_a_person_is_deleted_by_a_code_that_does_not_show_their_id(runner: Runner, project: Path) -> None:
    """As the issue form of a project asks for it."""
    log, code = forget(runner, project, hashlib.sha256(ID.encode()).hexdigest())
    assert (code, ID in log, "id 1: deleted some raw sessions" in log) == (0, False, True), log


def test_a_deletion_that_is_not_whole_fails_and_still_hides_the_id(runner: Runner, project: Path) -> None:
    cut = project.parent / "bucket/raw/v1/notes/2026-01-01/cut.json.gz"
    cut.parent.mkdir(parents=True)
    cut.write_bytes(b"\x1f\x8bcut")
    log, code = forget(runner, project, ID)
    assert (code, log.count(ID), (runner.temp / "user-id").exists()) == (1, 1, False)
    assert "### Not all is deleted" in log and "cut.json.gz" not in log


@pytest.mark.parametrize("given", ["somebody", "", None, f"{ID}; echo", "8b7f4d7e-6a39-1f0e-8a42-5f7f2f6f0c55", "a\nb"])
def test_what_is_no_id_deletes_nobody_and_is_not_shown(runner: Runner, project: Path, given: str | None) -> None:
    log, code = forget(runner, project, given)
    assert code == 1
    assert "Nothing was deleted" in log
    if given:
        assert given not in shown(log)


# What looks from the outside: tests/github/test_watch.py has the rest


def test_health_is_bad_when_no_run_came_or_much_was_set_aside(runner: Runner, project: Path) -> None:
    runner.checkout = project
    bucket = (project.parent / "bucket").as_uri()

    def health() -> Any:
        return runner.step("workflows/health.yml", "Check the runs of the last day", ABACULUS_BUCKET=bucket)

    done = health()
    assert done.code == 1 and "workflow report" in done.log
    report(runner, project)
    assert health().log == "all is well\n"
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-00000000"
    entry: dict[str, Any] = {"kind": "compact", "run": run, "error": "<b>quoted</b>"}
    entry["started"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
    entry["applications"] = {"notes": {"sessions": 200, "quarantined": 10, "waiting": 100}}
    open_bucket(str(project.parent / "bucket")).put(f"ledger/{run}.json", json.dumps(entry).encode())
    done = health()
    assert done.code == 1
    assert "quoted" not in done.log
    said = [line for line in done.log.splitlines() if not line.startswith("::error title=abaculus health::")]
    assert done.log.count("::error title=abaculus health::") == len(said) == 3
    assert [re.findall(r"[\d.]+%", line) for line in said] == [[], ["1.0%"], ["10.0%"]]


@pytest.mark.parametrize(
    ("file", "name"), [("health", "Send a session, twice"), ("deploy-ingest", "Send it a session, twice")]
)
def test_the_probe_names_a_function_that_does_not_answer(runner: Runner, file: str, name: str) -> None:
    done = runner.step(f"workflows/{file}.yml", name, ENDPOINT="http://127.0.0.1:9", HOST_NAME="127.0.0.1:9")
    assert (done.code, "failed" in done.log) == (1, True)


def test_a_registry_with_a_fault_is_not_deployed(runner: Runner, project: Path) -> None:
    runner.checkout = project
    assert runner.step("workflows/deploy-ingest.yml", "Check the registry").code == 0
    (project / "applications/notes.toml").write_text("id = 3", encoding="utf-8")
    assert runner.step("workflows/deploy-ingest.yml", "Check the registry").code == 1


def test_a_registry_that_compaction_would_refuse_is_not_deployed(runner: Runner, project: Path) -> None:
    runner.checkout = project
    file, bucket = project / "applications/notes.toml", str(project.parent / "bucket")
    text = file.read_text(encoding="utf-8")
    compact(open_bucket(bucket), bucket, buckets.registry(text))

    def compared(bucket: str = bucket) -> int:
        step = ("workflows/deploy-ingest.yml", "Compare it with the tables")
        return runner.step(*step, ABACULUS_BUCKET=bucket).code

    assert compared() == 0
    # What a maintainer has decided to lose is deployed: compaction takes it.
    file.write_text(text.replace("[attributes.comment]", "[attributes.remark]"), encoding="utf-8")
    assert compared() == 0
    file.write_text(text.replace('type = "boolean"\nrole = "ci"', 'type = "string"'), encoding="utf-8")
    assert compared() == 1
    file.write_text(text, encoding="utf-8")
    assert compared("file:///nowhere/bucket") != 0


def test_a_pull_request_is_compared_with_its_base(runner: Runner, project: Path) -> None:
    runner.checkout = project
    file = project / "applications/notes.toml"
    text = file.read_text(encoding="utf-8")
    for message in ("Base", "Change"):
        for command in (["init", "-q"], ["add", "applications"], ["commit", "-q", "--allow-empty", "-m", message]):
            who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
            subprocess.run(["git", *who, *command], cwd=project, check=True)
        file.write_text(
            text.replace('type = "integer"', 'type = "string"').replace('role = "exit_code"\n', ""), encoding="utf-8"
        )
    done = runner.step("workflows/preview.yml", "Compare the registry with the base")
    assert (done.code, done.log.count("::error ")) == (1, 2)  # another type, and its role
    file.write_text(text, encoding="utf-8")
    assert runner.step("workflows/preview.yml", "Compare the registry with the base").code == 0


def test_a_tag_that_is_not_the_version_makes_no_release(runner: Runner) -> None:
    done = runner.step("workflows/release.yml", "The tag is the version", GITHUB_REF_NAME="v99.0.0")
    assert (done.code, "pyproject.toml says" in done.log) == (1, True)


def test_what_publishes_a_release_holds_the_built_files_and_nothing_else() -> None:
    jobs = WORKFLOWS["workflows/release.yml"]["jobs"]
    for id, rights in {"pypi": {"id-token": "write"}, "publish": {"contents": "write"}}.items():
        job = jobs[id]
        assert (job["needs"], job["permissions"]) == ("build", rights)
        used = [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]
        assert set(used) <= {"actions/download-artifact", "astral-sh/setup-uv"}
        assert len([step for step in job["steps"] if "run" in step]) == 1
        assert "secrets." not in str(job)
    assert "contents" in jobs["build"]["permissions"] and jobs["build"]["permissions"]["contents"] == "read"


def test_the_documentation_installs_from_the_repository_and_nothing_by_a_name_that_may_be_a_strangers() -> None:
    pages = [ROOT / "README.md", *(ROOT / "site").rglob("*.md"), *(ROOT / "ingest/client").glob("*.md")]
    by_name = re.compile(
        r"(?:install|add|inject) (?:[\w-]+ )*['\"]?abaculus(?:-client)?(?:\[\w+\])?['\"]?\s*$", re.MULTILINE
    )
    assert by_name.search("uv tool install 'abaculus[spark]'\n") and by_name.search("pip install abaculus-client\n")
    assert {path.name: found[0] for path in pages if (found := by_name.search(path.read_text(encoding="utf-8")))} == {}


def test_the_list_for_an_organization_has_every_action_that_a_project_uses_and_no_other() -> None:
    page = (ROOT / "site/docs/where-it-works.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"(?s)```text\n(.*?)```", page)
    called = {f"workflows/{name}.yml" for name in ("report", "forget", "health", "preview", "deploy-ingest")}
    used = {
        "/".join(one.split("@")[0].split("/")[:2])
        for name, one, _ in uses()
        if not one.startswith("$/") and (name in called or name.startswith("actions/"))
    }
    assert [line.strip(",") for line in listed.splitlines()] == [
        "OWNER/NAME/*",
        *(f"{one}@*" for one in sorted(used, key=str.lower)),
    ]


def test_every_file_that_the_page_on_checks_names_is_there() -> None:
    named = set(
        re.findall(r"`((?:tests|\.ci)/[\w./-]+)`", (ROOT / "site/docs/where-it-works.md").read_text(encoding="utf-8"))
    )
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_yaml_is_read_as_github_reads_it() -> None:
    """`on` is a word there and not a truth, and no key stands twice."""
    for name in DOCUMENTS:
        text = (ROOT / ".github" / name).read_text(encoding="utf-8")
        assert yaml.load(text, yaml.BaseLoader).keys() & {"on", "runs"}
