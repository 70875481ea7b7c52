"""Built pages in a real browser: `pytest -m browser`, with Debian's chromium installed."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.building.build import build
from reports.sample import cairn_sessions
from reports.storage.releases import keep
from tests.screenshots import browser, served
from tests.sites import fill, project, runs
from tests.waiting import PATIENCE

pytestmark = pytest.mark.browser

AXE = "axe-core@4.14.1"
ROOT = Path(__file__).parents[2]
HOSTILE = [
    "</script><script>window.pwned=1;alert(1)</script>",
    "<img src=x onerror=window.pwned=2>",
    '"><svg onload=window.pwned=3>',
    '<a href="https://example.com/" onmouseover="window.pwned=4">link</a>',
    "<b>bold</b><br><i>it</i>",
    "%{customdata}%{x}<extra>",
    "&lt;b&gt;not bold&lt;/b&gt;",
    "javascript:alert(1)",
    "[x](javascript:alert(1)) | a | b |",
    "=HYPERLINK(\"https://example.com\")",
    "\u202eright to left",
    "x" * 4_096,
    "`code` *em* # title {{ config }}",
]  # fmt: skip
PAGES = {
    "index.md": """
# Hostile

```yaml chart
type: bar
data: sessions
x: shell
y: people
limit: 50
title: 'Bars </script><img src=x onerror=window.pwned=5>'
```

```yaml chart
type: line
data: sessions
x: start_time
y: people
color: shell
limit: 50
grain: week
```

FILTERS
```yaml chart
type: area
data: sessions
x: start_time
y: count
color: shell
limit: 50
grain: week
```

```yaml chart
type: bar
data: sessions
x: shell
y: count
color: os
limit: 50
```

```yaml chart
type: heatmap
data: sessions
x: shell
rows: os
y: count
limit: 50
title: Heat
```

```yaml chart
type: share
data: sessions
x: start_time
color: shell
limit: 50
grain: week
```

```yaml chart
type: table
data: sessions
x: shell
y: [count, people]
limit: 50
```
""",
    "plain.md": "# Plain\n\nNo chart here.\n",
}
# A filter has six choices at most, so three of them show all hostile values.
PARTS = range(3)
PAGES["index.md"] = PAGES["index.md"].replace(
    "FILTERS",
    "\n".join(
        f"```sql part_{part}\nSELECT user_id, os, shell FROM sessions\nWHERE length(shell) % {len(PARTS)} = {part}\n"
        "```\n\n"
        f"```yaml chart\ntype: bar\ndata: part_{part}\nx: os\ny: people\nfilter: shell\ntitle: Part {part}\n```\n"
        for part in PARTS
    ),
)
# All that a figure may be made of: ours, and what Plotly draws with.
OURS = {
    "figure", "figcaption", "a", "p", "div", "script", "noscript", "details", "summary", "table", "thead", "tbody",
    "tr", "th", "td", "pre", "code", "time", "span", "button", "input", "label", "select", "option", "optgroup",
    "template",
}  # fmt: skip
SVG = {
    "svg", "g", "path", "text", "tspan", "rect", "image", "line", "polyline", "stop", "lineargradient", "defs",
    "clippath", "use", "circle", "style",
}  # fmt: skip


class Visit:
    """A page that is open, with everything that it did."""

    def __init__(self, page: Any, url: str, root: str) -> None:
        self.page, self.url, self.root = page, url, root
        page.set_default_timeout(PATIENCE * 1000)
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> None:
        self.page.goto(self.url, wait_until="load")

    def draw(self) -> int:
        """Unfolds what is folded and scrolls through the page until each chart is drawn; how many there are."""
        self.page.evaluate("document.querySelectorAll('details.note').forEach((one) => { one.open = true; })")
        plots = self.page.locator(".ab-plot")
        for number in range(plots.count()):
            plots.nth(number).scroll_into_view_if_needed()
            plots.nth(number).locator("svg.main-svg").first.wait_for()
        return int(plots.count())

    def behaved(self) -> None:
        assert self.dialogs == []
        assert self.complaints == []
        assert self.page.evaluate("window.pwned") is None
        # A chart that is drawn again may ask for a picture in data: or blob:, which leave nothing.
        away = [url for url in self.asked if not url.startswith((self.root, "data:", "blob:"))]
        assert away == []


@contextmanager
def built(directory: Path, bucket: Path, applications: Path, out: Path) -> Iterator[Path]:
    before = Path.cwd(), os.environ.get("ABACULUS_APPLICATIONS")
    os.chdir(directory)
    os.environ["ABACULUS_APPLICATIONS"] = str(applications)
    try:
        yield build(str(bucket), out)
    finally:
        os.chdir(before[0])
        os.environ.pop("ABACULUS_APPLICATIONS")
        if before[1] is not None:
            os.environ["ABACULUS_APPLICATIONS"] = before[1]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = project(tmp_path_factory.mktemp("hostile") / "project", PAGES)
    made = [
        run
        for number, label in enumerate(HOSTILE)
        for week in (datetime(2026, 1, 7, tzinfo=UTC), datetime(2026, 1, 14, tzinfo=UTC))
        for run in runs(number * 20, number * 20 + 11 + number, shellName=label, osName="Linux", start=week)
    ]
    fill(directory / "bucket", made)
    with built(directory, directory / "bucket", directory / "applications", directory / "out") as out:
        yield out


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pages of this project over generated sessions."""
    directory = tmp_path_factory.mktemp("cairn")
    applications = ROOT / "ingest" / "applications"
    fill(
        directory / "bucket",
        cairn_sessions.sessions(4_000, users=600, end=datetime.now(UTC)),
        registry.load(applications),
    )
    with built(ROOT, directory / "bucket", applications, directory / "out") as out:
        yield out


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


