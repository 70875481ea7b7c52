import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mkdocs.commands import build as mkdocs_build
from mkdocs.utils import DuplicateFilter

from reports.blocks.fault import Fault
from reports.building.report import Checked, annotations, summary
from reports.cli import main
from tests.messages import guess, mentions, numbers, places
from tests.sites import fill, project, runs

CHART = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells\n```\n"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "bucket"
    fill(
        path,
        runs(1, 27, shellName="fish", exitCode=0)
        + runs(28, 30, shellName="fish", exitCode=2)
        + runs(31, 45, shellName="zsh", exitCode=1)
        + runs(31, 45, shellName="zsh", exitCode=0)
        + runs(60, 64, shellName="fish", inCi=True, exitCode=0),
    )
    return path


@pytest.fixture
def run(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))

    def check(pages: Mapping[str, str], *options: str, nav: str = "") -> Result:
        project(tmp_path, pages)
        (tmp_path / "mkdocs.yml").write_text(
            (tmp_path / "mkdocs.yml").read_text(encoding="utf-8") + nav, encoding="utf-8"
        )
        return CliRunner().invoke(main, ["check", "--bucket", str(bucket), *options])

    return check


def test_sound_pages_have_no_mistakes(run: Run) -> None:
    index = f"# Notes\n\n{CHART}\n[a](sub/a.md#what-fails) [b](#chart-shells) [c](openapi.json)\n"
    other = "# What fails?\n\n[up](../index.md#notes) [x](https://x.org/#x) `[no](z.md)`\n"
    found = run({"index.md": index, "sub/a.md": other})
    assert (found.exit_code, found.stdout) == (0, "")
    assert numbers(found.stderr) == ["2", "1", "0"]


def test_every_mistake_of_every_page_is_named_with_its_place(run: Run) -> None:
    wrong = CHART.replace("shell", "shel")
    pages = {
        "index.md": f"---\ntitle: x\n---\n# Notes\n\n{wrong}\n[a](sub/b.md), [b](nowhere.png)\n",
        "sub/a.md": "# A\n\n```sql x\nSELECT shell FROM sessions\n```\n\n```yaml chart\ntype: bar\ndata: x\nx: shell\n"
                    "y: peple\nwide: 1\n```\n\n```yaml chart\ntype: bar\ndata: x\nx: shell\ny: people\n```\n"
                    "\n[up](../index.md#note) [there]\n\n[there]: ../sub/A.md\n",
    }  # fmt: skip
    found = run(pages, nav="nav:\n  - index.md\n  - Deeper:\n      - A: sub/a.md\n      - B: sub/b.md\n")
    assert found.exit_code == 1
    named = {
        "mkdocs.yml:16": ("sub/b.md", "`abaculus new sub/b`"),
        "site/index.md:9:4": ("shel", "shell"),
        "site/index.md:14:5": ("sub/b.md", "sub/a.md"),
        "site/index.md:14:20": ("nowhere.png",),
        "site/sub/a.md:11:4": ("y", "peple", "people"),
        "site/sub/a.md:12:1": ("wide",),
        "site/sub/a.md:17:7": ("x", "user_id", "SELECT"),
        "site/sub/a.md:22:6": ("index.md", "#note", "#notes"),
        "site/sub/a.md:24:10": ("../sub/A.md", "a.md"),
    }
    assert places(found.stdout) == list(named)
    for line, names in zip(found.stdout.splitlines(), named.values(), strict=True):
        assert mentions(line, *names), line
    assert numbers(found.stderr.splitlines()[-1]) == ["2", "0", "9"]


def test_a_page_that_is_not_utf_8_is_named_with_its_line(run: Run, tmp_path: Path, bucket: Path) -> None:
    """Beside other mistakes, and with a registry that has a byte-order mark, which says nothing."""
    wrong = CHART.replace("shell", "shel")
    assert run({"index.md": "# Notes\n", "latin.md": "", "other.md": f"# Other\n\n{wrong}"}).exit_code == 1
    (tmp_path / "site/latin.md").write_bytes("# Notes\n\nline two\n\ncaf\u00e9\n".encode("latin-1"))
    registry = tmp_path / "applications/notes.toml"
    registry.write_bytes(b"\xef\xbb\xbf" + registry.read_bytes())
    for command in (["check"], ["build", "--out", str(tmp_path / "built")]):
        found = CliRunner().invoke(main, [*command, "--bucket", str(bucket)], catch_exceptions=False)
        assert found.exit_code == 1
        assert places(found.output)[:2] == ["site/latin.md:5", "site/other.md:6:4"]


def test_programs_get_json_and_nothing_else(run: Run) -> None:
    found = run({"index.md": CHART.replace("shell", "shel")}, "--json")
    assert found.exit_code == 1
    said = json.loads(found.stdout)
    message = said["errors"][0].pop("message")
    assert said == {
        "pages": 1,
        "blocks": 0,
        "errors": [{"file": "site/index.md", "line": 4, "column": 4, "code": "chart-x"}],
        "warnings": [],
    }
    assert mentions(message, "shel") and guess(message) == "shell"


