"""MkDocs hooks only. MkDocs is imported here and nowhere else, so that a move to another generator touches one file."""

import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import config_options, load_config
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, ConfigurationError, PluginError
from mkdocs.plugins import BasePlugin
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page as MkDocsPage
from mkdocs.utils import get_relative_url

from ingest import registry
from ingest.bucket import DEFAULT, open_bucket
from reports import assets, warehouse
from reports.html import banner, freshness
from reports.machine import documents
from reports.site import MINIMUM_USERS, Page, Site

__all__ = ["AbaculusPlugin", "BuildError", "build"]

# In every site that was built here, and in nothing else; says which build it is.
STAMP = "abaculus-build.json"
log = logging.getLogger("mkdocs.plugins.abaculus")


class BuildError(Exception):
    """A site that was not built; every fault of every page, a line each."""


class AbaculusConfig(Config):  # type: ignore[no-untyped-call]
    """The plugin's settings in mkdocs.yml."""

    bucket = config_options.Optional(config_options.Type(str))
    minimum_users = config_options.Type(int, default=MINIMUM_USERS)


class AbaculusPlugin(BasePlugin[AbaculusConfig]):  # type: ignore[no-untyped-call]
    """Runs the chart blocks of pages and puts the published figures in their place."""

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Opens the data, once a build."""
        if self.config.minimum_users < 2:
            raise PluginError("abaculus: minimum_users must be at least 2: a public cell of one is one person's data")
        bucket = self.config.bucket or os.environ.get("ABACULUS_BUCKET") or DEFAULT
        snapshot = warehouse.fetch(open_bucket(bucket), bucket, registry.load())
        self.site = Site(snapshot, minimum_users=self.config.minimum_users)
        self.pages: dict[str, Page] = {}
        config.extra_css.append("assets/abaculus.css")
        config.extra_javascript.append("assets/abaculus.js")
        return config

    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        """Adds the script, the style sheet, plotly.js, and the wire format for machines."""
        for name, path in assets.files().items():
            files.append(File.generated(config, f"assets/{name}", abs_src_path=str(path)))
        for name, document in documents().items():
            files.append(File.generated(config, name, content=json.dumps(document, indent=1)))
        return files

    def on_page_markdown(self, markdown: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Runs the page's blocks and leaves placeholders."""
        source = page.file.abs_src_path
        done = self.site.page(
            markdown,
            file=os.path.relpath(source) if source else page.file.src_uri,
            source=page.file.content_string,
            name=page.file.src_uri.removesuffix(".md"),
            root=get_relative_url(".", page.url).rstrip("/") + "/",
        )
        self.pages[page.file.src_uri] = done
        return done.markdown

    def on_page_content(self, html: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Puts the figures in place of the placeholders."""
        done = self.pages[page.file.src_uri]
        if not done.pieces:
            return html
        return banner(self.site.sample) + done.finish(html) + freshness(self.site.updated, self.site.now)

    def on_env(self, env: Any, *, config: MkDocsConfig, files: Files) -> None:
        """Stops the build before anything is written, with the faults of all pages together."""
        if self.site.faults:
            raise PluginError("\n".join(str(fault) for fault in self.site.faults))

    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Writes the downloads and the stamp."""
        for done in self.pages.values():
            for name, content in done.files.items():
                path = Path(config.site_dir) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        stamp = {"built": f"{self.site.now:%Y-%m-%dT%H:%M:%SZ}", "run": os.environ.get("GITHUB_RUN_ID")}
        (Path(config.site_dir) / STAMP).write_text(json.dumps(stamp) + "\n")
        self.site.connection.close()


def build(bucket: str, out: Path | None) -> Path:
    """Builds the site that mkdocs.yml of this directory describes, strictly. Raises `BuildError`.

    It is built beside its place and moved there when it is done: a build that fails leaves the site that was there.
    Only a directory that is empty or has a built site in it is replaced.
    """
    if not Path("mkdocs.yml").is_file():
        raise BuildError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    logger = logging.getLogger("mkdocs")
    handler = _Collected()
    logger.addHandler(handler)
    try:
        place = (out or Path(load_config("mkdocs.yml").site_dir)).absolute()
        if place.exists() and not (place.is_dir() and ((place / STAMP).is_file() or not any(place.iterdir()))):
            raise BuildError(f"{place} is there and is not a built site; name another directory with --out")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".building-") as beside:
            config = load_config("mkdocs.yml", strict=True, site_dir=f"{beside}/new")
            with suppress(KeyError):
                config.plugins["abaculus"].config.bucket = bucket
            mkdocs_build(config)
            if place.exists():
                place.rename(f"{beside}/old")
            Path(config.site_dir).rename(place)
    except (Abort, ConfigurationError, PluginError) as error:
        raise BuildError("\n".join(dict.fromkeys([*handler.messages, str(error)]))) from None
    finally:
        logger.removeHandler(handler)
    return place


class _Collected(logging.Handler):
    """Keeps warnings, which a strict build turns into errors, for the message."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
