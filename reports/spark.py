"""A Spark cluster in the place of DuckDB's files: people's rows stay there, what is counted of them comes here.

The cluster is any that speaks Spark Connect and reads Delta tables. A local DuckDB stays beside it, with the same views
and not one row in them: it checks report SQL and says of which types a result is, and it holds all that is not people's
(releases, published cells). A query that reads people's rows goes to the cluster, with what it needs of the rest.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.errors import AnalysisException, ParseException, PySparkException, UnsupportedOperationException
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.functions import min as least
from pyspark.sql.connect.session import SparkSession
from sqlglot import exp

from reports import table
from reports.dialect import VIEW, parse, spark
from reports.engine import EngineError
from reports.known import FOUND
from reports.sandbox import QueryError
from reports.spark_macros import Release, spark_macros

__all__ = ["Cluster", "Connection"]

REMOTE = "SPARK_REMOTE"
PORT = 15002
# How the cluster calls the bucket, where that is not how we call it: s3a://… for Apache Spark.
BUCKET = "SPARK_BUCKET"
MAKES = re.compile(r"\s*CREATE TEMP (VIEW|TABLE) (\"(?:[^\"]|\"\")+\"|\w+) AS\s", re.IGNORECASE)
DROPS = re.compile(r"\s*DROP (?:VIEW|TABLE) (\"(?:[^\"]|\"\")+\"|\w+)", re.IGNORECASE)
# Whatever else is run is taken for a question, comments in front of it or not.
COMMANDS = re.compile(r"\s*(CREATE|DROP|DESCRIBE|INSERT|SET)\b", re.IGNORECASE)
ANSWER = "the cluster's answer"
_NUMBERS = count()


class Cluster:
    """A Spark Connect session, and the tables of a bucket at the versions that it is asked for."""

    def __init__(self, bucket: str) -> None:
        """Connects to where SPARK_REMOTE says. Raises `EngineError`."""
        remote = os.environ.get(REMOTE)
        if not remote:
            raise EngineError(
                f"the engine spark needs a cluster; set {REMOTE}=sc://host:port to its Spark Connect server"
            )
        self.bucket = os.environ.get(BUCKET) or bucket
        self.tables: dict[str, pa.Schema] = {}
        self.called: dict[str, str] = {}
        where = urlsplit(remote)
        try:
            # Spark's client would go on asking for ten minutes where nobody is.
            with socket.create_connection((where.hostname or "", where.port or PORT), timeout=10):
                pass
            self.session = SparkSession.builder.remote(remote).create()
            self.session.client.set_retry_policies([DefaultPolicy(max_retries=8, max_backoff=5_000)])
            self.session.conf.set("spark.sql.session.timeZone", "UTC")
        except Exception as error:
            # Without the rest of the address, which may hold a token.
            at = f"{where.hostname}:{where.port or PORT}"
            raise EngineError(f"no Spark Connect server answers at {at} ({REMOTE}): {_first(error)}") from None

    def read(self, application: str, handle: DeltaTable) -> None:
        """Makes this version of a table known to the cluster. Raises `EngineError`."""
        self.tables[application] = pa.schema(handle.schema().to_arrow())
        with self._reading(application):
            called = self.called[application] = _new_name()
            self._rows(application, handle).createOrReplaceTempView(called)

    def known(self, handle: DeltaTable, ids: pa.ChunkedArray) -> pa.Table:
        """Which of these sessions this version of a table has: see `reports.known`. Only these ids travel."""
        application = handle.table_uri.rstrip("/").rpartition("/")[2]
        with self._reading(application):
            wanted = self.session.createDataFrame(pa.table({"session_id": ids.cast(pa.string())}))
            stored = self._rows(application, handle).select("session_id", "ingestion_time")
            found = stored.join(wanted, "session_id", "left_semi").groupBy("session_id").agg(least("ingestion_time"))
            return found.toArrow().rename_columns(FOUND.names).cast(FOUND)

    def _rows(self, application: str, handle: DeltaTable) -> Any:
        where = self._place(application)
        return self.session.read.format("delta").option("versionAsOf", handle.version()).load(where)

    def _place(self, application: str) -> str:
        where = table.uri(self.bucket, application)
        return f"file://{where}" if where.startswith("/") else where

    @contextmanager
    def _reading(self, application: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise EngineError(
                f"the cluster cannot read {self._place(application)}: {_first(error)}; "
                f"if it calls the bucket otherwise, say how in {BUCKET}"
            ) from None

    def close(self) -> None:
        """Ends the session, and with it all that was made in it."""
        with suppress(Exception):  # a server that is gone has ended it, too
            self.session.stop()

    def stored(self) -> dict[str, pa.Schema]:
        """The columns of each table that there is."""
        return dict(self.tables)

    def connect(
        self, local: duckdb.DuckDBPyConnection, views: Mapping[str, Sequence[str]], *, private: bool
    ) -> "Connection":
        """A connection whose people's views are made of these SELECTs, on the cluster. Its end is the session's.

        `local` has the same views without rows. What the cluster says of a value in them is repeated to a private one.
        """
        connection = Connection(local, self.session, {}, private=private, end=self.close)
        for name, selects in views.items():
            connection.unite(name, selects, self.tables, self.called)
        return connection


class Connection:
    """What the reports use of a DuckDB connection, over both."""

    def __init__(
        self,
        local: duckdb.DuckDBPyConnection,
        session: SparkSession,
        there: Mapping[str, str],
        *,
        private: bool,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.local, self.session, self.private, self.end = local, session, private, end
        # Lower-case name of a relation -> what the cluster calls it, for people's rows and for what was sent there.
        self.there, self.sent = dict(there), dict[str, str]()
        self.kept: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Results, descriptions and the like are the local connection's: `execute` puts them there."""
        return getattr(self.local, name)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of what this connection made on the cluster."""
        for name in list(self.kept):
            self._let_go(name)
        self.local.close()
        self.end()

    def cursor(self) -> "Connection":
        """A connection with temporary views of its own."""
        return Connection(self.local.cursor(), self.session, self.there, private=self.private)

    def execute(self, sql: str, parameters: Any = None) -> "Connection":
        """As DuckDB's: what reads people's rows is run on the cluster. Raises `QueryError` and `duckdb.Error`."""
        makes = MAKES.match(sql)
        if makes or not COMMANDS.match(sql):
            query = sql[makes.end() :] if makes else sql
            tree = parse(query)
            if self._is_there(tree):
                if makes:
                    self._here(sql, parameters)
                    self._make(_plain(makes[2]), tree, parameters, keep=makes[1].upper() == "TABLE")
                else:
                    self._ask(sql, tree, parameters)
                return self
        self._here(sql, parameters)
        if drops := DROPS.match(sql):
            self._let_go(_plain(drops[1]))
        return self

    def unite(
        self, name: str, selects: Sequence[str], stored: Mapping[str, pa.Schema], called: Mapping[str, str]
    ) -> None:
        """Makes a view of several SELECTs, with the columns that the local one of this name has."""
        columns = self._columns(name)
        named = {id.lower(): dict.fromkeys(of.names, "VARCHAR") for id, of in stored.items()}
        united = None
        for select in selects:
            rows = self.session.sql(spark(parse(select), named, called))
            there = {one.name.lower(): one.dataType for one in rows.schema}
            rows = rows.selectExpr(*(_aligned(f"`{one}`", one, kind, there) for one, kind in columns.items()))
            united = rows if united is None else united.union(rows)
        assert united is not None
        self.there[name] = self.there[f"{VIEW}{name}"] = _new_name()
        united.createOrReplaceTempView(self.there[name])

    def _here(self, sql: str, parameters: Any) -> None:
        if parameters is None:
            self.local.execute(sql)
        else:
            self.local.execute(sql, parameters)

    def _is_there(self, tree: exp.Expr) -> bool:
        return bool(_tables(tree) & self.there.keys())

    def _columns(self, name: str) -> dict[str, str]:
        relation = f"memory.main.{name.removeprefix(VIEW)}" if name.startswith(VIEW) else f'"{_quoted(name)}"'
        found = self.local.execute(f"DESCRIBE {relation}").fetchall()
        return {column: kind for column, kind, *_ in found}

    def _rows(self, tree: exp.Expr, parameters: Any) -> Any:
        """The query as the cluster's rows."""
        names = _tables(tree)
        for name in names - self.there.keys():
            self._send(name)
        columns = {name: self._columns(name) for name in names}
        values = (
            parameters
            if isinstance(parameters, Mapping)
            else {str(at): one for at, one in enumerate(parameters or (), 1)}
        )
        macros = spark_macros(self._releases)
        text = spark(tree, columns, {name: self.there.get(name) or self.sent[name] for name in names}, values, macros)
        return self.session.sql(text)

    def _releases(self) -> list[Release]:
        """Application, version key, whether a pre-release, and time of each release."""
        return self.local.execute(
            "SELECT application, version_key(version), regexp_matches(version, '^[^+]*-'), released FROM releases"
        ).fetchall()

    def _make(self, name: str, tree: exp.Expr, parameters: Any, *, keep: bool) -> None:
        with _told(self.private):
            # Sail's plans contradict themselves over a truth value that cannot be null.
            rows = self._rows(tree, parameters).selectExpr(
                *(
                    f"nullif(`{one}`, CAST(NULL AS BOOLEAN)) AS `{one}`" if kind == "BOOLEAN" else f"`{one}`"
                    for one, kind in self._columns(name).items()
                )
            )
            if keep:
                with suppress(Exception):  # to keep it spares work, and not every server can
                    rows = rows.persist()
                    self.kept[name.lower()] = rows
            called = _new_name()
            rows.createOrReplaceTempView(called)
        self.there[name.lower()] = called

    def _ask(self, sql: str, tree: exp.Expr, parameters: Any) -> None:
        """Runs the query there, and leaves the answer here, of the types that DuckDB's would have."""
        self._here(f"DESCRIBE {sql}", parameters)
        columns = [(name, kind) for name, kind, *_ in self.local.fetchall()]
        with _told(self.private):
            answer: pa.Table = self._rows(tree, parameters).toArrow()
        answer = answer.rename_columns([f"c{at}" for at in range(answer.num_columns)])
        self.local.register(ANSWER, answer)
        wanted = ", ".join(f'c{at}::{kind} AS "{_quoted(name)}"' for at, (name, kind) in enumerate(columns))
        self.local.execute(f'SELECT {wanted} FROM "{ANSWER}"')

    def _send(self, name: str) -> None:
        """Takes a relation that is not people's to the cluster."""
        if name in self.sent:
            return
        called = _new_name()
        rows = self.local.sql(f'SELECT * FROM "{_quoted(name)}"').to_arrow_table()
        self.session.createDataFrame(rows).createOrReplaceTempView(called)
        self.sent[name] = called

    def _let_go(self, name: str) -> None:
        self.there.pop(name.lower(), None)
        self.sent.pop(name.lower(), None)
        if (rows := self.kept.pop(name.lower(), None)) is not None:
            with suppress(Exception):
                rows.unpersist()


