"""The files that every built site carries: one script, one style sheet, and plotly.js."""

import logging
from importlib import resources
from pathlib import Path

__all__ = ["files"]

log = logging.getLogger("mkdocs.plugins.abaculus")
CARTESIAN = "plotly-cartesian.min.js"


def files() -> dict[str, Path]:
    """Name below `assets/` in the site → file on this machine."""
    here = Path(__file__).parent
    plotly = here / CARTESIAN
    if not plotly.is_file():
        # Where there is Node, the package's build hook has put the small one here. The full one does the same.
        plotly = Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))
        log.info("using plotly's full bundle; install Node and reinstall abaculus for one a third its size")
    return {"abaculus.css": here / "abaculus.css", "abaculus.js": here / "abaculus.js", "plotly.min.js": plotly}
