"""What a change of the registry is said to do, and that it is what happens."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ingest.function.bucket_url import open_bucket
from reports.cli import main
from reports.operations.doctor import compaction
from reports.operations.registry_changes import WORDS, between, with_tables
from reports.writers.compact import Unfinished, compact
from tests.buckets import NOTES, keep, registry, session
from tests.messages import mentions

ROOT = Path(__file__).parents[2]
OTHER = NOTES.replace('"notes"', '"other"')
SIZE = '[spans.Save.attributes.size]\ntype = "integer"'
OS = (
    '[attributes.osName]\ntype = "string"\nvalues = ["Linux", "macOS"]\nrole = "os"\nwhy = "Which systems to support"\n'
)
MEMORY = '[attributes.memory]\ntype = "number"\nwhy = "How much is there?"\n'
COMMENT = '[attributes.comment]\ntype = "string"\nwhy = "Free text"\n'


def swap(old: str, new: str) -> str:
    assert old in NOTES
    return NOTES.replace(old, new)


# What is written -> (path, kind, whether it is refused, whether something is lost) of each change.
CHANGES: dict[str, tuple[str, set[tuple[str, str, bool, bool]]]] = {
    "nothing": (NOTES, set()),
    "new": (
        NOTES + '[events.Shut]\nwhy = "?"\n'
        '[events.Shut.attributes.how]\ntype = "string"\nvalues = ["key"]\nwhy = "?"\n',
        {("events.Shut", "new", False, False), ("events.Shut.attributes.how", "new", False, False)},
    ),
    "renamed": (
        swap("[attributes.memory]", '[attributes.room]\nreplaces = "memory"'),
        {("attributes.room", "renamed", False, False)},
    ),
    "split": (
        swap(OS, OS + 'removed = true\n[attributes.family]\ntype = "string"\nrole = "os"\nwhy = "?"\n'),
        {("attributes.osName", "removed", False, False), ("attributes.family", "new", False, False)},
    ),
    "deleted": (swap(MEMORY, ""), {("attributes.memory", "deleted", False, True)}),
    "an event is gone": (
        re.sub(r"(?s)\[events\.Opened\].*?(?=\[events\.Closed\])", "", NOTES),
        {
            ("events.Opened", "removed", False, False),
            ("events.Opened", "role taken", False, True),
            ("events.Opened.attributes.how", "deleted", False, True),
        },
    ),
    "widened": (swap(SIZE, SIZE.replace("integer", "number")), {("spans.attributes.size", "widened", False, False)}),
    "narrowed": (
        swap('type = "number"', 'type = "integer"'), {("attributes.memory", "narrowed", False, True)},
    ),
    "another type": (
        swap('type = "number"', 'type = "boolean"'), {("attributes.memory", "another type", True, False)},
    ),
    "other capitals": (
        swap("[attributes.osName]", "[attributes.OSName]"), {("attributes.OSName", "other capitals", True, False)},
    ),
    "a role is taken": (swap('role = "os"\n', ""), {("attributes.osName", "role taken", False, True)}),
    "a role moves": (
        swap(OS, OS.replace("attributes.osName", "attributes.family") + OS.replace('role = "os"\n', "")),
        {("attributes.family", "new", False, False), ("attributes.osName", "role taken", False, True)},
    ),
    "fewer values": (swap('["Linux", "macOS"]', '["Linux"]'), {("attributes.osName", "fewer values", False, False)}),
    "more values": (swap('["Linux", "macOS"]', '["Linux", "macOS", "BSD"]'), set()),
    "a pattern": (
        swap('values = ["menu", "key"]', "pattern = 'm.*'"),
        {("events.Opened.attributes.how", "fewer values", False, False)},
    ),
    "free text": (
        swap('values = ["menu", "key"]\n', ""), {("events.Opened.attributes.how", "free text", False, True)},
    ),
    "published": (
        swap(COMMENT, COMMENT + "publish = true\n"), {("attributes.comment", "published", False, False)},
    ),
    "kept shorter": (
        swap('name = "Notes"', 'name = "Notes"\nretention_days = 30'),
        {("retention_days", "shorter retention", False, True)},
    ),
    "retired": (swap('name = "Notes"', 'name = "Notes"\nretired = true'), {("retired", "retired", False, False)}),
    "no file": (OTHER, {("", "no file", False, True), ("", "new", False, False)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named_with_what_it_costs(name: str) -> None:
    text, expected = CHANGES[name]
    found = between(registry(NOTES), registry(text))
    assert {(one.path, one.kind, one.refused, one.lost) for one in found} == expected
    assert len(found) == len(expected)


def test_what_was_removed_can_be_taken_again() -> None:
    gone = registry(swap(MEMORY, MEMORY + "removed = true\n"))
    (found,) = between(gone, registry(NOTES))
    assert (found.path, found.kind, found.lost) == ("attributes.memory", "taken again", False)


def test_the_page_on_the_registry_has_the_same_words() -> None:
    text = (ROOT / "site/docs/registry.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"(?ms)^## When it changes\n(.*?)^## ", text + "\n## ")
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in section.splitlines() if "|" in line]
    assert [row for row in WORDS.values() if row not in rows] == []


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with a table of each of two applications."""
    path = str(tmp_path_factory.mktemp("changes") / "bucket")
    known = registry(NOTES, OTHER)
    keep(open_bucket(path), session(1), session(2, applicationId="other"), known=known)
    compact(open_bucket(path), path, known)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NOTES, []),
        (swap(SIZE, SIZE.replace("integer", "number")), [("spans.attributes.size", "widened")]),
        (swap('type = "number"', 'type = "integer"'), [("attributes.memory", "narrowed")]),
        (swap('type = "number"', 'type = "string"'), [("attributes.memory", "another type")]),
        (swap(MEMORY, MEMORY + "removed = true\n"), []),
        (swap("[attributes.memory]", '[attributes.room]\nreplaces = "memory"'), [("attributes.room", "renamed")]),
        (
            swap(SIZE, SIZE.replace("size]", 'bytes]\nreplaces = "size"')),
            [("spans.attributes.bytes", "renamed")],
        ),
        (
            swap(MEMORY, MEMORY.replace("memory", "room")).replace("attributes.how", "attributes.How"),
            [
                ("events.attributes.How", "other capitals"),
                ("attributes.room", "new"),
                ("attributes.memory", "deleted"),
            ],
        ),
    ],
    ids=["nothing", "widened", "narrowed", "another type", "removed", "renamed", "renamed in a span", "names"],
)
def test_a_table_of_an_earlier_version_is_compared_by_its_columns(
    tmp_path: Path, bucket: str, text: str, expected: list[tuple[str, str]]
) -> None:
    shutil.copytree(bucket, tmp_path / "bucket")
    bucket = str(tmp_path / "bucket")
    store = open_bucket(bucket)
    store.delete(["registry/notes.toml", "registry/other.toml"])
    found = with_tables(store, bucket, registry(text, OTHER))
    assert [(one.path, one.kind) for one in found] == expected
    gone = with_tables(store, bucket, registry(text))
    assert [(one.application, one.kind) for one in gone if one.application == "other"] == [("other", "no file")]


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"no file"}))
def test_a_bucket_names_the_same_changes_as_a_commit(bucket: str, name: str) -> None:
    after = registry(CHANGES[name][0], OTHER)
    assert with_tables(open_bucket(bucket), bucket, after) == between(registry(NOTES, OTHER), after)


