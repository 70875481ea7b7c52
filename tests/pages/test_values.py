"""Named charts as tables, and their values in the words of a page."""

import html
import re
from datetime import timedelta
from pathlib import Path

import markdown
import pytest

from reports.building.build import build
from reports.pages.site import Page, Site
from reports.pages.values import escaped
from reports.query.snapshot import Snapshot
from tests.messages import guess, mentions, places
from tests.sites import (
    EXTENSIONS,
    MONDAY,
    NOW,
    figures,
    fill,
    project,
    runs,
    snapshot_of,
    source,
    written,
)

HOSTILE = "<img src=x onerror=alert(1)>*a* [b](javascript:x) `c` {: .d } | \u202e&lt; 1. ![e](f)"
SHELLS = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nname: shells\n```\n"
TOP = """```sql top
SELECT shell, people, people / sum(people) OVER () AS share FROM shells ORDER BY people DESC LIMIT 1
```
"""


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bucket = tmp_path_factory.mktemp("text") / "bucket"
    fill(
        bucket,
        runs(1, 40, shellName=HOSTILE, osName="Linux", exitCode=0)
        + runs(41, 60, shellName="zsh", osName="macOS", exitCode=1, start=MONDAY - timedelta(days=40))
        + runs(61, 64, shellName="RARE", osName="macOS", exitCode=1),
    )
    return snapshot_of(bucket)


def run(site: Site, text: str) -> Page:
    return site.page(source(text))


def words(site: Site, text: str) -> str:
    """The words of a page as a browser shows them, without its figures."""
    return plain(written(run(site, text)))


def test_the_title_of_a_chart_may_say_a_value_of_its_own_and_of_what_stands_above(site: Site) -> None:
    title = "title: '{{ top.share }} use <{{ top.shell }}>'"
    few = "```sql none\nSELECT * FROM top WHERE people < 0\n```\n"
    line = "```yaml chart\ntype: line\ndata: sessions\nx: start_time\ny: people\ntitle: 'x {{ none.shell }}'\n```\n"
    own = "```yaml chart\ntype: number\ndata: sessions\ny: people\nname: all\ntitle: '{{ all.people }} people'\n```\n"
    again = SHELLS.replace("name: shells", title).replace("people\n", "people\nlimit: 1\n")
    page = run(site, f"{SHELLS}{TOP}{few}{again}{line}{own}")
    assert page.faults == []
    _, second, third, fourth = (re.findall(r'<figcaption class="ab-title">(.*?)<a', one)[0] for one in figures(page))
    assert html.unescape(second).startswith("66.7 % use <<img src=x")
    assert "<" not in second
    # Where a value is not there, the title says what is counted.
    assert third == "People by start time"
    assert fourth == "65 people"
    # The address does not move with the data.
    assert [one.id for one in page.series][1] == "top-share-use-top-shell"


def test_a_title_with_a_value_that_is_nowhere_is_a_mistake_on_its_line(site: Site) -> None:
    page = run(site, SHELLS.replace("name: shells", "title: '{{ nobody.people }}'"))
    assert [(fault.line, fault.code) for fault in page.faults] == [(6, "chart-title")]


def plain(made: str) -> str:
    made = re.sub(r"<figure.*?</figure>", "", made, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", made)).split())


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
    last = plain(written(page))
    assert re.fullmatch(r"38\.5 % 65 38\.5 % [\d.]+ (ms|s|min)", last), last
    assert "38.5\N{NO-BREAK SPACE}%" in written(page)


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
    index = (out / "index.html").read_text(encoding="utf-8")
    assert "onerror" in index
    for path in (out / "index.html", out / "404.html"):
        read = path.read_text(encoding="utf-8")
        assert "<img src=x" not in read
        assert not re.search(r'(href|src)="\\s*javascript', read)
        assert not re.search(r"<[a-z][^>]*\sonerror", re.sub(r'"[^"]*"', '""', read))
    assert "{{" not in re.sub(r"<script.*?</script>", "", index, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("place", "line", "named", "near"),
    [
        ("[x]({{ top.shell }})", 1, ("link",), None),
        ("[x](https://example.org/{{ top.shell }})", 1, ("link",), None),
        ("[x](\n {{ top.shell }})", 2, ("link",), None),
        ("![x]({{ top.shell }})", 1, ("link",), None),
        ("[x]: https://x/{{top.shell}}\n\nSee [x].", 1, ("link",), None),
                ('<a href="{{ top.shell }}">x</a>', 1, ("HTML",), None),
        ('<a\n  href="{{ top.shell }}">x</a>', 2, ("HTML",), None),
        ("<https://x/{{ top.shell }}>", 1, ("link",), None),
        ("# x {: title={{ top.shell }} }", 1, ("HTML",), None),
        ("{{ tops.shell }}", 1, ("tops",), "top"),
        ("words {{ top.shel }}", 1, ("top", "shel"), "shell"),
        ("{{ sessions.shell }}", 1, ("sessions", "name:"), None),
        ("{{ mine.shell }}", 1, ("mine", "name:"), None),
        ("{{ shells.people }}", 1, ("shells", "row"), None),
    ],
)  # fmt: skip
def test_a_value_that_cannot_stand_there_is_a_mistake_with_its_place(
    again: Site, place: str, line: int, named: tuple[str, ...], near: str | None
) -> None:
    before = SHELLS + TOP + "```sql mine\nFROM sessions\n```\n\n"
    (found,) = faults(again, f"{before}{place}\n")
    assert found.startswith(f"site/a.md:{before.count(chr(10)) + line}:"), found
    assert mentions(found, *named), found
    assert guess(found) == near


def test_code_comments_and_other_braces_stay_as_they_are(site: Site) -> None:
    text = "`{{ x.y }}` ${{ secrets.KEY }} {{ x }} {{{ x.y }}} \\{{ x.y }} {{ x.y | z }}\n\n"
    text += "```text\n{{ x.y }}\n```\n\n<!-- {{ x.y }} -->\n\n    {{ x.y }}\n"
    page = run(site, text)
    assert page.source.values == ()
    assert written(page) == markdown.markdown(text, extensions=list(EXTENSIONS))


def test_what_is_withheld_or_not_there_is_a_dash(site: Site) -> None:
    said = words(
        site,
        "```yaml chart\ntype: number\ndata: few\ny: people\nname: n\n```\n".replace("few", "sessions")
        + "```sql few\nFROM sessions WHERE shell = 'RARE'\n```\n"
        "```yaml chart\ntype: number\ndata: few\ny: people\nname: hidden\n```\n"
        "```sql none\nSELECT people AS rest FROM hidden\n```\n"
        "{{ n.people }}, {{ hidden.people }}, {{ none.rest }}\n",
    )
    assert (said, site.faults) == ("65, \u2013, \u2013", [])


def test_a_sentence_whose_query_finds_no_row_is_warned_of(site: Site) -> None:
    named = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nname: shells\n```\n"
    query = "```sql q\nSELECT people FROM shells WHERE shell = 'ksh'\n```\n"
    page = run(site, f"{named}{query}\nOf ksh there are {{{{ q.people }}}}, of all {{{{ shells.nothing }}}}.\n")
    (fault,), (warning,) = site.faults, site.warnings
    assert (fault.line, fault.column) == (12, 41)
    assert mentions(fault.message, "{{ shells.nothing }}", "nothing", "shell", "people")
    assert (warning.line, warning.column) == (12, 18)
    # It may be a group of too few people. Only the private view may say whether it is.
    assert mentions(warning.message, "{{ q.people }}", "q", "10", "WHERE", "abaculus serve --private")
    assert "Of ksh" not in written(page)


