import csv
import html
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from ingest import registry
from ingest.bucket import open_bucket
from reports import warehouse
from reports.site import Page, Site
from tests import buckets
from tests.sites import APPLICATION, MONDAY, NOW, fill, runs

KNOWN = buckets.registry(APPLICATION)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> warehouse.Snapshot:
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
    return warehouse.fetch(open_bucket(str(bucket)), str(bucket), KNOWN)


@pytest.fixture
def site(snapshot: warehouse.Snapshot) -> Iterator[Site]:
    made = Site(snapshot, now=NOW)
    yield made
    made.connection.close()


def run(site: Site, text: str, front: str = "") -> Page:
    return site.page(text, file="site/page.md", source=front + text, name="sub/page", root="../")


def faults(site: Site, text: str, front: str = "") -> list[str]:
    run(site, text, front)
    return [str(fault) for fault in site.faults]


def test_a_page_keeps_its_words_and_gets_a_placeholder_for_each_chart(site: Site) -> None:
    page = run(
        site,
        "# Title\n\n```sql fails\nSELECT user_id, exit_code <> 0 AS failed FROM sessions\n```\n\n"
        "```yaml chart\ntype: number\ndata: fails\ny: share(failed)\n```\n\nlast words\n",
    )
    assert site.faults == []
    (placeholder,) = page.pieces
    assert page.markdown.split() == ["#", "Title", placeholder, "last", "words"]
    # 42 of 121 runs: 30 of fish long ago, 12 of zsh.
    assert '<p class="ab-value">34.7\N{NO-BREAK SPACE}%</p>' in page.pieces[placeholder]
    assert "51 people" in page.pieces[placeholder]


def test_each_placeholder_becomes_its_own_figure_however_many_there_are(site: Site) -> None:
    block = "```yaml chart\ntype: number\ndata: sessions\ny: count\ntitle: Number {}.\n```\n"
    page = run(site, "\n".join(block.format(number) for number in range(25)))
    for wrapped in ("<p>{}</p>", "{}", "<li>{}</li>"):
        done = page.finish("".join(wrapped.format(place) for place in page.pieces), lambda column, value: None)
        assert re.findall(r"Number (\d+)\.", done) == [str(number) for number in range(25)]
        assert "abaculus-" not in done
    assert len(set(re.findall(r'id="([^"]*)"', done))) == 25


def test_downloads_are_the_table(site: Site) -> None:
    page = run(site, "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ntitle: Shells in use!\n```\n")
    assert sorted(page.files) == ["data/sub/page/shells-in-use.csv", "data/sub/page/shells-in-use.parquet"]
    (piece,) = page.pieces.values()
    assert 'href="../data/sub/page/shells-in-use.csv"' in piece
    rows = list(csv.DictReader(io.StringIO(page.files["data/sub/page/shells-in-use.csv"].decode())))
    assert rows == [{"shell": "fish", "count": "60"}, {"shell": "Other", "count": "61"}]
    table = pq.read_table(io.BytesIO(page.files["data/sub/page/shells-in-use.parquet"]))
    assert [{key: str(value) for key, value in row.items()} for row in table.to_pylist()] == rows
    assert re.findall(r'row">(\w+)</th><td class="ab-right"[^>]*>(\d+)<', piece) == [("fish", "60"), ("Other", "61")]
    drawn = json.loads(re.findall(r'json">(.*?)</script>', piece)[0])["data"][0]
    assert (drawn["x"], drawn["customdata"]) == ([60, 61], ["fish: 60", "Other: 61"])
    assert "cmd" not in piece


def test_the_sql_of_a_block_is_all_that_it_takes(site: Site, snapshot: warehouse.Snapshot) -> None:
    page = run(
        site,
        "```sql a\nSELECT user_id, shell FROM sessions\n```\n```sql unused\nSELECT 1 AS x\n```\n"
        "```sql b\nFROM a WHERE shell <> 'zsh';\n```\n```yaml chart\ntype: bar\ndata: B\nx: shell\ny: people\n```\n",
    )
    assert site.faults == []
    (piece,) = page.pieces.values()
    assert (
        "-- a\nSELECT user_id, shell FROM sessions\n\n-- b\nFROM a WHERE shell &lt;&gt; &#x27;zsh&#x27;\n\n"
        "-- what is counted\nSELECT shell, count(DISTINCT user_id) AS people\nFROM B"
    ) in piece
    assert "unused" not in piece