def test_a_name_that_was_given_up_earlier_cannot_come_back_with_another_type(tmp_path: Path) -> None:
    path = str(tmp_path / "bucket")
    store = open_bucket(path)
    keep(store, session(1))
    for text in (NOTES, swap(MEMORY, "")):
        compact(store, path, registry(text))
    found = with_tables(store, path, registry(swap('type = "number"', 'type = "string"')))
    assert [(one.path, one.kind) for one in found] == [
        ("attributes.memory", "new"),
        ("attributes.memory", "another type"),
    ]
    # A damaged file of the registry is none.
    store.put("registry/notes.toml", b"id = ")
    assert with_tables(store, path, registry(NOTES)) == []


def test_what_it_calls_refused_compaction_refuses_and_doctor_names(tmp_path: Path) -> None:
    """Case R2, with both kinds of change: one is done, the other stops that application only."""
    path = str(tmp_path / "bucket")
    store = open_bucket(path)
    compact_with = lambda *texts: compact(store, path, registry(*texts))  # noqa: E731
    for number, id in enumerate(("notes", "other"), 1):
        keep(store, session(number, applicationId=id), known=registry(NOTES, OTHER))
    compact_with(NOTES, OTHER)
    for text in (swap(SIZE, SIZE.replace("integer", "number")), swap('type = "number"', 'type = "string"')):
        changed = registry(text, OTHER)
        refused = [one.application for one in with_tables(store, path, changed) if one.refused]
        for id in ("notes", "other"):
            number = len(list(store.list("ledger/").collect()))
            keep(store, session(100 * number + (id == "other"), applicationId=id), known=changed)
        entry = _run(lambda text=text: compact_with(text, OTHER))  # type: ignore[misc]
        stored = {id: counts.stored for id, counts in entry.applications.items()}
        assert stored == {"notes": 0 if refused else 1, "other": 1}
        wrong = [one.what for one in compaction(store, path, changed) if one.wrong]
        assert len(wrong) == len(refused) and all("notes" in one for one in wrong)


