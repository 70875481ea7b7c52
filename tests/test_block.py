import pytest

from reports.block import Block, BlockError, parse
from reports.kinds import GRAINS, TYPES, Measure

BAR = "type: bar\ndata: sessions\nx: shell\ny: people\n"


def faults(text: str) -> list[tuple[int, str]]:
    with pytest.raises(BlockError) as raised:
        parse(text)
    return raised.value.faults


def test_every_option_is_read() -> None:
    block = parse(
        "type: line\ndata: runs\nx: start_time\ny: p95(duration_ms)\ncolor: os\ngrain: week\n"
        "title: 'How: long?'\nname: slow\nlimit: 3"
    )
    assert block == Block(
        type="line", data="runs", x="start_time", y=(Measure("p95", "duration_ms"),), color="os", grain="week",
        title="How: long?", name="slow", limit=3,
    )  # fmt: skip
    assert block.lines == {
        "type": 0, "data": 1, "x": 2, "y": 3, "color": 4, "grain": 5, "title": 6, "name": 7, "limit": 8,
    }  # fmt: skip


def test_a_table_counts_several_things_and_shows_eight_groups() -> None:
    block = parse("type: table\ndata: runs\ny: [count, share( failed ), per_person]")
    assert [str(measure) for measure in block.y] == ["count", "share(failed)", "per_person"]
    assert block.limit == 8
    assert block.people


# The least that each kind needs.
LEAST = dict.fromkeys(TYPES, "x: start_time\ny: count") | {
    "number": "y: count", "share": "x: start_time\ncolor: os", "histogram": "x: duration_ms",
    "heatmap": "x: hour\nrows: weekday\ny: count", "band": "x: start_time\ny: p50(duration_ms)",
    "funnel": "steps:\n  Installed: installed\n  Ran: ran", "retention": "x: start_time",
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_read(kind: str) -> None:
    assert parse(f"type: {kind}\ndata: runs\n{LEAST[kind]}").type == kind


@pytest.mark.parametrize("grain", GRAINS)
def test_every_grain_is_read(grain: str) -> None:
    assert parse(f"{BAR}grain: {grain}").grain == grain


@pytest.mark.parametrize(
    "measure",
    ["count", "people", "per_person", "share", "share(c)", "sum(c)", "mean(c)", "p50(c)", "p90(c)", "p95(c)", "p99(c)"],
)
def test_every_measure_is_read(measure: str) -> None:
    assert [str(one) for one in parse(f"type: table\ndata: runs\ny: {measure}").y] == [measure]


def test_columns_are_named_where_no_people_are_counted() -> None:
    assert parse("type: table\ndata: releases\npeople: none").y == ()
    block = parse("type: number\ndata: releases\npeople: none\ny: released")
    assert block.y == (Measure("column", "released"),)
    assert not block.people


def test_a_band_of_one_percentile_lies_between_the_quarters() -> None:
    block = parse("type: band\ndata: runs\nx: start_time\ny: p50(ms)")
    assert [str(measure) for measure in block.y] == ["p25(ms)", "p50(ms)", "p75(ms)"]


def test_a_table_groups_by_several_columns() -> None:
    block = parse("type: table\ndata: runs\nx: [os, shell, version]\ny: count")
    assert (block.x, block.color, block.more) == ("os", "shell", ("version",))


def test_rows_of_a_heatmap_are_its_second_column() -> None:
    block = parse("type: heatmap\ndata: runs\nx: hour\nrows: weekday\ny: count")
    assert (block.x, block.color, block.lines["color"]) == ("hour", "weekday", 3)


def test_steps_are_read_in_their_order() -> None:
    block = parse("type: funnel\ndata: runs\nsteps:\n  Z first: z\n  A then: a")
    assert block.steps == (("Z first", "z"), ("A then", "a"))


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("yes", "yes"),
        ("1.10", "1.10"),
        ("2026-01-01", "2026-01-01"),
        ("'  x '", "x"),
        ("null", "null"),
        ("|\n a\n b", "a\nb"),
    ],
)
def test_a_text_is_what_was_written(title: str, read: str) -> None:
    assert parse(f"{BAR}title: {title}").title == read


