"""Two years of a registry: five versions of it, clients of all versions at once, and series without a gap."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from ingest.function.bucket_url import open_bucket
from reports.operations.registry_changes import between
from reports.pages.site import Site
from reports.writers.compact import Entry, compact
from tests import buckets
from tests.sites import site_of, source

pytestmark = pytest.mark.slow

HEAD = 'id = "notes"\nname = "Notes"\nretention_days = 36500\n'
CI = '[attributes.inCi]\ntype = "boolean"\nrole = "ci"\nwhy = "?"\n'
SAVE = '[spans.Save]\nwhy = "?"\n[spans.Save.attributes.{}]\ntype = "{}"\n{}why = "?"\n'


def _field(name: str, type: str, *more: str) -> str:
    return f'[attributes.{name}]\ntype = "{type}"\n' + "".join(f"{line}\n" for line in more) + 'why = "?"\n'


SYSTEMS, MODES = 'values = ["Linux", "macOS"]', 'values = ["fast", "safe"]'
OS = ('role = "os"', SYSTEMS)
GONE = "removed = true"
MODE = _field("mode", "string", 'role = "variant"', MODES, GONE)
SPLIT = _field("engine", "string", 'role = "variant"', MODES) + _field("level", "string", 'values = ["low", "high"]')
SYSTEM = _field("system", "string", *OS, 'replaces = "osName"', GONE)
PLATFORM = _field("platform", "string", *OS, 'replaces = "system"')
# What each version of the registry, and of the tool with it, declares.
VERSIONS = [
    _field("osName", "string", *OS) + _field("mode", "string", 'role = "variant"', MODES)
    + _field("notes", "integer") + _field("load", "number") + _field("color", "string", MODES)
    + SAVE.format("size", "integer", ""),
    # A rename, in attributes and in a span.
    _field("system", "string", *OS, 'replaces = "osName"') + _field("mode", "string", 'role = "variant"', MODES)
    + _field("notes", "integer") + _field("load", "number") + _field("color", "string", MODES)
    + SAVE.format("bytes", "integer", 'replaces = "size"\n'),
    # A split, and an integer that becomes a number.
    _field("system", "string", *OS, 'replaces = "osName"') + MODE + SPLIT
    + _field("notes", "number") + _field("load", "number") + _field("color", "string", MODES)
    + SAVE.format("bytes", "integer", 'replaces = "size"\n'),
    # The second rename, a removal, and a number in a span.
    PLATFORM + SYSTEM + MODE + SPLIT
    + _field("notes", "number") + _field("load", "number") + _field("color", "string", MODES, GONE)
    + SAVE.format("bytes", "number", 'replaces = "size"\n').replace(
        "[spans.Save.attributes.bytes]", '[spans.Save.attributes.size]\ntype = "integer"\nremoved = true\nwhy = "?"\n'
        "[spans.Save.attributes.bytes]"),
    # A number that becomes an integer.
    PLATFORM + SYSTEM + MODE + SPLIT
    + _field("notes", "number") + _field("load", "integer") + _field("color", "string", MODES, GONE)
    + SAVE.format("bytes", "number", 'replaces = "size"\n').replace(
        "[spans.Save.attributes.bytes]", '[spans.Save.attributes.size]\ntype = "integer"\nremoved = true\nwhy = "?"\n'
        "[spans.Save.attributes.bytes]"),
]  # fmt: skip
REGISTRIES = [buckets.registry(HEAD + CI + text) for text in VERSIONS]
# The version of each quarter. Every earlier version of the tool is still in use.
QUARTERS = [0, 0, 1, 1, 2, 2, 3, 4]
STARTS = [datetime(2024 + at // 4, 1 + at % 4 * 3, 10, tzinfo=UTC) for at in range(8)]
PEOPLE = 20


def sent(version: int, person: int, start: datetime) -> dict[str, Any]:
    """What a version of the tool sends: half of its people have Linux and the fast mode."""
    half = person % 2
    attributes: dict[str, Any] = {
        ("osName", "system", "system", "platform", "platform")[version]: ("Linux", "macOS")[half],
        ("mode", "mode", "engine", "engine", "engine")[version]: ("fast", "safe")[half],
        "notes": 4 if version < 2 else 4.5,
        "load": 8 if version == 4 else 7.5,
        "inCi": False,
    }
    if version < 3:
        attributes["color"] = "fast"
    size = {"size" if version == 0 else "bytes": 100 if version < 3 else 100.5}
    moment = (start + timedelta(seconds=1)).isoformat()
    spans = [{"type": "Save", "startTime": moment, "endTime": moment, "attributes": size}]
    return {"attributes": attributes, "spans": spans, "applicationVersion": f"{version + 1}.0.0"}


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[Entry]]]:
    """The site after two years, and what each quarter's run did. The function lags one version behind compaction."""
    bucket = str(tmp_path_factory.mktemp("years") / "bucket")
    store = open_bucket(bucket)
    entries, number = [], 0
    for at, (newest, start) in enumerate(zip(QUARTERS, STARTS, strict=True)):
        for version in range(newest + 1):
            made = []
            for person in range(PEOPLE):
                number += 1
                members = sent(version, person, start)
                made.append(buckets.session(number, user=100 * version + person, start=start, **members))
            # A quarter's first sessions come in through the function of the quarter before.
            known = REGISTRIES[QUARTERS[max(at - 1, 0)] if version < newest else newest]
            buckets.batch(store, *made, known=known, ingested=start + timedelta(hours=1))
        entries.append(compact(store, bucket, REGISTRIES[newest]))
    with site_of(bucket, REGISTRIES[-1], now=STARTS[-1] + timedelta(days=1)) as site:
        yield site, entries


