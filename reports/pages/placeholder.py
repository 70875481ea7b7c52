"""The placeholder for a chart without data: the registry entry that it needs."""

from collections.abc import Collection, Iterable, Mapping

import duckdb

from ingest.function.registry import Application
from ingest.function.roles import EVENT_ATTRIBUTE_ROLES, ROLES
from reports.blocks.block import Block
from reports.charts.html import text, title
from reports.query.quoting import quote

__all__ = ["figure", "lacking", "lines"]

MEANINGS = ROLES | EVENT_ATTRIBUTE_ROLES
NAMES = {"os": "osName", "ci": "inCi"}


def _roles(block: Block, registry: Mapping[str, Application]) -> list[str]:
    """Roles among the columns of a block that no attribute in the registry has. Views have null for them."""
    there = {
        field.role
        for application in registry.values()
        for fields in (application.attributes, *(kind.attributes for kind in application.events.values()))
        for field in fields.values()
        if field.role and field.current
    }
    steps = [column for _, column in block.steps]
    columns = [block.x, block.color, *block.more, *steps, *(measure.column for measure in block.y)]
    names = [name.lower() for name in columns if name]
    return [name for name in dict.fromkeys(names) if name in MEANINGS and name not in there]


def lacking(
    cursor: duckdb.DuckDBPyConnection, block: Block, columns: Collection[str], registry: Mapping[str, Application]
) -> list[str]:
    """Roles that no attribute has, if the block reads one of them and its query has no replacement."""
    names = {name.lower() for name in columns}
    there = [role for role in _roles(block, registry) if role in names]
    sql = f"SELECT {', '.join(f'count({quote(role)})' for role in there)} FROM {quote(block.data)}"
    # A query may have computed a column of that name.
    counted = cursor.execute(sql).fetchall()[0] if there else ()
    found = [role for role, number in zip(there, counted, strict=True) if number == 0]
    # A scan uses the columns that exist.
    axes = {name.lower() for name in (block.x, block.color, *block.more) if name}
    return [] if block.type == "scan" and not axes <= set(found) else found


def figure(block: Block, lacking: Iterable[str], unit: str, id: str) -> str:
    """The block as HTML, without a number in it."""
    needed = "\n\n".join(map(lines, lacking))
    named = text(title(block, unit))
    return (
        f'<figure class="ab-chart ab-missing" id="{text(id)}"><figcaption class="ab-title">{named}'
        f'<a class="headerlink" href="#{text(id)}" title="Link to this block" aria-label="Link to this block">¶</a>'
        "</figcaption>"
        '<p class="ab-empty">The tool does not send the data for this chart yet. It needs this entry in its registry '
        "file:</p>"
        f"<pre><code>{text(needed)}</code></pre></figure>"
    )


def lines(role: str) -> str:
    """The TOML entry for a role, to complete."""
    kind, meaning = MEANINGS[role]
    first, *rest = role.split("_")
    name = NAMES.get(role, first + "".join(part.capitalize() for part in rest))
    values = '\nvalues = ["…"]  # or pattern = "…"; anything else is stored as "(other)"' if kind == "string" else ""
    at, event = f"attributes.{name}", ""
    if role in EVENT_ATTRIBUTE_ROLES:
        # The name that the client uses.
        at, event = f"events.ExceptionRaised.{at}", '[events.ExceptionRaised]\nwhy = "…"\n\n'
    return f'{event}[{at}]\ntype = "{kind}"{values}\nrole = "{role}"\nwhy = "…"  # {meaning}'
