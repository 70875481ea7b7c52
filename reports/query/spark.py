"""Counts on a Spark cluster instead of in DuckDB: people's rows stay there, and only counts come back. It works with
any cluster that speaks Spark Connect and reads Delta tables. A local DuckDB has the same views without rows. It checks
report SQL, knows the types of results, and has all data that is not people's (releases, published cells). A query that
reads people's rows goes to the cluster, together with the other data that it needs.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
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
from pyspark.sql.pandas.types import from_arrow_schema
from sqlglot import exp

from reports.query.dialect import VIEW, parse, spark
from reports.query.engine import EngineError
from reports.query.sandbox import QueryError
from reports.query.spark_macros import Release, spark_macros
from reports.storage import table
from reports.storage.stored_ids import FOUND

__all__ = ["Cluster", "Connection"]

REMOTE = "SPARK_REMOTE"
PORT = 15002
# The cluster's name for the bucket, if it differs from ours: s3a://… for Apache Spark.
BUCKET = "SPARK_BUCKET"
MAKES = re.compile(r"\s*CREATE TEMP (VIEW|TABLE) (\"(?:[^\"]|\"\")+\"|\w+) AS\s", re.IGNORECASE)
DROPS = re.compile(r"\s*DROP (?:VIEW|TABLE) (\"(?:[^\"]|\"\")+\"|\w+)", re.IGNORECASE)
# Everything else is a query for the cluster, with or without comments before it.
COMMANDS = re.compile(r"\s*(CREATE|DROP|DESCRIBE|INSERT|SET)\b", re.IGNORECASE)
ANSWER = "the cluster's answer"
_NUMBERS = count()


class Cluster:
    """A Spark Connect session, and the tables of a bucket at given versions."""

    def __init__(self, bucket: str) -> None:
        """Connects to the address in SPARK_REMOTE. Raises `EngineError`."""
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
            # Spark's client would try for ten minutes if there is no server.
            with socket.create_connection((where.hostname or "", where.port or PORT), timeout=10):
                pass
            self.session = SparkSession.builder.remote(remote).create()
            self.session.client.set_retry_policies([DefaultPolicy(max_retries=8, max_backoff=5_000)])
            self.session.conf.set("spark.sql.session.timeZone", "UTC")
        except Exception as error:
            # Without the rest of the address, which may contain a token.
            at = f"{where.hostname}:{where.port or PORT}"
            raise EngineError(f"no Spark Connect server answers at {at} ({REMOTE}): {_first(error)}") from None

    def read(self, application: str, handle: DeltaTable) -> None:
        """Registers this version of a table on the cluster. Raises `EngineError`."""
        self.tables[application] = pa.schema(handle.schema().to_arrow())
        with self._reading(application):
            called = self.called[application] = _new_name()
            self._rows(application, handle).createOrReplaceTempView(called)

    def known(self, handle: DeltaTable, ids: pa.ChunkedArray) -> pa.Table:
        """The sessions of these that this version of a table has; see `storage.stored_ids`. Only these ids travel."""
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
                f"if its name for the bucket differs, set it in {BUCKET}"
            ) from None

    def close(self) -> None:
        """Ends the session, and everything that was created in it."""
        with suppress(Exception):  # a server that has gone has ended the session too
            self.session.stop()

    def stored(self) -> dict[str, pa.Schema]:
        """The columns of each existing table."""
        return dict(self.tables)

    def connect(
        self, local: duckdb.DuckDBPyConnection, views: Mapping[str, Sequence[str]], *, private: bool
    ) -> "Connection":
        """A connection whose people's views are made of these SELECTs, on the cluster. Its end is the session's.

        `local` has the same views without rows. Only a private connection repeats what the cluster says about a value.
        """
        connection = Connection(local, self.session, {}, private=private, end=self.close)
        for name, selects in views.items():
            connection.unite(name, selects, self.tables, self.called)
        return connection


class Connection:
    """The parts of a DuckDB connection that reports use, over both engines."""

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
        # Lower-case name of a relation -> its name on the cluster, for people's rows and for data that was sent there.
        self.there, self.sent = dict(there), dict[str, str]()
        self.kept: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Results and descriptions come from the local connection, where `execute` stores them."""
        return getattr(self.local, name)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drops the objects of this connection on the cluster."""
        for name in list(self.kept):
            self._let_go(name)
        self.local.close()
        self.end()

    def cursor(self) -> "Connection":
        """A connection with temporary views of its own."""
        return Connection(self.local.cursor(), self.session, self.there, private=self.private)

    def execute(self, sql: str, parameters: Any = None) -> "Connection":
        """Like DuckDB's, but queries over people's rows run on the cluster. Raises `QueryError` and `duckdb.Error`."""
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
        macros = spark_macros(self._releases, self._newest)
        text = spark(tree, columns, {name: self.there.get(name) or self.sent[name] for name in names}, values, macros)
        return self.session.sql(text)

    def _releases(self) -> list[Release]:
        """Application, version key, whether a pre-release, and time of each release."""
        return self.local.execute(
            "SELECT application, version_key(version), regexp_matches(version, '^[^+]*-'), released FROM releases"
        ).fetchall()

    def _newest(self) -> datetime | None:
        """When the newest session arrived."""
        found = self.cursor().execute("SELECT max(ingestion_time) FROM memory.main.sessions").fetchall()
        newest: datetime | None = found[0][0]
        return newest

    def _make(self, name: str, tree: exp.Expr, parameters: Any, *, keep: bool) -> None:
        with _told(self.private):
            # Sail's plans fail with a truth value that cannot be null.
            rows = self._rows(tree, parameters).selectExpr(
                *(
                    f"nullif(`{one}`, CAST(NULL AS BOOLEAN)) AS `{one}`" if kind == "BOOLEAN" else f"`{one}`"
                    for one, kind in self._columns(name).items()
                )
            )
            if keep:
                with suppress(Exception):  # caching saves work, but not every server can do it
                    rows = rows.persist()
                    self.kept[name.lower()] = rows
            called = _new_name()
            rows.createOrReplaceTempView(called)
        self.there[name.lower()] = called

    def _ask(self, sql: str, tree: exp.Expr, parameters: Any) -> None:
        """Runs the query on the cluster, and stores the answer here, with the types that DuckDB would use."""
        self._here(f"DESCRIBE {sql}", parameters)
        columns = [(name, kind) for name, kind, *_ in self.local.fetchall()]
        with _told(self.private):
            answer: pa.Table = self._rows(tree, parameters).toArrow()
        answer = answer.rename_columns([f"c{at}" for at in range(answer.num_columns)])
        self.local.register(ANSWER, answer)
        wanted = ", ".join(f'c{at}::{kind} AS "{_quoted(name)}"' for at, (name, kind) in enumerate(columns))
        self.local.execute(f'SELECT {wanted} FROM "{ANSWER}"')

    def _send(self, name: str) -> None:
        """Sends a relation without people's rows to the cluster."""
        if name in self.sent:
            return
        called = _new_name()
        rows = self.local.sql(f'SELECT * FROM "{_quoted(name)}"').to_arrow_table()
        # With explicit types, because types cannot be inferred from a table without rows, such as unknown releases.
        self.session.createDataFrame(rows, from_arrow_schema(rows.schema)).createOrReplaceTempView(called)
        self.sent[name] = called

    def _let_go(self, name: str) -> None:
        self.there.pop(name.lower(), None)
        self.sent.pop(name.lower(), None)
        if (rows := self.kept.pop(name.lower(), None)) is not None:
            with suppress(Exception):
                rows.unpersist()


def _new_name() -> str:
    """The name of a view on the cluster. Our names have spaces, and those of applications have hyphens."""
    return f"abaculus_{next(_NUMBERS)}"


def _tables(tree: exp.Expr) -> set[str]:
    """The relations that a query reads, in lower case."""
    parts = {one.alias.lower() for one in tree.find_all(exp.CTE)}
    return {one.name.lower() for one in tree.find_all(exp.Table) if one.name} - parts


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _aligned(place: str, name: str, kind: str, there: Mapping[str, Any]) -> str:
    """A column for all applications, in Spark's SQL: with the members of each, and null for missing ones."""
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
    """An error of the cluster, as a mistake of the query. An error from a row does not repeat its content, because the
    log of a public build is public.
    """
    try:
        yield
    except PySparkException as error:
        if private or isinstance(error, AnalysisException | ParseException | UnsupportedOperationException):
            raise QueryError(f"Spark cannot run this: {_first(error)}") from None
        kind = error.getCondition() or type(error).__name__
        raise QueryError(f"Spark could not run this ({kind}); `abaculus sql --engine spark` shows why") from None
