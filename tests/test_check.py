import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reports.check import Checked, annotations, summary
from reports.cli import main
from reports.page import Fault
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
        (tmp_path / "mkdocs.yml").write_text((tmp_path / "mkdocs.yml").read_text() + nav)
        return CliRunner().invoke(main, ["check", "--bucket", str(bucket), *options])

    return check


def test_sound_pages_have_no_mistakes(run: Run) -> None:
    index = f"# Notes\n\n{CHART}\n[a](sub/a.md#what-fails) [b](#chart-shells) [c](openapi.json)\n"
    other = "# What fails?\n\n[up](../index.md#notes) [x](https://x.org/#x) `[no](z.md)`\n"
    found = run({"index.md": index, "sub/a.md": other})
    assert (found.exit_code, found.stdout) == (0, "")
    assert found.stderr == "2 pages, 1 blocks, no mistakes\n"


def test_every_mistake_of_every_page_is_named_with_its_place(run: Run) -> None:
    wrong = CHART.replace("shell", "shel")
    pages = {
        "index.md": f"---\ntitle: x\n---\n# Notes\n\n{wrong}\n[a](sub/b.md), [b](nowhere.png)\n",
        "sub/a.md": "# A\n\n```sql x\nSELECT shell FROM sessions\n```\n\n```yaml chart\ntype: bar\ndata: x\nx: shell\n"
                    "y: peple\nwide: 1\n```\n\n```yaml chart\ntype: bar\ndata: x\nx: shell\ny: people\n```\n"
                    "\n[up](../index.md#note)\n\n[there]: ../sub/A.md\n",
    }  # fmt: skip
    found = run(pages, nav="nav:\n  - index.md\n  - Deeper:\n      - A: sub/a.md\n      - B: sub/b.md\n")
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        'mkdocs.yml:15: nav names "sub/b.md", which is not there; run `abaculus new sub/b`, or remove it',
        'site/index.md:9:4: column "shel" not found; did you mean "shell"?',
        'site/index.md:14:5: link to "sub/b.md": there is no sub/b.md in the site; did you mean "sub/a.md"?',
        'site/index.md:14:20: link to "nowhere.png": there is no nowhere.png in the site; name a file beside this one',
        'site/sub/a.md:11:4: y: "peple" is not a measure; did you mean "people"?',
        'site/sub/a.md:12:1: unknown option "wide"; known are '
        + found.stdout.partition('"wide"; known are ')[2].split("\n")[0],
        'site/sub/a.md:17:7: "x" reads people\'s rows and loses user_id; add user_id to its SELECT and leave counting '
        "to y",
        'site/sub/a.md:22:6: link to "../index.md#note": index.md has no "#note"; did you mean "#notes"?',
        'site/sub/a.md:24:10: link to "../sub/A.md": there is no sub/A.md in the site; did you mean "a.md"?',
    ]  # fmt: skip
    assert found.stderr.endswith("2 pages, 0 blocks, 9 mistakes\n")


def test_programs_get_json_and_nothing_else(run: Run) -> None:
    found = run({"index.md": CHART.replace("shell", "shel")}, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout) == {
        "pages": 1,
        "blocks": 0,
        "errors": [
            {
                "file": "site/index.md",
                "line": 4,
                "column": 4,
                "message": 'column "shel" not found; did you mean "shell"?',
            }
        ],
        "warnings": [],
    }


