"""The MkDocs hooks: they call the code that runs and renders pages, and give the result to MkDocs."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any, Literal

import click
from jinja2 import FileSystemBytecodeCache
from markdown import Markdown
from markdown.extensions import Extension
from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, CombinedEvent, event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page as MkDocsPage
from mkdocs.utils import get_relative_url

from ingest.function import registry
from ingest.function.bucket_url import DEFAULT, BucketError, open_or_empty
from reports.assets.files import before_theme
from reports.assets.files import files as asset_files
from reports.blocks.fault import Fault
from reports.blocks.format import NOTHING
from reports.building.content_security_policy import apply
from reports.building.inputs import inputs
from reports.building.machine_files import INDEX, badge, documents, index
from reports.building.menu import completed
from reports.building.notices import EXACT, PRIVATE, banner, freshness, lacks, mistakes, summary
from reports.building.report import Checked, lines
from reports.building.settings import deletion_form
from reports.charts.choices import without
from reports.charts.html import text
from reports.gate.rules import Rules
from reports.gate.rules import read as read_rules
from reports.pages import registry_page
from reports.pages.generated_pages import addresses, listed
from reports.pages.insert_results import Linker, Renderer
from reports.pages.markdown_blocks import VALUE, Blocks
from reports.pages.page_result import Page
from reports.pages.pipeline_page import bookkeeping
from reports.pages.site import Pages, Site
from reports.pages.source import Source
from reports.pages.source import read as read_page
from reports.query.engine import ENGINES, chosen
from reports.query.snapshot import fetch

__all__ = ["STAMP", "AbaculusPlugin"]

log = logging.getLogger("mkdocs.plugins.abaculus")
# A file in every site that Abaculus built, and only there. It says which build it is.
STAMP = "abaculus-build.json"
# Other plugins add and move files earlier (static-i18n at -100), and build whole sites in this event.
LAST = -200


class AbaculusConfig(Config):  # type: ignore[no-untyped-call]
    """The plugin's settings in mkdocs.yml."""

    engine = config_options.Optional(config_options.Choice(ENGINES))
    minimum_users = config_options.Type(int, default=Rules().minimum)
    protect = config_options.Optional(config_options.Type(str))
    # Settings of earlier versions. An error names their replacement.
    rounded = config_options.Optional(config_options.Type(object))
    closed = config_options.Optional(config_options.Type(object))

    def rules(self) -> Rules:
        """How numbers are protected. Raises `PluginError`."""
        try:
            return read_rules(self)
        except ValueError as error:
            raise PluginError(f"abaculus: {error}") from None


