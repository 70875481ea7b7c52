"""Spark Connect servers that tests start, each a process of its own on a free port of loopback.

End the session (`session.stop()`) while its server still runs: a client asks a server that is gone for ten minutes.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_ports, running
from tests.waiting import PATIENCE

__all__ = ["apache", "sail"]

# Delta is built for one minor version of Spark each, named in its artifact; 4.4.0 is the newest for Spark 4.2 there is.
SPARK, DELTA = "4.2.0", "delta-spark_4.2_2.13:4.4.0"
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
# What Spark's own start script opens to Spark, which reaches into the runtime.
OPENED = (
    "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent "
    "java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar"
)
# Little data: to generate and compile code for each query takes most of the time of all.
SETTINGS = {
    "user.timezone": "UTC",
    "spark.app.name": "abaculus",
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


@contextlib.contextmanager
def sail(directory: Path) -> Iterator[str]:
    """Sail, Spark's SQL without Java; gives the URL of its Spark Connect server."""
    program = Path(sys.executable).with_name("sail")
    if not program.exists():
        pytest.skip("pysail is not there; it is one of the dev dependencies (python3 .ci/venv)")
    (port,) = free_ports(1)
    command = [str(program), "spark", "server", "--ip=127.0.0.1", f"--port={port}"]
    with running(command, directory, lambda: _connect(port), TZ="UTC"):
        yield f"sc://localhost:{port}"


@contextlib.contextmanager
def apache(directory: Path) -> Iterator[str]:
    """Apache Spark with Delta; gives the URL of its Spark Connect server.

    Maven fetches 300 MB of jars the first time and keeps them in its own local repository.
    """
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        pytest.skip("Java or Maven is not there (apt-get install default-jre-headless maven)")
    said = subprocess.run([java, "-version"], capture_output=True, encoding="utf-8", check=True).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < 17:
        pytest.skip(f"Spark needs Java 17 or newer (apt-get install openjdk-17-jre-headless), this is {said!r}")
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    settings = SETTINGS | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.local.dir": str(directory / "local"),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
    }
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED.split()]
    command = [java, "-Xmx2g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *opened]
    command += [f"-D{name}={value}" for name, value in settings.items()]
    command += ["-cp", _classpath(maven, directory), "org.apache.spark.sql.connect.service.SparkConnectServer"]
    with running(command, directory, lambda: _connect(port)):
        yield f"sc://localhost:{port}"


def _classpath(maven: str, directory: Path) -> str:
    # Not PyPI's pyspark: that is 450 MB, and Delta would still come from Maven.
    wanted = (f"org.apache.spark:spark-sql_2.13:{SPARK}", f"org.apache.spark:spark-connect_2.13:{SPARK}")
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in (one.split(":") for one in (*wanted, f"io.delta:{DELTA}"))
    )
    project = directory / "pom.xml"
    project.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>spark</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>",
        encoding="utf-8",
    )
    path = directory / "classpath"
    done = subprocess.run(
        [maven, "-q", "-B", "-f", str(project), MAVEN, f"-Dmdep.outputFile={path}"],
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch Spark's jars: {done.stdout[-2000:]}")
    return path.read_text(encoding="utf-8")


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
