import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from reports import charts
from reports.block import parse
from reports.format import NOTHING
from reports.published import OTHER, UNKNOWN, Column, Published, Value

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
    figure = charts.figure(block, published)
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


def test_each_group_is_a_line_of_its_own_color_and_other_is_grey() -> None:
    rows = ((JANUARY, "fish", 12), (JANUARY, UNKNOWN, 10), (JANUARY, OTHER, 11), (APRIL, "fish", 15))
    made = Published(
        (TIME, Column("shell", "text")), (COUNT,), rows, 20, ("fish", UNKNOWN, OTHER), unit="runs", grain="month"
    )
    figure = draw(made, more="color: shell")
    assert [trace["name"] for trace in figure["data"]] == ["fish", "not known", "Other"]
    assert [trace["line"]["color"] for trace in figure["data"]] == [charts.PALETTE[0], charts.GREY, charts.GREY]
    assert list(figure["data"][1]["y"]) == [10, None, None, None]
    assert figure["layout"]["showlegend"]


def test_an_area_is_stacked_and_shares_fill_it() -> None:
    rows = ((JANUARY, "fish", 0.75), (JANUARY, "zsh", 0.25))
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
    assert list(figure["layout"]["yaxis"]["range"]) == [0, 1]
    assert figure["layout"]["yaxis"]["tickformat"] == ".0%"


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


@pytest.mark.parametrize(("largest", "format"), [(0.5, ".0%"), (0.04, ".1%"), (0.004, ".2%")])
def test_ticks_of_shares_differ_from_each_other(largest: float, format: str) -> None:
    figure = draw(over_time((JANUARY, largest), kind="share"), y="share(failed)")
    assert figure["layout"]["yaxis"]["tickformat"] == format


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


def test_a_figure_carries_no_template_and_no_address() -> None:
    figure = draw(over_time((JANUARY, 12)))
    assert figure["layout"].get("template") in (None, {})
    assert "http" not in json.dumps(figure)
