"""What the alarms of the three clouds count, and what bounds the bill."""

import asyncio
import json
import operator
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.function.asgi import App
from ingest.function.registry import parse
from ingest.function.routes import Function
from ingest.function.settings import Settings
from ingest.function.store import creator
from tests.ingest.faulty import FaultyStore

DEPLOY = Path("ingest/deploy")
REGISTRY = {"tool": parse('id = "tool"')}
JSON, NDJSON = b"application/json", b"application/x-ndjson"


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short functions as lists of their name and their value."""


def _function(loader: Template, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return [tag, node.value]
    return [tag, loader.construct_sequence(node, deep=True)]  # type: ignore[arg-type]


Template.add_multi_constructor("!", _function)
AWS = yaml.load((DEPLOY / "aws/template.yaml").read_text(encoding="utf-8"), Loader=Template)["Resources"]


def session(**members: Any) -> bytes:
    time = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = {
        "sessionId": "11112222-3333-4444-a555-666677778888", "userId": "99990000-3333-4444-a555-666677778888",
        "sessionStartTime": time, "sessionEndTime": time, "applicationId": "tool", "applicationVersion": "1",
    }  # fmt: skip
    return json.dumps(whole | members).encode()


BAD = session(userId="nobody")
# A request, whether the store works, and which of the alarms' counts it belongs to.
REQUESTS: dict[str, tuple[str, str, bytes, bytes, bool, set[str]]] = {
    "a session": ("PUT", "/v1/sessions", JSON, session(), True, {"sessions"}),
    "a session at fault": ("PUT", "/v1/sessions", JSON, BAD, True, {"sessions", "refusals"}),
    "a session of another type": ("PUT", "/v1/sessions", b"text/plain", BAD, True, {"sessions", "refusals"}),
    "a session that is too large": ("PUT", "/v1/sessions", JSON, b" " * 2_000_000, True, {"sessions", "refusals"}),
    "a session that cannot be stored": ("PUT", "/v1/sessions", JSON, session(), False, {"sessions", "failures"}),
    "a batch": ("POST", "/v1/sessions", NDJSON, session(), True, {"sessions"}),
    "a batch with one at fault": (
        "POST", "/v1/sessions", NDJSON, session() + b"\n" + BAD, True, {"sessions", "refusals"},
    ),
    "a batch that cannot be stored": ("POST", "/v1/sessions", NDJSON, session(), False, {"sessions", "failures"}),
    "a robot's page": ("GET", "/wp-login.php", b"", b"", True, set()),
    "a page of ours": ("GET", "/ping", b"", b"", True, set()),
    "a browser": ("GET", "/v1/sessions", b"", b"", True, set()),
}  # fmt: skip


def line(method: str, path: str, kind: bytes, body: bytes, works: bool) -> dict[str, Any]:
    """The log line of a request."""
    settings = Settings(store_tries=1)
    lines: list[str] = []
    app = App(Function(REGISTRY, creator(FaultyStore([] if works else ["403"]), settings), settings), lines.append)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        pass

    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send))
    found: dict[str, Any] = json.loads(lines[-1])
    return found


COMPARE: dict[str, Callable[[Any, Any], bool]] = {">=": operator.ge, ">": operator.gt, "<": operator.lt}


def matches(condition: str, line: dict[str, Any]) -> bool:
    """Whether a cloud's filter takes a log line: all of these filters are comparisons that must all hold."""
    found = re.findall(r"(?:\$|jsonPayload|line)\.(\w+)\)? *(>=|>|<) *(\d+)", condition)
    assert found, condition
    return all(name in line and COMPARE[how](line[name], int(number)) for name, how, number in found)


def aws(count: str) -> Callable[[dict[str, Any]], bool]:
    (pattern,) = (
        one["Properties"]["FilterPattern"] for one in AWS.values()
        if one["Type"] == "AWS::Logs::MetricFilter"
        and one["Properties"]["MetricTransformations"][0]["MetricName"] == count
    )  # fmt: skip
    # What has a status from 500 up is in the other metric that the alarm adds: the API's own.
    return lambda line: matches(pattern, line) or (count == "failures" and line["status"] >= 500)


