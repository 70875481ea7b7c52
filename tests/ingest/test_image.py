"""What goes into the function's image: the copies that the container file and the AWS script make run on their own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
import uuid
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.hosts import interpreters
from tests.waiting import until

DEPLOY = Path("ingest/deploy")
FUNCTION = {path.as_posix() for path in Path("ingest/function").glob("*.py")}

# Imports every module that was copied, and says where it came from and what else came with it.
IMPORT = """
import importlib, sys
from pathlib import Path
for file in sorted(Path("ingest").rglob("*.py")):
    name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert Path(module.__file__) == file.absolute(), f"{name} came from {module.__file__}"
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"reports", "abaculus", "duckdb", "pyarrow", "deltalake", "mkdocs", "click", "requests"}


def container_app(directory: Path) -> Path:
    """What the COPY lines of the Containerfile put into its working directory."""
    arguments: dict[str, str] = {}
    for line in (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines():
        step, *words = line.split() or [""]
        if step == "ARG":
            name, _, value = words[0].partition("=")
            arguments[name] = value
        elif step == "COPY":
            *sources, target = (re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], word) for word in words)
            into = directory / target
            into.mkdir(parents=True, exist_ok=True)
            for source in sources:
                files = sorted(Path().glob(source))
                assert files, f"COPY {source}: no such file"
                for file in files:
                    shutil.copy(file, into)
    return directory


def deploy_code(directory: Path, handler: str) -> subprocess.CompletedProcess[str]:
    """Runs the AWS script for a stack with this handler. The code that it uploads is `code.zip`, without libraries."""
    directory.mkdir(parents=True, exist_ok=True)
    # Stands in for Amazon's command line, and keeps the code that it is given; and for uv, which installs.
    (directory / "aws").write_text(
        f"""#!/usr/bin/env bash
case "$2" in
  get-function-configuration) echo {handler} ;;
  update-function-code) cp "${{6#fileb://}}" {directory}/code.zip ;;
esac
""",
        encoding="utf-8",
    )
    (directory / "uv").write_text("#!/usr/bin/env bash\n", encoding="utf-8")
    for name in ("aws", "uv"):
        (directory / name).chmod(0o755)
    environment = {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable}
    return subprocess.run(
        [DEPLOY / "aws/deploy.sh"],
        env=os.environ | environment | {"ONLY_CODE": "yes"},
        capture_output=True,
        encoding="utf-8",
    )


def python(directory: Path, code: str) -> str:
    """What Python prints that finds our own code in this directory only."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return container_app(tmp_path_factory.mktemp("container"))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lambda")
    done = deploy_code(directory, handler())
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(directory / "code.zip") as archive:
        archive.extractall(directory / "code")
    return directory / "code"


def handler() -> str:
    """The handler that the template names."""
    (found,) = re.findall(
        r"^ +Handler: (\S+)$", (DEPLOY / "aws/template.yaml").read_text(encoding="utf-8"), re.MULTILINE
    )
    return str(found)


def files(directory: Path) -> set[str]:
    """The Python files below a directory."""
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*.py")}


def test_the_container_holds_the_folder_of_the_function_and_what_starts_it(container: Path) -> None:
    assert files(container) == FUNCTION | {"ingest/__init__.py", "ingest/__main__.py"}


def test_the_lambda_function_holds_the_folder_of_the_function(code: Path) -> None:
    assert files(code) == FUNCTION | {"ingest/__init__.py"}


@pytest.mark.parametrize("copy", ["container", "code"])
def test_every_module_of_a_copy_is_imported_from_it_and_needs_no_other_part(
    copy: str, request: pytest.FixtureRequest
) -> None:
    directory: Path = request.getfixturevalue(copy)
    loaded = set(python(directory, IMPORT).split())
    assert "obstore" in loaded
    assert not HEAVY & loaded


def test_the_containers_own_check_loads_the_registry_that_was_copied(container: Path) -> None:
    (command,) = re.findall(r"&& (python -c .*)", (DEPLOY / "Containerfile").read_text(encoding="utf-8"))
    python(container, shlex.split(command)[2])
    (container / "applications/broken.toml").write_text("id = 1", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"broken\.toml: id: "):
        python(container, shlex.split(command)[2])
    (container / "applications/broken.toml").unlink()


def test_the_handler_that_the_template_names_answers(code: Path, tmp_path: Path) -> None:
    module, _, name = handler().rpartition(".")
    call = f"""
