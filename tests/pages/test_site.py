import csv
import html
import io
import json
import re
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from ingest.function import registry
from ingest.function.session_format import timestamp
from reports.pages.site import Page, Site
from reports.query.snapshot import Snapshot
from reports.query.views import VIEWS
from tests import buckets
from tests.messages import guess, mentions, numbers, places
from tests.sites import APPLICATION, MONDAY, NOW, figures, fill, runs, site_of, snapshot_of, source, written


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Thirty people of fish on Linux, twelve of zsh on macOS, nine of cmd, and runs of CI."""
    bucket = tmp_path_factory.mktemp("site") / "bucket"
    fill(
        bucket,
        runs(1, 30, shellName="fish", osName="Linux", exitCode=0, comment="PRIVATE")
        + runs(1, 30, shellName="fish", osName="Linux", exitCode=1, start=MONDAY - timedelta(days=40))
        + runs(31, 42, shellName="zsh", osName="macOS", exitCode=1)
        + runs(50, 58, shellName="cmd", osName="Linux", exitCode=0)
        + runs(60, 99, shellName="cmd", inCi=True, exitCode=0),
    )
    return snapshot_of(bucket)


def run(site: Site, text: str, front: str = "") -> Page:
    return site.page(source(front + text, path="sub/page.md"))


def faults(site: Site, text: str, front: str = "") -> list[str]:
    run(site, text, front)
    return [str(fault) for fault in site.faults]


@pytest.mark.parametrize("columns", ["user_id, shell, os", "*"])  # a table, and of many columns a view
def test_categories_stand_as_the_query_has_them(site: Site, columns: str) -> None:
    size = "CASE shell WHEN 'zsh' THEN 'tall' WHEN 'fish' THEN 'grand' END AS size"
    text, found = "", []
    for number, ordered in enumerate(("shell DESC", "shell", "shell <> 'zsh'")):
        text += f"```sql q{number}\nSELECT {columns}, {size}\nFROM sessions ORDER BY {ordered}\n```\n\n"
        for x in ("size", "[os, size]"):
            text += f"```yaml chart\ntype: table\ndata: q{number}\nx: {x}\ny: people\norder: query\n"
            text += f"title: {number} {x}\n```\n\n"
    page = run(site, text)
    assert site.faults == []
    found = [[row[0] for row in one.published.rows] for one in page.series]
    assert found == [
        ["tall", "grand"], ["macOS", "Linux"],
        ["grand", "tall"], ["Linux", "macOS"],
        ["tall", "grand"], ["macOS", "Linux"],
    ]  # fmt: skip


def test_a_page_keeps_its_words_and_gets_a_figure_for_each_chart(site: Site) -> None:
    page = run(
        site,
        "# Title\n\n```sql fails\nSELECT user_id, exit_code <> 0 AS failed FROM sessions\n```\n\n"
        "```yaml chart\ntype: number\ndata: fails\ny: share(failed)\n```\n\nlast words\n",
    )
    assert site.faults == []
    (figure,) = figures(page)
    before, after = written(page).split(figure)
    assert (before.split("<h1")[0], after.strip()) == ("", "<p>last words</p>")
    # 42 of 121 runs, 30 of fish long ago and 12 of zsh, are 40 of 120.
    assert '<p class="ab-value">33.3\N{NO-BREAK SPACE}%</p>' in figure
    assert "50 people" in figure


def test_each_block_is_its_own_figure_however_many_there_are(site: Site) -> None:
    block = "```yaml chart\ntype: number\ndata: sessions\ny: count\ntitle: Number {}.\n```\n"
    page = run(site, "\n".join(block.format(number) for number in range(25)))
    done = written(page)
    assert re.findall(r"Number (\d+)\.</(?:span|figcaption|a)", done) == [str(number) for number in range(25)]
    assert len(set(re.findall(r'id="([^"]*)"', done))) == 25


def test_downloads_are_the_table(site: Site) -> None:
    page = run(site, "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ntitle: Shells in use!\n```\n")
    assert sorted(page.files) == ["data/sub/page/shells-in-use.csv", "data/sub/page/shells-in-use.parquet"]
    (piece,) = figures(page, root="../")
    assert 'href="../data/sub/page/shells-in-use.csv"' in piece
    rows = list(csv.DictReader(io.StringIO(page.files["data/sub/page/shells-in-use.csv"].decode())))
    assert rows == [{"shell": "fish", "count": "60"}, {"shell": "zsh", "count": "10"}]
    table = pq.read_table(io.BytesIO(page.files["data/sub/page/shells-in-use.parquet"]))
    assert [{key: str(value) for key, value in row.items()} for row in table.to_pylist()] == rows
    assert re.findall(r'row">(\w+)</th><td class="ab-right"[^>]*>(\d+)<', piece) == [("fish", "60"), ("zsh", "10")]
    drawn = json.loads(re.findall(r'json">(.*?)</script>', piece)[0])["data"][0]
    assert (drawn["x"], drawn["customdata"]) == ([60, 10], ["fish: 60", "zsh: 10"])
    assert "cmd" not in piece


def test_the_sql_of_a_block_is_all_that_it_takes(site: Site, snapshot: Snapshot) -> None:
    page = run(
        site,
        "```sql a\nSELECT user_id, shell FROM sessions\n```\n```sql unused\nSELECT 1 AS x\n```\n"
        "```sql b\nFROM a WHERE shell <> 'zsh';\n```\n```yaml chart\ntype: bar\ndata: B\nx: shell\ny: people\n```\n",
    )
    assert site.faults == []
    (piece,) = figures(page)
    sql = html.unescape(re.findall('<pre class="ab-sql">(.*?)</pre>', piece, re.DOTALL)[0])
    assert re.findall("^-- ([ab])$", sql, re.MULTILINE) == ["a", "b"]
    assert [line for line in sql.splitlines() if line and not line.startswith("--")][:4] == [
        "SELECT user_id, shell FROM sessions", "FROM a WHERE shell <> 'zsh'",
        "SELECT shell, count(DISTINCT user_id) AS people", "FROM B",
    ]  # fmt: skip
    assert "unused" not in piece


def test_free_text_is_never_a_label(site: Site) -> None:
    page = run(site, "```yaml chart\ntype: bar\ndata: sessions\nx: comment\ny: people\n```\n")
    assert "PRIVATE" not in repr((figures(page), page.files))
    assert "(free text)" in repr((figures(page), page.files))


def test_queries_of_one_page_are_not_there_on_another(site: Site) -> None:
    run(site, "```sql mine\nFROM sessions\n```\n")
    found = faults(site, "```yaml chart\ntype: number\ndata: mine\ny: count\n```\n")
    assert places("\n".join(found)) == ["site/sub/page.md:3:7"]
    assert mentions(found[0], "mine", *VIEWS)


@pytest.mark.parametrize(
    ("text", "line", "named", "near"),
    [
        ("```yaml chart\ntype: bar\ndata: sessions\nx: shel\ny: people\n```", 4, ("shel",), "shell"),
        ("a\n\n```yaml chart\ntype: bar\ndata: sesions\nx: shell\ny: people\n```", 5, ("sesions",), "sessions"),
        ("```yaml chart\n\n# why\ntype: bar\ny: peple\ndata: sessions\nx: shell\n```", 5, ("y", "peple"), "people"),
        ("```yaml chart\ntype: table\ny: [count, mean(shell)]\ndata: sessions\n```", 3, ("mean", "shell"), None),
        ("```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: count\ncolor: oss\n```", 6, ("oss",), "os"),
        ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ngrain: day\n```", 6, ("grain", "time"), None),
        ("```yaml chart\ntype: bar\ndata: sessions\nx: user_id\ny: count\n```", 4, ("user_id",), None),
        ("```yaml chart\ntype: [bar\n```", 2, ("YAML",), None),
        ("```yaml chart\n```", 2, ("option: value",), None),
        ("```sql a\n\n\nSELECT user_id,\n  shel\nFROM sessions\n```", 5, ("shel",), "shell"),
        ("```sql a\n\n\nSELECT getenv('x')\n  AS x FROM sessions\n```", 4, ("getenv",), None),
        ("```sql a\n\nSELECT user_id\nFROM sesions\n```", 4, ("sesions",), "sessions"),
        ("```sql a\n\nSELECT user_id FROM\n\nWHERE\n```", 5, ("syntax",), None),
        ("```sql a\nDROP VIEW sessions\n```", 1, ("SELECT",), None),
        ("```sql a\n```", 1, ("SELECT",), None),
        ("```sql a;b\nSELECT 1\n```", 1, ("a;b",), None),
        ("```sql Sessions\nSELECT 1 AS x\n```", 1, ("Sessions",), None),
        ("```sql a\nSELECT 1 AS x\n```\n```sql A\nSELECT 1 AS x\n```", 4, ("A",), None),
        (
            "```sql a\nSELECT shell FROM sessions\n```\n```yaml chart\ntype: bar\ndata: a\nx: shell\ny: count\n```",
            6,
            ("a", "user_id"),
            None,
        ),
        ("text\n```yaml chart\ntype: bar\n", 2, ("closed",), None),
        ('=== "T"\n\n    ```sql a\n    SELECT user_id,\n      shel FROM sessions\n    ```', 5, ("shel",), "shell"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("front", ["", "---\ntitle: x\ntags:\n  - y\n---\n"])
def test_a_fault_is_named_with_its_line_in_the_file(
    again: Site, text: str, line: int, named: tuple[str, ...], near: str | None, front: str
) -> None:
    (found,) = faults(again, text, front)
    assert re.match(rf"site/sub/page\.md:{line + front.count(chr(10))}(:\d+)?: ", found)
    assert mentions(found, *named), found
    assert guess(found) == near


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("```yaml chart\ntype: bar\ndata: sessions\nx:   shel\ny: people\n```", "4:6"),
        ("- item\n\n    ```yaml chart\n    type: bar\n    data: sesions\n    x: shell\n    y: people\n    ```", "5:11"),
        ("```yaml chart\ndata: sessions\ntyp: bar\ntype: bar\nx: os\ny: count\n```", "3:1"),
        ("```sql a\nSELECT shel\n  FROM sessions\n```", "2:8"),
        ("```sql a\n\nSELECT user_id,\n  upper(shell) || shel\nFROM sessions\n```", "4:19"),
        (f"```sql a\nSELECT user_id FROM sessions WHERE {'os = 1 AND ' * 9}shel = 2{' AND os = 3' * 20}\n```", "2:135"),
        ("- item\n\n    ```sql a\n    SELECT 'é', 1,\n      'é', getenv('x')\n    ```", "5:12"),
        ("```sql a\nSELECT 'é' FROM sesions\n```", "2:17"),
        ("```sql a\nSELECT 'é', FROM sessions WHERE\n```", "2:27"),
    ],
)  # fmt: skip
def test_a_fault_has_its_column_where_that_is_known(again: Site, text: str, place: str) -> None:
    (found,) = faults(again, text)
    assert found.startswith(f"site/sub/page.md:{place}: "), found


def test_all_faults_of_all_pages_are_kept_and_none_is_repeated(site: Site) -> None:
    run(site, "```sql bad\nSELECT shel FROM sessions\n```\n```sql worse\nFROM bad\n```\n"
              "```yaml chart\ntype: bar\ndata: worse\nx: shell\ny: peple\n```\n"
              "```yaml chart\ntyp: bar\ndata: sessions\nx: 1\n```\n")  # fmt: skip
    found = faults(site, "```yaml chart\ntype: bar\ndata: sessions\nx: nowhere\ny: count\n```\n")
    expected = ("2:8", "14:1", "14:1", "14:1", "16:4", "4:4")
    assert places("\n".join(found)) == [f"site/sub/page.md:{place}" for place in expected]


COUNTED = "```sql q\nSELECT {} FROM {} GROUP BY ALL\n```\n```yaml chart\ntype: bar\ndata: q\nx: {}\ny: n\n```\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (COUNTED.format("shell, count(*) AS n", "sessions", "shell"), ("q", "SELECT user_id")),
        (COUNTED.format("user_id, shell, count(*) AS n", "sessions", "shell"), ("sum(n)", "mean(n)", "p50(n)")),
        (COUNTED.format("user_id, shell, bool_or(ci) AS n", "sessions", "shell"), ("share(n)",)),
        (COUNTED.format("application, count(*) AS n", "releases", "application"), ("q", "people: none")),
    ],
)
def test_a_count_of_the_query_in_place_of_a_measure_is_told_what_to_do(
    site: Site, text: str, named: tuple[str, ...]
) -> None:
    (found,) = faults(site, text)
    assert places(found) == ["site/sub/page.md:8:4"]
    assert mentions(found, "y", "n", *named)


def test_every_mistake_of_a_block_is_named_at_once(site: Site) -> None:
    found = faults(
        site,
        "```sql q\nSELECT user_id, start_time FROM sessions\n```\n```yaml chart\ntype: bra\ndata: q\nx: strat_time\n"
        "y: share(interactive)\ncolor: user_id\nfilter: [os, nowhere]\nexpect: rows\n```\n",
    )
    assert [fault.split(": ", 1)[0].removeprefix("site/sub/page.md:") for fault in found] == [
        "5:7", "7:4", "8:10", "9:1", "10:10", "10:14", "11:9",
    ]  # fmt: skip
    assert [guess(one) for one in found[:2]] == ["bar", "start_time"]
    assert mentions(found[2], "interactive", "sessions", "q", "SELECT")
    assert mentions(found[3], "user_id")


def test_of_a_view_those_columns_are_named_that_fit(site: Site) -> None:
    (share,) = faults(site, "```yaml chart\ntype: number\ndata: sessions\ny: share(failed)\n```\n")
    assert mentions(share, "ci", "inCi", "interactive", "tab_completion_used")
    assert not mentions(share, "shell")
    site.faults.clear()
    (x,) = faults(site, "```yaml chart\ntype: bar\ndata: sessions\nx: zzz\ny: people\n```\n")
    columns = [name for name, *_ in site.connection.execute("DESCRIBE sessions").fetchall()]
    shown = [name for name in columns if mentions(x, name)]
    assert len(shown) == 12
    assert numbers(x)[-1] == str(len(columns) - 12)


def test_a_value_that_breaks_a_query_is_not_in_the_log(site: Site) -> None:
    found = faults(
        site,
        "```sql a\nSELECT user_id, shell::INTEGER AS n FROM sessions\n```\n"
        "```yaml chart\ntype: number\ndata: a\ny: sum(n)\n```\n",
    )
    assert places("\n".join(found)) == ["site/sub/page.md:2:22"]
    assert mentions(found[0], "TRY_CAST")
    assert not any(shell in found[0] for shell in ("fish", "zsh", "cmd"))


def test_no_query_takes_the_place_of_a_table_of_the_build(tmp_path: Path) -> None:
    with site_of(tmp_path) as site:
        tables = [name for (name,) in site.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        assert [name for name in tables if name not in VIEWS]
        # No query can be called what has a blank in it.
        for name in (one for one in tables if " " not in one):
            assert len(faults(site, f"```sql {name}\nSELECT 1 AS x\n```")) == 1
            site.faults.clear()


def test_an_empty_bucket_gives_pages_that_say_so(tmp_path: Path) -> None:
    with site_of(tmp_path) as site:
        page = run(
            site,
            "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: people\n```\n"
            "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
            "```yaml chart\ntype: number\ndata: spans\ny: p50(duration_ms)\n```\n"
            "```yaml chart\ntype: table\ndata: releases\npeople: none\n```\n",
        )
        assert site.faults == []
        # Of people, nobody and too few are the same.
        assert [one.published.empty for one in page.series] == ["too few people"] * 3 + ["no data"]
        assert [piece.count('class="ab-empty"') for piece in figures(page)] == [1] * 4
        assert page.files == {}
        assert site.updated is None
        assert site.sample == []


def test_one_session_gives_pages_that_say_too_few_people_are_in_it(tmp_path: Path) -> None:
    fill(tmp_path / "bucket", runs(1, 1, shellName="SECRET"))
    with site_of(tmp_path / "bucket") as site:
        page = run(
            site,
            "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: people\n```\n"
            "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\n```\n",
        )
        assert site.faults == []
        assert [piece.count('class="ab-empty"') for piece in figures(page)] == [1] * 2
        assert [one.published.empty for one in page.series] == ["too few people"] * 2
        assert "SECRET" not in repr((figures(page), page.files))
        assert site.updated is not None


def test_the_connection_of_a_site_cannot_be_used_to_write_or_read_elsewhere(site: Site, tmp_path: Path) -> None:
    for sql in (f"COPY (SELECT 1) TO '{tmp_path / 'x'}'", f"FROM read_text('{__file__}')", "SET threads = 1"):
        with pytest.raises(duckdb.Error):
            site.connection.execute(sql)


def test_nobody_is_made_through_the_session_of_an_event(tmp_path: Path) -> None:
    opened = [{"type": "Opened", "time": "2026-03-10T00:00:00Z", "attributes": {}}]
    fill(tmp_path / "bucket", [one | {"events": opened} for one in runs(1, 2, shellName="fish")])
    with site_of(tmp_path / "bucket") as site:
        made = "".join(f" WHEN n = {number} THEN '{{user_id: {number}}}'" for number in range(12))
        page = run(
            site,
            f"```sql a\nSELECT CASE{made} ELSE session END AS u FROM events, range(12) AS t(n)\n```\n"
            "```sql b\nSELECT u.user_id, 'x' AS label FROM a AS u\n```\n"
            "```yaml chart\ntype: bar\ndata: b\nx: label\ny: people\n```\n",
        )
    # Two people are in the data, so no cell of ten can be shown.
    assert page.files == {}


def test_what_is_expected_and_does_not_hold_is_a_mistake_with_its_line(site: Site) -> None:
    block = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n{}\n```\n"
    assert faults(site, block.format("expect: rows > 1")) == []
    lines = "expect:\n  - rows > 1\n  - max(people) < 29\n  - min(peple) > 0\n  - rows = 2"
    wrong, unknown = faults(site, block.format(lines))
    assert places(f"{wrong}\n{unknown}") == ["site/sub/page.md:6:1"] * 2
    assert mentions(wrong, "max(people) < 29") and numbers(wrong.partition("max(people) < 29")[2]) == ["30"]
    assert mentions(unknown, "peple") and guess(unknown) == "people"
    site.faults.clear()
    (found,) = faults(site, block.format("expect: row > 1"))
    assert places(found) == ["site/sub/page.md:6:9"]
    assert mentions(found, "expect", "row > 1")


def test_a_role_that_no_attribute_has_shows_the_lines_that_would_fill_the_chart(site: Site) -> None:
    page = run(
        site,
        "```sql q\nSELECT user_id, terminal, 'x' AS arch, tab_completion_used FROM sessions\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: Terminal\ny: share(tab_completion_used)\nexpect: rows > 0\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: arch\ny: people\n```\n"
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n",
    )
    assert site.faults == []
    terminal, arch, shell = figures(page)
    assert "[attributes.terminal]\ntype = &quot;string&quot;\nvalues = " in terminal
    assert "[attributes.tabCompletionUsed]\ntype = &quot;boolean&quot;\nrole = " in terminal
    # What a query makes itself is there, whatever it calls it.
    assert "ab-missing" not in arch + shell
    assert len(page.series) == 2
    toml = html.unescape(re.findall(r"<code>(.*?)</code>", terminal, re.DOTALL)[0])
    registry.parse(f'id = "x"\nname = "X"\n{toml}')


RAISED = """
[attributes.terminal]
type = "string"
values = ["kitty"]
role = "terminal"
why = "Which terminals to support"

