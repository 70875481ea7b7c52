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
    made = html.figure(block, published, plot, "chart-x", "SELECT 1 < 2", "../data/page/x")
    return html.linked(made, lambda column, value: None)


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
def test_where_a_value_leads_is_asked_for_it_as_it_is(label: str) -> None:
    asked: list[tuple[str, str]] = []

    def to(column: str, value: str) -> str:
        asked.append((column, value))
        return 'x"><b>'

    block = parse(BAR.replace("bar", "table"))
    read = Read(html.linked(html.figure(block, shells((label, 12)), None, "id", "", "x"), to))
    assert asked == [("shell", label)]
    assert [names for tag, names in read.elements if tag == "a"][1:2] == [("href",)]
    assert not {"b", "script", "img"} & {tag for tag, _ in read.elements}


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
    assert read.texts["pre"] == ["SELECT 1 < 2"]
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
        ({"grain": "week"}, "30 people · by week, UTC; the current week is not shown yet"),
        ({"grain": "month", "partial": True}, "30 people · by month, UTC; this month is not over: so far"),
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
    assert {tag for tag, _ in read.elements} == {"figure", "figcaption", "a", "div", "p"}


@pytest.mark.parametrize("kind", ["number", "bar", "heatmap", "table"])
def test_a_figure_of_nothing_but_dashes_says_so_in_words(kind: str) -> None:
    names = {"number": (), "heatmap": ("shell", "os")}.get(kind, ("shell",))
    dimensions = tuple(Column(name, "text") for name in names)
    row = (*["fish", "Linux"][: len(names)], None)
    made = Published(dimensions, (Column("share(failed)", "share"),), (row,), 30, unit="runs", groups=("Linux",))
    places = "".join(f"{key}: {name}\n" for key, name in zip(("x", "rows"), names, strict=False))
    text = f"type: {kind}\ndata: sessions\n{places}y: share(failed)"
    assert "Too few people yet to show this." in figure(text, made)
    assert "ab-plot" not in figure(text, made)
    assert "Too few people" not in figure(text, replace(made, rows=((*row[:-1], 0.5),)))


def test_a_card_says_below_its_table_what_is_not_shown_of_other_periods() -> None:
    week = datetime(2026, 1, 5)
    made = Published(
        (Column("start_time", "time"),), (Column("count", "number"),), ((week, 30),), 30, minimum_users=10,
        unit="runs", grain="week", withheld=2,
    )  # fmt: skip
    text = figure("type: number\ndata: sessions\nx: start_time\ny: count\ngrain: week", made)
    said = "2 weeks of fewer than 10 people are not shown"
    assert said in text.partition('class="ab-numbers"')[2]
    assert said not in text.partition('class="ab-numbers"')[0]


def test_the_ends_of_an_interval_have_no_bars() -> None:
    columns = [Column(name, "share") for name in ("share(failed)", "share(failed) from", "share(failed) to")]
    made = Published((Column("shell", "text"),), tuple(columns), (("fish", 0.5, 0.4, 0.6),), 30, interval=True)
    text = figure("type: table\ndata: sessions\nx: shell\ny: share(failed)\ninterval: true", made)
    assert text.count('class="ab-bar"') == 1


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("number", 1_234, "1,234"),
        ("share", 0.0263, "2.6\N{NO-BREAK SPACE}%"),
        ("milliseconds", 1_500.0, "1.5\N{NO-BREAK SPACE}s"),
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


def steps(*rows: tuple[Value, ...]) -> Published:
    measures = Column("people", "number"), Column("of the first", "share"), Column("of the step before", "share")
    return Published((Column("step", "text"),), measures, rows, 40, minimum_users=10, unit="runs")


FUNNEL = "type: funnel\ndata: s\nsteps:\n  Installed: a\n  Ran: b"


def test_a_funnel_is_a_table_with_bars() -> None:
    made = figure(FUNNEL, steps(("Installed", 40, 1.0, 1.0), ("Ran", 10, 0.25, 0.25)))
    read = Read(made)
    assert read.texts["figcaption"] == ["From Installed to Ran"]
    assert read.texts["th"] == ["Step", "People", "Of the first", "Of the step before", "Installed", "Ran"]
    assert "--part:0.2500" in made
    # Its numbers are there once, and need no script.
    assert made.count("<table") == 1
    # It can be scrolled by keyboard where it is wider than the screen.
    assert 'tabindex="0" role="region" aria-label="From Installed to Ran"' in made
    assert "<script" not in made


MONTHS = [datetime(2026, month, 1) for month in (1, 2, 3)]


