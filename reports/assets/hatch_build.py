"""Checks the content of a package when it is built, and records its commit."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = "reports/assets/plotly-cartesian.min.js"


class Build(BuildHookInterface[Any]):
    """Refuses to build a package whose sites would have no charts."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """hatchling calls this before it builds a wheel, a source distribution or an editable install."""
        if not (Path(self.root) / BUNDLE).is_file():
            raise FileNotFoundError(f"{BUNDLE} is missing; `git checkout {BUNDLE}` restores it, .ci/lock fetches it")
        self.made = tempfile.TemporaryDirectory()
        if version != "editable":  # which asks its checkout
            build_data["force_include"] |= _record(Path(self.root), Path(self.made.name))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """hatchling calls this after the build."""
        self.made.cleanup()


def _record(root: Path, made: Path) -> dict[str, str]:
    """A file with the repository and commit of this build, and its place. Nothing outside of a checkout."""
    sys.path.insert(0, str(root))
    from reports.assets.origin import RECORD, checkout

    found = asdict(checkout(root))
    if not found["commit"]:
        return {}
    (made / "origin.json").write_text(json.dumps(found), encoding="utf-8")
    return {str(made / "origin.json"): RECORD}
