import re
from datetime import UTC, datetime

from reports.building.notices import banner, freshness


def test_made_up_data_is_called_so() -> None:
    assert banner([]) == ""
    said = banner(["Cairn <b>", "B"])
    assert 'class="admonition warning ab-sample"' in said
    assert re.findall(r"Cairn &lt;b&gt;|\bB\b", said) == ["Cairn &lt;b&gt;", "B"]


def test_a_page_says_how_fresh_it_is() -> None:
    built = datetime(2026, 1, 2, 3, 4)
    times = re.compile('<time datetime="([^"]*)">')
    now = "2026-01-02T03:04:00Z"
    assert times.findall(freshness(None, built)) == []
    assert times.findall(freshness(datetime(2026, 1, 1, tzinfo=UTC), built)) == ["2026-01-01T00:00:00Z", now]
    said = freshness(built, built, [(datetime(2026, 1, 2, 3), datetime(2026, 1, 2, 4))])
    assert times.findall(said) == [now, now, "2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z"]