class AbaculusPlugin(BasePlugin[AbaculusConfig]):  # type: ignore[no-untyped-call]
    """Runs the chart blocks of pages and replaces them with published figures.

    MkDocs keeps one instance from its start to its shutdown. So `mkdocs serve` fetches the data once, and runs only
    changed pages again.
    """

    # Settings from `abaculus build`, `check` and `serve`, in addition to mkdocs.yml.
    bucket: str | None = None
    engine: str | None = None
    private = False
    quiet = False
    compiled: str | None = None
    # When the site is served, or marked on purpose, a page shows its mistakes, and they stop nothing.
    serving = False
    marked = False
    site: Site | None = None
    inputs: str | None = None

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        """A command begins."""
        self.serving = command == "serve"
        self.pages: dict[str, Page] = {}
        self.urls: dict[str, str] = {}
        # Pages with a temporary title for other plugins, until MkDocs converts their heading.
        self.headed: set[str] = set()
        # The page that is written, while the search reads a part of it.
        self.whole: str | None = None
        # The results: mistakes, pages by path, all files, and the anchors of each page.
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.written: dict[str, Source] = {}
        self.there: set[str] = set()
        self.ids: dict[str, set[str]] = {}

    def on_shutdown(self) -> None:
        """Resets the settings, so that they do not reach the next command."""
        if self.site is not None:
            self.site.connection.close()
        self.site = self.bucket = self.engine = self.compiled = None
        # It refers to the site, and MkDocs keeps the plugin until the process ends.
        self.renderer = Renderer()
        self.private = self.quiet = self.marked = self.serving = False

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Opens the data, once for each command."""
        rules = self.config.rules()
        if self.site is None:
            self.site = self.opened(rules)
        # A plugin such as static-i18n builds the site again inside its build, with the same index.
        if not any(isinstance(one, Blocks) for one in config.markdown_extensions):
            self.site.faults.clear()
            self.site.warnings.clear()
            self.pages, self.urls, self.written, self.ids = {}, {}, {}, {}
            self.faults, self.warnings = [], []
            self.renderer = Renderer()
            self.blocks = Blocks(self.renderer.open)
            config.markdown_extensions.append(self.blocks)  # type: ignore[arg-type] # it takes both
            config.extra_css.append("assets/abaculus.css")
            config.extra_javascript.append("assets/abaculus.js")
        return config

    def opened(self, rules: Rules) -> Site:
        """The data as it is now."""
        bucket = self.bucket or os.environ.get("ABACULUS_BUCKET") or DEFAULT
        try:
            store, absent = open_or_empty(bucket)
        except BucketError as error:
            raise PluginError(f"abaculus: {error}") from None
        if absent:
            log.info(absent)
        self.inputs = inputs(store)
        snapshot = fetch(store, bucket, registry.load(), chosen(self.engine, self.config.engine))
        return Site(snapshot, private=self.private, rules=rules)

    @event_priority(LAST)
    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        """Adds the script, the style sheet, and plotly.js, and completes the menu."""
        assert self.site is not None
        for name, asset in asset_files().items():
            files.append(File.generated(config, f"assets/{name}", abs_src_path=str(asset)))
        for name, document in documents().items():
            files.append(File.generated(config, name, content=json.dumps(document, indent=1)))
        if config.nav is not None:
            pages = files.documentation_pages()
            there = {file.src_uri: file for file in pages if file.inclusion == InclusionLevel.INCLUDED}
            config.nav, said = completed(config.nav, there, lambda path: self.source(there[path], config))
            self.site.warnings += said
        return files

    @event_priority(LAST)
    def on_nav(self, nav: Navigation, *, config: MkDocsConfig, files: Files) -> Navigation:
        """Runs all pages, and adds those that templates generate. Earlier, the plugin blog hides its posts from other
        plugins.
        """
        assert self.site is not None
        inclusion = InclusionLevel.is_in_serve if self.serving else InclusionLevel.is_included
        there = {file.src_uri: file for file in files.documentation_pages(inclusion=inclusion)}
        self.sources = {path: self.source(file, config) for path, file in there.items()}
        macros = config.plugins.get("macros")
        takes = macros is not None and macros.config.get("j2_variable_start_string") in (None, "", "{{")
        if takes and any(source.values for source in self.sources.values()):
            raise PluginError(
                "the plugin macros reads the values {{ name.column }} of pages as its own; set its "
                "j2_variable_start_string: '[[' and j2_variable_end_string: ']]' in mkdocs.yml"
            )
        self.renderer.theirs = takes
        self.ran: Pages = self.site.run(self.sources)
        self.pages |= {page.name: page for page in self.ran.by_path.values()}
        self.written |= self.sources | {path: page.source for path, page in self.ran.by_path.items()}
        self.addresses = addresses(self.ran.generated, self.sources)
        for path, pages in self.ran.generated.items():
            for one in pages:
                generated = File.generated(
                    config, f"{one.name}.md", content=there[path].content_string, inclusion=InclusionLevel.NOT_IN_NAV
                )
                files.append(generated)
        return nav

    def source(self, file: File, config: MkDocsConfig) -> Source:
        """The source of a page, converted as MkDocs will convert it."""

        def convert(text: str, extension: Extension) -> str:
            extensions = [extension if isinstance(one, Blocks) else one for one in config.markdown_extensions]
            return Markdown(extensions=extensions, extension_configs=config.mdx_configs or {}).convert(text)

        shown = os.path.relpath(file.abs_src_path) if file.abs_src_path else file.src_uri
        try:
            text = file.content_string
        except UnicodeDecodeError as error:
            # MkDocs would end with a traceback. So it gets the readable text, and this fault stops the build.
            content = Path(shown).read_bytes()
            text = file.content_string = content.decode("utf-8-sig", "replace")
            line = content[: error.start].count(b"\n") + 1
            message = "not UTF-8: this line has a character of another encoding; save the file as UTF-8"
            if self.site is not None:
                self.site.faults.append(Fault(shown, line, message, code="not-utf-8"))
        return read_page(file.src_uri, shown, text, convert)

    @event_priority(100)
    def on_pre_page(self, page: MkDocsPage, *, config: MkDocsConfig, files: Files) -> MkDocsPage:
        """Notes which page is being read, before other plugins read it."""
        assert self.site is not None
        site, path = self.site, page.file.src_uri
        self.renderer.read = self.ran.by_path.get(path)
        self.at(page, files)
        self.renderer.parts = {
            "fields": lambda: registry_page.fields(site.snapshot.registry, registry_page.uses(self.sources), path),
            "privacy": lambda: registry_page.privacy(site.snapshot.registry, site.rules.minimum, deletion_form()),
            "pipeline": lambda: bookkeeping(site),
        }
        return page

    def at(self, page: MkDocsPage, files: Files) -> None:
        """Notes the page from which figures link, because an excerpt is on another page."""
        self.files = files
        self.renderer.root = get_relative_url(".", page.url).rstrip("/") + "/"
        self.renderer.to = self.linker(page)

    def linker(self, page: MkDocsPage) -> Linker:
        """The relative URL of the page for a column's value."""

        def to(column: str, value: str) -> str | None:
            name = self.addresses.get((str(page.meta.get("application")), column, value))
            file = self.files.src_uris.get(f"{name}.md") if name else None
            return file.url_relative_to(page.file) if file and file != page.file else None

        return to

    @event_priority(100)
    def on_page_markdown(self, markdown: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Fills the values in the front matter. The address of a template lists its pages."""
        path = page.file.src_uri
        if path in self.ran.generated:
            for key in ("title", "description"):
                if "{{" in str(page.meta.get(key)):
                    del page.meta[key]
            return listed(self.ran.generated[path])
        if done := self.ran.by_path.get(path):
            page.meta.update(done.meta)
            self.urls[done.name] = page.url
            if re.search(VALUE, title := page.title or ""):
                # The plugin social draws its cards before MkDocs converts the page and its heading.
                page.meta["title"] = re.sub(VALUE, lambda one: text(done.said.get((one[1], one[2]), NOTHING)), title)
                self.headed.add(path)
        return markdown

    @event_priority(100)
    def on_page_content(self, html: str, *, page: MkDocsPage, config: MkDocsConfig, files: Files) -> str:
        """Adds the notices above and below the page, and gives MkDocs the ids of its figures."""
        assert self.site is not None
        site, path = self.site, page.file.src_uri
        done = self.ran.by_path.get(path)
        if done is not None:
            self.renderer.heads(done, str(page.meta.get("title")), str(page.meta.get("description")))
        self.gather()
        if path in self.headed:
            self.headed.remove(path)
            del page.meta["title"]
        above = PRIVATE if site.private else "" if site.rules.rounding else EXACT
        if (self.serving or self.marked) and (source := self.written.get(path)):
            mine = [[one for one in found if one.file == source.file] for found in (site.faults, site.warnings)]
            above += mistakes(Checked(1, 0, mine[0], mine[1] if self.serving else ()))
        if site.private and done is not None:
            above += lacks(site.lacks(done, self.config.rules().minimum))
        of_data = path in self.ran.generated or (done is not None and (done.row or site.of_data(done)))
        above += banner(site.sample) if of_data else ""
        if done is not None and not page.meta.get("description") and (done.source.blocks or done.source.values):
            # Otherwise feeds would take the source of the first block as the description.
            page.meta["description"] = summary(html) or str(page.title)
        if done is None or not done.ids:
            return above + html
        page.present_anchor_ids = (page.present_anchor_ids or set()).union(done.ids)
        if not of_data:
            return above + html
        left_out = [(one.start, one.end) for one in site.snapshot.excluded]
        return above + html + freshness(site.updated, site.now, left_out)

    def gather(self) -> None:
        """Takes the findings of the rendering."""
        assert self.site is not None
        self.site.faults += [one for one in self.renderer.faults if one not in self.site.faults]
        self.site.warnings += [one for one in self.renderer.warnings if one not in self.site.warnings]

    def on_env(self, env: Any, *, config: MkDocsConfig, files: Files) -> None:
        """Stops the build before anything is written, with the faults of all pages together. Warnings are only said."""
        assert self.site is not None
        self.renderer.read = None
        self.gather()
        self.faults, self.warnings = list(self.site.faults), list(self.site.warnings)
        pages = {file.src_uri: file.page for file in files.documentation_pages() if file.page is not None}
        self.there = set(files.src_uris)
        self.ids |= {path: page.present_anchor_ids or set() for path, page in pages.items()}
        if not self.quiet:
            # Not through MkDocs' log, because a strict build fails at its warnings, and data alone may cause these.
            for line in lines(Checked(0, 0, (), self.warnings)):
                click.echo(line, err=True)
        if self.faults and not (self.serving or self.marked):
            # MkDocs would look for these files at the end.
            for page in pages.values():
                page.validate_anchor_links(files=files, log_level=config.validation.links.anchors)
            raise PluginError("" if self.quiet else "\n".join(map(str, self.faults)))
        if self.compiled:
            env.bytecode_cache = FileSystemBytecodeCache(self.compiled)

    @event_priority(100)
    def _before_search(self, context: Any, *, page: MkDocsPage, config: MkDocsConfig, nav: Any) -> Any:
        """Notes which page is being written, before other plugins render excerpts on it.

        Removes the choices of filters, which are not text of the page. The search would parse them, which takes long.
        """
        self.at(page, self.files)
        self.whole, page.content = page.content, without(page.content or "")
        return context

    @event_priority(LAST)
    def _after_search(self, context: Any, *, page: MkDocsPage, config: MkDocsConfig, nav: Any) -> Any:
        """Puts it back."""
        page.content = self.whole
        return context

    on_page_context = CombinedEvent(_before_search, _after_search)

    def on_post_page(self, output: str, *, page: MkDocsPage, config: MkDocsConfig) -> str:
        """Prevents the theme from loading the search index before somebody searches."""
        return before_theme(output)

    @event_priority(LAST)
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Writes the downloads, the index and the stamp."""
        assert self.site is not None
        out = Path(config.site_dir)
        for done in self.pages.values():
            for name, content in done.files.items():
                path = out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self.write_index(out)
        # With the attempt, because a run that is started again has the same number.
        run = "-".join(os.environ[name] for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT") if name in os.environ)
        stamp: dict[str, Any] = {"built": f"{self.site.now:%Y-%m-%dT%H:%M:%SZ}", "run": run or None}
        stamp |= {"inputs": self.inputs, "seconds": {f"{one.name}.md": one.seconds for one in self.pages.values()}}
        (out / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
        # MkDocs adds a script to served pages, which loads a page again after a change.
        if not self.serving:
            apply(out)

    def write_index(self, out: Path) -> None:
        """Writes the index of all series and the badges of numbers."""
        assert self.site is not None
        series = [one for done in self.pages.values() for one in done.series]
        minimum = self.site.rules.minimum
        found = index(series, self.urls, built=self.site.now, updated=self.site.updated, minimum_users=minimum)
        (out / "data").mkdir(exist_ok=True)
        (out / INDEX).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        badges = {(one.page, one.id): said for one in series if (said := badge(one))}
        for one in series:
            if one.earlier and (one.page, one.id) in badges:
                badges.setdefault((one.page, one.earlier), badges[one.page, one.id])
        for (page, id), said in badges.items():
            place = out / "data" / page / f"{id}.badge.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(said) + "\n", encoding="utf-8")
