"""Puts the small plotly.js bundle into the package at build time, where there is Node to fetch it with."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = "plotly-cartesian.min.js"


class PlotlyBundle(BuildHookInterface[Any]):
    """Installs the pinned npm package and copies its one file. Without it, sites carry plotly's full bundle."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel or an editable install is made."""
        here = Path(self.root) / "reports" / "assets"
        if not (here / BUNDLE).is_file():
            npm = shutil.which("npm")
            reason = "Node is not installed" if npm is None else _install(npm, here)
            if reason:
                print(f"abaculus: plotly's full bundle will be used: {reason}", file=sys.stderr)
                return
        build_data["artifacts"].append(f"/reports/assets/{BUNDLE}")


def _install(npm: str, here: Path) -> str | None:
    """Why it could not be installed, or None."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(here / file, name)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=name,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            return f"npm ci failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}"
        package = Path(name) / "node_modules" / "plotly.js-cartesian-dist-min"
        shutil.copy(package / BUNDLE, here / BUNDLE)
    return None
