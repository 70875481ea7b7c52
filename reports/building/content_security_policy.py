"""The content security policy of a built site: what a page may load and run, in a meta element, the same on every page.

Nothing by default. Scripts come from the site itself, or are in the page and known by their hash. A script that
somebody else adds to a page does not run. The theme's own scripts differ from page to page. Instant navigation keeps
the policy of the first page, so each page has the hashes of all.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

__all__ = ["apply", "policy", "scripts"]

HEAD = "<head>"
# A browser runs script elements without a type, or with one of these. It does not run data, and the policy does not
# need it.
RUN = ("", "text/javascript", "application/javascript", "module")
# What the theme needs in addition to scripts: inline styles, and icons as data in style sheets.
FIXED = (
    "default-src 'none'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data:", "font-src 'self'",
    "connect-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'none'",
)  # fmt: skip
# A comment, or a script element with its content.
ELEMENT = r"(?is)<!--.*?-->|<script\b.*?</script\s*>"


def apply(site: Path) -> None:
    """Writes the policy into every page of a built site."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    given = policy(pages.values())
    for path, text in pages.items():
        if HEAD not in text:
            raise ValueError(
                f"{path.relative_to(site)} has no {HEAD} to write the policy into; fix the theme's template"
            )
        meta = f'<meta http-equiv="Content-Security-Policy" content="{given}">'
        path.write_text(text.replace(HEAD, HEAD + meta, 1), encoding="utf-8")


def policy(pages: Iterable[str]) -> str:
    """The policy that works for all these pages."""
    found = sorted({_hash(script) for page in pages for script in scripts(page)})
    return "; ".join([FIXED[0], " ".join(["script-src 'self'", *found]), *FIXED[1:]])


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def scripts(page: str) -> list[str]:
    """The inline scripts of a page that run."""
    found = _Scripts()
    # The parser is slow for large tables, so it reads script elements only. A script in a comment does not run.
    found.feed("".join(piece for piece in re.findall(ELEMENT, page) if piece[1] != "!"))
    found.close()
    return found.made


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.made: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inside = tag == "script" and "src" not in given and (given.get("type") or "").lower() in RUN
        if self.inside:
            self.made.append("")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.made[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = False
