"""What a reader does with a built page, in a real browser: `pytest -m browser`, with Debian's chromium installed."""

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.screenshots import SCROLL, served
from tests.test_browser import HOSTILE, Open, cairn, chromium, hostile, visit

pytestmark = pytest.mark.browser
__all__ = ["cairn", "chromium", "hostile", "visit"]

AXE = "axe-core@4.14.1"
# The first load of a page with charts, compressed, without the search index.
MOST_BYTES = 600_000
FILTERED = "figure:has(> template)"


def test_a_choice_changes_all_of_a_figure_and_its_address(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}charts.html", root)
        figure = opened.page.locator(FILTERED).first

        def state() -> tuple[str, ...]:
            opened.page.wait_for_timeout(300)
            figure.locator("svg.main-svg").first.wait_for()
            return (
                figure.locator(".ab-note").first.inner_text(), figure.locator(".ab-plot").get_attribute("aria-label"),
                figure.locator("tbody").first.text_content(), figure.locator(".lines").first.inner_html(),
            )  # fmt: skip

        figure.scroll_into_view_if_needed()
        before = state()
        figure.locator("select").select_option(label="Linux")
        after = state()
        assert all(one != other for one, other in zip(before, after, strict=True))
        assert opened.page.url.endswith(".os=Linux")
        opened.page.reload()
        figure.scroll_into_view_if_needed()
        assert state() == after
        assert figure.locator("select").input_value() != "0"
        figure.locator("select").select_option(label="Everything")
        assert state() == before
        assert "?" not in opened.page.url
        opened.behaved()


def test_without_javascript_a_figure_shows_everything_and_no_menu(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}charts.html", root, java_script_enabled=False)
        assert opened.page.locator("select, .ab-search, thead button").count() == 0
        assert opened.page.locator(f"{FILTERED} tbody tr").count() > 0


def test_hostile_values_of_a_filter_are_text_and_nothing_else(visit: Open, hostile: Path) -> None:
    with served(hostile) as root:
        opened = visit(root, root)
        figure = opened.page.locator(FILTERED).first
        options = figure.locator("option").all_text_contents()
        assert len(options) == len(HOSTILE) + 1
        for number in range(1, len(options)):
            figure.locator("select").select_option(index=number)
            opened.page.wait_for_timeout(100)
            opened.behaved()
        # An address that somebody else wrote chooses a value that is there, or none.
        for query in ("<img src=x onerror=window.pwned=9>", "__proto__", "%00", HOSTILE[0]):
            opened.page.goto(f"{root}index.html?x.shell={query}&{opened.page.url.partition('?')[2]}")
            opened.page.wait_for_timeout(100)
            opened.behaved()


def test_hostile_cells_are_sorted_and_searched_as_text(visit: Open, hostile: Path) -> None:
    with served(hostile) as root:
        opened = visit(root, root)
        table = opened.page.locator("table.ab-sort").last
        for button in table.locator("thead button").all():
            button.click()
            button.click()
        opened.page.locator(".ab-search input").last.fill("<b>")
        assert table.locator("tbody tr:visible").count() == 1
        opened.behaved()


def test_a_folded_table_is_made_sortable_when_it_is_unfolded(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}charts.html", root)
        folded = opened.page.locator("details.ab-more:has(table.ab-sort)").first
        buttons = folded.locator("table.ab-sort thead button")
        assert buttons.count() == 0
        folded.locator("summary").first.click()
        buttons.first.click()
        assert folded.locator("thead th").first.get_attribute("aria-sort")
        # A second time finds what the first made.
        folded.locator("summary").first.click()
        folded.locator("summary").first.click()
        assert buttons.count() == folded.locator("table.ab-sort thead th").count()
        opened.behaved()


