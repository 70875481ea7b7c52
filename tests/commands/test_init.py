"""A project of a maintainer's own: it builds, passes its checks, and lasts without this repository."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from abaculus import environment
from ingest.function import registry
from reports.assets.origin import Origin
from reports.building.settings import FORM, deletion_form
from reports.cli import main
from reports.commands.init import NAV
from reports.pages.front_matter import front_matter
from tests import sites
from tests.assets.test_origin import installed
from tests.messages import mentions
from tests.runner import ROOT, documents, steps

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ALL_PINS = 'rules:\n  unpinned-uses:\n    config:\n      policies:\n        "*": hash-pin\n'


def abaculus(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, and its directory as the one in which commands run."""
    given = ("--id", "my-tool", "--workflows", f"me/abaculus@{COMMIT}")
    made = abaculus("init", str(tmp_path / "my-tool-telemetry"), *given)
    assert made.exit_code == 0, made.output
    monkeypatch.delenv("ABACULUS_APPLICATIONS", raising=False)
    monkeypatch.chdir(tmp_path / "my-tool-telemetry")
    return tmp_path / "my-tool-telemetry"


@pytest.mark.slow
def test_a_new_project_builds_before_anybody_sent_anything(project: Path) -> None:
    built = abaculus("build")
    assert built.exit_code == 0, built.output
    page = (project / "build/site/index.html").read_text(encoding="utf-8")
    assert "my-tool in use" in page
    # A draft is published when its author says so.
    assert not [path for path in (project / "build/site").rglob("*") if "consent" in path.name]
    assert "your-site.example" in (project / "consent.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_new_project_has_no_mistake_and_links_to_its_own_pages_or_to_our_documentation(project: Path) -> None:
    checked = abaculus("check")
    assert checked.exit_code == 0, checked.output
    pages = {path.name for path in (project / "site").glob("*.md")}
    ours = f"https://github.com/me/abaculus/blob/{COMMIT}/site/"
    found = set()
    for path in (project / "site").glob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+\.md)", path.read_text(encoding="utf-8")):
            if target.startswith(ours):
                found.add(target.removeprefix(ours))
            else:
                assert target in pages, f"{path.name}: {target}"
    assert {"docs/add-a-page.md", "docs/operate.md"} <= found
    assert all((ROOT / "site" / name).is_file() for name in found)


def test_its_registry_is_sound_and_declares_all_that_the_client_sends(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert abaculus("registry", "check").exit_code == 0
    declared = registry.parse((project / "applications/my-tool.toml").read_text(encoding="utf-8"))
    ours = declared.attributes
    client = (ROOT / "ingest/client/abaculus/registry.toml").read_text(encoding="utf-8")
    given = registry.parse(f'id = "client"\n{client}')
    theirs = given.attributes
    assert declared.events == given.events | {"UpdateNoticeShown": declared.events["UpdateNoticeShown"]}
    # Where it knows everything: a shell and a terminal, and a CI system.
    for name, value in {"SHELL": "/bin/zsh", "TERM_PROGRAM": "vscode", "GITHUB_ACTIONS": "true", "CI": "true"}.items():
        monkeypatch.setenv(name, value)
    recorded = {*environment.facts(), "exitCode"}
    assert {name: ours.get(name) for name in recorded} == {name: theirs[name] for name in recorded}
    # The names of a tool's own commands are the project's to list, and so is how the tool is installed.
    assert ours.keys() - recorded == {"commandName", "installChannel"}
    assert ours["installChannel"].role == "install_channel"
    assert (ours["commandName"].role, ours["commandName"].pattern) == ("command", None)


def test_its_workflows_are_short_and_call_ours_with_the_rights_and_inputs_that_they_need(project: Path) -> None:
    ours = documents()
    found = sorted((project / ".github/workflows").glob("*.yml"))
    assert [path.stem for path in found] == ["deploy-ingest", "forget", "health", "preview", "report"]
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 35
        workflow = yaml.load(text, yaml.BaseLoader)
        (job,) = workflow["jobs"].values()
        assert job["uses"] == f"me/abaculus/.github/workflows/{path.name}@{COMMIT}"
        assert f"@{COMMIT} # v{version('abaculus')}\n" in text
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


def lint(project: Path, *command: str) -> tuple[int, str]:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=project, capture_output=True, encoding="utf-8")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_linters_find_nothing_in_its_workflows(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "zizmor.yml"
    config.write_text(ALL_PINS, encoding="utf-8")
    flows = sorted(str(path) for path in (project / ".github/workflows").glob("*.yml"))
    zizmor = ["zizmor", "--offline", "--no-progress", "--pedantic", "--config", str(config), ".github"]
    for command in (
        ["actionlint", *flows],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *flows],
        ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", FORM],
        zizmor,
    ):
        code, said = lint(project, *command)
        assert code == 0, said
    # The rule on pins is on: it finds a tag.
    report = project / ".github/workflows/report.yml"
    report.write_text(report.read_text(encoding="utf-8").replace(COMMIT, "v0.1.0"), encoding="utf-8")
    code, said = lint(project, *zizmor)
    assert code != 0 and "unpinned-uses" in said


