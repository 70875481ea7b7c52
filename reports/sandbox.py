"""What report SQL may be: one SELECT over views, earlier queries and a few table functions, without losing the people.

The connection's own settings do not suffice: they would allow COPY into the mirror, ATTACH, and views that
replace ours. So the statement is parsed by DuckDB itself and its tree is checked before it runs.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

__all__ = ["QueryError", "check", "explain", "parse"]

TABLE_FUNCTIONS = ("range", "generate_series", "unnest")
TABLES = ("JOIN", "SUBQUERY", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "PIVOT")
# Scalar functions that look outside the query, write, or wait.
FORBIDDEN_FUNCTIONS = frozenset(
    {"getenv", "current_setting", "write_log", "sleep_ms", "getvariable", "nextval", "currval", "setseed", "query"}
)


@dataclass(frozen=True)
class QueryError(Exception):
    """What is wrong with a query and what to do; `line` counts from 0 inside the SQL, where it is known."""

    message: str
    line: int | None = None

    def __str__(self) -> str:
        return self.message


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """DuckDB's syntax tree of one SELECT. Raises `QueryError` for anything else."""
    rows = connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql]).fetchall()
    tree: dict[str, Any] = json.loads(rows[0][0])
    if tree["error"]:
        line = sql[: int(tree.get("position") or 0)].count("\n") if "position" in tree else None
        if tree["error_type"] == "parser":
            raise QueryError(f"{tree['error_message']}; mend the SQL", line)
        raise QueryError("only SELECT is allowed here; charts read, they do not change anything", line)
    if len(tree["statements"]) != 1:
        raise QueryError("one SELECT statement is allowed, this has several; give each a fence and a name of its own")
    return tree


def check(connection: duckdb.DuckDBPyConnection, sql: str, relations: Mapping[str, str]) -> str:
    """What the query's rows are: "runs", "events" or "spans" of people, "rows" made of these, or "" if not people's.

    `relations` has the same of every view and named query, by its lower-case name. Raises `QueryError` if the query is
    not allowed.
    """
    tree = parse(connection, sql)
    nodes = list(_walk(tree))
    names = {str(entry["key"]).lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for name in sorted(names & relations.keys()):
        raise QueryError(f"WITH {name}: there is a view or query of that name already; choose another name")
    for node in nodes:
        _allowed(sql, node, names, relations)
        _keeps_user_id(sql, node)
    readers = _people(nodes, names, relations)
    for node in nodes:
        _joins_people(sql, node, readers)
    units = {relations[name] for name in readers if name in relations}
    grouped = any(node.get("group_expressions") or node.get("type") == "DISTINCT_MODIFIER" for node in nodes)
    return "" if not units else "rows" if grouped or len(units) > 1 else units.pop()


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree. Iterative: a query may be nested deeper than Python's stack."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield current
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)


def _line(sql: str, node: Mapping[str, Any]) -> int | None:
    location = node.get("query_location")
    return sql[:location].count("\n") if isinstance(location, int) and location <= len(sql) else None


