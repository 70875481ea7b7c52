"""The clients for Go and TypeScript in a tool of each, how they are compiled, and the vectors of the specification."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ingest.function.registry import load, parse
from reports.clients.go import go
from reports.clients.typescript import TEMPLATE, typescript
from tests.hosts import APPLICATION, CLEAN, ROOT, Home
from tests.waiting import PATIENCE

__all__ = [
    "GO", "GO_TOOL", "HERE", "NODE", "NPM", "TYPESCRIPT_TOOL", "VECTORS", "WRONG_TYPESCRIPT", "Tool", "build_go",
    "compile_typescript", "go_source", "run_go",
]  # fmt: skip

HERE = Path(__file__).parent
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))
GO, NODE, NPM = shutil.which("go") or "", shutil.which("node") or "", shutil.which("npm") or ""
GO_TOOL = """package main

import (
	"fmt"
	"os"
	"time"

	"my-tool/telemetry"
)

func main() {
	config := telemetry.Config{Version: "1.4.0", Endpoint: "https://telemetry.invalid", Prompt: os.Getenv("PROMPT")}
	if len(os.Args) > 1 && os.Args[1] == "telemetry" {
		os.Exit(telemetry.Command(config, os.Args[2:]))
	}
	run := telemetry.Start(config)
	run.SetCount(4)
	run.SetOsName(telemetry.OsNameLinux)
	run.RecordDone(telemetry.Done{Note: telemetry.Of(telemetry.DoneNoteOk)})
	run.RecordDone(telemetry.Done{})
	span := run.StartWork()
	span.SetSize(1)
	span.End()
	fmt.Println("worked")
	if os.Getenv("WAIT") != "" {
		time.Sleep(time.Minute)
	}
	os.Exit(run.End(3))
}
"""
TYPESCRIPT_TOOL = """import { command, start } from "./telemetry.js";

const config = { version: "1.4.0", endpoint: "https://telemetry.invalid", prompt: process.env["PROMPT"] ?? "" };
if (process.argv[2] === "telemetry") process.exit(command(config, process.argv.slice(3)));
const run = start(config);
run.setCount(4);
run.setOsName("Linux");
run.recordDone({ note: "ok" });
run.recordDone();
const span = run.startWork();
span.setSize(1);
span.end();
console.log("worked");
if (process.env["WAIT"]) setTimeout(() => {}, 60_000);
process.exitCode = 3;
"""


WRONG_TYPESCRIPT = (
    "run.setSecret(1);", 'run.setCount("four");', 'run.setOsName("BeOS");', "run.recordDone({ secret: 1 });",
)  # fmt: skip


def go_source(directory: Path, text: str, **files: str) -> Path:
    """A module of Go with the client in it, and further files of its package `main`."""
    (directory / "telemetry").mkdir(parents=True)
    (directory / "telemetry" / "telemetry.go").write_text(text, encoding="utf-8")
    (directory / "go.mod").write_text("module my-tool\n\ngo 1.21\n", encoding="utf-8")
    for name, code in files.items():
        (directory / f"{name}.go").write_text(code, encoding="utf-8")
    return directory


def run_go(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command `go`."""
    return subprocess.run(
        [GO, *arguments], cwd=directory, env=os.environ | environment, capture_output=True, encoding="utf-8"
    )


def build_go(directory: Path) -> tuple[str, ...]:
    """The tool in Go; the command that starts it."""
    built = run_go(go_source(directory, go(APPLICATION), main=GO_TOOL), "build", "-o", "my-tool", ".")
    assert built.returncode == 0, built.stderr
    return (str(directory / "my-tool"),)


def compile_typescript(project: Path) -> str:
    """Compiles all of TypeScript at once, in a directory that has the compiler, which takes seconds to start; what it
    says. `wrong.ts` alone may have errors.
    """
    hostile = 'id = "x"\n[attributes.class]\ntype = "string"\nvalues = ["a b", "", "\\"\\\\"]\nwhy = "a */ b"\n'
    files = {f"r{at}": typescript(one) for at, one in enumerate(load(ROOT / "ingest" / "applications").values())}
    files |= {
        "tool": TYPESCRIPT_TOOL, "telemetry": typescript(APPLICATION), "hostile": typescript(parse(hostile)),
        "vectors": TEMPLATE.read_text(encoding="utf-8") + (HERE / "vectors.ts").read_text(encoding="utf-8"),
        "wrong": TYPESCRIPT_TOOL.replace("run.setCount(4);", "\n".join(WRONG_TYPESCRIPT)),
    }  # fmt: skip
    for name, text in files.items():
        (project / f"{name}.ts").write_text(text, encoding="utf-8")
    strict = [
        "--strict",
        "--noUncheckedIndexedAccess",
        "--noUnusedLocals",
        "--target",
        "es2022",
        "--module",
        "nodenext",
    ]
    command = [NODE, "node_modules/typescript/bin/tsc", *strict, *(f"{name}.ts" for name in files)]
    return subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8").stdout


class Tool(Home):
    """A tool that prints "worked" and ends with code 3, and a home for it."""

    def __init__(self, command: tuple[str, ...], place: str, directory: Path, endpoint: str) -> None:
        super().__init__(directory, endpoint)
        self.command = command
        self.state = directory / "state" / "my-tool" / place

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts it."""
        clean = {name: os.environ[name] for name in CLEAN if name in os.environ}
        return subprocess.Popen(
            [*self.command, *arguments], cwd=self.project, env=clean | self.environment | environment, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def do(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Runs it to its end: its exit code and output."""
        with self.popen(*arguments, **environment) as process:
            out, error = process.communicate(timeout=PATIENCE)
        return process.returncode, out, error