def test_a_workflow_gets_annotations_and_a_summary(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n", encoding="utf-8")
    found = run({"index.md": CHART.replace("shell", "shel")}, "--json")
    assert json.loads(found.stdout)["errors"]
    (annotation,) = [line for line in found.stderr.splitlines() if line.startswith("::")]
    command, _, message = annotation.removeprefix("::").partition("::")
    assert command.startswith("error file=site/index.md,line=4,col=4,title=")
    assert guess(message) == "shell"
    before, heading, _, counted, *rows = (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines()
    assert (before, heading, numbers(counted)) == ("before", "### abaculus check", ["1", "0"])
    assert rows[-1].startswith("| error | site/index.md:4 | ")
    assert mentions(html.unescape(rows[-1]), "shel", "shell")


def test_nothing_in_a_mistake_can_end_an_annotation_or_a_table() -> None:
    hostile = Fault("site/a,b:c%.md", 1, "x\r\n::error::y | <script>`*_[a](b) 100%")
    found = Checked(1, 1, [hostile], [hostile])
    lines = list(annotations(found, "abaculus check"))
    assert lines[0] == (
        "::error file=site/a%2Cb%3Ac%25.md,line=1,title=abaculus check::x%0D%0A::error::y | <script>`*_[a](b) 100%25"
    )
    assert lines[1].startswith("::warning file=")
    rows = summary(found, "abaculus check").split("|---|---|---|\n")[1]
    assert not set("<>`*[]|") & set(rows.replace("| ", "").replace(" |", ""))
    assert numbers(summary(Checked(3, 4, [], []), "abaculus check")) == ["3", "4"]


def test_a_page_that_nobody_finds_and_a_block_that_shows_nothing_are_warnings(run: Run) -> None:
    few = "```sql few\nFROM sessions WHERE exit_code = 2\n```\n" + CHART.replace("data: sessions", "data: few")
    pages = {"index.md": f"# Notes\n\n{few}", "slow-runs.md": "# Slow\n"}
    found = run(pages, "--json", nav="nav:\n  - index.md\n")
    assert found.exit_code == 0
    said = json.loads(found.stdout)
    empty, lost = said["warnings"]
    assert said["errors"] == []
    assert (empty["file"], empty["line"]) == ("site/index.md", 6)
    assert mentions(empty["message"], "Shells", "10")
    assert (lost["file"], lost["line"]) == ("site/slow-runs.md", 1)
    assert lost["code"] == "not-in-nav" and mentions(lost["message"], "nav", "More")


LOOSE = """---
title: Of {{ title }}
description: Of {{ description }}
---
# Of {{ heading }}

Two: {{ 1 + 1 }} **{{ sum(x.y) }}** [x]({{ address }}) {{ x | upper }} {{ f({}) }} {{ x.y }

- over {{ two
  .lines }}

> quoted {{ over
> lines }}

| {{ cell }} |
|---|

<p title="{{ tag }}">{{ raw }}</p>

```yaml chart
type: number
data: sessions
y: people
title: "Of {{ now() }}"
```
"""
SHOWN = """{{{ x }}} ${{ workflow }} \\{{ escaped }} `{{ code }}` <code>{{ code }}</code> &#123;{ entity }}

```jinja
{{ fence }}
```

    {{ indented }}

<pre>
{{ pre }}
</pre>

<!-- {{ comment }} -->

<script>
{{ script }}
</script>
"""


def test_what_looks_like_a_value_and_is_none_is_a_warning_with_its_place(run: Run) -> None:
    found = run({"index.md": LOOSE, "shown.md": f"# Shown\n\n{SHOWN}"}, "--json")
    assert found.exit_code == 0
    said = json.loads(found.stdout)["warnings"]
    assert {(one["file"], one["code"]) for one in said} == {("site/index.md", "not-a-value")}
    assert [(one["line"], one["column"]) for one in said] == [
        (2, 1), (3, 1), (5, 6), (7, 6), (7, 20), (7, 41), (7, 56), (7, 72), (7, 84), (9, 8), (12, 10), (15, 3),
        (18, 11), (18, 22), (24, None),
    ]  # fmt: skip
    assert [name in one["message"] for name, one in zip(("title", "description"), said, strict=False)] == [True, True]


def test_many_warnings_of_one_kind_are_one_line(run: Run) -> None:
    pages = {f"p{number}.md": f"# P{number}\n" for number in range(5)}
    found = run({"index.md": "# Notes\n\n```yaml charts\ntype: bar\n```\n", **pages}, nav="nav:\n  - index.md\n")
    assert found.exit_code == 0
    looks, lost, counted = found.output.splitlines()
    assert places(f"{looks}\n{lost}") == ["site/index.md:3:1", "site/p0.md:1"]
    assert numbers(lost)[-1] == "4" and numbers(counted)[0] == "6"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("rounded: true", ("rounded", "protect: threshold")),
        ("closed: week", ("closed", "rounded")),
        ("minimum_users: 5", ("minimum_users", "even", "10", "5")),
        ("protect: all", ("protect", "threshold")),
    ],
)
def test_a_setting_that_is_no_more_is_named_with_what_replaced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, settings: str, named: tuple[str, ...]
) -> None:
    run({"index.md": "# Notes\n"})
    path = tmp_path / "mkdocs.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("minimum_users: 10", settings), encoding="utf-8")
    # What MkDocs' own command leaves in a process: a message that was logged before is logged no more.
    once = DuplicateFilter()
    monkeypatch.setattr(mkdocs_build.log, "filters", [once])
    for command in ("check", "build"):
        found = CliRunner().invoke(main, [command, "--bucket", str(tmp_path / "bucket")])
        assert found.exit_code == 1
        assert mentions(" ".join(found.output.split()), *named), found.output
    assert once.msgs


def test_a_directory_without_a_site_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(project(tmp_path / "x", {}) / "applications"))
    found = CliRunner().invoke(main, ["check"])
    assert found.exit_code == 1
    assert mentions(found.stderr, "mkdocs.yml")
