"""Named charts as tables, and their values in the words of a page."""

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import markdown
import pytest

from ingest.bucket import open_bucket
from reports import warehouse
from reports.plugin import build
from reports.site import Page, Site
from reports.text import escaped, values
from tests import buckets
from tests.sites import APPLICATION, MONDAY, NOW, fill, project, runs

HOSTILE = "<img src=x onerror=alert(1)>*a* [b](javascript:x) `c` {: .d } | \u202e&lt; 1. ![e](f)"
SHELLS = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nname: shells\n```\n"
TOP = """```sql top
SELECT shell, people, people / sum(people) OVER () AS share FROM shells ORDER BY people DESC LIMIT 1
```
"""


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> warehouse.Snapshot:
    bucket = tmp_path_factory.mktemp("text") / "bucket"
    fill(
        bucket,
        runs(1, 40, shellName=HOSTILE, osName="Linux", exitCode=0)
        + runs(41, 60, shellName="zsh", osName="macOS", exitCode=1, start=MONDAY - timedelta(days=40))
        + runs(61, 64, shellName="RARE", osName="macOS", exitCode=1),
    )
    return warehouse.fetch(open_bucket(str(bucket)), str(bucket), buckets.registry(APPLICATION))


@pytest.fixture
def site(snapshot: warehouse.Snapshot) -> Iterator[Site]:
    made = Site(snapshot, now=NOW)
    yield made
    made.connection.close()


def run(site: Site, text: str) -> Page:
    return site.page(text, file="site/a.md", source=text, name="a", root="./")


def words(site: Site, text: str) -> str:
    """The words of a page as a browser shows them, without its figures."""
    made = markdown.markdown(run(site, text).markdown, extensions=["tables", "attr_list", "toc"])
    return " ".join(html.unescape(re.sub(r"<[^>]*>|abaculus-\w+-\w+", "", made)).split())


def faults(site: Site, text: str) -> list[str]:
    run(site, text)
    return [str(fault) for fault in site.faults]


def test_a_named_chart_is_a_table_that_queries_read_without_people(site: Site) -> None:
    page = run(
        site,
        SHELLS + "```sql ranked\nSELECT shell, people, rank() OVER (ORDER BY people DESC) AS place FROM shells\n```\n"
        "```yaml chart\ntype: table\ndata: ranked\npeople: none\nx: shell\ny: [place, people]\n```\n",
    )
    assert site.faults == []
    rows = page.series[1].published.rows
    assert [(row[-2], row[-1]) for row in rows if row[-2] == 1] == [(1, 40)]
    assert len(rows) == len(page.series[0].published.rows)
    assert "RARE" not in repr(rows)


def test_a_named_chart_has_what_was_let_through_and_nothing_else(site: Site) -> None:
    text = "```sql count_of\nSELECT count(*) FILTER (shell = 'RARE') AS rare, count(*) AS all_of FROM shells\n```\n"
    assert words(site, f"{SHELLS}{text}{{{{ count_of.rare }}}} of {{{{ count_of.all_of }}}}").startswith("0 of ")
    assert site.faults == []


def test_columns_of_measures_have_names_that_sql_can_say(site: Site) -> None:
    page = run(
        site,
        "```sql q\nSELECT user_id, exit_code = 1 AS failed, duration_ms FROM sessions\n```\n"
        "```yaml chart\ntype: table\ndata: q\ny: [share(failed), p50(duration_ms), people]\nname: Facts\n```\n"
        "```sql more\nSELECT share_failed, p50_duration_ms, people FROM facts\n```\n"
        "{{ facts.share_failed }} {{ FACTS.people }} {{more.share_failed}} {{ more.p50_duration_ms }}\n",
    )
    assert site.faults == []
    last = html.unescape(page.markdown.strip().split("\n")[-1])
    assert re.fullmatch(r"37\.5\xa0% 64 37\.5\xa0% [\d.]+ (ms|s|min)", last), last


def test_values_stand_in_words_formatted_and_inert(site: Site) -> None:
    said = words(site, f"{SHELLS}{TOP}# Of {{{{ top.shell }}}}\n\nMost use {{{{ top.shell }}}} ({{{{ top.people }}}} "
                       "people, {{ top.share }}).\n\n{{ top.shell }}\n\n| a | b |\n|---|---|\n"
                       "| {{ top.shell }} | 1 |\n\n- {{ top.shell }}\n")  # fmt: skip
    assert site.faults == []
    shown = HOSTILE[:79].replace("\u202e", "\ufffd")
    assert said.count(" ".join(shown.split())) == 5, said
    assert "(40 people, 66.7 %)" in said or re.search(r"\(40 people, 6\d\.\d %\)", said)


def test_no_sign_of_a_value_means_anything_in_a_built_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{SHELLS}{TOP}# Of {{{{ top.shell }}}}\n\n> {{{{ top.shell }}}}\n\n<div>{{{{ top.shell }}}}</div>\n"
    project(tmp_path, {"index.md": text})
    fill(tmp_path / "bucket", runs(1, 12, shellName=HOSTILE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    out = build(str(tmp_path / "bucket"), None)
    index = (out / "index.html").read_text()
    assert "onerror" in index
    for path in (out / "index.html", out / "404.html"):
        read = path.read_text()
        assert "<img src=x" not in read
        assert not re.search(r'(href|src)="\\s*javascript', read)
        assert not re.search(r"<[a-z][^>]*\sonerror", re.sub(r'"[^"]*"', '""', read))
    assert "{{" not in re.sub(r"<script.*?</script>", "", index, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        ("[x]({{ top.shell }})", 1, "a link cannot lead where data says"),
        ("[x](https://example.org/{{ top.shell }})", 1, "a link cannot lead"),
        ("[x](\n {{ top.shell }})", 2, "a link cannot lead"),
        ("![x]({{ top.shell }})", 1, "a link cannot lead"),
        ("[x]: {{ top.shell }}", 1, "a link cannot lead"),
        ("*[x]: {{ top.shell }}", 1, "a link cannot lead"),
        ('<a href="{{ top.shell }}">x</a>', 1, "an HTML tag cannot have an attribute from data"),
        ('<a\n  href="{{ top.shell }}">x</a>', 2, "an HTML tag"),
        ("<https://x/{{ top.shell }}>", 1, "an HTML tag"),
        ("# x {: title={{ top.shell }} }", 1, "an HTML tag"),
        ("{{ tops.shell }}", 1, 'nothing is named "tops"; did you mean "top"?'),
        ("words {{ top.shel }}", 1, '"top" has no column "shel"; did you mean "shell"?'),
        ("{{ sessions.shell }}", 1, '"sessions" is people\'s rows; give a chart that counts them a `name:`'),
        ("{{ mine.shell }}", 1, '"mine" is people\'s rows'),
        ("{{ shells.people }}", 1, '"shells" has more than one row'),
    ],
)  # fmt: skip
def test_a_value_that_cannot_stand_there_is_a_mistake_with_its_place(
    again: Site, place: str, line: int, message: str
) -> None:
    before = SHELLS + TOP + "```sql mine\nFROM sessions\n```\n\n"
    (found,) = faults(again, f"{before}{place}\n")
    assert found.startswith(f"site/a.md:{before.count(chr(10)) + line}:"), found
    assert message in found


def test_code_comments_and_other_braces_stay_as_they_are(site: Site) -> None:
    text = "`{{ x.y }}` ${{ secrets.KEY }} {{ x }} {{{ x.y }}} \\{{ x.y }} {{ x.y | z }}\n\n"
    text += "```text\n{{ x.y }}\n```\n\n<!-- {{ x.y }} -->\n\n    {{ x.y }}\n"
    assert list(values(text)) == []
    assert run(site, text).markdown == text


def test_what_is_withheld_or_not_there_is_a_dash(site: Site) -> None:
    said = words(
        site,
        "```yaml chart\ntype: number\ndata: few\ny: people\nname: n\n```\n".replace("few", "sessions")
        + "```sql few\nFROM sessions WHERE shell = 'RARE'\n```\n"
        "```yaml chart\ntype: number\ndata: few\ny: people\nname: hidden\n```\n"
        "```sql none\nSELECT people AS rest FROM hidden\n```\n"
        "{{ n.people }}, {{ hidden.people }}, {{ none.rest }}\n",
    )
    assert (said, site.faults) == ("64, \u2013, \u2013", [])


def test_a_sentence_whose_query_finds_no_row_is_warned_of(site: Site) -> None:
    named = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nname: shells\n```\n"
    query = "```sql q\nSELECT people FROM shells WHERE shell = 'ksh'\n```\n"
    page = run(site, f"{named}{query}\nOf ksh there are {{{{ q.people }}}}, of all {{{{ shells.nothing }}}}.\n")
    assert [str(fault) for fault in site.faults] == [
        'site/a.md:12:41: {{ shells.nothing }}: "shells" has no column "nothing"; there are shell, people'
    ]
    assert [str(one) for one in site.warnings] == [
        'site/a.md:12:18: {{ q.people }}: "q" finds no row, so that a dash is written; see with `abaculus sql` what '
        "its WHERE leaves"
    ]
    assert "Of ksh" not in page.markdown


