"""`abaculus init`: writes a small project for a maintainer. It builds at once and calls our workflows by commit."""

import re
import shlex
import textwrap
import zlib
from collections.abc import Container
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml

from ingest.function import registry
from ingest.suggest import client
from reports.assets.origin import COMMIT, REPOSITORY, Origin, origin
from reports.building.settings import FORM

__all__ = ["InitError", "commands", "init"]

HERE = Path(__file__).parents[1]  # reports/
# The group of our own navigation that fits any tool, and its first page.
STATISTICS, OVERVIEW = "Statistics", "overview.md"
NAV = re.compile(r"(?m)^nav:\n(?:[ \t]+.*\n|\n(?=[ \t]))+")


class InitError(Exception):
    """The reason why a project was not written."""


def init(directory: Path, id: str, name: str, workflows: str | None = None) -> list[Path]:
    """Writes the project's files and returns their paths. Raises `InitError`, and never overwrites a file.

    `workflows` is the repository with the workflows that the project calls, as owner/name or owner/name@commit. The
    default is the repository that this installation comes from."""
    if not registry.APPLICATION_ID.fullmatch(id):
        raise InitError(
            f"{id!r} cannot be an application's id; use lower-case letters, digits and hyphens, such as my-tool"
        )
    if any(sign in name for sign in '"\\\n@'):
        raise InitError(f"{name!r} cannot be a name; leave out quotes, backslashes, line breaks and @")
    source = _source(workflows)
    # Spread over the hour, except the minutes at which most schedules start.
    minute = 5 * (zlib.crc32(id.encode()) % 12) + 1 + zlib.crc32(name.encode()) % 4
    given = {"ID": id, "NAME": name, "MINUTE": str(minute)}
    given |= {"SOURCE": str(source.repository), "COMMIT": str(source.commit), "REF": str(source.ref)}
    given |= {"DIRECTORY": shlex.quote(directory.absolute().name)}
    # What the client sends by itself. The project lists the names of the tool's own commands.
    given["CLIENT"] = "\n\n".join(entry for path, entry in client().items() if path != "attributes.commandName")
    contents = _contents(id, given)
    if there := [path for path in contents if (directory / path).exists()]:
        raise InitError(f"{directory / there[0]} exists already; choose another directory")
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return [directory / path for path in contents]


def commands(directory: Path) -> list[str]:
    """The next commands, from the project's README."""
    text = (directory / "README.md").read_text(encoding="utf-8")
    return [line for fence in re.findall(r"(?ms)^```console\n(.*?)^```", text) for line in fence.splitlines()]


def _source(workflows: str | None) -> Origin:
    """The repository and commit of the workflows that a project calls. Nothing is guessed, because they receive its
    secrets.
    """
    here = distribution("abaculus")
    found = origin(here)
    repository, _, commit = (workflows or "").partition("@")
    if workflows and not (REPOSITORY.fullmatch(repository) and (COMMIT.fullmatch(commit) or "@" not in workflows)):
        raise InitError(
            f"--workflows {workflows!r}: expected OWNER/NAME, or OWNER/NAME@COMMIT with all 40 digits of the commit; "
            f"somebody can move a tag or a branch to other code. `git ls-remote https://github.com/OWNER/NAME` lists "
            f"commits"
        )
    version = f"v{here.version}"
    if commit and commit != found.commit:
        return Origin(repository, commit, version)
    repository = repository or found.repository or ""
    if not repository:
        raise InitError(
            "which repository's workflows should the project call? They receive its secrets, and this installation "
            "does not come from a known repository on github.com. Name the repository of Abaculus that you trust: "
            "--workflows OWNER/NAME"
        )
    if not found.commit:
        raise InitError(
            f"at which commit should the project call the workflows of {repository}? This installation does not know "
            f"its own commit, or it was not pushed. `git ls-remote https://github.com/{repository}` lists the commits "
            f"of tags and branches; then: --workflows {repository}@COMMIT"
        )
    return Origin(repository, found.commit, found.ref or version)


def _contents(id: str, given: dict[str, str]) -> dict[str, bytes]:
    """Every file of a project: path -> bytes."""
    project = HERE / "assets" / "project"
    # The wheel has our own site beside the templates; the repository has it in `site/`.
    ours = project / "ours" if (project / "ours").is_dir() else HERE.parent
    settings = (ours / "mkdocs.yml").read_text(encoding="utf-8")
    found = NAV.search(settings)
    assert found is not None, "our own mkdocs.yml has a nav"
    (nav,) = (group[STATISTICS] for group in yaml.safe_load(found[0])["nav"] if STATISTICS in group)
    pages = set(re.findall(r"[\w/-]+\.md", str(nav)))
    made = {
        "mkdocs.yml": _settings(settings, given["NAME"], nav),
        f"applications/{id}.toml": _filled(project / "registry.toml", given),
        "README.md": _filled(project / "README.md", given),
        ".gitignore": _filled(project / "gitignore", given),
        ".github/dependabot.yml": _filled(project / "dependabot.yml", given),
        "consent.md": _filled(project / "consent.md", given),
        FORM: _filled(project / "delete-my-data.yml", given),
    }
    for path in sorted((project / "workflows").glob("*.yml")):
        made[f".github/workflows/{path.name}"] = _filled(path, given)
    docs = f"https://github.com/{given['SOURCE']}/blob/{given['COMMIT']}/site/"
    for page in sorted(pages):
        made[f"site/{_place(page)}"] = _linked((ours / "site" / page).read_text(encoding="utf-8"), pages, docs)
    # The only page in its part of the menu needs no column for it.
    made["site/index.md"] = made["site/index.md"].replace("---\n", "---\nhide: [navigation]\n", 1)
    written = {path: text.encode() for path, text in made.items()}
    return written | {"site/assets/favicon.svg": (ours / "site/assets/favicon.svg").read_bytes()}


def _filled(path: Path, given: dict[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda one: given[one[1]], path.read_text(encoding="utf-8"))


def _settings(text: str, name: str, nav: list[Any]) -> str:
    """Our mkdocs.yml with another name and these pages."""
    text = re.sub(r"(?m)^site_name: .*$", lambda _: f'site_name: "{name} in use"', text)
    about = f'site_description: "How {name} is used, from the runs of people who agreed to send them"'
    text = re.sub(r"(?m)^site_description: .*$", lambda _: about, text)
    # Our address and our link card do not belong to the project.
    text = re.sub(r"(?m)^(site_url|  custom_dir): .*\n", "", text)
    written = textwrap.indent(yaml.safe_dump(nav, sort_keys=False, allow_unicode=True), "  ")
    written = written.replace(OVERVIEW, _place(OVERVIEW))
    return NAV.sub(lambda _: f"nav:\n{written}", text)


def _place(page: str) -> str:
    """The place of one of our pages in a project. A project's first page is the overview."""
    return "index.md" if page == OVERVIEW else page


def _linked(text: str, pages: Container[str], docs: str) -> str:
    """A page whose links to our documentation lead to our repository, because a project has no copy of it."""

    def to(found: re.Match[str]) -> str:
        address = _place(found[2]) if found[2] in pages else docs + found[2]
        return f"[{found[1]}]({address}{found[3] or ''})"

    return re.sub(r"\[([^\]]+)\]\(([\w/-]+\.md)(#[\w-]*)?\)", to, text)
