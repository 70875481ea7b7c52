import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reports.blocks.published import Column, Filter, Published
from reports.charts import choices
from reports.pages.site import Site
from tests.messages import guess, mentions, numbers, places
from tests.pages.test_site import faults, run
from tests.sites import figures, fill, runs, site_of

BAR = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ntitle: Shells\n{}```\n"
MADE = Published((Column("shell", "text"),), (Column("count", "number"),), (("fish", 12),), people=12)


TEMPLATE = r'<template class="ab-choice"[^>]* data-column="(\w+)" [^>]*?data-value="([^"]*)"( data-page)?'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Fifty people of fish, thirty on Linux, and twenty-nine of zsh, fifteen on Linux."""
    bucket = tmp_path_factory.mktemp("choices") / "bucket"
    fill(bucket, runs(1, 30, shellName="fish", osName="Linux") + runs(31, 50, shellName="fish", osName="macOS")
         + runs(51, 65, shellName="zsh", osName="Linux") + runs(66, 79, shellName="zsh", osName="macOS"))  # fmt: skip
    with site_of(bucket) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_kept(site: Site) -> None:
    """Each test begins without the faults of another."""
    site.faults.clear()
    site.warnings.clear()


def templates(page: str) -> list[tuple[str, ...]]:
    return re.findall(TEMPLATE, page)


def only(page: str, value: str) -> str:
    """What stands in the template of a value, which may have templates of its own."""
    start = re.search(rf'<template[^>]*data-value="{value}"[^>]*>', page)
    assert start is not None
    depth = 1
    for mark in re.compile("<(/?)template").finditer(page, start.end()):
        depth += -1 if mark[1] else 1
        if depth == 0:
            return page[start.end() : mark.start()]
    raise AssertionError("a template is not closed")


def test_a_block_has_a_template_for_each_value_of_its_filter(site: Site) -> None:
    page = run(site, BAR.format("filter: os\n"))
    assert site.faults == []
    (made,) = figures(page)
    assert templates(made) == [("os", "Linux", ""), ("os", "macOS", "")]
    linux = only(made, "Linux")
    # The figure, its words, its caption and its table are those of Linux alone.
    assert mentions(re.findall('role="img" aria-label="([^"]*)"', linux)[0], "Shells", "fish: 30", "zsh: 15")
    assert mentions(re.findall('<p class="ab-note">(.*?)</p>', linux)[0], "45 people")
    assert re.findall(r"<td[^>]*>(\d+)<", linux) == ["30", "15"]
    assert "macOS" not in linux


def test_front_matter_filters_every_chart_that_has_the_column(site: Site) -> None:
    query = "```sql shells\nSELECT user_id, shell FROM sessions\n```\n"
    by_os = "```yaml chart\ntype: bar\ndata: sessions\nx: os\ny: count\n```\n"
    funnel = "```yaml chart\ntype: retention\ndata: sessions\nx: start_time\n```\n"
    other = BAR.format("").replace("sessions", "shells").replace("Shells", "Other")
    page = run(site, query + BAR.format("") + other + by_os + funnel,
               "---\nfilter: [os]\n---\n")  # fmt: skip
    assert site.faults == []
    assert [templates(piece) for piece in figures(page)] == [
        [("os", "Linux", " data-page"), ("os", "macOS", " data-page")], [], [], [],
    ]  # fmt: skip


def test_a_page_leaves_its_filter_off_a_block_that_has_no_room_for_it(site: Site) -> None:
    table = "```yaml chart\ntype: table\ndata: {}\nx: {}\ny: count\n```\n"
    columns = "user_id, start_time, shell, exit_code, os"
    recent = f"```sql recent\nSELECT {columns} FROM sessions WHERE last_days(start_time, 28)\n```\n"
    page = run(
        site,
        recent
        + table.format("sessions", "[shell, exit_code, ci]")
        + table.format("recent", "[shell, exit_code]")
        + table.format("recent", "shell")
        + table.format("sessions", "shell").replace("y: count", "y: count\ntitle: All"),
        "---\nfilter: [os, start_time]\n---\n",
    )
    assert site.faults == []
    # Three axes, two in some weeks, one in some weeks (which are no choice of others), and one.
    assert [sorted({column for column, *_ in templates(piece)}) for piece in figures(page)] == [
        [], [], ["os"], ["os", "start_time"],
    ]  # fmt: skip


def test_a_column_behind_not_is_left_out_until_it_is_chosen(tmp_path: Path) -> None:
    fill(
        tmp_path, runs(1, 40, shellName="fish", osName="Linux", inCi=False) + runs(41, 160, shellName="zsh", inCi=True)
    )
    with site_of(tmp_path) as made:
        scan = "```yaml chart\ntype: table\ndata: sessions\nx: [shell, os, exit_code]\ny: count\n```\n"
        page = run(made, BAR.format("") + scan, "---\nfilter: [os, not ci]\n---\n")
    assert made.faults == []
    bar, table = figures(page)
    assert [value for _, value, _ in templates(bar)] == ["Linux", "yes"]
    first = bar.partition('<template class="ab-choice"')[0]
    assert re.findall(r"<td[^>]*>(\d+)<", first) == ["40"]
    assert mentions(re.findall('<p class="ab-note">(.*?)</p>', first)[0], "CI excluded")
    # What is counted is said.
    assert "ci IS NOT TRUE" in first
    chosen = only(bar, "yes")
    assert re.findall(r"<td[^>]*>(\d+)<", chosen) == ["120"]
    assert mentions(re.findall('<p class="ab-note">(.*?)</p>', chosen)[0], "only CI")
    # Without room for a choice it is left out all the same.
    assert templates(table) == [] and re.findall(r"<td[^>]*>.*?(\d+)<", table)[:1] == ["40"]


def test_a_title_that_says_a_number_is_not_that_of_what_is_chosen(site: Site) -> None:
    number = "```yaml chart\ntype: number\ndata: sessions\ny: people\nname: everybody\n```\n"
    titled = BAR.replace("title: Shells", 'title: "{{{{ everybody.people }}}} people"')
    page = run(site, number + titled.format("filter: os\n"))
    assert site.faults == []
    made = figures(page)[1]
    assert re.findall('ab-title">([^<]*)', made) == ["80 people"]
    assert re.findall('data-heading="([^"]*)"', made) == ["Runs by shell"] * 2
    assert "80 people" not in only(made, "Linux")


@pytest.mark.parametrize(
    ("front", "named"), [("filter: oss", ("filter", "oss")), ("filter: {os: 1}", ("filter", "column"))]
)
def test_a_filter_of_a_page_that_means_nothing_is_named(site: Site, front: str, named: tuple[str, ...]) -> None:
    (said,) = faults(site, BAR.format(""), f"---\ntitle: T\n{front}\n---\n")
    assert places(said) == ["site/sub/page.md:3:1"]
    assert mentions(said, *named)


def test_a_filter_that_is_not_a_column_is_named_on_its_line(site: Site) -> None:
    (said,) = faults(site, BAR.format("filter: [os, oss]\n"))
    assert places(said) == ["site/sub/page.md:7:14"]
    assert mentions(said, "oss") and guess(said) == "os"


def test_what_does_not_fit_is_left_out_from_the_value_of_fewest_people_on_and_said() -> None:
    series = tuple((f"v{number}", MADE) for number in range(5))
    given = replace(MADE, filters=(Filter("version", series),))
    made, said = choices.templates(given, lambda *_: ("x" * 60_000, ""), ())
    assert [value for _, value, _ in templates(made)] == ["v0", "v1", "v2"]
    assert numbers(said)[:3] == ["2", "5", "200"]
    assert choices.templates(given, lambda *_: ("x", ""), ())[1] == ""


def test_a_block_whose_filters_do_not_fit_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "MOST_BYTES", 100)
    page = run(site, "# Title\n\n" + BAR.format("filter: os\n"))
    (piece,) = figures(page)
    assert templates(piece) == []
    (said,) = map(str, site.warnings)
    assert places(said) == ["site/sub/page.md:9"]
    assert mentions(said, "filter") and numbers(said.partition("filter")[2])[:2] == ["2", "2"]


@pytest.mark.parametrize("value", ['"><img src=x>', "</template><script>1</script>", "' onload='x", "&lt;b&gt;"])
def test_a_value_ends_no_template_and_no_attribute(value: str) -> None:
    given = replace(MADE, filters=(Filter("shell", ((value, MADE),)),))
    made, _ = choices.templates(given, lambda *_: ("body", "table"), ())
    assert made.count("<") == 2
    assert made.endswith(">bodytable</template>")
