"""What the Markdown extension asks, and what becomes of the answers."""

import html
import re
from dataclasses import dataclass, field

import markdown
import pytest

from reports.pages.markdown_blocks import Blocks

FIGURE = '<figure class="figure">drawn</figure>'


@dataclass
class Asked:
    """A conversion that takes note of what it is asked, and answers with what it was given."""

    said: dict[str, str] = field(default_factory=dict)
    blocks: list[tuple[str, str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    begun: int = 0

    def begin(self) -> None:
        self.begun += 1

    def block(self, kind: str, name: str, text: str) -> str:
        self.blocks.append((kind, name, text))
        return "" if kind == "sql" else FIGURE

    def other(self, language: str, text: str) -> None:
        self.others.append(language)

    def value(self, name: str, column: str) -> str:
        return self.said[f"{name}.{column}"]

    def misplaced(self, name: str, column: str, message: str) -> None:
        self.wrong.append((f"{name}.{column}", message.split()[1]))

    def braces(self, text: str) -> None:
        self.loose.append(text)

    def part(self, name: str) -> str:
        return f"## Part {name}\n\nwith *words*"


def converted(text: str, *more: str, **said: str) -> tuple[str, Asked]:
    asked = Asked({"a.b": "value", **{name.replace("_", "."): value for name, value in said.items()}})
    extensions = ["toc", "tables", "attr_list", "pymdownx.superfences", *more, Blocks(lambda: asked)]
    return markdown.markdown(text, extensions=extensions), asked


@pytest.mark.parametrize(
    "opening", ["```yaml chart", "~~~ yaml  chart", "`````yaml chart   ", "```yml chart", "``` YAML Chart"]
)
def test_a_chart_begins_in_every_way_that_markdown_has(opening: str) -> None:
    mark = opening.lower().split("y")[0].strip()
    made, asked = converted(f"{opening}\ntype: bar\n{mark}\n")
    assert (made, asked.blocks) == (FIGURE, [("chart", "", "type: bar")])


@pytest.mark.parametrize(
    "opening", ["```", "```sql", "```yaml", "```python chart", "```chart", '```sql linenums="1"', "```{.sql .runs}"]
)
def test_other_fences_are_documentation(opening: str) -> None:
    made, asked = converted(f"{opening}\nSELECT 1\n```\n")
    assert asked.blocks == []
    assert "SELECT" in made and "<figure" not in made


def test_a_fence_in_a_longer_one_is_shown() -> None:
    made, asked = converted("````text\n```yaml chart\ntype: bar\n```\n````\n")
    assert (asked.blocks, asked.others) == ([], ["text"])
    assert "type: bar" in made


def test_a_query_leaves_no_paragraph_behind() -> None:
    made, asked = converted("before\n\n```sql q\nSELECT 1\n```\n\nafter\n")
    assert asked.blocks == [("sql", "q", "SELECT 1")]
    assert made == "<p>before</p>\n<p>after</p>"


def test_blocks_are_found_where_superfences_is_not_configured() -> None:
    asked = Asked()
    made = markdown.markdown("```yaml chart\ntype: bar\n```\n", extensions=["fenced_code", Blocks(lambda: asked)])
    assert made == FIGURE


def test_one_instance_converts_several_texts() -> None:
    asked = Asked({"a.b": "value"})
    md = markdown.Markdown(extensions=[Blocks(lambda: asked)])
    assert [md.convert("```yaml chart\ntype: bar\n```\n") for _ in range(2)] == [FIGURE, FIGURE]
    assert asked.begun == 2


@pytest.mark.parametrize(
    "value", ["<b>", "&copy;", "*x*", "`x`", "[a](b)", "a_b_c", "{: .x }", "1. x", "é\u200dx", "\\_"]
)
def test_a_value_is_text_wherever_it_stands(value: str) -> None:
    text = "# {{ a.b }}\n\n| a |\n|---|\n| {{ a.b }} |\n\n*{{ a.b }}*\n\n[{{ a.b }}](c.md)\n\n<i>{{ a.b }}</i>\n"
    made, asked = converted(text, a_b=value)
    shown = re.findall(r"<(?:h1|td|em|a|i)\b[^>]*>(?:<span[^>]*>)?([^<>]+?)(?:</span>)?</(?:h1|td|em|a|i)>", made)
    assert [html.unescape(one) for one in shown] == [value] * 5
    assert asked.wrong == []
    assert 'class="x"' not in made


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[x]({{ a.b }})", "link"),
        ("[x]\n\n[x]: http://{{a.b}}", "link"),
        ("![x]({{ a.b }})", "link"),
        ('<a href="{{ a.b }}">x</a>', "HTML"),
        ('<div class="{{ a.b }}">\n\nx</div>', "HTML"),
        ("# x {: title={{ a.b }} }", "HTML"),
    ],
)
def test_a_value_cannot_lead_somewhere_or_be_an_attribute(text: str, what: str) -> None:
    made, asked = converted(text, a_b="javascript:x")
    assert asked.wrong == [("a.b", what)]
    assert "javascript" not in made.replace("title=", "") or what == "HTML"
    assert "{{" not in made and "\x02" not in made


def test_an_image_is_described_by_a_value() -> None:
    made, asked = converted("![Of {{ a.b }}](x.png)", a_b='"&copy;')
    assert 'alt="Of &quot;&amp;copy;"' in made
    assert asked.wrong == []


def test_a_part_is_converted_where_its_line_stands_and_not_in_code() -> None:
    made, _ = converted(
        "<!-- abaculus: fields -->\n\n```\n<!-- abaculus: fields -->\n```\n\n`<!-- abaculus: fields -->`\n"
    )
    assert made.count('<h2 id="part-fields">') == 1
    assert made.count("<em>words</em>") == 1
