"""The summary of a workflow run: new and quarantined sessions, the age and the size of the site.

The summary and the log are as public as the repository. They round the number of stored sessions, or hide it if too few
people sent them. They contain no other counts, no content of a session and no key."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.store import ObjectStore

from reports.blocks.format import inert, plural
from reports.gate.rules import Rules
from reports.query.snapshot import Snapshot
from reports.query.views import connect
from reports.storage.ledger import Counts, Entry
from reports.storage.objects import Damaged, document, objects

__all__ = ["MOST", "ago", "cell", "newest", "reasons", "sizes", "spoken", "summary"]

# GitHub Pages does not serve a larger site.
PAGES_BYTES = 1_000_000_000
# Anyone who may create raw objects can invent applications, and a summary has a size limit.
MOST = 10
# Beginning or end of a reason in quarantine/ -> its public text. The reason itself may quote what was sent.
REASONS = {
    r"not gzip|it ends before|it inflates": "not gzip, or incomplete",
    r"it is empty": "empty",
    r"\d+ bytes is more": "larger than the limit for an object",
    r"sessionId is not a UUID": "no session id",
    r"applicationId is not": "of another application",
    r".* is missing$": "a required member is missing",
    r"nested too deeply": "nested too deeply",
    r"JSON parse error|a line is not|[\d,]+ lines? gave": "not JSON, or not in the session format",
}
SAID = (
    ("sessions", "received"),
    ("stored", "stored"),
    ("recovered", "stored by a run that was interrupted"),
    ("repeated", "repeated"),
    ("forgotten", "of forgotten people"),
    ("quarantined", "quarantined"),
    ("waiting", "waiting for the registry"),
    ("expired", "expired and deleted"),
)
# Counts that the public sees only as "some" or "none", and counts that it never sees.
BITS = ("recovered", "repeated", "quarantined", "waiting")


def spoken(counts: Counts, rules: Rules | None) -> list[tuple[str, str]]:
    """(What, how many) for each result of a run. With `rules`, only the public number: how many were stored."""
    if rules is None:
        found = [(what, getattr(counts, name), name) for name, what in SAID]
        return [(what, f"{number:,}") for what, number, name in found if number or name in ("sessions", "stored")]
    stored = rules.told(counts.people, counts.stored)
    told = [("stored", "few" if stored is None else f"{stored:,}")]
    return told + [(what, "some") for name, what in SAID if name in BITS and getattr(counts, name)]


def reasons(store: ObjectStore, run: str) -> set[str]:
    """The reasons why this run quarantined sessions, in fixed texts."""
    found: set[str] = set()
    for key, _ in objects(store, "quarantine/", ".reason.json"):
        with suppress(Damaged, FileNotFoundError):
            note = document(store, key)
            if note.get("run") == run:
                reason = str(note.get("reason", ""))
                found.add(next((said for one, said in REASONS.items() if re.match(one, reason)), "unreadable"))
    return found


def newest(snapshot: Snapshot, minimum: int) -> datetime | None:
    """The time since which enough people for a published number have run something. None if there were never enough.

    The newest session itself belongs to one person.
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
    return plural(round(hours), "hour") if hours < 48 else plural(round(hours / 24), "day")


def cell(text: str) -> str:
    """A text in a cell of a Markdown table. Characters with a meaning in Markdown or HTML become their number."""
    return re.sub(r"[^\w\s.,:;/()?-]", lambda one: f"&#{ord(one[0])};", " ".join(inert(text, 300).split()))


def summary(
    *,
    entry: Entry | None = None,
    aside: Collection[str] = (),
    site: Path | None = None,
    seconds: Mapping[str, float] | None = None,
    last: datetime | None = None,
    now: datetime,
    rules: Rules,
    notes: Sequence[str] = (),
) -> str:
    """Markdown. `entry` is the ledger entry, `seconds` how long each page took, `last` the result of `newest`."""
    lines = ["### Abaculus", ""]
    for note in notes:
        lines += [f"> {note}", ""]
    if entry is not None:
        lines += _came(entry, aside, rules)
    if site is not None:
        lines += _built(site, seconds or {}, last, now, rules.minimum)
    return "\n".join(lines) + "\n"


def _came(entry: Entry, aside: Collection[str], rules: Rules) -> Iterator[str]:
    if not entry.applications:
        yield from ("No new sessions.", "")
    else:
        yield from ("| application | sessions | how many |", "|---|---|---:|")
        for id, counts in entry.applications.items():
            for what, number in spoken(counts, rules):
                yield f"| {cell(id)} | {what} | {number} |"
        yield from ("", f'"Few" means that fewer than {rules.minimum} people sent them, or nobody.', "")
    if aside:
        yield from ("| reason for quarantine |", "|---|")
        for reason in sorted(aside):
            yield f"| {reason} |"
        yield from ("", "`abaculus status` says where they are and how to retry them.", "")
    for line in (entry.error or "").splitlines()[:MOST]:
        yield from (f"**Not done:** {cell(line)}", "")
    for id in entry.unregistered[:MOST]:
        yield from (f"Sessions of {cell(id)} wait: no registry file has this id. Add one.", "")


def _built(
    site: Path, seconds: Mapping[str, float], last: datetime | None, now: datetime, minimum: int
) -> Iterator[str]:
    if last is None:
        yield f"Fewer than {minimum} people have sent sessions so far, so no page can show numbers."
    else:
        yield f"{minimum} people have run it within the last **{ago(now - last)}**."
    files, size = sizes(site)
    share = size / PAGES_BYTES
    yield from (
        "",
        f"The site has {plural(files, 'file')} and {size / 1e6:,.1f} MB, {share:.1%} of the limit of GitHub Pages.",
    )
    if share > 0.8:
        yield from ("", "**It will soon be too large.** Remove blocks with many rows from its pages.")
    if seconds:
        yield from ("", f"| page | seconds to build (all: {sum(seconds.values()):.1f}) |", "|---|---:|")
        slowest = sorted(seconds.items(), key=lambda one: -one[1])[:MOST]
        yield from (f"| {cell(name)} | {took:.1f} |" for name, took in slowest)
    yield ""


def fields(stamp: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by page, from a site's stamp."""
    found = stamp.get("seconds")
    return {str(name): float(took) for name, took in found.items()} if isinstance(found, dict) else {}
