"""What of a page is on paper: each figure once, drawn or as its numbers, whole, and nothing that is to be pressed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.screenshots import browser, served
from tests.site.test_browser import built
from tests.sites import fill, project, runs

pytestmark = pytest.mark.browser

WEEKS = 40
PAGE = """
# Paper

```yaml chart
type: line
data: sessions
x: start_time
y: count
grain: week
title: Runs
filter: shell
```

```yaml chart
type: table
data: sessions
x: shell
y: [count, people]
title: Shells
```
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = project(tmp_path_factory.mktemp("print") / "project", {"index.md": PAGE})
    began = datetime.now(UTC) - timedelta(weeks=WEEKS)
    made = [
        run
        for number, shell in enumerate(["bash", "fish"])
        for week in range(WEEKS)
        for run in runs(number * 20, number * 20 + 11, shellName=shell, start=began + timedelta(weeks=week))
    ]
    fill(directory / "bucket", made)
    with built(directory, directory / "bucket", directory / "applications", directory / "out") as out:
        yield out


@pytest.fixture(params=["drawn", "without script", "not loaded"])
def paper(request: pytest.FixtureRequest, site: Path) -> Iterator[tuple[Any, bool]]:
    """The page as it is printed, and whether its figure was drawn before."""
    with served(site) as root, browser() as running:
        page = running.new_context(java_script_enabled=request.param != "without script").new_page()
        if request.param == "not loaded":
            page.route("**/plotly.min.js", lambda route: None)
        page.goto(root)
        if request.param == "not loaded":
            page.evaluate("dispatchEvent(new Event('beforeprint'))")
        if request.param == "drawn":
            page.locator(".ab-plot svg.main-svg").first.wait_for()
            # As the theme does before it prints.
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.emulate_media(media="print")
        yield page, request.param == "drawn"


def test_a_figure_is_printed_as_it_is_drawn_or_else_as_all_of_its_numbers(paper: tuple[Any, bool]) -> None:
    page, drawn = paper
    figure = page.locator("figure").first
    assert figure.locator(".ab-plot").is_visible() == drawn
    assert figure.locator(".ab-numbers td").first.is_visible() != drawn
    if not drawn:
        rows = figure.locator(".ab-numbers tbody tr")
        assert rows.count() >= WEEKS - 1
        shown = figure.locator(".ab-table").bounding_box()
        last = rows.last.bounding_box()
        assert last["y"] + last["height"] <= shown["y"] + shown["height"] + 1


def test_a_table_and_the_captions_are_printed_and_nothing_to_press_is(paper: tuple[Any, bool]) -> None:
    page, _ = paper
    assert page.locator("figure").nth(1).locator("td").first.is_visible()
    assert [note.is_visible() for note in page.locator(".ab-body > .ab-note").all()] == [True, True]
    pressed = page.locator("select, input, summary, .ab-sql, .headerlink, .md-header, .md-footer, .md-sidebar")
    assert [one.get_attribute("class") for one in pressed.all() if one.is_visible()] == []
