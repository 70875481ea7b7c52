"""What the page of a workflow run says: what came in, what was set aside, how fresh and how large the site is.

It is as public as the repository, and so is the log. A number that fewer people than `minimum_users` are behind is not
said, and nothing that a session or a key holds stands there as it is.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.store import ObjectStore

from reports.format import inert
from reports.ledger import Counts, Entry
from reports.warehouse import Snapshot, connect

__all__ = ["MOST", "ago", "cell", "newest", "reasons", "sizes", "spoken", "summary"]

# GitHub Pages serves no site that is larger.
PAGES_BYTES = 1_000_000_000
# Anyone who may create raw objects can make up applications; a summary has a limit.
MOST = 10
# Beginning or end of a reason in quarantine/ -> what is said of it in public. A reason may quote what was sent.
REASONS = {
    r"not gzip|it ends before|it inflates": "not gzip, or only a part of it",
    r"it is empty": "empty",
    r"\d+ bytes is more": "larger than an object may be",
    r"sessionId is not a UUID": "no session id",
    r"applicationId is not": "of another application",
    r".* is missing$": "a required member is missing",
    r"nested too deeply": "nested too deeply",
    r"JSON parse error|a line is not|\d+ lines gave": "not JSON, or not of the session format",
}
SAID = (
    ("sessions", "received"),
    ("stored", "stored"),
    ("recovered", "stored by a run that was stopped"),
    ("repeated", "repeated"),
    ("forgotten", "of forgotten people"),
    ("quarantined", "set aside in quarantine/"),
    ("waiting", "waiting for the registry"),
    ("expired", "older than the retention and deleted"),
)


def spoken(counts: Counts, minimum: int | None) -> list[tuple[str, str]]:
    """(What, how many) of what a run did. With a `minimum` of people, for everybody's eyes."""
    found = []
    for name, what in SAID:
        number = getattr(counts, name)
        # Of the others nobody knows whose they are; a person makes at least one.
        few = minimum is not None and number and (counts.people < minimum or number < minimum)
        if number or name in ("sessions", "stored"):
            found.append((what, "a few" if few else f"{number:,}"))
    return found


def reasons(store: ObjectStore, run: str) -> Counter[str]:
    """Why this run set sessions aside, in words of ours."""
    found: Counter[str] = Counter()
    for page in store.list("quarantine/"):
        for meta in page:
            if not meta["path"].endswith(".reason.json"):
                continue
            note = json.loads(bytes(store.get(meta["path"]).bytes()))
            if note.get("run") == run:
                reason = str(note.get("reason", ""))
                found[next((said for one, said in REASONS.items() if re.match(one, reason)), "unreadable")] += 1
    return found


def newest(snapshot: Snapshot, minimum: int) -> datetime | None:
    """Since when as many people as a published number needs have run something; None if so many never did.

    The newest session itself is one person's.
    """
    with connect(snapshot) as connection:
        row = connection.execute(
            "SELECT max(start_time) AS last FROM sessions WHERE user_id IS NOT NULL GROUP BY user_id "
            "ORDER BY last DESC LIMIT 1 OFFSET $1",
            [minimum - 1],
        ).fetchone()
    return row[0] if row else None


def sizes(site: Path) -> tuple[int, int]:
    """Files and bytes of a built site."""
    found = [path.stat().st_size for path in site.rglob("*") if path.is_file()]
    return len(found), sum(found)


def ago(since: timedelta) -> str:
    """How long ago, in the largest unit that fits."""
    hours = since.total_seconds() / 3600
    if hours < 1:
        return "less than an hour"
    return _plural(round(hours), "hour") if hours < 48 else _plural(round(hours / 24), "day")


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def cell(text: str) -> str:
    """A text in a cell of a Markdown table: every sign that could mean something stands as its number."""
    return re.sub(r"[^\w\s.,:;/()?-]", lambda one: f"&#{ord(one[0])};", " ".join(inert(text, 300).split()))


def summary(
    *,
    entry: Entry | None = None,
    aside: Mapping[str, int] | None = None,
    site: Path | None = None,
    seconds: Mapping[str, float] | None = None,
    last: datetime | None = None,
    now: datetime,
    minimum: int,
    notes: Sequence[str] = (),
) -> str:
    """Markdown. `entry` is what compaction did, `seconds` how long each page took, `last` what `newest` found."""
    lines = ["### Abaculus", ""]
    for note in notes:
        lines += [f"> {note}", ""]
    if entry is not None:
        lines += _came(entry, aside or {}, minimum)
    if site is not None:
        lines += _built(site, seconds or {}, last, now, minimum)
    return "\n".join(lines) + "\n"


def _came(entry: Entry, aside: Mapping[str, int], minimum: int) -> Iterator[str]:
    if not entry.applications:
        yield from ("No new sessions.", "")
    else:
        yield from ("| application | sessions | how many |", "|---|---|---:|")
        for id, counts in entry.applications.items():
            for what, number in spoken(counts, minimum):
                yield f"| {cell(id)} | {what} | {number} |"
        yield from ("", f'"A few": so many that fewer than {minimum} people may be behind them.', "")
    if aside:
        yield from ("| set aside, because it is | sessions |", "|---|---:|")
        for reason, times in aside.items():
            yield f"| {reason} | {'a few' if times < minimum else f'{times:,}'} |"
        yield from ("", "`abaculus status` says where they lie and how to put them back.", "")
    for id in entry.unregistered[:MOST]:
        yield from (f"Sessions of {cell(id)} wait: no registry file has this id. Add one.", "")


def _built(
    site: Path, seconds: Mapping[str, float], last: datetime | None, now: datetime, minimum: int
) -> Iterator[str]:
    if last is None:
        yield f"Fewer than {minimum} people have sent sessions yet, so that no page can show any."
    else:
        yield f"{minimum} people have run it within the last **{ago(now - last)}**."
    files, size = sizes(site)
    share = size / PAGES_BYTES
    yield from ("", f"The site has {files:,} files and {size / 1e6:,.1f} MB, {share:.1%} of what GitHub Pages serves.")
    if share > 0.8:
        yield from ("", "**It will soon be too large.** Take blocks with many rows off its pages.")
    if seconds:
        yield from ("", f"| page | seconds to make (all: {sum(seconds.values()):.1f}) |", "|---|---:|")
        slowest = sorted(seconds.items(), key=lambda one: -one[1])[:MOST]
        yield from (f"| {cell(name)} | {took:.1f} |" for name, took in slowest)
    yield ""


def fields(stamp: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by page, from a site's stamp."""
    found = stamp.get("seconds")
    return {str(name): float(took) for name, took in found.items()} if isinstance(found, dict) else {}
