"""What a reader does with a built page, in a real browser: `pytest -m browser`, with Debian's chromium installed."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from tests.screenshots import SCROLL, served
from tests.site.test_browser import HOSTILE, Open, cairn, chromium, hostile, visit
from tests.waiting import until

pytestmark = pytest.mark.browser
__all__ = ["cairn", "chromium", "hostile", "visit"]

# The first load of a page with charts, compressed, without the search index.
MOST_BYTES = 650_000
FILTERED = "figure:has(> template)"


def test_a_choice_changes_all_of_a_figure_and_its_address(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}docs/charts.html", root)
        figure = opened.page.locator(FILTERED).first

        def look() -> tuple[str, ...]:
            figure.locator("svg.main-svg").first.wait_for()
            return (
                figure.locator(".ab-note").first.inner_text(), figure.locator(".ab-plot").get_attribute("aria-label"),
                figure.locator("tbody").first.text_content(), figure.locator(".lines").first.inner_html(),
            )  # fmt: skip

        def settled() -> tuple[str, ...]:
            looks = [look()]
            while len(looks) < 2 or looks[-1] != looks[-2]:
                opened.page.wait_for_timeout(300)
                looks.append(look())
            return looks[-1]

        figure.scroll_into_view_if_needed()
        before = settled()
        figure.locator("select").select_option(label="Linux")
        until(lambda: all(one != other for one, other in zip(before, look(), strict=True)))
        after = settled()
        assert opened.page.url.endswith(".os=Linux")
        opened.page.reload()
        figure.scroll_into_view_if_needed()
        until(lambda: look() == after)
        assert figure.locator("select").input_value() != "0"
        figure.locator("select").select_option(label="Everything")
        until(lambda: look() == before)
        assert "?" not in opened.page.url
        opened.behaved()


def test_without_javascript_a_figure_shows_everything_and_no_menu(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}docs/charts.html", root, java_script_enabled=False)
        assert opened.page.locator("select, .ab-search, thead button").count() == 0
        # The table is open, and nothing stands where a chart would be.
        drawn = "figure:has(.ab-plot)"
        assert opened.page.locator(f"{drawn} .ab-numbers table").evaluate_all(
            "(tables) => tables.every((table) => table.checkVisibility())"
        )
        assert not any(plot.is_visible() for plot in opened.page.locator(".ab-plot").all())


def test_hostile_values_of_a_filter_are_text_and_nothing_else(visit: Open, hostile: Path) -> None:
    with served(hostile) as root:
        opened = visit(root, root)
        tried = 0
        for figure in opened.page.locator(FILTERED).all():
            for number in range(1, figure.locator("option").count()):
                figure.locator("select").select_option(index=number)
                opened.page.wait_for_timeout(100)
                opened.behaved()
                tried += 1
        assert tried == len(HOSTILE)
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
        opened = visit(f"{root}docs/charts.html", root)
        folded = opened.page.locator("figure:has(> .ab-numbers)").first
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
        opened = visit(f"{root}docs/charts.html", root)
        table = opened.page.locator("figure:has(> .ab-body > .ab-table) table.ab-sort").last
        heads = table.locator("thead th")
        people = heads.all_text_contents().index(next(one for one in heads.all_text_contents() if "People" in one))

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


def test_on_a_slow_line_the_table_is_there_before_the_chart(chromium: Any, cairn: Path) -> None:
    context = chromium.new_context()
    with served(cairn) as root:
        page = context.new_page()
        page.clock.install()
        page.route("**/plotly.min.js", lambda route: None)
        page.goto(f"{root}docs/charts.html")
        figure = page.locator("figure:has(.ab-plot)").first
        with page.expect_request("**/plotly.min.js"):
            figure.scroll_into_view_if_needed()
        assert not figure.locator(".ab-numbers").is_visible()
        page.clock.fast_forward(4_000)
        figure.locator(".ab-numbers td").first.wait_for()
        # What waits says so, and takes no more room than its words.
        assert 0 < figure.locator(".ab-plot").bounding_box()["height"] < 100
    context.close()


def test_a_thumb_on_a_chart_scrolls_the_page(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
        opened = visit(f"{root}docs/charts.html", root, **phone)
        plot = opened.page.locator(".ab-plot").first
        plot.scroll_into_view_if_needed()
        plot.locator("svg.main-svg").first.wait_for()
        box, before = plot.bounding_box(), opened.page.evaluate("scrollY")
        touch = opened.page.context.new_cdp_session(opened.page)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind, points in [("Start", [y]), *(("Move", [y - 20 * step]) for step in range(1, 8)), ("End", [])]:
            touch.send(
                "Input.dispatchTouchEvent",
                {"type": f"touch{kind}", "touchPoints": [{"x": x, "y": at} for at in points]},
            )
        opened.page.wait_for_function(f"scrollY > {before} + 80")


def test_arrow_keys_say_a_point_with_its_period(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}docs/charts.html", root)
        for kind, *keys in (("Line chart", "End"), ("Heat map", "Home", *["ArrowRight"] * 20)):
            plot = opened.page.locator(f".ab-plot[aria-label^='{kind}']").first
            plot.scroll_into_view_if_needed()
            plot.locator("svg.main-svg").first.wait_for()
            plot.focus()
            said = plot.locator("+ [aria-live]")
            rows = plot.locator("xpath=ancestor::figure").locator(".ab-numbers tbody tr")
            shown = [row.locator("th, td").all_text_contents() for row in rows.all()]
            heard = []
            for key in keys:
                opened.page.keyboard.press(key)
                said.filter(has_text=re.compile(r"\d")).wait_for(state="attached")
                heard.append(said.text_content())
            # A cell that is not shown has no row.
            assert any(all(cell in text for cell in row) for row in shown for text in heard), heard
        opened.behaved()


def luminance(color: str) -> float:
    """Of a colour as the browser computes it, by WCAG's formula."""
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", color)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_at_the_ends_of_lines_can_be_read_also_in_colors_of_the_readers_own(
    visit: Open, cairn: Path, scheme: str
) -> None:
    fills = "(names) => names.map((name) => getComputedStyle(name).fill)"
    with served(cairn) as root:
        opened = visit(f"{root}docs/charts.html", root, color_scheme=scheme)
        plot = opened.page.locator(".ab-plot").first
        plot.scroll_into_view_if_needed()
        plot.locator(".annotation-text").first.wait_for()
        page = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        for color in plot.locator(".annotation-text").evaluate_all(fills):
            less, more = sorted([luminance(color), luminance(page)])
            assert (more + 0.05) / (less + 0.05) >= 4.5, color
        opened.page.emulate_media(forced_colors="active")
        text = opened.page.evaluate("getComputedStyle(document.body).color")
        opened.page.wait_for_function(
            f"getComputedStyle(document.querySelector('.ab-plot .xtick text')).fill === {text!r}"
        )


