"""`abaculus new`: writes a working page, from which an author learns by changing it."""

import re
from pathlib import Path

__all__ = ["NewError", "new"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")
TEMPLATE = """\
---
title: {title}
description: One sentence for search engines and for the link to this page
---

# {title}

Say here what you want to know, and why. Then let a chart count. This one needs nothing but a block: `data` is what is
counted, `x` by what, `y` how. Change a line, save, and look.

```yaml chart
type: bar
data: sessions
x: application_version
y: people
title: People by version
```

## With a query

Give an `sql` fence a name, and it becomes a view for the blocks below it. It selects people's rows and keeps `user_id`;
counting is the chart's. `abaculus sql "DESCRIBE sessions"` lists the columns.

```sql long_runs
SELECT user_id, start_time, application_version, duration_ms,
       duration_ms > 10_000 AS took_long
FROM sessions
WHERE NOT coalesce(ci, false)
```

```yaml chart
type: line
data: long_runs
x: start_time
y: share(took_long)
title: Runs of more than ten seconds
```

```yaml chart
type: table
data: long_runs
x: application_version
y: [people, p50(duration_ms), share(took_long)]
title: How long runs take, by version
```

Nothing is shown of too few people, whatever a query asks for: what you read here, everybody may read.
"""


class NewError(Exception):
    """The reason why a page was not written."""


def new(docs: Path, given: str) -> Path:
    """Writes a page into a site's directory. Raises `NewError`, and never overwrites a page."""
    name = given.removesuffix(".md")
    if not NAME.fullmatch(name):
        raise NewError(f"{given!r} cannot be an address; use lower-case letters, digits and hyphens, as in slow-runs")
    path = docs / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(title=title(name)))
    except FileExistsError:
        raise NewError(f"{path} exists already; choose another name, or edit it") from None
    return path


def title(name: str) -> str:
    """The title for a page with this name."""
    return re.split("/", name)[-1].replace("-", " ").replace("_", " ").capitalize()
