"""Sites with other plugins: figures in every output, and nothing of a page's source or of ours in between."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest
from PIL import ImageFont

from reports.building.build import BuildError, build, check
from tests.messages import mentions
from tests.sites import fill, project, runs

pytest.importorskip("mkdocs_rss_plugin")

CHART = "```yaml chart\ntype: bar\ndata: sessions\nx: shell\ny: people\ntitle: Shells\nname: shells\n```\n"
TOP = "```sql top\nSELECT shell, people FROM shells ORDER BY people DESC LIMIT 1\n```\n\n"
SAID = "Most use {{ top.shell }}, {{ top.people }} people.\n"
PAGE = f"---\ntags: [numbers]\n---\n# {{{{ top.shell }}}} leads\n\n{CHART}\n{TOP}{SAID}"
POST = f"---\ndate: 2026-03-01\ntags: [numbers]\n---\n# A post\n\n{CHART}\n{TOP}{SAID}\n<!-- more -->\n\nmore\n"
PLUGINS = {
    "blog": ("- blog\n", {"blog/index.md": "# Blog\n", "blog/posts/a.md": POST}),
    "rss": ("- rss: {use_git: false}\n", {}),
    "tags": ("- tags\n", {"tags.md": "# Tags\n\n<!-- material/tags -->\n"}),
    "i18n": (
        "- i18n: {docs_structure: suffix, languages: [{locale: en, default: true, name: English}, "
        "{locale: de, name: Deutsch}]}\n",
        {"index.de.md": PAGE.replace("leads", "führt")},
    ),
    "awesome-nav": ("- awesome-nav\n", {".nav.yml": "nav:\n  - index.md\n"}),
    "redirects": ("- redirects: {redirect_maps: {old.md: index.md}}\n", {}),
    "minify": ("- minify: {minify_html: true}\n", {}),
    "git-revision-date-localized": ("- git-revision-date-localized: {fallback_to_build_date: true}\n", {}),
    "macros": (
        "- macros: {j2_variable_start_string: '[[', j2_variable_end_string: ']]'}\n",
        {"m.md": "# [[ config.site_name ]]\n"},
    ),
    "table-reader": ("- table-reader\n", {"x.csv": "a,b\n1,2\n", "t.md": "# T\n\n{{ read_csv('site/x.csv') }}\n"}),
    # The second page has the card that the first one must have.
    "social": (
        "- social: {cards_layout_options: {font_family: Any, description: x}}\n",
        {"same.md": PAGE.replace("{{ top.shell }}", "fish")},
    ),
}


def site(directory: Path, monkeypatch: pytest.MonkeyPatch, plugins: list[str], *, last: bool) -> None:
    """A project with these plugins, ours before or behind them."""
    pages = {"index.md": PAGE}
    lines = ""
    for name in plugins:
        line, more = PLUGINS[name]
        lines += f"  {line}"
        pages |= more
    project(directory, pages)
    # A font that is there is not fetched from the network.
    for style in ("Regular", "Bold"):
        font = directory / ".cache/plugin/social/fonts/Any" / f"{style}.ttf"
        font.parent.mkdir(parents=True, exist_ok=True)
        font.write_bytes(ImageFont.load_default(12).font_bytes)  # type: ignore[union-attr]
    path = directory / "mkdocs.yml"
    ours = "  - abaculus: {minimum_users: 10}\n"
    settings = path.read_text(encoding="utf-8").replace(ours, f"{lines}{ours}" if last else f"{ours}{lines}")
    path.write_text(f"site_url: https://example.org/\n{settings}", encoding="utf-8")
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "x"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run([command[0], *who, *command[1:]], cwd=directory, check=True)
    fill(directory / "bucket", runs(1, 40, shellName="fish") + runs(41, 60, shellName="zsh"))
    monkeypatch.chdir(directory)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(directory / "applications"))


def outputs(out: Path) -> dict[str, str]:
    """Every file of a site by its path, as text; bytes that are none are left out."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    unpacked = {path: gzip.decompress(one) if path.endswith(".gz") else one for path, one in found.items()}
    return {path: one.decode(errors="ignore") for path, one in unpacked.items()}


@pytest.mark.slow
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("plugin", [*PLUGINS, "all"])
def test_a_figure_is_in_every_output_and_no_source_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, last: bool
) -> None:
    # rss cannot read its own settings again, which i18n makes it do.
    site(tmp_path, monkeypatch, [one for one in PLUGINS if one != "i18n"] if plugin == "all" else [plugin], last=last)
    checked = check("bucket")
    assert list(checked.faults) == []
    # Beside macros, table-reader leaves its braces to it, and macros reads others.
    left = [("site/t.md", 3)] if plugin == "all" else []
    assert [(one.file, one.line) for one in checked.warnings if one.code == "not-a-value"] == left
    out = build("bucket", None)
    found = outputs(out)
    assert 'id="chart-shells"' in found["index.html"].replace("id=chart-shells", 'id="chart-shells"')
    assert "Most use fish, 40 people." in found["index.html"]
    for path, text in found.items():
        ours = r"data: sessions|yaml chart|sql top|top\.(shell|people)|data-abaculus|abaculus:"
        assert not re.search(ours, text), path
        if path.endswith((".html", ".xml", ".xml.gz", ".json", ".md", ".txt", ".csv")) and "openapi" not in path:
            assert not re.search(r"\{\{(?! read_csv)|\x02", text), path
    if plugin in ("blog", "all"):
        assert "<figure" in found["blog/index.html"]
        assert re.search(r'href="?../data/blog/posts/a/shells.csv', found["blog/index.html"])
    if plugin == "i18n":
        assert "chart-shells" in found["de/index.html"]
        assert re.search(r'href="?../data/', found["de/index.html"])
    if plugin in ("social", "all"):
        first, second = ((out / f"assets/images/social/{page}.png").read_bytes() for page in ("index", "same"))
        assert first == second


def test_braces_that_another_plugin_owns_are_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"---\ntitle: '{{{{ 1 + 1 }}}}'\n---\n# M\n\n{{{{ 1 + 1 }}}} {{% raw %}}{{{{ x }}}}{{% endraw %}}\n\n{CHART}"
    monkeypatch.setitem(PLUGINS, "one", ("- macros\n", {"index.md": text}))
    site(tmp_path, monkeypatch, ["one"], last=True)
    checked = check("bucket")
    assert ([*checked.faults], [one.code for one in checked.warnings]) == ([], [])


@pytest.mark.parametrize(
    ("plugin", "named"),
    [
        # It reads what stands between {{ and }} before the page is read.
        ("- macros\n", ("macros", "j2_variable_start_string")),
        # What a plugin does not catch itself.
        ("- table-reader\n", ("table-reader", "UnicodeDecodeError")),
    ],
)
def test_a_plugin_that_cannot_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, named: tuple[str, ...]
) -> None:
    monkeypatch.setitem(PLUGINS, "one", (plugin, {"t.md": "# T\n\n{{ read_raw('x.bin') }}\n"}))
    site(tmp_path, monkeypatch, ["one"], last=True)
    (tmp_path / "site/x.bin").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BuildError) as raised:
        build("bucket", None)
    assert mentions(str(raised.value), *named), raised.value