def test_people_ask_for_deletion_with_a_form_that_wants_no_id_and_the_privacy_page_leads_there(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = yaml.safe_load((project / FORM).read_text(encoding="utf-8"))
    (asked,) = [one for one in form["body"] if one["type"] == "input"]
    code = asked["attributes"]["placeholder"]
    # The workflow takes it, and the text that a maintainer reads links there.
    step = next(one for one in steps(documents()["workflows/forget.yml"]) if "hide" in one.get("name", ""))
    (pattern,) = re.findall(r"=~ \^(\S+)\$ ", step["run"])
    assert re.fullmatch(pattern, code) and len(code) == 64
    assert "actions/workflows/forget.yml" in str(form["body"][-1])
    text = (project / "site/privacy.md").read_text(encoding="utf-8")
    small = sites.project(tmp_path / "small", {"privacy.md": text.partition("Look next")[0], "index.md": "# Notes\n"})
    (small / FORM).parent.mkdir(parents=True)
    (small / FORM).write_text((project / FORM).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(small)
    assert deletion_form() is None
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/my-tool-telemetry")
    assert abaculus("build", "--bucket", "bucket").exit_code == 0
    page = (small / "out/privacy.html").read_text(encoding="utf-8")
    address = "https://github.com/me/my-tool-telemetry/issues/new?template=delete-my-data.yml"
    assert f'href="{address}"' in page and "telemetry id" in page
    (small / FORM).unlink()
    assert deletion_form() is None


def test_without_a_known_repository_and_commit_nothing_is_written_and_both_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that does not say where it comes from: a wheel that was built outside of a checkout."""
    installed(tmp_path / "installed")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    new = str(tmp_path / "new")
    asked = abaculus("init", new, "--id", "my-tool")
    assert (asked.exit_code, "--workflows OWNER/NAME" in asked.output) == (1, True)
    asked = abaculus("init", new, "--id", "my-tool", "--workflows", "me/abaculus")
    assert (asked.exit_code, "--workflows me/abaculus@COMMIT" in asked.output) == (1, True)
    assert not Path(new).exists()


def test_a_fork_is_called_at_the_commit_of_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "installed", record=Origin("me/abaculus", COMMIT, "v1.2.0"))
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    for given, called in ((), "me/abaculus"), (("--workflows", "you/mosaic"), "you/mosaic"):
        new = tmp_path / called
        assert abaculus("init", str(new), "--id", "my-tool", *given).exit_code == 0
        text = (new / ".github/workflows/report.yml").read_text(encoding="utf-8")
        assert f"uses: {called}/.github/workflows/report.yml@{COMMIT} # v1.2.0\n" in text
        assert f"https://github.com/{called}" in (new / "README.md").read_text(encoding="utf-8")


def test_nothing_that_is_shipped_names_an_owner_whom_nobody_chose() -> None:
    """The maintainer or the installation names whose code a project runs; no page or file of ours does."""
    kinds = (".md", ".py", ".yml", ".toml", ".sh")
    found = (path for name in ("site", "reports", "ingest", ".github") for path in (ROOT / name).rglob("*"))
    files = [ROOT / "README.md", *(path for path in found if path.suffix in kinds)]
    assert len(files) > 100
    assert [
        str(path) for path in files if re.search(r"(?<![\w.])abaculus/abaculus(?!\w)", path.read_text(encoding="utf-8"))
    ] == []


def test_nothing_is_overwritten_and_what_is_wrong_is_said(project: Path, tmp_path: Path) -> None:
    (project / "mkdocs.yml").write_text("mine", encoding="utf-8")
    known = ("--workflows", f"me/abaculus@{COMMIT}")
    again = abaculus("init", str(project), *known)
    assert (again.exit_code, mentions(again.output, "mkdocs.yml")) == (1, True)
    assert (project / "mkdocs.yml").read_text(encoding="utf-8") == "mine"
    for arguments in (
        [*known, "--id", "My Tool"],
        [*known, "--name", 'a"b'],
        *(["--workflows", wrong] for wrong in ("nobody", "me/abaculus@v0.1.0", f"me/abaculus@{COMMIT[:7]}", "a/b@")),
    ):
        wrong = abaculus("init", str(tmp_path / "other"), *arguments)
        assert (wrong.exit_code, (tmp_path / "other").exists()) == (1, False)


def test_a_project_gets_our_statistics_with_the_overview_first_and_no_documentation(project: Path) -> None:
    ours, theirs = (
        yaml.safe_load(NAV.search((one / "mkdocs.yml").read_text(encoding="utf-8"))[0])["nav"]
        for one in (ROOT, project)
    )
    (statistics,) = [group["Statistics"] for group in ours if "Statistics" in group]
    assert theirs == [{"Overview": "index.md"}, *statistics[1:]]
    given = {str(path.relative_to(project / "site")) for path in (project / "site").rglob("*.md")}
    assert given == set(re.findall(r"[\w/-]+\.md", str(theirs)))
    assert {"versions.md", "collected.md"} <= given
    assert front_matter((project / "site/index.md").read_text(encoding="utf-8")).meta["hide"] == ["navigation"]


@pytest.mark.parametrize("name", ["my-telemetry", "tool2", "a-b-telemetry"])
def test_the_id_and_the_name_are_what_was_given(tmp_path: Path, name: str) -> None:
    known = ("--workflows", f"me/abaculus@{COMMIT}")
    assert abaculus("init", str(tmp_path / "one" / name), *known).exit_code == 0
    text = (tmp_path / "one" / name / f"applications/{name}.toml").read_text(encoding="utf-8")
    assert (registry.parse(text).id, registry.parse(text).name) == (name, name)
    assert abaculus("init", str(tmp_path / "two" / name), "--id", "x", "--name", "The X", *known).exit_code == 0
    text = (tmp_path / "two" / name / "applications/x.toml").read_text(encoding="utf-8")
    assert (registry.parse(text).id, registry.parse(text).name) == ("x", "The X")
    settings = yaml.safe_load((tmp_path / "two" / name / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["site_name"] == "The X in use" and "The X" in settings["site_description"]


def test_it_ends_with_the_commands_that_publish_it_and_they_run(tmp_path: Path) -> None:
    """As they stand, with git and with a stand-in for GitHub's command line that keeps what it was given."""
    made = abaculus(
        "init", str(tmp_path / "my tool's numbers"), "--id", "my-tool", "--workflows", f"me/abaculus@{COMMIT}"
    )  # fmt: skip
    printed = [line.removeprefix("  ") for line in made.output.splitlines() if line.startswith("  ")]
    (tmp_path / "gh").write_text(
        f'#!/bin/sh\nprintf "%s|" "$@" >> "{tmp_path}/calls"; echo >> "{tmp_path}/calls"\n', encoding="utf-8"
    )
    (tmp_path / "gh").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "me", f"GIT_{role}_EMAIL": "me@my-tool.dev"}
    script = "\n".join(line for line in printed if line != "abaculus demo")
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text(encoding="utf-8").splitlines() == [
        "repo|create|my tool's numbers|--public|--source|.|--push|",
        "api|-X|POST|repos/{owner}/{repo}/pages|-f|build_type=workflow|",
        "workflow|run|report.yml|",
    ]
    kept = ["git", "-C", str(tmp_path / "my tool's numbers"), "ls-tree", "-r", "--name-only", "main"]
    names = subprocess.run(kept, capture_output=True, encoding="utf-8", check=True).stdout.split("\n")
    assert {"applications/my-tool.toml", ".github/workflows/report.yml", "site/index.md"} <= set(names)
    assert "abaculus demo" in printed