def _allowed(sql: str, node: Mapping[str, Any], names: set[str], relations: Mapping[str, str]) -> None:
    """Raises `QueryError` for tables and functions that are not allowed."""
    kind = node.get("type")
    there = ", ".join(relations)
    if kind == "BASE_TABLE":
        name = str(node["table_name"])
        if node.get("schema_name") or node.get("catalog_name"):
            raise QueryError(f"{node.get('schema_name')}.{name} is not allowed; use {there}", _line(sql, node))
        if name.lower() not in names | relations.keys():
            near = difflib.get_close_matches(name.lower(), [*relations, *names], 1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {there}"
            raise QueryError(f'table "{name}" not found; {hint}', _line(sql, node))
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            allowed = ", ".join(TABLE_FUNCTIONS)
            raise QueryError(f"table function {name} is not allowed; allowed are {allowed}", _line(sql, node))
    elif "sample" in node and "alias" in node and kind not in TABLES:
        raise QueryError(f"{str(kind).lower()} is not allowed here; SELECT from {there}", _line(sql, node))
    if node.get("class") == "FUNCTION" and str(node.get("function_name")).lower() in FORBIDDEN_FUNCTIONS:
        raise QueryError(f"function {node['function_name']} is not allowed in report SQL; remove it", _line(sql, node))


def _keeps_user_id(sql: str, node: Mapping[str, Any]) -> None:
    """`user_id` says whose row it is: it may be selected, never made, or a chart would count people who are not.

    So its name may stand where a column is read or left out, and nowhere else in the tree.
    """
    reads = node.get("class") == "COLUMN_REF" and _is_user_id(node)
    for key, value in node.items():
        if key in ("column_names", "using_columns", "exclude_list", "qualified_exclude_list", "qualified_name"):
            continue
        named = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if any(isinstance(name, str) and name.lower() == "user_id" for name in named) and not (
            key == "alias" and reads
        ):
            raise QueryError("user_id must be the column of a view as it is; give this another name", _line(sql, node))
    if node.get("class") == "STAR" and node.get("columns") and node.get("alias"):
        raise QueryError("COLUMNS(…) cannot be renamed here; name the columns one by one", _line(sql, node))


def _people(nodes: list[dict[str, Any]], names: set[str], relations: Mapping[str, str]) -> set[str]:
    """Names in this query whose rows are people's: views, named queries, and WITH parts that read any of them."""
    readers = {name for name, people in relations.items() if people}
    parts = [(str(entry["key"]).lower(), entry) for node in nodes for entry in node.get("cte_map", {}).get("map", ())]
    while new := {name for name, part in parts if name not in readers and _reads(part, readers)}:
        readers |= new
    used = {str(node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}
    return readers & used


def _reads(node: Any, readers: set[str]) -> bool:
    tables = (part for part in _walk(node) if part.get("type") == "BASE_TABLE")
    return any(str(part["table_name"]).lower() in readers for part in tables)


def _joins_people(sql: str, node: Mapping[str, Any], readers: set[str]) -> None:
    """Two tables of people's rows may only be joined person by person, or one would lend its people to the other."""
    if node.get("type") != "JOIN" or not (_reads(node["left"], readers) and _reads(node["right"], readers)):
        return
    if any(str(name).lower() == "user_id" for name in node.get("using_columns") or ()):
        return
    pending = [node.get("condition") or {}]
    while pending:
        part = pending.pop()
        if part.get("type") == "CONJUNCTION_AND":
            pending += part["children"]
        elif part.get("type") == "COMPARE_EQUAL" and _is_user_id(part["left"]) and _is_user_id(part["right"]):
            return
    raise QueryError("both sides of this join have people's rows; join them USING (user_id)", _line(sql, node))


def _is_user_id(node: Mapping[str, Any]) -> bool:
    return node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).lower() == "user_id"


def explain(error: duckdb.Error, sql: str) -> QueryError:
    """DuckDB's error in a sentence: what, where, and which name was probably meant.

    The connection must not have `errors_as_json`, whose setting is locked: the text is read instead.
    """
    text = str(error)
    first = text.split("\n", 1)[0].split(":", 1)[-1].strip().rstrip("!")
    line = next((int(part[5:].split(":")[0]) - 1 for part in text.split("\n") if part.startswith("LINE ")), None)
    near = text.partition("Candidate bindings:")[2].split("\n")[0].strip() if "Candidate bindings:" in text else ""
    near = near or text.partition("Did you mean ")[2].split("\n")[0].rstrip("?")
    first = first.replace("Referenced column", "column").replace(" in FROM clause", "")
    if near:
        return QueryError(f"{first}; did you mean {near.split(', ')[0]}?", line)
    return QueryError(f"{first}; mend the SQL", line)
