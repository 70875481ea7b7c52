import json
from pathlib import Path

import pytest

from reports.plugin import build
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
    found = json.loads((out / "data/index.json").read_text())
    assert (found["version"], found["minimum_users"]) == (1, 10)
    assert found["updated"].endswith("Z")
    series = {(one["page"], one["id"]): one for one in found["series"]}
    assert len(series) == 6
    shells = series["sub/more", "shells-b"]
    assert shells["title"] == "Shells <b>"
    assert shells["url"] == "sub/more.html#chart-shells-b"
    assert shells["columns"] == [{"name": "shell", "kind": "text"}, {"name": "people", "kind": "number"}]
    assert (shells["counts"], shells["people"], shells["empty"]) == ("runs", 48, None)
    assert "count(DISTINCT user_id) AS people" in shells["definition"]
    assert 'id="chart-shells-b"' in (out / "sub/more.html").read_text()
    for one in series.values():
        assert all((out / file).is_file() for file in one["files"].values())
    assert series["index", "releases"]["empty"] == "no data"
    assert series["index", "releases"]["files"] == {}
    assert json.loads((out / series["index", "everybody"]["files"]["badge"]).read_text()) == {
        "schemaVersion": 1,
        "label": "People",
        "message": "48",
        "color": "blue",
    }
    assert "RARE" not in (out / "data/index.json").read_text()
