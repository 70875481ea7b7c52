"""Linear programming on a built site: its tables, and those of each choice of a filter, are linked by their sums.

The attacker knows the rule, and from the SQL in the index which tables count the same rows. Of each cell, shown or not,
two numbers are not known: its people and its runs. Runs add up from table to table. So do people where each has one
value, as of an operating system. Elsewhere a whole has no fewer than its largest part, and no more than all together.
The rows of the last weeks are some of the rows of more weeks, so none of their cells has more.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from math import inf
from pathlib import Path

from tests.attackers.demo import COUNTS, choices, tables
from tests.attackers.linear import apart

__all__ = ["determined", "groups"]

# What a person has one value of.
PERSONAL = {"os", "arch", "shell", "terminal", "runtime", "container_engine", "install_channel"}
# Of the same rows. Larger tables are left out first: they take longer than they tell.
MOST_CELLS = 1_200
# A cell: the value of each column that it is of.
Cell = frozenset[tuple[str, str]]
Row = tuple[list[tuple[int, int]], int, int | None]
Numbers = Mapping[str, float]
# A query of nothing but columns and conditions: from what, and which.
SIMPLE = re.compile(r"SELECT [^;]*? FROM (\w+)(?: WHERE (.*))?")
OUTSIDE_CI = {"NOT coalesce(ci, false)", "NOT coalesce(session.ci, false)", "NOT ci"}


@dataclass
class _Rows:
    """What is published of the same rows: numbers by columns and cell, and the labels of each column.

    `whole` are the columns of tables that show all that may be shown. Of others it is known for the values of a column
    that a reader can choose.
    """

    shown: dict[tuple[str, ...], dict[Cell, Numbers]] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    whole: set[tuple[str, ...]] = field(default_factory=set)
    chosen: dict[tuple[str, ...], set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))

    def add(self, columns: Sequence[str], found: Mapping[Cell, Numbers], by: tuple[str, str] | None) -> None:
        """A table; `by` is the value that was chosen."""
        names = tuple(sorted(columns))
        table = self.shown.setdefault(names, {})
        for cell, numbers in found.items():
            table[cell] = {**table.get(cell, {}), **numbers}
            for name, value in cell:
                self.labels[name].add(value)
        if by:
            self.chosen[names].add(by)
        else:
            self.whole.add(names)

    def knows(self, columns: tuple[str, ...], cell: Cell) -> bool:
        """Whether the cell would be shown if it had people enough."""
        return columns in self.whole or bool(cell & self.chosen[columns])


# By how many last days, all of them at last.
Windows = dict[float, _Rows]


def groups(data: Path, step: int = 5, minimum: int = 10) -> dict[str, tuple[int, int]]:
    """The groups of people that are not shown and may be there, each with two numbers that they can be, or the one."""
    made: dict[str, tuple[int, int]] = {}
    for name, windows in _same(data).items():
        places: dict[tuple[float, Cell, str], int] = {}
        known: list[Row] = []
        wanted: list[tuple[float, Cell]] = []
        cells = _enumerated(windows)
        for days, rows in sorted(windows.items()):
            more, hidden = _conclusions(days, rows, cells[days], places, step, minimum)
            known += more
            wanted += [(days, cell) for cell in hidden]
        known += _nested(cells, places)
        bounds = apart(len(places), known, [places[days, cell, "people"] for days, cell in wanted])
        found = zip(wanted, bounds, strict=True)
        made |= {f"{name} of {days} days: {sorted(cell)}": both for (days, cell), both in found if both[1]}
    return made


def determined(found: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Of which groups the number of people follows."""
    return {name: low for name, (low, high) in found.items() if low == high}


