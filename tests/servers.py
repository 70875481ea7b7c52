"""Real servers that tests and benchmarks start on free ports of loopback."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["free_ports", "s3_server"]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def s3_server(directory: Path, bucket: str = "abaculus") -> Iterator[Mapping[str, str]]:
    """SeaweedFS with one bucket, from its wheel; gives the environment with which every client finds it."""
    names = ("master", "volume", "filer", "s3")
    # Each service has a gRPC port too, which it takes 10,000 above the other unless told.
    ports = free_ports(2 * len(names))
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=64"]
    command += ["-master.volumeSizeLimitMB=64", "-s3.port.https=0"]
    for name, port, grpc in zip(names, ports[::2], ports[1::2], strict=True):
        command += [f"-{name}.port={port}", f"-{name}.port.grpc={grpc}"]
    directory.mkdir(parents=True, exist_ok=True)
    endpoint = f"http://127.0.0.1:{ports[6]}"
    with (directory / "weed.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _make_bucket(f"{endpoint}/{bucket}", process, directory / "weed.log")
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "PATH": os.environ["PATH"],
        }
    finally:
        process.kill()  # asked to stop, it takes half a minute to look after data that is deleted next
        process.wait(30)


def _make_bucket(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")
