"""What is found in a page as it is written, and where: any nesting, and what only looks like a block."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.pages.markdown_blocks import Blocks
from reports.pages.source import read
from tests.messages import mentions
from tests.sites import converted, source

CHART = ["```yaml chart", "type: bar", "data: sessions", "x: shell", "y: people", "```"]


def indented(lines: list[str], by: str) -> list[str]:
    return [f"{by}{line}" if line else line for line in lines]


HOLDERS = {
    "list": lambda lines: ["- item", "", *indented(lines, "    ")],
    "wrapped": lambda lines: ["- item that is", "  wrapped", "", *indented(lines, "    ")],
    "numbered": lambda lines: ["1. item", "", *indented(lines, "    ")],
    "quote": lambda lines: [f"> {line}".rstrip() for line in lines],
    "tab": lambda lines: ['=== "Tab"', "", *indented(lines, "    ")],
    "admonition": lambda lines: ["!!! note", "", *indented(lines, "    ")],
    "details": lambda lines: ['??? tip "More"', "", *indented(lines, "    ")],
    "definition": lambda lines: ["Term", "", ":   meaning", "", *indented(lines, "    ")],
}
WORDS = st.sampled_from(
    [[], ["words", ""], ["## A heading", ""], ["- an item", "", "more", ""], ["> quoted", "", "x", ""]]
)


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(sorted(HOLDERS)), max_size=4),
    WORDS,
    WORDS,
    st.sampled_from(["", "---\ntitle: x\n---\n\n"]),
)
def test_a_chart_is_found_in_every_nesting_with_its_line_where_it_is_shown(
    nesting: list[str], before: list[str], after: list[str], front: str
) -> None:
    lines = [*before, *CHART, "", *after]
    for holder in reversed(nesting):
        lines = [*HOLDERS[holder](lines), ""]
    text = front + "\n".join(lines) + "\n"
    page = source(text)
    (block,) = page.found
    drawn = converted(page.front.body, Blocks(lambda: Drawing()))
    # It is run exactly if readers see it, and then nothing of its source is.
    assert block.shown == ("<figure>" in drawn)
    assert block.shown == ("data: sessions" not in drawn), drawn
    assert block.text == "\n".join(CHART[1:-1])
    assert block.start is not None
    at = page.front.first + block.start
    assert "```yaml chart" in text.split("\n")[at - 1]
    # Markdown has no fence in a quote in a list, nor behind a definition in one.
    if not {"quote", "definition"} & set(nesting):
        assert block.shown, drawn


class Drawing:
    def begin(self) -> None: ...

    def block(self, kind: str, name: str, text: str) -> str:
        return "<figure>drawn</figure>"

    def other(self, language: str, text: str) -> None: ...

    def value(self, name: str, column: str) -> str:
        return ""

    def misplaced(self, name: str, column: str, message: str) -> None: ...

    def braces(self, text: str) -> None: ...

    def part(self, name: str) -> str:
        return ""


def test_a_chart_in_a_footnote_and_after_a_wrapped_line_is_found() -> None:
    body = "\n".join(indented(CHART, "    "))
    page = source(f"Words.[^1]\n\n[^1]: Note\n\n{body}\n\n- item\n  wrapped\n{body}\n")
    assert [(one.shown, one.start, one.column) for one in page.found] == [(True, 4, 4), (True, 13, 4)]


def test_of_equal_blocks_each_has_its_own_line_and_those_in_code_are_not_run() -> None:
    chart, code = "\n".join(CHART), "\n".join(indented(CHART, "    "))
    page = source(f"{chart}\n\nSo:\n\n{code}\n\n<!--\n{chart}\n-->\n\n{chart}\n")
    assert [(one.shown, one.hidden, one.start) for one in page.found] == [
        (True, False, 0), (False, False, 9), (False, True, 17), (True, False, 25),
    ]  # fmt: skip
    assert [(one.line, one.code) for one in page.warnings] == [(10, "block-is-code")]


@pytest.mark.parametrize(
    ("text", "code", "stops"),
    [
        ("```yaml charts\ntype: bar\ndata: s\n```", "not-a-block", False),
        ("```yaml\ntype: bar\ndata: s\n```", "not-a-block", False),
        ("```chart\ntype: bar\ndata: s\n```", "not-a-block", False),
        ('```yaml chart title="x"\ntype: bar\n```', "not-a-block", False),
        ("```sql my-query\nSELECT 1\n```", "query-name", True),
        ("```sql a b\nSELECT 1\n```", "query-name", True),
        ("```yaml chart\ntype: bar", "block-not-closed", True),
        ("```sql q\nSELECT 1\n``", "block-not-closed", True),
        ("- ```yaml chart\n  type: bar\n  ```", "block-in-list-mark", True),
    ],
)
def test_what_looks_like_a_block_and_is_none_is_said_with_its_line(text: str, code: str, stops: bool) -> None:
    page = source(f"---\ntitle: x\n---\nwords\n\n{text}\n")
    assert [(one.line, one.code) for one in (page.faults if stops else page.warnings)] == [(6, code)]
    assert not (page.warnings if stops else page.faults)


@pytest.mark.parametrize(
    "text",
    [
        "```yaml\ntype: object\ndata: x\n```",
        "````markdown\n```yaml chart\ntype: bar\ndata: s\n```\n````",
        "```sql\nSELECT 1\n```",
        '```sql linenums="1"\nSELECT 1\n```',
        "<!--\n```yaml charts\n-->",
        "Write `yaml charts`.",
    ],
)
def test_documentation_is_no_mistake(text: str) -> None:
    page = source(f"{text}\n")
    assert (page.faults, page.warnings, page.blocks) == ((), (), [])


@pytest.mark.parametrize(
    ("front", "line", "column", "code", "named"),
    [
        ("title: Gofmtish: only its numbers\napplication: gofmtish", 2, 8, "front-matter", ('"Gofmtish: only',)),
        ("title: x\n\tfilter: os", 3, 1, "front-matter", ("tab",)),
        ("title: @x", 2, 8, "front-matter", ("@", '"@x"')),
        ("title: x\naplication: y", 3, 1, "unknown-key", ("aplication", "application")),
        ("title: x\nfilters: [os]", 3, 1, "unknown-key", ("filters", "filter")),
        ("- a\n- b", 2, 1, "front-matter", ("key: value",)),
        ("title: x\ntitle: y", 3, 1, "key-twice", ("title",)),
        ("filter: [os", 2, 9, "front-matter", ("list",)),
    ],
)
def test_a_mistake_in_front_matter_has_its_line_and_its_remedy(
    front: str, line: int, column: int, code: str, named: tuple[str, ...]
) -> None:
    (fault,) = source(f"---\n{front}\n---\n# Page\n").faults
    assert (fault.file, fault.line, fault.column, fault.code) == ("site/a.md", line, column, code)
    assert mentions(fault.message, *named) or all(name in fault.message for name in named), fault


def test_front_matter_without_its_lines_is_a_mistake() -> None:
    assert [one.line for one in source("application: notes\n\n# Page\n").faults] == [1]
    assert [one.line for one in source("---\ntitle: x\n\n# Page\n").faults] == [1]
    assert source("Note: words\n").faults == ()


def test_a_block_that_an_extension_brings_is_on_the_first_line() -> None:
    def bringing(text: str, extension: object) -> str:
        return converted(text.replace("--8<-- x", "\n".join(CHART)), extension)  # type: ignore[arg-type]

    page = read("a.md", "site/a.md", "words\n\n--8<-- x\n", bringing)
    assert [(one.shown, one.start) for one in page.found] == [(True, None)]


def test_a_page_without_anything_of_ours_is_not_converted() -> None:
    def never(text: str, extension: object) -> str:
        raise AssertionError(text)

    assert read("a.md", "site/a.md", "# Words\n\n```toml\nx = 1\n```\n", never).found == ()
