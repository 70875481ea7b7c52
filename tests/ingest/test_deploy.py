"""What the deployments promise: rights to create and nothing else, and the function from its own lock alone."""

import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
import yaml
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import S3Store

from reports.sample.demo import ingest_server
from tests import sites
from tests.runner import Runner, documents, steps
from tests.servers import free_ports
from tests.waiting import until

DEPLOY = Path("ingest/deploy")
BUCKET = "arn:aws:s3:::telemetry"


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short functions as what they stand for here."""


Template.add_multi_constructor("!", lambda loader, tag, node: _resolved(tag, node))


def _resolved(tag: str, node: yaml.Node) -> Any:
    text = node.value if isinstance(node.value, str) else str(node.value)
    return text.replace("${Bucket.Arn}", BUCKET).replace("Bucket.Arn", BUCKET)


def policy(role: str) -> list[dict[str, Any]]:
    """The S3 statements of a role in the AWS template."""
    template = yaml.load((DEPLOY / "aws/template.yaml").read_text(encoding="utf-8"), Loader=Template)
    (only,) = template["Resources"][role]["Properties"]["Policies"]
    return [one for one in only["PolicyDocument"]["Statement"] if "s3:" in str(one["Action"])]


@contextmanager
def limited(statements: list[dict[str, Any]]) -> Iterator[Mapping[str, str]]:
    """The environment of somebody with these rights on the bucket `telemetry` of a server that enforces them."""
    (port,) = free_ports(1)
    # The first four calls, which set up, need no rights; every later one does.
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    try:
        endpoint = f"http://127.0.0.1:{port}"
        until(lambda: urllib.request.urlopen(f"{endpoint}/moto-api/data.json"), server).close()
        admin = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
        }
        s3, iam = boto3.client("s3", **admin), boto3.client("iam", **admin)  # type: ignore[call-overload]
        s3.create_bucket(Bucket="telemetry")
        iam.create_user(UserName="somebody")
        # The server does not know the condition key; that part of the promise is checked as text below.
        known = [{key: value for key, value in one.items() if key != "Condition"} for one in statements]
        document = json.dumps({"Version": "2012-10-17", "Statement": known})
        iam.put_user_policy(UserName="somebody", PolicyName="rights", PolicyDocument=document)
        key = iam.create_access_key(UserName="somebody")["AccessKey"]
        yield {
            "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def as_ingest() -> Iterator[S3Store]:
    """A store with the rights of the template's IngestRole."""
    with limited(policy("IngestRole")) as found:
        yield S3Store(
            "telemetry", endpoint=found["AWS_ENDPOINT_URL"], region=found["AWS_REGION"],
            client_options={"allow_http": True}, access_key_id=found["AWS_ACCESS_KEY_ID"],
            secret_access_key=found["AWS_SECRET_ACCESS_KEY"], retry_config={"max_retries": 0},
        )  # fmt: skip


@pytest.mark.s3
def test_the_function_on_aws_can_create_in_raw_and_do_nothing_else(as_ingest: S3Store) -> None:
    obstore.put(as_ingest, "raw/v1/x/2026-01-01/a.json.gz", b"a", mode="create", use_multipart=False)
    refused = {
        "read": lambda: obstore.get(as_ingest, "raw/v1/x/2026-01-01/a.json.gz"),
        "list": lambda: list(obstore.list(as_ingest)),
        "delete": lambda: obstore.delete(as_ingest, "raw/v1/x/2026-01-01/a.json.gz"),
        "write elsewhere": lambda: obstore.put(as_ingest, "tables/x", b"b", mode="create", use_multipart=False),
    }
    for what, action in refused.items():
        with pytest.raises((PermissionDeniedError, BaseError), match=r"(?i)denied|403|forbidden"):
            action()
            pytest.fail(f"it could {what}")


def test_the_function_on_aws_cannot_overwrite() -> None:
    (statement,) = policy("IngestRole")
    assert statement["Action"] == "s3:PutObject"
    assert statement["Resource"] == f"{BUCKET}/raw/*"
    assert statement["Condition"] == {"Null": {"s3:if-none-match": "false"}}


def trusted(role: str) -> dict[str, str | list[str]]:
    """The conditions under which GitHub's tokens may take on a role of the AWS template, for the repository me/tool."""
    text = (DEPLOY / "aws/template.yaml").read_text(encoding="utf-8")
    text = re.sub(
        r'!Sub \["(repo:[^"]+)", \{Name: !Select \[(\d), !Ref Repositories\]\}\]',
        lambda found: json.dumps(found[1].replace("${Name}", NAMES[int(found[2])]).replace("${Branch}", "main")),
        text,
    )
    template = yaml.load(text, Loader=Template)
    (statement,) = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    (operator,) = statement["Condition"].items()
    assert operator[0] == "StringEquals", "without a wildcard"
    found: dict[str, str | list[str]] = operator[1]
    return found


NAMES = ("me/tool", "me@1/tool@2")
# What GitHub calls a job: in an environment by that, and not by its branch.
STRANGERS = [
    "repo:me/tool:environment:forget", "repo:me/tool:environment:ingest", "repo:me/tool:environment:github-pages",
    "repo:me/tool:ref:refs/heads/mine", "repo:me/tool:ref:refs/heads/main/x", "repo:me/tool:ref:refs/tags/main",
    "repo:me/tool:pull_request", "repo:you/tool:ref:refs/heads/main", "repo:me@1/tool@3:ref:refs/heads/main",
]  # fmt: skip


