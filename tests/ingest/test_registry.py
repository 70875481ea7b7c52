"""The registry: what a file may declare, and how its mistakes are named."""

from pathlib import Path

import pytest

from ingest.function.registry import PROBE, RegistryError, load, parse

WHY = 'why = "to test"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(RegistryError) as raised:
        parse(text, "tool.toml")
    return raised.value.faults


def test_a_file_declares_all_that_an_application_may_send() -> None:
    tool = parse(
        f"""
        id = "tool"
        name = "Tool"
        description = "A tool"
        retention_days = 30
        [attributes.osName]
        type = "string"
        values = ["Linux", "macOS"]
        role = "os"
        example = "Linux"
        {WHY}
        [attributes.note]
        type = "string"
        {WHY}
        [attributes.gone]
        type = "integer"
        removed = true
        {WHY}
        [events.Notice]
        role = "update_notice"
        {WHY}
        [events.Notice.attributes.newVersion]
        type = "string"
        pattern = '\\d+(\\.\\d+){{0,2}}'
        {WHY}
        [spans.Load]
        {WHY}
        """
    )
    assert (tool.id, tool.name, tool.retention_days, tool.retired, tool.sample) == ("tool", "Tool", 30, False, False)
    assert tool.attributes["osName"].role == "os"
    assert not tool.attributes["osName"].free_text
    assert tool.attributes["note"].free_text
    assert tool.attributes["gone"].removed
    assert tool.spans["Load"].attributes == {}
    version = tool.events["Notice"].attributes["newVersion"]
    assert [version.allows(text) for text in ("1", "1.2.3", "1.2.3.4", "1\n", "x1")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_what_a_file_does_not_say_has_a_default() -> None:
    tool = parse('id = "tool"')
    assert (tool.name, tool.description, tool.retention_days, dict(tool.attributes)) == ("tool", "", 730, {})


# A mistake, and how its line begins.
MISTAKES: dict[str, tuple[str, str]] = {
    "no id": ("", "tool.toml: id: must be 1 to 63 lower-case letters, digits and hyphens, got ''"),
    "id with a slash": ('id = "a/b"', "tool.toml: id: must be 1 to 63"),
    "id with a newline": ('id = "a\\n"', "tool.toml: id: must be 1 to 63"),
    "name a number": ('id = "a"\nname = 1', "tool.toml: name: must be text in quotes, got 1"),
    "retired a text": ('id = "a"\nretired = "yes"', "tool.toml: retired: must be true or false, got 'yes'"),
    "retention true": (
        'id = "a"\nretention_days = true', "tool.toml: retention_days: must be a whole number, got True",
    ),
    "retention zero": ('id = "a"\nretention_days = 0', "tool.toml: retention_days: must be at least 1, got 0"),
    "unknown key": ('id = "a"\nnmae = "A"', "tool.toml: nmae: unknown key; known here: id, name,"),
    "unknown key of an attribute": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nvlaues = []\n{WHY}',
        "tool.toml: attributes.x.vlaues: unknown key; known here: type,",
    ),
    "no type": (f'id = "a"\n[attributes.x]\n{WHY}', "tool.toml: attributes.x.type: must be one of string, integer,"),
    "no why": ('id = "a"\n[events.X]', "tool.toml: events.X.why: write in a sentence"),
    "attribute not a table": ('id = "a"\n[attributes]\nx = "string"', "tool.toml: attributes.x: must be a table like"),
    "name with a hyphen": (
        f'id = "a"\n[attributes.os-name]\ntype = "string"\n{WHY}',
        "tool.toml: attributes.os-name: a name is a letter followed by letters and digits, at most 64",
    ),
    "name too long": (f'id = "a"\n[spans.{"X" * 65}]\n{WHY}', f"tool.toml: spans.{'X' * 65}: a name is a letter"),
    "names that differ in case only": (
        f'id = "a"\n[attributes.ab]\ntype = "string"\n{WHY}[attributes.aB]\ntype = "string"\n{WHY}',
        "tool.toml: attributes.aB: differs from 'ab' only in case",
    ),
    "event types equal but for case": (
        f'id = "a"\n[events.Ab]\n{WHY}[events.AB]\n{WHY}', "tool.toml: events.AB: differs from 'Ab' only in case",
    ),
    "the name of a core column": (
        f'id = "a"\n[attributes.Month]\ntype = "string"\n{WHY}',
        "tool.toml: attributes.Month: 'Month' is a column that every view has",
    ),
    "a core column in an event": (
        f'id = "a"\n[events.E]\n{WHY}[events.E.attributes.time]\ntype = "string"\n{WHY}',
        "tool.toml: events.E.attributes.time: 'time' is a column that every view has",
    ),
    "the name of a role it has not": (
        f'id = "a"\n[attributes.shell]\ntype = "string"\n{WHY}',
        "tool.toml: attributes.shell: 'shell' is the name of a role; add role = 'shell'",
    ),
    "unknown role": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nrole = "color"\n{WHY}',
        "tool.toml: attributes.x.role: unknown role 'color'; known: os,",
    ),
    "role of another type": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nrole = "exit_code"\n{WHY}',
        "tool.toml: attributes.x.type: an attribute with role 'exit_code' must be integer, got 'string'",
    ),
    "role twice": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nrole = "os"\n{WHY}'
        f'[attributes.y]\ntype = "string"\nrole = "os"\n{WHY}',
        "tool.toml: attributes.y.role: 'os' is already the role of 'x'",
    ),
    "a former name that is declared": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nreplaces = "y"\n{WHY}[attributes.y]\ntype = "string"\n{WHY}',
        "tool.toml: attributes.x.replaces: 'y' is still declared",
    ),
    "a former name that differs in case": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nreplaces = "X"\n{WHY}',
        "tool.toml: attributes.x.replaces: 'X' is 'x'",
    ),
    "a former name twice": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nreplaces = "old"\n{WHY}'
        f'[attributes.y]\ntype = "string"\nreplaces = "old"\n{WHY}',
        "tool.toml: attributes.y.replaces: 'old' is already replaced by 'x'",
    ),
    "a former name of another type": (
        f'id = "a"\n[attributes.x]\ntype = "integer"\nreplaces = "y"\n{WHY}'
        f'[attributes.y]\ntype = "string"\nremoved = true\n{WHY}',
        "tool.toml: attributes.x.replaces: 'y' is string",
    ),
    "former names in a circle": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nreplaces = "y"\nremoved = true\n{WHY}'
        f'[attributes.y]\ntype = "string"\nreplaces = "x"\nremoved = true\n{WHY}',
        "tool.toml: attributes.x.replaces: names replace each other",
    ),
    "a former name that is none": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nreplaces = "a-b"\n{WHY}',
        "tool.toml: attributes.x.replaces: a name is a letter",
    ),
    "role of a span": (f'id = "a"\n[spans.X]\nrole = "os"\n{WHY}', "tool.toml: spans.X.role: unknown role 'os'"),
    "role of a span's attribute": (
        f'id = "a"\n[spans.X]\n{WHY}[spans.X.attributes.y]\ntype = "string"\nrole = "exception_type"\n{WHY}',
        "tool.toml: spans.X.attributes.y.role: attributes of spans have no role",
    ),
    "role of an attribute in an event": (
        f'id = "a"\n[events.X]\n{WHY}[events.X.attributes.y]\ntype = "string"\nrole = "os"\n{WHY}',
        "tool.toml: events.X.attributes.y.role: unknown role 'os'; known: exception_type",
    ),
    "role of another type in an event": (
        f'id = "a"\n[events.X]\n{WHY}[events.X.attributes.y]\ntype = "integer"\nrole = "exception_type"\n{WHY}',
        "tool.toml: events.X.attributes.y.type: an attribute with role 'exception_type' must be string",
    ),
    "values and pattern": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nvalues = ["a"]\npattern = "a"\n{WHY}',
        "tool.toml: attributes.x: has both values and pattern; keep one",
    ),
    "values of an integer": (
        f'id = "a"\n[attributes.x]\ntype = "integer"\nvalues = ["1"]\n{WHY}',
        'tool.toml: attributes.x: values and pattern are for type = "string"',
    ),
    "values that are numbers": (
        f'id = "a"\n[attributes.x]\ntype = "string"\nvalues = [1]\n{WHY}',
        "tool.toml: attributes.x.values: must be a list of one or more texts in quotes",
    ),
    "pattern that is none": (
        f'id = "a"\n[attributes.x]\ntype = "string"\npattern = "("\n{WHY}',
        "tool.toml: attributes.x.pattern: RE2 does not accept '(': missing ): (",
    ),
    "one name with two types among events": (
        f'id = "a"\n[events.A]\n{WHY}[events.A.attributes.n]\ntype = "string"\n{WHY}'
        f'[events.B]\n{WHY}[events.B.attributes.n]\ntype = "integer"\n{WHY}',
        "tool.toml: events.B.attributes.n: is integer, but events elsewhere have 'n' as string",
    ),
    "not TOML": ("id = ", "tool.toml: not valid TOML: "),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_key_and_remedy(name: str) -> None:
    text, line = MISTAKES[name]
    (found,) = faults(text)
    assert found.startswith(line)


