import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from reports.building.build import BuildError, build
from tests.buckets import UTF8_NAMES
from tests.messages import places
from tests.sites import fill, project, runs

BLOCKS = """
```yaml chart
type: bar
data: sessions
x: shell
y: people
title: Shells <b>
```

```yaml chart
type: number
data: sessions
y: people
name: everybody
```

```yaml chart
type: table
data: releases
people: none
```
"""


def test_every_series_is_in_the_index_with_its_definition_and_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, {"index.md": f"# Notes\n{BLOCKS}", "sub/more.md": f"# More\n{BLOCKS}"})
    people = runs(1, 30, shellName="fish") + runs(31, 42, shellName="zsh")
    fill(tmp_path / "bucket", people + runs(50, 55, shellName="RARE"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    out = build(str(tmp_path / "bucket"), None)
    found = json.loads((out / "data/index.json").read_text(encoding="utf-8"))
    assert (found["version"], found["minimum_users"]) == (1, 10)
    assert found["updated"].endswith("Z")
    series = {(one["page"], one["id"]): one for one in found["series"]}
    assert len(series) == 6
    shells = series["sub/more", "shells-b"]
    assert shells["title"] == "Shells <b>"
    assert shells["url"] == "sub/more.html#chart-shells-b"
    assert shells["columns"] == [{"name": "shell", "kind": "text"}, {"name": "people", "kind": "number"}]
    assert (shells["counts"], shells["people"], shells["empty"]) == ("runs", 50, None)
    assert "count(DISTINCT user_id) AS people" in shells["definition"]
    assert 'id="chart-shells-b"' in (out / "sub/more.html").read_text(encoding="utf-8")
    for one in series.values():
        assert all((out / file).is_file() for file in one["files"].values())
    assert series["index", "releases"]["empty"] == "no data"
    assert series["index", "releases"]["files"] == {}
    assert json.loads((out / series["index", "everybody"]["files"]["badge"]).read_text(encoding="utf-8")) == {
        "schemaVersion": 1,
        "label": "People",
        "message": "50",
        "color": "blue",
    }
    assert "RARE" not in (out / "data/index.json").read_text(encoding="utf-8")
    documented = Path(__file__).parents[2].joinpath("site/docs/charts.md").read_text(encoding="utf-8")
    assert all(f"`{member}`" in documented for member in {*found, *shells, *shells["files"], *shells["columns"][0]})


@UTF8_NAMES
def test_an_address_is_the_same_in_the_next_build_whatever_blocks_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = "```yaml chart\ntype: bar\ndata: sessions\nx: {}\ny: people\ntitle: {}\n```\n"
    number = "```yaml chart\ntype: number\ndata: sessions\ny: people\ntitle: Über alle\n```\n"
    before = chart.format("shell", "Оболочки") + chart.format("os", "Über uns") + number
    page = tmp_path / "site" / "h#ü.md"
    project(tmp_path, {"index.md": "# Notes\n", page.name: f"# Notes\n\n{before}"})
    fill(tmp_path / "bucket", runs(1, 30, shellName="fish", osName="Linux"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    found = []
    for text in (before, chart.format("arch", "シェル") + before):
        page.write_text(f"# Notes\n\n{text}", encoding="utf-8")
        out = build("bucket", None)
        series = json.loads((out / "data/index.json").read_text(encoding="utf-8"))["series"]
        found.append({one["title"]: (one["url"], one["files"]) for one in series})
        for _, files in found[-1].values():
            assert all((out / unquote(file)).is_file() for file in files.values())
        html = (out / "h#ü.html").read_text(encoding="utf-8")
        # Where earlier versions had it.
        assert 'id="chart-ber-uns"' in html
        assert (out / "data/h#ü/ber-uns.csv").is_file()
        badges = [
            json.loads((out / f"data/h#ü/{id}.badge.json").read_text(encoding="utf-8"))
            for id in ("über-alle", "ber-alle")
        ]
        assert badges[0] == badges[1] and badges[0]["message"] == "30"
        assert 'href="./data/h%23%C3%BC/%C3%BCber-uns.csv"' in html
    assert found[0].items() <= found[1].items()
    # One of the same title would take the address of another, so it has to have a name.
    page.write_text(f"# Notes\n\n{number.replace('people', 'count')}{before}", encoding="utf-8")
    with pytest.raises(BuildError) as raised:
        build("bucket", None)
    assert places(str(raised.value)) == ["site/h#ü.md:27:1"]
