import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import pytest

from reports.blocks.block import parse
from reports.blocks.format import NOTHING
from reports.blocks.published import Column, Published, Share, Value
from reports.charts import html, plotly_kinds
from tests.messages import mentions, numbers

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
    plot = plotly_kinds.figure(block, published) if block.type in plotly_kinds.CHARTS and not published.empty else None
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
    assert [names for tag, names in read.elements if tag == "a"][-1] == ("href",)
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
    made = figure(BAR, shells(("fish", 1_200), ("zsh", 11), people=1_205, rounded=5))
    read = Read(made)
    assert read.attributes["figure.id"] == "chart-x"
    assert read.texts["figcaption"] == ["Shells"]
    assert mentions(made, 'aria-label="Shells, as a table"')
    # The table is not in the menu, which a page without the script cannot open by itself.
    assert "<table" not in made.split("</details>")[0]
    assert json.loads(read.texts["script"][0])["data"][0]["x"] == [1_200, 11]
    assert read.texts["td"] == ["1,200", "11"]
    assert read.texts["pre"] == ["SELECT 1 < 2"]
    assert re.findall(r'href="(\.\.[^"]*)"', figure(BAR, shells(("fish", 12)))) == [
        "../data/page/x.csv", "../data/page/x.parquet",
    ]  # fmt: skip
    assert ["1,205", "5", "10"] in map(numbers, read.texts["p"])


def test_the_alternative_text_says_what_the_chart_says() -> None:
    made = figure(BAR, shells(("fish", 1_200), ("zsh", None)))
    (said,) = re.findall('role="img" aria-label="([^"]*)"', made)
    assert mentions(said, "Shells", "fish: 1,200", "zsh: –")  # noqa: RUF001


@pytest.mark.parametrize(
    ("more", "counts", "named"),
    [
        ({"grain": "week"}, ["30", "10"], ("week", "UTC", "groups")),
        ({"grain": "month", "partial": True}, ["30", "10"], ("month", "so far")),
        ({"rounded": 5}, ["30", "5", "10"], ("rounded to 5", "groups")),
        ({"minimum_users": 0}, ["30"], ()),
        ({"people": 0}, ["10"], ("groups",)),
        ({"people": None}, [], ()),
    ],
)
def test_the_caption_says_what_is_counted_and_how_it_is_protected(
    more: dict[str, object], counts: list[str], named: tuple[str, ...]
) -> None:
    text = BAR.replace("bar", "table")
    said = re.findall(r'<p class="ab-note">(.*?)</p>', figure(text, shells(("fish", 12), **more)))  # type: ignore[arg-type]
    assert len(said) == bool(counts)
    assert numbers("".join(said)) == counts
    assert mentions("".join(said), *named)
    assert ("so far" in "".join(said)) == bool(more.get("partial"))


@pytest.mark.parametrize(("why", "counts"), [("no data", []), ("too few people", ["10"])])
def test_an_empty_chart_says_why_and_offers_nothing(why: str, counts: list[str]) -> None:
    made = figure(BAR, shells(people=0, empty=why))
    (said,) = re.findall('<p class="ab-empty">(.*?)</p>', made)
    assert (numbers(said), bool(said)) == (counts, True)
    assert {tag for tag, _ in Read(made).elements} == {"figure", "figcaption", "a", "div", "p"}


@pytest.mark.parametrize("kind", ["number", "bar", "heatmap", "table"])
def test_a_figure_of_nothing_but_dashes_says_so_in_words(kind: str) -> None:
    names = {"number": (), "heatmap": ("shell", "os")}.get(kind, ("shell",))
    dimensions = tuple(Column(name, "text") for name in names)
    row = (*["fish", "Linux"][: len(names)], None)
    made = Published(dimensions, (Column("share(failed)", "share"),), (row,), 30, unit="runs", groups=("Linux",))
    places = "".join(f"{key}: {name}\n" for key, name in zip(("x", "rows"), names, strict=False))
    text = f"type: {kind}\ndata: sessions\n{places}y: share(failed)"
    assert "ab-empty" in figure(text, made)
    assert "ab-plot" not in figure(text, made)
    assert "ab-empty" not in figure(text, replace(made, rows=((*row[:-1], 0.5),)))


@pytest.mark.parametrize(("zsh", "missing"), [(0.3, True), (0.4, False)])
def test_what_is_missing_to_a_whole_is_said_not_to_be_shown(zsh: float, missing: bool) -> None:
    rows = ((MONTHS[0], "fish", 0.6), (MONTHS[0], "zsh", 0.4), (MONTHS[1], "fish", 0.6), (MONTHS[1], "zsh", zsh))
    made = Published(
        (Column("t", "time"), Column("shell", "text")), (Column("share", "share"),), rows, 40, ("fish", "zsh"),
        minimum_users=10, unit="runs", grain="month", rounded=5,
    )  # fmt: skip
    text = figure("type: share\ndata: s\nx: t\ncolor: shell", made)
    (said,) = re.findall('<p class="ab-note">(.*?)</p>', text)
    assert mentions(said, "missing to 100 %") == missing


