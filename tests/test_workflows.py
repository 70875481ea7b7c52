"""The workflows: what all of them must keep to, and each of their steps, run as a runner runs it."""

import gzip
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.bucket import open_bucket
from tests import buckets, sites
from tests.runner import ROOT, GitHub, Runner, documents, steps

DOCUMENTS = documents()
WORKFLOWS = {name: one for name, one in DOCUMENTS.items() if name.startswith("workflows/")}
JOBS = [(name, id) for name, one in WORKFLOWS.items() for id in one["jobs"]]
# Steps that are run by no test, and why.
ELSEWHERE = {
    "Check everything": "it is .ci/run, of which this is a part",
    "Build, install and use it": "it is .ci/wheel; tests/test_init.py runs it",
    "Sign it": "it needs an identity that only GitHub gives",
    "Make the release": "it is one call of GitHub's own command",
    "Ask Azure for a token to its storage": "it needs Azure; that the token is masked first is tested",
    "Deploy": "tests/test_deploy.py runs it",
}
TESTED = {
    "Install", "Read the settings", "Compact and build", "Watch", "Check and build", "Read the id, and hide it",
    "Delete", "Send a session, twice", "Look at the last day's runs", "The tag is the version", "Check the registry",
    "Send it a session, twice",
}  # fmt: skip


