"""Tells later steps, in their environment, where the bucket is and how to open it. Names missing settings.

Reads the variables that it knows from $VARIABLES (JSON), and secrets from the variables of the same names. It leaves
out empty values, because an empty setting would hide a value from a login.
"""

import json
import os
import sys
from pathlib import Path

# Variables that later steps read under the same name.
PASSED = (
    "ABACULUS_BUCKET", "AWS_REGION", "AWS_ENDPOINT_URL", "AZURE_STORAGE_ACCOUNT_NAME",
    "ABACULUS_ENGINE", "SPARK_BUCKET",
)  # fmt: skip
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "SPARK_REMOTE")
GOOGLE = "GOOGLE_SERVICE_ACCOUNT_KEY"
# The settings that a bucket needs. Each row is a way to log in, and one must be complete.
NEEDS = {
    "s3": (("AWS_ROLE_ARN", "AWS_REGION"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    "gs": ((GOOGLE,),),
    "az": (
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
    ),
}


def main() -> None:
    """It writes $GITHUB_ENV and $GITHUB_OUTPUT, and ends with exit code 1 if a bucket is set and cannot be opened."""
    if os.environ["GITHUB_SERVER_URL"] != "https://github.com":
        fail(
            f"this runs on {os.environ['GITHUB_SERVER_URL']}; these workflows are for github.com only, because nobody "
            f"has tested their actions and logins elsewhere. Call `abaculus run` in a workflow of your own there"
        )
    given = {name: str(value or "").strip() for name, value in json.loads(os.environ["VARIABLES"] or "{}").items()}
    given |= {name: os.environ.get(name, "") for name in (*SECRETS, GOOGLE)}
    given = {name: value for name, value in given.items() if value}
    bucket = given.get("ABACULUS_BUCKET", "")
    if not bucket:
        return
    for name, value in given.items():
        if "\n" in value and name != GOOGLE:
            fail(f"{name} has more than one line; set it again")
    if missing := missing_settings(bucket, given):
        ways = "; or ".join(", ".join(f"the {kind(name)} {name}" for name in way) for way in missing)
        page = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/settings/{{}}/actions"
        fail(
            f"the bucket {bucket} is set, but the settings to open it are missing. Under Settings > Secrets and "
            f"variables > Actions, "
            f"set {ways}. ({page.format('variables')}, {page.format('secrets')})"
        )
    role = "" if "AWS_ACCESS_KEY_ID" in given else given.get("AWS_ROLE_ARN", "")
    client = "" if "AZURE_STORAGE_ACCOUNT_KEY" in given else given.get("AZURE_CLIENT_ID", "")
    if (role or client) and (branch := default_branch()) and os.environ["GITHUB_REF"] != f"refs/heads/{branch}":
        fail(
            f"this runs on {os.environ['GITHUB_REF']}, and the role of the bucket trusts the branch {branch} only. "
            f"Start it on {branch}; a run there can log in"
        )
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as file:
        for name in (*PASSED, *SECRETS):
            if name in given:
                file.write(f"{name}={given[name]}\n")
        if GOOGLE in given:
            key = Path(os.environ["RUNNER_TEMP"]) / "google.json"
            key.touch(mode=0o600)
            key.write_text(given[GOOGLE], encoding="utf-8")
            file.write(f"GOOGLE_SERVICE_ACCOUNT={key}\n")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        if role:
            file.write(f"aws-role={role}\naws-region={given.get('AWS_REGION', '')}\n")
        if client:
            file.write(f"azure-client={client}\nazure-tenant={given.get('AZURE_TENANT_ID', '')}\n")


def default_branch() -> str:
    """The repository's default branch, from the event. A schedule runs on no other branch."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    return str(event.get("repository", {}).get("default_branch", ""))


def missing_settings(bucket: str, given: dict[str, str]) -> list[list[str]]:
    """The missing settings for each way to open the bucket. Empty if one way is complete."""
    ways = NEEDS.get(bucket.split(":", 1)[0], ())
    found = [[name for name in way if name not in given] for way in ways]
    return [] if not all(found) else found


def kind(name: str) -> str:
    """Whether a setting is a variable or a secret."""
    return "secret" if name in (*SECRETS, GOOGLE) else "variable"


def fail(message: str) -> None:
    """Shows the fault beside the run, and ends the run."""
    print(f"::error title=Not set up yet::{message}")
    sys.exit(1)


if __name__ == "__main__":
    main()
