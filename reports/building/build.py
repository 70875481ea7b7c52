"""`abaculus build` and `abaculus check`: the whole site, strictly. A check is a build without the result."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, ConfigurationError, MkDocsException, PluginError
from mkdocs.structure.files import InclusionLevel, get_files

from reports.blocks.fault import Fault
from reports.building.hooks import STAMP, AbaculusPlugin
from reports.building.mkdocs_faults import Messages, faults
from reports.building.report import Checked, lines
from reports.pages.insert_results import Renderer
from reports.pages.markdown_blocks import Blocks
from reports.pages.source import Source

__all__ = ["BuildError", "build", "check", "found", "listening", "loaded", "pages", "run"]


class BuildError(Exception):
    """The reason why a site was not built. `found` has the mistakes of its pages."""

    def __init__(self, message: str, found: Checked | None = None) -> None:
        super().__init__(message)
        self.found = found or Checked(0, 0, (), ())


def build(
    bucket: str,
    out: Path | None,
    engine: str | None = None,
    *,
    marked: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Builds the site that mkdocs.yml in this directory describes, and prints warnings. Raises `BuildError`.

    It builds the site beside its place and then moves it there, so a failed build leaves the old site.
    With `marked`, it also builds pages with mistakes, which show them, and raises the error at the end.
    It replaces only an empty directory or a built site.
    """
    place = (out or Path(loaded()[0].site_dir)).absolute()
    if place.exists() and not (place.is_dir() and ((place / STAMP).is_file() or not any(place.iterdir()))):
        raise BuildError(f"{place} exists and is not a built site; name another directory with --out")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".building-") as beside:
        checked = _built(Path(beside) / "new", bucket, engine, marked)
        wrong = BuildError("\n".join(map(str, checked.faults)), checked)
        if checked.faults and not (marked and (Path(beside) / "new" / STAMP).is_file()):
            raise wrong
        if place.exists():
            place.rename(f"{beside}/old")
        (Path(beside) / "new").rename(place)
    if checked.faults:
        raise wrong
    for line in lines(checked):
        say(line)
    return place


def check(bucket: str, engine: str | None = None) -> Checked:
    """What `build` would find. Raises `BuildError` if there is nothing to build."""
    with tempfile.TemporaryDirectory(prefix="abaculus-") as place:
        return _built(Path(place) / "new", bucket, engine)


def pages() -> dict[str, Source]:
    """The source of all pages of the site in this directory, by path. Raises `BuildError`."""
    config, plugin = loaded()
    config.markdown_extensions.append(Blocks(Renderer().open))  # type: ignore[arg-type] # it takes both
    with listening():
        files = get_files(config).documentation_pages(inclusion=InclusionLevel.is_included)
        return {file.src_uri: plugin.source(file, config) for file in files}


def loaded(**settings: Any) -> tuple[MkDocsConfig, AbaculusPlugin]:
    """MkDocs' configuration in this directory, and our plugin in it. Raises `BuildError`."""
    if not Path("mkdocs.yml").is_file():
        raise BuildError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    with listening() as messages:
        try:
            config = load_config("mkdocs.yml", **settings)
        except (Abort, ConfigurationError) as error:
            raise BuildError("\n".join(dict.fromkeys([*messages.said, str(error)]))) from None
    plugin = config.plugins.get("abaculus")
    if not isinstance(plugin, AbaculusPlugin):
        raise BuildError("mkdocs.yml has no plugin abaculus; add `- abaculus` to its plugins")
    return config, plugin


def _built(out: Path, bucket: str, engine: str | None, marked: bool = False) -> Checked:
    """Builds into a directory, as MkDocs' own command does, and returns all mistakes at once."""
    config, plugin = loaded(strict=not marked, site_dir=str(out))
    plugin.bucket, plugin.engine, plugin.marked, plugin.quiet = bucket, engine, marked, True
    with listening() as messages:
        try:
            config.plugins.on_startup(command="build", dirty=False)
            run(config)
        except Abort as error:
            # Why it ends is among the messages, unless this process said it before: MkDocs may drop what it repeats.
            if not (messages.said or plugin.faults):
                messages.said = [str(error.__context__ or error)]
        except (ConfigurationError, PluginError) as error:
            messages.said += filter(None, [str(error)])
        finally:
            config.plugins.on_shutdown()
    return found(plugin, messages.said)


def run(config: MkDocsConfig, **options: Any) -> None:
    """MkDocs' own build. An exception of another plugin becomes a `PluginError` that names the plugin."""
    try:
        mkdocs_build(config, **options)
    except MkDocsException:
        raise
    except Exception as error:
        at, name = error.__traceback__, None
        while at is not None:
            owner = at.tb_frame.f_locals.get("self")
            name = next((one for one, plugin in config.plugins.items() if plugin is owner), name)
            at = at.tb_next
        if name is None or name == "abaculus":
            raise
        raise PluginError(f"the plugin {name} fails: {type(error).__name__}: {error!s:.300}") from error


def found(plugin: AbaculusPlugin, said: Sequence[str]) -> Checked:
    """Everything that a build found, with the log of MkDocs."""
    wrong = [*plugin.faults, *faults(said, plugin.written, plugin.there, plugin.ids)]
    blocks = sum(len(page.series) for page in plugin.pages.values())
    return Checked(len(plugin.written), blocks, _sorted(wrong), _sorted(plugin.warnings))


def _sorted(found: Sequence[Fault]) -> list[Fault]:
    # The pages of a template share its mistakes.
    return sorted(set(found), key=lambda fault: (fault.file, fault.line, fault.column or 0, fault.message))


@contextmanager
def listening() -> Iterator[Messages]:
    """Takes what MkDocs logs. The code that catches an error reports everything, and would report it twice."""
    logger, messages = logging.getLogger("mkdocs"), Messages()
    logger.addHandler(messages)
    before, logger.propagate = logger.propagate, False
    try:
        yield messages
    finally:
        logger.removeHandler(messages)
        logger.propagate = before