def test_a_former_name_is_taken_like_the_attribute_that_replaces_it() -> None:
    tool = parse(
        f'id = "a"\n[attributes.system]\ntype = "string"\nvalues = ["Linux"]\nrole = "os"\nreplaces = "osName"\n{WHY}'
    )
    former, now = tool.attributes["osName"], tool.attributes["system"]
    assert (former.replaced_by, former.removed, former.current) == ("system", False, False)
    assert (former.values, former.role, former.type) == (now.values, now.role, now.type)
    assert tool.paths == ["attributes.system"]
    assert [field.name for field in tool.with_role("os")] == ["system", "osName"]


def test_a_former_name_with_a_table_of_its_own_is_still_taken() -> None:
    tool = parse(
        f'id = "a"\n[attributes.load]\ntype = "number"\nreplaces = "size"\n{WHY}'
        f'[attributes.size]\ntype = "integer"\nreplaces = "length"\nremoved = true\n{WHY}'
    )
    found = [(one.name, one.type, one.replaced_by, one.removed) for one in tool.attributes.values()]
    assert sorted(found) == [
        ("length", "integer", "size", False), ("load", "number", None, False), ("size", "integer", "load", False),
    ]  # fmt: skip
    assert tool.paths == ["attributes.load"]


def test_one_current_attribute_and_any_number_of_removed_ones_share_a_role() -> None:
    removed = "".join(
        f'[attributes.{name}]\ntype = "string"\nrole = "os"\nremoved = true\n{WHY}' for name in ("first", "second")
    )
    tool = parse(f'id = "a"\n{removed}[attributes.third]\ntype = "string"\nrole = "os"\n{WHY}')
    assert [field.name for field in tool.with_role("os")] == ["third", "first", "second"]


