"""The table of hostile input on the page about the HTTP interface, made from the cases that the tests run.

python3 .ci/venv python -m tests.hostile      # writes it into the page
"""

from pathlib import Path

from tests.ingest.test_asgi import WIRE
from tests.ingest.test_function import GZIP
from tests.ingest.test_session import FAULTS, NOT_VALID

__all__ = ["PAGE", "table"]

PAGE = Path("site/docs/http.md")
MARK = "<!-- made by tests/hostile.py from the cases that the tests run -->\n"


def table() -> str:
    """Every named case with its answer, as Markdown."""
    rows = [
        ("a malformed body", name, 400, f"Request body is not valid: {why}") for name, (_, why) in NOT_VALID.items()
    ]
    rows += [("a session with a fault", name, 400, message) for name, (_, _, _, _, message) in FAULTS.items()]
    rows += [("a compressed body", name, status, said) for name, (_, status, said) in GZIP.items()]
    for name, (_, came, _, _) in WIRE.items():
        status = came.decode().removeprefix("HTTP/1.1 ").strip()
        rows.append(("a connection", name, int(status) if status else "closed", "" if not status else "closed"))
    lines = ["| what | case | answer | says |", "|---|---|---|---|"]
    lines += [f"| {what} | {_cell(name)} | {status} | {_cell(said)} |" for what, name, status, said in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    shown = text.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
    return f"`{shown}`" if set(shown) & set("<>|*_[]{}") else shown


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    PAGE.write_text(head + MARK + "\n" + table(), encoding="utf-8")