def test_free_text_is_never_a_label(site: Site) -> None:
    page = run(site, "```yaml chart\ntype: bar\ndata: sessions\nx: comment\ny: people\n```\n")
    assert "PRIVATE" not in repr(page)
    assert "(free text)" in repr(page)


def test_queries_of_one_page_are_not_there_on_another(site: Site) -> None:
    run(site, "```sql mine\nFROM sessions\n```\n")
    found = faults(site, "```yaml chart\ntype: number\ndata: mine\ny: count\n```\n")
    assert found == ['site/page.md:3:7: table "mine" not found; there are sessions, '
                     'events, spans, features, releases, applications, pipeline']  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("```yaml chart\ntype: bar\ndata: sessions\nx: shel\ny: people\n```", 4, 'did you mean "shell"?'),
        ("a\n\n```yaml chart\ntype: bar\ndata: sesions\nx: shell\ny: people\n```", 5, 'did you mean "sessions"?'),
        ("```yaml chart\n\n# why\ntype: bar\ny: peple\ndata: sessions\nx: shell\n```", 5, 'did you mean "people"?'),
        ("```yaml chart\ntype: table\ny: [count, mean(shell)]\ndata: sessions\n```", 3, "mean needs a number"),
        ("```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: count\ncolor: oss\n```", 6, '"oss" not found'),
        ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ngrain: day\n```", 6, "grain is for a time"),
        ("```yaml chart\ntype: bar\ndata: sessions\nx: user_id\ny: count\n```", 4, "user_id is never published"),
        ("```yaml chart\ntype: [bar\n```", 2, "not valid YAML"),
        ("```yaml chart\n```", 2, "a chart block has lines"),
        ("```sql a\n\n\nSELECT user_id,\n  shel\nFROM sessions\n```", 5, 'did you mean "shell"?'),
        ("```sql a\n\n\nSELECT getenv('x')\n  AS x FROM sessions\n```", 4, "function getenv is not allowed"),
        ("```sql a\n\nSELECT user_id\nFROM sesions\n```", 4, 'table "sesions" not found; did you mean "sessions"?'),
        ("```sql a\n\nSELECT user_id FROM\n\nWHERE\n```", 5, "syntax error"),
        ("```sql a\nDROP VIEW sessions\n```", 1, "only SELECT is allowed here"),
        ("```sql a\n```", 1, "SELECT"),
        ("```sql a;b\nSELECT 1\n```", 1, "cannot name a query"),
        ("```sql Sessions\nSELECT 1 AS x\n```", 1, 'there is a view, query or chart named "Sessions" already'),
        ("```sql a\nSELECT 1 AS x\n```\n```sql A\nSELECT 1 AS x\n```", 4, 'query or chart named "A" already'),
        (
            "```sql a\nSELECT shell FROM sessions\n```\n```yaml chart\ntype: bar\ndata: a\nx: shell\ny: count\n```",
            6,
            "loses user_id",
        ),
        ("text\n```yaml chart\ntype: bar\n", 2, "this block is not closed"),
        ('=== "T"\n\n    ```sql a\n    SELECT user_id,\n      shel FROM sessions\n    ```', 5, 'did you mean "shell"?'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("front", ["", "---\ntitle: x\ntags:\n  - y\n---\n"])
def test_a_fault_is_named_with_its_line_in_the_file(
    again: Site, text: str, line: int, message: str, front: str
) -> None:
    found = faults(again, text, front)
    assert len(found) == 1
    assert re.match(rf"site/page\.md:{line + front.count(chr(10))}(:\d+)?: ", found[0])
    assert message in found[0]


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
    assert found.startswith(f"site/page.md:{place}: "), found


def test_all_faults_of_all_pages_are_kept_and_none_is_repeated(site: Site) -> None:
    run(site, "```sql bad\nSELECT shel FROM sessions\n```\n```sql worse\nFROM bad\n```\n"
              "```yaml chart\ntype: bar\ndata: worse\nx: shell\ny: peple\n```\n"
              "```yaml chart\ntyp: bar\ndata: sessions\nx: 1\n```\n")  # fmt: skip
    found = faults(site, "```yaml chart\ntype: bar\ndata: sessions\nx: nowhere\ny: count\n```\n")
    places = ("2:8", "14:1", "14:1", "14:1", "16:4", "4:4")
    assert [fault.split(": ")[0] for fault in found] == [f"site/page.md:{place}" for place in places]


COUNTED = "```sql q\nSELECT {} FROM {} GROUP BY ALL\n```\n```yaml chart\ntype: bar\ndata: q\nx: {}\ny: n\n```\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            COUNTED.format("shell, count(*) AS n", "sessions", "shell"),
            '"n" is counted by "q" already, and a chart counts people\'s rows itself; there SELECT user_id',
        ),
        (
            COUNTED.format("user_id, shell, count(*) AS n", "sessions", "shell"),
            '"n" is a column, and y says what is counted of it; say sum(n), mean(n) or p50(n)',
        ),
        (
            COUNTED.format("user_id, shell, bool_or(ci) AS n", "sessions", "shell"),
            '"n" is a column, and y says what is counted of it; say share(n)',
        ),
        (
            COUNTED.format("application, count(*) AS n", "releases", "application"),
            '"n" is a column of "q", which has no people\'s rows; add `people: none`, and it is shown',
        ),
    ],
)
def test_a_count_of_the_query_in_place_of_a_measure_is_told_what_to_do(site: Site, text: str, said: str) -> None:
    (found,) = faults(site, text)
    assert found.startswith(f"site/page.md:8:4: y: {said}")


