"""The client's modules import downwards only, and cost a run next to nothing."""

import ast
import graphlib

from tests.hosts import CLIENT

PACKAGE = CLIENT / "abaculus"


def imported(source: str) -> set[str]:
    """The client's modules that a source imports anywhere: in functions and for types, too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "abaculus":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("abaculus."):
            found.add(node.module.partition(".")[2])
    return found


def test_no_two_modules_import_each_other_on_any_way() -> None:
    graph = {path.stem: imported(path.read_text("utf-8")) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    assert set().union(*graph.values()) <= graph.keys()
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the ring