def google(count: str) -> Callable[[dict[str, Any]], bool]:
    return lambda line: matches(
        json.loads((DEPLOY / f"gcp/metric-{count}.json").read_text(encoding="utf-8"))["filter"], line
    )


def azure(count: str) -> Callable[[dict[str, Any]], bool]:
    script = (DEPLOY / "azure/deploy.sh").read_text(encoding="utf-8")
    if count == "sessions":
        (condition,) = re.findall(r"where (toint\(line\.\w+\) >= \d+)", script)
    else:
        (field,) = re.findall(rf"^share {count} (\w+) ", script, re.MULTILINE)
        (condition,) = (
            one.replace("$2", field) for one in re.findall(r"countif\((toint\(line\.\$2\) > \d+)\)", script)
        )
    return lambda line: matches(condition, line)


@pytest.mark.parametrize("cloud", [aws, google, azure])
@pytest.mark.parametrize("name", REQUESTS)
def test_the_alarms_count_what_they_claim(cloud: Callable[[str], Callable[[dict[str, Any]], bool]], name: str) -> None:
    """Refused and failed sessions, also those inside a batch whose answer is 200; and nobody's wrong address."""
    *request, counted = REQUESTS[name]
    found = line(*request)  # type: ignore[arg-type]
    assert {count for count in ("sessions", "refusals", "failures") if cloud(count)(found)} == counted


def test_on_aws_no_failure_is_counted_twice() -> None:
    pattern = AWS["Failures"]["Properties"]["FilterPattern"]
    put, batch = (line(*REQUESTS[f"a {one} that cannot be stored"][:5]) for one in ("session", "batch"))
    assert (put["status"], matches(pattern, put)) == (503, False), "the API counts it"
    assert (batch["status"], matches(pattern, batch)) == (200, True)


def test_alarms_name_metrics_that_are_there() -> None:
    made = {
        one["Properties"]["MetricTransformations"][0]["MetricName"]
        for one in AWS.values() if one["Type"] == "AWS::Logs::MetricFilter"
    }  # fmt: skip
    stats = [
        metric["MetricStat"]["Metric"]
        for one in AWS.values() if one["Type"] == "AWS::CloudWatch::Alarm"
        for metric in one["Properties"].get("Metrics", ()) if "MetricStat" in metric
    ]  # fmt: skip
    assert {one["MetricName"] for one in stats if one["Namespace"] == ["Ref", "AWS::StackName"]} == made
    for file in DEPLOY.glob("gcp/alert-*.json"):
        for count in re.findall(r"logging\.googleapis\.com/user/abaculus_(\w+)", file.read_text(encoding="utf-8")):
            assert (DEPLOY / f"gcp/metric-{count}.json").is_file()
    named = re.findall(r"alert-(\w+)", " ".join(path.name for path in DEPLOY.glob("gcp/alert-*.json")))
    assert {"refusals", "errors", "flood"} <= set(named)


def test_each_cloud_raises_an_alarm_within_an_hour_of_a_flood() -> None:
    alarm = AWS["Flood"]["Properties"]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (3600, 1, 10_000)
    (condition,) = json.loads((DEPLOY / "gcp/alert-flood.json").read_text(encoding="utf-8"))["conditions"]
    threshold = condition["conditionThreshold"]
    assert (threshold["aggregations"][0]["alignmentPeriod"], threshold["thresholdValue"]) == ("3600s", 10_000)
    script = (DEPLOY / "azure/deploy.sh").read_text(encoding="utf-8")
    assert 'alert flood "total Requests > 10000"' in script
    assert "--window-size 1h --evaluation-frequency 1h" in script


