import pytest

from reports.blocks.block import Block, BlockError, parse
from reports.blocks.kinds import GRAINS, TYPES, Measure
from tests.messages import guess, mentions

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
    "scan": "x: [os, shell, arch, version]\ny: [share(failed), gmean(duration_ms)]",
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
    ("text", "line", "named"),
    [
        ("", 0, ("option: value",)),
        ("- a\n- b", 0, ("option: value",)),
        ("just words", 0, ("option: value",)),
        ("type: bar\ndata: sessions\n x: a: b", 2, ("YAML",)),
        ("type: bar\ntitle: \"x", 1, ("YAML",)),
        ("type: bar\n\tx: y", 1, ("YAML",)),
        ("type: [bar", 0, ("YAML",)),
        ("a: *nowhere", 0, ("YAML",)),
        ("type: bar\n---\ntype: bar", 1, ("YAML",)),
        (f"{BAR}titel: x", 4, ("titel", "title")),
        (f"{BAR}zzz: x", 4, ("zzz", "type", "data", "x")),
        (f"{BAR}yes: x", 4, ("yes",)),
        (f"{BAR}1: x", 4, ("1",)),
        (f"{BAR}x: os", 4, ("x", "twice")),
        ("type: pie\ndata: sessions\nx: shell\ny: people", 0, ("type", "pie", "line", "bar")),
        ("type: funnel\ndata: sessions\nx: shell\ny: people", 0, ("funnel", "steps")),
        (f"{BAR}grain: wek", 4, ("grain", "wek", "week")),
        (f"{BAR}grain: [week]", 4, ("grain", "list")),
        (f"{BAR}color: {{a: b}}", 4, ("color", "mapping")),
        ("type: bar\ndata: my runs\nx: shell\ny: count", 1, ("data", "runs")),
        ("type: bar\ndata: sessions\nx: \"a'; DROP\"\ny: count", 2, ("x", "DROP")),
        (f"{BAR}title:", 4, ("title", "text")),
        (f"{BAR}title: [a]", 4, ("title", "text")),
        (f"{BAR}limit: 0", 4, ("limit", "1", "50", "0")),
        (f"{BAR}limit: 51", 4, ("limit", "51")),
        (f"{BAR}limit: many", 4, ("limit", "many")),
        (f"{BAR}limit: 1e1", 4, ("limit", "1e1")),
        (f"{BAR}people: some", 4, ("people", "none", "some")),
        ("data: sessions\ny: count", 0, ("type", "missing")),
        ("type: table\ny: count", 0, ("data", "missing")),
        ("type: table\ndata: sessions", 0, ("y", "missing")),
        ("type: table\ndata: sessions\ny: []", 2, ("y", "empty")),
        ("type: table\ndata: sessions\ny: [count, count]", 2, ("y", "count", "twice")),
        ("type: table\ndata: sessions\ny: peple", 2, ("y", "peple", "people")),
        ("type: table\ndata: sessions\ny: max(duration_ms)", 2, ("y", "max(duration_ms)")),
        ("type: table\ndata: sessions\ny: p50", 2, ("y", "p50", "p50(duration_ms)")),
        ("type: table\ndata: sessions\ny: count(x)", 2, ("y", "count(x)")),
        ("type: table\ndata: sessions\ny: p50(a, b)", 2, ("y", "p50(a, b)")),
        ("type: bar\ndata: sessions\ny: count", 0, ("bar", "x")),
        ("type: line\ndata: sessions\nx: start_time\ny: [count, people]", 3, ("line", "type: table")),
        ("type: area\ndata: sessions\nx: t\ncolor: os\ny: p50(a)", 4, ("area", "count", "sum(c)")),
        ("type: area\ndata: sessions\nx: t\ncolor: os\ny: people", 4, ("area", "count", "sum(c)")),
        ("type: number\ndata: sessions\ncolor: os\ny: count", 2, ("number", "color")),
        ("type: share\ndata: s\nx: t\ny: count\ncolor: os", 3, ("share", "y")),
        ("type: share\ndata: s\nx: t", 0, ("share", "color")),
        ("type: heatmap\ndata: s\nx: t\ncolor: os\ny: count", 3, ("heatmap", "color", "rows")),
        ("type: heatmap\ndata: s\nx: os\nrows: OS\ny: count", 3, ("rows", "x")),
        ("type: histogram\ndata: s\nx: ms\ny: mean(a)", 3, ("histogram", "count", "people", "share")),
        ("type: histogram\ndata: s\nx: ms\nlimit: 3", 3, ("histogram", "limit")),
        ("type: band\ndata: s\nx: t\ny: mean(a)", 3, ("band", "p50(c)")),
        ("type: band\ndata: s\nx: t\ny: p90(a)", 3, ("band", "p10(c)", "p90(c)")),
        ("type: band\ndata: s\nx: t\ny: [p90(a), p50(a), p10(a)]", 3, ("band", "p10(c)", "p90(c)")),
        ("type: band\ndata: s\nx: t\ny: [p10(a), p50(b), p90(a)]", 3, ("band", "p50(c)")),
        ("type: funnel\ndata: s\nsteps: installed", 2, ("steps", "Label: column")),
        ("type: funnel\ndata: s\nsteps:\n  A: a", 2, ("steps", "2", "12", "1")),
        ("type: funnel\ndata: s\nsteps:\n  A: a\n  A: b", 2, ("steps", "label")),
        ("type: funnel\ndata: s\nsteps:\n  A: a\n  B: [b]", 2, ("steps", "mapping")),
        ("type: funnel\ndata: s\nx: t\nsteps:\n  A: a\n  B: b", 2, ("funnel", "x")),
        ("type: funnel\ndata: s\ny: share\nsteps:\n  A: a\n  B: b", 2, ("funnel", "people", "y: count")),
        ("type: retention\ndata: s\nx: t\ny: count", 3, ("retention", "people", "y")),
        (f"{BAR}bars: side", 4, ("bars", "side", "stacked", "grouped")),
        (f"{BAR}bars: stacked", 4, ("bars", "count", "sum(c)")),
        (f"{BAR}interval: yes", 4, ("interval", "true", "false", "yes")),
        (f"{BAR}interval: true", 4, ("interval", "share(c)", "mean(c)")),
        ("type: table\ndata: s\nx: [a, A]\ny: count", 2, ("x", "twice")),
        ("type: table\ndata: s\nx: []\ny: count", 2, ("x", "empty")),
        ("type: table\ndata: s\nx: [a, b]\ny: count\ncolor: c", 2, ("table", "x", "3")),
        ("type: bar\ndata: s\nx: [a, b]\ny: count", 2, ("bar", "x")),
        ("type: histogram\ndata: s\npeople: none\nx: a", 2, ("histogram", "people")),
        ("type: number\ndata: sessions\ny: [count, people]", 2, ("number", "type: table")),
        ("type: number\ndata: sessions\ny: share", 2, ("number", "share", "share(c)")),
        ("type: table\ndata: sessions\ncolor: os\ny: count", 2, ("color", "x")),
        (f"{BAR}color: Shell", 4, ("color", "x")),
        ("type: table\ndata: releases\npeople: none\ngrain: day", 3, ("grain", "people: none")),
        ("type: table\ndata: releases\npeople: none\nlimit: 3", 3, ("limit", "people: none")),
        ("type: number\ndata: releases\npeople: none\nx: a\ny: b", 3, ("number", "x", "people: none")),
        (f"{BAR}panels: true", 4, ("panels", "bar")),
        ("type: line\ndata: s\nx: t\ny: count\npanels: true", 4, ("panels", "color")),
        ("type: line\ndata: s\nx: t\ny: count\ncolor: os\npanels: true\nannotate: releases", 6, ("panels", "annotate")),
        ("type: heatmap\ndata: s\nx: a\nrows: b\ny: count\nmiddle: much", 5, ("middle", "much", "0.1")),
        ("type: heatmap\ndata: s\nx: a\nrows: b\ny: count\nmiddle: inf", 5, ("middle", "inf")),
        ("type: table\ndata: s\ny: count\ntrend: t", 3, ("trend", "x")),
        ("type: table\ndata: s\nx: t\ny: count\ntrend: T", 4, ("trend", "x")),
        (f"{BAR}filter: [os, OS]", 4, ("filter", "os", "twice")),
        (f"{BAR}filter: Shell", 4, ("filter", "shell")),
        ("type: table\ndata: releases\npeople: none\ny: count(x)", 3, ("y", "count(x)")),
    ],
)  # fmt: skip
def test_a_fault_is_named_on_its_line(text: str, line: int, named: tuple[str, ...]) -> None:
    assert [at for at, said in faults(text) if mentions(said, *named)] == [line]


def test_all_faults_of_a_block_are_named_in_the_order_of_their_lines() -> None:
    found = faults("typ: bar\ndata: sessions\nx: 1x\ny: peple\nlimit: 99\nlimit: 3\ngrain: wek")
    assert [line for line, _ in found] == [0, 0, 2, 3, 5, 6]
    assert mentions(found[0][1], "type")
    assert mentions(found[1][1], "typ") and guess(found[1][1]) == "type"


def test_a_fault_repeats_no_more_of_a_value_than_can_be_read() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
        for of, name in ("ab", "bc", "cd", "de", "ef", "fg")
    )
    assert sum(len(said) for _, said in faults(f"{bomb}type: {'x' * 10_000}\nlimit: *g")) < 3_000
