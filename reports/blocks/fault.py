"""A mistake in a file of an author, with its place and its remedy."""

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True)
class Fault:
    """A mistake. Lines and columns count from 1. `code` names its kind, independent of the message."""

    file: str
    line: int
    message: str
    column: int | None = None
    code: str = ""

    def __str__(self) -> str:
        column = "" if self.column is None else f":{self.column}"
        code = f" [{self.code}]" if self.code else ""
        return f"{self.file}:{self.line}{column}: {' '.join(self.message.splitlines())}{code}"
