"""A page for each row of a published result: what it may be made from, how it is named, and that values stay values."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ingest.function.bucket_url import open_bucket
from reports.building.build import BuildError, build
from reports.cli import main
from reports.pages.generated_pages import TAKEN, slugs
from tests.messages import guess, mentions, numbers, places
from tests.sites import fill, project, runs

HOSTILE = "'; DROP TABLE page; --\"></title><script>alert(1)</script><img src=x onerror=alert(2)> ${{ x }} ../../x"
SHELLS = "# Shells\n\n```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nname: shells\n```\n"
TEMPLATE = """---
title: All of {{ page.shell }}
description: Runs of {{ page.shell }}
for: SELECT shell, people FROM shells
---
# {{ page.shell }}

It has {{ page.people }} people. [All](index.md)

```sql mine
SELECT user_id, os FROM sessions WHERE shell = (SELECT shell FROM page)
```

```yaml chart
type: bar
data: mine
x: os
y: count
title: Systems
```
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("entities") / "bucket"
    fill(
        path,
        runs(1, 20, shellName="fish", osName="Linux")
        + runs(21, 35, shellName=HOSTILE[:80], osName="macOS")
        + runs(36, 70, shellName="Power Shell", osName="Linux")
        + runs(71, 82, osName="Linux")
        + runs(90, 93, shellName="SECRET", osName="Linux")
        + runs(94, 99, shellName="SECRET2", osName="Linux"),
    )
    return path


Built = Callable[..., Path]


