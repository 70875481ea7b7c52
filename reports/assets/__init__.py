"""The files that every built site carries: one script, one style sheet, and plotly.js."""

from importlib import resources
from pathlib import Path

__all__ = ["files", "small_bundle"]

CARTESIAN = "plotly-cartesian.min.js"


def small_bundle() -> Path | None:
    """The small plotly.js, which the package's build hook puts here where there is Node to fetch it with."""
    path = Path(__file__).parent / CARTESIAN
    return path if path.is_file() else None


def files() -> dict[str, Path]:
    """Name below `assets/` in the site → file on this machine."""
    here = Path(__file__).parent
    # The full one, which plotly's Python package carries, does the same.
    plotly = small_bundle() or Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))
    return {"abaculus.css": here / "abaculus.css", "abaculus.js": here / "abaculus.js", "plotly.min.js": plotly}