def test_a_dash_in_a_table_is_explained() -> None:
    made = figure(BAR.replace("bar", "table"), shells(("fish", 15), ("zsh", None)))
    (said,) = re.findall('<p class="ab-note">(.*?)</p>', made)
    assert mentions(said, "a dash", "one person")


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


def test_a_percent_sign_stays_with_its_number_in_a_text_of_a_table() -> None:
    columns = (Column("part", "text"),), (Column("below 5 % since", "text"),)
    made = Published(*columns, (("top 1 % of 3 %s", "under 2.5 %"),), None)
    block = "type: table\ndata: q\npeople: none"
    text = figure(block, made)
    for whole in ("top 1\N{NO-BREAK SPACE}% of 3\N{NO-BREAK SPACE}%s", "under 2.5\N{NO-BREAK SPACE}%",
                  "Below 5\N{NO-BREAK SPACE}% since"):  # fmt: skip
        assert f">{whole}<" in text
    # A page of this value is found by the value itself.
    asked: list[str] = []
    html.linked(html.figure(parse(block), made, None, "chart-x", "", "x"), lambda _, value: asked.append(value))
    assert asked == ["top 1 % of 3 %s"]


def test_a_card_that_counts_people_does_not_say_so_twice() -> None:
    made = Published((), (Column("people", "number"),), ((30,),), people=30, unit="runs")
    assert "30 people" not in figure("type: number\ndata: sessions\ny: people", made)


def test_a_title_is_made_of_what_is_counted_where_none_is_given() -> None:
    counted = html.title(parse("type: bar\ndata: sessions\nx: ci\ny: count\ncolor: os"), "events")
    assert re.split(" by | and ", counted) == ["Events", "CI", "operating system"]
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
    assert (read.attributes["div.tabindex"], read.attributes["div.role"]) == ("0", "region")
    assert "<script" not in made


MONTHS = [datetime(2026, month, 1) for month in (1, 2, 3)]


def test_retention_is_a_triangle_that_is_blank_where_nothing_is_shown() -> None:
    columns = Column("first used", "time"), Column("months since", "number")
    measures = Column("people", "number"), Column("share", "share"), Column("of people", "number")
    rows = ((MONTHS[0], 0, 40, 1.0, 40), (MONTHS[0], 1, None, None, 40), (MONTHS[0], 2, 20, 0.5, 40),
            (MONTHS[1], 0, 30, 1.0, 30), (MONTHS[1], 1, 15, 0.5, 30))  # fmt: skip
    made = Published(columns, measures, rows, 70, minimum_users=10, unit="runs", grain="month")
    text = figure("type: retention\ndata: s\nx: start_time", made)
    assert re.findall(r"<td[^>]*>(.*?)</td>", text.split('class="ab-body"')[1]) == ["40", "–", "50 %", "30", "50 %", ""]  # noqa: RUF001
    assert '--part:0.5000">50 %' in text
    assert 'class="ab-cells ab-sort"' in text.split("<details")[1]


@pytest.mark.parametrize(
    ("kind", "values", "mark", "named"),
    [
        ("number", (20, 30), "▲", ("50.0 %", "Jan 2026")),
        ("number", (30, 15), "▼", ("50.0 %", "Jan 2026")),
        ("number", (30, 30), "", ("no change", "Jan 2026")),
        ("share", (0.25, 0.125), "▼", ("12.5 points", "Jan 2026")),
        ("share", (None, 0.125), "", ("nothing",)),
        ("number", (0, 15), "▲", ("nothing", "Jan 2026")),
    ],
)
def test_a_card_over_time_says_how_it_changed(
    kind: str, values: tuple[Value, Value], mark: str, named: tuple[str, ...]
) -> None:
    rows = tuple(zip(MONTHS, values, strict=False))
    made = Published((Column("start_time", "time"),), (Column("c", kind),), rows, 40, unit="runs", grain="month")
    text = figure("type: number\ndata: s\nx: start_time\ny: count\ntitle: T", made)
    (said,) = re.findall('<p class="ab-change">(.*?)</p>', text)
    assert mentions(said, *named)
    assert mentions(said.partition("<span>")[2], "month", "Feb 2026")
    assert "".join(re.findall('<span aria-hidden="true">(.)</span>', said)) == mark