def test_every_mistake_of_a_block_is_named_at_once(site: Site) -> None:
    found = faults(
        site,
        "```sql q\nSELECT user_id, start_time FROM sessions\n```\n```yaml chart\ntype: bra\ndata: q\nx: strat_time\n"
        "y: share(interactive)\ncolor: user_id\nfilter: [os, nowhere]\nexpect: rows\n```\n",
    )
    assert [fault.split(": ", 1)[0].removeprefix("site/page.md:") for fault in found] == [
        "5:7", "7:4", "8:10", "9:1", "10:10", "10:14", "11:9",
    ]  # fmt: skip
    assert 'did you mean "bar"?' in found[0]
    assert 'did you mean "start_time"?' in found[1]
    assert 'column "interactive" is in "sessions", but "q" does not SELECT it; add it there' in found[2]
    assert "user_id is never published" in found[3]


def test_of_a_view_those_columns_are_named_that_fit(site: Site) -> None:
    (share,) = faults(site, "```yaml chart\ntype: number\ndata: sessions\ny: share(failed)\n```\n")
    listed = share.partition("of what is true or false there are ")[2]
    assert "shell" not in listed
    assert sorted(listed.removesuffix("; name one, or SELECT it in a query").split(", ")) == [
        "ci", "inCi", "interactive", "tab_completion_used",
    ]  # fmt: skip
    site.faults.clear()
    (x,) = faults(site, "```yaml chart\ntype: bar\ndata: sessions\nx: zzz\ny: people\n```\n")
    named, more = x.partition("there are ")[2].split(" and ")
    assert len(named.split(", ")) == 12
    assert more.endswith(" more; name one, or SELECT it in a query")


def test_a_value_that_breaks_a_query_is_not_in_the_log(site: Site) -> None:
    found = faults(
        site,
        "```sql a\nSELECT user_id, shell::INTEGER AS n FROM sessions\n```\n"
        "```yaml chart\ntype: number\ndata: a\ny: sum(n)\n```\n",
    )
    assert found == ["site/page.md:2:22: a value in the data does not fit (conversion); use TRY_CAST, or filter it out"]


