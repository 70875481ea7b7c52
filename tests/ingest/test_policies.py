"""The rights that the page "Cloud settings" gives, as files: equal to what is deployed, enough, and no more."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.function.bucket_url import open_bucket
from reports.operations import doctor
from reports.writers.compact import compact
from reports.writers.forget import forget
from tests.buckets import REGISTRY, keep, session, uuid
from tests.ingest.test_deploy import BUCKET, DEPLOY, limited, policy

FILES = sorted([*DEPLOY.glob("*/*-policy.json"), *DEPLOY.glob("*/*-trust.json"), *DEPLOY.glob("*/*role*")])


def statements(name: str) -> list[dict[str, Any]]:
    """The statements of a policy file, for the bucket of the template's test."""
    text = (DEPLOY / "aws" / name).read_text(encoding="utf-8").replace("arn:aws:s3:::BUCKET", BUCKET)
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return [{key: value for key, value in one.items() if key != "Sid"} for one in found]


def test_the_files_say_what_the_template_deploys() -> None:
    assert statements("ingest-policy.json") == policy("IngestRole")
    assert statements("compact-policy.json") == policy("CompactRole")


@pytest.mark.s3
def test_the_rights_of_compaction_are_enough_for_all_that_workflows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    listing, objects = statements("compact-policy.json")
    # This server asks for the right to delete on the bucket itself, too; Amazon's asks for it on each object.
    quirk = objects | {"Action": "s3:DeleteObject", "Resource": BUCKET}
    with limited([listing, objects, quirk]) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = open_bucket("s3://telemetry")
        keep(store, session(1), session(2, user=2))
        assert compact(store, "s3://telemetry", REGISTRY).applications["notes"].stored == 2
        assert forget(store, "s3://telemetry", [uuid(1_000_001)]).rows == {"notes": 1}
        wrong = [one for one in doctor.compaction(store, "s3://telemetry", REGISTRY) if one.wrong]
        assert wrong == []


def test_other_clouds_roles_have_four_rights_on_objects_and_none_on_anything_else() -> None:
    google = yaml.safe_load((DEPLOY / "gcp/compact-role.yaml").read_text(encoding="utf-8"))["includedPermissions"]
    assert google == [f"storage.objects.{right}" for right in ("create", "delete", "get", "list")]
    azure = json.loads((DEPLOY / "azure/compact-role.json").read_text(encoding="utf-8"))
    blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    assert azure["DataActions"] == [f"{blobs}/{right}" for right in ("add/action", "delete", "read", "write")]
    assert azure["Actions"] == []


def test_no_policy_has_a_wildcard_for_actions_or_for_buckets() -> None:
    assert len(FILES) >= 5
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'"[a-z0-9]+:\*"|"\*"|:::\*', text), path


def test_the_page_names_every_file_and_every_setting_that_is_read() -> None:
    page = Path("site/docs/clouds.md").read_text(encoding="utf-8")
    for path in [*FILES, DEPLOY / "azure/federated-credential.json"]:
        assert str(path) in page, path
    # How this project publishes its own packages is no setting of those who use it.
    flows = "".join(
        path.read_text(encoding="utf-8") for path in Path(".github").rglob("*.yml") if path.name != "release.yml"
    )
    settings = Path(".github/actions/login/settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"(?:vars|secrets)\.([A-Z_]+)", flows)) | set(
        re.findall(r'"((?:AWS|AZURE|GOOGLE)_[A-Z_]+)"', settings)
    )
    assert {name for name in read if f"`{name}`" not in page} == set()
