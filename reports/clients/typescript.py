"""A TypeScript module, typed from an application's registry. Everything except the types is in `telemetry.ts`."""

import json
from collections.abc import Iterable
from pathlib import Path

from abaculus.tool import prefix
from ingest.function.registry import Application, Field
from reports.clients.names import current, pascal

__all__ = ["typescript"]

TEMPLATE = Path(__file__).with_name("telemetry.ts")
DECLARED = "// What the registry declares.\n"
TYPES = {"string": "string", "timestamp": "string", "integer": "number", "number": "number", "boolean": "boolean"}


def typescript(application: Application) -> str:
    """The file's text."""
    head, mark, _ = TEMPLATE.read_text(encoding="utf-8").partition(DECLARED)
    lines = [
        f"const APPLICATION: string = {_text(application.id)};",
        f"const VARIABLE: string = {_text(prefix(application.id) + '_TELEMETRY')};",
        "const COLLECTS: readonly string[] = [",
        *(f"  {_text(path)}," for path in application.paths),
        "];",
        "",
        "/** The run, with a function for each attribute, event and span. */",
        "export class Run {",
        "  constructor(private readonly recorder: Recorder) {}",
    ]
    for field in current(application.attributes):
        lines += _setter(field, f"this.recorder.set({_text(field.name)}, value)")
    for event in current(application.events):
        given = _given(current(event.attributes))
        lines += ["", _comment(event.why), f"  record{pascal(event.name)}(given: {given} = {{}}): void {{"]
        lines += [f"    this.recorder.record({_text(event.name)}, given);", "  }"]
    spans = current(application.spans)
    for span in spans:
        kind = f"{pascal(span.name)}Span"
        lines += ["", _comment(span.why), f"  start{pascal(span.name)}(): {kind} {{"]
        lines += [f"    return new {kind}(this.recorder, this.recorder.begin({_text(span.name)}));", "  }"]
    lines.append("}")
    for span in spans:
        lines += ["", f"/** {_inert(span.why)} */", f"export class {pascal(span.name)}Span {{"]
        lines += ["  constructor(private readonly recorder: Recorder, private readonly part: Part) {}", ""]
        lines += ["  end(): void {", "    this.part.end ??= this.recorder.now();", "  }"]
        for field in current(span.attributes):
            lines += _setter(field, f"if (storable(value)) this.part.attributes[{_text(field.name)}] = value")
        lines.append("}")
    return head + mark + "\n" + "\n".join(lines) + "\n"


def _setter(field: Field, statement: str) -> list[str]:
    head = f"  set{pascal(field.name)}(value: {_type(field)}): void {{"
    return ["", _comment(field.why), head, f"    {statement};", "  }"]


def _type(field: Field) -> str:
    return " | ".join(map(_text, field.values)) if field.values is not None else TYPES[field.type]


def _given(fields: Iterable[Field]) -> str:
    return "{ " + "".join(f"{_text(field.name)}?: {_type(field)}; " for field in fields) + "}"


def _text(text: str) -> str:
    return json.dumps(text)


def _comment(why: str) -> str:
    return f"  /** {_inert(why)} */"


def _inert(why: str) -> str:
    return " ".join(why.split()).replace("*/", "* /")
