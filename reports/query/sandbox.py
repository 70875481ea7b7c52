"""Checks report SQL: one SELECT over views and earlier queries, in which each row keeps its person.

The settings of the connection are not enough: they would allow COPY into the mirror, ATTACH, and views that replace
ours. So DuckDB parses the statement, and this module checks the tree before it runs. The gate counts distinct
`user_id`. This protects people only if (1) no query computes or renames it, and (2) all values beside it come from that
person's rows.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import duckdb

from reports.query.macros import BY_PERSON, MACROS

__all__ = ["NO_SESSION_ID", "QueryError", "check", "explain", "parse", "tables", "walk"]

# Longer or deeper SQL overflows the stack of DuckDB's parser, which ends this process.
LONGEST = 10_000
# A build needs the tree of a query four times, and nothing changes it.
MOST_KEPT = 1_000
_trees: dict[str, dict[str, Any]] = {}
NO_SESSION_ID = "no page has session_id; count rows with y: count, or see single runs with `abaculus sql`"
TABLES = ("JOIN", "SUBQUERY", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "PIVOT")
TABLE_FUNCTIONS = ("range", "generate_series")
# All functions that report SQL may call. Functions that read anything outside the query, or give another result in each
# scan, are missing. So are those that build structs, because a member could be called user_id.
FUNCTIONS = """
    abs ceil ceiling floor round trunc sign sqrt cbrt pow power exp ln log log10 log2 mod fmod greatest least
    isnan isinf isfinite add subtract multiply divide
    lower upper lcase ucase trim ltrim rtrim length len strlen left right substr substring replace concat concat_ws
    contains starts_with ends_with prefix suffix position instr strpos split_part string_split str_split lpad rpad
    reverse repeat format printf translate like_escape ilike_escape not_like_escape not_ilike_escape
    regexp_matches regexp_full_match regexp_replace regexp_extract hash md5 ifnull nullif if
    date_trunc datetrunc date_part datepart date_diff datediff date_sub datesub date_add time_bucket last_day age
    year month day hour minute second week quarter weekday dayofweek isodow dayofyear weekofyear isoyear yearweek
    dayname monthname epoch epoch_ms epoch_us make_date make_timestamp strftime strptime try_strptime timezone
    to_years to_quarters to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds
    now today current_date current_timestamp current_localtimestamp get_current_timestamp
    count count_star count_if countif sum avg mean min max median mode quantile quantile_cont quantile_disc
    stddev stddev_pop stddev_samp variance var_pop var_samp any_value arbitrary first last arg_min arg_max argmin argmax
    min_by max_by bool_and bool_or array_agg list string_agg group_concat listagg
    row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value last_value nth_value
    list_value range generate_series list_contains list_has array_contains list_position array_length list_distinct
    list_sort list_min list_max list_sum list_avg list_extract array_extract list_filter list_transform list_count
"""
KNOWN_FUNCTIONS = MACROS.union(FUNCTIONS.split())
# Window functions for the rank of a row, and the clauses in which they only order rows.
RANKS = ("row_number", "rank", "dense_rank", "rank_dense")
ORDERING = ("qualify", "modifiers")


# A line and a column inside the SQL, counted from 0.
Place = tuple[int, int | None]


class QueryError(Exception):
    """A mistake in a query or a block, with its fix.

    `line` and `column` count from 0 inside the SQL, if they are known. `option` is the block's option at fault.
    """

    def __init__(self, message: str, at: Place | None = None, *, option: str | None = None) -> None:
        super().__init__(message)
        self.message, self.option = message, option
        self.line = None if at is None else at[0]
        self.column = None if at is None else at[1]


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """DuckDB's syntax tree of one SELECT. Raises `QueryError` for anything else."""
    if len(sql) > LONGEST:
        raise QueryError(f"the SQL is longer than {LONGEST:,} characters; split it into several named queries")
    if sql not in _trees:
        rows = connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql]).fetchall()
        if len(_trees) >= MOST_KEPT:
            _trees.clear()
        try:
            _trees[sql] = json.loads(rows[0][0])
        except RecursionError:
            raise QueryError("the SQL is nested too deeply; split it into several named queries") from None
    tree = _trees[sql]
    if tree["error"]:
        at = _place(sql, tree.get("position"))
        if tree["error_type"] == "parser":
            raise QueryError(f"{tree['error_message']}; fix the SQL there, or at the word before it", at)
        if "depth" in tree["error_message"]:
            raise QueryError("the SQL is nested too deeply; split it into several named queries")
        raise QueryError("only SELECT is allowed here; charts read, they do not change anything", at)
    if not tree["statements"]:
        raise QueryError("there is no SQL; write a SELECT")
    if len(tree["statements"]) != 1:
        raise QueryError("one SELECT statement is allowed, this has several; give each a fence and a name of its own")
    return tree


