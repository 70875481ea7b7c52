import re
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from reports.building.build import BuildError, build
from reports.charts import choices
from reports.cli import main
from tests.messages import guess, mentions, numbers, places
from tests.sites import APPLICATION, fill, project, runs

CHART = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells\n```\n"


def built(directory: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None] = lambda line: None) -> Path:
    monkeypatch.chdir(directory)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(directory / "applications"))
    return build(str(directory / "bucket"), None, say=say)


def failed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with pytest.raises(BuildError) as raised:
        built(directory, monkeypatch)
    return str(raised.value)


def test_a_page_with_a_chart_becomes_a_site_with_its_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        "index.md": f"# Notes\n\n{CHART}\nlast words\n",
        "sub/plain.md": "# Plain\n",
        "sub/more.md": f"# More\n\n{CHART}",
    }
    project(tmp_path, pages)
    fill(
        tmp_path / "bucket",
        runs(1, 12, shellName="fish") + runs(20, 30, shellName="zsh") + runs(40, 45, shellName="SECRET"),
    )
    out = built(tmp_path, monkeypatch)
    index = (out / "index.html").read_text(encoding="utf-8")
    assert mentions(re.findall('role="img" aria-label="([^"]*)"', index)[0], "Shells", "fish: 10", "zsh: 10")
    assert 'href="./data/index/shells.csv"' in index
    assert (out / "data/index/shells.csv").read_text(encoding="utf-8") == "shell,people\nfish,10\nzsh,10\n"
    assert (out / "data/index/shells.parquet").read_bytes().startswith(b"PAR1")
    assert 'href="../data/sub/more/shells.csv"' in (out / "sub/more.html").read_text(encoding="utf-8")
    assert (out / "data/sub/more/shells.csv").is_file()
    assert {path.name for path in (out / "assets").iterdir()} >= {"abaculus.js", "abaculus.css", "plotly.min.js"}
    # Pages without a chart are left alone; nothing of what is held back is in any file.
    assert "ab-fresh" not in (out / "sub/plain.html").read_text(encoding="utf-8")
    for path in out.rglob("*"):
        assert path.is_dir() or b"SECRET" not in path.read_bytes(), path


def test_a_page_says_that_its_data_is_made_up_if_it_has_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Columns may be called as views are.
    values = "```sql measured\nSELECT * FROM (VALUES ('a', 1)) AS given(sessions, pipeline)\n```\n"
    none = "```yaml chart\ntype: table\ndata: {}\npeople: none\n{}```\n"
    later = "```sql later\nSELECT count(*) AS n FROM (FROM pipeline)\n```\n```sql last\nFROM later\n```\n"
    named = CHART.replace("title", "name: shells\ntitle")
    pages = {
        "index.md": f"# Notes\n\n{named}",
        "runs.md": "# Runs\n\n" + later + none.format("last", ""),
        "shell.md": "---\nfor: SELECT shell, people FROM shells\n---\n# {{ page.shell }}\n\n{{ page.people }}\n",
        "measured.md": "# Measured\n\n"
        + values
        + none.format("measured", "name: own\n")
        + none.format("own", "title: The same\n"),
        "plain.md": "# Plain\n",
    }
    project(tmp_path, pages, application="sample = true" + APPLICATION)
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    out = built(tmp_path, monkeypatch)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*.html") if path.stem != "404"}
    assert {name for name, text in texts.items() if "Generated data" in text} == {
        "index",
        "runs",
        "shell",
        "shell-fish",
    }
    # Nor is there a date of data where there is no data.
    assert "ab-table" in texts["measured"] and "ab-fresh" not in texts["measured"]


def test_a_block_is_drawn_wherever_markdown_lets_it_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = "".join(f"    {line}\n" for line in CHART.splitlines())
    deeper = "".join(f"    {line}\n" for line in inside.splitlines())
    page = (
        f'# Notes\n\n{CHART}\n!!! note\n\n{inside}\n=== "One"\n\n{inside}\n=== "Two"\n\n    - item\n\n{deeper}\n'
        f"- item\n\n{inside}\n> quoted\n\n````markdown\n{CHART}````\n\nCode:\n\n{inside}\n<!--\n{CHART}-->\n"
    )
    project(tmp_path, {"index.md": page})
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    index = (built(tmp_path, monkeypatch) / "index.html").read_text(encoding="utf-8")
    assert index.count('<figure class="ab-chart"') == 5
    assert len(set(re.findall(r'<figure class="ab-chart" id="([^"]*)"', index))) == 5
    assert not re.findall(r"abaculus-[0-9a-f]{16}", index)
    assert "<p><figure" not in index


def test_all_faults_of_all_pages_stop_the_build_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = CHART.replace("x: shell", "x: shel")
    project(tmp_path, {
        "index.md": f"# Notes\n\n{CHART}",
        "a.md": f"---\ntitle: A\n---\n# A\n\n{broken}\n```sql x\n\nSELECT user_id,\n  oss\nFROM sessions\n```\n",
        "sub/b.md": "# B\r\n\r\n```yaml chart\r\ntype: bar\r\ndata: sessions\r\ny: peple\r\n```\r\n",
    })  # fmt: skip
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    said = failed(tmp_path, monkeypatch)
    assert places(said) == ["site/a.md:9:4", "site/a.md:17:3", "site/sub/b.md:4:1", "site/sub/b.md:6:4"]
    assert guess(next(line for line in said.splitlines() if line.startswith("site/a.md:9:4: "))) == "shell"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_build_in_a_workflow_puts_each_fault_beside_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = CHART.replace("x: shell", "x: shel")
    project(tmp_path, {"index.md": f"# Notes\n\n[a](nowhere.md)\n\n{broken}", "a.md": broken.replace("bar", "br")})
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    for in_workflow in (True, False):
        if in_workflow:
            monkeypatch.setenv("GITHUB_ACTIONS", "true")
        else:
            monkeypatch.delenv("GITHUB_ACTIONS")
        done = CliRunner().invoke(main, ["build", "--bucket", str(tmp_path / "bucket")])
        assert done.exit_code == 1
        beside = [line for line in done.stderr.splitlines() if line.startswith("::")]
        assert len(beside) == 4 * in_workflow
        if in_workflow:
            assert beside[0].startswith("::error file=site/a.md,line=2,col=7,title=abaculus build::")
            assert beside[1].startswith("::error file=site/a.md,line=4,col=4,title=abaculus build::")
            assert beside[2].startswith("::error file=site/index.md,line=3,col=5,title=abaculus build::")
            assert beside[3].startswith("::error file=site/index.md,line=8,col=4,title=abaculus build::")
        # What is wrong with links is said with them, and nothing twice.
        assert done.stderr.count("site/index.md:3:5: ") == 1
        assert done.stderr.count("site/index.md:8:4: ") == 1
        assert "Aborted" not in done.stderr


def test_a_site_that_was_there_stays_when_a_build_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": f"# Notes\n\n{CHART}"})
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    out = built(tmp_path, monkeypatch)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (tmp_path / "site" / "index.md").write_text(CHART.replace("shell", "shel"), encoding="utf-8")
    failed(tmp_path, monkeypatch)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_broken_link_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": "# Notes\n\n[there](nowhere.md)\n"})
    assert "nowhere.md" in failed(tmp_path, monkeypatch)


def test_an_empty_bucket_gives_a_site_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": f"# Notes\n\n{CHART}"})
    index = (built(tmp_path, monkeypatch) / "index.html").read_text(encoding="utf-8")
    assert 'class="ab-empty"' in index
    assert "<time" not in index
    assert [path.name for path in (tmp_path / "out" / "data").rglob("*")] == ["index.json"]


def test_one_session_gives_a_site_that_says_too_few_people_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, {"index.md": f"# Notes\n\n{CHART}"})
    fill(tmp_path / "bucket", runs(1, 1, shellName="SECRET"))
    out = built(tmp_path, monkeypatch)
    (said,) = re.findall(r'<p class="ab-empty">(.*?)</p>', (out / "index.html").read_text(encoding="utf-8"))
    assert numbers(said) == ["10"]
    assert all(b"SECRET" not in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_a_directory_that_is_not_a_built_site_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": f"# Notes\n\n{CHART}"})
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "work.py").write_text("years of it", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    with pytest.raises(BuildError, match=re.escape(str(source))):
        build(str(tmp_path / "bucket"), source)
    assert {path.name: path.read_text(encoding="utf-8") for path in source.iterdir()} == {"work.py": "years of it"}


@pytest.mark.parametrize("minimum", [8, 11, 0, -5])
def test_a_minimum_that_is_not_an_even_number_from_ten_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimum: int
) -> None:
    project(tmp_path, {"index.md": "# Notes\n"}, minimum=minimum)
    assert mentions(failed(tmp_path, monkeypatch), "minimum_users", "even", "10", str(minimum))


def test_a_directory_without_a_site_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildError, match=r"mkdocs\.yml"):
        build(str(tmp_path / "bucket"), None)


def test_what_is_searched_is_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, {"index.md": f"# Notes\n\n{CHART}"})
    fill(tmp_path / "bucket", runs(1, 12, shellName="fish") + runs(20, 25, shellName="SECRET"))
    out = built(tmp_path, monkeypatch)
    index = (out / "search" / "search_index.json").read_text(encoding="utf-8")
    assert "Shells" in index
    assert "SECRET" not in index
    assert "hovertemplate" not in index
    assert xml.etree.ElementTree.parse(out / "sitemap.xml") is not None


def test_a_filter_that_is_too_large_is_said_with_its_place_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "MOST_BYTES", 100)
    filtered = CHART.replace("title", "filter: os\ntitle")
    project(tmp_path, {"index.md": f"# Notes\n\n{filtered}"})
    fill(tmp_path / "bucket", runs(1, 30, shellName="fish", osName="Linux"))
    said: list[str] = []
    built(tmp_path, monkeypatch, said.append)
    (line,) = said
    assert places(line) == ["site/index.md:8"]
    assert mentions(line, "filter") and numbers(line.partition("filter")[2])[:2] == ["1", "1"]
