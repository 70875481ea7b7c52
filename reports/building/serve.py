"""`abaculus serve`: the site on this machine, built again when a page changes."""

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, ConfigurationError, PluginError
from mkdocs.livereload import LiveReloadServer

from ingest.function.bucket_url import open_or_empty
from reports.building.build import BuildError, found, listening, loaded, run
from reports.building.hooks import AbaculusPlugin
from reports.building.report import lines

__all__ = ["serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    bucket: str, host: str, port: int, *, private: bool, say: Callable[[str], None], engine: str | None = None
) -> None:
    """Serves the site and builds it again when a page changes, until it is stopped. Raises `BuildError`, `OSError`.

    It fetches the data once, and runs only changed pages again. A private site is for this machine only.
    """
    names = LOOPBACK if host in LOOPBACK else (host,)
    if private and host not in LOOPBACK:
        raise BuildError(f"--private shows single people's runs: it can be served on 127.0.0.1 only, not on {host!r}")
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    with (
        tempfile.TemporaryDirectory(prefix="abaculus-") as place,
        tempfile.TemporaryDirectory(prefix="abaculus-") as templates,
    ):

        def load() -> tuple[MkDocsConfig, AbaculusPlugin]:
            config, plugin = loaded(site_dir=place, site_url=url)
            plugin.bucket, plugin.engine, plugin.private, plugin.compiled = bucket, engine, private, templates
            plugin.quiet = True
            return config, plugin

        def rebuild() -> None:
            began = time.monotonic()
            # Reports the mistakes, and the server continues with the site that it has.
            with listening() as messages:
                try:
                    config, plugin = load()
                    run(config, serve_url=url)
                except (Abort, ConfigurationError, PluginError, BuildError) as error:
                    say(f"not built: {error}")
                    return
            for line in lines(found(plugin, messages.said)):
                say(line)
            say(f"built in {time.monotonic() - began:.1f} s")

        config, _ = load()
        if absent := open_or_empty(bucket)[1]:
            say(absent)
        config.plugins.on_startup(command="serve", dirty=False)
        try:
            rebuild()
            server = _Server(rebuild, host, port, place, names)
            for path in (config.docs_dir, "mkdocs.yml"):
                server.watch(path)
            try:
                say(f"Open {url} (Ctrl-C stops)")
                server.serve()  # type: ignore[no-untyped-call]
            except KeyboardInterrupt:
                pass
            finally:
                server.shutdown()
        finally:
            config.plugins.on_shutdown()


class _Server(LiveReloadServer):
    """Answers only requests to its own names, so that another site cannot read it through a name that leads here."""

    def __init__(self, rebuild: Callable[[], None], host: str, port: int, root: str, names: Sequence[str]) -> None:
        super().__init__(rebuild, host, port, root, polling_interval=0.2)
        # Otherwise the process would stay if Ctrl-C came again meanwhile.
        self.serve_thread.daemon = True
        self.names = names

    def serve_request(self, environ: Any, start_response: Any) -> Any:
        """A file of the site."""
        name = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        if name not in (*self.names, *(f"[{one}]" for one in self.names)):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This server answers to its own name only.\n"]
        return super().serve_request(environ, start_response)
