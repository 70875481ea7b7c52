import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from reports import charts, html
from reports.block import parse
from reports.published import Column, Published, Value

BAR = "type: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells\n"
HOSTILE = [
    "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "<!--", "-->",
    "]]>", "</figure></div>", "&lt;script&gt;", "javascript:alert(1)", "[x](javascript:alert(1))", "| a | b |",
    "```",
    "# Title", "{{ config }}", "{% raw %}", "\u2028", "\u202egnp.exe", "<style>*{display:none}</style>",
    "<svg/onload=alert(1)>",
    "abaculus-0000-0x", "x" * 4_096, "\\u003c/script\\u003e", "<b>", "`<i>`", "\0",
]  # fmt: skip


def shells(*rows: tuple[Value, ...], people: int | None = 30, **more: object) -> Published:
    made = Published(
        (Column("shell", "text"),), (Column("people", "number"),), rows, people, minimum_users=10, unit="runs"
    )
    return replace(made, **more)  # type: ignore[arg-type]


def figure(text: str, published: Published) -> str:
    block = parse(text)
    plot = charts.figure(block, published) if block.type in charts.CHARTS and not published.empty else None
    return html.figure(block, published, plot, "chart-x", "SELECT 1 < 2", "../data/page/x")


class Read(HTMLParser):
    """What a browser would make of a piece of HTML: elements with their attributes, and text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: dict[str, str] = {}
        self.texts: dict[str, list[str]] = {}
        self.comments = 0
        self.open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes |= {f"{tag}.{name}": value or "" for name, value in attrs}
        self.open = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open, []).append(data)

    def handle_comment(self, data: str) -> None:
        self.comments += 1


@pytest.mark.parametrize("kind", ["bar", "table"])
@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_makes_no_element_no_attribute_and_no_comment(label: str, kind: str) -> None:
    text = BAR.replace("bar", kind)
    plain, hostile = (Read(figure(text, shells((given, 12), ("zsh", 11)))) for given in ("fish", label))
    assert Counter(hostile.elements) == Counter(plain.elements)
    assert hostile.comments == 0


@pytest.mark.parametrize("label", HOSTILE)
def test_a_title_and_sql_are_text_too(label: str) -> None:
    block = parse(BAR)
    plain, hostile = (
        Read(html.figure(replace(block, title=given), shells(("fish", 12)), None, "id", given, "x"))
        for given in ("t", label)
    )
    assert Counter(hostile.elements) == Counter(plain.elements)
    assert hostile.comments == 0


@pytest.mark.parametrize("label", HOSTILE)
def test_json_in_a_script_is_what_it_was_and_ends_nothing(label: str) -> None:
    packed = html.script_json({"x": [label, 1, None]})
    assert json.loads(packed) == {"x": [label, 1, None]}
    assert not set("<>&\u2028\u2029") & set(packed)


def test_a_chart_has_a_title_a_figure_words_a_table_sql_and_downloads() -> None:
    read = Read(figure(BAR, shells(("fish", 1_200), ("zsh", 11), people=1_205, withheld=1)))
    assert read.attributes["figure.id"] == "chart-x"
    assert read.texts["figcaption"] == ["Shells"]
    assert read.attributes["div.aria-label"].endswith("as a table")
    assert json.loads(read.texts["script"][0])["data"][0]["x"] == [1_200, 11]
    assert read.texts["td"] == ["1,200", "11"]
    assert read.texts["code"] == ["SELECT 1 < 2"]
    assert re.findall(r'href="(\.\.[^"]*)"', figure(BAR, shells(("fish", 12)))) == [
        "../data/page/x.csv", "../data/page/x.parquet",
    ]  # fmt: skip
    assert "1,205 people · 1 group of fewer than 10 people is not shown" in read.texts["p"]


def test_the_alternative_text_says_what_the_chart_says() -> None:
    made = figure(BAR, shells(("fish", 1_200), ("zsh", None)))
    assert 'role="img" aria-label="Bar chart: Shells. fish: 1,200; zsh: –."' in made  # noqa: RUF001


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"grain": "week"}, "30 people · by week, UTC; the current week is left out until it is over"),
        ({"grain": "month", "partial": True}, "30 people · by month, UTC; this month is not over"),
        ({"withheld": 3}, "30 people · 3 groups of fewer than 10 people are not shown"),
        ({"grain": "day", "withheld": 2}, "2 days of fewer than 10 people are not shown"),
        ({"withheld_measures": 1}, "30 people · figures that too few people stand behind are left out"),
        ({"people": None}, ""),
    ],
)
def test_the_caption_says_what_is_counted_and_what_is_held_back(more: dict[str, object], note: str) -> None:
    text = BAR.replace("bar", "table")
    (said,) = re.findall(r'<p class="ab-note">(.*?)</p>', figure(text, shells(("fish", 12), **more))) or [""]  # type: ignore[arg-type]
    assert said.endswith(note) if note else not said


@pytest.mark.parametrize(
    ("why", "said"),
    [("no data", "No data yet."), ("too few people", "Too few people yet: nothing is shown of fewer than 10 people.")],
)
def test_an_empty_chart_says_why_and_offers_nothing(why: str, said: str) -> None:
    read = Read(figure(BAR, shells(people=0, empty=why)))
    assert said in read.texts["p"]
    assert {tag for tag, _ in read.elements} == {"figure", "figcaption", "a", "p"}


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("number", 1_234, "1,234"),
        ("share", 0.0263, "2.6 %"),
        ("milliseconds", 1_500.0, "1.5 s"),
        ("share", None, "–"),  # noqa: RUF001
        ("boolean", True, "yes"),
        ("time", datetime(2026, 1, 2, 3, 4), '<time datetime="2026-01-02T03:04:00Z">2026-01-02 03:04 UTC</time>'),
    ],
)
def test_a_card_shows_its_number_with_its_unit(kind: str, value: Value, shown: str) -> None:
    made = Published((), (Column("c", kind),), ((value,),), people=30, unit="runs")
    text = figure("type: number\ndata: sessions\ny: share(failed)\ntitle: Fail", made)
    assert f'<p class="ab-value">{shown}</p>' in text
    assert "30 people" in text


def test_a_card_that_counts_people_does_not_say_so_twice() -> None:
    made = Published((), (Column("people", "number"),), ((30,),), people=30, unit="runs")
    assert "30 people" not in figure("type: number\ndata: sessions\ny: people", made)


def test_a_title_is_made_of_what_is_counted_where_none_is_given() -> None:
    assert html.title(parse("type: bar\ndata: sessions\nx: ci\ny: count\ncolor: os"), "events") == (
        "Events by CI and operating system"
    )
    assert html.title(parse("type: table\ndata: last_runs\npeople: none"), "") == "Last runs"


def test_a_table_of_true_and_false_has_words_and_headings() -> None:
    made = Published(
        (Column("containerEngine", "text"),), (Column("stable", "boolean"),), (("x", True), ("y", None)), None
    )
    read = Read(figure("type: table\ndata: releases\npeople: none\nx: containerEngine\ny: stable", made))
    assert read.texts["th"] == ["Container engine", "Stable", "x", "y"]
    assert read.texts["td"] == ["yes", "–"]  # noqa: RUF001


def test_made_up_data_is_called_so() -> None:
    assert html.banner([]) == ""
    assert "<strong>Made-up data.</strong> Cairn &lt;b&gt; and B is a tool" in html.banner(["Cairn <b>", "B"])


def test_a_page_says_how_fresh_it_is() -> None:
    built = datetime(2026, 1, 2, 3, 4)
    assert "No data has been compacted yet." in html.freshness(None, built)
    assert 'Data of <time datetime="2026-01-01T00:00:00Z">' in html.freshness(datetime(2026, 1, 1, tzinfo=UTC), built)
