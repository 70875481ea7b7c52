"""Reads mkdocs.yml for commands that build nothing, without starting MkDocs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reports.gate.rules import Rules, read
from reports.pages.site import PUBLIC
from reports.query.engine import ENGINES

__all__ = ["FORM", "Settings", "SettingsError", "deletion_form", "settings"]

# The issue form for people who ask for deletion.
FORM = ".github/ISSUE_TEMPLATE/delete-my-data.yml"


class SettingsError(Exception):
    """A missing site or a wrong setting, with the fix."""


@dataclass(frozen=True)
class Settings:
    """The directory of the pages, the rules that protect their numbers, and the engine."""

    docs: Path
    rules: Rules = PUBLIC
    engine: str | None = None


class _Loader(yaml.SafeLoader):
    """Ignores the YAML tags of MkDocs, which do not matter here."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def settings(directory: Path) -> Settings:
    """Reads them. Raises `SettingsError`."""
    path = directory / "mkdocs.yml"
    if not path.is_file():
        raise SettingsError("no mkdocs.yml in this directory; run this where your site's mkdocs.yml is")
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader, see above
    except yaml.YAMLError as error:
        raise SettingsError(f"mkdocs.yml is not valid YAML: {error}") from None
    given = given if isinstance(given, dict) else {}
    plugin: dict[str, Any] = {}
    for one in given.get("plugins") or ():
        if isinstance(one, dict) and isinstance(one.get("abaculus"), dict):
            plugin = one["abaculus"]
    try:
        rules = read(plugin)
    except ValueError as error:
        raise SettingsError(f"mkdocs.yml: {error}") from None
    engine = plugin.get("engine")
    if engine not in (None, *ENGINES):
        raise SettingsError(f"mkdocs.yml: engine is one of {', '.join(ENGINES)}, not {engine!r}")
    docs = directory / str(given.get("docs_dir") or "docs")
    return Settings(docs, rules, engine)


def deletion_form() -> str | None:
    """The address of the issue form in this directory. None outside of a workflow, which knows the repository."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if not (server and repository and Path(FORM).is_file()):
        return None
    return f"{server}/{repository}/issues/new?template={Path(FORM).name}"
