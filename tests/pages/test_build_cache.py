"""What blocks of one build share, and what they must not."""

import pytest

from reports.pages.site import Site
from reports.query.snapshot import Snapshot
from tests.sites import fill, runs, snapshot_of, source

CHART = "```yaml chart\ntype: bar\ndata: {}\nx: {}\ny: people\nlimit: {}\nname: {}\n```\n"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bucket = tmp_path_factory.mktemp("shared") / "bucket"
    fill(bucket, runs(1, 30, shellName="fish") + runs(31, 50, shellName="zsh") + runs(51, 65, shellName="bash"))
    return snapshot_of(bucket)


def shown(site: Site, *pages: str) -> list[list[tuple[object, ...]]]:
    """The cells of each chart of these pages."""
    made = [site.page(source(page, path=f"{at}.md")) for at, page in enumerate(pages)]
    assert site.faults == []
    return [list(one.published.rows) for page in made for one in page.series]


def test_queries_of_one_name_on_two_pages_are_two(site: Site) -> None:
    query = "```sql q\nSELECT user_id, shell FROM sessions WHERE shell <> '{}'\n```\n"
    pages = [query.format(other) + CHART.format("q", "shell", 8, "c") for other in ("fish", "zsh")]
    assert shown(site, *pages) == [[("zsh", 20), ("bash", 15)], [("fish", 30), ("bash", 15)]]


def test_charts_of_one_name_on_two_pages_are_two(site: Site) -> None:
    """One query on two pages reads what each page has published, and both are as they should be."""
    query = "```sql q\nSELECT user_id, s.shell FROM sessions s JOIN c ON c.shell = s.shell\n```\n"
    pages = [
        CHART.format("sessions", "shell", limit, "c") + query + CHART.format("q", "shell", 8, "d") for limit in (1, 2)
    ]
    _, one, _, two = shown(site, *pages)
    assert (one, two) == ([("fish", 30)], [("fish", 30), ("zsh", 20)])


def test_the_categories_of_a_column_depend_on_how_many_are_kept(site: Site) -> None:
    page = "".join(CHART.format("sessions", "shell", limit, f"c{limit}") for limit in (1, 2, 3))
    assert [len(cells) for cells in shown(site, page)] == [2, 3, 3]
