"""`abaculus init`: a small project of the maintainer's own, which builds at once and calls our workflows by version."""

import re
import textwrap
import zlib
from collections.abc import Container
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ingest import registry

__all__ = ["SOURCE", "InitError", "init"]

# Whose workflows a new project calls, unless told.
SOURCE = "abaculus/abaculus"
HERE = Path(__file__).parent
# The group of our own navigation that is about Abaculus; all other pages fit any tool.
DOCS = "Docs"
ASKING = "asking.md"
NAV = re.compile(r"(?m)^nav:\n(?:[ \t]+.*\n|\n(?=[ \t]))+")


class InitError(Exception):
    """A project that was not made, and why."""


def init(directory: Path, id: str, name: str, source: str = SOURCE) -> list[Path]:
    """Writes the project's files and gives their paths. Raises `InitError`; what is there is never overwritten."""
    if not registry.APPLICATION_ID.fullmatch(id):
        raise InitError(f"{id!r} cannot be an application's id: small letters, digits and hyphens, such as my-tool")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", source):
        raise InitError(f"{source!r} is no repository; give it as OWNER/NAME or OWNER/NAME@TAG")
    if any(sign in name for sign in '"\\\n@'):
        raise InitError(f"{name!r} cannot be a name: without quotes, backslashes, line breaks and @")
    repository, _, ref = source.partition("@")
    # Spread over the hour, past the minutes at which everybody's schedules fire.
    minute = 5 * (zlib.crc32(id.encode()) % 12) + 1 + zlib.crc32(name.encode()) % 4
    given = {"ID": id, "NAME": name, "SOURCE": repository, "VERSION": ref or f"v{version('abaculus')}"}
    contents = _contents(id, given | {"MINUTE": str(minute)})
    if there := [path for path in contents if (directory / path).exists()]:
        raise InitError(f"{directory / there[0]} is there already; choose another directory")
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return [directory / path for path in contents]


def _contents(id: str, given: dict[str, str]) -> dict[str, bytes]:
    """Every file of a project: path -> bytes."""
    project = HERE / "assets" / "project"
    # In the wheel our own site lies beside the templates; in the repository it is where it is written.
    ours = project / "ours" if (project / "ours").is_dir() else HERE.parent
    settings = (ours / "mkdocs.yml").read_text()
    found = NAV.search(settings)
    assert found is not None, "our own mkdocs.yml has a nav"
    nav = [group for group in yaml.safe_load(found[0])["nav"] if DOCS not in group]
    pages = set(re.findall(r"[\w/-]+\.md", str(nav)))
    nav.append({"Asking for consent": ASKING})
    made = {
        "mkdocs.yml": _settings(settings, given["NAME"], nav),
        f"applications/{id}.toml": _filled(project / "registry.toml", given),
        "README.md": _filled(project / "README.md", given),
        ".gitignore": _filled(project / "gitignore", given),
        ".github/dependabot.yml": _filled(project / "dependabot.yml", given),
        f"site/{ASKING}": _filled(project / ASKING, given),
    }
    for path in sorted((project / "workflows").glob("*.yml")):
        made[f".github/workflows/{path.name}"] = _filled(path, given)
    for page in sorted(pages):
        made[f"site/{page}"] = _unlinked((ours / "site" / page).read_text(), pages)
    written = {path: text.encode() for path, text in made.items()}
    return written | {"site/assets/favicon.svg": (ours / "site/assets/favicon.svg").read_bytes()}


def _filled(path: Path, given: dict[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda one: given[one[1]], path.read_text())


def _settings(text: str, name: str, nav: list[Any]) -> str:
    """Our mkdocs.yml with another name and these pages."""
    text = re.sub(r"(?m)^site_name: .*$", lambda _: f'site_name: "{name} in use"', text)
    # Our address and our card for links are not theirs.
    text = re.sub(r"(?m)^(site_url|  custom_dir): .*\n", "", text)
    written = textwrap.indent(yaml.safe_dump(nav, sort_keys=False, allow_unicode=True), "  ")
    return NAV.sub(lambda _: f"nav:\n{written}", text)


def _unlinked(text: str, pages: Container[str]) -> str:
    """A page whose links to what is not taken along are words."""

    def kept(found: re.Match[str]) -> str:
        return found[0] if found[2] in pages else found[1]

    return re.sub(r"\[([^\]]+)\]\(([\w/-]+\.md)(?:#[\w-]*)?\)", kept, text)
