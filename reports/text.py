"""`{{ name.column }}` in the words of a page: where such values stand, and how a value is written there.

What is written may come from whoever sends sessions. So no sign of it that means something to Markdown or HTML stands
as itself, and where signs are read differently (in an address, in a tag) no value is written at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from reports import format
from reports.page import prose
from reports.published import Column, Published
from reports.queries import Queries, identifiers, near
from reports.sandbox import QueryError, explain
from reports.warehouse import describe, quote

__all__ = ["Value", "escaped", "insert", "read", "shown", "values"]

# `${{ … }}` is what workflows are written with.
VALUE = re.compile(r"(?<![$\\{])\{\{[ \t]*(\w+)[ \t]*\.[ \t]*(\w+)[ \t]*\}\}(?!\})")
# Lines of text: not of a heading, a list, a table or code.
PARAGRAPH = re.compile(r"(?:(?<=\n\n)|\A)(?![#|>\-*+`~ \t\d<!?=:])[^\n]+(?:\n[^\n]+)*")
SILENCE = "There is not enough data yet to say more here."
DEFINITION = re.compile(r"[ \t]*\*?\[[^\]]+\]:")


@dataclass(frozen=True)
class Value:
    """A place for a value: `start` and `end` in the page's text, `line` and `place` (its column) counted from 0.

    `wrong` says why nothing can be written there.
    """

    name: str
    column: str
    start: int
    end: int
    line: int
    place: int
    wrong: str | None

    def __str__(self) -> str:
        return f"{{{{ {self.name}.{self.column} }}}}"


def values(markdown: str) -> Iterator[Value]:
    """The places for values in a page, but for those in code and comments."""
    seen = prose(markdown)
    for found in VALUE.finditer(seen):
        before = seen[: found.start()]
        line = before.count("\n")
        place = found.start() - before.rfind("\n") - 1
        yield Value(found[1], found[2], found.start(), found.end(), line, place, _wrong(before))


def _wrong(before: str) -> str | None:
    paragraph = re.split(r"\n[ \t]*\n", before)[-1]
    line = paragraph.rpartition("\n")[2]
    if re.search(r"\]\([^)]*$", paragraph) or DEFINITION.match(line):
        return "a link cannot lead where data says; write the value into the words of the link"
    if re.search(r"<[A-Za-z/!?][^>]*$", paragraph) or re.search(r"\{[^{}]*$", line):
        return "an HTML tag cannot have an attribute from data; write the value into the words beside it"
    return None


def insert(markdown: str, given: list[tuple[Value, str]]) -> str:
    """The page with a text in each place. Its lines stay as many.

    A paragraph whose values are all nothing would be a sentence about dashes: it says instead that there is no data.
    Beside others, a sentence that is only such a value is left out.
    """
    silent = {
        part.span()
        for part in PARAGRAPH.finditer(markdown)
        if len({text for value, text in given if part.start() <= value.start < part.end()} | {format.NOTHING}) == 1
        and any(part.start() <= value.start < part.end() for value, _ in given)
    }
    pieces = [_piece(markdown, value, text) for value, text in given]
    pieces = [piece for piece in pieces if not any(start <= piece[0][0] < end for start, end in silent)]
    pieces += [((start, end), SILENCE + "\n" * markdown.count("\n", start, end)) for start, end in silent]
    for (start, end), text in sorted(pieces, reverse=True):
        markdown = markdown[:start] + text + markdown[end:]
    return markdown


def _piece(markdown: str, value: Value, text: str) -> tuple[tuple[int, int], str]:
    """From where to where which text is written."""
    begins = re.search(r"(?:\A|\n\n|[.!?]\s)\Z", markdown[: value.start])
    ends = re.match(r"\.(?: |(?=\n|\Z))", markdown[value.end :])
    if text == format.NOTHING and begins and ends:
        return (value.start, value.end + ends.end()), ""
    return (value.start, value.end), escaped(text)


def escaped(text: str) -> str:
    """A text that Markdown and HTML show as it is: letters and blanks, and a number for every other sign of ASCII."""
    # The first, too: "1" before the author's full stop would begin a list.
    signs = "".join(
        one if number and (one.isalnum() or one == " " or not one.isascii()) else f"&#{ord(one)};"
        for number, one in enumerate(format.inert(text))
    )
    return signs.replace(" &#37;", "&nbsp;&#37;")  # a line does not begin with a percent sign


def read(queries: Queries, name: str, given: str) -> str | None:
    """A value of a result that is not people's, as words have it; None where it has no row. Raises `QueryError`."""
    relations = queries.relations
    if name not in relations:
        known = [one for one in relations if not relations[one]]
        raise QueryError(f'nothing is named "{name}"; {near(name, known)}')
    if relations[name]:
        raise QueryError(f'"{name}" is people\'s rows; give a chart that counts them a `name:`, and say that here')
    columns = describe(queries.cursor, quote(name))
    column = next((one for one in columns if one.lower() == given.lower()), None)
    if column is None:
        raise QueryError(f'"{name}" has no column "{given}"; {near(given, columns)}')
    try:
        found = queries.cursor.execute(f"SELECT {quote(column)} FROM {quote(name)} LIMIT 2").fetchall()
    except duckdb.Error as error:
        raise explain(error, name, values=False) from None
    if len(found) > 1:
        raise QueryError(f'"{name}" has more than one row; name a query of it that has one, with LIMIT 1 or max(…)')
    return shown(column, columns[column], found[0][0], queries.tables.get(name)) if found else None


def shown(name: str, sql_type: str, value: Any, published: Published | None) -> str:
    if published is not None:
        number = [called.lower() for called in identifiers(published)].index(name.lower())
        column = published.columns[number]
        # A dimension is a category or a period, a measure has a unit.
        return format.label(value, published.grain) if column in published.dimensions else format.value(column, value)
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, str | int | float | bool | datetime | None):
        raise QueryError(f'column "{name}" is {sql_type}, which words cannot show; select one of its parts')
    return format.value(Column(name, _kind(name, value)), value)


def _kind(name: str, value: Any) -> str:
    """What a derived number is, by its name: `share_…` and `…_share` are parts of 1, `…_ms` lasts."""
    if re.fullmatch(r"share|share_\w+|\w+_share", name.lower()) and isinstance(value, float):
        return "share"
    return "milliseconds" if name.lower().endswith("_ms") else "number"
