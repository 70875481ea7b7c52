"""A project of a maintainer's own: it builds, passes its checks, and lasts without this repository."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ingest import registry
from reports.cli import main
from reports.init import NAV
from tests.runner import ROOT, documents

NO_PINS = "rules:\n  unpinned-uses:\n    config:\n      policies:\n        me/*: ref-pin\n"


def abaculus(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, and its directory as the one in which commands run."""
    made = abaculus("init", str(tmp_path / "my-tool-telemetry"), "--workflows", "me/abaculus@v0.1.0")
    assert made.exit_code == 0, made.output
    monkeypatch.delenv("ABACULUS_APPLICATIONS", raising=False)
    monkeypatch.chdir(tmp_path / "my-tool-telemetry")
    return tmp_path / "my-tool-telemetry"


def test_a_new_project_builds_before_anybody_sent_anything(project: Path) -> None:
    built = abaculus("build")
    assert built.exit_code == 0, built.output
    page = (project / "build/site/index.html").read_text()
    assert "my-tool in use" in page
    assert (project / "build/site/asking.html").is_file()


def test_a_new_project_has_no_mistake_but_links_only_to_what_it_has(project: Path) -> None:
    checked = abaculus("check")
    assert checked.exit_code == 0, checked.output
    pages = {path.name for path in (project / "site").glob("*.md")}
    linked = {
        name for path in (project / "site").glob("*.md") for name in re.findall(r"\]\(([\w-]+\.md)", path.read_text())
    }
    assert linked <= pages
    assert "add-a-page.md" not in pages


def test_its_registry_is_sound_and_takes_what_the_client_sends(project: Path) -> None:
    assert "my-tool: 7 attributes" in abaculus("registry", "check").output
    ours = registry.parse((project / "applications/my-tool.toml").read_text())
    client = (ROOT / "ingest/client/abaculus/registry.toml").read_text()
    theirs = registry.parse(f'id = "client"\n{client}')
    for name, field in ours.attributes.items():
        if name in theirs.attributes:
            other = theirs.attributes[name]
            assert (field.type, field.role, field.values) == (other.type, other.role, other.values), name
    assert {"osName", "runningInCi", "exitCode"} <= ours.attributes.keys() & theirs.attributes.keys()


def test_its_workflows_are_short_and_call_ours_with_the_rights_and_inputs_that_they_need(project: Path) -> None:
    ours = documents()
    found = sorted((project / ".github/workflows").glob("*.yml"))
    assert [path.stem for path in found] == ["deploy-ingest", "forget", "health", "preview", "report"]
    for path in found:
        text = path.read_text()
        assert len(text.splitlines()) <= 25
        workflow = yaml.load(text, yaml.BaseLoader)
        (job,) = workflow["jobs"].values()
        assert job["uses"] == f"me/abaculus/.github/workflows/{path.name}@v0.1.0"
        called = ours[f"workflows/{path.name}"]
        # A job of a called workflow that asks for more than its caller has does not start.
        needed: dict[str, str] = {}
        for one in called["jobs"].values():
            needed |= {right: level for right, level in one["permissions"].items() if needed.get(right) != "write"}
        assert job["permissions"] == needed, path.name
        assert set(job.get("secrets", {})) == set((called["on"]["workflow_call"] or {}).get("secrets", {})), path.name
        assert set(job.get("with", {})) <= set((called["on"]["workflow_call"] or {}).get("inputs", {}))
        # Ours have groups of their own; one here would wait for itself.
        assert "concurrency" not in workflow


def test_the_linters_find_nothing_in_its_workflows(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "zizmor.yml"
    config.write_text(NO_PINS)
    flows = sorted(str(path) for path in (project / ".github/workflows").glob("*.yml"))
    for command in (
        ["actionlint", *flows],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *flows],
        ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
        ["zizmor", "--offline", "--no-progress", "--config", str(config), ".github"],
    ):
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten_and_what_is_wrong_is_said(project: Path, tmp_path: Path) -> None:
    (project / "mkdocs.yml").write_text("mine")
    again = abaculus("init", str(project))
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    assert (project / "mkdocs.yml").read_text() == "mine"
    for arguments in (["--id", "My Tool"], ["--name", 'a"b'], ["--workflows", "nobody"]):
        wrong = abaculus("init", str(tmp_path / "other"), *arguments)
        assert (wrong.exit_code, (tmp_path / "other").exists()) == (1, False)


def test_every_page_of_ours_is_taken_along_or_is_documentation(project: Path) -> None:
    ours, theirs = (yaml.safe_load(NAV.search((one / "mkdocs.yml").read_text())[0])["nav"] for one in (ROOT, project))
    documented = next(group["Docs"] for group in ours if "Docs" in group)
    assert [group for group in ours if "Docs" not in group] == theirs[:-1]
    taken = {path.name for path in (project / "site").glob("*.md")}
    assert taken & set(re.findall(r"[\w-]+\.md", str(documented))) == set()
    assert {"index.md", "versions.md", "collected.md", "asking.md"} <= taken


@pytest.mark.wheel
def test_the_wheel_works_in_a_clean_environment_far_from_here(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / ".ci/wheel"), str(tmp_path / "dist")],
        cwd=tmp_path, env=os.environ | {"PYTHON": sys.executable, "ABACULUS_DEMO_SESSIONS": "600"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "site: " in done.stdout
