"""How many people get as far as each of some steps."""

from reports.cells import Axis, Counted
from reports.columns import find
from reports.gate import Gate
from reports.published import Column, Published, Value
from reports.warehouse import quote, quote_if_needed

__all__ = ["funnel"]


def funnel(gate: Gate) -> Published:
    """How many people, or rows, got as far as each step. A person takes steps in any of their rows."""
    columns = [quote(find(name, gate.columns, "steps")[0]) for _, name in gate.block.steps]
    by_people = gate.block.y[0].name == "people"
    reached = [
        f"coalesce(bool_or({column}), false)" if by_people else f"coalesce({column}, false)" for column in columns
    ]
    # How far each got: the number of steps before the first that was not taken.
    untaken = " ".join(f"WHEN NOT s{number} THEN '{number}'" for number in range(len(reached)))
    steps = ", ".join(f"{one} AS s{number}" for number, one in enumerate(reached))
    group = "WHERE user_id IS NOT NULL GROUP BY user_id" if by_people else ""
    counted = Counted(
        gate.connection,
        f"(SELECT user_id, CASE {untaken} ELSE '{len(reached)}' END AS depth "
        f"FROM (SELECT user_id, {steps} FROM {gate.source} {group}))",
        [Axis(Column("depth", "text"), "text", tuple(str(number) for number in range(len(reached) + 1)))],
        (),
    )
    if not counted.cells():
        return gate.empty("no data")
    rows, withheld, last = _steps(gate, counted, by_people)
    if not rows:
        return gate.empty("too few people")
    return Published(
        dimensions=(Column("step", "text"),),
        measures=(
            Column(gate.block.y[0].name, "number"),
            Column("of the first", "share"),
            Column("of the step before", "share"),
        ),
        rows=tuple(rows),
        people=last,
        withheld=withheld,
        minimum_users=gate.minimum,
        unit=gate.unit,
        sql=_funnel_sql(gate, by_people),
    )


def _steps(gate: Gate, counted: Counted, by_people: bool) -> tuple[list[tuple[Value, ...]], int, int]:
    """The steps that may be shown: those who reached one, and those lost since the last shown, are enough people.

    Those that were lost are what is left when one step is taken from the other.
    """
    cells = {cell.key[0] - 1: cell for cell in counted.cells()}
    known = counted.persons([(number + 1,) for number, cell in cells.items() if cell.people < gate.minimum])

    def people(numbers: range) -> int:
        enough = [cells[number].people for number in numbers if number in cells]
        if any(one >= gate.minimum for one in enough):
            return max(enough)
        return len(set[int]().union(*(known.get((number + 1,), set()) for number in numbers)))

    end = len(gate.block.steps) + 1
    rows: list[tuple[Value, ...]] = []
    withheld, before, first, last, standing = 0, 0, 0, 0, 0
    for number, (label, _) in enumerate(gate.block.steps, 1):
        size = sum(cells[depth].rows for depth in range(number, end) if depth in cells)
        lost = range(before, number)
        gone = any(depth in cells for depth in lost)
        if people(range(number, end)) < gate.minimum or (gone and people(lost) < gate.minimum):
            withheld += 1
            continue
        first = first or size
        rows.append((label.strip(), size, size / first, size / (last or size)))
        before, last = number, size
        standing = standing or counted.people([(depth + 1,) for depth in range(number, end) if depth in cells])
    return rows, withheld, standing


def _funnel_sql(gate: Gate, by_people: bool) -> str:
    conditions, lines = [], []
    for label, column in gate.block.steps:
        name = quote_if_needed(column)
        conditions.append(f"bool_or({name})" if by_people else name)
        lines.append(f"  count(*) FILTER ({' AND '.join(f's{n}' for n in range(len(conditions)))}) AS {quote(label)}")
    inner = ", ".join(f"{one} AS s{number}" for number, one in enumerate(conditions))
    group = " WHERE user_id IS NOT NULL GROUP BY user_id" if by_people else ""
    return "SELECT\n" + ",\n".join(lines) + f"\nFROM (SELECT {inner} FROM {gate.block.data}{group})"