def test_a_sentence_without_a_row_is_no_news_where_its_chart_shows_nothing(site: Site) -> None:
    few = "```sql few\nFROM sessions WHERE shell = 'RARE'\n```\n"
    few += "```yaml chart\ntype: number\ndata: few\ny: people\nname: hidden\n```\n"
    run(site, few + "```sql none\nSELECT people FROM hidden\n```\n\nThere are {{ none.people }}.\n")
    assert (site.faults, site.warnings) == ([], [])


def test_a_paragraph_of_nothing_but_dashes_says_so_in_words(site: Site) -> None:
    few = "```sql few\nFROM sessions WHERE shell = 'RARE'\n```\n"
    few += "```yaml chart\ntype: number\ndata: few\ny: people\nname: n\n```\n\n"
    text = (
        few
        + "Of {{ n.people }} people,\nall {{ n.people }} are here.\n\nNobody else. {{ n.people }}\n\n# {{ n.people }}\n"
    )
    page = run(site, text + "\n- {{ n.people }}\n\nSaid.\n")
    lines = [html.unescape(line) for line in page.markdown.split("\n") if line and "abaculus" not in line]
    silence = "There is not enough data yet to say more here."
    assert lines == [silence, silence, "# \u2013", "- \u2013", "Said."]
    # What is wrong further down is still on the line where it stands.
    (found,) = faults(site, text.replace("# {{ n.people }}", "# {{ m.people }}"))
    assert found.startswith(f"site/a.md:{text[: text.index('# ')].count(chr(10)) + 1}:")


