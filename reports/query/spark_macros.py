"""The macros of report SQL for a Spark cluster. Each call is replaced with its SQL before Spark reads it. The SQL has
no functions of functions (`transform`, `filter`), which some servers accept in a column but not in a condition.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlglot
from sqlglot import exp

from reports.query.dialect import Macro, Macros, changed, value, written_out
from reports.query.macros import BUILD, DEFINITIONS

__all__ = ["Release", "spark_macros"]

# Application, version key, whether it is a pre-release, and when it was released.
Release = tuple[str, str, bool, datetime]
# How many digits of a number in a pre-release are compared by value.
DIGITS = 16


def spark_macros(releases: Callable[[], Sequence[Release]], newest: Callable[[], datetime | None]) -> Macros:
    """Name -> a function from a call's arguments to an expression. `releases` returns all known releases, and `newest`
    when the newest session arrived.
    """
    made: dict[str, Macro] = {}
    for name, (parameters, sql) in DEFINITIONS.items():
        made[name] = _macro(parameters, partial(str, sql), "duckdb", made)
    made["version_key"] = _macro("v", _version_key, "spark", made)
    made["is_latest"] = _macro("a, v, t", lambda: _is_latest(releases()), "spark", made)
    made["days_since_release"] = _macro("a, v, t", lambda: _days_since_release(releases()), "spark", made)
    made["last_days"] = _macro("t, n", lambda: _last_days(newest()), "spark", made)
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
    """The same text as the macro's in reports/query/macros.py."""
    numbers = r"'^(\\d+)(?:\\.(\\d+))?(?:\\.(\\d+))?'"
    main = ", '.', ".join(_number(f"regexp_extract(v, {numbers}, {group})") for group in (1, 2, 3))
    build = BUILD.replace("\\", "\\\\")
    epoch, further, post, dev = (f"regexp_extract(v, '{build}', {group})" for group in (1, 2, 3, 4))
    pre = _parts("regexp_extract(v, '^[^+-]*-([^+]*)', 1)", "!")
    said = [
        f"CASE WHEN {epoch} <> '' THEN concat('e', {_number(epoch)}) ELSE '' END",
        main,
        f"CASE WHEN {further} <> '' THEN concat('.', {_parts(further, '.')}) ELSE '' END",
        "'-'",
        f"CASE WHEN NOT v RLIKE '^[^+]*-' THEN '~' ELSE {pre} END",
        "' '",
        f"CASE WHEN {post} <> '' THEN concat('2', {_number(post)}) ELSE '' END",
        f"CASE WHEN {dev} <> '' THEN concat('0', {_number(dev)}) ELSE '1' END",
    ]
    return f"CASE WHEN v IS NOT NULL THEN concat({', '.join(said)}) END"


def _number(text: str) -> str:
    """The digits of a number in a form that sorts by value."""
    digits = f"ltrim('0', {text})"
    return f"lpad(CAST(length({digits}) AS STRING), 4, '0'), {digits}"


def _parts(text: str, between: str) -> str:
    """Identifiers between dots in a form that sorts."""
    # Each between marks; then those with a letter, then numbers by their length.
    parts = f"concat('!', replace({text}, '.', '!!'), '!')"
    parts = f"regexp_replace({parts}, '!([^!]*[^0-9!][^!]*)!', '!1$1!')"
    parts = f"regexp_replace({parts}, '!0+!', '!#0000!')"
    for digits in range(1, DIGITS + 1):
        parts = f"regexp_replace({parts}, '!0*([1-9][0-9]{{{digits - 1}}})!', '!#{digits:04}$1!')"
    parts = f"replace(trim(BOTH '!' FROM replace({parts}, '!!', '!')), '#', '0')"
    return parts if between == "!" else f"replace({parts}, '!', '{between}')"


def _is_latest(releases: Sequence[Release]) -> str:
    """Whether a time is before every release of a higher version."""
    cases = []
    for application in dict.fromkeys(one[0] for one in releases):
        # Key of a release -> the earliest time of a release that is not lower.
        since: dict[str, datetime] = {}
        earliest = datetime.max.replace(microsecond=0)
        mine = [one for one in releases if one[0] == application and not one[2]]
        for _, key, _, released in sorted(mine, key=lambda one: one[1], reverse=True):
            earliest = since[key] = min(released, earliest)
        keys = sorted(since)
        times = [_text(since[key]) for key in keys] + [_text(datetime.max.replace(microsecond=0))]
        # Its place among the sorted keys gives the number of keys that are not higher.
        behind = "concat(version_key(v), ' ')"
        place = f"array_position(sort_array(array({', '.join([*map(_text, keys), behind])})), {behind})"
        place = f"CAST(CASE WHEN v IS NULL THEN {len(times)} ELSE {place} END AS INT)"
        cases.append(f" WHEN {_text(application)} THEN t < element_at(array({', '.join(times)}), {place})")
    return f"CASE a{''.join(cases)} END" if cases else "CAST(NULL AS BOOLEAN)"


def _last_days(newest: datetime | None) -> str:
    if newest is None:
        return "CAST(NULL AS BOOLEAN)"
    since = f"unix_micros(CAST({_text(newest)} AS TIMESTAMP)) - CAST(n AS BIGINT) * 86400000000"
    return f"unix_micros(CAST(t AS TIMESTAMP)) > {since}"


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
