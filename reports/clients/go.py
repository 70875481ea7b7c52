"""A Go package in one file, typed from an application's registry. Everything except the types is in `telemetry.go`."""

import json
from collections.abc import Iterable
from pathlib import Path

from abaculus.tool import prefix
from ingest.function.registry import Application, Field
from reports.clients.names import current, pascal

__all__ = ["go"]

TEMPLATE = Path(__file__).with_name("telemetry.go")
DECLARED = "// What the registry declares.\n"
TYPES = {"string": "string", "timestamp": "string", "integer": "int64", "number": "float64", "boolean": "bool"}


def go(application: Application) -> str:
    """The text of the file, formatted like gofmt."""
    head, mark, _ = TEMPLATE.read_text(encoding="utf-8").partition(DECLARED)
    lines = [
        f"const application = {_text(application.id)}",
        f"const variable = {_text(prefix(application.id) + '_TELEMETRY')}",
        "",
        "var collects = []string{",
        *(f"\t{_text(path)}," for path in application.paths),
        "}",
    ]
    for field in current(application.attributes):
        lines += _setter("run *Run", field, field.name, "run.set")
    for event in current(application.events):
        fields = current(event.attributes)
        for field in fields:
            lines += _values(f"{event.name}{pascal(field.name)}", field)
        lines += ["", f"// {event.name} is an event. {_comment(event.why)}", *_struct(event.name, fields)]
        lines += ["", f"// Record{pascal(event.name)} records that this happened now."]
        lines.append(f"func (run *Run) Record{pascal(event.name)}(given {event.name}) {{")
        lines.append("\tattributes := map[string]any{}")
        for field in fields:
            name = pascal(field.name)
            lines += [f"\tif given.{name} != nil {{", f"\t\tattributes[{_text(field.name)}] = *given.{name}", "\t}"]
        lines += [f"\trun.record({_text(event.name)}, attributes)", "}"]
    for span in current(application.spans):
        kind = f"{pascal(span.name)}Span"
        lines += [
            "",
            f"// {kind} measures something that takes time. {_comment(span.why)}",
            f"type {kind} struct{{ span *span }}",
        ]
        lines += ["", f"// Start{pascal(span.name)} begins it; End ends it."]
        lines.append(
            f"func (run *Run) Start{pascal(span.name)}() {kind} {{ return {kind}{{run.begin({_text(span.name)})}} }}"
        )
        lines += ["", "// End ends it.", f"func (one {kind}) End() {{ one.span.finish() }}"]
        for field in current(span.attributes):
            lines += _setter(f"one {kind}", field, f"{span.name}{pascal(field.name)}", "one.span.set")
    return head + mark + "\n" + "\n".join(lines) + "\n"


def _setter(receiver: str, field: Field, kind: str, call: str) -> list[str]:
    name = pascal(field.name)
    return [
        *_values(kind, field),
        "",
        f"// Set{name} records a fact. {_comment(field.why)}",
        f"func ({receiver}) Set{name}(value {_type(kind, field)}) {{ {call}({_text(field.name)}, value) }}",
    ]


def _type(kind: str, field: Field) -> str:
    return pascal(kind) if field.values is not None else TYPES[field.type]


def _values(kind: str, field: Field) -> list[str]:
    """A type for the listed values, and a constant for each."""
    if field.values is None:
        return []
    kind = pascal(kind)
    lines = ["", f"// {kind} is one of the declared values.", f"type {kind} string", ""]
    taken: list[str] = []
    for value in field.values:
        taken.append(pascal(value, taken))
        lines.append(f"const {kind}{taken[-1]} {kind} = {_text(value)}")
    return lines


def _struct(name: str, fields: Iterable[Field]) -> list[str]:
    listed = [(pascal(field.name), "*" + _type(f"{name}{pascal(field.name)}", field)) for field in fields]
    if not listed:
        return [f"type {name} struct{{}}"]
    width = max(len(one) for one, _ in listed)
    return [f"type {name} struct {{", *(f"\t{one.ljust(width)} {kind}" for one, kind in listed), "}"]


def _text(text: str) -> str:
    return json.dumps(text)


def _comment(why: str) -> str:
    return " ".join(why.split())