Open = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    contexts: list[Any] = []

    def open(url: str, root: str, **more: Any) -> Visit:
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **more}))
        made = Visit(contexts[-1].new_page(), url, root)
        made.open()
        return made

    yield open
    for context in contexts:
        context.close()


@pytest.mark.parametrize("javascript", [True, False])
def test_hostile_labels_are_text_and_nothing_else(visit: Open, hostile: Path, javascript: bool) -> None:
    with served(hostile) as root:
        opened = visit(root, root, java_script_enabled=javascript)
        if javascript:
            assert opened.draw() == 9
            for box in opened.page.locator(".ab-plot").all():
                box.scroll_into_view_if_needed()
                for share in (0.3, 0.5, 0.7):
                    place = box.bounding_box()
                    opened.page.mouse.move(place["x"] + place["width"] * share, place["y"] + place["height"] * share)
                    opened.page.wait_for_timeout(80)
            opened.behaved()
            names = set(opened.page.evaluate(
                "[...document.querySelectorAll('figure *')].map((one) => one.tagName.toLowerCase())"
            ))  # fmt: skip
            assert names <= OURS | SVG
            links = opened.page.evaluate(
                "[...document.querySelectorAll('figure a, figure svg a')].map((one) => one.href)"
            )
            assert all(link.startswith(root) for link in links)
        rows = opened.page.locator("figure table").last.locator("tbody th").all_text_contents()
        for label in ("<b>bold</b><br><i>it</i>", "%{customdata}%{x}<extra>", "&lt;b&gt;not bold&lt;/b&gt;"):
            assert label in rows


def test_hostile_labels_are_shown_as_they_are_in_a_chart(visit: Open, hostile: Path) -> None:
    with served(hostile) as root:
        opened = visit(root, root)
        opened.draw()
        ticks = opened.page.locator(".ab-plot").first.locator(".ytick text").all_text_contents()
        assert "<b>bold</b><br><i>it</i>" in ticks
        assert "&lt;b&gt;not bold&lt;/b…" in ticks
        legend = opened.page.locator(".ab-plot").nth(1).locator(".legendtext").all_text_contents()
        assert "%{customdata}%{x}<extra>" in legend


