"""What report SQL can say beyond DuckDB: the order of versions, cohorts, and how far a run is from a release.

Each is a macro, which DuckDB writes out where it is used, so it costs what its SQL costs. The SQL is ours and is not
checked by the sandbox: none of it may give a row what another person's row has.
"""

import re
from typing import Any

__all__ = ["BY_PERSON", "DEFINITIONS", "MACROS", "version_key"]

# The parts of this one are written beside it in Python, for the order of labels.
_NUMBER = "lpad(length(ltrim({0}, '0'))::VARCHAR, 4, '0') || ltrim({0}, '0')"
_PART = r"regexp_extract(v, '^(\d+)(?:\.(\d+))?(?:\.(\d+))?', {})"
_KEY = (
    "CASE WHEN v IS NOT NULL THEN concat("
    + ", '.', ".join(_NUMBER.format(_PART.format(number)) for number in (1, 2, 3))
    + r""", CASE WHEN NOT regexp_matches(v, '^[^+]*-') THEN '~' ELSE '-' || array_to_string(list_transform(
        string_split(regexp_extract(v, '^[^+-]*-([^+]*)', 1), '.'),
        lambda part: CASE WHEN regexp_full_match(part, '\d+') THEN '0' || """
    + _NUMBER.format("part")
    + " ELSE '1' || part END), '!') END) END"
)
# An argument that is a column is looked for among these first: no column of a page is called so.
_RELEASES = (
    'FROM (SELECT application AS "its application", version AS "its version", released AS "its time" FROM releases)'
)
# A version that only those try who ask for it does not make the one before it old.
_PRE = """regexp_matches("its version", '^[^+]*-')"""
# Name -> its parameters and its SQL, in the order in which they need each other.
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
    "cohort": ("u, t, g", "CASE WHEN u IS NOT NULL THEN date_trunc(g, min(t) OVER (PARTITION BY u)) END"),
}
MACROS = frozenset(DEFINITIONS)
# Those that look at other rows of a person: their first argument says whose, and must be user_id.
BY_PERSON = frozenset(["cohort"])
VERSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-([^+]*))?")


def version_key(version: str) -> Any:
    """What sorts versions as the macro of this name does: by Semantic Versioning, 1 and 1.0 like 1.0.0.

    Numbers by value, a pre-release before its release, and what follows a plus sign says nothing.
    """
    found = VERSION.match(version)
    numbers = [_number(part or "") for part in found.groups()[:3]] if found else []
    if found is None or found[4] is None:
        return numbers, True, []
    parts = found[4].split(".")
    return numbers, False, [(0, *_number(part)) if re.fullmatch("[0-9]+", part) else (1, 0, part) for part in parts]


def _number(digits: str) -> tuple[int, str]:
    """Sorts as the number does, however long it is."""
    kept = digits.lstrip("0")
    return len(kept), kept
