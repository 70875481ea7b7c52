"""Pages that went wrong once. A check finds exactly what a build finds."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from textwrap import indent

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.building.build import BuildError, build, check
from tests.attack import examples
from tests.sites import APPLICATION, fill, project, runs

CHART = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells\nname: systems\n```\n"
ORDERED = "```sql q\nSELECT user_id, shell FROM sessions ORDER BY shell\n```\n" + CHART.replace(
    "sessions", "q\norder: query"
)
FUNNEL = (
    "```sql q\nSELECT user_id, false AS a, false AS b FROM sessions\n```\n"
    "```yaml chart\ntype: funnel\ndata: q\nsteps:\n  A: a\n  B: b\n```\n"
)
P14 = (
    CHART.replace("\nx", "\n\tx") + CHART.replace(": shell", ":\xa0shell")
    + CHART.replace("y: people", "y: {count: people}").replace("systems", "other")
    + '```sql q\nSELECT user_id FROM sessions WHERE shell = "fish"\n```\n'
    + CHART.replace(": sessions", ": below").replace("systems", "last") + "```sql below\nFROM sessions\n```\n"
)  # fmt: skip
COUNT = """
[attributes.count]
type = "string"
publish = true
why = "A name that a measure has, too"
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "bucket"
    fill(path, runs(1, 30, shellName="fish") + runs(31, 50, shellName="zsh") + runs(51, 70, shellName=""))
    return path


def site(directory: Path, monkeypatch: pytest.MonkeyPatch, pages: Mapping[str, str], **more: str) -> None:
    project(directory, pages, **more)  # type: ignore[arg-type]
    monkeypatch.chdir(directory)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(directory / "applications"))


@pytest.mark.parametrize(
    ("page", "codes"),
    [
        ("---\ntitle: Gofmtish: only its numbers\napplication: gofmtish\n---\n# P1\n", ["front-matter"]),
        ("---\napplication: gofmtish\n---\n# P1\n", ["page-application"]),
        (f"# P3\n\n[the chart](#chart-systems)\n\n{CHART}", []),
        (f"# P3\n\n[the chart](#chart-system)\n\n{CHART}", ["anchor-not-found"]),
        ("# P6\n\n" + CHART.replace("yaml chart", "yaml charts"), []),
        ("# P2\n\n- item\n  wrapped\n\n" + indent(CHART, "    "), []),
        ("# P10\n\n" + CHART.replace("Shells", "S" * 300).replace("name: systems\n", ""), []),
        ("# P12\n\n" + ORDERED, []),
        ("# P13\n\n" + FUNNEL, []),
        ("# P14\n\n" + CHART.replace("Shells", "Shells: which?"), ["chart-title"]),
        ("# P14\n\n" + P14, ["chart-data", "chart-x", "chart-x", "chart-y", "query"]),
        ("# Link\n\n[x](nowhere.md)\n\n```sql q\nSELECT\n```\n", ["link-not-found", "query"]),
        ("# Open\n\n```yaml chart\ntype: bar\n", ["block-not-closed"]),
        ("<!-- abaculus: nothing -->\n", ["unknown-part"]),
    ],
)
def test_a_check_finds_what_a_build_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: Path, page: str, codes: list[str]
) -> None:
    site(tmp_path, monkeypatch, {"index.md": page})
    before = sorted(tmp_path.rglob("*"))
    checked = check(str(bucket))
    assert sorted(tmp_path.rglob("*")) == before
    assert sorted(fault.code for fault in checked.faults) == codes
    if not codes:
        assert (build(str(bucket), None) / "index.html").is_file()
        return
    with pytest.raises(BuildError) as raised:
        build(str(bucket), None)
    assert raised.value.found.faults == checked.faults