@pytest.fixture
def built(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def run(template: str = TEMPLATE, more: str = "", over: Path = bucket, **pages: str) -> Path:
        project(tmp_path, {"index.md": SHELLS, "shell.md": template, **{f"{k}.md": v for k, v in pages.items()}})
        settings = tmp_path / "mkdocs.yml"
        settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
        return build(str(over), None)

    return run


def check(bucket: Path) -> Result:
    return CliRunner().invoke(main, ["check", "--bucket", str(bucket)])


def words(path: Path) -> str:
    """The text of a built page."""
    return html.unescape(re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8")))


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("shell*.html"))


def test_each_published_row_has_a_page_of_its_own_data_beside_the_template(built: Built, bucket: Path) -> None:
    out = built()
    assert len(names(out)) == 4
    fish = (out / "shell-fish.html").read_text(encoding="utf-8")
    assert "<h1 id=" in fish and "It has 20 people." in words(out / "shell-fish.html")
    assert "<title>All of fish - Notes</title>" in fish
    assert '<meta name="description" content="Runs of fish">' in fish
    assert 'href="index.html"' in fish
    assert (out / "data/shell-fish/systems.csv").read_text(encoding="utf-8") == "os,count\nLinux,20\n"
    assert (out / "data/shell-power-shell/systems.csv").read_text(encoding="utf-8") == "os,count\nLinux,35\n"
    assert "-- page: shell = fish, people = 20" in html.unescape(fish)
    pages = {one["page"] for one in json.loads((out / "data/index.json").read_text(encoding="utf-8"))["series"]}
    assert {"shell-fish", "shell-power-shell"} < pages
    assert numbers(check(bucket).output)[:2] == ["5", "4"]


def test_the_address_of_the_template_lists_its_pages_and_only_what_is_published(built: Built) -> None:
    out = built()
    listed = html.unescape((out / "shell.html").read_text(encoding="utf-8"))
    links = re.findall(r'<td><a href="(shell-[^"]+\.html)">(.*?)</a></td>\s*<td>(\d+)</td>', listed, re.DOTALL)
    assert sorted(number for _, _, number in links) == ["15", "20", "35"]
    assert {link for link, _, _ in links} | {"shell.html"} == set(names(out))
    assert "<title>Shell - Notes</title>" in listed
    for path in out.rglob("*"):
        assert path.is_dir() or b"SECRET" not in path.read_bytes(), path


def test_a_value_is_bound_and_means_nothing_to_sql_html_markdown_or_a_file_system(built: Built) -> None:
    out = built()
    (hostile,) = [
        name for name in names(out) if name not in ("shell.html", "shell-fish.html", "shell-power-shell.html")
    ]
    assert re.fullmatch(r"shell-[a-z0-9.-]+\.html", hostile)
    # Its own people are counted: the value went into the query whole, and only as a value.
    assert (out / "data" / hostile.removesuffix(".html") / "systems.csv").read_text(
        encoding="utf-8"
    ) == "os,count\nmacOS,15\n"
    for path in (out / hostile, out / "shell.html", out / "404.html", out / "index.html"):
        page = re.sub(
            r'<script type="application/json">.*?</script>', "", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        assert "<script>alert" not in page and "<img src=x" not in page
        assert not re.search(r"<[a-z][^>]*\sonerror", re.sub(r'"[^"]*"', '""', page))
    assert "<script>alert" not in (out / "search/search_index.json").read_text(encoding="utf-8")
    title = re.findall(r"<title>(.*?)</title>", (out / hostile).read_text(encoding="utf-8"))[0]
    assert html.unescape(title) == f"All of {HOSTILE[:80]} - Notes"


TABLE = """# Table

```yaml chart
type: table
data: sessions
x: [shell]
y: [people, count]
limit: 4
title: All shells
```

```yaml chart
type: bar
data: sessions
x: shell
y: people
limit: 4
title: The same, drawn
```
"""


def headings(page: Path) -> dict[str, str | None]:
    """What the row headings of a page's first table say, and where each leads."""
    first = re.findall(r"<tbody>.*?</tbody>", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    found = re.findall(r'<th scope="row">(?:<a href="([^"]*)">)?(.*?)(?:</a>)?</th>', first)
    assert len(found) == first.count("<th ")
    return {html.unescape(said): html.unescape(url) or None for url, said in found}


def test_a_table_leads_to_the_page_of_each_of_its_values_that_has_one(built: Built) -> None:
    only = TEMPLATE.replace("FROM shells", "FROM shells WHERE shell <> 'Power Shell'")
    out = built(only, **{"parts/table": TABLE})
    found = headings(out / "parts/table.html")
    hostile = found.pop(HOSTILE[:80])
    # "Other" is what the gate folded, and has no page; neither has who sent nothing, nor what the template left out.
    assert found == {"fish": "../shell-fish.html", "Power Shell": None, "not known": None, "Other": None}
    assert hostile and re.fullmatch(r"\.\./shell-[a-z0-9.-]+\.html", hostile)
    assert "<h1 id=" in (out / "parts" / hostile).read_text(encoding="utf-8")
    page = (out / "parts/table.html").read_text(encoding="utf-8")
    assert html.escape(HOSTILE[:80]) in page and "data-value" not in page and "<script>alert" not in page
    # What is drawn has its numbers below it, without links.
    assert page.count('href="../shell-fish.html"') == 1
    assert "fish,20,20" in (out / "data/parts/table/all-shells.csv").read_text(encoding="utf-8")


def test_a_value_leads_to_a_page_of_its_own_application_and_not_to_the_page_that_it_stands_on(built: Built) -> None:
    mine = TABLE.replace("# Table", "---\napplication: notes\n---\n# Table")
    out = built(TEMPLATE.partition("```sql")[0] + TABLE, mine=mine, shell_again=TEMPLATE)
    assert set(headings(out / "mine.html").values()) == {None}
    # Two templates make a page of each shell: the first by name is led to.
    assert headings(out / "shell-fish.html")["fish"] is None
    assert headings(out / "shell-fish.html")["Power Shell"] == "shell-power-shell.html"


def test_addresses_that_are_directories_are_linked_as_such(built: Built, bucket: Path, tmp_path: Path) -> None:
    built(table=TABLE)
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("urls: false", "urls: true"), encoding="utf-8")
    out = build(str(bucket), None)
    assert '<a href="../shell-fish/">' in (out / "shell/index.html").read_text(encoding="utf-8")
    assert 'href="../data/shell-fish/systems.csv"' in (out / "shell-fish/index.html").read_text(encoding="utf-8")
    assert headings(out / "table/index.html")["fish"] == "../shell-fish/"


def test_a_template_can_stand_in_nav(built: Built) -> None:
    strict = "nav:\n  - index.md\n  - Each shell: shell.md\nvalidation: {omitted_files: warn, anchors: warn}\n"
    out = built(more=strict)
    assert "<title>Each shell - Notes</title>" in (out / "shell.html").read_text(encoding="utf-8")
    assert len(names(out)) == 4


def test_releases_and_applications_have_pages_without_anybodys_data(built: Built, tmp_path: Path) -> None:
    store = open_bucket(str(tmp_path / "empty"))
    dates = [{"version": version, "released": "2026-01-05T00:00:00Z"} for version in ("1.10.0", "1.9.0", "v")]
    store.put("releases/notes.json", json.dumps(dates).encode())
    template = "---\nfor: SELECT version, released FROM releases\n---\n# {{ page.version }}\n\n{{ page.released }}\n"
    tool = "---\nfor: FROM applications\n---\n# {{ page.name }}\n"
    out = built(template, over=tmp_path / "empty", tool=tool)
    assert names(out) == ["shell-1.10.0.html", "shell-1.9.0.html", "shell-v.html", "shell.html"]
    assert "2026-01-05 00:00 UTC" in html.unescape((out / "shell-1.9.0.html").read_text(encoding="utf-8"))
    assert "<title>Notes - Notes</title>" in (out / "tool-notes.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("query", "named", "near"),
    [
        ("SELECT shell FROM sessions", ("name:",), None),
        ("SELECT DISTINCT shell FROM sessions", ("name:",), None),
        ("SELECT shell FROM shels", ("shels",), "shells"),
        ("SELECT shel FROM shells", ("shel",), "shell"),
        ("DROP TABLE shells", ("SELECT",), None),
        ("SELECT range::VARCHAR AS n FROM range(500)", ("200", "LIMIT"), None),
        ("SELECT 1 AS n, shell FROM shells", ("n", "twice"), None),
        ("SELECT [shell] AS s FROM shells", ("s", "VARCHAR[]"), None),
        ("[1, 2]", ("SELECT", "quotes"), None),
    ],
)
def test_what_cannot_be_made_a_page_of_is_a_mistake_at_its_line(
    built: Built, query: str, named: tuple[str, ...], near: str | None
) -> None:
    template = TEMPLATE.replace("SELECT shell, people FROM shells", query)
    with pytest.raises(BuildError) as raised:
        built(template)
    (line,) = [line for line in str(raised.value).splitlines() if line.startswith("site/")]
    assert places(line) == ["site/shell.md:4:1"]
    assert mentions(line, "for", *named), line
    assert guess(line) == near


def test_a_mistake_in_a_template_is_named_once_also_when_there_is_no_page_yet(
    built: Built, bucket: Path, tmp_path: Path
) -> None:
    wrong = TEMPLATE.replace("SELECT user_id, os", "SELECT user_id, oss").replace(
        "{{ page.people }}", "{{ page.peple }}"
    )
    (tmp_path / "empty").mkdir()
    for over in (bucket, tmp_path / "empty"):
        with pytest.raises(BuildError) as raised:
            built(wrong, over=over) if over == bucket else build(str(over), None)
        assert places(str(raised.value)) == ["site/shell.md:8:8", "site/shell.md:11:17"]


def test_what_is_expected_is_not_expected_of_a_template_without_pages(built: Built, tmp_path: Path) -> None:
    template = TEMPLATE.replace("title: Systems", "title: Systems\nexpect: rows > 0")
    (tmp_path / "empty").mkdir()
    out = built(template, over=tmp_path / "empty")
    assert names(out) == ["shell.html"]


def test_no_label_takes_the_place_of_a_page_or_stops_the_build(built: Built) -> None:
    out = built(**{"shell-fish": "# My own words\n"})
    assert "My own words" in (out / "shell-fish.html").read_text(encoding="utf-8")
    (made,) = [name for name in names(out) if re.fullmatch(r"shell-fish-[0-9a-f]{10}\.html", name)]
    assert "It has 20 people." in words(out / made)


def test_two_charts_of_one_name_are_no_source_of_pages(built: Built) -> None:
    with pytest.raises(BuildError) as raised:
        built(again=SHELLS)
    assert mentions(str(raised.value), "index.md", "again.md", "shells")


@given(st.lists(st.text(max_size=70), unique=True, max_size=12))
def test_no_two_pages_share_a_file_and_none_leaves_its_directory(values: list[str]) -> None:
    made = slugs(values)
    assert len(set(made)) == len(values)
    for slug in made:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", slug) and ".." not in slug and slug not in TAKEN
        assert len(slug) < 90


def test_a_name_that_says_all_of_a_value_is_kept_whatever_stands_beside_it() -> None:
    assert slugs(["1.10.0", "fish"]) == ["1.10.0", "fish"]
    first, second, third = slugs(["a b", "a-b", "A b"])
    assert second == "a-b" and first.startswith("a-b-") and third.startswith("a-b-")
    assert all(slug.startswith("index-") for slug in slugs(["index", "Index"]))
