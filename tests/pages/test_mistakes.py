"""Mistakes that authors make: each is named once, with its line, its column, its code, and what to do."""

from collections.abc import Iterator

import pytest

from reports.pages.site import Site
from tests.sites import fill, runs, site_of, source


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bucket = tmp_path_factory.mktemp("mistakes") / "bucket"
    fill(bucket, runs(1, 40, shellName="fish"))
    with site_of(bucket) as made:
        yield made


MISTAKES = [
    # colon in a title
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells: which?\n```\n",
        "6:8",
        "chart-title",
        ('"Shells: which?"',),
    ),
    # tab
    ("```yaml chart\ntype: bar\n\tdata: sessions\nx: shell\ny: people\n```\n", "3:2", "chart-data", ("tab",)),
    # no-break space
    ("```yaml chart\ntype:\xa0bar\ndata: sessions\nx: shell\ny: people\n```\n", "2:1", "chart-type", ("no-break",)),
    # equals sign
    ("```yaml chart\ntype = bar\ndata: sessions\n```\n", "2:1", "chart-block", ("type: bar",)),
    # no space behind a colon
    ("```yaml chart\ntype:bar\ndata: sessions\n```\n", "2:1", "chart-type", ()),
    # an open list
    ("```yaml chart\ntype: table\ndata: sessions\ny: [count, people\n```\n", "4:1", "chart-y", ("list",)),
    # an open quote
    ('```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: "Shells\n```\n', "6:1", "chart-title", ()),
    # a text that begins with @
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: @home\n```\n", "6:8", "chart-title", ()),
    # an empty block
    ("```yaml chart\n```\n", "2:1", "chart-block", ()),
    # an option twice
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nx: os\n```\n", "6:1", "chart-x", ()),
    # unknown option
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ncolour: os\n```\n", "6:1", "chart-block", ()),
    # unknown type
    ("```yaml chart\ntype: pie\ndata: sessions\nx: shell\ny: people\n```\n", "2:7", "chart-type", ()),
    # no data
    ("```yaml chart\ntype: bar\nx: shell\ny: people\n```\n", "2:1", "chart-type", ()),
    # no y
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\n```\n", "2:1", "chart-type", ()),
    # no x
    ("```yaml chart\ntype: bar\ndata: sessions\ny: people\n```\n", "2:1", "chart-type", ()),
    # unknown measure
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: peple\n```\n", "5:4", "chart-y", ("people",)),
    # a mapping under y
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: {count: people}\n```\n",
        "5:1",
        "chart-y",
        ("[count, people]",),
    ),
    # a measure without its column
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: mean\n```\n", "5:4", "chart-y", ()),
    # a mean of a text
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: mean(shell)\n```\n", "5:9", "chart-y", ()),
    # unknown column
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shel\ny: people\n```\n", "4:4", "chart-x", ("shell",)),
    # unknown data
    ("```yaml chart\ntype: bar\ndata: sesions\nx: shell\ny: people\n```\n", "3:7", "chart-data", ("sessions",)),
    # color is x
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ncolor: shell\n```\n", "6:1", "chart-color", ()),
    # limit too large
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nlimit: 99\n```\n", "6:8", "chart-limit", ()),
    # grain of a text
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ngrain: day\n```\n", "6:1", "chart-grain", ()),
    # columns of a table, and of a struct
    (
        "```yaml chart\ntype: bar\ndata: events\nx: session.shell\ny: people\n```\n",
        "4:4",
        "chart-x",
        ("SELECT user_id, session.shell AS shell", "data"),
    ),
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: os\ncolor: sessions.shell\ny: people\n```\n",
        "5:8",
        "chart-color",
        ("sessions.shell AS shell",),
    ),
    (
        "```yaml chart\ntype: number\ndata: events\ny: p50(session.duration_ms)\n```\n",
        "4:8",
        "chart-y",
        ("session.duration_ms AS duration_ms",),
    ),
    # session_id
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: session_id\ny: people\n```\n",
        "4:1",
        "chart-x",
        ("session_id", "y: count", "abaculus sql"),
    ),
    ("```sql q\nSELECT user_id, session_id FROM events\n```\n", "2:17", "query", ("y: count",)),
    ("```sql q\nSELECT user_id, session.session_id FROM events\n```\n", "1:1", "query", ("y: count",)),
    # user_id as x
    ("```yaml chart\ntype: bar\ndata: sessions\nx: user_id\ny: people\n```\n", "4:1", "chart-x", ()),
    # an order that is none
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\norder: up\n```\n", "6:8", "chart-order", ()),
    # an order of a query that has none
    (
        "```sql q\nSELECT user_id, shell FROM sessions\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: shell\ny: people\norder: query\n```\n",
        "9:1",
        "chart-order",
        ("ORDER BY",),
    ),
    # an order in which categories are mixed
    (
        "```sql q\nSELECT user_id, user_id % 2 AS half FROM sessions ORDER BY user_id\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: half\ny: count\norder: query\n```\n",
        "9:1",
        "chart-order",
        ("ORDER BY", "half"),
    ),
    # an order of what is not counted
    (
        "```yaml chart\ntype: table\ndata: releases\nx: version\npeople: none\norder: label\n```\n",
        "6:1",
        "chart-order",
        (),
    ),
    # three columns beside a time in SQL
    (
        "```sql q\nSELECT * FROM sessions WHERE start_time > '2026-01-01'\n```\n"
        "```yaml chart\ntype: table\ndata: q\nx: [shell, os, exit_code]\ny: count\nfilter: ci\n```\n",
        "7:1",
        "chart-x",
        ("5",),
    ),
    # an expectation that is none
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nexpect: many rows\n```\n",
        "6:9",
        "chart-expect",
        (),
    ),
    # an expectation that fails
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nexpect: rows > 100\n```\n",
        "6:9",
        "chart-expect",
        (),
    ),
    # annotated without time
    (
        "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nannotate: releases\n```\n",
        "6:1",
        "chart-annotate",
        (),
    ),
    # filter of what is shown
    ("```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\nfilter: shell\n```\n", "6:1", "chart-filter", ()),
    # double quotes for a text in SQL
    ('```sql q\nSELECT user_id FROM sessions WHERE shell = "fish"\n```\n', "2:44", "query", ("'fish'",)),
    # unknown column in SQL
    ("```sql q\nSELECT user_id, shel\nFROM sessions\n```\n", "2:17", "query", ()),
    # unknown table
    ("```sql q\nSELECT user_id FROM sesions\n```\n", "2:21", "query", ()),
    # a syntax error
    ("```sql q\nSELECT user_id FRM sessions\n```\n", "2:20", "query", ()),
    # not a SELECT
    ("```sql q\nDELETE FROM sessions\n```\n", "1:1", "query", ()),
    # an empty query
    ("```sql q\n```\n", "1:1", "query", ("SELECT",)),
    # a function that is not allowed
    ("```sql q\nSELECT getenv('x') AS x\n```\n", "2:8", "query", ()),
    # a name that is taken
    ("```sql sessions\nSELECT 1 AS x\n```\n", "1:1", "query", ()),
    # a name with a hyphen
    ("```sql my-query\nSELECT 1 AS x\n```\n", "1:1", "query-name", ()),
    # a query below its chart
    (
        "```yaml chart\ntype: bar\ndata: q\nx: shell\ny: people\n```\n"
        "```sql q\nSELECT user_id, shell FROM sessions\n```\n",
        "3:7",
        "chart-data",
        ("above",),
    ),
    # a query that loses user_id
    (
        "```sql q\nSELECT shell FROM sessions\n```\n```yaml chart\ntype: bar\ndata: q\nx: shell\ny: people\n```\n",
        "6:7",
        "chart-data",
        (),
    ),
    # a query that counts
    (
        "```sql q\nSELECT shell, count(*) AS n FROM sessions GROUP BY ALL\n```\n"
        "```yaml chart\ntype: bar\ndata: q\nx: shell\ny: n\n```\n",
        "8:4",
        "chart-y",
        (),
    ),
    # not people's rows
    ("```yaml chart\ntype: bar\ndata: releases\nx: version\ny: count\n```\n", "3:7", "chart-data", ()),
    # an unknown value
    ("Most use {{ tops.shell }}.\n", "1:10", "value", ()),
    # a value of people's rows
    ("Most use {{ sessions.shell }}.\n", "1:10", "value", ()),
    # a block that is not closed
    ("```yaml chart\ntype: bar\n", "1:1", "block-not-closed", ()),
]


@pytest.mark.parametrize(("text", "place", "code", "named"), MISTAKES)
def test_a_mistake_has_its_place_its_code_and_its_remedy(
    site: Site, text: str, place: str, code: str, named: tuple[str, ...]
) -> None:
    site.faults.clear()
    site.page(source(f"---\ntitle: x\n---\n{text}"))
    (fault,) = site.faults
    line, column = place.split(":")
    assert (fault.file, fault.line, fault.column, fault.code) == ("site/a.md", int(line) + 3, int(column), code)
    assert all(name in fault.message for name in named), fault.message
    assert str(fault).endswith(f" [{code}]")
