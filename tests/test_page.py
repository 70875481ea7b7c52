import textwrap

import pytest

from reports.page import Fault, Fence, body_line, fences, front_matter, prose, replace


def page(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


def found(text: str) -> list[tuple[str, str, str, int, int]]:
    return [(one.kind, one.name, one.content, one.start, one.end) for one in fences(text)]


def test_a_chart_and_a_named_query_are_found_with_their_lines() -> None:
    text = page(
        """
        # Title

        ```sql runs
        SELECT 1

        FROM x
        ```
        ```yaml chart
        type: bar
        ```
        """
    )
    assert found(text) == [("sql", "runs", "SELECT 1\n\nFROM x", 2, 6), ("chart", "", "type: bar", 7, 9)]


@pytest.mark.parametrize(
    "opening",
    ["```yaml chart", "~~~ yaml  chart", "`````yaml chart   ", "```yml chart", "``` YAML Chart", "```yaml chart wide"],
)
def test_a_chart_may_be_written_in_every_way_that_markdown_has(opening: str) -> None:
    mark = opening.split("y")[0].split("Y")[0].strip()
    assert [kind for kind, *_ in found(f"{opening}\ntype: bar\n{mark}")] == ["chart"]


@pytest.mark.parametrize(
    "opening",
    [
        "```", "```sql", "```yaml", "```python chart", "```chart", "```sql linenums=\"1\"", "```sql hl_lines=1",
        "```{.sql .runs}", "``yaml chart", "``` yaml chart `x`",
    ],
)  # fmt: skip
def test_other_fences_are_documentation(opening: str) -> None:
    assert found(f"{opening}\nSELECT 1\n```") == []


def test_a_fence_inside_a_longer_one_is_shown_not_run() -> None:
    text = page(
        """
        ````markdown
        ```yaml chart
        type: bar
        ```
        ````
        ~~~~markdown
        ~~~sql a
        ~~~
        ```sql b
        ```
        ~~~~
        ```sql c
        SELECT 1
        ```
        """
    )
    assert [name for _, name, *_ in found(text)] == ["c"]


def test_a_fence_is_closed_by_its_own_mark_only() -> None:
    text = "~~~sql a\n```\nSELECT 1\n~~\n~~~ x\n~~~~~\n```sql b\n~~~\n````\n"
    assert found(text) == [("sql", "a", "```\nSELECT 1\n~~\n~~~ x", 0, 5), ("sql", "b", "~~~", 6, 8)]


@pytest.mark.parametrize(
    "holder",
    ["!!! note", '??? tip "More"', "???+ tip", '=== "Tab"', "- item", "* item", "1. item", "[^1]: note", ":   meaning"],
)
def test_a_fence_in_an_admonition_a_tab_or_a_list_loses_its_indent(holder: str) -> None:
    text = f"{holder}\n\n    words\n\n    ```yaml chart\n    type: bar\n      x: y\n    ```\n"
    (fence,) = fences(text)
    assert fence == Fence("chart", "", "type: bar\n  x: y", "    ", 4, 7)


def test_a_fence_in_a_tab_in_an_admonition_is_found() -> None:
    (fence,) = fences('!!! note\n\n    === "Tab"\n\n        ```sql a\n        SELECT 1\n        ```')
    assert (fence.indent, fence.content) == (" " * 8, "SELECT 1")


@pytest.mark.parametrize("indent", ["    ", "\t", "        "])
def test_an_indented_code_block_is_shown_not_run(indent: str) -> None:
    text = f"Write this:\n\n{indent}```sql a\n{indent}SELECT 1\n{indent}```\n\n```sql b\nSELECT 1\n```"
    assert [name for _, name, *_ in found(text)] == ["b"]


def test_a_fence_in_a_comment_is_not_run() -> None:
    text = "<!-- off\n```sql a\n```\n-->\n<!-- a note -->\n```sql b\nSELECT 1\n```\n<!-- not ended\n```sql c\n```"
    assert [name for _, name, *_ in found(text)] == ["b", "c"]


def test_a_block_that_nothing_closes_is_known_to_be_open() -> None:
    (fence,) = fences("text\n```sql a\nSELECT 1\n``\n")
    assert not fence.closed
    assert (fence.start, fence.end) == (1, 5)


def test_a_mark_that_nothing_closes_is_text_as_markdown_has_it() -> None:
    assert [name for _, name, *_ in found("~~~~\n\n```sql a\nSELECT 1\n```")] == ["a"]


def test_windows_line_ends_change_nothing() -> None:
    (fence,) = fences("one\r\n```sql a\r\nSELECT 1,\r\n 2\r\n```\r\ntwo\r\n")
    assert (fence.kind, fence.name, fence.start, fence.end) == ("sql", "a", 1, 4)
    assert fence.content.replace("\r", "") == "SELECT 1,\n 2"


def test_an_empty_page_has_no_fences() -> None:
    assert found("") == []
    assert found("```yaml chart\n```") == [("chart", "", "", 0, 1)]


def test_fences_become_paragraphs_at_their_indent_or_nothing() -> None:
    text = "- item\n\n    ```yaml chart\n    a: b\n    ```\nnext\n```sql a\nSELECT 1\n```\nlast"
    chart, query = fences(text)
    assert replace(text, [(chart, "PIECE"), (query, "")]) == "- item\n\n\n    PIECE\n\nnext\nlast"


@pytest.mark.parametrize(
    ("source", "body", "line"),
    [
        ("# Title\ntext\n", "# Title\ntext\n", 0),
        ("---\ntitle: x\n---\n# Title\n", "# Title\n", 3),
        ("---\ntitle: x\n---\n\n\n# Title\n", "# Title\n", 5),
        ("---\r\ntitle: x\r\n---\r\n# Title\r\n", "# Title\n", 3),
        ("---\ntitle: x\n...\n# Title\n", "# Changed by another plugin\n", 3),
        ("# Title\n", "", 0),
        ("", "", 0),
    ],
)
def test_the_front_matter_counts_among_the_lines_of_the_file(source: str, body: str, line: int) -> None:
    assert body_line(source, body) == line


def test_a_fault_is_written_as_compilers_do() -> None:
    assert str(Fault("site/a.md", 3, "what; remedy")) == "site/a.md:3: what; remedy"
    assert str(Fault("site/a.md", 3, "what\n::stop", 7)) == "site/a.md:3:7: what ::stop"


def test_prose_is_the_page_without_code_and_comments_and_with_all_else_in_its_place() -> None:
    text = page(
        """
        # Title `code`

        words ``a ` b`` words

            indented = code
            more

        - item

            words in it

        ```text
        shown
        ```
        ~~~~
        ```yaml chart
        ~~~~
        <!-- hidden
        still --> words `not closed

        here`
        """
    )
    found = prose(text)
    assert [len(line) for line in found.split("\n")] == [len(line) for line in text.split("\n")]
    assert " ".join(found.split()) == "# Title words words - item words in it words `not closed here`"


@pytest.mark.parametrize(
    ("source", "meta", "body"),
    [
        ("# Title\n", {}, "# Title\n"),
        ("---\ntitle: x\n---\n\n# Title\n", {"title": "x"}, "# Title\n"),
        ("---\r\ntitle: x\r\n...\r\n# Title\r\n", {"title": "x"}, "# Title\n"),
        ("---\n- x\n---\ntext\n", {}, "---\n- x\n---\ntext\n"),
        ("---\n[\n---\ntext\n", {}, "---\n[\n---\ntext\n"),
        ("words\n---\nmore\n---\n", {}, "words\n---\nmore\n---\n"),
    ],
)
def test_front_matter_is_what_stands_above_the_page(source: str, meta: dict[str, str], body: str) -> None:
    assert front_matter(source) == (meta, body)
