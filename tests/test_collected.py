"""What is collected, and the privacy text: made from the registry, all of it, and hostile words stay words."""

import re
from pathlib import Path

import pytest
from markdown import markdown

from ingest import registry
from reports.collected import fields, fill, privacy, uses

ROOT = Path(__file__).parent.parent
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
    used = uses({"failures.md": "---\ntitle: Failures\n---\n```sql a\nSELECT failure_reason FROM sessions\n```\n"})
    said = fields({"cairn": CAIRN}, used, "collected.md")
    kinds = [*CAIRN.events.values(), *CAIRN.spans.values()]
    for one in [*CAIRN.attributes.values(), *kinds, *(field for kind in kinds for field in kind.attributes.values())]:
        rows = [line for line in said.split("\n") if line.startswith("| ") and f"`{one.name}` |" in line]
        assert any(one.why.split(".")[0] in row for row in rows)
    (reason,) = [line for line in said.split("\n") if line.startswith("| `failureReason`")]
    assert reason.endswith("| [Failures](failures.md) |")
    assert "TaskNotFound, TaskFailed" in reason
    (shell,) = [line for line in said.split("\n") if line.startswith("| `shellName`")]
    assert shell.endswith("| zsh | no page by name |")
    assert "free text: stored, and never shown" in next(line for line in said.split("\n") if "`startedBy`" in line)
    assert "Sessions are kept for 2 years" in said


def test_a_page_reads_what_its_blocks_name_and_not_what_it_says() -> None:
    page = "---\ntitle: A\n---\nshell in words\n\n```sql a\nSELECT os FROM sessions\n```\n```toml\nrole = 'arch'\n```\n"
    used = uses({"sub/a.md": page})
    assert used["os"] == [("sub/a.md", "A")]
    assert not {"shell", "arch"} & used.keys()


def test_a_template_has_the_name_of_its_file() -> None:
    page = '---\ntitle: "Version {{ page.v }}"\n---\n```sql a\nSELECT os FROM sessions\n```\n'
    assert uses({"one-version.md": page})["os"] == [("one-version.md", "One version")]


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
    assert "(No longer collected.)" in said


def test_the_privacy_text_says_what_is_sent_how_long_it_is_kept_and_how_to_say_no() -> None:
    said = privacy(KNOWN, 12)
    for one in CAIRN.attributes.values():
        assert f"`{one.name}`" in said
    assert "`CAIRN_TELEMETRY=0`" in said
    assert "at least 12\npeople" in said
    assert "kept for 2 years" in said
    gone = privacy({"notes": registry.parse(HOSTILE)}, 10)
    assert "`gone`" not in gone
    assert "<script" not in gone
    assert "kept for 90 days" in gone


def test_the_variable_is_the_one_that_the_client_heeds() -> None:
    from ingest.client.abaculus.telemetry import prefix

    for id in ("cairn", "my-tool", "7zip"):
        known = {id: registry.parse(f'id = "{id}"\nname = "Any"')}
        assert f"`{prefix(id)}_TELEMETRY=0`" in privacy(known, 10)


def test_a_mark_is_replaced_where_it_stands_alone_and_an_unknown_one_is_named() -> None:
    parts = {"fields": lambda: "all of them"}
    assert fill("a\n\n<!-- abaculus: fields -->\n\nb `<!-- abaculus: fields -->`", parts) == (
        "a\n\nall of them\n\nb `<!-- abaculus: fields -->`"
    )
    with pytest.raises(ValueError, match="nothing is made for <!-- abaculus: field -->; there are fields"):
        fill("<!-- abaculus: field -->", parts)