# What may stand on a page in any order, and what is a mistake wherever it stands.
SOUND = [
    CHART.replace("name: systems\n", ""),
    "- item\n  wrapped\n\n" + indent(CHART.replace("name: systems\n", ""), "    "),
    "!!! note\n\n" + indent(CHART.replace("Shells\nname: systems", "Others\nlimit: 1"), "    "),
    "```sql\nSELECT nothing\n```\n",
    "<!-- abaculus: pipeline -->\n",
    "> quoted `{{ a.b }}`\n",
    "[x](index.md) and [y](https://example.org/#x)\n",
    '=== "Tab"\n\n    words\n',
    "\N{WOMAN}\u200d\N{PERSONAL COMPUTER} <b>bold</b>\n",
]
WRONG = [
    CHART.replace("name: systems\n", "").replace("x: shell", "x: shel"),
    "1. item\n\n" + indent(CHART.replace("name: systems\n", "colour: os\n"), "    "),
    "```sql wrong\nSELECT user_id, oss FROM sessions\n```\n",
    "[x](nowhere.md)\n",
    "[x](#nowhere)\n",
    "Most use {{ nothing.shell }}.\n",
    "<!-- abaculus: nothing -->\n",
]
FRONT = ["", "---\ntitle: x\n---\n", "---\nmenu: A / B\nfilter: os\n---\n\n" + CHART]
WRONG_FRONT = ["---\ntitle: a: b\n---\n", "---\napplication: gofmtish\n---\n", "---\nfilters: os\n---\n"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("generated") / "site"
    with pytest.MonkeyPatch.context() as monkeypatch:
        site(directory, monkeypatch, {"index.md": ""})
        yield directory


@settings(max_examples=examples(12), deadline=None)
@given(
    st.sampled_from([*FRONT, *WRONG_FRONT]),
    st.lists(st.sampled_from(SOUND), max_size=4),
    st.lists(st.sampled_from(WRONG), max_size=2),
    st.randoms(use_true_random=False),
)
def test_a_check_of_a_generated_page_succeeds_exactly_when_a_build_does(
    bucket: Path, generated: Path, front: str, sound: list[str], wrong: list[str], random: Random
) -> None:
    parts = [*sound, *wrong]
    random.shuffle(parts)
    (generated / "site" / "index.md").write_text(front + "\n" + "\n".join(parts), encoding="utf-8")
    checked = check(str(bucket))
    assert bool(checked.faults) == bool(wrong or front in WRONG_FRONT), checked.faults
    try:
        build(str(bucket), None)
    except BuildError as error:
        assert (error.found.faults, error.found.warnings) == (checked.faults, checked.warnings)
        assert checked.faults
    else:
        assert not checked.faults
        page = (generated / "out" / "index.html").read_text(encoding="utf-8")
        charts = sum(part.count("yaml chart\n") for part in [front, *sound])
        assert page.count('<figure class="ab-chart"') == charts == checked.blocks


def test_columns_have_names_of_their_own_in_every_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "```yaml chart\ntype: table\ndata: sessions\nx: count\ny: count\nname: named\n```\n"
    page += "```sql q\nSELECT count, count_2 FROM named\n```\n"
    site(tmp_path, monkeypatch, {"index.md": f"# Notes\n\n{page}"}, application=APPLICATION + COUNT)
    from tests import buckets

    fill(tmp_path / "bucket", runs(1, 30, count="a"), buckets.registry(APPLICATION + COUNT))
    out = build("bucket", None)
    text = (out / "data/index/named.csv").read_text(encoding="utf-8")
    assert next(csv.reader(io.StringIO(text))) == ["count", "count 2"]
    assert pq.read_table(out / "data/index/named.parquet").column_names == ["count", "count 2"]
    (series,) = json.loads((out / "data/index.json").read_text(encoding="utf-8"))["series"]
    assert [one["name"] for one in series["columns"]] == ["count", "count 2"]


def test_an_empty_text_has_a_name_and_emoji_are_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, persian = "\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    site(tmp_path, monkeypatch, {"index.md": f"# Notes\n\n{CHART}"})
    fill(
        tmp_path / "bucket",
        runs(1, 20, shellName="") + runs(21, 40, shellName=family) + runs(41, 60, shellName=persian)
        + runs(61, 80, shellName="a\u202eb\u200dc"),
    )  # fmt: skip
    out = build("bucket", None)
    rows = list(csv.reader(io.StringIO((out / "data/index/systems.csv").read_text(encoding="utf-8"))))
    assert {row[0] for row in rows[1:]} == {"(empty)", family, persian, "a\ufffdb\ufffdc"}
    assert family in (out / "index.html").read_text(encoding="utf-8")


def test_a_page_goes_where_its_front_matter_says_or_to_the_end_of_the_menu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: Path
) -> None:
    pages = {"index.md": "# Notes\n", "a.md": "---\nmenu: Answers\n---\n# About a\n", "b.md": "# About b\n",
             "c.md": "---\nmenu: Docs / Deep\n---\n# About c\n"}  # fmt: skip
    site(tmp_path, monkeypatch, pages)
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(
        settings.read_text(encoding="utf-8") + "nav:\n  - index.md\n  - Answers:\n      - Home: index.md\n",
        encoding="utf-8",
    )
    assert [(one.file, one.code) for one in check(str(bucket)).warnings] == [("site/b.md", "not-in-nav")]
    index = (build(str(bucket), None) / "index.html").read_text(encoding="utf-8")
    places = [index.index(word) for word in ("About a", "Deep", "About c", "About b")]
    assert places[0] < places[1] < places[2]
    assert "More" in index


def test_a_build_and_a_check_call_the_events_of_start_and_shutdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: Path
) -> None:
    """Plugins such as social make what they need when MkDocs starts."""
    site(tmp_path, monkeypatch, {"index.md": "# Notes\n"})
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(settings.read_text(encoding="utf-8") + "hooks: [hooks.py]\n", encoding="utf-8")
    (tmp_path / "hooks.py").write_text(
        "def said(word):\n    with open('events', 'a') as file:\n        file.write(word + ' ')\n\n"
        "def on_startup(command, dirty):\n    said(command)\n\ndef on_shutdown():\n    said('shutdown')\n",
        encoding="utf-8",
    )
    check(str(bucket))
    build(str(bucket), None)
    assert (tmp_path / "events").read_text(encoding="utf-8").split() == ["build", "shutdown"] * 2