def test_an_events_attribute_and_a_spans_may_differ_in_type() -> None:
    assert parse(
        f'id = "a"\n[events.A]\n{WHY}[events.A.attributes.n]\ntype = "string"\n{WHY}'
        f'[spans.A]\n{WHY}[spans.A.attributes.n]\ntype = "integer"\n{WHY}'
    )


def test_every_fault_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('id = "A"\nx = 1\n[events.E]', encoding="utf-8")
    (tmp_path / "b.toml").write_text('id = "b"', encoding="utf-8")
    (tmp_path / "c.toml").write_text('id = "b"', encoding="utf-8")
    (tmp_path / "d.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(RegistryError) as raised:
        load(tmp_path)
    a, d, c = (str(tmp_path / name) for name in ("a.toml", "d.toml", "c.toml"))
    assert [fault.split(" ")[:2] for fault in raised.value.faults] == [
        [f"{a}:", "id:"],
        [f"{a}:", "events.E.why:"],
        [f"{a}:", "x:"],
        [f"{c}:", "id:"],
        [f"{d}:", "cannot"],
    ]
    assert "is taken by" in raised.value.faults[3]
    assert str(raised.value).count("\n") == 4


def test_the_directory_comes_from_the_environment_else_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABACULUS_APPLICATIONS", raising=False)
    with pytest.raises(RegistryError, match=r"applications: no registry file"):
        load()
    for place, id in (("applications", "mine"), ("ingest/applications", "ours"), ("elsewhere", "named")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.toml").write_text(f'id = "{id}"', encoding="utf-8")
        if place == "elsewhere":
            monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / place))
        assert list(load()) == [PROBE.id, id]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b'\xef\xbb\xbfid = "a"')
    assert "a" in load(tmp_path)


def test_the_files_that_come_with_the_project_are_in_order() -> None:
    assert load(Path(__file__).parents[2] / "ingest" / "applications")
