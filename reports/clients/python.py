"""A Python module with a function for each attribute, event and span that an application declares."""

import keyword
from collections.abc import Iterable

from ingest.function.registry import Application, Field
from reports.clients.names import current, snake

__all__ = ["python"]

TYPES = {"string": "str", "timestamp": "str", "integer": "int", "number": "float", "boolean": "bool"}
HEAD = '''"""What {id} may record. Written by `abaculus client python {id}` from its registry file, and not by hand."""

# fmt: off
# ruff: noqa
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from abaculus import Session, Span

# For `Telemetry(…, collects=COLLECTS)`: nothing else is recorded.
COLLECTS = (
{paths}
)


class Run:
    """A run, typed: `with telemetry.session() as session: run = Run(session)`."""

    def __init__(self, session: Session) -> None:
        self._session = session
'''


def python(application: Application) -> str:
    """The module's text."""
    lines = [HEAD.format(id=application.id, paths="\n".join(f"    {path!r}," for path in application.paths))]
    for field in current(application.attributes):
        lines += _setter(field, "self._session")
    for event in current(application.events):
        fields = current(event.attributes)
        lines.append(f"    def record_{snake(event.name)}(self{_parameters(fields)}) -> None:")
        lines += [
            f"        {_docstring(event.why)}",
            f"        self._session.event({event.name!r}, **{_given(fields)})",
            "",
        ]
    spans = current(application.spans)
    for span in spans:
        fields = current(span.attributes)
        lines.append(f"    def start_{snake(span.name)}(self{_parameters(fields)}) -> {span.name}Span:")
        lines.append(f"        {_docstring(span.why)}")
        lines.append(f"        return {span.name}Span(self._session.span({span.name!r}, **{_given(fields)}))")
        lines.append("")
    for span in spans:
        lines += ["", f"class {span.name}Span:", f"    {_docstring(span.why)}", ""]
        lines += ["    def __init__(self, span: Span) -> None:", "        self._span = span", ""]
        lines += [f"    def __enter__(self) -> {span.name}Span:", "        return self", ""]
        lines += ["    def __exit__(self, *error: object) -> None:", "        self._span.__exit__(*error)", ""]
        for field in current(span.attributes):
            lines += _setter(field, "self._span")
    lines += [
        "",
        "def _given(values: dict[str, str | int | float | bool | None]) -> dict[str, str | int | float | bool | None]:",
        "    return {name: value for name, value in values.items() if value is not None}",
    ]
    return "\n".join(lines) + "\n"


def _setter(field: Field, holder: str) -> list[str]:
    return [
        f"    def set_{snake(field.name)}(self, value: {_type(field)}) -> None:",
        f"        {_docstring(field.why)}",
        f"        {holder}.attribute({field.name!r}, value)",
        "",
    ]


def _type(field: Field) -> str:
    if field.values is not None:
        return f"Literal[{', '.join(map(repr, field.values))}]"
    return TYPES[field.type]


def _name(field: Field) -> str:
    name = snake(field.name)
    return f"{name}_" if keyword.iskeyword(name) or name == "self" else name


def _parameters(fields: Iterable[Field]) -> str:
    listed = [f"{_name(field)}: {_type(field)} | None = None" for field in fields]
    return ", *, " + ", ".join(listed) if listed else ""


def _given(fields: Iterable[Field]) -> str:
    return f"_given({{{', '.join(f'{field.name!r}: {_name(field)}' for field in fields)}}})"


def _docstring(why: str) -> str:
    text = " ".join(why.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{text}"""'