def check(connection: duckdb.DuckDBPyConnection, sql: str, relations: Mapping[str, str]) -> str:
    """The kind of the query's rows: "runs", "events" or "spans" of people, "rows" that come from these, or "" if they
    are not people's.

    `relations` has the same of every view and named query, by its lower-case name. Raises `QueryError` if the query is
    not allowed.
    """
    tree = parse(connection, sql)
    nodes = list(walk(tree))
    parts = [(_lower(entry["key"]), entry) for node in nodes for entry in node.get("cte_map", {}).get("map", ())]
    names = {name for name, _ in parts}
    for name in sorted(names & relations.keys()):
        raise QueryError(f"WITH {name}: there is a view or query of that name already; choose another name")
    tables = set().union(*(_aliases(node) for node in nodes if node.get("type") in ("BASE_TABLE", "SUBQUERY", "PIVOT")))
    for node in nodes:
        at = _place(sql, node.get("query_location"))
        _allowed(node, at, names, relations)
        _keeps_user_id(node, at, tables)
    readers = {name for name, unit in relations.items() if unit}
    while new := {name for name, part in parts if name not in readers and _reads(part, readers)}:
        readers |= new
    if not _reads(tree, readers):
        return ""
    ordering = {id(node) for part in nodes for node in walk([part.get(clause) for clause in ORDERING])}
    for node in nodes:
        _stays_with_its_person(node, _place(sql, node.get("query_location")), readers, id(node) in ordering)
        if node.get("class") == "SUBQUERY" and _reads(node, readers) and not _is_membership(node):
            raise QueryError(
                "this subquery puts one person's data beside another's; say user_id IN (SELECT user_id …), "
                "join USING (user_id), or for the newest runs last_days(start_time, 28)",
                _place(sql, node.get("query_location")),
            )
    used = {_lower(node["table_name"]) for node in nodes if node.get("type") == "BASE_TABLE"}
    units = {relations[name] for name in used & relations.keys() if relations[name]}
    grouped = any(
        node.get("group_expressions")
        or node.get("aggregate_handling") == "FORCE_AGGREGATES"  # GROUP BY ALL
        or node.get("type") == "DISTINCT_MODIFIER"
        for node in nodes
    )
    return "rows" if grouped or len(units) != 1 else units.pop()


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree. Iterative, because a query may be nested deeper than our stack."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield current
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)


