"""MkDocs hooks only. MkDocs is imported here and nowhere else, so that a move to another generator touches one file."""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from jinja2 import FileSystemBytecodeCache
from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import config_options, load_config
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, ConfigurationError, PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import BasePlugin
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page as MkDocsPage
from mkdocs.utils import get_relative_url

from ingest import registry
from ingest.bucket import DEFAULT, open_bucket
from reports import assets, collected, warehouse
from reports.bookkeeping import bookkeeping
from reports.engine import ENGINES, chosen
from reports.entities import addresses, listed
from reports.html import banner, freshness, text
from reports.index import INDEX, badge, index
from reports.machine import documents
from reports.page import Fault, front_matter
from reports.policy import apply
from reports.queries import Row
from reports.site import CLOSED, MINIMUM_USERS, Page, Site

__all__ = ["AbaculusPlugin", "BuildError", "build", "serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# In every site that was built here, and in nothing else; says which build it is.
STAMP = "abaculus-build.json"
log = logging.getLogger("mkdocs.plugins.abaculus")
PRIVATE = (
    '<div class="admonition danger ab-private"><p><strong>Private.</strong> Nothing on this page is gated: it shows '
    "single people's runs, and free text as it was sent. Publish no part of it, and no picture of it.</p></div>"
)


class BuildError(Exception):
    """A site that was not built, and why; `faults` are those of its pages, which the message names, too."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class AbaculusConfig(Config):  # type: ignore[no-untyped-call]
    """The plugin's settings in mkdocs.yml."""

    engine = config_options.Optional(config_options.Choice(ENGINES))
    minimum_users = config_options.Type(int, default=MINIMUM_USERS)
    rounded = config_options.Type(bool, default=False)
    closed = config_options.Optional(config_options.Choice(CLOSED))

    def rules(self) -> dict[str, Any]:
        """Of the gate, as `Site` takes them."""
        return {"minimum_users": self.minimum_users, "rounded": self.rounded, "closed": self.closed}


class AbaculusPlugin(BasePlugin[AbaculusConfig]):  # type: ignore[no-untyped-call]
    """Runs the chart blocks of pages and puts the published figures in their place."""

    # What `abaculus build` was asked to read.
    bucket: str | None = None
    # What `serve` keeps from one build to the next: then a mistake is shown in its page, and stops nothing.
    served: Site | None = None
    compiled: str | None = None

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Opens the data, once a build."""
        if self.config.minimum_users < 2:
            raise PluginError("abaculus: minimum_users must be at least 2: a public cell of one is one person's data")
        if self.served:
            self.site = self.served
            self.site.faults.clear()
        else:
            bucket = self.bucket or os.environ.get("ABACULUS_BUCKET") or DEFAULT
            engine = chosen(self.config.engine)
            snapshot = warehouse.fetch(open_bucket(bucket), bucket, registry.load(), engine)
            self.site = Site(snapshot, **self.config.rules())
        self.pages: dict[str, Page] = {}
        self.urls: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        config.extra_css.append("assets/abaculus.css")
        config.extra_javascript.append("assets/abaculus.js")
        return config

    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        """Adds the script, the style sheet, plotly.js, and the wire format for machines."""
        for name, path in assets.files().items():
            files.append(File.generated(config, f"assets/{name}", abs_src_path=str(path)))
        for name, document in documents().items():
            files.append(File.generated(config, name, content=json.dumps(document, indent=1)))
        self.add_made(files, config)
        return files

    def add_made(self, files: Files, config: MkDocsConfig) -> None:
        """Adds the pages that templates make, beside them; a template's own address lists them."""
        sources = {file.src_uri: file.content_string for file in files.documentation_pages()}
        self.site.want(sources.values())

        def run(path: str) -> Page:
            file = files.src_uris[path]
            return self.run(front_matter(sources[path])[1], file, file)

        self.made: dict[str, tuple[File, Row]] = {}
        self.templates = self.site.made(sources, lambda path: _shown(files.src_uris[path]), run)
        self.addresses = addresses(self.templates, sources)
        for path, pages in self.templates.items():
            for one in pages:
                uri = f"{one.name}.md"
                self.made[uri] = (files.src_uris[path], one.row)
                made = File.generated(config, uri, content=sources[path], inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(made)

    def run(self, markdown: str, file: File, template: File, row: Row | None = None) -> Page:
        """A page, with the blocks of its template, which is the file itself unless it was made."""
        return self.site.page(
            markdown,
            file=_shown(template),
            source=template.content_string,
            name=file.src_uri.removesuffix(".md"),
            root=get_relative_url(".", file.url).rstrip("/") + "/",
            row=row,
        )

    def on_page_markdown(self, markdown: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Runs the page's blocks and leaves placeholders."""
        began = time.monotonic()
        uri = page.file.src_uri
        if uri in self.templates:
            for key in ("title", "description"):
                if "{{" in str(page.meta.get(key)):
                    del page.meta[key]
            return listed(self.templates[uri])
        done = self.run(self.filled(markdown, uri, files), page.file, *self.made.get(uri, (page.file,)))
        page.meta.update(done.meta)
        self.pages[uri] = done
        self.urls[done.name] = page.url
        self.seconds[page.file.src_uri] = round(time.monotonic() - began, 3)
        return done.markdown

    def filled(self, markdown: str, uri: str, files: Files) -> str:
        """The page with what is made from the registry and the ledger, where it asks for that."""
        known = self.site.snapshot.registry
        written = {
            file.src_uri: file.content_string for file in files.documentation_pages() if file.src_uri not in self.made
        }
        parts = {
            "fields": lambda: collected.fields(known, collected.uses(written), uri),
            "privacy": lambda: collected.privacy(known, self.site.minimum_users),
            "pipeline": lambda: bookkeeping(self.site),
        }
        try:
            return collected.fill(markdown, parts)
        except ValueError as error:
            raise PluginError(f"{uri}: {error}") from None

    def on_page_content(self, html: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Puts the figures in place of the placeholders."""
        uri = page.file.src_uri
        done = self.pages.get(uri)
        above = PRIVATE if self.site.private else ""
        if self.served:
            file = _shown(self.made[uri][0] if uri in self.made else page.file)
            above += mistakes([fault for fault in self.site.faults if fault.file == file])
        of_data = uri in self.templates or uri in self.made or (done is not None and self.site.of_data(done))
        above += banner(self.site.sample) if of_data else ""
        if done is None or not done.pieces:
            return above + html
        whole = above + done.finish(html, self.linker(page, files))
        if not of_data:
            return whole
        left_out = [(one.start, one.end) for one in self.site.snapshot.excluded]
        return whole + freshness(self.site.updated, self.site.now, left_out)

    def linker(self, page: MkDocsPage, files: Files) -> Callable[[str, str], str | None]:
        """Where, seen from a page, the page about a column's value is."""

        def to(column: str, value: str) -> str | None:
            name = self.addresses.get((str(page.meta.get("application")), column, value))
            file = files.src_uris.get(f"{name}.md") if name else None
            return file.url_relative_to(page.file) if file and file != page.file else None

        return to

    def on_env(self, env: Any, *, config: MkDocsConfig, files: Files) -> None:
        """Stops the build before anything is written, with the faults of all pages together. Warnings are only said."""
        # Not through MkDocs' log: a strict build ends at its warnings, and data alone may bring these about.
        for warning in self.site.warnings:
            click.echo(f"warning: {warning}", err=True)
        self.site.warnings.clear()
        if self.site.faults and not self.served:
            raise PluginError("\n".join(str(fault) for fault in self.site.faults))
        if self.compiled:
            env.bytecode_cache = FileSystemBytecodeCache(self.compiled)

    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Writes the downloads and the stamp."""
        for done in self.pages.values():
            for name, content in done.files.items():
                path = Path(config.site_dir) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self.write_index(Path(config.site_dir))
        # The attempt, too: a run that is started again has the same number.
        run = "-".join(os.environ[name] for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT") if name in os.environ)
        stamp = {"built": f"{self.site.now:%Y-%m-%dT%H:%M:%SZ}", "run": run or None, "seconds": self.seconds}
        (Path(config.site_dir) / STAMP).write_text(json.dumps(stamp) + "\n")
        # A page that is served gets a script from MkDocs, which loads it again when it changed.
        if not self.served:
            apply(Path(config.site_dir))
            self.site.connection.close()

    def write_index(self, out: Path) -> None:
        """Writes what lets programs find all series, and the badges of numbers."""
        series = [one for done in self.pages.values() for one in done.series]
        minimum = self.site.minimum_users
        found = index(series, self.urls, built=self.site.now, updated=self.site.updated, minimum_users=minimum)
        (out / "data").mkdir(exist_ok=True)
        (out / INDEX).write_text(json.dumps(found, indent=1) + "\n")
        for one in series:
            if said := badge(one):
                place = out / "data" / one.page / f"{one.id}.badge.json"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps(said) + "\n")


def build(bucket: str, out: Path | None, engine: str | None = None) -> Path:
    """Builds the site that mkdocs.yml of this directory describes, strictly. Raises `BuildError`.

    It is built beside its place and moved there when it is done: a build that fails leaves the site that was there.
    Only a directory that is empty or has a built site in it is replaced.
    """
    if not Path("mkdocs.yml").is_file():
        raise BuildError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    logger = logging.getLogger("mkdocs")
    handler = _Collected()
    logger.addHandler(handler)
    # Whoever catches the error says it all; it would be said twice.
    logger.propagate = False
    plugin: Any = None
    try:
        place = (out or Path(load_config("mkdocs.yml").site_dir)).absolute()
        if place.exists() and not (place.is_dir() and ((place / STAMP).is_file() or not any(place.iterdir()))):
            raise BuildError(f"{place} is there and is not a built site; name another directory with --out")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".building-") as beside:
            config = load_config("mkdocs.yml", strict=True, site_dir=f"{beside}/new")
            with suppress(KeyError):
                plugin = config.plugins["abaculus"]
                plugin.bucket = bucket
                plugin.config.engine = engine or plugin.config.engine
            mkdocs_build(config)
            if place.exists():
                place.rename(f"{beside}/old")
            Path(config.site_dir).rename(place)
    except (Abort, ConfigurationError, PluginError) as error:
        # Its last word only says that it ends; a page's faults are among the messages.
        said = [one for one in (*handler.messages, str(error)) if not one.startswith("Aborted with")]
        site = getattr(plugin, "site", None)
        raise BuildError("\n".join(dict.fromkeys(said)) or str(error), site.faults if site else ()) from None
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    return place


def _shown(file: File) -> str:
    """A file's path in messages."""
    return os.path.relpath(file.abs_src_path) if file.abs_src_path else file.src_uri


def mistakes(faults: list[Fault]) -> str:
    """A page's mistakes, above it: for who is writing it."""
    lines = "".join(f"<li><code>{text(str(fault))}</code></li>" for fault in faults)
    return f'<div class="admonition failure ab-mistakes"><p>To mend:</p><ul>{lines}</ul></div>' if lines else ""


def serve(
    bucket: str, host: str, port: int, *, private: bool, say: Callable[[str], None], engine: str | None = None
) -> None:
    """Serves the site and builds it again when a page changes, until it is stopped. Raises `BuildError`, `OSError`.

    The data is fetched once, and pages that did not change are not run again. A private site is for this machine alone.
    """
    names = LOOPBACK if host in LOOPBACK else (host,)
    if private and host not in LOOPBACK:
        raise BuildError(f"--private shows single people's runs: it is served on 127.0.0.1 only, not on {host!r}")
    if not Path("mkdocs.yml").is_file():
        raise BuildError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    with (
        tempfile.TemporaryDirectory(prefix="abaculus-") as place,
        tempfile.TemporaryDirectory(prefix="abaculus-") as templates,
    ):

        def load() -> MkDocsConfig:
            return load_config("mkdocs.yml", site_dir=place, site_url=url)

        try:
            config = load()
            settings = config.plugins["abaculus"].config
        except (Abort, ConfigurationError) as error:
            raise BuildError(str(error)) from None
        except KeyError:
            raise BuildError("mkdocs.yml has no plugin abaculus; add `- abaculus` to its plugins") from None
        engine = chosen(engine, settings.engine)
        snapshot = warehouse.fetch(open_bucket(bucket), bucket, registry.load(), engine)
        site = Site(snapshot, private=private, **settings.rules())

        def rebuild() -> None:
            began = time.monotonic()
            # What is wrong is said, and the server goes on with the site that it has.
            try:
                again = load()
                plugin = again.plugins["abaculus"]
                assert isinstance(plugin, AbaculusPlugin)
                plugin.served, plugin.compiled = site, templates
                mkdocs_build(again, serve_url=url)
            except (Abort, ConfigurationError, PluginError, KeyError) as error:
                say(f"not built: {error}")
                return
            for fault in site.faults:
                say(str(fault))
            say(f"built in {time.monotonic() - began:.1f} s")

        rebuild()
        server = _Server(rebuild, host, port, place, names)
        for path in (config.docs_dir, "mkdocs.yml"):
            server.watch(path)
        try:
            with site.connection:
                say(f"Open {url} (Ctrl-C stops)")
                server.serve()  # type: ignore[no-untyped-call]
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()


class _Server(LiveReloadServer):
    """Answers only to its own names: a page elsewhere whose name is made to lead here reads nothing."""

    def __init__(self, rebuild: Callable[[], None], host: str, port: int, root: str, names: Sequence[str]) -> None:
        super().__init__(rebuild, host, port, root, polling_interval=0.2)
        # Else the process would stay if Ctrl-C came again while this one ends.
        self.serve_thread.daemon = True
        self.names = names

    def serve_request(self, environ: Any, start_response: Any) -> Any:
        """A file of the site."""
        name = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        if name not in (*self.names, *(f"[{one}]" for one in self.names)):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This server answers to its own name only.\n"]
        return super().serve_request(environ, start_response)


class _Collected(logging.Handler):
    """Keeps warnings, which a strict build turns into errors, for the message."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
