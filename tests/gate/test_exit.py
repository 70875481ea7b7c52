"""`protect` is the only exit: who may make what is published, read from the syntax trees of all modules."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from reports.blocks.block import Block
from reports.blocks.published import Published
from reports.gate.protect import Protected

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "reports").rglob("*.py"), *(ROOT / "ingest").rglob("*.py")])
# Class -> the modules that may call its constructor, or replace() a field of it.
# `Published` itself leaves out the rows of the period that is not over, and adds none.
MAKERS = {
    "Protected": {"reports/gate/protect.py"},
    "Published": {"reports/gate/show.py", "reports/blocks/published.py"},
}
OWN = {
    "Published": {one.name for one in fields(Published)} - {one.name for one in fields(Block)} - {"unit"},
    "Protected": {one.name for one in fields(Protected)} - {"rules"},
}


def makes(source: str) -> Iterator[tuple[str, int]]:
    """Classes that a module makes objects of, each with its line: by a call, or by replacing a field that only it has.

    A replace() whose fields cannot be read counts as making each of them.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MAKERS:
            yield name, node.lineno
        if name in ("replace", "__replace__", "_replace") and (node.keywords or name != "replace"):
            named = {one.arg for one in node.keywords}
            for kind, own in OWN.items():
                if named & own or None in named:
                    yield kind, node.lineno
        if name in ("__new__", "__setattr__") and any(kind in ast.unparse(node) for kind in MAKERS):
            yield from ((kind, node.lineno) for kind in MAKERS if kind in ast.unparse(node))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_protect_and_show_make_what_is_published(module: Path) -> None:
    name = str(module.relative_to(ROOT))
    assert [one for one in makes(module.read_text(encoding="utf-8")) if name not in MAKERS[one[0]]] == []


@pytest.mark.parametrize(
    "source",
    [
        "Published((), (), (), 3)",
        "published.Published(rows=rows)",
        "replace(shown, rows=rows)",
        "dataclasses.replace(shown, measures=())",
        "replace(shown, **changed)",
        "copy.replace(shown, marks=())",
        "shown.__replace__(rows=())",
        "object.__new__(Published)",
        "Protected(cells, rules)",
        "replace(cells, cells={})",
    ],
)
def test_each_way_to_make_one_is_seen(source: str) -> None:
    assert list(makes(source))


def test_replacing_what_a_block_has_is_no_making() -> None:
    assert list(makes("replace(block, title=None, filter=())")) == []


def test_what_decides_and_what_names_knows_no_database() -> None:
    for module in ("protect", "rules", "show", "labels", "cells"):
        source = (ROOT / "reports" / "gate" / f"{module}.py").read_text(encoding="utf-8")
        imported = {
            name
            for node in ast.walk(ast.parse(source))
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom)
                else [one.name for one in node.names] if isinstance(node, ast.Import) else []
            )
        }  # fmt: skip
        assert not {one for one in imported if "duckdb" in one or one.startswith("reports.charts")}, module


def test_nothing_outside_the_gate_sees_exact_cells() -> None:
    for module in MODULES:
        if module.parent.name == "gate" and module.stem in ("plan", "lookup", "count", "protect", "publish", "labels"):
            continue
        source = module.read_text(encoding="utf-8")
        assert "reports.gate.count" not in source, module
        assert not {"Cell", "Counted", "Part"} & {
            alias.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom) and node.module == "reports.gate.cells"
            for alias in node.names
        }, module