def test_the_template_for_aws_bounds_requests_and_functions_at_once_and_can_stop_both() -> None:
    function = AWS["Ingest"]["Properties"]["ReservedConcurrentExecutions"]
    assert function[1][:2] == ["SwitchedOff", 0]
    limits = AWS["Stage"]["Properties"]["DefaultRouteSettings"]
    assert limits["ThrottlingRateLimit"] == ["If", ["SwitchedOff", 0, ["Ref", "RequestsPerSecond"]]]
    assert limits["ThrottlingBurstLimit"] == ["If", ["SwitchedOff", 0, 100]]


def run(script: str, tmp_path: Path, *arguments: str, fails: bool = False, **environment: str) -> tuple[int, str, str]:
    """Runs a script with stand-ins for the clouds' command lines: exit code, what it said, and what they were given."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    calls = tmp_path / "calls"
    calls.write_text("", encoding="utf-8")
    for tool in ("aws", "gcloud", "az"):
        (tools / tool).write_text(
            f'#!/bin/sh\necho {tool} "$@" >> {calls}\n{"exit 1" if fails else ""}\n', encoding="utf-8"
        )
        (tools / tool).chmod(0o755)
    done = subprocess.run(
        [DEPLOY / script, *arguments],
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"} | environment,
        capture_output=True,
        encoding="utf-8",
    )
    return done.returncode, done.stdout + done.stderr, calls.read_text(encoding="utf-8")


SWITCHES = {
    ("aws", "off"): "Switch=off",
    ("aws", "on"): "Switch=on",
    ("gcp", "off"): "remove-iam-policy-binding abaculus-ingest",
    ("gcp", "on"): "add-iam-policy-binding abaculus-ingest",
    ("azure", "off"): "access-restriction set",
    ("azure", "on"): "access-restriction remove",
}


@pytest.mark.parametrize(("cloud", "state"), SWITCHES)
def test_one_command_switches_the_function_off_and_on(cloud: str, state: str, tmp_path: Path) -> None:
    code, said, calls = run(f"{cloud}/switch.sh", tmp_path, state, PROJECT="p")
    assert code == 0, said
    assert len(calls.splitlines()) == 1
    assert SWITCHES[cloud, state] in calls
    assert said.rstrip().endswith(f"is {state}")
    code, said, _ = run(f"{cloud}/switch.sh", tmp_path, state, fails=True, PROJECT="p")
    assert code != 0
    assert f"is {state}" not in said


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_a_switch_wants_to_know_which_way(cloud: str, tmp_path: Path) -> None:
    for arguments in ((), ("of",)):
        code, said, calls = run(f"{cloud}/switch.sh", tmp_path, *arguments, PROJECT="p")
        assert (code, calls) == (2, "")
        assert "on or off" in said


@pytest.mark.parametrize(("unreserved", "concurrency"), [("1000", "10"), ("110", "10"), ("109", ""), ("10", "")])
def test_the_script_for_aws_reserves_what_the_account_may_set_aside(
    unreserved: str, concurrency: str, tmp_path: Path
) -> None:
    """New accounts may run ten functions at once, and AWS refuses a stack that sets some of them aside."""
    (tmp_path / "aws").write_text(
        f"""#!/bin/sh
case "$2" in
  get-account-settings) echo {unreserved} ;;
  get-caller-identity) echo 123456789012 ;;
  get) echo eu-central-1 ;;
  deploy) for one in "$@"; do echo "$one" >> {tmp_path}/given; done ;;
esac
""",
        encoding="utf-8",
    )
    (tmp_path / "uv").write_text("#!/bin/sh\n", encoding="utf-8")
    for name in ("aws", "uv"):
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable, "HOST_NAME": "t.example",
        "CERTIFICATE_ARN": "arn:x", "REPOSITORY": "me/tool", "REPOSITORY_IDS": "me@1/tool@2", "ALARM_EMAIL": "a@b.ex",
    }  # fmt: skip
    done = subprocess.run(
        [DEPLOY / "aws/deploy.sh"], env=os.environ | environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    given = (tmp_path / "given").read_text(encoding="utf-8").splitlines()
    assert f"Concurrency={concurrency}" in given
    assert "RequestsPerSecond=10" in given
    assert not [one for one in given if one.startswith("Switch=")], "a function that is off stays off"