def test_a_table_is_sorted_by_any_column_with_the_keyboard(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}charts.html", root)
        table = opened.page.locator("figure:has(> .ab-body > .ab-table) table.ab-sort").last
        heads = table.locator("thead th")
        people = 2

        def column(number: int) -> list[str]:
            return table.locator(f"tbody tr > :nth-child({number + 1})").all_text_contents()

        def numbers() -> list[int]:
            return [int(text.replace(",", "")) for text in column(people) if text != "\u2013"]

        heads.nth(people).locator("button").focus()
        opened.page.keyboard.press("Enter")
        assert heads.nth(people).get_attribute("aria-sort") == "descending"
        assert numbers() == sorted(numbers(), reverse=True)
        opened.page.keyboard.press("Space")
        assert heads.nth(people).get_attribute("aria-sort") == "ascending"
        assert numbers() == sorted(numbers())
        heads.nth(0).locator("button").click()
        assert heads.nth(people).get_attribute("aria-sort") is None
        assert column(0) == sorted(column(0), key=str.lower)


def test_an_injected_script_does_not_run(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(root, root)
        for inject in (
            "<script>window.ran = 1</script>", "<img src=x onerror=window.ran=2>",
            "<script src='data:,window.ran=3'></script>", "<a href='javascript:void(window.ran=4)' id=way>way</a>",
        ):  # fmt: skip
            # As a browser takes what it reads, scripts included.
            opened.page.evaluate(
                "(html) => document.body.append(document.createRange().createContextualFragment(html))", inject
            )
        opened.page.evaluate("document.querySelector('#way').click()")
        opened.page.wait_for_timeout(300)
        assert opened.page.evaluate("window.ran") is None
        assert sum("Content Security Policy" in said for said in opened.complaints) >= 4


def test_search_and_palette_work_under_the_policy(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(root, root)
        opened.page.locator("input.md-search__input").click()
        opened.page.keyboard.type("retention", delay=20)
        opened.page.locator(".md-search-result__item").first.wait_for()
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_timeout(500)
        assert opened.complaints == []


def weigh(page: Any, url: str) -> tuple[int, list[str]]:
    """Bytes of all that a page asks for until its last chart is drawn, each compressed; and what it asked for."""
    got: dict[str, int] = {}

    def count(response: Any) -> None:
        if "search" not in response.url and not response.url.startswith(("data:", "blob:")):
            got[response.url] = len(gzip.compress(response.body(), 6))

    page.on("response", count)
    page.goto(url, wait_until="networkidle")
    page.evaluate(SCROLL)
    page.wait_for_load_state("networkidle")
    return sum(got.values()), list(got)


def test_the_first_load_of_every_page_is_light(chromium: Any, cairn: Path) -> None:
    with served(cairn) as root:
        for path in sorted(cairn.rglob("*.html")):
            context = chromium.new_context()
            size, asked = weigh(context.new_page(), f"{root}{path.relative_to(cairn)}")
            context.close()
            assert size <= MOST_BYTES, (path.name, size)
            assert any("plotly" in url for url in asked) == ('class="ab-plot"' in path.read_text())


def test_charts_below_wait_until_they_come_into_view(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}charts.html", root)
        opened.page.wait_for_timeout(500)
        assert not any("plotly" in url for url in opened.asked)
        opened.page.locator(".ab-plot").first.scroll_into_view_if_needed()
        opened.page.locator(".ab-plot svg.main-svg").first.wait_for()
        drawn = opened.page.locator(".ab-plot:has(svg.main-svg)").count()
        assert 0 < drawn < opened.page.locator(".ab-plot").count()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker's script, installed by npm."""
    npm = shutil.which("npm")
    assert npm, "npm is not there; install Node (apt-get install nodejs npm)"
    directory = tmp_path_factory.mktemp("axe")
    options = ["--prefix", str(directory), "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([npm, "install", *options, AXE], check=True, stdout=subprocess.DEVNULL)
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_no_page_has_a_barrier_that_axe_finds(
    chromium: Any, cairn: Path, axe: str, width: int, scheme: str
) -> None:  # fmt: skip
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found: list[str] = []
    with served(cairn) as root:
        for path in sorted(cairn.rglob("*.html")):
            page.goto(f"{root}{path.relative_to(cairn)}")
            page.evaluate(SCROLL)
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            page.evaluate(axe)
            result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            found += [f"{path.name}: {one['id']}: {node['html'][:200]}: {node['failureSummary'][:300]}"
                      for one in result["violations"] for node in one["nodes"]]  # fmt: skip
    context.close()
    assert found == []
