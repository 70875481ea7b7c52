"""The documentation runs: "Get started" is walked as it stands, and the registry reference says all there is."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.function import registry
from ingest.function.roles import EVENT_ATTRIBUTE_ROLES, EVENT_ROLES
from reports.blocks import format
from reports.blocks.block import parse
from reports.blocks.kinds import NEEDS, ONLY, TYPES, USUAL
from reports.blocks.options import READERS
from reports.sample.demo import ingest_server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "site" / "docs"


def fences(page: str, kind: str) -> list[str]:
    """The contents of a page's fences of a kind, as they stand."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [found[1] for found in re.findall(rf"(?ms)^(`{{3,}}){kind}\n(.*?)^\1$", text)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The three files that "Get started" tells to make."""
    files = {
        "applications/my-tool.toml": fences("get-started.md", "toml")[0],
        "mkdocs.yml": fences("get-started.md", "yaml")[0],
        "site/index.md": fences("get-started.md", "markdown")[0],
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_get_started_leads_from_three_files_to_a_session_in_the_table(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ABACULUS")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(project / "cache"),
    }
    environment["ABACULUS_TELEMETRY"] = "0"

    def shell(script: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", script], env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    _, checks, server, send, look = fences("get-started.md", "console")
    assert "my-tool: 2 attributes" in shell(checks)
    assert (project / "build/site/index.html").is_file()
    assert server == "abaculus ingest --bucket data/bucket\n"
    for name in [one for one in os.environ if one.startswith("ABACULUS")]:
        monkeypatch.delenv(name)
    with ingest_server("data/bucket", project / "log") as url:
        for answer in ("201", "304"):
            again = send.replace("http://127.0.0.1:8080", url).replace("curl", "curl -s -o /dev/null -w '%{http_code}'")
            # The second is the same run, sent again: not one of a later second.
            again = again.replace("$(date -u +%Y-%m-%dT%H:%M:%SZ)", "$(date -u +%Y-%m-%dT00:00:00Z)")
            assert shell(again) == answer
    # What serves does not end; tests/building/test_serve.py has it.
    said = shell("\n".join(line for line in look.splitlines() if "serve" not in line))
    assert "Linux" in said
    assert "Too few people yet" in (project / "build/site/index.html").read_text(encoding="utf-8")


def test_the_example_of_the_registry_reference_is_a_registry() -> None:
    (example,) = fences("registry.md", "toml")
    notes = registry.parse(example)
    assert (notes.id, len(notes.attributes), len(notes.events), len(notes.spans)) == ("notes", 2, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    ["surprise = 1", '[attributes.a]\ntype = "string"\nwhy = "?"\nsurprise = 1', '[events.A]\nwhy = "?"\nsurprise = 1'],
)
def test_the_registry_reference_has_every_key(wrong: str) -> None:
    with pytest.raises(registry.RegistryError) as raised:
        registry.parse(f'id = "notes"\n{wrong}\n')
    (fault,) = raised.value.faults
    known = fault.rpartition("known here: ")[2].split(", ")
    page = (DOCS / "registry.md").read_text(encoding="utf-8")
    assert len(known) >= 4
    assert [key for key in known if f"`{key}`" not in page] == []


def test_the_registry_reference_has_every_type_and_every_role_of_events() -> None:
    page = (DOCS / "registry.md").read_text(encoding="utf-8")
    roles = (*EVENT_ROLES, *EVENT_ATTRIBUTE_ROLES)
    assert [one for one in (*registry.TYPES, *roles) if f"`{one}`" not in page] == []


def test_every_column_of_every_table_has_a_header() -> None:
    """A screen reader says the header before the cell."""
    for path in [ROOT / "README.md", *sorted((ROOT / "site").rglob("*.md"))]:
        lines = path.read_text(encoding="utf-8").splitlines()
        for head, rule in itertools.pairwise(lines):
            if re.fullmatch(r"\|(:?-+:?\|)+", rule):
                assert all(cell.strip() for cell in head.strip("|").split("|")), f"{path.name}: {head}"


def test_pages_write_times_in_one_form() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "site").rglob("*.md"))
    written = set(re.findall(r"strftime\(.*?'([^']*%[^']*)'", pages))
    assert written
    assert written <= {*format.PERIODS.values(), "%Y-%m-%d %H:%M UTC"}


def test_the_charts_reference_has_every_option_with_the_kinds_that_take_it_and_an_example() -> None:
    text = (DOCS / "charts.md").read_text(encoding="utf-8")
    (section,) = [one for one in text.split("\n## ") if one.startswith("Options\n")]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    options = {name.strip("`"): (_kinds(kinds), _kinds(needed)) for name, kinds, needed, _ in rows}
    every = set(TYPES)
    assert {name: kinds for name, (kinds, _) in options.items()} == {
        name: set(ONLY.get(name, every)) for name in READERS
    }
    needs = {"type": every, "data": every, "y": every - USUAL.keys()} | {
        name: set(kinds) for name, kinds in NEEDS.items()
    }
    assert {name: needed for name, (_, needed) in options.items() if needed} == needs
    blocks = fences("charts.md", "yaml chart")
    drawn = [block.lines.keys() | {block.type} for block in map(parse, blocks)]
    assert set().union(*drawn) >= READERS.keys() | every
    # Each stands twice: as text, and drawn.
    assert blocks[::2] == blocks[1::2]


def _kinds(cell: str) -> set[str]:
    """The kinds that a cell of the table names."""
    named = set(re.findall(r"`(\w+)`", cell))
    return set(TYPES) - named if cell.startswith("all") else named