def test_the_legend_of_a_chart_cannot_be_wider_than_the_page(visit: Open, hostile: Path) -> None:
    with served(hostile) as root:
        opened = visit(root, root, viewport={"width": 390, "height": 800})
        opened.draw()
        assert opened.page.evaluate("document.scrollingElement.scrollWidth") <= 390


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker's script, installed by npm."""
    npm = shutil.which("npm")
    assert npm, "npm is not there; install Node (apt-get install nodejs npm)"
    directory = tmp_path_factory.mktemp("axe")
    options = ["--prefix", str(directory), "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([npm, "install", *options, AXE], check=True, stdout=subprocess.DEVNULL)
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_page_draws_its_charts_asks_nobody_else_fits_the_screen_and_has_no_barrier(
    chromium: Any, cairn: Path, axe: str, width: int, scheme: str
) -> None:
    # One visit for all of it: most of the time goes into drawing.
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    barriers: list[str] = []
    with served(cairn) as root:
        for path in sorted(cairn.rglob("*.html")):
            opened = Visit(context.new_page(), f"{root}{path.relative_to(cairn)}", root)
            opened.open()
            drawn = opened.draw()
            # What a filter would show waits in a template.
            there = re.sub(r"<template.*?</template>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            assert drawn == there.count('class="ab-plot"'), path.name
            opened.behaved()
            assert any("plotly" in url for url in opened.asked) == bool(drawn), path.name
            opened.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert opened.page.evaluate("document.scrollingElement.scrollWidth") <= width, path.name
            # On a wide screen no table is cut; on a phone it scrolls.
            cut = "(tables) => tables.filter((one) => one.scrollWidth > one.clientWidth + 1).length"
            assert width < 1000 or opened.page.locator(".ab-table").evaluate_all(cut) == 0, path.name
            # Bars have room beside their names.
            for plot in opened.page.locator(".ab-plot .plot").all():
                box = plot.bounding_box()
                assert box is None or box["width"] > width * 0.2, path.name
            opened.page.evaluate(axe)
            result = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            barriers += [
                f"{path.name}: {one['id']}: {node['html'][:200]}: {node['failureSummary'][:300]}"
                for one in result["violations"]
                for node in one["nodes"]
            ]
            opened.page.close()
    context.close()
    assert barriers == []


def test_charts_follow_the_palette(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}overview.html", root, color_scheme="light")
        opened.draw()
        color = "getComputedStyle(document.querySelector('.ab-plot .xtick text')).fill"
        light = opened.page.evaluate(color)
        opened.page.locator("label[title='Switch to dark']").click()
        opened.page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
        opened.page.wait_for_function(f"{color} !== {light!r}")
        dark = opened.page.evaluate(color)
        opened.page.locator("label[title='Switch to light']").click()
        opened.page.wait_for_function(f"{color} === {light!r}")
        assert dark != light
        opened.behaved()


def test_a_page_opened_from_a_file_works(visit: Open, cairn: Path) -> None:
    opened = visit((cairn / "overview.html").as_uri(), "file://")
    assert opened.draw() > 0
    # The search index cannot be fetched from a file; everything else must not complain.
    assert [
        said for said in opened.complaints if "search" not in said and "CORS" not in said and "ERR_FAILED" not in said
    ] == []
    assert not [url for url in opened.asked if url.startswith("http")]


def test_downloads_of_a_page_are_there(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}failures.html", root)
        links = opened.page.evaluate("[...document.querySelectorAll('.ab-more a[download]')].map((one) => one.href)")
        assert links
        for link in links:
            assert opened.page.request.get(link).ok, link


def test_the_link_of_a_block_leads_to_it(visit: Open, cairn: Path) -> None:
    with served(cairn) as root:
        opened = visit(f"{root}failures.html", root)
        ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))
        for link in opened.page.locator("figcaption a.headerlink").all():
            assert link.get_attribute("href").removeprefix("#") in ids


TABS = """
# Tabs

=== "First"

    ```yaml chart
    type: bar
    data: sessions
    x: shell
    y: people
    title: First
    ```

=== "Second"

    ```yaml chart
    type: line
    data: sessions
    x: start_time
    y: people
    color: os
    grain: week
    title: Second
    filter: shell
    ```
"""


@pytest.fixture(scope="module")
def instant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pages with tabs, of a project that has switched instant navigation on."""
    pages = {"index.md": TABS, "other.md": PAGES["index.md"], "plain.md": PAGES["plain.md"]}
    directory = project(tmp_path_factory.mktemp("instant") / "project", pages)
    settings = directory / "mkdocs.yml"
    features = "theme: {name: material, font: false, features: [navigation.instant, navigation.instant.prefetch]"
    dark = "{scheme: slate, toggle: {icon: material/weather-sunny, name: Light}}"
    palette = f"palette: [{{scheme: default, toggle: {{icon: material/weather-night, name: Dark}}}}, {dark}]"
    text = settings.read_text(encoding="utf-8").replace("theme: {name: material, font: false", f"{features}, {palette}")
    # Instant navigation takes the pages that the map of the site lists, which needs an address.
    settings.write_text(f"site_url: https://example.com/\n{text}", encoding="utf-8")
    made = [
        run
        for number, label in enumerate(["bash", "fish", "zsh"])
        for week in (datetime(2026, 1, 7, tzinfo=UTC), datetime(2026, 1, 14, tzinfo=UTC))
        for run in runs(number * 20, number * 20 + 11 + number, shellName=label, osName="Linux", start=week)
    ]
    fill(directory / "bucket", made)
    with built(directory, directory / "bucket", directory / "applications", directory / "out") as out:
        yield out


MARKED = """---
filter: os
---

# Marked

```yaml chart
type: number
data: sessions
y: people
name: everybody
```

