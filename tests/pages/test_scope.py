"""Of which time and of whose runs the numbers are, as it stands beside them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from reports.pages.site import Site
from tests.sites import MONDAY, fill, runs, site_of, source, written


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("scope")
    start = MONDAY - timedelta(days=3)
    fill(path, [*runs(1, 20, start=start), *runs(21, 140, start=start, inCi=True)])
    with site_of(path) as made:
        yield made


@pytest.mark.parametrize(
    ("sql", "y", "scope"),
    [
        ("SELECT user_id FROM sessions", "count", "all time, CI included"),
        ("SELECT user_id FROM sessions", "people", "all time, CI excluded"),
        ("SELECT user_id FROM sessions WHERE ci", "count", "all time, only CI"),
        ("SELECT user_id FROM sessions WHERE NOT coalesce(ci, false)", "count", "all time, CI excluded"),
        ("SELECT user_id FROM sessions WHERE last_days(start_time, 28)", "count", "last 4 weeks, CI included"),
        ("SELECT user_id FROM sessions WHERE last_days(start_time, 10)", "count", "last 10 days, CI included"),
        (
            "SELECT user_id FROM sessions WHERE last_days(start_time, 56) AND NOT last_days(start_time, 28)", "count",
            "8 weeks to 4 weeks ago, CI excluded",
        ),
        ("SELECT user_id, last_days(start_time, 7) AS new FROM sessions", "count", "all time, CI included"),
    ],
)  # fmt: skip
def test_the_window_and_the_population_are_those_of_the_query(site: Site, sql: str, y: str, scope: str) -> None:
    text = f"```sql mine\n{sql}\n```\n\n```yaml chart\ntype: table\ndata: mine\ny: {y}\n```\n"
    page = site.page(source(text, path=f"{abs(hash((sql, y)))}.md"))
    assert [one.scope for one in page.series] == [scope]
    assert page.series[0].published.empty or scope in written(page)


def test_a_card_over_time_is_of_its_last_whole_period(site: Site) -> None:
    block = "type: number\ndata: sessions\nx: start_time\ny: count\ngrain: week"
    page = site.page(source(f"```yaml chart\n{block}\n```\n", path="card.md"))
    assert [one.scope for one in page.series] == ["last whole week, CI included"]


def test_what_needs_releases_says_which_command_brings_them(site: Site) -> None:
    sql = "SELECT user_id FROM sessions JOIN releases ON application_version = version"
    text = f"```sql mine\n{sql}\n```\n\n```yaml chart\ntype: number\ndata: mine\ny: count\n```\n"
    shown = written(site.page(source(text, path="releases.md")))
    assert "abaculus releases" in shown
    assert "too few people" not in shown.lower()
