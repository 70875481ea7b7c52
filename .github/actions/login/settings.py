"""Says in the environment of the steps to come where the bucket is and how to open it, and names what is not set up.

Reads the repository's variables from $VARIABLES (JSON), and secrets from the variables of the same names. What is empty
is left out: an empty setting is not the same as none, and would hide what a login sets.
"""

import json
import os
import sys
from pathlib import Path

# Variables that the steps to come read under the same name.
PASSED = (
    "ABACULUS_BUCKET", "AWS_REGION", "AWS_ENDPOINT_URL", "AZURE_STORAGE_ACCOUNT_NAME",
    "ABACULUS_ENGINE", "SPARK_BUCKET",
)  # fmt: skip
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "SPARK_REMOTE")
GOOGLE = "GOOGLE_SERVICE_ACCOUNT_KEY"
# What a bucket needs: each row a way to log in, of which one must be whole.
NEEDS = {
    "s3": (("AWS_ROLE_ARN", "AWS_REGION"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    "gs": ((GOOGLE,),),
    "az": (
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
    ),
}


def main() -> None:
    """Writes $GITHUB_ENV and $GITHUB_OUTPUT; ends with exit code 1 when a bucket is set and cannot be opened."""
    given = {name: str(value).strip() for name, value in json.loads(os.environ["VARIABLES"] or "{}").items()}
    given |= {name: os.environ.get(name, "") for name in (*SECRETS, GOOGLE)}
    given = {name: value for name, value in given.items() if value}
    bucket = given.get("ABACULUS_BUCKET", "")
    if not bucket:
        return
    for name in (*PASSED, *SECRETS):
        if "\n" in given.get(name, ""):
            fail(f"{name} has more than one line; set it again")
    if missing := lacking(bucket, given):
        ways = "; or ".join(", ".join(f"the {kind(name)} {name}" for name in way) for way in missing)
        page = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/settings/{{}}/actions"
        fail(
            f"the bucket {bucket} is set, but not how to open it. Under Settings > Secrets and variables > Actions, "
            f"set {ways}. ({page.format('variables')}, {page.format('secrets')})"
        )
    with Path(os.environ["GITHUB_ENV"]).open("a") as file:
        for name in (*PASSED, *SECRETS):
            if name in given:
                file.write(f"{name}={given[name]}\n")
        if GOOGLE in given:
            key = Path(os.environ["RUNNER_TEMP"]) / "google.json"
            key.touch(mode=0o600)
            key.write_text(given[GOOGLE])
            file.write(f"GOOGLE_SERVICE_ACCOUNT={key}\n")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a") as file:
        if "AWS_ACCESS_KEY_ID" not in given:
            file.write(f"aws-role={given.get('AWS_ROLE_ARN', '')}\naws-region={given.get('AWS_REGION', '')}\n")
        if "AZURE_STORAGE_ACCOUNT_KEY" not in given:
            file.write(f"azure-client={given.get('AZURE_CLIENT_ID', '')}\n")
            file.write(f"azure-tenant={given.get('AZURE_TENANT_ID', '')}\n")


def lacking(bucket: str, given: dict[str, str]) -> list[list[str]]:
    """For each way to open the bucket what it lacks; nothing if one of them is whole."""
    ways = NEEDS.get(bucket.split(":", 1)[0], ())
    found = [[name for name in way if name not in given] for way in ways]
    return [] if not all(found) else found


def kind(name: str) -> str:
    """Whether a setting is a variable or a secret."""
    return "secret" if name in (*SECRETS, GOOGLE) else "variable"


def fail(message: str) -> None:
    """Names the fault beside the run, and ends it."""
    print(f"::error title=Not set up yet::{message}")
    sys.exit(1)


if __name__ == "__main__":
    main()