def test_columns_may_be_called_on_and_no() -> None:
    block = parse("type: bar\ndata: sessions\nx: on\ny: share(no)\ncolor: y")
    assert (block.x, block.y[0].column, block.color) == ("on", "no", "y")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "a chart block has lines `option: value`"),
        ("- a\n- b", 0, "a chart block has lines `option: value`"),
        ("just words", 0, "a chart block has lines `option: value`"),
        ("type: bar\ndata: sessions\n x: a: b", 2, "not valid YAML"),
        ("type: bar\ntitle: \"x", 1, "not valid YAML"),
        ("type: bar\n\tx: y", 1, "not valid YAML"),
        ("type: [bar", 0, "not valid YAML"),
        ("a: *nowhere", 0, "not valid YAML"),
        ("type: bar\n---\ntype: bar", 1, "not valid YAML"),
        (f"{BAR}titel: x", 4, 'unknown option "titel"; did you mean "title"?'),
        (f"{BAR}zzz: x", 4, 'unknown option "zzz"; known are type, data, x'),
        (f"{BAR}yes: x", 4, 'unknown option "yes"'),
        (f"{BAR}1: x", 4, 'unknown option "1"'),
        (f"{BAR}x: os", 4, 'option "x" is given twice; keep one'),
        ("type: pie\ndata: sessions\nx: shell\ny: people", 0, 'type: "pie" is not known; use one of'),
        ("type: funnel\ndata: sessions\nx: shell\ny: people", 0, "a funnel needs steps; add `steps: `"),
        (f"{BAR}grain: wek", 4, 'grain: "wek" is not known; did you mean "week"?'),
        (f"{BAR}grain: [week]", 4, "grain: a list is not known"),
        (f"{BAR}color: {{a: b}}", 4, "color: must be a name of letters, digits and underscores, got a mapping"),
        ("type: bar\ndata: my runs\nx: shell\ny: count", 1, 'data: must be a name of letters, digits and underscores'),
        ("type: bar\ndata: sessions\nx: \"a'; DROP\"\ny: count", 2, "x: must be a name"),
        (f"{BAR}title:", 4, "title: must be a text"),
        (f"{BAR}title: [a]", 4, "title: must be a text"),
        (f"{BAR}limit: 0", 4, 'limit: must be a whole number from 1 to 50, got "0"'),
        (f"{BAR}limit: 51", 4, "limit: must be"),
        (f"{BAR}limit: many", 4, "limit: must be"),
        (f"{BAR}limit: 1e1", 4, "limit: must be"),
        (f"{BAR}people: some", 4, 'people: only "none" can be said'),
        ("data: sessions\ny: count", 0, "type is missing; add `type: …`"),
        ("type: table\ny: count", 0, "data is missing; add `data: …`"),
        ("type: table\ndata: sessions", 0, "y is missing; add `y: …`"),
        ("type: table\ndata: sessions\ny: []", 2, "y: an empty list counts nothing"),
        ("type: table\ndata: sessions\ny: [count, count]", 2, "y: count is given twice; keep one"),
        ("type: table\ndata: sessions\ny: peple", 2, 'y: "peple" is not a measure; did you mean "people"?'),
        ("type: table\ndata: sessions\ny: max(duration_ms)", 2, 'y: "max(duration_ms)" is not a measure'),
        ("type: table\ndata: sessions\ny: p50", 2, 'y: "p50" needs a column, as in p50(duration_ms)'),
        ("type: table\ndata: sessions\ny: count(x)", 2, 'y: "count(x)" is not a measure'),
        ("type: table\ndata: sessions\ny: p50(a, b)", 2, "is not a measure"),
        ("type: bar\ndata: sessions\ny: count", 0, "a bar needs x; add `x: column`"),
        ("type: line\ndata: sessions\nx: start_time\ny: [count, people]", 3, "a line draws one measure; keep one"),
        ("type: area\ndata: sessions\nx: t\ncolor: os\ny: p50(a)", 4, "an area stacks what adds up"),
        ("type: area\ndata: sessions\nx: t\ncolor: os\ny: people", 4, "an area stacks what adds up"),
        ("type: number\ndata: sessions\ncolor: os\ny: count", 2, "a number has no color; remove it"),
        ("type: share\ndata: s\nx: t\ny: count\ncolor: os", 3, "a share draws each group's part of all rows"),
        ("type: share\ndata: s\nx: t", 0, "a share needs color; add `color: column`"),
        ("type: heatmap\ndata: s\nx: t\ncolor: os\ny: count", 3, "a heatmap has no color; call it rows"),
        ("type: heatmap\ndata: s\nx: os\nrows: OS\ny: count", 3, "rows is x again; remove it"),
        ("type: histogram\ndata: s\nx: ms\ny: mean(a)", 3, "a histogram counts count, people or share"),
        ("type: histogram\ndata: s\nx: ms\nlimit: 3", 3, "a histogram has no limit"),
        ("type: band\ndata: s\nx: t\ny: mean(a)", 3, "a band draws percentiles of one column"),
        ("type: band\ndata: s\nx: t\ny: p90(a)", 3, "a band has a lower edge, a middle and an upper edge"),
        ("type: band\ndata: s\nx: t\ny: [p90(a), p50(a), p10(a)]", 3, "a band has a lower edge"),
        ("type: band\ndata: s\nx: t\ny: [p10(a), p50(b), p90(a)]", 3, "percentiles of one column"),
        ("type: funnel\ndata: s\nsteps: installed", 2, "steps: must be a list of lines `Label: column`"),
        ("type: funnel\ndata: s\nsteps:\n  A: a", 2, "a funnel has from 2 to 12 steps, got 1"),
        ("type: funnel\ndata: s\nsteps:\n  A: a\n  A: b", 2, "two steps have one label"),
        ("type: funnel\ndata: s\nsteps:\n  A: a\n  B: [b]", 2, "must be a name of letters"),
        ("type: funnel\ndata: s\nx: t\nsteps:\n  A: a\n  B: b", 2, "a funnel has no x"),
        ("type: funnel\ndata: s\ny: share\nsteps:\n  A: a\n  B: b", 2, "a funnel counts people"),
        ("type: retention\ndata: s\nx: t\ny: count", 3, "retention counts people; remove y"),
        (f"{BAR}bars: side", 4, 'bars: "side" is not known; use one of stacked, grouped'),
        (f"{BAR}bars: stacked", 4, "bars are stacked of what adds up"),
        (f"{BAR}interval: yes", 4, 'interval: must be true or false, got "yes"'),
        (f"{BAR}interval: true", 4, "an interval is for one share(c) or mean(c); remove it"),
        ("type: table\ndata: s\nx: [a, A]\ny: count", 2, "x names a column twice"),
        ("type: table\ndata: s\nx: []\ny: count", 2, "x: an empty list groups by nothing"),
        ("type: table\ndata: s\nx: [a, b]\ny: count\ncolor: c", 2, "a table groups by up to 4 columns"),
        ("type: bar\ndata: s\nx: [a, b]\ny: count", 2, "a bar has one x; keep one"),
        ("type: histogram\ndata: s\npeople: none\nx: a", 2, "a histogram has no people"),
        ("type: number\ndata: sessions\ny: [count, people]", 2, "a number shows one measure"),
        ("type: number\ndata: sessions\ny: share", 2, "a number has no groups to be a share of; use share(c)"),
        ("type: table\ndata: sessions\ncolor: os\ny: count", 2, "color needs x"),
        (f"{BAR}color: Shell", 4, "color is x again; remove it"),
        ("type: table\ndata: releases\npeople: none\ngrain: day", 3, "grain is for rows that are counted"),
        ("type: table\ndata: releases\npeople: none\nlimit: 3", 3, "limit is for rows that are counted"),
        ("type: table\ndata: releases\npeople: none\ny: count(x)", 3, "y: must be a name"),
    ],
)  # fmt: skip
def test_a_fault_is_named_on_its_line(text: str, line: int, message: str) -> None:
    assert [at for at, said in faults(text) if message in said] == [line]


def test_all_faults_of_a_block_are_named_in_the_order_of_their_lines() -> None:
    found = faults("typ: bar\ndata: sessions\nx: 1x\ny: peple\nlimit: 99\nlimit: 3\ngrain: wek")
    assert [line for line, _ in found] == [0, 0, 2, 3, 5, 6]
    assert "type is missing" in found[0][1]
    assert 'did you mean "type"?' in found[1][1]


def test_a_fault_repeats_no_more_of_a_value_than_can_be_read() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
        for of, name in ("ab", "bc", "cd", "de", "ef", "fg")
    )
    assert sum(len(said) for _, said in faults(f"{bomb}type: {'x' * 10_000}\nlimit: *g")) < 3_000
