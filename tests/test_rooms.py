"""The rooms of the code: imports go down only, and a command loads only what it needs."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Contract -> a module, and an import in it that the contract forbids.
BREAKS = {
    "Imports go down only": ("reports/storage/ledger.py", "import reports.gate.publish"),
    "No two modules of a folder import each other, directly or through others": (
        "reports/query/engine.py",
        "import reports.query.spark",
    ),
    "The function knows nothing of the reports, and starts without their libraries": (
        "ingest/function/store.py",
        "import pyarrow",
    ),
    "MkDocs is known in building only": ("reports/charts/colors.py", "import mkdocs"),
    "The language of blocks knows no database": ("reports/blocks/kinds.py", "import duckdb"),
}


def test_each_import_rule_turns_red_when_it_is_broken(tmp_path: Path) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {contract["name"] for contract in contracts} == set(BREAKS), "a rule that no test breaks"

    def verdicts() -> dict[str, str]:
        # It puts the directory that it is started in first on the path.
        command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", env={"COLUMNS": "200"})
        lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines() if line.endswith((" KEPT", " BROKEN"))]
        assert (done.returncode == 0) == all(verdict == "KEPT" for _, verdict in lines), done.stdout + done.stderr
        return dict(lines)

    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in (ROOT / "ingest", ROOT / "reports", ROOT / "ingest" / "client" / "abaculus"):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__", "client"))
    assert verdicts() == dict.fromkeys(BREAKS, "KEPT")
    for module, line in BREAKS.values():
        with (tmp_path / module).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    assert verdicts() == dict.fromkeys(BREAKS, "BROKEN")


def test_help_loads_no_database_and_no_site_generator() -> None:
    heavy = {"deltalake", "duckdb", "material", "mkdocs", "plotly", "pyarrow"}
    code = (
        "import sys\nfrom reports.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded', sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert "Usage:" in done.stdout


def test_every_init_file_is_empty() -> None:
    tracked = [
        path for folder in ("ingest/function", "reports", "tests") for path in (ROOT / folder).rglob("__init__.py")
    ]
    assert [
        str(path) for path in [ROOT / "ingest/__init__.py", *tracked] if path.read_text(encoding="utf-8").strip()
    ] == []
