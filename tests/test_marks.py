import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ingest.bucket import open_bucket
from reports import warehouse
from reports.site import Page, Site
from tests import buckets
from tests.sites import APPLICATION, MONDAY, NOW, fill, runs

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
    made = Site(warehouse.fetch(store, str(bucket), buckets.registry(APPLICATION)), now=NOW)
    yield made
    made.connection.close()


def run(site: Site, text: str) -> Page:
    site.faults.clear()
    return site.page(text, file="site/a.md", source=text, name="a", root="./")


def layout(page: Page) -> dict[str, list[dict[str, object]]]:
    (piece,) = page.pieces.values()
    made: dict[str, list[dict[str, object]]] = json.loads(re.findall(r'json">(.*?)</script>', piece)[0])["layout"]
    return made


@pytest.mark.parametrize("kind", ["line", "bar", "area"])
def test_releases_are_marked_on_an_axis_of_time_where_it_is_drawn(site: Site, kind: str) -> None:
    page = run(site, LINE.format(kind, "releases"))
    assert site.faults == []
    drawn = layout(page)
    assert [one["text"] for one in drawn["annotations"]] == ["1.3.0", "1.2.0", "1.1.0"]
    assert [one["x0"] for one in drawn["shapes"]] == [one["x"] for one in drawn["annotations"]]
    assert drawn["shapes"][-1]["x0"] == f"{MONDAY - timedelta(days=9):%Y-%m-%dT%H:%M:%S}"
    (piece,) = page.pieces.values()
    assert "Marked: 1.3.0 on 2026-02-17; 1.2.0 on 2026-02-26; 1.1.0 on 2026-03-07</p>" in piece


def test_many_marks_are_not_listed_one_by_one(site: Site) -> None:
    days = "SELECT TIMESTAMP '2026-02-15' + INTERVAL 1 DAY * n AS time, 'v' || n AS label FROM range(1, 12) AS r(n)"
    own = f"```sql own\n{days}\n```\n"
    (piece,) = run(site, own + LINE.format("line", "own")).pieces.values()
    assert site.faults == []
    assert "Marked: 11, from v1 on 2026-02-16 to v11 on 2026-02-26</p>" in piece


def test_labels_are_inert_in_the_figure_and_beside_it(site: Site) -> None:
    page = run(site, OWN + LINE.format("line", "own"))
    assert site.faults == []
    (mark,) = layout(page)["annotations"]
    assert mark["text"] == "&lt;b&gt;x&lt;/b&gt;\ufffd" + "y" * 14 + "…"
    (piece,) = page.pieces.values()
    assert "Marked: &lt;b&gt;x&lt;/b&gt;\ufffd" in piece
    assert "<b>x" not in piece


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE.format("line", "release"), 'nothing is named "release"; there are releases, applications, pipeline'),
        (LINE.format("line", "sessions"), '"sessions" is people\'s rows, and a mark would be a row of one'),
        (LINE.format("line", "pipeline"), None),
        ("```sql own\nSELECT 'x' AS a\n```\n" + LINE.format("line", "own"), '"own" has no time; SELECT a time'),
        ("```sql own\nSELECT now()::TIMESTAMP AS a\n```\n" + LINE.format("line", "own"), '"own" has no text'),
        (LINE.format("bar", "releases").replace("start_time", "shell").replace("grain: week\n", ""),
         "annotate draws on an axis of time; put a time on x"),
        (LINE.format("line", "releases").replace("line", "table"), "annotate"),
    ],
)  # fmt: skip
def test_what_cannot_be_marked_is_a_mistake(site: Site, text: str, message: str | None) -> None:
    run(site, text)
    assert len(site.faults) == (message is not None)
    assert message is None or message in str(site.faults[0])


def test_a_chart_without_data_has_no_marks(tmp_path: Path) -> None:
    empty = Site(warehouse.fetch(open_bucket(str(tmp_path)), str(tmp_path), buckets.registry(APPLICATION)), now=NOW)
    page = run(empty, LINE.format("line", "releases"))
    empty.connection.close()
    assert empty.faults == []
    assert "Marked" not in repr(page)