def test_every_session_of_every_version_is_stored(years: tuple[Site, list[Entry]]) -> None:
    for newest, entry in zip(QUARTERS, years[1], strict=True):
        counts = entry.applications["notes"]
        assert (counts.stored, counts.quarantined, counts.waiting) == (PEOPLE * (newest + 1), 0, 0)
        assert entry.error is None
    lost = [entry.applications["notes"].misfits for entry in years[1]]
    # Loads that are not whole, once an integer is declared: of all versions but the newest.
    assert lost == [{}] * 7 + [{"attributes.load": 4 * PEOPLE}]


@pytest.mark.parametrize(
    ("y", "color", "data"),
    [
        ("people", "platform", "sessions"),
        ("people", "os", "sessions"),
        ("people", "variant", "sessions"),
        ("mean(notes)", None, "sessions"),
        ("mean(bytes)", None, "spans"),
    ],
)
def test_a_series_has_no_gap(years: tuple[Site, list[Entry]], y: str, color: str | None, data: str) -> None:
    lines = ["type: bar", f"data: {data}", "x: start_time", "grain: quarter", f"y: {y}"]
    text = "\n".join([*lines, *([f"color: {color}"] if color else [])])
    site = years[0]
    site.faults.clear()
    page = site.page(source(f"```yaml chart\n{text}\n```\n", path=f"{data}-{y}-{color}.md"))
    assert [str(fault) for fault in site.faults] == []
    (series,) = page.series
    rows = series.published.rows
    quarters = sorted({row[0] for row in rows})
    assert len(quarters) == 8
    for at, (newest, quarter) in enumerate(zip(QUARTERS, quarters, strict=True)):
        values = [row[1:] for row in rows if row[0] == quarter]
        if color is None:
            low, high = (4, 4.5) if data == "sessions" else (100, 100.5)
            ((value, *_),) = values
            assert low <= value <= high
        else:
            # Since the split, the function leaves out what old versions send as `mode`: they have no variant.
            left_out = color == "variant" and QUARTERS[max(at - 1, 0)] >= 2
            each = (newest + 1 - 2 * left_out) * PEOPLE // 2
            assert sorted(value for of, value in values if of != "not known") == [each, each]


def test_removed_attributes_keep_their_history(years: tuple[Site, list[Entry]]) -> None:
    counted = "date_trunc('quarter', start_time), count(color), count(load)"
    found = years[0].connection.execute(f"SELECT {counted} FROM sessions GROUP BY 1 ORDER BY 1").fetchall()
    colors, loads = [row[1] for row in found], [row[2] for row in found]
    assert all(colors[:6]) and colors[7] == 0
    # Those that are whole.
    assert loads == [0] * 7 + [PEOPLE]


def test_each_step_is_foretold() -> None:
    steps = [between(old, new) for old, new in pairwise(REGISTRIES)]
    found = [{(one.path.rpartition(".")[2], one.kind) for one in step} for step in steps]
    assert found == [
        {("system", "renamed"), ("bytes", "renamed")},
        {("mode", "removed"), ("engine", "new"), ("level", "new"), ("notes", "widened")},
        {("platform", "renamed"), ("color", "removed"), ("bytes", "widened")},
        {("load", "narrowed")},
    ]
    assert not any(one.refused for step in steps for one in step)
