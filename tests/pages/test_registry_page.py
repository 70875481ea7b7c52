"""What is collected, and the privacy text: made from the registry, all of it, and hostile words stay words."""

import re
from pathlib import Path

from markdown import markdown

from ingest.function import registry
from reports.pages.registry_page import fields, privacy, uses
from tests.messages import mentions
from tests.sites import source

ROOT = Path(__file__).parents[2]
KNOWN = registry.load(ROOT / "ingest" / "applications")
CAIRN = KNOWN["cairn"]
HOSTILE = """
id = "notes"
name = "<script>alert(1)</script> | {{ x.y }}"
retention_days = 90

[attributes.style]
type = "string"
values = ["<img src=x onerror=alert(1)>", "a|b"]
why = "[Why](javascript:alert(1)) | *not*?"

[attributes.gone]
type = "boolean"
removed = true
why = "It was used"
"""


def test_every_field_is_listed_with_its_reason_its_example_and_the_pages_that_read_it() -> None:
    used = uses(
        {"failures.md": source("---\ntitle: Failures\n---\n```sql a\nSELECT failure_reason FROM sessions\n```\n")}
    )
    said = fields({"cairn": CAIRN}, used, "collected.md")
    kinds = [*CAIRN.events.values(), *CAIRN.spans.values()]
    for one in [*CAIRN.attributes.values(), *kinds, *(field for kind in kinds for field in kind.attributes.values())]:
        rows = [line for line in said.split("\n") if line.startswith("| ") and f"`{one.name}` |" in line]
        assert any(one.why.split(".")[0] in row for row in rows)
    (reason,) = [line for line in said.split("\n") if line.startswith("| `failureReason`")]
    assert reason.endswith("| [Failures](failures.md) |")
    assert "TaskNotFound, TaskFailed" in reason
    (shell,) = [line for line in said.split("\n") if line.startswith("| `shellName`")]
    assert "| zsh |" in shell and "](" not in shell
    (free,) = [line for line in said.split("\n") if line.startswith("| `startedBy`")]
    assert mentions(free.split(" | ")[1], "free text")
    assert mentions(said, "2 years")


def test_a_page_reads_what_its_blocks_name_and_not_what_it_says() -> None:
    page = "---\ntitle: A\n---\nshell in words\n\n```sql a\nSELECT os FROM sessions\n```\n```toml\nrole = 'arch'\n```\n"
    used = uses({"sub/a.md": source(page)})
    assert used["os"] == [("sub/a.md", "A")]
    assert not {"shell", "arch"} & used.keys()


def test_titles_comments_aliases_and_texts_are_no_columns() -> None:
    sql = "```sql a\nSELECT os AS arch, 'shell' AS part -- terminal\nFROM events WHERE role = 'help'\n```\n"
    chart = "```yaml chart\ntype: bar\ndata: a\nx: part\ny: share(failed)\ntitle: Runtimes by command\n```\n"
    used = uses({"a.md": source(f"---\ntitle: A\n---\n{sql}\n{chart}")})
    assert {"os", "part", "failed", "'help'"} <= used.keys()
    assert not {"arch", "shell", "terminal", "runtimes", "command", "help"} & used.keys()


def test_a_template_has_the_name_of_its_file() -> None:
    page = '---\ntitle: "Version {{ page.v }}"\n---\n```sql a\nSELECT os FROM sessions\n```\n'
    assert uses({"one-version.md": source(page)})["os"] == [("one-version.md", "One version")]


def test_links_lead_from_where_the_page_lies() -> None:
    used = {"os": [("failures.md", "Failures")]}
    assert "[Failures](../failures.md)" in fields({"cairn": CAIRN}, used, "about/collected.md")


def test_words_of_a_registry_are_words() -> None:
    said = fields({"notes": registry.parse(HOSTILE)}, {}, "collected.md")
    assert "<script" not in said
    assert "<img" not in said
    assert "{{ x.y }}" not in said
    assert not re.search("<(a|img|em)[ >]", markdown(said, extensions=["tables"]))
    (row,) = [line for line in said.split("\n") if line.startswith("| `style`")]
    assert len(re.split(r"(?<!\\)\|", row)) == 7  # five cells and what is outside of them
    (gone,) = [line for line in said.split("\n") if line.startswith("| `gone`")]
    assert "It was used" in gone and "| It was used |" not in gone


def test_the_privacy_text_says_what_is_sent_how_long_it_is_kept_and_how_to_say_no() -> None:
    said = privacy(KNOWN, 12)
    for one in CAIRN.attributes.values():
        assert f"`{one.name}`" in said
    assert "`CAIRN_TELEMETRY=0`" in said
    assert mentions(said, "12", "2 years")
    gone = privacy({"notes": registry.parse(HOSTILE)}, 10)
    assert "`gone`" not in gone
    assert "<script" not in gone
    assert mentions(gone, "90 days")


def test_the_variable_is_the_one_that_the_client_heeds() -> None:
    from ingest.client.abaculus.tool import prefix

    for id in ("cairn", "my-tool", "7zip"):
        known = {id: registry.parse(f'id = "{id}"\nname = "Any"')}
        assert f"`{prefix(id)}_TELEMETRY=0`" in privacy(known, 10)