def _new_name() -> str:
    """What the cluster can call a view: names of ours have spaces, and those of applications hyphens."""
    return f"abaculus_{next(_NUMBERS)}"


def _tables(tree: exp.Expr) -> set[str]:
    """The relations that a query reads, in small letters."""
    parts = {one.alias.lower() for one in tree.find_all(exp.CTE)}
    return {one.name.lower() for one in tree.find_all(exp.Table) if one.name} - parts


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _aligned(place: str, name: str, kind: str, there: Mapping[str, Any]) -> str:
    """A column as all applications have it, in Spark's SQL: with the members of each, and null where there is none."""
    type = exp.DataType.build(kind, dialect="duckdb") if kind.startswith("STRUCT(") else None
    found = there.get(name.lower())
    if found is None:
        cast = spark(parse(f"SELECT NULL::{kind}"), {}, {}).removeprefix("SELECT ").partition(" AS `")[0]
        return f"{cast} AS `{name}`"
    if type is None:
        return f"{place} AS `{name}`"
    inside = {one.name.lower(): one.dataType for one in found}
    members = (
        _aligned(f"{place}.`{one.name}`", one.name, one.args["kind"].sql("duckdb"), inside) for one in type.expressions
    )
    return f"struct({', '.join(members)}) AS `{name}`"


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]


@contextmanager
def _told(private: bool) -> Iterator[None]:
    """What the cluster refuses, as a mistake of the query.

    An error that a row caused does not repeat what was in it: the log of a public build is public.
    """
    try:
        yield
    except PySparkException as error:
        if private or isinstance(error, AnalysisException | ParseException | UnsupportedOperationException):
            raise QueryError(f"Spark cannot run this: {_first(error)}") from None
        kind = error.getCondition() or type(error).__name__
        raise QueryError(f"Spark could not run this ({kind}); see why with abaculus sql --engine spark") from None