def test_an_injected_script_does_not_run(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}overview.html", root)
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
        opened = visit(f"{root}overview.html", root)
        opened.page.wait_for_load_state("networkidle")
        assert not any("search_index" in url for url in opened.asked)
        opened.page.locator("input.md-search__input").click()
        opened.page.keyboard.type("retention", delay=20)
        opened.page.locator(".md-search-result__item").first.wait_for()
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_timeout(500)
        assert sum("search_index" in url for url in opened.asked) >= 1
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


def test_the_first_load_of_the_heaviest_pages_is_light(chromium: Any, cairn: Path) -> None:
    with served(cairn) as root:
        # All else that a page loads is the same for all of them.
        for path in sorted(cairn.rglob("*.html"), key=lambda path: len(gzip.compress(path.read_bytes())))[-3:]:
            context = chromium.new_context()
            size, asked = weigh(context.new_page(), f"{root}{path.relative_to(cairn)}")
            context.close()
            assert any("plotly" in url for url in asked), path.name
            assert size <= MOST_BYTES, (path.name, size)


def test_charts_below_wait_until_they_come_into_view(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}docs/charts.html", root)
        opened.page.wait_for_timeout(500)
        assert not any("plotly" in url for url in opened.asked)
        opened.page.locator(".ab-plot").first.scroll_into_view_if_needed()
        opened.page.locator(".ab-plot svg.main-svg").first.wait_for()
        drawn = opened.page.locator(".ab-plot:has(svg.main-svg)").count()
        assert 0 < drawn < opened.page.locator(".ab-plot").count()
