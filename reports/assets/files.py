"""The files in every built site: one script, one style sheet, and plotly.js."""

from pathlib import Path

__all__ = ["before_theme", "files"]

HERE = Path(__file__).parent


def files() -> dict[str, Path]:
    """Name below `assets/` in the site → file on this machine."""
    # A third of the size of the bundle in plotly's Python package. `.ci/lock` fetches it.
    plotly = HERE / "plotly-cartesian.min.js"
    return {"abaculus.css": HERE / "abaculus.css", "abaculus.js": HERE / "abaculus.js", "plotly.min.js": plotly}


def before_theme(page: str) -> str:
    """A page with the script that must run before the theme's."""
    script = (HERE / "search.js").read_text(encoding="utf-8")
    return page.replace("</head>", f"<script>{script}</script></head>", 1)