```yaml chart
type: line
data: sessions
x: start_time
y: people
grain: week
annotate: releases
title: "{{ everybody.people }} people"
```
"""
VERSION = (
    "---\nfor: SELECT version AS application_version FROM releases WHERE version <> '1.0.0'\n---\n\n# One version\n"
)


def test_a_mark_leads_to_its_page_and_a_title_says_what_is_chosen(visit: Open, tmp_path: Path) -> None:
    directory = project(tmp_path / "project", {"index.md": MARKED, "version.md": VERSION})
    weeks = [datetime(2026, 1, 7, tzinfo=UTC) + timedelta(weeks=number) for number in range(6)]
    fill(directory / "bucket", [run for week in weeks for run in runs(1, 20, osName="Linux", start=week)])
    fill(directory / "bucket", [run for week in weeks for run in runs(21, 40, osName="macOS", start=week)])
    dates = [{"version": f"1.{n}.0", "released": f"{weeks[2 * n]:%Y-%m-%dT%H:%M:%SZ}"} for n in (0, 1)]
    keep(open_bucket(str(directory / "bucket")), "notes", dates)
    with (
        built(directory, directory / "bucket", directory / "applications", directory / "out") as out,
        served(out) as root,
    ):
        opened = visit(root, root)
        plot = opened.page.locator(".ab-plot")
        plot.locator("svg.main-svg").first.wait_for()
        links = plot.locator("svg a")
        assert {one.get_attribute("xlink:href") for one in links.all()} == {"version-1.1.0.html"}
        assert plot.get_by_text("1.0.0").count() == 1
        title = opened.page.locator("figure:has(.ab-plot) figcaption")
        assert title.inner_text().startswith("40 people")
        opened.page.locator(".ab-filter select").select_option(label="macOS")
        assert "40" not in title.inner_text()
        opened.page.locator(".ab-filter select").select_option(label="Everything")
        assert title.inner_text().startswith("40 people")
        plot.locator("svg.main-svg").first.wait_for()
        opened.page.locator(".ab-plot svg a").last.click()
        opened.page.wait_for_url(f"{root}version-1.1.0.html")
        opened.behaved()


def test_a_chart_in_a_hidden_tab_is_drawn_when_it_is_shown_as_wide_as_the_others(visit: Open, instant: Path) -> None:
    with served(instant) as root:
        opened = visit(root, root)
        plots = opened.page.locator(".ab-plot")
        plots.first.locator("svg.main-svg").first.wait_for()
        assert plots.nth(1).locator("svg").count() == 0
        opened.page.locator(".tabbed-labels label", has_text="Second").click()
        plots.nth(1).locator("svg.main-svg").first.wait_for()
        width = opened.page.evaluate("document.querySelector('.tabbed-block:nth-child(2)').clientWidth")
        assert plots.nth(1).locator("svg.main-svg").first.bounding_box()["width"] == pytest.approx(width, abs=2)
        opened.behaved()


def test_a_chart_is_drawn_anew_for_its_width_and_palette_while_it_is_hidden(visit: Open, instant: Path) -> None:
    with served(instant) as root:
        opened = visit(root, root)
        first = opened.page.locator(".ab-plot").first
        first.locator("svg.main-svg").first.wait_for()
        opened.page.locator(".tabbed-labels label", has_text="Second").click()
        opened.page.locator("label[title='Dark']").click()
        opened.page.set_viewport_size({"width": 500, "height": 900})
        opened.page.locator(".tabbed-labels label", has_text="First").click()
        width = "document.querySelector('.ab-plot').clientWidth"
        drawn = "document.querySelector('.ab-plot svg.main-svg').clientWidth"
        opened.page.wait_for_function(f"{width} && Math.abs({drawn} - {width}) < 2")
        color = "getComputedStyle(document.querySelector('.ab-plot .xtick text')).fill"
        page = "getComputedStyle(document.body).getPropertyValue('--md-default-fg-color')"
        opened.page.wait_for_function(f"CSS.supports('color', {page}) && {color} !== 'rgba(0, 0, 0, 0.87)'")
        opened.behaved()


def test_a_page_that_comes_by_instant_navigation_is_as_one_that_was_loaded(visit: Open, instant: Path) -> None:
    with served(instant) as root:
        # Pages are known by the addresses in the map of the site: those under which they are served here.
        map = instant / "sitemap.xml"
        map.write_text(map.read_text(encoding="utf-8").replace("https://example.com/", root), encoding="utf-8")
        opened = visit(f"{root}index.html", root)
        opened.page.evaluate("window.stayed = true")
        opened.page.wait_for_load_state("networkidle")
        opened.page.locator(".md-nav--primary a", has_text="Hostile").click()
        opened.page.locator("h1", has_text="Hostile").wait_for()
        assert opened.page.evaluate("window.stayed")
        assert opened.draw() == 8  # no shell here is in the last part
        opened.page.locator(".ab-filter select").nth(1).select_option(label="fish")
        opened.page.locator(".ab-said", has_text="only fish").wait_for()
        table = opened.page.locator("figure table").last
        table.locator("thead button").nth(1).click()
        assert table.locator("th[aria-sort]").count() == 1
        opened.page.go_back()
        opened.page.locator("h1", has_text="Tabs").wait_for()
        opened.page.locator(".ab-plot svg.main-svg").first.wait_for()
        opened.behaved()