def _same(data: Path) -> dict[str, Windows]:
    """The tables of a site by what they count."""
    made: dict[str, Windows] = defaultdict(lambda: defaultdict(_Rows))
    for one, rows in tables(data):
        if one["type"] in ("histogram", "funnel", "retention") or "JOIN" in one["definition"]:
            continue
        name, days = _counted(one["definition"])
        source = made[f"{one['counts']} {name}"]
        if one["type"] == "scan":
            # Of what stands out the people are said, and of what does not nothing.
            for row in rows:
                group = (row["attribute"], row["category"])
                numbers = {"people": float(row["people"])} if row["people"] else {}
                source[days].add(group[:1], {frozenset([group]): numbers}, group)
            continue
        names = [column["name"] for column in one["columns"]]
        measures = [name for name in names if name in COUNTS or "(" in name or name in ("share", "per_person")]
        columns = [name for name in names if name not in measures and not name.endswith((" from", " to", " differs"))]
        source[days].add(*_table(columns, rows, one["grain"]), None)
        source[days].add((), {frozenset(): {"people": one["people"]} if one["people"] else {}}, None)
        for choice in choices(data, one):
            weeks = re.fullmatch(r"last (\d+) weeks", choice.value)
            if weeks:
                mine, by = source[min(days, 7.0 * int(weeks[1]))], None
            elif choice.column in name.split() or not choice.value or not choice.rows:
                continue
            else:
                mine, by = source[days], (choice.column, choice.value)
            shown, found = _table(columns, choice.rows, choice.grain)
            also = (by[0],) if by else ()
            if choice.rows:
                mine.add((*shown, *also), {cell | {by} if by else cell: found[cell] for cell in found}, by)
            if choice.people:
                mine.add(also, {frozenset([by] if by else []): {"people": choice.people}}, by)
    for windows in made.values():
        for found_in in windows.values():
            found_in.shown = {
                names: table for names, table in found_in.shown.items() if not _folds(names, table, found_in.labels)
            }
    return made


def _table(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]], grain: str | None
) -> tuple[list[str], dict[Cell, Numbers]]:
    """The columns, with the grain of a time, and the numbers of each cell."""
    calls = {name: f"{name} by {grain}" if grain and name == columns[0] else name for name in columns}
    return [*calls.values()], {
        frozenset((calls[name], row[name]) for name in columns): {
            name: float(row[name]) for name in ("people", "count") if row.get(name)
        }
        for row in rows
    }


def _counted(definition: str) -> tuple[str, float]:
    """A name for the rows that are counted, the same for the same rows, and of how many last days they are."""
    *queries, last = re.split(r"\n\n-- \w+.*\n|^-- \w+.*\n", definition)
    page = definition.split("\n")[0] if definition.startswith("-- page:") else ""
    queries = [" ".join(part.split()) for part in queries if part]
    conditions: set[str] = set()
    found = [SIMPLE.fullmatch(one) for one in queries]
    if not all(found) or any(one.count("SELECT") > 1 or " BY " in one for one in queries):
        # Of a query that only selects columns, what it reads says it all. Two pages may give one name to two queries.
        rest = " < ".join(one.partition(" FROM ")[2] if one.count("SELECT") == 1 else one for one in queries)
        return f"{page} {rest}{' not ci' if 'IS NOT TRUE' in last else ''}", inf
    days = inf
    for one in filter(None, (match and match[2] for match in found)):
        for condition in [one] if " OR " in one else one.split(" AND "):
            window = re.fullmatch(r"last_days\(\w+, (\d+)\)", condition)
            days = min(days, float(window[1])) if window else days
            conditions |= set() if window else {"not ci" if condition in OUTSIDE_CI else condition}
    conditions |= {"not ci"} if "ci IS NOT TRUE" in last else set()
    base = found[0][1] if found and found[0] else re.findall(r"\nFROM \(?(?:SELECT \* FROM )?(\w+)", f"\n{last}")[0]
    return f"{page} {base} {' and '.join(sorted(conditions))}", days


