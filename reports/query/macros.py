"""The functions of report SQL beyond DuckDB's: the order of versions, the last days, cohorts, the age of a release.

Each is a macro, which DuckDB expands where it is used, so it costs as much as its SQL. The sandbox does not check this
SQL, so none of it may give a row a value of another person's row.
"""

import re
from typing import Any

__all__ = ["BUILD", "BY_PERSON", "DEFINITIONS", "INGESTED", "MACROS", "version_key"]

# The parts that the Python client writes after the plus sign, in this order (abaculus/version.py).
BUILD = (
    r"^[^+]*\+(?:epoch\.(\d+)(?:\.|$))?(?:rev\.(\d+(?:\.\d+)*)(?:\.|$))?(?:post\.(\d+)(?:\.|$))?(?:dev\.(\d+)(?:\.|$))?"
)
# The same key exists in Python, for the order of labels.
_NUMBER = "lpad(length(ltrim({0}, '0'))::VARCHAR, 4, '0') || ltrim({0}, '0')"
_PART = r"regexp_extract(v, '^(\d+)(?:\.(\d+))?(?:\.(\d+))?', {})"


def _parts(text: str, between: str) -> str:
    """Identifiers between dots in a form that sorts: numbers by value, before everything with a letter."""
    number = f"CASE WHEN regexp_full_match(part, '[0-9]+') THEN '0' || {_NUMBER.format('part')} ELSE '1' || part END"
    return f"array_to_string(list_transform(string_split({text}, '.'), lambda part: {number}), '{between}')"


def _build(number: int, there: str, otherwise: str) -> str:
    """SQL for a part of the build metadata, if there is one. `{0}` in `there` is its text."""
    part = f"regexp_extract(v, '{BUILD}', {number})"
    return f"CASE WHEN contains(v, '+') AND {part} <> '' THEN {there.format(part)} ELSE {otherwise} END"


_EPOCH = _build(1, "'e' || " + _NUMBER, "''")
_FURTHER = _build(2, "'.' || " + _parts("{0}", "."), "''")
_POST = _build(3, "'2' || " + _NUMBER, "''")
_DEV = _build(4, "'0' || " + _NUMBER, "'1'")
# A character below the dot ends the numbers, so that 1.2.3 comes before 1.2.3.4. A blank, the lowest character, ends a
# pre-release, so that rc comes before rc.1.
_KEY = (
    f"CASE WHEN v IS NOT NULL THEN concat({_EPOCH}, "
    + ", '.', ".join(_NUMBER.format(_PART.format(number)) for number in (1, 2, 3))
    + f", {_FURTHER}, '-', CASE WHEN NOT regexp_matches(v, '^[^+]*-') THEN '~' ELSE "
    + _parts("regexp_extract(v, '^[^+-]*-([^+]*)', 1)", "!")
    + f" END, ' ', {_POST}, {_DEV}) END"
)
# DuckDB looks for an argument among these names first, so no column of a page may have one of them.
_RELEASES = (
    'FROM (SELECT application AS "its application", version AS "its version", released AS "its time" FROM releases)'
)
# Stands for the time when the newest session arrived. It is the server's clock, which no client can change. `last_days`
# has it as a constant, because DuckDB joins what a subquery returns to every row.
INGESTED = '"its ingestion"'
# A pre-release, which people choose themselves, does not make the version before it old.
_PRE = """regexp_matches("its version", '^[^+]*-')"""
# Name -> its parameters and its SQL. Later macros may use earlier ones.
DEFINITIONS = {
    "version_key": ("v", _KEY),
    "version_rank": (
        "v",
        "CASE WHEN v IS NOT NULL THEN dense_rank() OVER (ORDER BY version_key(v) DESC NULLS LAST) END",
    ),
    "is_latest": (
        "a, v, t",
        f"""t < (SELECT coalesce(min("its time") FILTER (version_key("its version") > version_key(v) AND NOT {_PRE}),
        TIMESTAMP 'infinity') {_RELEASES} WHERE "its application" = a HAVING count(*) > 0)""",
    ),
    "days_since_release": (
        "a, v, t",
        f"""(epoch(t) - epoch((SELECT min("its time") {_RELEASES}
        WHERE "its application" = a AND version_key("its version") = version_key(v)))) / 86400""",
    ),
    "last_days": ("t, n", f"t > {INGESTED} - to_days(n)"),
    "cohort": ("u, t, g", "CASE WHEN u IS NOT NULL THEN date_trunc(g, min(t) OVER (PARTITION BY u)) END"),
}
MACROS = frozenset(DEFINITIONS)
# Macros that read other rows of a person. Their first argument must be user_id.
BY_PERSON = frozenset(["cohort"])
VERSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-([^+]*))?")


def version_key(version: str) -> Any:
    """A key that sorts versions like the macro of this name: by Semantic Versioning, 1 and 1.0 like 1.0.0.

    Numbers by value, a pre-release before its release. Text after a plus sign does not count, except the parts that the
    Python client writes: an epoch, further numbers, a post-release and its development release.
    """
    found = VERSION.match(version)
    numbers = [_number(part or "") for part in found.groups()[:3]] if found else []
    pre = found[4].split(".") if found and found[4] is not None else None
    parts = [(0, *_number(part)) if re.fullmatch("[0-9]+", part) else (1, 0, part) for part in pre or []]
    build = re.match(BUILD, version, re.ASCII)
    epoch, further, post, dev = build.groups() if build else (None, None, None, None)
    numbers += [_number(part) for part in further.split(".")] if further else []
    return (
        _number(epoch) if epoch else (-1, ""),
        numbers,
        pre is None,
        parts,
        (2, *_number(post)) if post else (0 if dev else 1,),
        _number(dev) if dev else (9999, ""),
    )


def _number(digits: str) -> tuple[int, str]:
    """Sorts like the number, whatever its length."""
    kept = digits.lstrip("0")
    return len(kept), kept
