"""In place of a chart of what nobody sends yet: the lines of the registry that would fill it."""

from collections.abc import Iterable, Mapping

from ingest.registry import ROLES, Application
from reports.block import Block
from reports.html import text, title

__all__ = ["figure", "roles"]

NAMES = {"os": "osName", "ci": "inCi"}


def roles(block: Block, registry: Mapping[str, Application]) -> list[str]:
    """Roles among the columns of a block that no attribute of the registry has; views have null in their place."""
    there = {
        field.role
        for application in registry.values()
        for field in application.attributes.values()
        if field.role and not field.removed
    }
    steps = [column for _, column in block.steps]
    columns = [block.x, block.color, *block.more, *steps, *(measure.column for measure in block.y)]
    names = [name.lower() for name in columns if name]
    return [name for name in dict.fromkeys(names) if name in ROLES and name not in there]


def figure(block: Block, lacking: Iterable[str], unit: str, id: str) -> str:
    """The block as HTML, without a number in it."""
    lines = "\n\n".join(_lines(role) for role in lacking)
    named = text(title(block, unit))
    return (
        f'<figure class="ab-chart ab-missing" id="{text(id)}"><figcaption class="ab-title">{named}'
        f'<a class="headerlink" href="#{text(id)}" title="Link to this block" aria-label="Link to this block">¶</a>'
        "</figcaption>"
        '<p class="ab-empty">Nothing is sent yet that this could show. It needs, in the registry file of the tool:</p>'
        f"<pre><code>{text(lines)}</code></pre></figure>"
    )


def _lines(role: str) -> str:
    kind, meaning = ROLES[role]
    first, *rest = role.split("_")
    name = NAMES.get(role, first + "".join(part.capitalize() for part in rest))
    values = '\nvalues = ["…"]  # or pattern = "…"; anything else is stored as "(other)"' if kind == "string" else ""
    return f'[attributes.{name}]\ntype = "{kind}"{values}\nrole = "{role}"\nwhy = "…"  # {meaning}'
