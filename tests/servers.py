"""Real servers that tests and benchmarks start on free ports of loopback."""

import base64
import contextlib
import email.utils
import hmac
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.waiting import PATIENCE, until

__all__ = ["azure_server", "free_ports", "moto_server", "running", "s3_server"]

AZURITE = "azurite@3.35.0"
# Of the one account that Azurite has from the start; its documentation publishes both.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# As `moto_server` does, but one request at a time: it looks for a key and then writes it, with no lock around both.
MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now.

    They lie below those that systems give to outgoing connections: one of these, of another test, would take the port
    before a server has started.
    """
    choose, ports = random.SystemRandom(), set[int]()
    while len(ports) < count:
        port = choose.randrange(10_000, 32_768)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            ports.add(port)
    return list(ports)


@contextlib.contextmanager
def s3_server(directory: Path, bucket: str = "abaculus") -> Iterator[Mapping[str, str]]:
    """SeaweedFS with one bucket, from its wheel; gives the environment with which every client finds it."""
    names = ("master", "volume", "filer", "s3")
    # Each service has a gRPC port too, which it takes 10,000 above the other unless told.
    ports = free_ports(2 * len(names))
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=64"]
    command += ["-master.volumeSizeLimitMB=1024", "-s3.port.https=0"]
    for name, port, grpc in zip(names, ports[::2], ports[1::2], strict=True):
        command += [f"-{name}.port={port}", f"-{name}.port.grpc={grpc}"]
    endpoint = f"http://127.0.0.1:{ports[6]}"
    with running(command, directory, lambda: _make_bucket(f"{endpoint}/{bucket}")):
        yield _aws(endpoint)


@contextlib.contextmanager
def moto_server(directory: Path, bucket: str = "abaculus") -> Iterator[Mapping[str, str]]:
    """Moto with one S3 bucket; gives the environment with which every client finds it."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", MOTO, str(port)]
    with running(command, directory, lambda: _make_bucket(f"{endpoint}/{bucket}")):
        yield _aws(endpoint)


@contextlib.contextmanager
def azure_server(directory: Path, container: str = "abaculus") -> Iterator[Mapping[str, str]]:
    """Azurite with one container, installed by npm; gives the environment with which every client finds it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise RuntimeError("npm is not there; install Node (apt-get install nodejs npm)")
    directory.mkdir(parents=True, exist_ok=True)
    options = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error", f"--prefix={directory}"]
    subprocess.run([npm, "install", *options, AZURITE], check=True, stdout=subprocess.DEVNULL)
    source = directory / "node_modules/azurite/dist/src/blob"
    _heed_start(source / "handlers/ContainerHandler.js")
    (port,) = free_ports(1)
    command = [node, str(source / "main.js"), "--blobHost=127.0.0.1"]
    command += [f"--blobPort={port}", f"--location={directory}", "--skipApiVersionCheck", "--disableTelemetry"]
    with running(command, directory, lambda: _make_container(port, container)):
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }


def _heed_start(handler: Path) -> None:
    """Lets a listing begin at `startFrom`, as Azure's does. Azurite lists from the beginning instead, and then
    the table's library takes old entries of its log for new ones: "Invalid table version"."""
    text = handler.read_text(encoding="utf-8")
    old = "const request = context.request;\n        const marker = options.marker;"
    if old not in text:
        raise RuntimeError(f"{AZURITE} has changed: look whether it heeds startFrom now")
    handler.write_text(text.replace(old, old[:-1] + ' || request.getQuery("startFrom");'), encoding="utf-8")


def _aws(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "PATH": os.environ["PATH"],
    }


@contextlib.contextmanager
def running(command: list[str], directory: Path, prepare: Callable[[], None], **environment: str) -> Iterator[None]:
    """A server, from when it is up and prepared: `prepare` raises OSError until then."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "server.log"
    with path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | environment)
    try:
        until(lambda: prepare() is None, process, lambda: f"{command[0]}: {path.read_text(encoding='utf-8')[-2000:]}")
        yield
    finally:
        process.kill()  # asked to stop, SeaweedFS takes half a minute to look after data that is deleted next
        process.wait(30)


def _make_bucket(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=PATIENCE).close()


def _make_container(port: int, name: str) -> None:
    # Neither library that the project uses can make a container.
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed += f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{digest}"
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"no container: {answer.status} {answer.read()[:300]!r}")
