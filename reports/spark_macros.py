"""The macros of report SQL for a Spark cluster: what each stands for is put in its place before Spark reads it.

Without functions of functions (`transform`, `filter`), which some servers take in a column and not in a condition.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlglot
from sqlglot import exp

from reports.dialect import Macro, Macros, changed, value, written_out
from reports.macros import DEFINITIONS

__all__ = ["Release", "spark_macros"]

# Application, version key, whether it is a pre-release, and when it was released.
Release = tuple[str, str, bool, datetime]
# So many digits of a number in a pre-release are compared by value.
DIGITS = 16


def spark_macros(releases: Callable[[], Sequence[Release]]) -> Macros:
    """Name -> what makes an expression of a call's arguments. `releases` gives all that are known."""
    made: dict[str, Macro] = {}
    for name, (parameters, sql) in DEFINITIONS.items():
        made[name] = _macro(parameters, partial(str, sql), "duckdb", made)
    made["version_key"] = _macro("v", _version_key, "spark", made)
    made["is_latest"] = _macro("a, v, t", lambda: _is_latest(releases()), "spark", made)
    made["days_since_release"] = _macro("a, v, t", lambda: _days_since_release(releases()), "spark", made)
    return made


def _macro(parameters: str, sql: Callable[[], str], dialect: str, macros: Macros) -> Macro:
    def written(*given: exp.Expr) -> exp.Expr:
        arguments = dict(zip(parameters.split(", "), given, strict=True))

        def put(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and not node.table and node.name in arguments:
                return arguments[node.name].copy()
            if isinstance(node, exp.Var) and (given := arguments.get(node.name.lower())) is not None:
                return exp.var(given.name)  # the unit of date_trunc
            return node

        tree = changed(sqlglot.parse_one(sql(), read=dialect), put)
        return exp.paren(changed(tree, lambda node: written_out(node, macros)))

    return written


def _version_key() -> str:
    """The same text as the macro's in reports/macros.py."""
    numbers = []
    for group in (1, 2, 3):
        part = rf"ltrim('0', regexp_extract(v, '^(\\d+)(?:\\.(\\d+))?(?:\\.(\\d+))?', {group}))"
        numbers.append(f"lpad(CAST(length({part}) AS STRING), 4, '0'), {part}")
    # Each part of a pre-release between marks of its own; then those with a letter, then numbers by their length.
    parts = "concat('!', replace(regexp_extract(v, '^[^+-]*-([^+]*)', 1), '.', '!!'), '!')"
    parts = f"regexp_replace({parts}, '!([^!]*[^0-9!][^!]*)!', '!1$1!')"
    parts = f"regexp_replace({parts}, '!0+!', '!#0000!')"
    for digits in range(1, DIGITS + 1):
        parts = f"regexp_replace({parts}, '!0*([1-9][0-9]{{{digits - 1}}})!', '!#{digits:04}$1!')"
    parts = f"concat('-', replace(trim(BOTH '!' FROM replace({parts}, '!!', '!')), '#', '0'))"
    later = f"CASE WHEN NOT v RLIKE '^[^+]*-' THEN '~' ELSE {parts} END"
    said = ", '.', ".join(numbers)
    return f"CASE WHEN v IS NOT NULL THEN concat({said}, {later}) END"


def _is_latest(releases: Sequence[Release]) -> str:
    """Whether a time is before every release of a higher version."""
    cases = []
    for application in dict.fromkeys(one[0] for one in releases):
        # Key of a release -> the earliest time of those that are not lower.
        since: dict[str, datetime] = {}
        earliest = datetime.max.replace(microsecond=0)
        mine = [one for one in releases if one[0] == application and not one[2]]
        for _, key, _, released in sorted(mine, key=lambda one: one[1], reverse=True):
            earliest = since[key] = min(released, earliest)
        keys = sorted(since)
        times = [_text(since[key]) for key in keys] + [_text(datetime.max.replace(microsecond=0))]
        # Where it would stand among the keys says how many are not higher: just behind one that is its own.
        behind = "concat(version_key(v), ' ')"
        place = f"array_position(sort_array(array({', '.join([*map(_text, keys), behind])})), {behind})"
        place = f"CAST(CASE WHEN v IS NULL THEN {len(times)} ELSE {place} END AS INT)"
        cases.append(f" WHEN {_text(application)} THEN t < element_at(array({', '.join(times)}), {place})")
    return f"CASE a{''.join(cases)} END" if cases else "CAST(NULL AS BOOLEAN)"


def _days_since_release(releases: Sequence[Release]) -> str:
    cases = []
    for application in dict.fromkeys(one[0] for one in releases):
        first: dict[str, datetime] = {}
        for _, key, _, released in (one for one in releases if one[0] == application):
            first[key] = min(released, first.get(key, released))
        pairs = ", ".join(f"{_text(key)}, {_text(released)}" for key, released in first.items())
        cases.append(f" WHEN {_text(application)} THEN element_at(map({pairs}), version_key(v))")
    found = f"CASE a{''.join(cases)} END" if cases else "CAST(NULL AS TIMESTAMP)"
    return f"(unix_micros(CAST(t AS TIMESTAMP)) - unix_micros(CAST({found} AS TIMESTAMP))) / 86400e6"


def _text(given: Any) -> str:
    return str(value(given).sql("spark"))
