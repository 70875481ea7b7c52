import json
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from typing import Any

import pytest

from reports.blocks import format
from reports.blocks.block import parse
from reports.blocks.format import NOTHING
from reports.blocks.published import OTHER, UNKNOWN, Column, Published, Value
from reports.charts import colors, plotly_kinds

TIME = Column("start_time", "time")
COUNT = Column("count", "number")
JANUARY, FEBRUARY, APRIL = datetime(2026, 1, 1), datetime(2026, 2, 1), datetime(2026, 4, 1)
HOSTILE = [
    "<b>bold</b>", '<a href="javascript:alert(1)">x</a>', "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "%{customdata}", "%{x}<extra>own</extra>", "&lt;b&gt;", "<br>", "<sup>1", "%", "{", "$\\alpha$", "%{y:.2f}",
]  # fmt: skip


def over_time(*rows: tuple[Value, ...], kind: str = "number", grain: str | None = "month") -> Published:
    return Published((TIME,), (Column("count", kind),), rows, people=10, unit="runs", grain=grain)


def by_shell(*rows: tuple[Value, ...], kind: str = "number", name: str = "people") -> Published:
    return Published((Column("shell", "text"),), (Column(name, kind),), rows, people=10, unit="runs")


def draw(published: Published, kind: str = "line", y: str = "count", more: str = "") -> dict[str, Any]:
    block = parse(f"type: {kind}\ndata: sessions\nx: {published.dimensions[0].name}\ny: {y}\n{more}")
    figure = plotly_kinds.figure(block, published)
    assert json.loads(json.dumps(figure, allow_nan=False)) is not None
    return figure


def test_a_line_has_a_gap_where_a_period_is_not_shown() -> None:
    figure = draw(over_time((JANUARY, 12), (FEBRUARY, 14), (APRIL, 11)))
    (trace,) = figure["data"]
    assert list(trace["x"]) == [f"2026-0{month}-01T00:00:00" for month in (1, 2, 3, 4)]
    assert list(trace["y"]) == [12, 14, None, 11]
    assert trace["connectgaps"] is False


@pytest.mark.parametrize(
    ("grain", "last", "periods"),
    [("hour", datetime(2026, 1, 1, 5), 6), ("day", datetime(2026, 1, 31), 31), ("week", datetime(2026, 1, 29), 5),
     ("month", datetime(2027, 1, 1), 13), ("quarter", datetime(2027, 1, 1), 5), ("year", datetime(2030, 1, 1), 5)],
)  # fmt: skip
def test_every_period_has_its_place(grain: str, last: datetime, periods: int) -> None:
    (trace,) = draw(over_time((JANUARY, 12), (last, 11), grain=grain))["data"]
    assert len(trace["x"]) == periods


@pytest.mark.parametrize("kind", ["line", "area", "bar", "band"])
def test_the_period_that_is_not_over_is_not_drawn_unless_it_is_the_only_one(kind: str) -> None:
    y = "[p25(d), p50(d), p75(d)]" if kind == "band" else "count"
    width = 3 if kind == "band" else 1
    made = over_time((JANUARY, *[12] * width), (FEBRUARY, *[14] * width), (datetime(2026, 3, 1), *[3] * width))
    made = replace(made, measures=made.measures * width)
    for last, drawn in ((3, 2), (1, 1)):
        figure = draw(replace(made, rows=made.rows[:last], partial=True), kind, y)
        assert {len(trace["x"]) for trace in figure["data"] if trace.get("customdata") is not None} == {drawn}
        assert {value for trace in figure["data"] for value in trace["y"]} <= {12, 14}


def test_a_group_of_only_the_period_that_is_not_over_is_not_drawn() -> None:
    made = shells_by_month((JANUARY, "fish", 12), (FEBRUARY, "fish", 12), (APRIL, "zsh", 3))
    text = "type: line\ndata: s\nx: start_time\ncolor: shell\ny: count"
    traces = plotly_kinds.figure(parse(text), replace(made, partial=True))["data"]
    assert [trace["name"] for trace in traces] == ["fish"]


def test_each_group_is_a_line_of_its_own_color_and_other_is_grey() -> None:
    rows = ((JANUARY, "fish", 12), (JANUARY, UNKNOWN, 10), (JANUARY, OTHER, 11), (APRIL, "fish", 15))
    made = Published(
        (TIME, Column("shell", "text")), (COUNT,), rows, 20, ("fish", UNKNOWN, OTHER), unit="runs", grain="month"
    )
    figure = draw(made, more="color: shell")
    assert [trace["name"] for trace in figure["data"]] == ["fish", "not known", "Other"]
    own = colors.colors(["fish"])["fish"]
    assert own in colors.PALETTE
    assert [trace["line"]["color"] for trace in figure["data"]] == [own, colors.GREY, colors.GREY]
    assert list(figure["data"][1]["y"]) == [10, None, None, None]
    assert figure["layout"]["showlegend"]


def test_an_area_is_stacked_and_shares_fill_it() -> None:
    rows = ((JANUARY, "fish", 0.75), (JANUARY, "zsh", 0.25), (FEBRUARY, "fish", 1.0))
    made = Published(
        (TIME, Column("shell", "text")),
        (Column("share", "share"),),
        rows,
        20,
        ("fish", "zsh"),
        unit="runs",
        grain="month",
    )
    figure = draw(made, "area", "share", "color: shell")
    assert {trace["stackgroup"] for trace in figure["data"]} == {"one"}
    # A group that is not there adds nothing.
    assert [list(trace["y"]) for trace in figure["data"]] == [[75, 100], [25, 0]]
    assert list(figure["layout"]["yaxis"]["range"]) == [0, 100]
    assert figure["layout"]["yaxis"]["ticksuffix"] == " %"


def test_what_is_not_shown_of_a_whole_is_striped_and_not_drawn_as_nothing() -> None:
    rows = ((JANUARY, "fish", 0.75), (JANUARY, "zsh", 0.25), (FEBRUARY, "fish", 0.9))
    made = Published(
        (TIME, Column("shell", "text")), (Column("share", "share"),), rows, 20, ("fish", "zsh"), unit="runs",
        grain="month",
    )  # fmt: skip
    *_, last = draw(made, "area", "share", "color: shell")["data"]
    assert (last["name"], list(last["y"]), last["fillpattern"]["shape"]) == ("not shown", [0, pytest.approx(10)], "/")


def test_an_area_in_which_a_group_is_not_shown_in_a_period_is_of_bars() -> None:
    rows = ((JANUARY, "fish", 20), (JANUARY, "zsh", 10), (FEBRUARY, "fish", 25))
    made = Published((TIME, Column("shell", "text")), (COUNT,), rows, 20, ("fish", "zsh"), unit="runs", grain="month")
    assert {trace["type"] for trace in draw(made, "area", "count", "color: shell")["data"]} == {"bar"}


def test_rows_of_bins_rise_and_rows_of_names_begin_at_the_top() -> None:
    for names, direction in ((("under 10 ms", "10 ms to 20 ms", "20 ms or more"), True), (("fish", "zsh"), "reversed")):
        rows = tuple(("a", name, 10) for name in names)
        made = Published((Column("x", "text"), Column("y", "text")), (COUNT,), rows, 20, names, unit="runs")
        assert draw(made, "heatmap", "count", "rows: y")["layout"]["yaxis"]["autorange"] == direction


def test_bars_lie_so_that_names_can_be_read_and_begin_at_nothing() -> None:
    figure = draw(by_shell(("fish", 12), ("a very long name of a terminal emulator", 11)), "bar", "people")
    (trace,) = figure["data"]
    assert trace["orientation"] == "h"
    assert list(trace["x"]) == [12, 11]
    axis = figure["layout"]["yaxis"]
    assert axis["autorange"] == "reversed"
    assert list(axis["ticktext"]) == ["fish", "a very long name of a t…"]
    assert list(trace["y"]) == list(axis["tickvals"])
    assert figure["layout"]["xaxis"]["rangemode"] == "tozero"


def test_two_names_that_are_cut_to_the_same_text_are_two_bars() -> None:
    figure = draw(by_shell(("x" * 40 + "a", 12), ("x" * 40 + "b", 11)), "bar", "people")
    (trace,) = figure["data"]
    assert len(set(trace["y"])) == 2
    assert [text.split(":")[0][-1] for text in trace["customdata"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("y", "mode"), [("count", "stack"), ("sum(n)", "stack"), ("people", "group"), ("p50(n)", "group")]
)
def test_only_what_adds_up_is_stacked(y: str, mode: str) -> None:
    made = Published(
        (Column("shell", "text"), Column("os", "text")), (COUNT,), (("fish", "Linux", 12),), 12, ("Linux",), unit="runs"
    )
    assert draw(made, "bar", y, "color: os")["layout"]["barmode"] == mode


@pytest.mark.parametrize(
    ("largest", "divisor", "unit"),
    [(900, 1, "(ms)"), (90_000, 1_000, "(s)"), (900_000, 60_000, "(min)"), (9e6, 3_600_000, "(h)")],
)
def test_an_axis_of_durations_has_a_unit_that_fits(largest: float, divisor: int, unit: str) -> None:
    made = over_time((JANUARY, largest), (FEBRUARY, None), kind="milliseconds")
    figure = draw(made, y="p50(duration_ms)")
    assert list(figure["data"][0]["y"]) == [largest / divisor, None]
    assert figure["layout"]["yaxis"]["title"]["text"] == f"Median duration {unit}"


def test_axes_write_numbers_and_times_as_the_rest_of_the_site() -> None:
    layout = draw(over_time((JANUARY, 0.004), (APRIL, 0.5), kind="share", grain="week"), y="share(failed)")["layout"]
    assert (layout["yaxis"]["ticksuffix"], layout["yaxis"]["separatethousands"]) == (" %", True)
    for grain, pattern in {**format.PERIODS, "week": "Week of %Y-%m-%d"}.items():
        drawn = draw(over_time((JANUARY, 1), grain=grain))["layout"]["xaxis"]["hoverformat"]
        assert JANUARY.strftime(drawn) == JANUARY.strftime(pattern)
    dates = {stop["value"].split("\n")[-1] for stop in layout["xaxis"]["tickformatstops"]}
    assert dates == {"%Y-%m-%d", "%b %Y", "%Y"}


def test_a_value_that_is_held_back_says_nothing_when_pointed_at() -> None:
    figure = draw(by_shell(("fish", 12.0), ("zsh", None), name="p50(n)"), "bar", "p50(n)")
    (trace,) = figure["data"]
    assert list(trace["x"]) == [12.0, None]
    assert list(trace["customdata"]) == ["fish: 12", f"zsh: {NOTHING}"]
    assert trace["text"][1] == NOTHING


@pytest.mark.parametrize("label", HOSTILE)
@pytest.mark.parametrize("kind", ["line", "area", "bar"])
def test_no_label_is_taken_for_markup_or_a_template(label: str, kind: str) -> None:
    by_time = Published(
        (TIME, Column("s", "text")), (COUNT,), ((JANUARY, label, 12),), 12, (label,), unit="runs", grain="month"
    )
    by_name = replace(
        by_time, dimensions=(Column("s", "text"), Column("t", "text")), rows=((label, label, 12),), grain=None
    )
    for made in (by_time, by_name) if kind == "bar" else (by_time,):
        for trace in draw(made, kind, more="color: t")["data"]:
            template = trace["hovertemplate"].replace("%{customdata}<extra></extra>", "", 1)
            texts = [trace["name"], *trace["customdata"], *trace.get("text", [])]
            for text in [template, *texts]:
                assert "<" not in text.replace("<extra></extra>", "")
            assert "%{" not in template


def test_a_group_has_the_same_color_in_every_chart_unless_another_took_it() -> None:
    alone = colors.colors(["fish"])["fish"]
    assert colors.colors(["fish", "zsh", "bash"])["fish"] == alone
    for groups in (["fish", "zsh", "bash", "cmd"], [f"1.{minor}.0" for minor in range(8)], ["yes", "no"]):
        assert len(set(colors.colors(groups).values())) == len(groups)
    # Blue is not beside light blue, nor pink beside violet, while there are others.
    for pair in combinations([f"shell {number}" for number in range(30)], 2):
        first, second = (colors.PALETTE.index(color) for color in colors.colors(pair).values())
        assert colors.ALIKE.get(first) != second
    # More groups than colours have to share, as evenly as can be.
    many = colors.colors([str(number) for number in range(16)])
    assert max(list(many.values()).count(color) for color in colors.PALETTE) == 2


def shells_by_month(*rows: tuple[Value, ...], kind: str = "number", name: str = "count") -> Published:
    groups = tuple(dict.fromkeys(row[1] for row in rows))
    return Published(
        (TIME, Column("shell", "text")), (Column(name, kind),), rows, 20, groups, unit="runs", grain="month"
    )


def test_a_stack_with_a_period_that_is_not_shown_is_of_bars_and_falls_to_nothing_nowhere() -> None:
    made = shells_by_month((JANUARY, "fish", 1.0), (APRIL, "fish", 0.5), (APRIL, "zsh", 0.5), kind="share")
    block = parse("type: share\ndata: sessions\nx: start_time\ncolor: shell")
    figure = plotly_kinds.figure(block, made)
    assert [(trace["type"], list(trace["y"])) for trace in figure["data"]] == [("bar", [100, 50]), ("bar", [50])]
    assert figure["layout"]["barmode"] == "stack"
    assert list(figure["layout"]["yaxis"]["range"]) == [0, 100]


def test_one_period_alone_is_as_wide_as_it_lasts_and_has_one_name() -> None:
    figure = draw(
        shells_by_month((JANUARY, "fish", 0.6), (JANUARY, "zsh", 0.4), kind="share"), "share", "share", "color: shell"
    )
    days = [trace["width"] / 86_400_000 for trace in figure["data"]]
    assert days == [pytest.approx(24, abs=1)] * 2
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 1


def test_bars_of_what_adds_up_may_stand_beside_each_other() -> None:
    made = Published(
        (Column("shell", "text"), Column("os", "text")), (COUNT,), (("fish", "Linux", 12),), 12, ("Linux",), unit="runs"
    )
    assert draw(made, "bar", "count", "color: os\nbars: grouped")["layout"]["barmode"] == "group"


def test_a_histogram_has_even_bins_open_ends_and_marks() -> None:
    column = Column("from", "milliseconds"), Column("to", "milliseconds")
    rows = ((None, 100.0, 11), (100.0, 1_000.0, 40), (1_000.0, 10_000.0, 30), (10_000.0, None, 12))
    made = Published(column, (COUNT,), rows, 60, unit="runs", marks=(("p50", 1_000.0),), logarithmic=True)
    figure = plotly_kinds.figure(parse("type: histogram\ndata: sessions\nx: duration_ms"), made)
    (trace,) = figure["data"]
    assert list(trace["x"]) == pytest.approx([-0.5, 0.5, 1.5, 2.5])
    assert list(trace["marker"]["opacity"]) == [0.5, 1, 1, 0.5]
    assert list(trace["customdata"]) == [
        "under 100 ms: 11", "100 ms to 1 s: 40", "1 s to 10 s: 30", "10 s or more: 12",
    ]  # fmt: skip
    assert figure["layout"]["shapes"][0]["x0"] == pytest.approx(1)
    assert figure["layout"]["annotations"][0]["text"] == "median 1 s"
    assert "1 s" in figure["layout"]["xaxis"]["ticktext"]


def test_a_bin_that_is_not_shown_is_a_gap() -> None:
    rows = ((None, 10.0, 11), (10.0, 20.0, 40), (30.0, 40.0, 30), (40.0, None, 12))
    made = Published((Column("from", "number"), Column("to", "number")), (COUNT,), rows, 60, unit="runs")
    (trace,) = plotly_kinds.figure(parse("type: histogram\ndata: sessions\nx: size"), made)["data"]
    assert list(trace["x"]) == pytest.approx([-0.5, 0.5, 2.5, 3.5])


def test_a_heat_map_has_a_cell_of_its_own_where_nothing_is_shown() -> None:
    rows = (("0", "Monday", 12), ("2", "Monday", 30), ("2", "Tuesday", 11))
    columns = (Column("hour", "text"), Column("weekday", "text"))
    days, hours = ("Monday", "Tuesday"), ("0", "1", "2")
    made = Published(columns, (COUNT,), rows, 40, days, across=hours, unit="runs")
    figure = plotly_kinds.figure(parse("type: heatmap\ndata: s\nx: hour\nrows: weekday\ny: count"), made)
    trace, hidden = figure["data"]
    assert [list(row) for row in trace["z"]] == [[12, None, 30], [None, None, 11]]
    assert [[cell is not None for cell in row] for row in hidden["z"]] == [[False, True, False], [True, True, False]]
    assert hidden["customdata"][1][:2] == ["0, Tuesday: not shown", "1, Tuesday: not shown"]
    assert (hidden["showscale"], "colorscale" in hidden) == (False, False)
    # A cell says one thing: its number, or that there is none.
    said = [one + other for one, other in zip(trace["text"][0], hidden["text"][0], strict=True)]
    assert said == ["12", NOTHING, "30"]
    assert list(figure["layout"]["xaxis"]["ticktext"]) == list(hours)
    assert list(figure["layout"]["yaxis"]["ticktext"]) == ["Monday", "Tuesday"]
    assert (trace["zmin"], trace["zmax"]) == (0, 30)


@pytest.mark.parametrize(("middle", "low", "high"), [(0.2, -10, 50), (0.5, 20, 80)])
def test_a_heat_map_with_a_middle_has_it_in_the_middle_of_its_colors(middle: float, low: float, high: float) -> None:
    rows = (("0", "Monday", 0.2), ("1", "Monday", 0.5))
    columns = (Column("hour", "text"), Column("weekday", "text"))
    made = Published(columns, (Column("share(failed)", "share"),), rows, 40, ("Monday",), unit="runs")
    text = f"type: heatmap\ndata: s\nx: hour\nrows: weekday\ny: share(failed)\nmiddle: {middle}"
    figure = plotly_kinds.figure(parse(text), made)
    (trace,) = figure["data"]
    assert (trace["zmin"], trace["zmax"]) == pytest.approx((low, high))
    for light_or_dark in figure["layout"]["meta"]["scales"]:
        assert [at for at, _ in light_or_dark] == [0, 0.25, 0.5, 0.75, 1]


def test_each_group_has_a_panel_on_the_same_axes() -> None:
    rows = [(JANUARY, shell, number) for number, shell in enumerate(("bash", "fish", "zsh"), 12)]
    made = shells_by_month(*rows, (FEBRUARY, "fish", 40))
    text = "type: line\ndata: s\nx: start_time\ncolor: shell\ny: count\npanels: true"
    figure = plotly_kinds.figure(parse(text), made)
    layout = figure["layout"]
    assert [trace["xaxis"] for trace in figure["data"]] == ["x", "x2", "x3"]
    assert [note["text"] for note in layout["annotations"]] == ["bash", "fish", "zsh"]
    assert {(layout[f"xaxis{n}"]["matches"], layout[f"yaxis{n}"]["matches"]) for n in (2, 3)} == {("x", "y")}
    places = {(*layout[f"xaxis{n}"]["domain"], *layout[f"yaxis{n}"]["domain"]) for n in ("", 2, 3)}
    assert len(places) == 3
    assert figure["data"][1]["customdata"][1] == "Feb 2026: 40"


def test_a_band_is_drawn_in_pieces_around_its_middle() -> None:
    measures = tuple(Column(f"{name}(ms)", "milliseconds") for name in ("p25", "p50", "p75"))
    rows = ((JANUARY, 10.0, 20.0, 30.0), (FEBRUARY, 11.0, 21.0, 31.0), (APRIL, None, 22.0, None))
    made = Published((TIME,), measures, rows, 60, unit="runs", grain="month")
    figure = plotly_kinds.figure(parse("type: band\ndata: s\nx: start_time\ny: p50(ms)"), made)
    band, middle = figure["data"]
    assert list(band["y"]) == [30.0, 31.0, 11.0, 10.0]
    assert list(middle["y"]) == [20.0, 21.0, None, 22.0]
    assert middle["customdata"][0] == "20 ms (10 ms to 30 ms)"


def test_intervals_are_drawn_around_what_they_are_of() -> None:
    measures = (Column("share(f)", "share"), Column("share(f) from", "share"), Column("share(f) to", "share"))
    shells = Published(
        (Column("shell", "text"),), measures, (("fish", 0.5, 0.25, 0.625),), 60, unit="runs", interval=True
    )
    (trace,) = plotly_kinds.figure(parse("type: bar\ndata: s\nx: shell\ny: share(f)\ninterval: true"), shells)["data"]
    assert (list(trace["error_x"]["arrayminus"]), list(trace["error_x"]["array"])) == ([25], [12.5])
    months = Published((TIME,), measures, ((JANUARY, 0.5, 0.25, 0.625),), 60, unit="runs", grain="month", interval=True)
    _, band = plotly_kinds.figure(parse("type: line\ndata: s\nx: start_time\ny: share(f)\ninterval: true"), months)[
        "data"
    ]
    assert list(band["y"]) == [62.5, 25]


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_of_a_heat_map_is_taken_for_markup(label: str) -> None:
    made = Published(
        (Column("s", "text"), Column("t", "text")), (COUNT,), ((label, label, 12),), 12, (label,), unit="runs"
    )
    figure = plotly_kinds.figure(parse("type: heatmap\ndata: s\nx: s\nrows: t\ny: count"), made)
    (trace,) = figure["data"]
    texts = [trace["customdata"][0][0], *figure["layout"]["xaxis"]["ticktext"], *figure["layout"]["yaxis"]["ticktext"]]
    assert not any("<" in text for text in texts)
    assert "%{" not in trace["hovertemplate"].replace("%{customdata}", "")


def test_a_figure_carries_no_template_and_no_address() -> None:
    figure = draw(over_time((JANUARY, 12)))
    assert figure["layout"].get("template") in (None, {})
    assert "http" not in json.dumps(figure)
