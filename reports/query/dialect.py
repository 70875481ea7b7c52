"""Translates report SQL from DuckDB to Spark. sqlglot knows most of the differences, and this module has the others. It
first resolves names, so that it can write out the short forms that Spark does not have (`* EXCLUDE`, GROUP BY ALL,
UNION ALL BY NAME, an alias that is used beside its definition). Values come from sessions, so they become literals
without their own characters.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.generators.spark import SparkGenerator
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from reports.query.sandbox import QueryError

__all__ = ["VIEW", "Macro", "Macros", "changed", "parse", "spark", "value", "written_out"]

Columns = Mapping[str, str]


# A prefix for the name of a view, if something else has the same name.
VIEW = "the view "


class _Spark(Spark):
    """The state of names: a subquery may have its own WITH, and two subqueries may use the same name."""

    class Generator(SparkGenerator):
        EXPRESSIONS_WITHOUT_NESTED_CTES: ClassVar[set[type[exp.Expr]]] = set()


Macro = Callable[..., exp.Expr]
Macros = Mapping[str, Macro]


def parse(sql: str) -> exp.Expr:
    """DuckDB's SQL as a tree, in which `memory.main.sessions` is `"the view sessions"`.

    Raises `QueryError` if the translator does not know something of DuckDB.
    """
    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError as error:
        raise QueryError(f"Spark cannot run this: {_first(error)}; write it in simpler SQL") from None
    for table in tree.find_all(exp.Table):
        if table.db == "main":
            alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
            table.replace(exp.Table(this=exp.to_identifier(f"{VIEW}{table.name}", quoted=True), alias=alias))
    return tree


def spark(
    tree: exp.Expr,
    columns: Mapping[str, Columns],
    called: Mapping[str, str],
    values: Mapping[str, Any] | None = None,
    macros: Macros | None = None,
) -> str:
    """A query in Spark's SQL.

    `columns` has the columns of each relation, with their DuckDB types, by lower-case name. `called` has the name of
    each relation in Spark. `values` are the parameters. Raises `QueryError` for SQL without a counterpart in Spark.
    """
    for join in tree.find_all(exp.Join):
        if join.args.get("method") == "ASOF":
            line = next((one.meta["line"] - 1 for one in join.find_all(exp.Identifier) if "line" in one.meta), 0)
            raise QueryError("ASOF JOIN has no counterpart in Spark; rank the rows with row_number()", (line, None))
    tree = changed(tree.copy(), lambda node: _bound(node, values or {}))
    if macros:
        tree = changed(tree, lambda node: written_out(node, macros))
    try:
        tree = changed(tree, _listed)
        tree = qualify(
            tree,
            schema={name: dict(of) for name, of in columns.items()},
            dialect="duckdb",
            validate_qualify_columns=False,
        )
        tree = annotate_types(tree, schema={name: dict(of) for name, of in columns.items()}, dialect="duckdb")
        for union in list(tree.find_all(exp.SetOperation)):
            _by_position(union)
        for select in tree.find_all(exp.Select):
            _grouped(select)
            _in_full(select)
        tree = changed(tree, lambda node: _ordered(node) if isinstance(node, exp.Select) else node)
        tree = changed(tree, _other_words)
        for part in tree.find_all(exp.CTE):
            part.set("materialized", None)  # advice to DuckDB
        for table in tree.find_all(exp.Table):
            if not table.db and (name := table.name.lower()) in called:
                # Its columns may still use its own name.
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True)))
                table.set("this", exp.to_identifier(called[name], quoted=True))
        return tree.sql(_Spark, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise QueryError(f"Spark cannot run this: {_first(error)}; write it in simpler SQL") from None


def changed(tree: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """The tree with each part changed, the innermost first."""
    for node in reversed(list(tree.bfs())):
        new = change(node)
        if new is not node:
            if node is tree:
                tree = new
            else:
                node.replace(new)
    return tree


def _first(error: SqlglotError) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")


def _bound(node: exp.Expr, values: Mapping[str, Any]) -> exp.Expr:
    """Replaces a parameter with its value, and writes out lists in which rows are looked up."""
    if isinstance(node, exp.Placeholder | exp.Parameter) and node.name in values:
        return value(values[node.name])
    if isinstance(node, exp.In) and isinstance(query := node.args.get("query"), exp.Subquery):
        lists = [
            _unnested(one) for one in getattr(query.this.args.get("from_"), "this", exp.Null()).find_all(exp.Alias)
        ]
        if lists and all(one is not None for one in lists):
            of = node.this.unnest()
            keys = of.expressions if isinstance(of, exp.Tuple) else [of]
            return _among(keys, list(zip(*(one or () for one in lists), strict=True)))
    return node


def _among(keys: Sequence[exp.Expr], rows: Sequence[tuple[exp.Expr, ...]]) -> exp.Expr:
    """Whether these are one of the rows. Not every engine can look up several columns at once, or beside SELECT."""
    if len(keys) == 1:
        return exp.In(this=keys[0].copy(), expressions=[row[0] for row in rows])
    by_last: dict[str, list[tuple[exp.Expr, ...]]] = {}
    for row in rows:
        by_last.setdefault(row[-1].sql(), []).append(row)
    found = [
        exp.and_(exp.EQ(this=keys[-1].copy(), expression=these[0][-1]), _among(keys[:-1], [row[:-1] for row in these]))
        for these in by_last.values()
    ]
    return exp.paren(exp.or_(*found))


def _unnested(node: exp.Expr) -> list[exp.Expr] | None:
    """The values of a column that unnests a literal list."""
    inner = node.this if isinstance(node, exp.Alias) else node
    cast = inner.this if isinstance(inner, exp.Explode) else None
    if not isinstance(cast, exp.Cast) or not isinstance(cast.this, exp.Array):
        return None
    return [exp.Cast(this=one, to=cast.to.expressions[0].copy()) for one in cast.this.expressions]


def value(given: Any) -> exp.Expr:
    """A literal. Never raises: any other value than a number or time becomes text."""
    if given is None or isinstance(given, bool | int | float):
        return exp.convert(given)
    if isinstance(given, datetime | date):
        kind = "TIMESTAMP" if isinstance(given, datetime) else "DATE"
        return exp.Cast(this=exp.Literal.string(str(given)), to=exp.DataType.build(kind, dialect="duckdb"))
    if isinstance(given, list | tuple):
        return exp.Array(expressions=[value(one) for one in given])
    # In hexadecimal, so that no quote or backslash of a value can be read as SQL.
    return exp.Cast(this=exp.HexString(this=str(given).encode().hex()), to=exp.DataType.build("TEXT"))


def written_out(node: exp.Expr, macros: Macros) -> exp.Expr:
    """Replaces a call of a macro with its SQL."""
    if isinstance(node, exp.Anonymous) and (macro := macros.get(node.name.lower())):
        return macro(*node.expressions)
    return node


def _function(name: str, *arguments: Any) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _micros(value: Any) -> exp.Expr:
    # A time without a zone has no such number. The session's zone is UTC.
    return _function("unix_micros", exp.Cast(this=value, to=exp.DataType.build("TIMESTAMPTZ")))


def _other_words(node: exp.Expr) -> exp.Expr:
    """One expression in Spark's SQL."""
    if isinstance(node, exp.Anonymous) and (other := ANONYMOUS.get(node.name.lower())):
        return other(*node.expressions)
    if isinstance(node, exp.Div):
        # A division by zero is null, such as a percentage of no runs.
        return exp.Div(
            this=node.this,
            expression=_function("nullif", node.expression, exp.Literal.number(0)),
            typed=False,
            safe=True,
        )
    if isinstance(node, exp.Min | exp.Max) and (most := node.args.get("count")):
        # DuckDB's list of the smallest or largest values. Null if there are none.
        order = exp.true() if isinstance(node, exp.Min) else exp.false()
        ranked = _function("sort_array", _function("collect_list", node.this), order)
        return _function("nullif", _function("slice", ranked, exp.Literal.number(1), most), exp.array())
    if isinstance(node, exp.UnixToTime) and node.this.is_type(*exp.DataType.TEMPORAL_TYPES):
        # Rounded to the nearest, as in DuckDB.
        half = exp.paren(exp.Add(this=_micros(node.this), expression=exp.Literal.number(500)))
        return exp.IntDiv(this=half, expression=exp.Literal.number(1000))
    if isinstance(node, exp.Split) and node.expression.is_string:
        return _function("split", node.this, exp.Literal.string(re.escape(node.expression.name)))
    if isinstance(node, exp.DateDiff):
        # DuckDB counts the beginnings of the unit between two times, not the full units.
        unit = exp.var(node.args["unit"].name if node.args.get("unit") else "DAY")
        if unit.name.upper() == "DAY":
            return _function(
                "datediff", *(exp.Cast(this=one, to=exp.DataType.build("DATE")) for one in (node.this, node.expression))
            )
        ends = (exp.TimestampTrunc(this=one, unit=unit.copy()) for one in (node.expression, node.this))
        return _function("timestampdiff", unit, *ends)
    if isinstance(node, exp.Sub) and node.this.is_type("date") and node.expression.is_type("date"):
        return _function("datediff", node.this, node.expression)
    if isinstance(node, exp.Sum) and node.this.is_type("boolean"):
        return exp.Sum(this=exp.Cast(this=node.this, to=exp.DataType.build("INT")))
    if isinstance(node, exp.IntDiv) and not (_whole(node.this) and _whole(node.expression)):
        return exp.Div(this=node.this, expression=node.expression, typed=False, safe=True)
    if isinstance(node, exp.Cast) and node.to.this in exp.DataType.INTEGER_TYPES and _real(node.this):
        # DuckDB rounds half to even; Spark would cut off.
        return exp.Cast(this=_function("rint", node.this), to=node.to)
    if isinstance(node, exp.Dayname | exp.Monthname):
        # The full name, as in DuckDB.
        form = exp.Literal.string("EEEE" if isinstance(node, exp.Dayname) else "MMMM")
        return _function("date_format", node.this, form)
    if isinstance(node, exp.RegexpFullMatch):
        return _matched(node.this, node.expression)
    if isinstance(node, exp.PercentileCont):
        return _function("percentile", node.this, node.expression)
    if isinstance(node, exp.TimeToUnix) and isinstance(between := node.this.unnest(), exp.Sub):
        # The difference of two times, in seconds.
        micros = exp.paren(exp.Sub(this=_micros(between.this), expression=_micros(between.expression)))
        return exp.Div(this=micros, expression=exp.Literal.number("1e6"), typed=False, safe=True)
    if isinstance(node, exp.TimeToUnix):
        return exp.Div(this=_micros(node.this), expression=exp.Literal.number("1e6"), typed=False, safe=True)
    return node


