"""The origin of this installation: the repository and commit that a project's workflows may call."""

import json
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["COMMIT", "RECORD", "REPOSITORY", "Origin", "checkout", "origin"]

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
# The build hook writes this into a wheel, because an installation from an index does not record its origin.
RECORD = "reports/assets/origin.json"


@dataclass(frozen=True)
class Origin:
    """The origin: "owner/name" on github.com, the full commit hash, and the tag or branch of the installation."""

    repository: str | None = None
    commit: str | None = None
    ref: str | None = None


def origin(distribution: Distribution) -> Origin:
    """Reads the installer's record (PEP 610), the checkout of the running code, and the wheel.

    The repository and the commit come from the same source, so that they belong together.
    """
    direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    if "vcs_info" in direct:
        vcs = direct["vcs_info"]
        asked = vcs.get("requested_revision")
        return Origin(_repository(direct["url"]), vcs["commit_id"], None if COMMIT.match(asked or "0" * 40) else asked)
    if direct.get("dir_info", {}).get("editable"):
        return checkout(Path(unquote(urlsplit(direct["url"]).path)))
    record = Path(str(distribution.locate_file(RECORD)))
    return Origin(**json.loads(record.read_text(encoding="utf-8"))) if record.is_file() else Origin()


def _repository(url: str) -> str | None:
    """The owner/name of an address on github.com. None for other hosts, where the name may belong to somebody else."""
    found = re.fullmatch(r"(?:(?:https|ssh|git)://(?:[^/@]+@)?|[^/@]+@)github\.com(?::\d+/|[:/])([^?#]+)", url)
    name = found[1].rstrip("/").removesuffix(".git") if found else ""
    return name if REPOSITORY.fullmatch(name) else None


def checkout(home: Path) -> Origin:
    """The origin of a checkout, from git. A commit that was not pushed is left out, because no workflow can call it."""
    if not (home / ".git").exists():  # git would answer for a repository in a parent directory
        return Origin()
    commit = _git(home, "rev-parse", "HEAD")
    if commit and not _git(home, "for-each-ref", "--count=1", "--contains", commit, "refs/remotes/origin", "refs/tags"):
        commit = None
    url = _git(home, "remote", "get-url", "origin")
    ref = _git(home, "describe", "--tags", "--exact-match") or _git(home, "symbolic-ref", "--short", "HEAD")
    return Origin(_repository(url or ""), commit, ref)


def _git(home: Path, *arguments: str) -> str | None:
    """The output of git. None if git fails, is not installed, or prints nothing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=home, capture_output=True, encoding="utf-8")
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