def test_no_query_takes_the_place_of_a_table_of_the_build(tmp_path: Path) -> None:
    store = open_bucket(str(tmp_path))
    site = Site(warehouse.fetch(store, str(tmp_path), KNOWN), now=NOW)
    tables = [name for (name,) in site.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    assert [name for name in tables if name not in warehouse.VIEWS]
    for name in tables:
        assert len(faults(site, f"```sql {name}\nSELECT 1 AS x\n```")) == 1
        site.faults.clear()
    site.connection.close()


def test_an_empty_bucket_gives_pages_that_say_so(tmp_path: Path) -> None:
    store = open_bucket(str(tmp_path))
    site = Site(warehouse.fetch(store, str(tmp_path), KNOWN), now=NOW)
    page = run(
        site,
        "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: people\n```\n"
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n"
        "```yaml chart\ntype: number\ndata: spans\ny: p50(duration_ms)\n```\n"
        "```yaml chart\ntype: table\ndata: releases\npeople: none\n```\n",
    )
    assert site.faults == []
    assert [piece.count("No data yet.") for piece in page.pieces.values()] == [1] * 4
    assert page.files == {}
    assert site.updated is None
    assert site.sample == []
    site.connection.close()


def test_one_session_gives_pages_that_say_too_few_people_are_in_it(tmp_path: Path) -> None:
    fill(tmp_path / "bucket", runs(1, 1, shellName="SECRET"))
    site = Site(warehouse.fetch(open_bucket(str(tmp_path / "bucket")), str(tmp_path / "bucket"), KNOWN), now=NOW)
    page = run(
        site,
        "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: people\n```\n"
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\n```\n",
    )
    assert site.faults == []
    assert [piece.count("Too few people yet") for piece in page.pieces.values()] == [1] * 2
    assert "SECRET" not in repr(page)
    assert site.updated is not None
    site.connection.close()


def test_the_connection_of_a_site_cannot_be_used_to_write_or_read_elsewhere(site: Site, tmp_path: Path) -> None:
    for sql in (f"COPY (SELECT 1) TO '{tmp_path / 'x'}'", f"FROM read_text('{__file__}')", "SET threads = 1"):
        with pytest.raises(duckdb.Error):
            site.connection.execute(sql)


def test_nobody_is_made_through_the_session_of_an_event(tmp_path: Path) -> None:
    opened = [{"type": "Opened", "time": "2026-03-10T00:00:00Z", "attributes": {}}]
    fill(tmp_path / "bucket", [one | {"events": opened} for one in runs(1, 2, shellName="fish")])
    site = Site(warehouse.fetch(open_bucket(str(tmp_path / "bucket")), str(tmp_path / "bucket"), KNOWN), now=NOW)
    made = "".join(f" WHEN n = {number} THEN '{{user_id: {number}}}'" for number in range(12))
    page = run(
        site,
        f"```sql a\nSELECT CASE{made} ELSE session END AS u FROM events, range(12) AS t(n)\n```\n"
        "```sql b\nSELECT u.user_id, 'x' AS label FROM a AS u\n```\n"
        "```yaml chart\ntype: bar\ndata: b\nx: label\ny: people\n```\n",
    )
    site.connection.close()
    # Two people are in the data, so no cell of ten can be shown.
    assert page.files == {}


def test_what_is_expected_and_does_not_hold_is_a_mistake_with_its_line(site: Site) -> None:
    block = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n{}\n```\n"
    assert faults(site, block.format("expect: rows > 1")) == []
    lines = "expect:\n  - rows > 1\n  - max(people) < 30\n  - min(peple) > 0\n  - rows = 2"
    assert faults(site, block.format(lines)) == [
        'site/page.md:6:1: expected "max(people) < 30", got 30; mend the query, or the expectation',
        'site/page.md:6:1: column "peple" is not published here; did you mean "people"?',
    ]  # fmt: skip
    site.faults.clear()
    (found,) = faults(site, block.format("expect: row > 1"))
    assert found.startswith('site/page.md:6:9: expect: "row > 1" begins with what cannot be compared')


def test_a_role_that_no_attribute_has_shows_the_lines_that_would_fill_the_chart(site: Site) -> None:
    page = run(
        site,
        "```sql q\nSELECT user_id, terminal, 'x' AS arch, tab_completion_used FROM sessions\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: Terminal\ny: share(tab_completion_used)\nexpect: rows > 0\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: arch\ny: people\n```\n"
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\n```\n",
    )
    assert site.faults == []
    terminal, arch, shell = page.pieces.values()
    assert "[attributes.terminal]\ntype = &quot;string&quot;\nvalues = " in terminal
    assert "[attributes.tabCompletionUsed]\ntype = &quot;boolean&quot;\nrole = " in terminal
    # What a query makes itself is there, whatever it calls it.
    assert "ab-missing" not in arch + shell
    assert len(page.series) == 2
    toml = html.unescape(re.findall(r"<code>(.*?)</code>", terminal, re.DOTALL)[0])
    registry.parse(f'id = "x"\nname = "X"\n{toml}')