def _whole(node: exp.Expr) -> bool:
    return node.type is not None and node.type.this in exp.DataType.INTEGER_TYPES


def _real(node: exp.Expr) -> bool:
    return node.type is not None and node.type.this in exp.DataType.REAL_TYPES


def _finite(value: Any) -> exp.Expr:
    number = exp.Cast(this=value, to=exp.DataType.build("DOUBLE"))
    infinity = exp.Cast(this=exp.Literal.string("Infinity"), to=exp.DataType.build("DOUBLE"))
    return exp.paren(exp.LT(this=_function("abs", number), expression=infinity))


def _hash(*values: Any) -> exp.Expr:
    # Not negative, as in DuckDB, because pages take a part of the people by the remainder of a hash.
    number = _function("xxhash64", *values)
    return exp.paren(exp.BitwiseAnd(this=number, expression=exp.Literal.number(2**63 - 1)))


# DuckDB's functions that sqlglot does not know.
ANONYMOUS: dict[str, Callable[..., exp.Expr]] = {
    "epoch_us": _micros,
    "hash": _hash,
    "isfinite": _finite,
    "list_position": lambda items, item: _function("array_position", items, item),
}


def _matched(text: Any, pattern: Any) -> exp.Expr:
    whole = (
        exp.Literal.string(f"^(?:{pattern.name})$") if pattern.is_string else _function("concat", "^(?:", pattern, ")$")
    )
    return exp.RegexpLike(this=text, expression=whole)


