"""What the deployments promise: rights to create and nothing else, and the function from its own lock alone."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import venv
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

from tests import sites
from tests.runner import Runner
from tests.servers import free_ports

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
    template = yaml.load((DEPLOY / "aws/template.yaml").read_text(), Loader=Template)
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
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{endpoint}/moto-api/data.json").close()
                break
            except OSError:
                time.sleep(0.1)
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


def test_only_the_workflows_of_the_main_branch_may_compact_and_of_the_environment_forget_delete() -> None:
    text = (DEPLOY / "aws/template.yaml").read_text()
    trusted = re.findall(r'!Sub \["repo:\$\{Name\}:([^"]+)", \{Name: !Select \[(\d), !Ref Repositories\]\}\]', text)
    roles = ("environment:forget", "environment:ingest", "ref:refs/heads/main")
    assert sorted(trusted) == [(one, n) for one in roles for n in "01"]
    assert "VersioningConfiguration" not in text


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.json")), ids=lambda path: path.name)
def test_every_json_file_is_valid(file: Path) -> None:
    json.loads(file.read_text())


def test_the_functions_lock_has_the_versions_of_the_projects_lock() -> None:
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^ ]+", file.read_text(), re.MULTILINE))

    assert pins(DEPLOY / "requirements.txt") <= pins(Path("requirements.txt"))


@pytest.mark.s3
def test_the_container_files_steps_give_a_function_that_stores(tmp_path: Path) -> None:
    """The steps of the Containerfile without a container: its lock in a new environment, its files, its command."""
    steps = (DEPLOY / "Containerfile").read_text()
    assert "pip install --require-hashes --only-binary :all: -r requirements.txt" in steps
    assert "COPY ingest/*.py ./ingest/" in steps
    assert 'CMD ["python", "-m", "ingest"]' in steps
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    install = ["-m", "pip", "install", "-q", "--require-hashes", "--only-binary", ":all:", "-r"]
    subprocess.run([python, *install, str((DEPLOY / "requirements.txt").absolute())], check=True)
    app = tmp_path / "app"
    (app / "ingest").mkdir(parents=True)
    (app / "applications").mkdir()
    for file in Path("ingest").glob("*.py"):
        (app / "ingest" / file.name).write_bytes(file.read_bytes())
    for file in Path("ingest/applications").glob("*.toml"):
        (app / "applications" / file.name).write_bytes(file.read_bytes())
    environment = {"ABACULUS_BUCKET": str(tmp_path / "bucket"), "PORT": "0", "HOST": "127.0.0.1"}
    environment |= {"ABACULUS_APPLICATIONS": str(app / "applications")}
    process = subprocess.Popen([python, "-m", "ingest"], cwd=app, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found
        with urllib.request.urlopen(f"{found[0]}/ping") as answer:
            assert answer.read() == b"pong"
    finally:
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.wheel
def test_a_workflow_brings_the_code_and_the_registry_up_to_date_and_asks_aws_for_nothing_else(tmp_path: Path) -> None:
    """The action's script, with a stand-in for Amazon's command line that keeps what it was given."""
    sites.project(tmp_path / "checkout", {})
    (tmp_path / "aws").write_text(f"""#!/usr/bin/env bash
echo "$@" >> {tmp_path}/calls
case "$2" in
  describe-stack-resource) echo the-function ;;
  update-function-code) cp "${{6#fileb://}}" {tmp_path}/code.zip ;;
esac
""")
    (tmp_path / "aws").chmod(0o755)
    runner = Runner(tmp_path / "temp", tmp_path / "checkout")
    done = runner.step("actions/deploy-ingest/action.yml", "Deploy", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.code == 0, done.log
    assert "applications: abaculus-probe, notes" in done.log
    calls = [" ".join(line.split()[:2]) for line in (tmp_path / "calls").read_text().splitlines()]
    # Each is one of the rights of the template's DeployRole.
    assert calls == ["cloudformation describe-stack-resource", "lambda update-function-code", "lambda wait"]
    names = zipfile.ZipFile(tmp_path / "code.zip").namelist()
    assert {"ingest/aws.py", "applications/notes.toml"} <= set(names)
    assert any(name.startswith("obstore/") and name.endswith(".so") for name in names)
    assert not any(name.startswith(("granian", "applications/cairn")) for name in names)


def test_the_workflow_that_deploys_can_change_code_and_no_rights() -> None:
    template = yaml.load((DEPLOY / "aws/template.yaml").read_text(), Loader=Template)
    role = template["Resources"]["DeployRole"]["Properties"]
    actions = [one["Action"] for one in role["Policies"][0]["PolicyDocument"]["Statement"]]
    assert actions == [
        ["lambda:UpdateFunctionCode", "lambda:GetFunctionConfiguration"],
        "cloudformation:DescribeStackResource",
    ]