@pytest.mark.parametrize(
    ("kind", "values", "changed"),
    [
        # One step may be rounding alone.
        ("number", (100, 105), False),
        ("number", (100, 110), True),
        # 30 and 32 of 100, each within 2.5 in a hundred and what their wholes are rounded by.
        ("share", (Share(0.30, 0.025), Share(0.32, 0.025)), False),
        ("share", (Share(0.30, 0.025), Share(0.40, 0.025)), True),
        ("milliseconds", (1_200.0, 1_300.0), False),
        ("milliseconds", (1_200.0, 1_500.0), True),
    ],
)
def test_a_change_within_rounding_is_called_none(kind: str, values: tuple[Value, Value], changed: bool) -> None:
    rows = tuple(zip(MONTHS, values, strict=False))
    made = Published(
        (Column("start_time", "time"),), (Column("c", kind),), rows, 40, unit="runs", grain="month", rounded=5
    )
    text = figure("type: number\ndata: s\nx: start_time\ny: count\ntitle: T", made)
    (said,) = re.findall('<p class="ab-change">(.*?)</p>', text)
    assert mentions(said, "no change") != changed
    assert ("aria-hidden" in said) == changed


def test_the_period_that_is_not_over_is_called_so_in_the_table_and_in_words() -> None:
    rows = tuple(zip(MONTHS, (20, 30, 7), strict=True))
    made = Published((Column("t", "time"),), (Column("count", "number"),), rows, 40, unit="runs", grain="month")
    text = figure("type: line\ndata: s\nx: t\ny: count\ntitle: T", replace(made, partial=True))
    assert Read(text).texts["th"][2:] == ["Jan 2026", "Feb 2026", "Mar 2026 (so far)"]
    # What is said of the chart is of a month that is over.
    (said,) = re.findall('role="img" aria-label="([^"]*)"', text)
    assert re.findall(r"\w+ 2026", said) == ["Jan 2026", "Feb 2026", "Feb 2026"]
    assert mentions(said, "Feb 2026: 30")
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


def test_cells_of_a_table_have_bars_that_no_reader_hears() -> None:
    made = figure(BAR.replace("bar", "table"), shells(("fish", 12), ("zsh", 24)))
    assert re.findall(r'aria-hidden="true" style="--part:([\d.]+)"></span>(\d+)', made) == [
        ("0.5000", "12"),
        ("1.0000", "24"),
    ]


def test_a_trend_is_a_line_in_each_row_from_its_first_to_its_last_value() -> None:
    time, shell = Column("t", "time"), Column("shell", "text")
    line = [(month, name, n * k) for n, name in ((1, "zsh"), (2, "fish")) for k, month in enumerate(MONTHS, 10)]
    trend = Published((time, shell), (Column("people", "number"),), tuple(line), 30, ("zsh", "fish"), grain="month")
    made = shells(("fish", 40), ("zsh", 20), ("bash", 12), trend=replace(trend, partial=True))
    text = figure("type: table\ndata: s\nx: shell\ny: people\ntrend: t", made)
    cells = re.findall(r'<td class="ab-trend" data-sort="([^"]*)">(.*?)<span>(.*?)</span>', text)
    # The last month is not over.
    assert [(grew, words) for grew, _, words in cells] == [
        ("1.1000", "20 to 22"),
        ("1.1000", "10 to 11"),
        ("", NOTHING),
    ]
    assert "People by month" in text
    assert "People by month" not in figure("type: table\ndata: s\nx: shell\ny: people", shells(("fish", 40)))


def test_the_words_for_a_histogram_and_a_heat_map_say_where_most_is() -> None:
    ends = Column("from", "milliseconds"), Column("to", "milliseconds")
    rows = ((None, 100.0, 11), (100.0, 1_000.0, 40), (1_000.0, None, 30))
    made = Published(ends, (Column("count", "number"),), rows, 40, unit="runs", marks=(("p50", 400.0),))
    (said,) = re.findall('role="img" aria-label="([^"]*)"', figure("type: histogram\ndata: s\nx: duration_ms", made))
    assert re.findall(r"\d+ m?s", said) == ["100 ms", "1 s", "400 ms"]
    by = Column("hour", "text"), Column("day", "text")
    cells = (("1", "Mon", 12), ("2", "Tue", 40))
    heat = Published(by, (Column("count", "number"),), cells, 40, ("Mon", "Tue"), unit="runs")
    text = figure("type: heatmap\ndata: s\nx: hour\nrows: day\ny: count", heat)
    (said,) = re.findall('role="img" aria-label="([^"]*)"', text)
    assert re.findall(r"\d+|Mon|Tue", said) == ["2", "Tue", "40", "1", "Mon", "12"]


def test_people_who_are_in_several_groups_are_said_to_count_in_each() -> None:
    once = Published(
        (Column("shell", "text"),),
        (Column("people", "number"),),
        (("fish", 20), ("zsh", 10)),
        30,
        rounded=5,
        minimum_users=10,
    )
    twice = replace(once, rows=(("fish", 30), ("zsh", 25)))
    block = parse("type: bar\ndata: sessions\nx: shell\ny: people")
    said = ["several groups" in html.parts(block, one, {"layout": {}})[0] for one in (once, twice)]
    assert said == [False, True]