def _listed(node: exp.Expr) -> exp.Expr:
    """A series in FROM as a query, because its column has no name in Spark."""
    series = node.this if isinstance(node, exp.Table) else None
    if not isinstance(series, exp.GenerateSeries):
        return node
    usual = "range" if series.args.get("is_end_exclusive") else "generate_series"
    column = next(iter(node.alias_column_names), usual)
    return exp.select(exp.alias_(exp.Explode(this=series.copy()), column)).subquery(node.alias or usual)


def _in_full(select: exp.Select) -> None:
    """ORDER BY ALL: by each column, from the first."""
    order = select.args.get("order")
    if order is None or len(order.expressions) != 1 or order.expressions[0].this.name.upper() != "ALL":
        return
    by = [exp.Ordered(this=exp.Literal.number(at), nulls_first=False) for at in range(1, len(select.expressions) + 1)]
    order.set("expressions", by)


def _grouped(select: exp.Select) -> None:
    """GROUP BY ALL: by each column that aggregates nothing."""
    group = select.args.get("group")
    if group is None or not group.args.get("all"):
        return
    by = [
        exp.Literal.number(at)
        for at, one in enumerate(select.expressions, 1)
        if not any(not isinstance(found.parent, exp.Window) for found in one.find_all(exp.AggFunc))
    ]
    select.set("group", exp.Group(expressions=by) if by else None)


def _ordered(select: exp.Select) -> exp.Expr:
    """ORDER BY an aggregate that is not selected: an inner query selects it, and the outer query leaves it out."""
    order, group = select.args.get("order"), select.args.get("group")
    counted = [one for one in order.expressions if one.find(exp.AggFunc)] if order and group else []
    if not counted:
        return select
    names = [one.alias_or_name for one in select.expressions]
    for at, one in enumerate(counted):
        select.append("expressions", exp.alias_(one.this, f"order {at}", quoted=True))
        one.set("this", exp.column(f"order {at}", quoted=True))
    outer = exp.select(*(exp.column(name, quoted=True) for name in names))
    for part in ("order", "limit", "offset"):
        outer.set(part, select.args.get(part))
        select.set(part, None)
    return outer.from_(select.subquery("counted"))


def _by_position(union: exp.Expr) -> None:
    """UNION ALL BY NAME: each side with the columns of both, in one order."""
    if not union.args.get("by_name"):
        return
    sides = [union.this, union.expression]
    for side in sides:
        if isinstance(side, exp.SetOperation):
            _by_position(side)
    names = list(dict.fromkeys(name.lower() for side in sides for name in side.named_selects))
    for side in sides:
        for select in [side] if isinstance(side, exp.Select) else list(side.find_all(exp.Select)):
            there = {one.alias_or_name.lower(): one for one in select.expressions}
            select.set("expressions", [there.get(name) or exp.alias_(exp.null(), name, quoted=True) for name in names])
    union.set("by_name", False)