def _run(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Unfinished as stopped:
        return stopped.entry


# The command

Check = Callable[..., Result]


def commit(directory: Path) -> None:
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    for command in (["add", "-A"], ["commit", "-q", "-m", "Change"]):
        subprocess.run(["git", *who, *command], cwd=directory, check=True)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """A repository whose first commit has the registry; the command with another text of it."""
    applications = tmp_path / "tool" / "applications"
    applications.mkdir(parents=True)
    (applications / "notes.toml").write_text(NOTES, encoding="utf-8")
    (applications / "other.toml").write_text("\ufeff" + OTHER, encoding="utf-8")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GITHUB_ACTIONS", "ABACULUS_APPLICATIONS"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=tmp_path, check=True)
    commit(tmp_path)
    monkeypatch.chdir(tmp_path / "tool")

    def run(text: str, *arguments: str) -> Result:
        (applications / "notes.toml").write_text(text, encoding="utf-8")
        return CliRunner().invoke(main, ["registry", "check", *arguments])

    yield run


def test_a_registry_is_compared_with_a_commit(check: Check) -> None:
    assert check(NOTES, "--against", "main").exit_code == 0
    wide = check(swap(SIZE, SIZE.replace("integer", "number")), "--against", "HEAD", "--json")
    assert wide.exit_code == 0
    (change,) = json.loads(wide.stdout)["changes"]
    assert (change["application"], change["path"], change["kind"]) == ("notes", "spans.attributes.size", "widened")
    narrow = check(swap('type = "number"', 'type = "integer"'), "--against", "HEAD")
    assert narrow.exit_code == 1 and "attributes.memory" in narrow.stdout
    assert check("id = 3", "--against", "HEAD").exit_code == 1


def test_a_commit_that_is_not_utf8_is_named(check: Check) -> None:
    Path("applications/other.toml").write_bytes(OTHER.encode() + b"# \xe9\n")
    commit(Path())
    Path("applications/other.toml").write_text(OTHER, encoding="utf-8")
    done = check(NOTES, "--against", "HEAD")
    assert done.exit_code == 1
    assert mentions(done.stderr, "other.toml", "HEAD", "UTF-8")


def test_a_registry_is_compared_with_a_bucket(check: Check, bucket: str) -> None:
    for against in (bucket, Path(bucket).as_uri()):
        assert check(NOTES, "--against", against).exit_code == 0
        refused = check(swap('type = "number"', 'type = "string"'), "--against", against, "--json")
        (change,) = json.loads(refused.stdout)["changes"]
        assert (refused.exit_code, change["refused"], change["path"]) == (1, True, "attributes.memory")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_name_that_is_empty_as_of_an_unset_variable_is_refused(check: Check, more: tuple[str, ...]) -> None:
    done = check(NOTES, "--against", "", *more)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--against" in done.stderr


@pytest.mark.parametrize("against", ["mian", "--output=x", "data/bucket", "file:///nowhere/bucket"])
def test_what_it_cannot_be_compared_with_is_named(check: Check, against: str) -> None:
    done = check(NOTES, f"--against={against}")
    assert done.exit_code == 1
    assert against.removeprefix("file://") in done.stderr


def test_a_workflow_gets_a_mark_for_each_loss(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = check(swap('type = "number"', 'type = "string"').replace('role = "os"\n', ""), "--against", "HEAD")
    marks = re.findall(r"(?m)^::error [^:]*::notes: (\S+):", done.stdout)
    assert (done.exit_code, sorted(marks)) == (1, ["attributes.memory", "attributes.osName"])