def uses() -> list[tuple[str, str, str]]:
    """(File, what it uses, the line) of every reference to an action or a workflow."""
    return [
        (name, found[1], line)
        for name in DOCUMENTS
        for line in (ROOT / ".github" / name).read_text().splitlines()
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
        assert 1 <= int(found["timeout-minutes"]) <= 60
        assert found["runs-on"] == "ubuntu-24.04"


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
    assert defaults[0] == defaults[1] == defaults[2]
    assert list(defaults[0]) == ["applications", "since", "mode", "dry-run", "publish"]


def test_the_secrets_that_can_be_given_are_the_same_wherever_the_bucket_is_opened() -> None:
    declared = {
        name: list(one["on"]["workflow_call"]["secrets"])
        for name, one in WORKFLOWS.items()
        if "secrets" in (one["on"].get("workflow_call") or {})
    }
    assert set(declared) == {f"workflows/{name}.yml" for name in ("report", "forget", "health")}
    report, forget, health = (declared[f"workflows/{name}.yml"] for name in ("report", "forget", "health"))
    # Only the report counts anything, perhaps on a cluster, and a deletion is followed by one.
    assert report == forget == [*health, "SPARK_REMOTE"]
    jobs = WORKFLOWS["workflows/forget.yml"]["jobs"]
    assert [name for name, job in jobs.items() if "SPARK_REMOTE" in str(job)] == ["publish"]
    given = jobs["publish"]["secrets"]
    assert given == {name: f"${{{{ secrets.{name} }}}}" for name in report}
    text = "".join((ROOT / ".github" / name).read_text() for name in WORKFLOWS)
    assert set(re.findall(r"secrets\.(\w+)", text)) == set(declared["workflows/report.yml"])


def test_a_pull_request_meets_no_secret_and_no_bucket() -> None:
    for name, workflow in WORKFLOWS.items():
        text = (ROOT / ".github" / name).read_text()
        assert "pull_request_target" not in text and "workflow_run" not in text
        if "pull_request" in workflow["on"]:
            assert "secrets." not in text and "vars." not in text and "id-token" not in text, name


def test_a_schedule_fires_at_an_odd_minute() -> None:
    crons = [one["cron"] for flow in WORKFLOWS.values() for one in (flow["on"].get("schedule") or [])]
    assert len(crons) == 2
    assert all(int(cron.split()[0]) % 15 for cron in crons)


def test_the_id_of_a_person_is_no_input_of_a_job_and_no_variable_of_a_step() -> None:
    text = (ROOT / ".github/workflows/forget.yml").read_text()
    assert "inputs.user_id" in text
    assert not re.search(r"\$\{\{[^}]*(inputs|github\.event)", text)
    assert "user_id" not in str(WORKFLOWS["workflows/forget.yml"]["on"]["workflow_call"])


def test_every_step_is_run_by_a_test_or_says_why_not() -> None:
    names = {step["name"] for document in DOCUMENTS.values() for step in steps(document) if "run" in step}
    assert names == TESTED | set(ELSEWHERE)


def test_the_linters_find_nothing() -> None:
    flows, actions = sorted(ROOT.glob(".github/workflows/*.yml")), sorted(ROOT.glob(".github/actions/*/action.yml"))
    scripts = sorted(ROOT.glob(".github/actions/*/*.sh"))
    for command in (
        ["actionlint"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *flows],
        ["check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions],
        ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
        ["zizmor", "--offline", "--no-progress", "--pedantic", ".github"],
        ["shellcheck", *scripts, ".ci/run", ".ci/wheel", ".ci/release"],
    ):
        program = Path(sys.executable).with_name(str(command[0]))
        done = subprocess.run([program, *map(str, command[1:])], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_of_the_actions_has_the_versions_of_the_projects_lock_and_names_no_host() -> None:
    def pins(file: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^ ]+", (ROOT / file).read_text(), re.MULTILINE))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], "hatchling"]
    for lock, wanted in {
        "requirements": needed,
        "spark": [*needed, *project["optional-dependencies"]["spark"]],
    }.items():
        ours = pins(f".github/actions/setup/{lock}.txt")
        assert ours <= pins("requirements.txt")
        assert {one.split("==")[0] for one in ours} >= {re.split(r"[<>=]", one)[0] for one in wanted}
        assert "://" not in (ROOT / f".github/actions/setup/{lock}.txt").read_text()


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
    assert done.outputs() == {"published": "true", "stamp": "77-2"}
    assert "| notes | stored | 12 |" in done.files["GITHUB_STEP_SUMMARY"]
    site = runner.temp / "site"
    assert json.loads((site / "abaculus-build.json").read_text())["run"] == "77-2"
    assert (site / "index.html").is_file()
    # What is published has neither the bucket nor its local copy.
    assert not [path for path in site.rglob("*") if path.name in ("raw", "tables", "ledger")]


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
    assert "must be a day such as 2026-01-31" in done.log
    assert not (project / "injected").exists()


@pytest.mark.slow
def test_without_a_bucket_the_demo_is_published_and_the_click_named(runner: Runner, project: Path) -> None:
    done = report(runner, project, ABACULUS_BUCKET="")
    assert done.code == 0, done.log
    assert done.outputs()["published"] == "true"
    click = "https://github.com/me/my-tool/settings/variables/actions"
    assert f"Set the variable ABACULUS_BUCKET ({click})" in done.log
    assert click in done.files["GITHUB_STEP_SUMMARY"]
    assert "ab-sample" in (runner.temp / "site/index.html").read_text()


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
    assert (file.read_text(), file.stat().st_mode & 0o777) == (key, 0o600)


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


def test_azures_token_is_masked_before_anything_else(runner: Runner) -> None:
    bin = runner.temp / "bin"
    bin.mkdir(parents=True)
    (bin / "az").write_text("#!/bin/sh\necho token-of-azure\n")
    (bin / "az").chmod(0o755)
    done = runner.step("actions/login/action.yml", "Ask Azure for a token to its storage", PATH=f"{bin}:/usr/bin:/bin")
    assert (done.code, done.log) == (0, "::add-mask::token-of-azure\n")
    assert done.outputs("GITHUB_ENV") == {"AZURE_STORAGE_TOKEN": "token-of-azure"}


@pytest.mark.wheel
def test_the_setup_installs_from_its_own_lock_and_puts_the_command_on_the_path(runner: Runner) -> None:
    done = runner.step("actions/setup/action.yml", "Install")
    assert done.code == 0, done.log
    bin = Path(done.files["GITHUB_PATH"].strip())
    said = subprocess.run([bin / "abaculus", "--version"], cwd=runner.temp, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("abaculus ")


@pytest.mark.slow
def test_a_preview_has_every_mistake_beside_its_line(runner: Runner, project: Path) -> None:
    runner.checkout = project
    (project / "site/index.md").write_text(
        "# Notes\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shel\ny: people\n```\n"
    )
    done = runner.step("workflows/preview.yml", "Check and build")
    assert done.code == 1
    assert "::error file=site/index.md,line=6" in done.log


@pytest.mark.slow
def test_a_preview_is_built_from_made_up_sessions_of_the_projects_own_registry(runner: Runner, project: Path) -> None:
    runner.checkout = project
    done = runner.step("workflows/preview.yml", "Check and build")
    assert done.code == 0, done.log
    page = (runner.temp / "demo/site/index.html").read_text()
    assert "ab-sample" in page and "http" not in "".join(re.findall(r'src="([^"]+)"', page))


# Deleting a person

ID = buckets.uuid(1_000_001)


def forget(runner: Runner, project: Path, given: Any) -> tuple[str, int]:
    """Both steps, with an event as the form sends it; the whole log, and the code of the one that failed."""
    event = project.parent / "event.json"
    event.write_text(json.dumps({"inputs": {"user_id": given}}))
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
    assert "1 person forgotten" in log and "some raw sessions" in log
    assert not (runner.temp / "user-id").exists()
    store = open_bucket(str(project.parent / "bucket"))
    for key in buckets.keys(store):
        data = bytes(store.get(key).bytes())
        assert ID.encode() not in (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data), key


@pytest.mark.parametrize("given", ["somebody", "", None, f"{ID}; echo", "8b7f4d7e-6a39-1f0e-8a42-5f7f2f6f0c55", "a\nb"])
def test_what_is_no_id_deletes_nobody_and_is_not_shown(runner: Runner, project: Path, given: str | None) -> None:
    log, code = forget(runner, project, given)
    assert code == 1
    assert "Nothing was deleted" in log
    if given:
        assert given not in shown(log)


# What looks from the outside


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub().running() as server:
        yield server


def watch(runner: Runner, github: GitHub, command: str, **given: str) -> Any:
    environment = {
        "GITHUB_API_URL": github.url, "PAGE_URL": f"{github.url}/site/", "STAMP": "77-1", "HOURS": "26",
        "RESULTS": "{}", "WORKFLOWS": "report.yml health.yml", "WATCH_SECONDS": "1",
    }  # fmt: skip
    return runner.step("actions/watch/action.yml", "Watch", COMMAND=command, **environment | given)


def stamp(run: str = "77-1", age: timedelta = timedelta()) -> dict[str, str]:
    return {"built": f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}", "run": run}


def test_pages_that_are_off_are_named_with_the_click(runner: Runner, github: GitHub) -> None:
    assert watch(runner, github, "pages").code == 0
    for github.pages in (None, {"build_type": "legacy"}):
        done = watch(runner, github, "pages")
        assert done.code == 1
        assert "https://github.com/me/my-tool/settings/pages" in done.files["GITHUB_STEP_SUMMARY"]


def test_a_site_that_shows_this_build_is_live(runner: Runner, github: GitHub) -> None:
    github.stamp = stamp()
    done = watch(runner, github, "live")
    assert (done.code, github.dispatched) == (0, [])
    assert f"Live: {github.url}/site/" in done.files["GITHUB_STEP_SUMMARY"]


def test_a_site_that_stays_old_gets_one_fresh_attempt_and_not_two(runner: Runner, github: GitHub) -> None:
    for github.stamp in (stamp("76-1"), None):
        github.dispatched.clear()
        done = watch(runner, github, "live")
        assert (done.code, github.dispatched) == (1, [("report.yml", {"ref": "refs/heads/main"})])
        assert "a fresh attempt was started" in done.log
    done = watch(runner, github, "live", GITHUB_ACTOR="github-actions[bot]")
    assert (done.code, len(github.dispatched)) == (1, 1)


def test_an_old_site_and_a_schedule_that_does_not_fire_are_noticed(runner: Runner, github: GitHub) -> None:
    github.stamp = stamp(age=timedelta(hours=3))
    assert watch(runner, github, "age").code == 0
    github.stamp = stamp(age=timedelta(hours=30))
    assert "30 h ago" in watch(runner, github, "age").log
    assert "never started" in watch(runner, github, "schedule").log
    github.runs = {name: [{"created_at": stamp()["built"]}] for name in ("report.yml", "health.yml")}
    assert watch(runner, github, "schedule").code == 0
    github.runs["report.yml"] = [{"created_at": stamp(age=timedelta(days=3))["built"]}]
    done = watch(runner, github, "schedule")
    assert (done.code, "report.yml was last started on" in done.log) == (1, True)


def test_a_new_projects_schedule_has_a_day_to_fire(runner: Runner, github: GitHub) -> None:
    github.created = datetime.now(UTC) - timedelta(hours=2)
    assert watch(runner, github, "schedule").code == 0


def test_the_schedules_are_kept_alive(runner: Runner, github: GitHub) -> None:
    assert watch(runner, github, "awake").code == 0
    assert github.enabled == ["report.yml", "health.yml"]


def results(**jobs: str) -> str:
    return json.dumps({job: {"result": result, "outputs": {}} for job, result in jobs.items()})


def test_one_issue_is_opened_commented_and_closed(runner: Runner, github: GitHub) -> None:
    bad, good = results(build="failure", deploy="skipped"), results(build="success", deploy="success")
    watch(runner, github, "issue", RESULTS=good)
    assert github.issues == []
    for _ in range(2):
        assert watch(runner, github, "issue", RESULTS=bad).code == 0
    (issue,) = github.issues
    assert "sessions wait in the bucket" in issue["body"]
    assert "actions/runs/77" in issue["body"]
    assert github.comments == [], "an hourly run must not fill the issue"
    issue["updated_at"] = stamp(age=timedelta(days=2))["built"]
    watch(runner, github, "issue", RESULTS=bad)
    watch(runner, github, "issue", RESULTS=results(deploy="failure"))
    assert [number for number, _ in github.comments] == [1, 1]
    watch(runner, github, "issue", RESULTS=good)
    assert (issue["state"], github.comments[-1][1].startswith("It works again")) == ("closed", True)
    watch(runner, github, "issue", RESULTS=bad)
    assert len(github.issues) == 2


def test_what_one_workflow_mends_does_not_hide_what_another_found(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(probe="failure"), GITHUB_WORKFLOW="health")
    watch(runner, github, "issue", RESULTS=results(build="failure"))
    watch(runner, github, "issue", RESULTS=results(build="success"))
    (issue,) = github.issues
    assert issue["state"] == "open"
    assert "takes no" not in issue["body"] and "does not take sessions" in issue["body"]
    watch(runner, github, "issue", RESULTS=results(probe="success"), GITHUB_WORKFLOW="health")
    assert issue["state"] == "closed"


def test_a_job_that_did_not_run_mends_nothing(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(build="success", deploy="failure"), GITHUB_WORKFLOW="forget")
    # The same run's other part, which only deletes.
    watch(runner, github, "issue", RESULTS=results(delete="success"), GITHUB_WORKFLOW="forget")
    (issue,) = github.issues
    assert (issue["state"], "did not take the site" in issue["body"]) == ("open", True)
    watch(runner, github, "issue", RESULTS=results(build="success", deploy="success"), GITHUB_WORKFLOW="forget")
    assert issue["state"] == "closed"


def test_what_was_cancelled_says_nothing_and_issues_may_be_off(runner: Runner, github: GitHub) -> None:
    watch(runner, github, "issue", RESULTS=results(build="cancelled", deploy="skipped"))
    github.has_issues = False
    done = watch(runner, github, "issue", RESULTS=results(build="failure"))
    assert (done.code, "Issues are off here" in done.log, github.issues) == (0, True, [])


@pytest.mark.slow
def test_health_is_bad_when_no_run_came_or_much_was_set_aside(runner: Runner, project: Path) -> None:
    runner.checkout = project
    bucket = (project.parent / "bucket").as_uri()

    def health() -> Any:
        return runner.step("workflows/health.yml", "Look at the last day's runs", ABACULUS_BUCKET=bucket)

    assert "no compaction has run yet" in health().log
    report(runner, project)
    assert health().log == "all is well\n"
    entry = {"kind": "compact", "started": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}", "error": "<b>quoted</b>"}
    entry["applications"] = {"notes": {"sessions": 200, "quarantined": 10, "waiting": 100}}
    open_bucket(str(project.parent / "bucket")).put("ledger/99999999T.json", json.dumps(entry).encode())
    done = health()
    assert done.code == 1
    assert "set aside, more than 1.0%" in done.log and "wait for the registry" in done.log
    assert "the last compaction failed" in done.log and "quoted" not in done.log
    assert done.log.count("::error title=abaculus health::") == 3


@pytest.mark.parametrize(
    ("file", "name"), [("health", "Send a session, twice"), ("deploy-ingest", "Send it a session, twice")]
)
def test_the_probe_names_a_function_that_does_not_answer(runner: Runner, file: str, name: str) -> None:
    done = runner.step(f"workflows/{file}.yml", name, ENDPOINT="http://127.0.0.1:9", HOST_NAME="127.0.0.1:9")
    assert (done.code, "failed" in done.log) == (1, True)


def test_a_registry_with_a_fault_is_not_deployed(runner: Runner, project: Path) -> None:
    runner.checkout = project
    assert runner.step("workflows/deploy-ingest.yml", "Check the registry").code == 0
    (project / "applications/notes.toml").write_text("id = 3")
    assert runner.step("workflows/deploy-ingest.yml", "Check the registry").code == 1


def test_a_tag_that_is_not_the_version_makes_no_release(runner: Runner) -> None:
    done = runner.step("workflows/release.yml", "The tag is the version", GITHUB_REF_NAME="v99.0.0")
    assert (done.code, "pyproject.toml says" in done.log) == (1, True)


def test_yaml_is_read_as_github_reads_it() -> None:
    """`on` is a word there and not a truth, and no key stands twice."""
    for name in DOCUMENTS:
        text = (ROOT / ".github" / name).read_text()
        assert yaml.load(text, yaml.BaseLoader).keys() & {"on", "runs"}
