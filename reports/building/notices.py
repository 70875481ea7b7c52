"""The HTML above and below a page's text: its mistakes, the kind of its data, and its age."""

import html
import re
from collections.abc import Sequence
from datetime import datetime

from reports.building.report import Checked, lines
from reports.charts.html import text

__all__ = ["EXACT", "PRIVATE", "banner", "freshness", "lacks", "mistakes", "summary"]

PRIVATE = (
    '<div class="admonition danger ab-private"><p><strong>Private.</strong> Nothing on this page is protected: it '
    "shows "
    "the runs of single people, and free text as it was sent. Publish no part of it, and no picture of it.</p></div>"
)
EXACT = (
    '<div class="admonition warning ab-private"><p><strong>Not for the public.</strong> All numbers here are exact. '
    "A reader who compares numbers can find out what single people did. Only groups of too few people are hidden."
    "</p></div>"
)


def mistakes(found: Checked) -> str:
    """The mistakes and warnings of a page, above the page, for its author."""
    said = "".join(f"<li><code>{text(line)}</code></li>" for line in lines(found))
    kind, heading = ("failure", "Mistakes") if found.faults else ("warning", "Warnings")
    return (
        f'<div class="admonition {kind} ab-mistakes"><p>{heading} on this page:</p><ul>{said}</ul></div>'
        if said
        else ""
    )


def lacks(said: Sequence[str]) -> str:
    """The list, above a private page, of everything that the public page cannot show yet."""
    items = [re.sub("`(.*?)`", r"<code>\1</code>", text(one)) for one in said]
    lines = "".join(f"<li>{one}</li>" for one in items)
    return (
        f'<div class="admonition info ab-lacks"><p>Not on the public page yet:</p><ul>{lines}</ul></div>'
        if lines
        else ""
    )


def banner(samples: list[str]) -> str:
    """The notice at the top of a page that its data is generated. Nothing for real data."""
    if not samples:
        return ""
    names = " and ".join(text(name) for name in samples)
    return (
        '<div class="admonition warning ab-sample">'
        f"<p><strong>Generated data.</strong> The sessions of {names} were generated to show these pages; "
        "no number here is about a person.</p></div>"
    )


def freshness(updated: datetime | None, built: datetime, excluded: Sequence[tuple[datetime, datetime]] = ()) -> str:
    """When the data was last updated, when the page was built, and what the maintainer excluded."""
    if updated is None:
        return '<p class="ab-fresh">No data has been compacted yet.</p>'
    times = ", ".join(f"from {_time(start)} to {_time(end)}" for start, end in excluded)
    out = f" · excluded: sessions that arrived {times}" if times else ""
    return f'<p class="ab-fresh">Data of {_time(updated)} · page built {_time(built)}{out}</p>'


def _time(time: datetime) -> str:
    return f'<time datetime="{time:%Y-%m-%dT%H:%M:%SZ}">{time:%Y-%m-%d %H:%M} UTC</time>'


# Parts that are not sentences of the author: figures, and marks beside headings.
NO_WORDS = re.compile(r"<(figure|pre|script|style|template)\b.*?</\1\s*>", re.DOTALL)
LONGEST = 160


def summary(page: str) -> str:
    """The first paragraph of a page, as HTML, as long as search engines show it."""
    found = re.search(r"<p>(.*?)</p>", NO_WORDS.sub("", page), re.DOTALL)
    said = " ".join(html.unescape(re.sub(r"<[^>]*>", "", found[1])).split()) if found else ""
    return text(said if len(said) <= LONGEST else f"{said[: LONGEST - 1].rsplit(' ', 1)[0]}…")