def tables(nodes: Iterable[Mapping[str, Any]]) -> set[str]:
    """All tables and views that these nodes of a tree read, in lower case."""
    return {str(node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}


def _place(sql: str, location: Any) -> Place | None:
    """The place for an offset of DuckDB in bytes. None for "unknown", its largest number."""
    written = sql.encode()
    if location is None or int(location) > len(written):
        return None
    before = written[: int(location)].decode(errors="replace")
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def _lower(name: str) -> str:
    """Lower case as in DuckDB: only ASCII letters change (the Kelvin sign is not a k)."""
    return "".join(one.lower() if one.isascii() else one for one in name)


def _allowed(node: Mapping[str, Any], at: Place | None, names: set[str], relations: Mapping[str, str]) -> None:
    """Raises `QueryError` for tables, functions and clauses that are not allowed."""
    kind = node.get("type")
    there = ", ".join(relations)
    if kind == "BASE_TABLE":
        name = str(node["table_name"])
        if len(node["qualified_name"]["path"]) != 1:
            raise QueryError(f"{'.'.join(node['qualified_name']['path'])} is not allowed; use {there}", at)
        if _lower(name) not in names | relations.keys():
            near = difflib.get_close_matches(_lower(name), [*relations, *names], 1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {there}"
            raise QueryError(f'table "{name}" not found; {hint}', at)
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name"))
        if node["function"].get("qualified_name", {}).get("path") != [name] or _lower(name) not in TABLE_FUNCTIONS:
            allowed = ", ".join(TABLE_FUNCTIONS)
            raise QueryError(f"table function {name} is not allowed; allowed are {allowed}", at)
    elif kind == "RECURSIVE_CTE_NODE":
        raise QueryError("WITH RECURSIVE is not allowed in report SQL; use range() or generate_series()", at)
    elif "sample" in node and "alias" in node and kind not in TABLES:
        raise QueryError(f"{str(kind).lower()} is not allowed here; SELECT from {there}", at)
    if node.get("sample"):
        raise QueryError("a sample differs each time it is read; filter by hash(user_id) % 10 = 0 instead", at)
    if node.get("class") in ("FUNCTION", "WINDOW"):
        name = _lower(node["function_name"])
        operator = not re.match("[a-z_]", name)
        if node["qualified_name"]["path"] != [node["function_name"]] or not (name in KNOWN_FUNCTIONS or operator):
            near = difflib.get_close_matches(name, KNOWN_FUNCTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else "write it with other functions, or leave it out"
            raise QueryError(f"function {name} is not allowed in report SQL; {hint}", at)


def _keeps_user_id(node: Mapping[str, Any], at: Place | None, tables: set[str]) -> None:
    """`user_id` says whose row it is. A query may select it, but never compute it, or a chart would count invented
    people. So its name may appear only where a column is read or left out.
    """
    reads = node.get("class") == "COLUMN_REF" and _is_user_id(node)
    for key, value in node.items():
        if key in ("column_names", "using_columns", "exclude_list", "qualified_exclude_list", "qualified_name"):
            continue
        named = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if any(isinstance(name, str) and _lower(name) == "user_id" for name in named) and not (
            key == "alias" and reads
        ):
            raise QueryError("user_id must be the unchanged column of a view; give this another name", at)
    if node.get("class") == "STAR" and node.get("columns"):
        raise QueryError("COLUMNS(…) is not allowed in report SQL; name the columns one by one", at)
    if node.get("class") == "COLUMN_REF" and _lower(node["column_names"][-1]) in tables:
        name = node["column_names"][-1]
        raise QueryError(f'"{name}" is a table\'s whole row; name a column, or give the table another name with AS', at)
    if node.get("type") == "PIVOT" and node.get("aggregates"):
        raise QueryError("PIVOT is not allowed in report SQL; give the chart a color instead", at)


def _reads(node: Any, readers: set[str]) -> bool:
    tables = (part for part in walk(node) if part.get("type") == "BASE_TABLE")
    return any(_lower(part["table_name"]) in readers for part in tables)


def _stays_with_its_person(node: Mapping[str, Any], at: Place | None, readers: set[str], ordering: bool) -> None:
    """Joins and windows must work person by person. Otherwise a row would get people or values of another row."""
    if node.get("setop_type") == "UNION" and any(_reads(part, readers) for part in node["children"]):
        raise QueryError(
            "UNION joins columns by position; write UNION ALL BY NAME, so that user_id keeps its place", at
        )
    if node.get("class") == "WINDOW":
        name = _lower(node["function_name"])
        alone = any(_is_user_id(part) for part in node["partitions"])
        orders = ordering and name in RANKS and not node["partitions"]
        if not alone and not orders:
            only = "in QUALIFY and ORDER BY no PARTITION is needed" if name in RANKS else ""
            message = f"{node['function_name']} OVER … reads other people's rows; add PARTITION BY user_id"
            raise QueryError(f"{message} ({only})" if only else message, at)
    if node.get("class") == "FUNCTION" and (name := _lower(node["function_name"])) in BY_PERSON:
        # Named arguments could be in another order.
        given = node["arguments"]
        if not (given and _is_user_id(given[0]["expression"])) or any(one["name"] for one in given):
            raise QueryError(
                f"{name} works per person: its first argument must be user_id, and arguments must have no names", at
            )
    joins = node.get("type") == "JOIN" and _reads(node["left"], readers) and _reads(node["right"], readers)
    if joins and not _joins_by_user_id(node):
        raise QueryError("both sides of this join have people's rows; join them USING (user_id)", at)


def _joins_by_user_id(join: Mapping[str, Any]) -> bool:
    using = [_lower(name) for name in join.get("using_columns") or ()]
    # The last column of an ASOF join does not have to be equal.
    if "user_id" in (using[:-1] if join["ref_type"] == "ASOF" else using):
        return True
    left, right = _aliases(join["left"]), _aliases(join["right"])
    pending = [join.get("condition") or {}]
    while pending:
        part = pending.pop()
        if part.get("type") == "CONJUNCTION_AND":
            pending += part["children"]
        elif part.get("type") == "COMPARE_EQUAL" and _is_user_id(part["left"]) and _is_user_id(part["right"]):
            sides = [_lower(part[side]["column_names"][0]) for side in ("left", "right")]
            if (sides[0] in left and sides[1] in right) or (sides[1] in left and sides[0] in right):
                return True
    return False


def _aliases(table: Mapping[str, Any]) -> set[str]:
    """The names that can qualify the columns of a part of FROM."""
    if table["type"] == "JOIN":
        return _aliases(table["left"]) | _aliases(table["right"])
    return {_lower(table.get("alias") or table.get("table_name") or "")}


def _is_user_id(node: Mapping[str, Any]) -> bool:
    return node.get("class") == "COLUMN_REF" and _lower(node["column_names"][-1]) == "user_id"


def _is_membership(node: Mapping[str, Any]) -> bool:
    """Whether a subquery is that of `user_id IN (SELECT user_id …)`."""
    selected = node["subquery"]["node"].get("select_list") or [{}]
    return node["subquery_type"] == "ANY" and _is_user_id(node.get("child") or {}) and _is_user_id(selected[0])


def explain(error: duckdb.Error, sql: str, *, values: bool = True) -> QueryError:
    """DuckDB's error in a sentence: what, where, and which name was probably meant.

    Without `values`, an error from a row does not repeat its content, because the log of a public build is public.
    The text is parsed, because the setting `errors_as_json` is locked.
    """
    text = str(error)
    at = _marked(text, sql)
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
        # This is not the query's fault, and DuckDB suggests settings that nobody can change here.
        lacking = "memory" if isinstance(error, duckdb.OutOfMemoryException) else "disk, or lost its copies of the data"
        return QueryError(f"this machine has too little {lacking}; make room, or build the site on a larger machine")
    if not values and not isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        kind = text.split(":", 1)[0].removesuffix(" Error").lower()
        return QueryError(f"a value in the data does not fit ({kind}); use TRY_CAST, or filter it out", at)
    first = text.split("\n", 1)[0].split(":", 1)[-1].strip().rstrip("!")
    near = text.partition("Candidate bindings:")[2].split("\n")[0].strip() if "Candidate bindings:" in text else ""
    near = near or text.partition("Did you mean ")[2].split("\n")[0].rstrip("?")
    first = first.replace("Referenced column", "column").replace(" in FROM clause", "")
    if re.search(r'"session_id"', first, re.IGNORECASE):
        return QueryError(NO_SESSION_ID, at)
    name = re.match(r'column "(.*?)" not found', first)
    if name and f'"{name[1]}"' in sql:
        close = difflib.get_close_matches(name[1].lower(), re.findall(r'"([^"]+)"', near), 1)
        guess = f'did you mean "{close[0]}"? ' if close else ""
        return QueryError(f"{first}; {guess}double quotes mean a column; write a text as '{name[1]}'", at)
    if near:
        return QueryError(f"{first}; did you mean {near.split(', ')[0]}?", at)
    return QueryError(f"{first}; fix the SQL", at)


def _marked(text: str, sql: str) -> Place | None:
    """The place that DuckDB marks below its message: the line, or a part of it, with `^` below the word."""
    found = re.search(r"^LINE (\d+): (.*)\n( *)\^", text, re.MULTILINE)
    if found is None:
        return None
    line = int(found[1]) - 1
    shown = found[2][len(found[3]) - len(f"LINE {found[1]}: ") :]
    lines = sql.split("\n")
    # Our SQL may follow a CREATE on its first line, so the place counts from there.
    written = lines[line] if line < len(lines) else ""
    column = written.find(shown.removesuffix("...")) if shown.endswith("...") else written.rfind(shown)
    return line, column if shown and column >= 0 else None