import os
os.environ |= {{"ABACULUS_BUCKET": {tmp_path.as_uri()!r}, "ABACULUS_APPLICATIONS": "applications"}}
from {module} import {name} as handler
event = {{"rawPath": "/ping", "headers": {{}}, "requestContext": {{"http": {{"method": "GET"}}}}}}
print(handler(event, None)["body"])
"""
    assert python(code, call).splitlines()[-1] == "pong"


def test_code_is_not_brought_to_a_stack_that_calls_another_handler(tmp_path: Path) -> None:
    done = deploy_code(tmp_path, "ingest.aws.handler")
    assert done.returncode == 1
    assert "without ONLY_CODE" in done.stderr
    assert not (tmp_path / "code.zip").exists()


@pytest.mark.wheel
@pytest.mark.parametrize("minor", [11, 13])
def test_the_container_files_steps_give_a_function_that_stores(minor: int, container: Path, tmp_path: Path) -> None:
    """The steps of the Containerfile without a container: its lock in a new environment, its files, its command."""
    steps = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert "pip install --no-deps --require-hashes --only-binary :all: -r requirements.txt" in steps
    assert 'CMD ["python", "-m", "ingest"]' in steps
    subprocess.run([interpreter(minor), "-m", "venv", tmp_path / "venv"], check=True)
    alone = str(tmp_path / "venv/bin/python")
    install = ["-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r"]
    subprocess.run([alone, *install, str((DEPLOY / "requirements.txt").absolute())], check=True)
    subprocess.run([alone, "-m", "pip", "check"], check=True)
    environment = {"ABACULUS_BUCKET": str(tmp_path / "bucket"), "PORT": "0", "HOST": "127.0.0.1"}
    environment |= {"ABACULUS_APPLICATIONS": str(container / "applications")}
    process = subprocess.Popen(
        [alone, "-m", "ingest"], cwd=container, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    with process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found
            send_one_session(found[0])
            assert len(list((tmp_path / "bucket").rglob("*.json.gz"))) == 1
        finally:
            process.terminate()
        assert process.wait(30) == 0


def interpreter(minor: int) -> str:
    """A Python of this version."""
    if sys.version_info.minor == minor:
        return sys.executable
    _, *found = interpreters(minor)
    if not found:
        pytest.skip(f"there is no Python 3.{minor} here; CI has it")
    return found[0]


def engine() -> str:
    """The command of a container engine that runs here."""
    for command in ("docker", "podman"):
        if shutil.which(command) and not subprocess.run([command, "info"], capture_output=True).returncode:
            return command
    pytest.skip("there is no container engine here; CI has one")


@pytest.mark.wheel
def test_the_container_stores_a_session_and_stops_in_time(tmp_path: Path) -> None:
    command = engine()
    subprocess.run(
        [command, "build", "-q", "-f", DEPLOY / "Containerfile", "-t", "abaculus-ingest-test", "."], check=True
    )
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    bucket.chmod(0o777)  # the container runs as nobody
    options = ["--rm", "--detach", "--memory", "256m", "--publish", "127.0.0.1::8080", "--volume", f"{bucket}:/bucket"]
    options += ["--env", "ABACULUS_BUCKET=file:///bucket"]
    started = subprocess.run(
        [command, "run", *options, "abaculus-ingest-test"], check=True, capture_output=True, encoding="utf-8"
    )
    name = started.stdout.strip()
    try:
        address = subprocess.run(
            [command, "port", name, "8080"], check=True, capture_output=True, encoding="utf-8"
        ).stdout
        url = f"http://{address.split()[0]}"
        until(lambda: urllib.request.urlopen(f"{url}/ping")).close()
        send_one_session(url)
        assert len(list(bucket.rglob("*.json.gz"))) == 1
    finally:
        subprocess.run([command, "stop", "--time", "10", name], check=True, capture_output=True)


def send_one_session(url: str) -> None:
    """Sends what `abaculus probe` sends."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    session = {
        "sessionId": str(uuid.uuid4()), "userId": str(uuid.uuid4()), "sessionStartTime": now, "sessionEndTime": now,
        "applicationId": "abaculus-probe", "applicationVersion": "1",
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/v1/sessions", json.dumps(session).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
