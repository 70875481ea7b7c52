import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest.bucket import open_bucket
from reports import choices, warehouse
from reports.published import Column, Filter, Published
from reports.site import Site
from tests.sites import NOW, fill, runs
from tests.test_site import KNOWN, faults, run

BAR = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: count\ntitle: Shells\n{}```\n"
MADE = Published((Column("shell", "text"),), (Column("count", "number"),), (("fish", 12),), people=12)


TEMPLATE = r'<template class="ab-choice"[^>]* data-column="(\w+)" [^>]*?data-value="([^"]*)"( data-page)?'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Fifty people of fish, thirty on Linux, and twenty-nine of zsh, fifteen on Linux."""
    bucket = tmp_path_factory.mktemp("choices") / "bucket"
    fill(bucket, runs(1, 30, shellName="fish", osName="Linux") + runs(31, 50, shellName="fish", osName="macOS")
         + runs(51, 65, shellName="zsh", osName="Linux") + runs(66, 79, shellName="zsh", osName="macOS"))  # fmt: skip
    made = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), KNOWN), now=NOW)
    yield made
    made.connection.close()


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
    (made,) = page.pieces.values()
    assert templates(made) == [("os", "Linux", ""), ("os", "macOS", "")]
    linux = only(made, "Linux")
    # The figure, its words, its caption and its table are those of Linux alone.
    assert 'aria-label="Bar chart: Shells. fish: 30; zsh: 15."' in linux
    assert "45 people" in linux
    assert re.findall(r"<td[^>]*>(\d+)<", linux) == ["30", "15"]
    assert "macOS" not in linux


def test_front_matter_filters_every_chart_that_has_the_column(site: Site) -> None:
    query = "```sql shells\nSELECT user_id, shell FROM sessions\n```\n"
    by_os = "```yaml chart\ntype: bar\ndata: sessions\nx: os\ny: count\n```\n"
    funnel = "```yaml chart\ntype: retention\ndata: sessions\nx: start_time\n```\n"
    page = run(site, query + BAR.format("") + BAR.format("").replace("sessions", "shells") + by_os + funnel,
               "---\nfilter: [os]\n---\n")  # fmt: skip
    assert site.faults == []
    assert [templates(piece) for piece in page.pieces.values()] == [
        [("os", "Linux", " data-page"), ("os", "macOS", " data-page")], [], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("filter: oss", 'filter: no chart of this page has a column "oss"'),
        ("filter: {os: 1}", "filter: must be a column, or a list of columns"),
    ],
)
def test_a_filter_of_a_page_that_means_nothing_is_named(site: Site, front: str, message: str) -> None:
    (said,) = faults(site, BAR.format(""), f"---\ntitle: T\n{front}\n---\n")
    assert said.startswith(f"site/page.md:3:1: {message}")


def test_a_filter_that_is_not_a_column_is_named_on_its_line(site: Site) -> None:
    (said,) = faults(site, BAR.format("filter: [os, oss]\n"))
    assert said.startswith("site/page.md:7:14: ")
    assert 'column "oss" not found; did you mean "os"?' in said


def test_what_does_not_fit_is_left_out_from_the_value_of_fewest_people_on_and_said() -> None:
    series = tuple((f"v{number}", MADE) for number in range(5))
    given = replace(MADE, filters=(Filter("version", series),))
    made, said = choices.templates(given, lambda shown: ("x" * 60_000, ""), ())
    assert [value for _, value, _ in templates(made)] == ["v0", "v1", "v2"]
    assert said.startswith("filter: 2 of 5 choices do not fit into the 200 kB")
    assert choices.templates(given, lambda shown: ("x", ""), ())[1] == ""


def test_a_block_whose_filters_do_not_fit_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "MOST_BYTES", 100)
    page = run(site, "# Title\n\n" + BAR.format("filter: os\n"))
    (piece,) = page.pieces.values()
    assert templates(piece) == []
    (said,) = map(str, site.warnings)
    assert said.startswith("site/page.md:9: filter: 2 of 2 choices do not fit")


@pytest.mark.parametrize("value", ['"><img src=x>', "</template><script>1</script>", "' onload='x", "&lt;b&gt;"])
def test_a_value_ends_no_template_and_no_attribute(value: str) -> None:
    given = replace(MADE, filters=(Filter("shell", ((value, MADE),)),))
    made, _ = choices.templates(given, lambda shown: ("body", "table"), ())
    assert made.count("<") == 2
    assert made.endswith(">bodytable</template>")