[events.Raised]
why = "What fails?"

[events.Raised.attributes.kind]
type = "string"
publish = true
role = "exception_type"
why = "What fails?"
"""


def few(title: str, sql: str, x: str) -> str:
    """A block of what fewer than ten people sent."""
    chart = f"```yaml chart\ntype: bar\ndata: {title}\nx: {x}\ny: people\ntitle: {title}\n```\n"
    return f"```sql {title}\n{sql}\n```\n{chart}"


@pytest.mark.parametrize("sent", ["", "exceptions", "terminals", "saves"])
def test_a_block_that_shows_nothing_is_a_warning_once_somebody_sent_what_it_reads(tmp_path: Path, sent: str) -> None:
    time = timestamp(MONDAY - timedelta(days=3))
    # With the first event, the view of events is not empty.
    events = {"Opened": {}, "Raised": {"kind": "ValueError"}} if sent == "exceptions" else {"Opened": {}}
    one = {
        "user": 50,
        "attributes": {"terminal": "kitty"} if sent == "terminals" else {},
        "events": [{"type": type, "time": time, "attributes": given} for type, given in events.items()],
        "spans": [{"type": "Save", "startTime": time, "endTime": time}] if sent == "saves" else [],
    }
    known = buckets.registry(APPLICATION + RAISED)
    sessions = [*runs(1, 30, osName="Linux", exitCode=0), *runs(31, 32, osName="Linux", exitCode=2)]
    fill(tmp_path, [*sessions, one | {"start": MONDAY}], known)
    text = (
        few("failures", "SELECT user_id, os FROM sessions WHERE exit_code = 2", "os")
        + few("exceptions", "FROM events WHERE exception_type IS NOT NULL", "exception_type")
        + few("terminals", "FROM sessions WHERE terminal IS NOT NULL", "terminal")
        + few("saves", "FROM spans", "type")
    )
    with site_of(tmp_path, known) as site:
        site.run({"a.md": source(text)})
        assert site.faults == []
        said = [re.findall('"(.*?)"', one.message)[0] for one in site.warnings if one.code == "shows-nothing"]
        assert said == ["failures", *([sent] if sent else [])]


def test_a_funnel_that_nobody_goes_on_with_is_drawn_in_the_private_view(snapshot: Snapshot) -> None:
    private = Site(snapshot, now=NOW, private=True)
    text = "```sql q\nSELECT user_id, true AS a, false AS b, false AS c FROM sessions\n```\n"
    for first, sizes in (("a", [91, 0, 0]), ("b", [0, 0, 0])):
        steps = f"steps:\n  One: {first}\n  Two: b\n  Three: c\n"
        page = private.page(source(f"{text}```yaml chart\ntype: funnel\ndata: q\n{steps}```\n"))
        assert private.faults == []
        assert len(figures(page)) == 1
        assert [row[1] for row in page.series[0].published.rows] == sizes
    private.connection.close()


def test_the_private_view_says_what_the_public_page_lacks(tmp_path: Path) -> None:
    fill(tmp_path / "b", [*runs(1, 3, shellName="fish"), *runs(4, 9, shellName="sh", inCi=True)])
    with site_of(tmp_path / "b", private=True) as private:
        chart = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
        releases = "```yaml chart\ntype: table\ndata: releases\npeople: none\n```\n"
        people, missing = private.lacks(private.page(source(chart + releases)), 10)
        assert numbers(people) == ["10", "3"]
        assert "`abaculus releases" in missing
        assert private.lacks(private.page(source(chart)), 3) == []
        (unsent,) = private.lacks(private.page(source(chart.replace("shell", "os"))), 3)
        assert mentions(unsent, "os", "attributes.osName")