@pytest.mark.parametrize("role", ["CompactRole", "DeployRole", "compact-trust.json"])
def test_aws_lets_in_the_default_branch_and_no_environment_that_somebody_can_make(role: str) -> None:
    """`report`, `forget` and `health` take on the one role, `deploy-ingest` the other."""
    if role.endswith(".json"):
        text = (DEPLOY / "aws" / role).read_text(encoding="utf-8")
        for name, value in {"OWNER_ID": "1", "NAME_ID": "2", "OWNER": "me", "NAME": "tool"}.items():
            text = text.replace(name, value)
        condition = json.loads(text)["Statement"][0]["Condition"]["StringEquals"]
    else:
        condition = trusted(role)
    assert condition.keys() == {f"token.actions.githubusercontent.com:{name}" for name in ("aud", "sub")}
    subjects = condition["token.actions.githubusercontent.com:sub"]
    assert {f"repo:{name}:ref:refs/heads/main" for name in NAMES} <= set(subjects)
    assert not set(STRANGERS) & set(subjects)


def test_azure_lets_in_the_default_branch_and_no_environment_that_somebody_can_make() -> None:
    credential = json.loads((DEPLOY / "azure/federated-credential.json").read_text(encoding="utf-8"))
    assert credential["subject"] == "repo:OWNER@OWNER_ID/NAME@NAME_ID:ref:refs/heads/main"
    assert list(DEPLOY.glob("azure/*credential*")) == [DEPLOY / "azure/federated-credential.json"]


def test_the_bucket_that_the_template_makes_keeps_no_versions() -> None:
    assert "VersioningConfiguration" not in (DEPLOY / "aws/template.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.json")), ids=lambda path: path.name)
def test_every_json_file_is_valid(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.wheel
def test_deploy_ingest_runs_in_the_environment_that_the_setup_makes_and_asks_aws_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of its job one after the other; a stand-in for Amazon's command line keeps what it was given."""
    sites.project(tmp_path / "checkout", {})
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    (tools / "aws").write_text(
        f"""#!/usr/bin/env bash
echo "$@" >> {tmp_path}/calls
case "$2" in
  describe-stack-resource) echo the-function ;;
  get-function-configuration) echo ingest.function.aws.handler ;;
  update-function-code) cp "${{6#fileb://}}" {tmp_path}/code.zip ;;
esac
""",
        encoding="utf-8",
    )
    (tools / "aws").chmod(0o755)
    # A runner's own programs, and no environment of these tests.
    path = f"{tools}:/usr/local/bin:/usr/bin:/bin"
    runner = Runner(tmp_path / "temp", tmp_path / "checkout", {"PATH": path})
    job = documents()["workflows/deploy-ingest.yml"]["jobs"]["function"]
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "checkout/applications"))
    ran = []
    with ingest_server(str(tmp_path / "bucket"), tmp_path / "log") as endpoint:
        for step in job["steps"]:
            name, file = step.get("name"), "workflows/deploy-ingest.yml"
            if step.get("uses", "").startswith("$/"):
                file = f"{step['uses'].removeprefix('$/.github/')}/action.yml"
                (name,) = [one["name"] for one in steps(documents()[file]) if "run" in one]
            if name is None:
                continue  # others' actions: the checkout and the login
            done = runner.step(file, name, ENDPOINT=endpoint)
            assert done.code == 0, f"{name}: {done.log}"
            ran.append(name)
            if added := done.files["GITHUB_PATH"].strip():
                runner.environment["PATH"] = f"{added}:{path}"
                assert subprocess.run([f"{added}/python", "-m", "pip"], capture_output=True).returncode, "no pip in it"
    assert ran == ["Install", "Deploy", "Send it a session, twice"]
    calls = [" ".join(line.split()[:2]) for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()]
    # Each is one of the rights of the template's DeployRole.
    assert calls == [
        "cloudformation describe-stack-resource", "lambda get-function-configuration", "lambda update-function-code",
        "lambda wait",
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        names = archive.namelist()
        assert {"ingest/function/aws.py", "applications/notes.toml"} <= set(names)
        assert not any(name.startswith(("granian", "applications/cairn")) for name in names)
        # For the processor that the function runs on, whatever this one is: an ELF file says it in bytes 18 and 19.
        (library,) = [name for name in names if name.startswith("obstore/") and name.endswith(".so")]
        assert archive.read(library)[18:20] == b"\xb7\x00"


def test_the_workflow_that_deploys_can_change_code_and_no_rights() -> None:
    template = yaml.load((DEPLOY / "aws/template.yaml").read_text(encoding="utf-8"), Loader=Template)
    role = template["Resources"]["DeployRole"]["Properties"]
    actions = [one["Action"] for one in role["Policies"][0]["PolicyDocument"]["Statement"]]
    assert actions == [
        ["lambda:UpdateFunctionCode", "lambda:GetFunctionConfiguration"],
        "cloudformation:DescribeStackResource",
    ]