def test_where_nothing_is_hidden_a_sentence_without_a_row_blames_its_query(snapshot: Snapshot, site: Site) -> None:
    query = "```sql q\nSELECT people FROM shells WHERE shell = 'ksh'\n```\n"
    private = Site(snapshot, private=True, now=NOW)
    run(private, f"{SHELLS}{query}\n{{{{ q.people }}}}\n")
    private.connection.close()
    run(site, "```sql q\nSELECT name FROM applications WHERE name = 'none'\n```\n\n{{ q.name }}\n")
    for warning in (*private.warnings, *site.warnings):
        assert mentions(warning.message, "WHERE") and not mentions(warning.message, "--private")
    assert [one.code for one in (*private.warnings, *site.warnings)] == ["no-row", "no-row"]


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
    first, second, *others = re.findall(r"<(?:p|h1|li)[^>]*>(.*?)</(?:p|h1|li)>", written(page).split("</figure>")[1])
    assert first == second and not re.search(r"\u2013|people|Nobody", first)
    assert [plain(one) for one in others] == ["\u2013", "\u2013", "Said."]
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
    assert plain(written(page)) == "65 are here. Not \u2013."


def test_what_waits_for_the_registry_is_a_dash_and_all_that_is_made_of_it_waits(site: Site) -> None:
    page = run(
        site,
        "```yaml chart\ntype: bar\ndata: sessions\nx: terminal\ny: people\nname: people\n```\n"
        "```sql most\nSELECT max(people) AS n FROM people\n```\n"
        "```yaml chart\ntype: number\ndata: most\npeople: none\ny: n\n```\n"
        "```yaml chart\ntype: number\ndata: sessions\ny: people\ntitle: All\n```\n\n"
        "- {{ most.n }} {{ people.people }}\n",
    )
    assert site.faults == []
    assert plain(written(page).rpartition("</figure>")[2]) == "\u2013 \u2013"
    assert [piece.count('<p class="ab-empty">') for piece in figures(page)] == [1, 1, 0]
    assert ["registry file" in piece for piece in figures(page)] == [True, False, False]
    assert len(page.series) == 1


def test_what_is_made_from_a_mistake_repeats_no_mistake(site: Site) -> None:
    text = SHELLS.replace("x: shell", "x: shel") + TOP + "{{ top.shell }} {{ shells.people }}\n"
    assert len(faults(site, text)) == 1


@pytest.mark.parametrize(
    "name",
    ["sessions", "Mine", "shells"],
)
def test_a_name_means_one_thing(site: Site, name: str) -> None:
    (found,) = faults(
        site, f"```sql mine\nSELECT 1 AS x\n```\n{SHELLS}{SHELLS.replace('name: shells', f'name: {name}')}"
    )
    assert places(found) == ["site/a.md:16:7"]
    assert mentions(found, name)


def test_a_chart_does_not_lend_its_cells_to_people(site: Site) -> None:
    """A table of cells joined to people's rows is people's: it goes through the gate as they do."""
    text = "```sql both\nSELECT s.shell, c.people FROM sessions s JOIN shells c USING (shell)\n```\n{{ both.people }}\n"
    (found,) = faults(site, SHELLS + text)
    assert mentions(found, "both", "name:")


@pytest.mark.parametrize("text", ["1. a", "# a", "- a", "a_b_c", "é.ü", "  x", "{{ a.b }}", "a\nb", "=1", "&amp;"])
def test_an_escaped_text_is_itself_and_no_markdown(text: str) -> None:
    made = markdown.markdown(f"x {escaped(text)}", extensions=["attr_list", "tables"])
    assert html.unescape(made) == f"<p>x {text}</p>".replace("\n", "\ufffd").replace("x   x", "x   x").replace(
        "x </p>", "x</p>"
    )
    assert len(escaped("a" * 4096)) < 100
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"&#\d+;", "", escaped(text)))