def test_a_sentence_that_is_only_a_dash_is_left_out_beside_others(site: Site) -> None:
    few = "```sql few\nFROM sessions WHERE shell = 'RARE'\n```\n"
    few += "```yaml chart\ntype: number\ndata: few\ny: people\nname: n\n```\n\n"
    few += "```yaml chart\ntype: number\ndata: sessions\ny: people\nname: all\n```\n\n"
    page = run(
        site, few + "{{ n.people }}. {{ all.people }} are here. {{ n.people }}.\nNot\n{{ n.people }}. {{ n.people }}.\n"
    )
    lines = [html.unescape(line).strip() for line in page.markdown.split("\n") if line and "abaculus" not in line]
    assert lines == ["64 are here.", "Not", "\u2013."]


def test_what_waits_for_the_registry_is_a_dash_and_all_that_is_made_of_it_waits(site: Site) -> None:
    page = run(
        site,
        "```yaml chart\ntype: bar\ndata: sessions\nx: terminal\ny: people\nname: people\n```\n"
        "```sql most\nSELECT max(people) AS n FROM people\n```\n"
        "```yaml chart\ntype: number\ndata: most\npeople: none\ny: n\n```\n"
        "```yaml chart\ntype: number\ndata: sessions\ny: people\n```\n\n| {{ most.n }} {{ people.people }} |\n",
    )
    assert site.faults == []
    assert html.unescape(page.markdown.strip().split("\n")[-1]) == "| \u2013 \u2013 |"
    assert [piece.count("waits for the registry") for piece in page.pieces.values()] == [0, 1, 0]
    assert len(page.series) == 1


def test_what_is_made_from_a_mistake_repeats_no_mistake(site: Site) -> None:
    text = SHELLS.replace("x: shell", "x: shel") + TOP + "{{ top.shell }} {{ shells.people }}\n"
    assert len(faults(site, text)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sessions", 'there is a view, query or chart named "sessions" already'),
        ("Mine", 'there is a view, query or chart named "Mine" already'),
        ("shells", 'there is a view, query or chart named "shells" already'),
    ],
)
def test_a_name_means_one_thing(site: Site, name: str, message: str) -> None:
    (found,) = faults(
        site, f"```sql mine\nSELECT 1 AS x\n```\n{SHELLS}{SHELLS.replace('name: shells', f'name: {name}')}"
    )
    assert found.startswith("site/a.md:16:7: ")
    assert message in found


def test_a_chart_does_not_lend_its_cells_to_people(site: Site) -> None:
    """A table of cells joined to people's rows is people's: it goes through the gate as they do."""
    text = "```sql both\nSELECT s.shell, c.people FROM sessions s JOIN shells c USING (shell)\n```\n{{ both.people }}\n"
    (found,) = faults(site, SHELLS + text)
    assert '"both" is people\'s rows' in found


@pytest.mark.parametrize("text", ["1. a", "# a", "- a", "a_b_c", "é.ü", "  x", "{{ a.b }}", "a\nb", "=1", "&amp;"])
def test_an_escaped_text_is_itself_and_no_markdown(text: str) -> None:
    made = markdown.markdown(f"x {escaped(text)}", extensions=["attr_list", "tables"])
    assert html.unescape(made) == f"<p>x {text}</p>".replace("\n", "\ufffd").replace("x   x", "x   x").replace(
        "x </p>", "x</p>"
    )
    assert len(escaped("a" * 4096)) < 100
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"&#\d+;", "", escaped(text)))