def test_retention_is_a_triangle_that_is_blank_where_nothing_is_shown() -> None:
    columns = Column("first used", "time"), Column("months since", "number")
    measures = Column("people", "number"), Column("share", "share"), Column("of people", "number")
    rows = ((MONTHS[0], 0, 40, 1.0, 40), (MONTHS[0], 1, None, None, 40), (MONTHS[0], 2, 20, 0.5, 40),
            (MONTHS[1], 0, 30, 1.0, 30), (MONTHS[1], 1, 15, 0.5, 30))  # fmt: skip
    made = Published(columns, measures, rows, 70, minimum_users=10, unit="runs", grain="month")
    text = figure("type: retention\ndata: s\nx: start_time", made)
    assert re.findall(r"<td[^>]*>(.*?)</td>", text.split("<details")[0]) == ["40", "–", "50 %", "30", "50 %", ""]  # noqa: RUF001
    assert '--part:0.5000">50 %' in text
    assert "<summary>Table, SQL and downloads" in text


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("number", (20, 30), "▲</span> 50.0 % more than Jan 2026; <span>month of Feb 2026"),
        ("number", (30, 15), "▼</span> 50.0 % less than Jan 2026;"),
        ("number", (30, 30), "the same as in Jan 2026"),
        ("share", (0.25, 0.125), "▼</span> 12.5 points less than Jan 2026;"),
        ("share", (None, 0.125), "nothing to compare with"),
        ("number", (0, 15), "▲</span> from nothing more"),
    ],
)
def test_a_card_over_time_says_how_it_changed(kind: str, values: tuple[Value, Value], said: str) -> None:
    rows = tuple(zip(MONTHS, values, strict=False))
    made = Published((Column("start_time", "time"),), (Column("c", kind),), rows, 40, unit="runs", grain="month")
    assert said in figure("type: number\ndata: s\nx: start_time\ny: count\ntitle: T", made)


def test_the_period_that_is_not_over_is_called_so_in_the_table_and_in_words() -> None:
    rows = tuple(zip(MONTHS, (20, 30, 7), strict=True))
    made = Published((Column("t", "time"),), (Column("count", "number"),), rows, 40, unit="runs", grain="month")
    text = figure("type: line\ndata: s\nx: t\ny: count\ntitle: T", replace(made, partial=True))
    assert Read(text).texts["th"][2:] == ["Jan 2026", "Feb 2026", "Mar 2026 (so far)"]
    # What is said of the chart is of a month that is over.
    assert "From Jan 2026 to Mar 2026, which is not over. Feb 2026: 30." in text
    assert "so far" not in figure("type: line\ndata: s\nx: t\ny: count\ntitle: T", made)


def test_a_card_has_a_line_of_all_its_periods_with_a_gap_where_one_is_not_shown() -> None:
    rows = tuple(zip([datetime(2026, month, 1) for month in range(1, 6)], (1, 2, None, 4, 4), strict=True))
    made = Published((Column("t", "time"),), (Column("c", "number"),), rows, 40, unit="runs", grain="month")
    text = figure("type: number\ndata: s\nx: t\ny: count\ntitle: T", made)
    assert text.count("<polyline") == 2
    assert 'aria-hidden="true" focusable="false"' in text


@pytest.mark.parametrize("label", HOSTILE)
def test_a_step_is_text_too(label: str) -> None:
    plain, hostile = (
        Read(figure(FUNNEL, steps((given, 40, 1.0, 1.0), ("b", 10, 0.25, 0.25)))) for given in ("a", label)
    )
    assert Counter(hostile.elements) == Counter(plain.elements)


def test_what_would_give_a_group_away_is_said_to_be_left_out() -> None:
    said = "2 groups of fewer than 10 people, and 1 more that would give away such a one, are not shown"
    assert said in figure(BAR, shells(("fish", 12), withheld=2, withheld_more=1))
    assert "2 groups that would give away a smaller one are not shown" in figure(
        BAR, shells(("fish", 12), withheld_more=2)
    )


def test_cells_of_a_table_have_bars_that_no_reader_hears() -> None:
    made = figure(BAR.replace("bar", "table"), shells(("fish", 12), ("zsh", 24)))
    assert re.findall(r'aria-hidden="true" style="--part:([\d.]+)"></span>(\d+)', made) == [
        ("0.5000", "12"),
        ("1.0000", "24"),
    ]


def test_the_words_for_a_histogram_and_a_heat_map_say_where_most_is() -> None:
    ends = Column("from", "milliseconds"), Column("to", "milliseconds")
    rows = ((None, 100.0, 11), (100.0, 1_000.0, 40), (1_000.0, None, 30))
    made = Published(ends, (Column("count", "number"),), rows, 40, unit="runs", marks=(("p50", 400.0),))
    assert "Histogram: Runs by duration. Most are 100 ms to 1 s. Median 400 ms." in figure(
        "type: histogram\ndata: s\nx: duration_ms", made
    )
    by = Column("hour", "text"), Column("day", "text")
    cells = (("1", "Mon", 12), ("2", "Tue", 40))
    heat = Published(by, (Column("count", "number"),), cells, 40, ("Mon", "Tue"), unit="runs")
    assert "Most: 2, Tue, 40. Least: 1, Mon, 12." in figure(
        "type: heatmap\ndata: s\nx: hour\nrows: day\ny: count", heat
    )


def test_made_up_data_is_called_so() -> None:
    assert html.banner([]) == ""
    said = html.banner(["Cairn <b>", "B"])
    assert "<strong>Made-up data.</strong> The sessions of Cairn &lt;b&gt; and B were" in said


def test_a_page_says_how_fresh_it_is() -> None:
    built = datetime(2026, 1, 2, 3, 4)
    assert "No data has been compacted yet." in html.freshness(None, built)
    assert 'Data of <time datetime="2026-01-01T00:00:00Z">' in html.freshness(datetime(2026, 1, 1, tzinfo=UTC), built)
    said = html.freshness(built, built, [(datetime(2026, 1, 2, 3), datetime(2026, 1, 2, 4))])
    assert "left out is what came in from <time" in said and "2026-01-02 03:00 UTC</time> to <time" in said
