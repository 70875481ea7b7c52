import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ingest.function.bucket_url import open_bucket
from reports.charts.html import linked
from reports.pages.site import Page, Site
from tests.messages import mentions
from tests.sites import MONDAY, figures, fill, runs, site_of, source

LINE = "```yaml chart\ntype: {}\ndata: sessions\nx: start_time\ny: count\ngrain: week\nannotate: {}\n```\n"
OWN = "```sql own\nSELECT TIMESTAMP '2026-03-04' AS day, '<b>x</b>' || '\u202e' || repeat('y', 99) AS what\n```\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bucket = tmp_path_factory.mktemp("marks") / "bucket"
    for weeks in range(5):
        fill(bucket, runs(1, 30, shellName="fish", start=MONDAY - timedelta(days=3 + 7 * weeks)))
    store = open_bucket(str(bucket))
    releases = [
        {"version": f"1.{number}.0", "released": f"{MONDAY - timedelta(days=9 * number):%Y-%m-%dT%H:%M:%SZ}"}
        for number in range(8)
    ]
    store.put("releases/notes.json", json.dumps(releases).encode())
    with site_of(bucket) as made:
        yield made


def run(site: Site, text: str) -> Page:
    site.faults.clear()
    return site.page(source(text))


def layout(page: Page) -> dict[str, list[dict[str, object]]]:
    (piece,) = figures(page)
    made: dict[str, list[dict[str, object]]] = json.loads(re.findall(r'json">(.*?)</script>', piece)[0])["layout"]
    return made


def marked(page: Page) -> str:
    """The words below the figure for what is marked in it."""
    (said,) = re.findall('<p class="ab-note ab-marks">(.*?)</p>', linked("".join(figures(page)), lambda *_: None))
    return str(said)


@pytest.mark.parametrize("kind", ["line", "bar", "area"])
def test_releases_are_marked_on_an_axis_of_time_where_it_is_drawn(site: Site, kind: str) -> None:
    page = run(site, LINE.format(kind, "releases"))
    assert site.faults == []
    drawn = layout(page)
    assert [one["text"] for one in drawn["annotations"]] == ["1.3.0", "1.2.0", "1.1.0"]
    assert [one["x0"] for one in drawn["shapes"]] == [one["x"] for one in drawn["annotations"]]
    assert drawn["shapes"][-1]["x0"] == f"{MONDAY - timedelta(days=9):%Y-%m-%dT%H:%M:%S}"
    assert re.findall(r"\d[\d.-]+", marked(page)) == [
        "1.3.0", "2026-02-17", "1.2.0", "2026-02-26", "1.1.0", "2026-03-07",
    ]  # fmt: skip


def test_a_mark_leads_to_the_page_of_its_version_where_there_is_one(site: Site) -> None:
    pages = {("application_version", "1.2.0"): "version-1.2.0.html"}
    (figure,) = figures(run(site, LINE.format("line", "releases")))
    made = linked(figure, lambda *value: pages.get(value))
    assert re.findall('<a href="(version[^"]*)">([^<]*)</a>', made) == [("version-1.2.0.html", "1.2.0")]
    # Of many, those that are not listed are kept for the script.
    days = "SELECT TIMESTAMP '2026-02-15' + INTERVAL 1 DAY * n AS time, 'v' || n AS version FROM range(1, 12) AS r(n)"
    (figure,) = figures(run(site, f"```sql own\n{days}\n```\n" + LINE.format("line", "own")))
    made = linked(figure, lambda column, value: f"{column}-{value}.html" if value == "v5" else None)
    assert re.findall('<a href="(version[^"]*)">([^<]*)</a>', made) == [("version-v5.html", "v5")]


def test_many_marks_are_not_listed_one_by_one(site: Site) -> None:
    days = "SELECT TIMESTAMP '2026-02-15' + INTERVAL 1 DAY * n AS time, 'v' || n AS label FROM range(1, 12) AS r(n)"
    own = f"```sql own\n{days}\n```\n"
    said = marked(run(site, own + LINE.format("line", "own")))
    assert site.faults == []
    assert re.findall(r"v?\d[\d-]*", said) == ["11", "v1", "2026-02-16", "v11", "2026-02-26"]


def test_labels_are_inert_in_the_figure_and_beside_it(site: Site) -> None:
    page = run(site, OWN + LINE.format("line", "own"))
    assert site.faults == []
    (mark,) = layout(page)["annotations"]
    assert mark["text"] == "&lt;b&gt;x&lt;/b&gt;\ufffd" + "y" * 14 + "…"
    assert "&lt;b&gt;x&lt;/b&gt;\ufffd" in marked(page)
    assert "<b>x" not in "".join(figures(page))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (LINE.format("line", "release"), ("release", "releases", "applications", "pipeline")),
        (LINE.format("line", "sessions"), ("sessions", "releases")),
        (LINE.format("line", "pipeline"), None),
        ("```sql own\nSELECT 'x' AS a\n```\n" + LINE.format("line", "own"), ("own", "time")),
        ("```sql own\nSELECT now()::TIMESTAMP AS a\n```\n" + LINE.format("line", "own"), ("own", "text")),
        (LINE.format("bar", "releases").replace("start_time", "shell").replace("grain: week\n", ""),
         ("annotate", "time", "x")),
        (LINE.format("line", "releases").replace("line", "table"), ("annotate",)),
    ],
)  # fmt: skip
def test_what_cannot_be_marked_is_a_mistake(site: Site, text: str, named: tuple[str, ...] | None) -> None:
    run(site, text)
    assert len(site.faults) == (named is not None)
    assert all(mentions(fault.message, *(named or ())) for fault in site.faults), site.faults
    assert all(fault.line == 1 + text[: text.index("annotate")].count("\n") for fault in site.faults), site.faults


def test_a_chart_without_data_has_no_marks(tmp_path: Path) -> None:
    with site_of(tmp_path) as empty:
        page = run(empty, LINE.format("line", "releases"))
    assert empty.faults == []
    assert "Marked" not in repr(page)