def _folds(names: tuple[str, ...], table: Mapping[Cell, object], labels: Mapping[str, set[str]]) -> bool:
    """Whether its "Other" may hold a category that another table names: it has a smaller limit."""
    own = {name: {value for cell in table for column, value in cell if column == name} for name in names}
    return any("Other" in own[name] and labels[name] - own[name] for name in names)


def _enumerated(windows: Windows) -> dict[float, dict[tuple[str, ...], list[Cell]]]:
    """All cells of the tables, of the smallest first."""
    every = [
        (days, columns, list(_cells(columns, rows.labels))) for days, rows in windows.items() for columns in rows.shown
    ]
    found: dict[float, dict[tuple[str, ...], list[Cell]]] = {days: {} for days in windows}
    left = MOST_CELLS
    for days, columns, cells in sorted(every, key=lambda one: len(one[2])):
        left -= len(cells)
        if left >= 0:
            found[days][columns] = cells
    return found


def _conclusions(
    days: float,
    rows: _Rows,
    every: Mapping[tuple[str, ...], list[Cell]],
    places: dict[tuple[float, Cell, str], int],
    step: int,
    minimum: int,
) -> tuple[list[Row], list[Cell]]:
    """What is known of all cells, and those that are not shown."""
    known: list[Row] = []

    def at(cell: Cell, what: str) -> int:
        return places.setdefault((days, cell, what), len(places))

    hidden = []
    for columns, cells in every.items():
        for cell in cells:
            known.append(([(at(cell, "count"), 1), (at(cell, "people"), -1)], 0, None))
            numbers = rows.shown[columns].get(cell)
            if numbers is None and rows.knows(columns, cell):
                hidden.append(cell)
                known.append(([(at(cell, "people"), 1)], 0, minimum - 1))
            for what, shown in (numbers or {}).items():
                low = round(shown) - step // 2
                floor = minimum if what == "people" else 0
                known.append(([(at(cell, what), 1)], max(low, floor), low + step - 1))
    for fewer, more in permutations(every, 2):
        if not set(fewer) < set(more):
            continue
        parts: dict[Cell, list[Cell]] = defaultdict(list)
        for cell in every[more]:
            parts[frozenset(one for one in cell if one[0] in fewer)].append(cell)
        for whole, those in parts.items():
            added = set(more) - set(fewer)
            # Periods without a cell that is shown are on no axis, and their runs in no cell. So it is with categories,
            # unless a table of this column alone names them all.
            if all((name,) in rows.whole and " by " not in name for name in added):
                known.append(([*((at(cell, "count"), 1) for cell in those), (at(whole, "count"), -1)], 0, 0))
                sums = [(at(cell, "people"), 1) for cell in those]
                known.append(([*sums, (at(whole, "people"), -1)], 0, 0 if added <= PERSONAL else None))
            known += [([(at(whole, "people"), 1), (at(cell, "people"), -1)], 0, None) for cell in those]
    return known, hidden


def _nested(
    cells: Mapping[float, Mapping[tuple[str, ...], list[Cell]]], places: Mapping[tuple[float, Cell, str], int]
) -> Iterator[Row]:
    """Of fewer days there are no more people and runs in any cell."""
    for fewer, more in permutations(cells, 2):
        for columns in cells[fewer].keys() & cells[more].keys() if fewer < more else ():
            # "Other" holds what each of the two tables has no name for.
            same = {cell for cell in cells[fewer][columns] if "Other" not in dict(cell).values()} & {
                *cells[more][columns]
            }
            for cell in same:
                for what in ("people", "count"):
                    yield [(places[more, cell, what], 1), (places[fewer, cell, what], -1)], 0, None


def _cells(columns: tuple[str, ...], labels: Mapping[str, set[str]]) -> Iterator[Cell]:
    """Every cell of a table; of each column but a time there may be an "Other"."""
    values = [sorted(labels[name] | (set() if " by " in name else {"Other"})) for name in columns]
    return (frozenset(zip(columns, one, strict=True)) for one in product(*values))