def test_a_workflow_gets_annotations_and_a_summary(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    found = run({"index.md": CHART.replace("shell", "shel")}, "--json")
    assert json.loads(found.stdout)["errors"]
    assert (
        '::error file=site/index.md,line=4,col=4,title=abaculus check::column "shel" not found; did you mean "shell"?\n'
        in found.stderr
    )
    said = (tmp_path / "summary.md").read_text()
    assert said.startswith("before\n### abaculus check\n\n1 pages, 0 blocks.\n")
    assert "| error | site/index.md:4 | column &#34;shel&#34; not found; did you mean &#34;shell&#34;? |" in said


def test_nothing_in_a_mistake_can_end_an_annotation_or_a_table() -> None:
    hostile = Fault("site/a,b:c%.md", 1, "x\r\n::error::y | <script>`*_[a](b) 100%")
    found = Checked(1, 1, [hostile], [hostile])
    lines = list(annotations(found))
    assert lines[0] == (
        "::error file=site/a%2Cb%3Ac%25.md,line=1,title=abaculus check::x%0D%0A::error::y | <script>`*_[a](b) 100%25"
    )
    assert lines[1].startswith("::warning file=")
    assert not set("<>`*[]|") & set(summary(found).split("|---|---|---|\n")[1].replace("| ", "").replace(" |", ""))
    assert summary(Checked(3, 4, [], [])) == "### abaculus check\n\n3 pages, 4 blocks: nothing to mend.\n"


def test_a_page_that_nobody_finds_and_a_block_that_shows_nothing_are_warnings(run: Run) -> None:
    few = "```sql few\nFROM sessions WHERE exit_code = 2\n```\n" + CHART.replace("data: sessions", "data: few")
    found = run({"index.md": f"# Notes\n\n{few}", "slow-runs.md": "# Slow\n"}, nav="nav:\n  - index.md\n")
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        'site/index.md:6: nothing of "Shells" passes the gate today: no group has 10 people; count more coarsely, or '
        "wait for more of them (warning)",
        "site/slow-runs.md:1: no reader finds this page; add it to nav in mkdocs.yml: `- Slow runs: slow-runs.md` "
        "(warning)",
    ]  # fmt: skip


def queried(where: str, y: str = "people") -> str:
    name = f"q{abs(hash(where)) % 10**6}"
    return f"```sql {name}\nSELECT user_id, shell, os FROM sessions{where}\n```\n\n" + CHART.replace(
        "data: sessions", f"data: {name}"
    ).replace("y: people", f"y: {y}")


@pytest.mark.parametrize(
    ("pages", "warned"),
    [
        ((queried(""), queried(" WHERE exit_code <> 2")), True),
        ((queried("", "count"), queried(" WHERE exit_code <> 2", "count")), True),
        ((queried(""), queried(" WHERE exit_code >= 0")), False),
        ((queried(""), queried(" WHERE shell = 'zsh'")), False),
        ((queried(""), queried("").replace("x: shell", "x: os")), False),
        ((queried("", "share(a)").replace("os FROM", "true AS a FROM"), queried(" WHERE exit_code <> 2")), False),
        ((queried(" WHERE exit_code <> 2"), queried("\nWHERE exit_code  <> 2")), False),
        # Between these lie runs of nobody, and runs of fifteen people.
        ((queried("", "count"), queried(" WHERE NOT coalesce(ci, false)", "count")), False),
        ((queried("", "count"), queried(" WHERE NOT (shell = 'zsh' AND exit_code = 0)", "count")), False),
        (
            (
                queried("", "count").replace("x: shell", "x: os"),
                queried(" WHERE exit_code <> 2", "count").replace("x: shell", "x: os"),
            ),
            True,
        ),
    ],
)  # fmt: skip
def test_two_blocks_whose_difference_is_a_few_people_are_warned_of(
    run: Run, pages: tuple[str, str], warned: bool
) -> None:
    found = run({"index.md": pages[0], "b.md": pages[1]})
    assert found.exit_code == 0, found.output
    assert ("count the same rows under different filters" in found.stdout) == warned, found.stdout
    if warned:
        assert found.stdout.startswith('site/index.md:5: "Shells" and "Shells" (site/b.md:5)')


@pytest.mark.parametrize(("second", "warned"), [("b", False), ("a", True)])
def test_bins_are_compared_where_they_are_of_one_column(run: Run, second: str, warned: bool) -> None:
    block = "```sql {0}\nSELECT user_id, exit_code * 2 AS {1} FROM sessions WHERE exit_code < {2}\n```\n"
    block += "```yaml chart\ntype: histogram\ndata: {0}\nx: {1}\n```\n"
    found = run({"index.md": block.format("p", "a", 3) + block.format("q", second, 2)})
    assert ("count the same rows under different filters" in found.stdout) == warned, found.stdout


def test_a_directory_without_a_site_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(project(tmp_path / "x", {}) / "applications"))
    found = CliRunner().invoke(main, ["check"])
    assert found.exit_code == 1
    assert "no mkdocs.yml in this directory" in found.stderr


def test_the_core_of_a_check_imports_no_mkdocs() -> None:
    import subprocess
    import sys

    code = "import sys, reports.check; sys.exit('mkdocs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
