"""The client for Go as a file: formatted, built for every system, and with functions for what is declared alone."""

import subprocess
from pathlib import Path

import pytest

from ingest.function.registry import load, parse
from reports.clients.go import TEMPLATE, go
from tests.clients.builds import GO, GO_TOOL, go_source, run_go
from tests.hosts import APPLICATION, ROOT

pytestmark = [
    pytest.mark.slow,  # a compiler
    pytest.mark.skipif(not GO, reason="Go is not installed (apt-get install golang-go)"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go_source(tmp_path_factory.mktemp("go"), go(APPLICATION), main=GO_TOOL)


def test_it_is_formatted(source: Path) -> None:
    gofmt = [str(Path(GO).with_name("gofmt")), "-l", ".", str(Path(__file__).with_name("vectors_test.go"))]
    done = subprocess.run(gofmt, cwd=source, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("system", "begins"),
    [("linux", b"\x7fE"), ("freebsd", b"\x7fE"), ("windows", b"MZ"), ("darwin", b"\xcf\xfa")],
)
def test_a_tool_with_it_builds_on_every_system(source: Path, system: str, begins: bytes) -> None:
    out = source / f"my-tool-{system}"
    # Go's own library is compiled for each system anew: without optimizing, that takes two thirds of the time.
    quick = [] if system == "linux" else ["-gcflags=all=-N -l"]
    built = run_go(source, "build", *quick, "-o", str(out), ".", GOOS=system)
    assert (built.returncode, built.stderr) == (0, "")
    assert out.read_bytes()[:2] == begins


def test_the_template_builds_by_itself_and_every_registry_of_ours_does(tmp_path: Path) -> None:
    texts = {"template": TEMPLATE.read_text(encoding="utf-8")}
    texts |= {id: go(application) for id, application in load(ROOT / "ingest" / "applications").items()}
    hostile = (
        'id = "x"\n[attributes.class]\ntype = "string"\nvalues = ["a b", "a-b", "", "\\"\\\\"]\nwhy = "a\\nb */"\n'
    )
    texts["hostile"] = go(parse(hostile))
    directory = go_source(tmp_path, go(APPLICATION))
    for number, text in enumerate(texts.values()):
        (directory / f"p{number}").mkdir()
        (directory / f"p{number}" / "telemetry.go").write_text(text, encoding="utf-8")
    vetted = run_go(directory, "vet", "./...")
    assert (vetted.returncode, vetted.stderr) == (0, "")


def test_what_is_not_declared_does_not_build(tmp_path: Path) -> None:
    wrong = ("run.SetSecret(1)", 'run.SetCount("four")', "run.RecordDone(telemetry.Done{Secret: nil})")
    code = GO_TOOL.replace("run.SetCount(4)", "\n".join(wrong))
    built = run_go(go_source(tmp_path, go(APPLICATION), main=code), "build", "-o", "tool", ".")
    first = GO_TOOL.split("\n").index("\trun.SetCount(4)") + 1
    assert built.returncode != 0
    for line in range(first, first + len(wrong)):
        assert f"main.go:{line}:" in built.stderr
